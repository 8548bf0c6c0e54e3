// A conversation of frp messages over a stream: framing v1, in clear at first, enciphered from an
// agreed point on.
#pragma once

#include "net/frp_codec.hpp"
#include "net/frp_crypto.hpp"
#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <memory>
#include <optional>
#include <string>

namespace harp::net::frp {

inline constexpr size_t channel_unsent_bytes_max
    = 64 * 1024; // queue towards the peer; above it the channel fails

/// One message, or why none will come any more.
struct received {
  message value;
  std::string end; // non-empty: eof, broken, or what was wrong with the peer's bytes
};

/// Reads exactly what belongs to a message and never more, so that the stream can be taken back for
/// raw data. Lives on one loop; one receiver at a time. Keep it alive by shared_ptr while it
/// writes.
class channel : public std::enable_shared_from_this<channel> {
public:
  channel(loop& on, stream_ptr carrier) : loop_(on), carrier_(std::move(carrier)) {}

  asio::awaitable<received> receive();
  /// Queues a message; it leaves now or as soon as the stream takes it. False: too much is queued,
  /// or the stream failed.
  bool send(const message& what);
  /// Everything after this, both ways, is AES-CFB (frp.md 3).
  void encipher(const cipher_key& key);
  /// Ends our direction behind everything queued: the peer reads EOF after it.
  void finish();
  /// Wakes the receiver and fails the channel. Safe at any time.
  void close(bool reset = false);
  /// Gives the stream back. Only between messages, in clear, with nothing queued.
  stream_ptr release() { return std::move(carrier_); }

private:
  asio::awaitable<bool> read_exactly(std::span<char> into, std::string& end);
  asio::awaitable<void> drain();
  bool push();

  loop& loop_;
  stream_ptr carrier_;
  std::optional<cfb_reader> reader_;
  std::optional<cfb_writer> writer_;
  std::string unsent_;
  bool draining_ = false;
  bool finishing_ = false;
  bool failed_ = false;
};

} // namespace harp::net::frp
