// The seam between Asio and CAF: carries questions of net/ to the actors and wishes of the actors to net/.
#pragma once

#include "actors/hot_answers.hpp"
#include "actors/net_port.hpp"
#include "actors/supervisor.hpp"
#include "net/http_client.hpp"
#include "net/metrics.hpp"
#include "net/runtime.hpp"
#include "net/tunnel_table.hpp"

#include <caf/actor_system.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace harp {

inline constexpr std::chrono::seconds ask_limit{2};          // of a question that no network is behind
inline constexpr std::chrono::seconds nextcloud_ask_limit{27}; // of one that Nextcloud must answer (25 s) first

/// Outlived by nothing that calls it: made before the actors, destroyed after them and after the loops have stopped.
class bridge : public net_port {
public:
  bridge(net::runtime& loops, net::tunnel_table& tunnels, net::metrics& numbers, std::shared_ptr<hot_answers> answers);

  // net_port
  void fetch(std::shared_ptr<const net::fetch_request> request, uint64_t token, caf::actor answer_to) override;
  void probe_tunnel(uint64_t session, std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to) override;
  void end_tunnel(uint64_t session, std::string reason) override;

  void adopt(actor_handles handles);
  void end_all_tunnels();
  /// No further questions reach the actors: every handle is given up.
  void release();
  [[nodiscard]] actor_handles handles() const;
  void use(caf::actor_system& system) { system_ = &system; }
  [[nodiscard]] caf::actor_system& system() const { return *system_; }
  [[nodiscard]] hot_answers& answers() const { return *answers_; }
  [[nodiscard]] net::metrics& numbers() const { return metrics_; }
  [[nodiscard]] net::tunnel_table& tunnels() const { return tunnels_; }
  [[nodiscard]] net::runtime& loops() const { return loops_; }
  /// Closes idle connections to Nextcloud; before the loops stop.
  void clear_clients();

private:
  net::runtime& loops_;
  net::tunnel_table& tunnels_;
  net::metrics& metrics_;
  std::shared_ptr<hot_answers> answers_;
  caf::actor_system* system_ = nullptr;
  net::http_client client_; // on the first loop
  mutable std::mutex mutex_;
  actor_handles handles_;
};

} // namespace harp
