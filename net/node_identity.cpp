#include "net/node_identity.hpp"

#include <openssl/err.h>

#include <cstring>

namespace harp::net {

namespace {

constexpr const char* subject_name = "harp-node";
// RFC 5280 4.1.2.5: the dates of a certificate without an end.
constexpr const char* not_before = "20200101000000Z";
constexpr const char* not_after = "99991231235959Z";

/// The certificate of a key. Ed25519 signs without randomness, so equal seeds give equal bytes.
x509_ptr certificate_of(EVP_PKEY* key) {
  x509_ptr out{X509_new()};
  if (!out)
    return nullptr;
  X509_NAME* subject = X509_get_subject_name(out.get());
  const auto* name = reinterpret_cast<const unsigned char*>(subject_name);
  bool made
      = X509_set_version(out.get(), X509_VERSION_3) == 1
        && ASN1_INTEGER_set(X509_get_serialNumber(out.get()), 1) == 1
        && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, name, -1, -1, 0) == 1
        && X509_set_issuer_name(out.get(), subject) == 1
        && ASN1_TIME_set_string_X509(X509_getm_notBefore(out.get()), not_before) == 1
        && ASN1_TIME_set_string_X509(X509_getm_notAfter(out.get()), not_after) == 1
        && X509_set_pubkey(out.get(), key) == 1 && X509_sign(out.get(), key, nullptr) != 0;
  return made ? std::move(out) : nullptr;
}

std::optional<device_key> raw_key(EVP_PKEY* key) {
  device_key out;
  size_t size = out.bytes.size();
  if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519
      || EVP_PKEY_get_raw_public_key(key, out.bytes.data(), &size) != 1 || size != device_key::size)
    return std::nullopt;
  return out;
}

} // namespace

node_identity_ptr node_identity::from_seed(std::span<const uint8_t, key_seed_bytes> seed) {
  std::shared_ptr<node_identity> out{new node_identity};
  out->private_.reset(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  auto key = raw_key(out->private_.get());
  if (key)
    out->certificate_ = certificate_of(out->private_.get());
  ERR_clear_error();
  if (!key || !out->certificate_)
    return nullptr;
  out->public_ = *key;
  return out;
}

std::optional<device_key> key_of_certificate(X509* certificate) {
  EVP_PKEY* key = certificate != nullptr ? X509_get0_pubkey(certificate) : nullptr;
  auto out = raw_key(key);
  if (out && X509_verify(certificate, key) != 1)
    out.reset();
  ERR_clear_error();
  return out;
}

std::string fingerprint_text(const device_key& key) {
  std::string hex = to_hex(key.bytes.data(), 8);
  for (size_t at : {size_t{12}, size_t{8}, size_t{4}})
    hex.insert(at, 1, '-');
  return hex;
}

} // namespace harp::net
