// What a node shows of itself: an Ed25519 key and the self-signed certificate that follows from it.
#pragma once

#include "net/x509.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

namespace harp::net {

inline constexpr size_t key_seed_bytes = 32;

/// One key in memory. Immutable; share it. The certificate is a function of the seed alone (fixed
/// serial, name and dates, no end), so nothing needs to be kept or renewed: rosters decide who is
/// in, not dates.
class node_identity {
public:
  /// From the 32-byte seed of an Ed25519 key (RFC 8032; the first half of libsodium's secret key).
  /// Null only when OpenSSL fails. The seed is not kept outside OpenSSL's key.
  static std::shared_ptr<const node_identity>
  from_seed(std::span<const uint8_t, key_seed_bytes> seed);
  [[nodiscard]] const device_key& key() const { return public_; }
  [[nodiscard]] EVP_PKEY* private_key() const { return private_.get(); }
  [[nodiscard]] X509* certificate() const { return certificate_.get(); }

private:
  node_identity() = default;
  key_ptr private_;
  x509_ptr certificate_;
  device_key public_;
};

using node_identity_ptr = std::shared_ptr<const node_identity>;

/// The key of a certificate as a node shows one: Ed25519 and signed by itself; nothing otherwise.
/// Names, dates and extensions mean nothing here.
std::optional<device_key> key_of_certificate(X509* certificate);

/// First 16 hex digits in groups of four: what people compare. `3f2a-91bc-0d44-e7a1`
std::string fingerprint_text(const device_key& key);

} // namespace harp::net
