#include "actors/tunnel_credential.hpp"

#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <new>

namespace harp {

namespace {

constexpr std::string_view credential_prefix = "hx1.";
constexpr size_t mac_bytes = 32;
constexpr size_t stretch_memory_bytes = 16 * 1024 * 1024;
constexpr unsigned stretch_passes = 2;
// Fixed: credentials must be the same after every restart, without a table.
constexpr std::string_view stretch_salt = "harp/hx1 tunnels";
static_assert(stretch_salt.size() == crypto_pwhash_SALTBYTES);
static_assert(mac_bytes >= crypto_generichash_BYTES_MIN
              && mac_bytes <= crypto_generichash_BYTES_MAX);

using digest = std::array<unsigned char, mac_bytes>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

digest blake2b(std::string_view text, const unsigned char* key, size_t key_bytes) {
  digest result{};
  crypto_generichash(result.data(), result.size(), bytes_of(text), text.size(), key, key_bytes);
  return result;
}

std::string base64url(const digest& bytes) {
  constexpr int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_ENCODED_LEN(mac_bytes, variant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), variant);
  text.pop_back(); // the terminating zero
  return text;
}

/// The claims of a credential as written, unproven. The id may hold dots, so it is taken apart from
/// the right.
std::optional<tunnel_grant> claims_of(std::string_view credential) {
  if (credential.substr(0, credential_prefix.size()) != credential_prefix)
    return std::nullopt;
  credential.remove_prefix(credential_prefix.size());
  size_t mac_dot = credential.rfind('.');
  if (mac_dot == credential.npos || mac_dot == 0)
    return std::nullopt;
  size_t port_dot = credential.rfind('.', mac_dot - 1);
  if (port_dot == credential.npos)
    return std::nullopt;
  tunnel_grant claims{std::string(credential.substr(0, port_dot)), 0};
  auto digits = credential.substr(port_dot + 1, mac_dot - port_dot - 1);
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), claims.port);
  if (error != std::errc{} || end != digits.data() + digits.size())
    return std::nullopt;
  return claims;
}

} // namespace

tunnel_credentials::tunnel_credentials(std::string_view shared_key) : usable_(!shared_key.empty()) {
  if (!usable_)
    return;
  int rc = crypto_pwhash(key_.data(), key_.size(), shared_key.data(), shared_key.size(),
                         bytes_of(stretch_salt), stretch_passes, stretch_memory_bytes,
                         crypto_pwhash_ALG_ARGON2ID13);
  if (rc != 0)
    throw std::bad_alloc{};
}

tunnel_credentials::~tunnel_credentials() {
  sodium_memzero(key_.data(), key_.size());
}

std::optional<std::string> tunnel_credentials::make(std::string_view app_id, uint16_t port) const {
  if (!usable_ || !is_app_id(app_id) || !is_exapp_port(port))
    return std::nullopt;
  std::string result{credential_prefix};
  result.append(app_id).append(".").append(std::to_string(port));
  std::string mac = base64url(blake2b(result, key_.data(), key_.size()));
  return result.append(".").append(mac);
}

std::optional<tunnel_grant> tunnel_credentials::verify(std::string_view credential) const {
  if (credential.size() > tunnel_credential_bytes_max)
    return std::nullopt;
  auto claims = claims_of(credential);
  if (!claims)
    return std::nullopt;
  auto expected = make(claims->app_id, claims->port);
  if (!expected || !same_secret(credential, *expected))
    return std::nullopt;
  return claims;
}

bool same_secret(std::string_view given, std::string_view expected) {
  if (given.empty() || expected.empty())
    return false;
  // Hashing first makes the lengths equal, so that only the hashing's time tells anything: the
  // length that was given.
  digest a = blake2b(given, nullptr, 0);
  digest b = blake2b(expected, nullptr, 0);
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace harp
