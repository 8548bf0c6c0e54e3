// A byte stream in both directions: a TCP or unix socket, TLS on one, or a stream of a mux.
// Reads and writes never block; waiting is a separate step, so that an idle stream holds no buffer.
#pragma once

#include "net/asio.hpp"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace harp::net {

enum class io_status : uint8_t {
  ok,     // `bytes` > 0 were moved
  again,  // nothing now: wait, then try again
  eof,    // the peer ended its direction (reads only)
  failed, // the stream is unusable
};

struct io_result {
  io_status status = io_status::failed;
  size_t bytes = 0;
};

/// One byte stream. Used from the thread of the loop it was made for; at most one waiter per direction at a time.
/// Destroying a stream closes it.
class stream {
public:
  stream() = default;
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  virtual ~stream() = default;

  /// Reads what is there, at most `into.size()` bytes (> 0).
  virtual io_result try_read(std::span<char> into) = 0;
  /// Writes as much of `head` and then `body` as can be taken now; `bytes` counts both together.
  virtual io_result try_write(std::string_view head, std::string_view body) = 0;
  io_result try_write(std::string_view bytes) { return try_write(bytes, {}); }

  /// Suspends until try_read() would give something other than `again`. False when cancel() or close() ended the wait.
  virtual asio::awaitable<bool> wait_readable() = 0;
  /// Suspends until try_write() would give something other than `again`. False when cancel() or close() ended the wait.
  virtual asio::awaitable<bool> wait_writable() = 0;

  /// Ends our direction after what was written (TCP FIN, TLS close_notify and FIN, mux FIN).
  virtual void shutdown_write() = 0;
  /// True when the peer can go on sending after our shutdown_write(); false for an frp work stream (frp.md 4.5).
  [[nodiscard]] virtual bool half_closes() const { return true; }
  /// Wakes both waiters with false. Safe when nobody waits.
  virtual void cancel() = 0;
  /// Frees the stream at once, unsent bytes included; `reset` makes the peer see it as an abort (TCP RST, mux RST).
  virtual void close(bool reset = false) = 0;
  /// True when the peer is known to be gone in both directions. A cheap probe, used while waiting for somebody else.
  [[nodiscard]] virtual bool peer_gone() { return false; }
  /// True when the peer is known to have ended its direction, be it read up to there or not. A cheap probe as well.
  [[nodiscard]] virtual bool peer_finished() { return peer_gone(); }
  /// True when the stream is open and the peer has neither sent anything unread nor ended: what an idle kept connection must
  /// be. Always asks anew; takes no byte unless the answer is false.
  [[nodiscard]] virtual bool is_silent() {
    char unexpected = 0;
    return try_read({&unexpected, 1}).status == io_status::again;
  }
  /// Why the stream failed, in words for a log line. Empty while it has not.
  [[nodiscard]] virtual std::string failure() const { return {}; }
};

using stream_ptr = std::unique_ptr<stream>;

/// Writes all of `head` and `body`, waiting as needed. False when the stream failed or the wait was cancelled.
asio::awaitable<bool> write_all(stream& to, std::string_view head, std::string_view body = {});

/// Waits for and reads some bytes. `status` is never `again`; a cancelled wait reads as `failed`.
asio::awaitable<io_result> read_some(stream& from, std::span<char> into);

} // namespace harp::net
