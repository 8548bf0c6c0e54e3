// Fuzz target: roster entries. The input is a list of changes, signed here, and raw entries nobody signed: only the
// governor's are taken, and a second roster fed the same bytes is the same.
#include "storage/byte_codec.hpp"
#include "storage/roster.hpp"

#include <cstdint>
#include <cstdlib>

using namespace harp;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

const signing_key& governor() {
  static const signing_key key = signing_key::from_seed(std::string(32, '\1'));
  return key;
}

roster_change change_from(byte_reader& in) {
  replica_id rid = in.u8() % 8;
  auto role = static_cast<member_role>(in.u8() % 5);
  uint64_t seq = in.u8();
  switch (in.u8() % 7) {
  case 0: {
    roster_add_device add;
    add.rid = rid;
    add.device.bytes.fill(in.u8() % 4);
    add.role = role;
    add.pairing = seq % 2 == 0;
    return add;
  }
  case 1:
    return roster_set_role{rid, role, seq};
  case 2:
    return roster_revoke{rid, seq};
  case 3:
    return roster_set_checkpointer{rid};
  case 4:
    return roster_end_pairing{rid, seq};
  case 5:
    return roster_lease{seq};
  default:
    return roster_set_setting{"name", std::string(in.raw(std::min<size_t>(in.left(), rid)))};
  }
}

void compare(const roster& a, const roster& b) {
  require(a.version() == b.version() && a.leased_until() == b.leased_until()
          && a.name() == b.name());
  for (replica_id rid = 0; rid < 8; ++rid) {
    require(a.role_of(rid) == b.role_of(rid) && a.cut_of(rid) == b.cut_of(rid));
    for (uint64_t seq = 1; seq < 4; ++seq)
      require(!a.may_write(rid, a.version(), seq) || seq <= a.cut_of(rid).value_or(UINT64_MAX));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  auto decoded = decode_entry(bytes);
  if (auto* sealed = std::get_if<sealed_entry>(&decoded))
    require(sealed->raw == bytes);
  roster list(space_id{}, governor().public_key());
  require(list.append_signed(bytes).has_value());
  byte_reader in{bytes.substr(0, 200)};
  while (in.left() > 4) {
    auto version = list.version();
    auto made = list.append_change(change_from(in), 1, governor());
    require(std::holds_alternative<sealed_entry>(made) || list.version() == version);
  }
  roster copy(space_id{}, governor().public_key());
  for (const auto& raw : list.entries_from(1, SIZE_MAX))
    require(!copy.append_signed(raw));
  compare(list, copy);
  return 0;
}
