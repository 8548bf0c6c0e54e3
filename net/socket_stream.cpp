// A stream over a TCP or unix socket: the system calls.
#include "net/socket_stream.hpp"

#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

namespace harp::net {

namespace {

/// A read that gave less than this and less than was asked for has emptied the socket as far as a
/// request or reply goes: the recv() that would only say EAGAIN is spared. Bulk data may have
/// arrived meanwhile, so there the question is worth it.
constexpr size_t small_read_bytes_max = 8 * 1024;

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

} // namespace

socket_stream::socket_stream(asio::generic::stream_protocol::socket socket)
    : socket_(std::move(socket)) {
  if (!socket_.is_open()) {
    error_ = EBADF;
    return;
  }
  error_code failure;
  socket_.native_non_blocking(true, failure);
  if (failure)
    error_ = failure.value();
  int on = 1;
  // A unix socket knows no Nagle and refuses; that is fine.
  static_cast<void>(
      ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

socket_stream::~socket_stream() {
  close(false);
}

io_result socket_stream::failed(int error) {
  error_ = error;
  return {io_status::failed, 0};
}

io_result socket_stream::try_read(std::span<char> into) {
  if (error_ != 0)
    return {io_status::failed, 0};
  if (std::exchange(drained_, false))
    return {io_status::again, 0};
  for (;;) {
    ssize_t got = ::recv(socket_.native_handle(), into.data(), into.size(), 0);
    if (got > 0) {
      auto bytes = static_cast<size_t>(got);
      drained_ = bytes < into.size() && bytes < small_read_bytes_max;
      return {io_status::ok, bytes};
    }
    if (got == 0)
      return {io_status::eof, 0};
    if (would_block(errno))
      return {io_status::again, 0};
    if (errno != EINTR)
      return failed(errno);
  }
}

io_result socket_stream::try_write(std::string_view head, std::string_view body) {
  if (error_ != 0)
    return {io_status::failed, 0};
  // iovec is not const-correct; sendmsg() only reads.
  std::array<iovec, 2> parts{iovec{const_cast<char*>(head.data()), head.size()},
                             iovec{const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  for (;;) {
    ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (sent >= 0)
      return {io_status::ok, static_cast<size_t>(sent)};
    if (would_block(errno))
      return {io_status::again, 0};
    if (errno != EINTR)
      return failed(errno);
  }
}

asio::awaitable<bool> socket_stream::wait(asio::socket_base::wait_type what, waiter** slot) {
  if (!socket_.is_open())
    co_return false;
  waiter here{slot};
  auto [error] = co_await socket_.async_wait(what, nothrow);
  if (here.cancelled) // perhaps by the destructor: `this` may be gone
    co_return false;
  drained_ = false;
  co_return !error;
}

asio::awaitable<bool> socket_stream::wait_readable() {
  return wait(asio::socket_base::wait_read, &reader_);
}

asio::awaitable<bool> socket_stream::wait_writable() {
  return wait(asio::socket_base::wait_write, &writer_);
}

void socket_stream::shutdown_write() {
  error_code ignored; // the peer may be gone already
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void socket_stream::cancel() {
  if (reader_ == nullptr && writer_ == nullptr)
    return;
  if (reader_ != nullptr)
    std::exchange(reader_, nullptr)->cancelled = true;
  if (writer_ != nullptr)
    std::exchange(writer_, nullptr)->cancelled = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void socket_stream::close(bool reset) {
  if (!socket_.is_open())
    return;
  cancel();
  if (reset) {
    linger at_once{1, 0};
    static_cast<void>(
        ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
  }
  error_code ignored;
  socket_.close(ignored);
  if (error_ == 0)
    error_ = EBADF;
}

bool socket_stream::peer_gone() {
  if (error_ != 0)
    return true;
  pollfd probe{socket_.native_handle(), POLLRDHUP, 0};
  if (::poll(&probe, 1, 0) <= 0)
    return false;
  return (probe.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

bool socket_stream::peer_finished() {
  if (error_ != 0)
    return true;
  pollfd probe{socket_.native_handle(), POLLRDHUP, 0};
  return ::poll(&probe, 1, 0) > 0;
}

bool socket_stream::is_silent() {
  char unexpected = 0;
  return error_ == 0 && ::recv(socket_.native_handle(), &unexpected, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && would_block(errno);
}

std::string socket_stream::failure() const {
  return error_ == 0 ? std::string{}
                     : error_code{error_, boost::system::system_category()}.message();
}

stream_ptr make_socket_stream(asio::generic::stream_protocol::socket socket) {
  return std::make_unique<socket_stream>(std::move(socket));
}

} // namespace harp::net
