// Listening TCP sockets: accepts while there is room, deals connections out to the loops in turn.
#pragma once

#include "net/runtime.hpp"
#include "storage/types.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <variant>

namespace harp::net {

inline constexpr milliseconds accept_pause{100}; // when descriptors or connection slots are used up
inline constexpr int listen_backlog = 1024;

using generic_socket = asio::generic::stream_protocol::socket;

/// How many connections may be open at a time, over all listeners that share it.
struct connection_slots {
  explicit connection_slots(size_t most) : max(most) {}
  const size_t max;
  std::atomic<size_t> used{0};
};

/// What happens with an accepted connection, on the loop it was dealt to.
using connection_handler = std::function<asio::awaitable<void>(loop&, generic_socket, ip_address peer, uint16_t port)>;

/// One listening address.
class listener : public std::enable_shared_from_this<listener> {
public:
  /// Binds and listens, or returns why not in words. Port 0 takes a free one.
  static std::variant<std::shared_ptr<listener>, std::string> open(runtime& loops, const std::string& host, uint16_t port,
                                                                   bool v6_only);
  /// Starts accepting. A connection holds a slot from its accept until its handler ends; without a free one accepting pauses.
  void start(connection_handler handler, std::shared_ptr<connection_slots> slots, std::string what);
  /// Stops accepting and frees the address. Thread-safe, may be called twice.
  void stop();
  /// The address in use: `127.0.0.1:8780`, `[::1]:8780`.
  [[nodiscard]] std::string address() const;
  [[nodiscard]] uint16_t port() const;

private:
  listener(runtime& loops, asio::ip::tcp::acceptor acceptor);
  static asio::awaitable<void> accept_all(std::shared_ptr<listener> self);

  runtime& loops_;
  asio::ip::tcp::acceptor acceptor_;
  connection_handler handler_;
  std::shared_ptr<connection_slots> slots_;
  std::string what_;
  std::atomic<bool> stopped_{false};
};

} // namespace harp::net
