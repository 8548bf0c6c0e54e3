// Many streams over one: the protocol of hashicorp/yamux as frp speaks it (frp.md 1.1). Both sides
// may open streams.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>

namespace harp::net {

enum class mux_role : uint8_t { client, server }; // client opens odd stream ids

struct mux_limits {
  size_t streams_max = 4096; // open at a time, both directions together; surplus SYN: RST
  size_t unread_bytes_max
      = 16u << 20; // received and not yet read, per session: above it windows shrink instead of
                   // growing; at mux_overrun_factor times it streams are reset
  size_t window_bytes_max
      = 4u << 20; // per stream, reached only by streams that are read as fast as they fill
  size_t unsent_bytes_max = 1u << 20; // queue towards the carrier; above it try_write() says
                                      // `again`, to bulk writes above a quarter of it
  size_t control_frames_max
      = 256; // queued answers to pings and refused streams; above it the session ends
  size_t unacked_opens_max
      = 256; // streams opened by us that the peer has not acknowledged (stock backlog)
  unsigned pings_per_second_max = 10;
  unsigned opens_per_second_max = 2000;   // SYN churn; above it RST
  std::chrono::seconds ping_interval{30}; // zero: none of our own
  std::chrono::seconds ping_timeout{
      10}; // without an answer and without any other byte from the peer
  std::chrono::seconds write_stall_max{30};
  std::chrono::seconds close_timeout{
      300}; // our FIN unanswered, nothing received: RST; not for a stream in use that half-closes
};

inline constexpr size_t mux_overrun_factor = 8;

/// One mux session. Made and run on the thread of `on`; streams may be used from any one thread at
/// a time each. Thread-safe: open(), ping(), close(), all of the streams. A session lives until
/// run() returned and its last stream is gone; who never calls run() calls close(). Streams may
/// outlive the session: what was received can still be read, all else fails.
class mux_session : public std::enable_shared_from_this<mux_session> {
public:
  /// Called on the session's loop for each stream the peer opened. Its ACK is sent at once, before
  /// the call.
  using stream_handler = std::function<void(stream_ptr)>;

  /// Without `incoming` the peer's streams are refused (RST). `streams_half_close` is what
  /// half_closes() of every stream says.
  static std::shared_ptr<mux_session> make(loop& on, stream_ptr carrier, mux_role role,
                                           mux_limits limits, stream_handler incoming,
                                           bool streams_half_close = true);
  virtual ~mux_session() = default;

  /// Reads and writes frames until the carrier or the session ends; returns the reason in words.
  virtual asio::awaitable<std::string> run() = 0;
  /// Opens a stream; nullptr when the session has ended, the peer takes no more, or streams_max or
  /// unacked_opens_max is reached. Usable at once: no round trip.
  virtual stream_ptr open() = 0;
  /// Round trip to the peer; false when no answer came within `limit` or the session ended. Resumes
  /// on the caller's executor.
  virtual asio::awaitable<bool> ping(std::chrono::milliseconds limit) = 0;
  /// Ends the session and every stream on it now. `reason` is what run() returns.
  virtual void close(std::string reason) = 0;
  /// Until called (false at first), streams of the peer keep the protocol's 256 KiB window, at most
  /// two may be open, and each may send `preamble_bytes_max` before somebody reads more (frp.md 6:
  /// before login).
  virtual void set_trusted() = 0;
  [[nodiscard]] virtual size_t stream_count() const = 0;
  /// Bytes received and not yet read by their streams' users, all streams together.
  [[nodiscard]] virtual size_t unread_bytes() const = 0;
};

inline constexpr size_t preamble_bytes_max = 9 + 10'240; // one frp message

} // namespace harp::net
