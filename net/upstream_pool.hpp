// Connections to where requests go: TCP, unix sockets, tunnel work streams. Idle ones are kept for a short while.
#pragma once

#include "net/control.hpp"
#include "net/dialer.hpp"
#include "net/runtime.hpp"
#include "net/stream.hpp"
#include "net/tunnel_table.hpp"

#include <list>
#include <memory>
#include <string>
#include <vector>

namespace harp::net {

inline constexpr size_t idle_upstreams_max = 256;        // per loop
inline constexpr size_t idle_per_upstream_max = 64;      // per loop and target
inline constexpr milliseconds idle_upstream_life{4'000}; // below the 5 s of uvicorn, the usual ExApp server

enum class upstream_error : uint8_t { none, no_tunnel, no_stream, refused, timeout, unresolvable, failed, no_node };

struct upstream_result {
  stream_ptr stream;
  bool reused = false;
  upstream_error error = upstream_error::none;
};

/// One per loop; used on its thread only.
class upstream_pool {
public:
  upstream_pool(loop& on, tunnel_table& tunnels);
  /// A kept connection if `may_reuse` and there is one that still lives, else nullptr. No waiting.
  stream_ptr take(const upstream& to);
  /// A new connection, within `limit`.
  asio::awaitable<upstream_result> connect(std::shared_ptr<const upstream> to, work_user user,
                                           milliseconds limit);
  /// Keeps a connection whose last answer ended cleanly.
  void keep(const upstream& to, stream_ptr connection);
  void clear();

private:
  struct idle_connection {
    stream_ptr connection;
    clock::time_point until;
  };
  struct target {
    upstream to;
    std::vector<idle_connection> idle; // newest last
  };
  target* find(const upstream& to);
  void expire();

  loop& loop_;
  tunnel_table& tunnels_;
  dialer dialer_;
  std::vector<target> targets_; // few: one per ExApp in use; the last used one first
  size_t idle_count_ = 0;
  deadline sweeper_;
};

} // namespace harp::net
