// Carries requests of the engines actor to a Kubernetes API: TLS against the cluster's CA, the
// token read anew for every request (appapi-harp.md 1.2, 4.6).
#pragma once

#include "actors/bridge.hpp"
#include "actors/engine_script.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace harp {

inline constexpr size_t bearer_token_bytes_max = 64 * 1024;

/// How the API is reached; from the HP_K8S_* names.
struct cluster_access {
  std::string api_server;   // base URL, "" = none is known
  std::string bearer_token; // secret; wins over the file
  std::string bearer_token_file;
  std::string ca_file; // missing: the system's store
  bool verify_tls = true;
};

/// Used on the first loop.
class bridge_cluster {
public:
  bridge_cluster(bridge& seam, cluster_access access);
  /// One request, within its end. Never throws; troubles come back in the reply.
  net::asio::awaitable<engine_reply> talk(const engine_request& request,
                                          net::clock::time_point end);
  [[nodiscard]] const std::string& api_server() const { return access_.api_server; }
  /// Closes idle connections; before the loops stop.
  void clear() { client_ = nullptr; }

private:
  /// False: there is none, or none that a field can carry.
  bool read_token(std::string& into) const;
  /// A client that trusts the CA as it is now; null: `error` says why.
  std::shared_ptr<net::http_client> client(std::string& error);

  bridge& seam_;
  const cluster_access access_;
  std::shared_ptr<net::http_client> client_;
  std::filesystem::file_time_type ca_time_{}; // of what client_ trusts
};

} // namespace harp
