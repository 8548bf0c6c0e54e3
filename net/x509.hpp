// Keys and certificates in memory and as PEM files: the few OpenSSL calls that certs.cpp needs, as
// values.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

namespace harp::net {

struct openssl_deleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, openssl_deleter>;
using x509_ptr = std::unique_ptr<X509, openssl_deleter>;

/// What a new certificate says. SKID and AKID are always added: HaRP's server leaf bears its
/// issuer's subject, and only they tell the two apart (frp.md 0).
struct certificate_plan {
  std::string common_name;
  std::string dns_name; // subject alternative name; empty: none
  bool authority = false;
  unsigned days = 0;
  std::string serial_hex; // 40 hex digits
};

/// A new RSA 2048 key; null when OpenSSL fails.
key_ptr make_rsa_key();
/// 159 random bits as 40 hex digits, never zero.
std::string random_serial_hex();
/// A certificate for `key`, signed with SHA-256 by `issuer_key` (of `issuer`, null = self-signed).
/// Null on failure.
x509_ptr make_certificate(EVP_PKEY* key, const certificate_plan& plan, X509* issuer,
                          EVP_PKEY* issuer_key);

/// Null when the file has none; keys with a passphrase are not read.
x509_ptr load_certificate_pem(const std::string& file);
key_ptr load_key_pem(const std::string& file);
std::string to_pem(X509* certificate);
std::string to_pem(EVP_PKEY* key);

/// `CN=harp.nc`; escapes what is not printable.
std::string name_text(const X509_NAME* name);
/// Subject alternative names as "DNS:x" and "IP:x".
std::vector<std::string> alternative_names(const X509* certificate);

} // namespace harp::net
