// Bytes of roster entries. Kind numbers are wire format: append only.
#include "storage/roster_entry.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

namespace harp {

namespace {

constexpr uint8_t entry_format = 1;

enum class entry_kind : uint8_t {
  add_device = 1,
  rename = 2,
  set_role = 3,
  set_checkpointer = 4,
  revoke = 5,
  add_token = 6,
  revoke_token = 7,
  rotate_key = 8,
  lease = 9,
  end_pairing = 10,
  set_setting = 11,
};

void kind(byte_writer& out, entry_kind value) {
  out.u8(static_cast<uint8_t>(value));
}

void put(byte_writer& out, const roster_add_device& c) {
  kind(out, entry_kind::add_device);
  out.u32(c.rid);
  out.id(c.device);
  out.u8(static_cast<uint8_t>(c.role));
  out.blob(c.user);
  out.blob(c.name);
  out.u64(c.not_after);
  out.flag(c.pairing);
}

void put(byte_writer& out, const roster_rename& c) {
  kind(out, entry_kind::rename);
  out.u32(c.rid);
  out.blob(c.name);
}

void put(byte_writer& out, const roster_set_role& c) {
  kind(out, entry_kind::set_role);
  out.u32(c.rid);
  out.u8(static_cast<uint8_t>(c.role));
  out.u64(c.from_seq);
}

void put(byte_writer& out, const roster_set_checkpointer& c) {
  kind(out, entry_kind::set_checkpointer);
  out.u32(c.rid);
}

void put(byte_writer& out, const roster_revoke& c) {
  kind(out, entry_kind::revoke);
  out.u32(c.rid);
  out.u64(c.cut_seq);
}

void put(byte_writer& out, const roster_add_token& c) {
  kind(out, entry_kind::add_token);
  out.blob(c.user);
  out.id(c.token);
  out.u8(static_cast<uint8_t>(c.role));
  out.u64(c.not_after);
}

void put(byte_writer& out, const roster_revoke_token& c) {
  kind(out, entry_kind::revoke_token);
  out.id(c.token);
}

void put(byte_writer& out, const roster_rotate_key& c) {
  kind(out, entry_kind::rotate_key);
  out.id(c.key);
  out.id(c.proof);
}

void put(byte_writer& out, const roster_lease& c) {
  kind(out, entry_kind::lease);
  out.u64(c.until);
}

void put(byte_writer& out, const roster_end_pairing& c) {
  kind(out, entry_kind::end_pairing);
  out.u32(c.rid);
  out.u64(c.from_seq);
}

void put(byte_writer& out, const roster_set_setting& c) {
  kind(out, entry_kind::set_setting);
  out.blob(c.key);
  out.blob(c.value);
}

/// A role an entry may give: never none, which is what Revoke is for.
member_role take_role(byte_reader& in) {
  uint8_t value = in.u8();
  if (value < static_cast<uint8_t>(member_role::reader)
      || value > static_cast<uint8_t>(member_role::admin))
    in.fail();
  return in.ok() ? static_cast<member_role>(value) : member_role::none;
}

replica_id take_rid(byte_reader& in) {
  auto rid = in.u32();
  if (rid == 0)
    in.fail();
  return rid;
}

roster_add_device take_add_device(byte_reader& in) {
  roster_add_device c;
  c.rid = take_rid(in);
  c.device = in.id<device_key>();
  c.role = take_role(in);
  c.user = in.blob(user_bytes_max);
  c.name = in.blob(device_name_bytes_max);
  c.not_after = in.u64();
  c.pairing = in.flag();
  return c;
}

roster_rename take_rename(byte_reader& in) {
  roster_rename c;
  c.rid = take_rid(in);
  c.name = in.blob(device_name_bytes_max);
  return c;
}

roster_set_role take_set_role(byte_reader& in) {
  roster_set_role c;
  c.rid = take_rid(in);
  c.role = take_role(in);
  c.from_seq = in.u64();
  if (c.from_seq == 0)
    in.fail();
  return c;
}

roster_add_token take_add_token(byte_reader& in) {
  roster_add_token c;
  c.user = in.blob(user_bytes_max);
  c.token = in.id<digest256>();
  c.role = take_role(in);
  c.not_after = in.u64();
  return c;
}

roster_end_pairing take_end_pairing(byte_reader& in) {
  roster_end_pairing c;
  c.rid = take_rid(in);
  c.from_seq = in.u64();
  if (c.from_seq == 0)
    in.fail();
  return c;
}

roster_set_setting take_set_setting(byte_reader& in) {
  roster_set_setting c;
  c.key = in.blob(setting_key_bytes_max);
  c.value = in.blob(setting_value_bytes_max);
  if (c.key.empty())
    in.fail();
  return c;
}

roster_revoke take_revoke(byte_reader& in) {
  roster_revoke c;
  c.rid = take_rid(in);
  c.cut_seq = in.u64();
  return c;
}

roster_rotate_key take_rotate_key(byte_reader& in) {
  roster_rotate_key c;
  c.key = in.id<device_key>();
  c.proof = in.id<signature>();
  return c;
}

roster_change take_change(byte_reader& in) {
  switch (static_cast<entry_kind>(in.u8())) {
  case entry_kind::add_device:
    return take_add_device(in);
  case entry_kind::rename:
    return take_rename(in);
  case entry_kind::set_role:
    return take_set_role(in);
  case entry_kind::set_checkpointer:
    return roster_set_checkpointer{take_rid(in)};
  case entry_kind::revoke:
    return take_revoke(in);
  case entry_kind::add_token:
    return take_add_token(in);
  case entry_kind::revoke_token:
    return roster_revoke_token{in.id<digest256>()};
  case entry_kind::rotate_key:
    return take_rotate_key(in);
  case entry_kind::lease:
    return roster_lease{in.u64()};
  case entry_kind::end_pairing:
    return take_end_pairing(in);
  case entry_kind::set_setting:
    return take_set_setting(in);
  }
  in.fail();
  return roster_lease{};
}

} // namespace

std::variant<sealed_entry, std::string> seal_entry(const roster_entry& entry,
                                                   const signing_key& governor) {
  byte_writer out;
  out.u8(entry_format);
  out.id(entry.space);
  out.u64(entry.version);
  out.id(entry.previous);
  out.u64(entry.at);
  std::visit([&](const auto& change) { put(out, change); }, entry.change);
  out.id(governor.sign(sign_as::roster, out.bytes()));
  return decode_entry(out.bytes());
}

std::variant<sealed_entry, std::string> decode_entry(std::string_view raw) {
  if (raw.size() > roster_entry_bytes_max || raw.size() <= signature::size)
    return "a roster entry of " + std::to_string(raw.size()) + " bytes";
  auto signed_bytes = raw.substr(0, raw.size() - signature::size);
  byte_reader in{signed_bytes};
  sealed_entry out;
  bool known = in.u8() == entry_format;
  out.entry.space = in.id<space_id>();
  out.entry.version = in.u64();
  out.entry.previous = in.id<digest256>();
  out.entry.at = in.u64();
  out.entry.change = take_change(in);
  if (!known || !in.done() || out.entry.version == 0)
    return std::string("a roster entry that breaks the format; its author may run a newer Harp");
  out.raw = raw;
  out.hash = blake2b(sign_as::roster, signed_bytes);
  out.sig = *signature::from_view(raw.substr(signed_bytes.size()));
  return out;
}

signature rotation_proof(const space_id& space, const signing_key& next) {
  return next.sign(sign_as::rotate, std::string(space.view()).append(next.public_key().view()));
}

bool is_rotation_proof(const space_id& space, const roster_rotate_key& rotation) {
  return verify_signature(rotation.key, sign_as::rotate,
                          std::string(space.view()).append(rotation.key.view()), rotation.proof);
}

} // namespace harp
