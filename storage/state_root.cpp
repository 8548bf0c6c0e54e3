#include "storage/state_root.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

namespace harp {

namespace {

constexpr std::string_view prefix = "state_root";
constexpr size_t buckets_per_part = 16;

void flip_into(digest256& bucket, const digest256& digest) {
  for (size_t i = 0; i < digest.bytes.size(); ++i)
    bucket.bytes[i] ^= digest.bytes[i];
}

std::string part_key(std::string_view name, unsigned n) {
  return std::string(name) + "/" + std::to_string(n);
}

} // namespace

uint8_t bucket_of(const node_id& nid) {
  uint32_t hash = 2166136261u; // FNV-1a: made ids differ only in their low bytes
  for (auto byte : nid.bytes)
    hash = (hash ^ byte) * 16777619u;
  return static_cast<uint8_t>(hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24);
}

root_buckets::part& root_buckets::load(uint8_t n) {
  auto key = static_cast<uint8_t>(n / buckets_per_part);
  auto [it, fresh] = parts_.try_emplace(key);
  if (!fresh)
    return it->second;
  auto stored = rows_.setting(part_key(prefix_, key));
  for (size_t i = 0; i < buckets_per_part && (i + 1) * 32 <= stored.size(); ++i)
    it->second.buckets[i] = *digest256::from_view(std::string_view(stored).substr(i * 32, 32));
  return it->second;
}

void root_buckets::flip(const node_id& nid, std::string_view record) {
  auto n = bucket_of(nid);
  auto& kept = load(n);
  flip_into(kept.buckets[n % buckets_per_part], blake2b("harp.row", record));
  kept.changed = true;
}

void root_buckets::save() {
  for (auto& [key, kept] : parts_) {
    if (!std::exchange(kept.changed, false))
      continue;
    std::string value;
    for (const auto& sum : kept.buckets)
      value.append(sum.view());
    rows_.put_setting(part_key(prefix_, key), value);
  }
}

void root_buckets::clear() {
  for (unsigned key = 0; key < 256 / buckets_per_part; ++key)
    parts_[static_cast<uint8_t>(key)] = {{}, true};
}

digest256 root_buckets::root() {
  blake2b_hasher hasher("harp.root");
  for (unsigned n = 0; n < 256; ++n)
    hasher.update(bucket(static_cast<uint8_t>(n)).view());
  return hasher.finish();
}

digest256 root_buckets::bucket(uint8_t n) {
  return load(n).buckets[n % buckets_per_part];
}

std::string canonical_row(const node_row& row, const node_id& parent) {
  byte_writer out;
  out.id(row.nid);
  out.u8(static_cast<uint8_t>(row.kind));
  out.u8(row.flags & (node_alive | node_shown | node_void));
  out.id(parent);
  out.blob(row.name);
  out.varint(row.shown_kids);
  out.id(row.head);
  out.id(row.moved);
  out.i64(row.meta.mtime_ns);
  out.flag(row.meta.executable);
  out.blob(row.meta.acting_user);
  out.id(row.meta_stamp);
  out.id(row.died);
  out.varint(row.life.size());
  for (const auto& life : row.life)
    out.id(life);
  out.id(row.graft);
  return out.take();
}

std::string canonical_version(const node_id& nid, const version_row& version) {
  byte_writer out;
  out.id(nid);
  out.id(version.at);
  out.id(version.by);
  out.id(version.cid);
  out.varint(version.size);
  out.i64(version.mtime_ns);
  out.flag(version.executable);
  out.blob(version.acting_user);
  out.id(version.base);
  out.u8(version.flags & version_adopted);
  return out.take();
}

digest256 state_root(space_rows& rows) {
  return root_buckets(rows, prefix).root();
}

digest256 state_root_bucket(space_rows& rows, uint8_t n) {
  return root_buckets(rows, prefix).bucket(n);
}

namespace {

void count_all(space_rows& rows, root_buckets& fresh) {
  fresh.clear();
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    auto parent = row.parent == 0 ? std::nullopt : rows.node(row.parent);
    if (is_counted(row))
      fresh.flip(row.nid, canonical_row(row, parent ? parent->nid : node_id{}));
    for (const auto& version : rows.versions(lid))
      fresh.flip(row.nid, canonical_version(row.nid, version));
    return true;
  });
}

} // namespace

digest256 recount_state_root(space_rows& rows) {
  root_buckets fresh(rows, prefix);
  count_all(rows, fresh); // in memory only: never saved
  return fresh.root();
}

void rebuild_state_root(space_rows& rows) {
  root_buckets fresh(rows, prefix);
  count_all(rows, fresh);
  fresh.save();
}

} // namespace harp
