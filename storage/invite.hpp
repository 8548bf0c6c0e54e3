// Invites (storage.md 5.3): the token text a person carries, and the governor's record that decides. No I/O, no clock.
#pragma once

#include "storage/types.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint64_t invite_life_ms_max = 24ull * 60 * 60 * 1000;
inline constexpr size_t invite_text_bytes_max = 2048; // fits a QR code
inline constexpr size_t invite_addresses_max = 8;
inline constexpr size_t address_bytes_max = 255;
inline constexpr size_t invite_spaces_max = 64;
inline constexpr uint32_t invite_uses_max = 1000;

using governor_hash = opaque_id<16, struct governor_hash_tag>;
using invite_secret = opaque_id<16, struct invite_secret_tag>;

/// What a joiner compares with the certificate it is shown: BLAKE2b("harp.governor", key), first 16 bytes.
governor_hash governor_hash_of(const device_key& governor);

/// What `H1.` + base64url carries. Only hash, secret and addresses are used by the joiner; the rest is for people.
struct invite_token {
  governor_hash governor;
  invite_secret secret;
  member_role role = member_role::none;
  uint64_t expiry_ms = 0; // Unix
  uint32_t uses = 1;
  std::vector<std::string> addresses; // host:port of the governor's node

  /// A new random secret.
  static invite_secret make_secret();
  [[nodiscard]] std::string to_text() const;
  /// White space around it is forgiven. Fails with a text for the person who pasted it; never repeats the secret.
  static std::variant<invite_token, std::string> parse(std::string_view text);
};

/// The answer to one Enrol.
enum class invite_verdict : uint8_t {
  granted,       // a use was spent
  granted_again, // this device spent it before: the same answer
  expired,
  used_up,
  revoked,
};

/// Which device spent an invite.
struct invite_use {
  device_key device;
  std::string name;
  uint64_t at_ms = 0;
  bool operator==(const invite_use&) const = default;
};

/// The governor's memory of one invite; the secret itself is not kept.
struct invite_record {
  digest256 secret_hash; // the record's key
  member_role role = member_role::none;
  std::vector<space_id> spaces; // beside the cluster space
  std::string user;
  uint64_t made_ms = 0;
  uint64_t expiry_ms = 0;
  uint32_t uses_left = 1;
  bool revoked = false;
  std::vector<invite_use> spent;

  /// Short name for lists and `revoke`: the first 8 hex digits of the hash.
  [[nodiscard]] std::string id() const { return secret_hash.to_string().substr(0, 8); }
  /// May this device enrol? Spends a use the first time. The caller stores the record before it answers.
  invite_verdict spend(const device_key& device, std::string_view name, uint64_t now_ms);
  [[nodiscard]] std::string encode() const;
  static std::optional<invite_record> decode(std::string_view bytes);
  bool operator==(const invite_record&) const = default;
};

/// BLAKE2b("harp.invite", secret): how a record is found by what a joiner sends.
digest256 invite_hash_of(const invite_secret& secret);

} // namespace harp
