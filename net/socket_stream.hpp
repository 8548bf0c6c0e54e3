// A stream over a TCP or unix socket.
#pragma once

#include "net/stream.hpp"

#include <boost/asio/generic/stream_protocol.hpp>

namespace harp::net {

/// A connected socket as a stream, non-blocking and without Nagle's delay. Lives on the thread of
/// the socket's loop.
class socket_stream final : public stream {
public:
  explicit socket_stream(asio::generic::stream_protocol::socket socket);
  ~socket_stream() override;

  io_result try_read(std::span<char> into) override;
  using stream::try_write;
  /// One sendmsg() for head and body.
  io_result try_write(std::string_view head, std::string_view body) override;
  asio::awaitable<bool> wait_readable() override;
  asio::awaitable<bool> wait_writable() override;
  void shutdown_write() override;
  void cancel() override;
  void close(bool reset = false) override;
  /// One poll() without waiting; a peer that only ended its own direction is not gone.
  [[nodiscard]] bool peer_gone() override;
  [[nodiscard]] bool peer_finished() override;
  [[nodiscard]] bool is_silent() override;
  [[nodiscard]] std::string failure() const override;

private:
  /// Lives in the frame of a wait. The stream may be cancelled, closed or destroyed meanwhile, and so may the frame.
  struct waiter {
    waiter** slot;
    bool cancelled = false;
    explicit waiter(waiter** at) : slot(at) { *slot = this; }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter() {
      if (!cancelled) // else the slot may be gone
        *slot = nullptr;
    }
  };
  asio::awaitable<bool> wait(asio::socket_base::wait_type what, waiter** slot);
  io_result failed(int error);

  asio::generic::stream_protocol::socket socket_;
  waiter* reader_ = nullptr;
  waiter* writer_ = nullptr;
  int error_ = 0; // errno of the failure
  bool drained_ = false;
};

/// A socket_stream; a socket that is not open gives a stream whose calls fail.
stream_ptr make_socket_stream(asio::generic::stream_protocol::socket socket);

} // namespace harp::net
