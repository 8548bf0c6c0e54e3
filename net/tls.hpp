// TLS over any stream, by OpenSSL. One record layer for the HTTPS front, frp tunnels, calls to
// Nextcloud and node links.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>
#include <utility>
#include <variant>

struct ssl_ctx_st;

namespace harp::net {

struct tls_settings {
  std::string certificate_file; // PEM chain; may hold the key too
  std::string key_file;         // empty: same file as the certificate
  std::string ca_file; // trust anchor; empty: system store for clients, no client check for servers
  bool require_peer_certificate = false; // servers: demand a certificate issued by ca_file
  bool verify_peer = true;               // clients
  std::string alpn; // empty: none offered, none demanded; else both, 255 bytes at most
  /// A bare end of the carrier (no close_notify) reads as eof instead of failed ("truncated"). Only
  /// where what is inside marks its own ends: frp carriers, whose stock client never sends
  /// close_notify.
  bool tolerate_truncation = false;
};

/// An immutable OpenSSL context; share it. A reload makes a new one. TLS 1.2 and 1.3 only, no
/// session resumption, no renegotiation. Errors are words that name the file; keys are never part
/// of them.
class tls_context {
public:
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;
  /// The context, or what is wrong in words that name the file.
  static std::variant<std::shared_ptr<tls_context>, std::string>
  server(const tls_settings& settings);
  static std::variant<std::shared_ptr<tls_context>, std::string>
  client(const tls_settings& settings);
  ~tls_context();
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }
  [[nodiscard]] const tls_settings& settings() const { return settings_; }

private:
  using made = std::variant<std::shared_ptr<tls_context>, std::string>;
  tls_context(ssl_ctx_st* context, tls_settings settings)
      : context_(context), settings_(std::move(settings)) {}
  static made make(const tls_settings& settings, bool server);

  ssl_ctx_st* context_;
  tls_settings settings_;
};

struct tls_result {
  stream_ptr stream; // null when the handshake failed
  std::string error;
};

/// Server handshake on `inner`, within `limit` (exact to tick_interval). The stream's try_read()
/// gives eof on close_notify and failed on a bare end of the carrier, see tolerate_truncation.
asio::awaitable<tls_result> tls_accept(loop& on, stream_ptr inner,
                                       std::shared_ptr<tls_context> context,
                                       std::chrono::milliseconds limit);
/// Client handshake; `name` is the SNI and the name (or IP) that the peer's certificate must bear
/// (SAN only).
asio::awaitable<tls_result> tls_connect(loop& on, stream_ptr inner,
                                        std::shared_ptr<tls_context> context, std::string name,
                                        std::chrono::milliseconds limit);

} // namespace harp::net
