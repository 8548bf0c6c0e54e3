// Node ids: made ones carry their author's dot, derived ones are hashes of a place (storage.md 2).
#include "storage/op.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint16_t made_tag = 1;
constexpr uint16_t dir_tag = 2;
constexpr uint16_t adopted_tag = 3;
constexpr size_t derived_bytes = 14;

void set_tag(node_id& id, uint16_t tag) {
  id.bytes[derived_bytes] = static_cast<uint8_t>(tag >> 8);
  id.bytes[derived_bytes + 1] = static_cast<uint8_t>(tag);
}

/// `name` has no length before it: what stands on both sides of it has a fixed one.
node_id derived_id(std::string_view personal, const node_id& parent, std::string_view name,
                   const stamp& salt, uint16_t tag) {
  byte_writer tail;
  tail.id(salt);
  auto digest
      = blake2b_hasher(personal).update(parent.view()).update(name).update(tail.bytes()).finish();
  node_id out;
  std::copy_n(digest.bytes.begin(), derived_bytes, out.bytes.begin());
  set_tag(out, tag);
  return out;
}

} // namespace

node_id made_node_id(dot at, uint16_t idx) {
  // Big-endian, so that files made one after another are neighbours in the database.
  byte_writer out;
  out.big(at.rid);
  out.big(at.seq);
  out.big(idx);
  out.big(made_tag);
  return *node_id::from_view(out.bytes());
}

node_id dir_node_id(const node_id& parent, std::string_view name, const stamp& salt) {
  return derived_id("harp.dir", parent, name, salt, dir_tag);
}

node_id adopted_node_id(const node_id& parent, std::string_view name) {
  return derived_id("harp.adopt", parent, name, {}, adopted_tag);
}

node_id root_node_id() {
  node_id out;
  set_tag(out, dir_tag);
  return out;
}

uint16_t node_tag_of(const node_id& id) {
  return static_cast<uint16_t>(id.bytes[derived_bytes] << 8 | id.bytes[derived_bytes + 1]);
}

} // namespace harp
