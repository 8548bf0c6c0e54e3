// The HTTP front: client connections of one listener group, their requests decided by a gate, carried out by the session.
#pragma once

#include "net/control.hpp"
#include "net/http_exchange.hpp"
#include "net/metrics.hpp"
#include "net/runtime.hpp"
#include "net/spare_list.hpp"
#include "net/tunnel_table.hpp"
#include "net/upstream_pool.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace harp::net {

/// Time limits of a front (appapi-harp.md 2.6) and its caps.
struct http_limits {
  milliseconds client{30'000};     // a whole head; silence while a body is due; an unread answer; idle keep-alive
  milliseconds connect{30'000};    // to the upstream
  milliseconds server{1'800'000};  // silence of the upstream before and inside its answer
  milliseconds tunnel{1'800'000};  // silence after an upgrade; 0 = none
  bool access_log = false;
};

inline constexpr size_t body_rate_min = 32;            // bytes/s a client must send while a body is due ...
inline constexpr seconds body_rate_window{30};         // ... over this time (quality.md H10)
inline constexpr size_t discarded_body_max = 256 * 1024; // read and thrown away after a refusal, to keep the connection
inline constexpr seconds linger_limit{2};              // for a client to take the last answer and end
inline constexpr size_t spare_exchanges_max = 64;      // per loop

class http_front;

/// What the sessions of one loop share.
struct http_lane {
  loop& on;
  http_front& front;
  upstream_pool pool;
  spare_list<std::unique_ptr<http_exchange>> spare{spare_exchanges_max};
  std::atomic<size_t> busy{0}; // requests in progress; written on the lane's thread only

  deadline sweeper; // lets spare exchanges go that nobody needs

  http_lane(loop& where, http_front& owner, tunnel_table& tunnels)
    : on(where), front(owner), pool(where, tunnels), sweeper(where, [] {}) {
    sweeper.on_tick = [this] { spare.shrink(); };
  }
  std::unique_ptr<http_exchange> borrow();
  void give_back(std::unique_ptr<http_exchange> used);
};

class http_front {
public:
  http_front(runtime& loops, http_gate& gate, tunnel_table& tunnels, metrics& numbers, http_limits limits);
  ~http_front();

  /// Serves one client connection until it ends. Runs on `on`.
  asio::awaitable<void> serve(loop& on, stream_ptr client, connection_facts from);

  /// No further request on kept connections: each closes after its current answer. Open upgrades go on.
  void drain() { draining_ = true; }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] size_t connections() const { return connections_; }
  /// Requests in progress; upgraded connections are not among them.
  [[nodiscard]] size_t busy() const;
  [[nodiscard]] const http_limits& limits() const { return limits_; }
  http_gate& gate() { return gate_; }
  metrics& numbers() { return metrics_; }
  /// Closes idle upstream connections; after the loops have stopped.
  void clear_pools();

private:
  http_gate& gate_;
  metrics& metrics_;
  http_limits limits_;
  std::atomic<size_t> connections_{0};
  std::atomic<bool> draining_{false};
  std::vector<std::unique_ptr<http_lane>> lanes_; // by loop index
};

} // namespace harp::net
