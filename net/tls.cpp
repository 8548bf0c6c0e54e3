// TLS contexts from settings, and the stream that tls_accept() and tls_connect() hand out.
#include "net/tls.hpp"

#include "net/node_identity.hpp"
#include "net/tls_stream.hpp"

#include <openssl/err.h>

#include <cerrno>
#include <cstring>
#include <unistd.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace harp::net {

namespace {

constexpr size_t read_ahead_bytes = 64 * 1024; // one recv() brings up to four records
constexpr size_t alpn_bytes_max = 255;
constexpr long peer_certificate_bytes_max = 4096; // an Ed25519 one has about 300

/// AES-GCM is the fastest cipher where the processor has AES, ChaCha20 elsewhere.
bool has_aes_instructions() {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return false;
#endif
}

void set_ciphers(SSL_CTX* context) {
  bool aes = has_aes_instructions();
  SSL_CTX_set_ciphersuites(
      context, aes ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
                   : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_cipher_list(context, aes ? "ECDHE+AES128GCM:ECDHE+CHACHA20:ECDHE+AESGCM"
                                       : "ECDHE+CHACHA20:ECDHE+AESGCM");
}

/// Why a file cannot be used: unreadable, or readable but without what is wanted.
std::string file_words(const std::string& file, const char* wanted) {
  if (::access(file.c_str(), R_OK) != 0)
    return file + ": " + std::strerror(errno);
  return file + ": holds no usable " + wanted;
}

std::string load_certificate(SSL_CTX* context, const tls_settings& settings) {
  const std::string& certificate = settings.certificate_file;
  const std::string& key = settings.key_file.empty() ? certificate : settings.key_file;
  // Never ask on a terminal for the passphrase of a key.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return file_words(certificate, "certificate");
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH)
      return key + ": this key does not belong to the certificate in " + certificate;
    return file_words(key, "private key without passphrase");
  }
  if (SSL_CTX_check_private_key(context) != 1)
    return key + ": this key does not belong to the certificate in " + certificate;
  return {};
}

std::string load_anchor(SSL_CTX* context, const tls_settings& settings, bool server) {
  const std::string& anchor = settings.ca_file;
  if (anchor.empty()) {
    if (server && settings.require_peer_certificate)
      return "client certificates are demanded, but no CA file is given";
    if (!server && settings.verify_peer && SSL_CTX_set_default_verify_paths(context) != 1)
      return "the system's CA certificates cannot be loaded";
    return {};
  }
  if (SSL_CTX_load_verify_file(context, anchor.c_str()) != 1)
    return file_words(anchor, "CA certificate");
  if (server)
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(anchor.c_str()));
  return {};
}

/// Takes the one protocol of the settings, or refuses (RFC 7301 3.2).
int select_alpn(SSL*, const unsigned char** chosen, unsigned char* length,
                const unsigned char* offered, unsigned offered_bytes, void* wanted) {
  const auto& name = *static_cast<const std::string*>(wanted);
  for (unsigned at = 0; at < offered_bytes; at += 1u + offered[at]) {
    std::string_view one{reinterpret_cast<const char*>(offered) + at + 1, offered[at]};
    if (one != name)
      continue;
    *chosen = offered + at + 1;
    *length = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// Takes the first row that is offered and shows its key.
int select_row(SSL* ssl, const unsigned char** chosen, unsigned char* length,
               const unsigned char* offered, unsigned offered_bytes, void* rows) {
  for (const auto& row : *static_cast<const std::vector<tls_key_row>*>(rows)) {
    std::string name = row.alpn; // select_alpn() wants it as void*
    if (select_alpn(ssl, chosen, length, offered, offered_bytes, &name) != SSL_TLSEXT_ERR_OK)
      continue;
    bool shown = SSL_use_certificate(ssl, row.identity->certificate()) == 1
                 && SSL_use_PrivateKey(ssl, row.identity->private_key()) == 1;
    return shown ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// All names in the form of SSL_CTX_set_alpn_protos(); empty when one is too long or empty.
std::string alpn_list(const std::vector<tls_key_row>& rows) {
  std::string out;
  for (const auto& row : rows) {
    if (row.alpn.empty() || row.alpn.size() > alpn_bytes_max || !row.identity)
      return {};
    out += static_cast<char>(row.alpn.size());
    out += row.alpn;
  }
  return out;
}

void set_common(SSL_CTX* context, const tls_settings& settings, bool server) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  if (server)
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, read_ahead_bytes);
  // What the CA file names is trusted, be it a root or not, as Go's clients see it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  int verify = SSL_VERIFY_NONE;
  if (server && settings.require_peer_certificate)
    verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  else if (!server && settings.verify_peer)
    verify = SSL_VERIFY_PEER;
  SSL_CTX_set_verify(context, verify, nullptr);
  set_ciphers(context);
}

/// A stream over a tls_core that finished its handshake.
class tls_stream final : public stream {
public:
  explicit tls_stream(std::shared_ptr<tls_core> core) : core_(std::move(core)) {}
  ~tls_stream() override { core_->close(false); }

  using stream::try_write;
  io_result try_read(std::span<char> into) override { return core_->read(into); }
  io_result try_write(std::string_view head, std::string_view body) override {
    return core_->write(head, body);
  }
  asio::awaitable<bool> wait_readable() override { return tls_core::readable(core_); }
  asio::awaitable<bool> wait_writable() override { return tls_core::writable(core_); }
  void shutdown_write() override { core_->shutdown_write(); }
  [[nodiscard]] bool half_closes() const override { return core_->half_closes(); }
  void cancel() override { core_->cancel(); }
  void close(bool reset) override { core_->close(reset); }
  [[nodiscard]] bool peer_gone() override { return core_->peer_gone(); }
  [[nodiscard]] bool peer_finished() override { return core_->peer_finished(); }
  [[nodiscard]] bool is_silent() override { return core_->is_silent(); }
  [[nodiscard]] std::string failure() const override { return core_->failure(); }

private:
  std::shared_ptr<tls_core> core_;
};

asio::awaitable<tls_result> secure(loop& on, stream_ptr inner, std::shared_ptr<tls_context> context,
                                   bool server, std::string name, tls_key_judge judge,
                                   milliseconds limit) {
  tls_result out;
  if (!inner || !context) {
    out.error = "no connection or no TLS settings";
    co_return out;
  }
  auto core = std::make_shared<tls_core>(on, std::move(inner), std::move(context));
  core->judge_by(std::move(judge));
  auto stream = std::make_unique<tls_stream>(core); // closes the core when the handshake fails
  out.error = co_await tls_core::handshake(core, server, std::move(name), limit);
  out.peer_key = core->peer_key();
  out.alpn = core->alpn();
  if (out.error.empty())
    out.stream = std::move(stream);
  co_return out;
}

} // namespace

tls_context::made tls_context::make(const tls_settings& settings, bool server) {
  ERR_clear_error();
  SSL_CTX* native = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  if (native == nullptr)
    return "OpenSSL cannot make a context";
  std::shared_ptr<tls_context> out{new tls_context{native, settings}};
  set_common(native, settings, server);
  std::string wrong;
  if (settings.alpn.size() > alpn_bytes_max)
    wrong = "the ALPN name is too long";
  else if (server && settings.certificate_file.empty())
    wrong = "a TLS server needs a certificate file";
  if (wrong.empty() && !settings.certificate_file.empty())
    wrong = load_certificate(native, settings);
  if (wrong.empty())
    wrong = load_anchor(native, settings, server);
  ERR_clear_error();
  if (!wrong.empty())
    return wrong;
  if (!settings.alpn.empty()) {
    std::string offered = static_cast<char>(settings.alpn.size()) + settings.alpn;
    SSL_CTX_set_alpn_protos(native, reinterpret_cast<const unsigned char*>(offered.data()),
                            static_cast<unsigned>(offered.size()));
    SSL_CTX_set_alpn_select_cb(native, select_alpn, &out->settings_.alpn);
  }
  return out;
}

tls_context::made tls_context::make(std::vector<tls_key_row> rows, bool server) {
  ERR_clear_error();
  std::string names = alpn_list(rows);
  if (names.empty())
    return "TLS by keys needs keys with protocol names of 1 to 255 bytes";
  SSL_CTX* native = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  if (native == nullptr)
    return "OpenSSL cannot make a context";
  tls_settings settings;
  settings.verify_peer = false; // by name, that is
  std::shared_ptr<tls_context> out{new tls_context{native, settings}};
  set_common(native, settings, server);
  out->rows_ = std::move(rows);
  const node_identity& first = *out->rows_.front().identity;
  bool set = SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION) == 1
             && SSL_CTX_set1_sigalgs_list(native, "ed25519") == 1
             && SSL_CTX_set1_client_sigalgs_list(native, "ed25519") == 1
             && SSL_CTX_use_certificate(native, first.certificate()) == 1
             && SSL_CTX_use_PrivateKey(native, first.private_key()) == 1;
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(native, tls_core::verify_key, nullptr);
  SSL_CTX_set_max_cert_list(native, peer_certificate_bytes_max);
  if (server)
    SSL_CTX_set_alpn_select_cb(native, select_row, &out->rows_);
  else
    set = set
          && SSL_CTX_set_alpn_protos(native, reinterpret_cast<const unsigned char*>(names.data()),
                                     static_cast<unsigned>(names.size()))
                 == 0;
  ERR_clear_error();
  if (!set)
    return "OpenSSL refuses Ed25519 keys for TLS 1.3";
  return out;
}

tls_context::made tls_context::server(std::vector<tls_key_row> rows) {
  return make(std::move(rows), true);
}

tls_context::made tls_context::client(std::vector<tls_key_row> rows) {
  return make(std::move(rows), false);
}

tls_context::made tls_context::server(const tls_settings& settings) {
  return make(settings, true);
}

tls_context::made tls_context::client(const tls_settings& settings) {
  return make(settings, false);
}

tls_context::~tls_context() {
  SSL_CTX_free(context_);
}

asio::awaitable<tls_result> tls_accept(loop& on, stream_ptr inner,
                                       std::shared_ptr<tls_context> context, milliseconds limit) {
  return secure(on, std::move(inner), std::move(context), true, {}, {}, limit);
}

asio::awaitable<tls_result> tls_accept(loop& on, stream_ptr inner,
                                       std::shared_ptr<tls_context> context, tls_key_judge judge,
                                       milliseconds limit) {
  return secure(on, std::move(inner), std::move(context), true, {}, std::move(judge), limit);
}

asio::awaitable<tls_result> tls_connect(loop& on, stream_ptr inner,
                                        std::shared_ptr<tls_context> context, tls_key_judge judge,
                                        milliseconds limit) {
  return secure(on, std::move(inner), std::move(context), false, {}, std::move(judge), limit);
}

asio::awaitable<tls_result> tls_connect(loop& on, stream_ptr inner,
                                        std::shared_ptr<tls_context> context, std::string name,
                                        milliseconds limit) {
  return secure(on, std::move(inner), std::move(context), false, std::move(name), {}, limit);
}

} // namespace harp::net
