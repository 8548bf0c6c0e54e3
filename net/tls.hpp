// TLS over any stream, by OpenSSL. One record layer for the HTTPS front, frp tunnels, calls to
// Nextcloud and node links.
#pragma once

#include "net/runtime.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

struct ssl_ctx_st;

namespace harp::net {

class node_identity;

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

/// A key that is shown under a protocol name.
struct tls_key_row {
  std::string alpn; // 255 bytes at most
  std::shared_ptr<const node_identity> identity;
};

/// Judges a peer by its raw Ed25519 public key (32 bytes) inside the handshake, `alpn` being the
/// chosen protocol. False ends it with an alert before anything behind it is read; a client has not
/// shown its own certificate by then.
using tls_key_judge = std::function<bool(std::string_view key, std::string_view alpn)>;

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
  /// For node links (storage.md 10): TLS 1.3 only, both sides show one self-signed Ed25519
  /// certificate, nothing is checked but that, and the tls_key_judge decides. A server takes the
  /// first row whose protocol the client offers and shows its key; a client offers all rows'
  /// protocols and shows the first one's key. Words without file names.
  static std::variant<std::shared_ptr<tls_context>, std::string>
  server(std::vector<tls_key_row> rows);
  static std::variant<std::shared_ptr<tls_context>, std::string>
  client(std::vector<tls_key_row> rows);
  ~tls_context();
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }
  [[nodiscard]] const tls_settings& settings() const { return settings_; }
  /// True when a tls_key_judge is needed.
  [[nodiscard]] bool by_key() const { return !rows_.empty(); }

private:
  using made = std::variant<std::shared_ptr<tls_context>, std::string>;
  tls_context(ssl_ctx_st* context, tls_settings settings)
      : context_(context), settings_(std::move(settings)) {}
  static made make(const tls_settings& settings, bool server);
  static made make(std::vector<tls_key_row> rows, bool server);

  ssl_ctx_st* context_;
  tls_settings settings_;
  std::vector<tls_key_row> rows_;
};

struct tls_result {
  stream_ptr stream; // null when the handshake failed
  std::string error;
  std::string alpn;     // the protocol chosen; empty without ALPN
  std::string peer_key; // 32 bytes, with a tls_key_judge only; also of a refused peer
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
/// Handshakes with contexts made from tls_key_rows.
asio::awaitable<tls_result> tls_accept(loop& on, stream_ptr inner,
                                       std::shared_ptr<tls_context> context, tls_key_judge judge,
                                       std::chrono::milliseconds limit);
asio::awaitable<tls_result> tls_connect(loop& on, stream_ptr inner,
                                        std::shared_ptr<tls_context> context, tls_key_judge judge,
                                        std::chrono::milliseconds limit);

} // namespace harp::net
