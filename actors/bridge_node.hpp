// One running node: loops, listeners, seam and actors, started in order and stopped with a drain.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_admin.hpp"
#include "actors/bridge_dev.hpp"
#include "actors/bridge_engines.hpp"
#include "actors/bridge_engines_calls.hpp"
#include "actors/bridge_front.hpp"
#include "actors/bridge_storage.hpp"
#include "actors/bridge_tunnels.hpp"
#include "actors/state_dir.hpp"
#include "net/frp_session.hpp"
#include "net/http_front.hpp"
#include "net/listener.hpp"
#include "web/admin_gate.hpp"
#include "web/cli.hpp"
#include "web/config.hpp"

#include <boost/asio/signal_set.hpp>
#include <caf/actor_system_config.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::seconds drain_limit{8}; // docker's grace is 10 s
inline constexpr std::chrono::milliseconds health_interval{10'000};
inline constexpr std::chrono::seconds certificate_check_interval{6 * 3600};
inline constexpr std::array<const char*, 3> tunnel_certificates{"ca", "server", "client"};

class bridge_node {
public:
  explicit bridge_node(web::config settings, web::config_result loaded);
  ~bridge_node();
  /// Starts, serves until a signal ends it, stops. Returns the exit status.
  int run();
  /// One call of the storage plane while no daemon runs on this state directory: opens what it needs, listens nowhere.
  web::admin_answer run_call(const std::string& name, const std::string& arguments);

private:
  // bridge_node_start.cpp
  std::string start();
  std::string open_actors();
  void make_actor_system();
  std::string open_storage();
  std::string open_tunnels();
  std::string open_fronts();
  void make_exapp_gates(const net::http_limits& limits);
  std::string open_console();
  std::string listen(const std::vector<web::bind_address>& where, const std::string& name,
                     net::connection_handler handler, const std::shared_ptr<net::connection_slots>& slots);
  std::string load_tls(std::shared_ptr<net::tls_context>& into) const;
  void adapt_to_descriptors();
  void say_deviations() const;
  void add_gauges();
  // bridge_node.cpp
  net::asio::awaitable<void> watch_signals();
  net::asio::awaitable<void> watch_health();
  void warn_of_certificates() const;
  void renew_certificates();
  void read_certificate_ends();
  std::string load_frp_tls(std::shared_ptr<net::tls_context>& into) const;
  void reload();
  void stop();
  void wait_for_drain();

  web::config settings_;
  web::config_result loaded_;
  state_dir state_;
  net::metrics metrics_;
  net::tunnel_table tunnels_;
  std::shared_ptr<hot_answers> answers_ = std::make_shared<hot_answers>();
  net::runtime loops_;
  bridge seam_;
  bridge_engines engines_;
  std::shared_ptr<engine_board> board_ = std::make_shared<engine_board>();
  bridge_engines_calls engine_calls_;
  bridge_apps apps_{seam_};
  std::unique_ptr<bridge_front> front_gate_;
  std::unique_ptr<stream_gate> node_stream_gate_;
  std::unique_ptr<entry_gate> entry_gate_;
  std::unique_ptr<bridge_tunnels> tunnel_gate_;
  std::unique_ptr<bridge_storage> storage_;
  std::unique_ptr<bridge_admin> admin_;
  std::unique_ptr<web::admin_gate> admin_gate_;
  std::unique_ptr<bridge_dev> dev_gate_;
  web::heartbeat_gate heartbeat_gate_;
  std::vector<std::unique_ptr<net::http_front>> fronts_;
  net::http_front* exapp_front_ = nullptr;
  std::unique_ptr<net::frp_server> frp_;
  std::string frp_certs_; // the directory in use
  std::array<std::atomic<int64_t>, 3> certificate_ends_{}; // Unix time by tunnel_certificates; 0 = there is none
  std::atomic<std::shared_ptr<net::tls_context>> https_;
  std::shared_ptr<net::connection_slots> client_slots_; // HTTP and HTTPS front together
  std::shared_ptr<net::connection_slots> tunnel_slots_;
  std::shared_ptr<net::connection_slots> local_slots_;  // console, health, development authority
  std::vector<named_listener> listeners_;
  std::unique_ptr<caf::actor_system_config> actor_config_;
  std::unique_ptr<caf::actor_system> actors_;
  supervisor_actor supervisor_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> stop_signal_{0};
  std::atomic<bool> hurry_{false};
};

} // namespace harp
