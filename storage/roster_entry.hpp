// Entries of a roster as values and as signed bytes (storage.md 5.3). No I/O, no clock.
#pragma once

#include "storage/signing.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace harp {

inline constexpr size_t roster_entry_bytes_max = 4096;
inline constexpr size_t user_bytes_max = 255;
inline constexpr size_t device_name_bytes_max = 64;
inline constexpr size_t setting_key_bytes_max = 64;
inline constexpr size_t setting_value_bytes_max = 1024;

/// A device gets a rid in this space. A device that had one before gets a new one; the old one must be revoked first.
struct roster_add_device {
  replica_id rid = 0;
  device_key device;
  member_role role = member_role::none;
  std::string user;       // of Nextcloud or of the founding node
  std::string name;       // of the device, for people
  uint64_t not_after = 0; // Unix ms, bundles stamped later are invalid; 0: no end
  bool pairing = false;   // may Adopt until roster_end_pairing
};
/// The device's name for people.
struct roster_rename {
  replica_id rid = 0;
  std::string name;
};
/// A role from a bundle number on. A role that may not write cuts the rid at from_seq - 1, for good: to let that device
/// write again, revoke the rid and add the device anew.
struct roster_set_role {
  replica_id rid = 0;
  member_role role = member_role::none;
  uint64_t from_seq = 1;
};
/// The one keeper whose Checkpoint operations count.
struct roster_set_checkpointer {
  replica_id rid = 0;
};
/// The device is out; bundles above cut_seq are void.
struct roster_revoke {
  replica_id rid = 0;
  uint64_t cut_seq = 0;
};
/// A Harp token of a DAV user.
struct roster_add_token {
  std::string user;
  digest256 token; // BLAKE2b of it
  member_role role = member_role::none;
  uint64_t not_after = 0; // Unix ms; 0: no end
};
struct roster_revoke_token {
  digest256 token;
};
/// From the next entry on another key governs. `proof`: the new key's own signature, see rotation_proof.
struct roster_rotate_key {
  device_key key;
  signature proof;
};
/// The governor vouches that `version` was its newest until then. Not a link of the chain: only the latest is kept.
struct roster_lease {
  uint64_t until = 0; // Unix ms
};
/// The tree this device had before is paired: no Adopt from this bundle on.
struct roster_end_pairing {
  replica_id rid = 0;
  uint64_t from_seq = 1;
};
/// A setting of the space by name, such as roster_setting_name. An empty value unsets it.
struct roster_set_setting {
  std::string key;
  std::string value;
};

/// The display name of the space, by which `space add NAME` finds it.
inline constexpr std::string_view roster_setting_name = "name";

using roster_change
    = std::variant<roster_add_device, roster_rename, roster_set_role, roster_set_checkpointer,
                   roster_revoke, roster_add_token, roster_revoke_token, roster_rotate_key,
                   roster_lease, roster_end_pairing, roster_set_setting>;

/// One entry. Version 1 has a zero `previous`; a lease carries the version it vouches for and that entry's hash.
struct roster_entry {
  space_id space;
  uint64_t version = 0;
  digest256 previous; // hash of the entry before
  uint64_t at = 0;    // Unix ms, for people
  roster_change change;
};

/// An entry with the bytes the governor signed.
struct sealed_entry {
  roster_entry entry;
  std::string raw; // signature included
  digest256 hash;
  signature sig;
};

/// Encodes and signs. Fails with a text when a field breaks a limit.
std::variant<sealed_entry, std::string> seal_entry(const roster_entry& entry,
                                                   const signing_key& governor);

/// Decodes bytes of anybody, with all limits; does not verify the signature.
std::variant<sealed_entry, std::string> decode_entry(std::string_view raw);

/// What a new governor key signs to show that somebody holds it.
signature rotation_proof(const space_id& space, const signing_key& next);
bool is_rotation_proof(const space_id& space, const roster_rotate_key& rotation);

} // namespace harp
