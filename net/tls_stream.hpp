// The record layer: OpenSSL between plain bytes and an inner stream. Made by tls_accept() and
// tls_connect() only.
#pragma once

#include "net/tls.hpp"
#include "net/waiter.hpp"

#include <openssl/ssl.h>

#include <optional>

namespace harp::net {

/// Ciphertext made by one try_write(); more plain text is not taken while some of it is unsent.
inline constexpr size_t tls_out_bytes_max = 256 * 1024;

/// The oldest error in this thread's OpenSSL queue, in words for a log line; empty when there is
/// none.
std::string tls_words(const SSL* ssl);

/// State of one TLS connection. Shared, because coroutines that wait in it may outlive the stream
/// that was destroyed. Everything runs on the thread of one loop.
class tls_core : public std::enable_shared_from_this<tls_core> {
public:
  tls_core(loop& on, stream_ptr inner, std::shared_ptr<tls_context> context);

  /// Runs the handshake; empty, or what went wrong in words. `name` as in tls_connect(), ignored by
  /// servers.
  static asio::awaitable<std::string> handshake(std::shared_ptr<tls_core> self, bool server,
                                                std::string name, milliseconds limit);
  io_result read(std::span<char> into);
  io_result write(std::string_view head, std::string_view body);
  static asio::awaitable<bool> readable(std::shared_ptr<tls_core> self);
  static asio::awaitable<bool> writable(std::shared_ptr<tls_core> self);
  void shutdown_write();
  void cancel();
  void close(bool reset);
  [[nodiscard]] bool half_closes() const;
  [[nodiscard]] bool peer_gone() { return closed_ || inner_->peer_gone(); }
  [[nodiscard]] bool peer_finished() { return closed_ || inner_->peer_finished(); }
  /// A record that carries nothing for us counts as a sound: rare, and then a kept connection is only given up.
  [[nodiscard]] bool is_silent() {
    return !closed_ && !end_ && !write_failed_ && SSL_has_pending(ssl_.get()) == 0
           && inner_->is_silent();
  }
  [[nodiscard]] std::string failure() const;

  /// See tls_key_judge; before the handshake.
  void judge_by(tls_key_judge judge) { judge_ = std::move(judge); }
  [[nodiscard]] const std::string& peer_key() const { return peer_key_; }
  [[nodiscard]] std::string alpn() const;
  /// OpenSSL's certificate callback of contexts made from keys.
  static int verify_key(X509_STORE_CTX* presented, void*);

  // The BIO below OpenSSL calls these; results are those of BIO_read and BIO_write.
  int take_from_carrier(char* into, int size, bool& again);
  int give_to_carrier(const char* data, int size);
  [[nodiscard]] bool carrier_ended() const { return carrier_ended_; }

private:
  struct ssl_deleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  std::string prepare(bool server, const std::string& name);
  std::string handshake_failure() const;
  io_result pull(std::span<char> into, bool peek);
  io_result fail(std::string why);
  void fail_writing(std::string why);
  bool encrypt(std::string_view plain);
  [[nodiscard]] bool unsent() const { return sent_ < out_.size(); }
  void push();
  void send_out();
  static asio::awaitable<void> drain(std::shared_ptr<tls_core> self);

  loop& loop_;
  stream_ptr inner_;
  std::shared_ptr<tls_context> context_;
  std::unique_ptr<SSL, ssl_deleter> ssl_;
  std::string out_; // ciphertext; empty and without memory while nothing is unsent
  size_t sent_ = 0;
  waiter writer_;
  std::string failure_;
  tls_key_judge judge_;
  std::string peer_key_;
  std::optional<io_status> end_; // eof or failed: what every later read gives
  unsigned cancels_ = 0;
  bool starved_ = false; // the last read took everything: only the carrier has more
  bool carrier_ended_ = false;
  bool draining_ = false;
  bool write_failed_ = false;
  bool shut_ = false;
  bool closed_ = false;
  bool timed_out_ = false;
};

} // namespace harp::net
