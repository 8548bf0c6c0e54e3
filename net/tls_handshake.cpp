// Handshakes: who must prove what, within which time, and what went wrong in words.
#include "net/node_identity.hpp"
#include "net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <cstring>

namespace harp::net {

std::string tls_words(const SSL* ssl) {
  unsigned long code = ERR_peek_error();
  switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
  case SSL_R_CERTIFICATE_VERIFY_FAILED:
    return std::string{"the peer's certificate is refused: "}
           + X509_verify_cert_error_string(SSL_get_verify_result(ssl));
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return "the peer sent no certificate";
  case SSL_R_UNEXPECTED_EOF_WHILE_READING:
    return "truncated: the connection ended without close_notify";
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_HTTP_REQUEST:
  case SSL_R_HTTPS_PROXY_REQUEST:
    return "the peer does not speak TLS";
  default:
    break;
  }
  const char* text = ERR_reason_error_string(code);
  std::string_view words = text != nullptr ? text : "";
  size_t alert = words.find(" alert ");
  if (alert != std::string_view::npos)
    return "the peer refused: " + std::string{words.substr(alert + std::strlen(" alert "))};
  return std::string{words};
}

/// Nothing of the certificate counts but the key: who may come is the judge's decision, how long
/// is the roster's. The alerts differ so that the other side can say which it was.
int tls_core::verify_key(X509_STORE_CTX* presented, void*) {
  auto* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(presented, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* core = static_cast<tls_core*>(SSL_get_ex_data(ssl, 0));
  auto* sent = X509_STORE_CTX_get0_untrusted(presented);
  X509_STORE_CTX_set_error(presented, X509_V_ERR_CERT_REJECTED);
  if (core == nullptr || !core->judge_ || sk_X509_num(sent) != 1)
    return 0;
  auto key = key_of_certificate(X509_STORE_CTX_get0_cert(presented));
  if (!key)
    return 0;
  core->peer_key_ = std::string{key->view()};
  X509_STORE_CTX_set_error(presented, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
  if (!core->judge_(core->peer_key_, core->alpn()))
    return 0;
  X509_STORE_CTX_set_error(presented, X509_V_OK);
  return 1;
}

std::string tls_core::alpn() const {
  const unsigned char* chosen = nullptr;
  unsigned length = 0;
  if (ssl_)
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
  return {reinterpret_cast<const char*>(chosen), length};
}

/// Sets role, name and checks; empty, or what is wrong.
std::string tls_core::prepare(bool server, const std::string& name) {
  if (!ssl_)
    return "out of memory";
  if (server) {
    SSL_set_accept_state(ssl_.get());
    return {};
  }
  SSL_set_connect_state(ssl_.get());
  if (context_->by_key())
    return {};
  std::string bare = name;
  if (bare.starts_with('[') && bare.ends_with(']'))
    bare = bare.substr(1, bare.size() - 2);
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
                                             | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (bare.empty())
    return context_->settings().verify_peer ? "no name to check the peer's certificate against"
                                            : "";
  if (X509_VERIFY_PARAM_set1_ip_asc(param, bare.c_str()) == 1)
    return {};
  ERR_clear_error();
  // What SSL_set_tlsext_host_name() does, without its cast. RFC 6066 3: no address here.
  bool set = SSL_set1_host(ssl_.get(), bare.c_str()) == 1
             && SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                         bare.data())
                    == 1;
  return set ? "" : "bad server name";
}

std::string tls_core::handshake_failure() const {
  if (carrier_ended_)
    return "the peer closed the connection during the TLS handshake";
  std::string words = tls_words(ssl_.get());
  if (words.empty())
    words = inner_->failure();
  return "TLS handshake failed: " + (words.empty() ? "the connection was lost" : words);
}

asio::awaitable<std::string> tls_core::handshake(std::shared_ptr<tls_core> self, bool server,
                                                 std::string name, milliseconds limit) {
  std::string wrong = self->prepare(server, name);
  if (!wrong.empty())
    co_return wrong;
  deadline timer{self->loop_, [core = self.get()] {
                   core->timed_out_ = true;
                   core->cancel();
                 }};
  timer.in(limit);
  for (;;) {
    ERR_clear_error();
    int done = SSL_do_handshake(self->ssl_.get());
    int error = SSL_get_error(self->ssl_.get(), done);
    if (done != 1 && error != SSL_ERROR_WANT_READ)
      wrong = self->handshake_failure();
    self->push();
    if (done == 1 || !wrong.empty())
      break;
    bool readable = !self->timed_out_ && co_await self->inner_->wait_readable();
    if (self->timed_out_)
      co_return "no TLS handshake within " + std::to_string(limit.count()) + " ms";
    if (!readable)
      co_return "cancelled during the TLS handshake";
  }
  const std::string& wanted = self->context_->settings().alpn;
  if (wrong.empty() && !wanted.empty() && self->alpn() != wanted)
    wrong = "the peer does not speak " + wanted;
  if (wrong.empty() && self->context_->by_key() && self->alpn().empty())
    wrong = "the peer does not speak this protocol";
  co_return wrong;
}

} // namespace harp::net
