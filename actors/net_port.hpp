// What actors ask of net/: fulfilled by bridge, by fakes in tests. Answers come as messages to `answer_to`.
#pragma once

#include "net/http_client.hpp"

#include <caf/actor.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace harp {

class net_port {
public:
  virtual ~net_port() = default;
  /// Calls Nextcloud; the answer is `fetched{token, ...}`.
  virtual void fetch(std::shared_ptr<const net::fetch_request> request, uint64_t token, caf::actor answer_to) = 0;
  /// Asks a tunnel's client for a sign of life; the answer is `probed{token, alive}`.
  virtual void probe_tunnel(uint64_t session, std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to) = 0;
  /// Ends a tunnel session without waiting for its client.
  virtual void end_tunnel(uint64_t session, std::string reason) = 0;
};

} // namespace harp
