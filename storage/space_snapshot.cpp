// Snapshots for bootstrap (storage.md 5.2) as bytes: floor rows out in pieces, and into rows again.
#include "storage/byte_codec.hpp"
#include "storage/checkpoint.hpp"
#include "storage/floor_fold.hpp"
#include "storage/op_events.hpp"
#include "storage/snapshot_import.hpp"
#include "storage/space_tree.hpp"

#include <charconv>

namespace harp {

namespace {

constexpr uint8_t snapshot_version = 1;
constexpr uint8_t head_piece = 1;
constexpr uint8_t row_piece = 2;
constexpr size_t life_max = 1u << 16;
constexpr size_t moves_max = 1u << 22;
constexpr size_t policies_max = 4096;

node_id nid_of(space_rows& rows, local_id lid) {
  return lid == 0 ? node_id{} : rows.node(lid).value_or(node_row{}).nid;
}

// -- rows as bytes --------------------------------------------------------------------------------

void put_version_row(byte_writer& out, const version_row& v) {
  out.id(v.at);
  out.id(v.by);
  out.id(v.cid);
  out.varint(v.size);
  out.i64(v.mtime_ns);
  out.flag(v.executable);
  out.blob(v.acting_user);
  out.id(v.base);
  out.u8(v.flags & version_adopted);
}

version_row get_version_row(byte_reader& in) {
  version_row v;
  v.at = in.id<stamp>();
  v.by = in.id<dot>();
  v.cid = in.id<content_id>();
  v.size = in.varint();
  v.mtime_ns = in.i64();
  v.executable = in.flag();
  v.acting_user = in.blob(name_bytes_max);
  v.base = in.id<stamp>();
  v.flags = in.u8();
  if ((v.flags & ~version_adopted) != 0)
    in.fail();
  return v;
}

void put_row(byte_writer& out, const node_row& row, const node_id& parent) {
  out.id(row.nid);
  out.u8(static_cast<uint8_t>(row.kind));
  out.u8(row.flags & node_alive);
  out.id(parent);
  out.blob(row.name);
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
}

node_row get_row(byte_reader& in, node_id& parent) {
  node_row row;
  row.nid = in.id<node_id>();
  auto kind = in.u8();
  if (kind < 1 || kind > 4)
    in.fail();
  row.kind = static_cast<node_kind>(kind);
  auto flags = in.u8();
  if ((flags & ~node_alive) != 0)
    in.fail();
  row.flags = static_cast<uint8_t>(flags | node_folded);
  parent = in.id<node_id>();
  row.name = in.blob(name_bytes_max);
  row.head = in.id<stamp>();
  row.moved = in.id<stamp>();
  row.meta.mtime_ns = in.i64();
  row.meta.executable = in.flag();
  row.meta.acting_user = in.blob(name_bytes_max);
  row.meta_stamp = in.id<stamp>();
  row.died = in.id<stamp>();
  row.life.resize(in.count(life_max, 5));
  for (auto& life : row.life)
    life = in.id<dot>();
  bool is_dir = node_tag_of(row.nid) == 2;
  if (is_dir != row.is_dir() || row.nid == root_node_id())
    in.fail();
  return row;
}

std::vector<event_row> grafts_of(space_rows& rows, local_id lid, const version_vector& covered) {
  auto out = rows.events(lid);
  std::erase_if(out, [&](const event_row& e) {
    return e.what != event_row::kind::graft || !covers(covered, e.by);
  });
  return out;
}

void put_node(byte_writer& out, space_rows& rows, local_id lid, const node_row& base,
              const version_vector& covered) {
  put_row(out, base, nid_of(rows, base.parent));
  auto versions = rows.versions(lid);
  std::erase_if(versions, [&](const version_row& v) { return !covers(covered, v.by); });
  out.varint(versions.size());
  for (const auto& version : versions)
    put_version_row(out, version);
  auto grafts = base.is_dir() ? grafts_of(rows, lid, covered) : std::vector<event_row>{};
  out.varint(grafts.size());
  for (const auto& graft : grafts) {
    out.id(graft.at);
    out.id(graft.by);
    out.id(graft.target);
  }
}

void put_head(byte_writer& out, space_rows& rows, const checkpoint_mark& mark) {
  auto moves = rows.dir_moves_from(stamp{});
  std::erase_if(moves, [&](const dir_move_row& entry) {
    return entry.at.hlc <= mark.floor || !covers(mark.covered, entry.by);
  });
  out.varint(moves.size());
  for (const auto& entry : moves) {
    out.id(entry.at);
    out.id(entry.by);
    out.id(nid_of(rows, entry.node));
    out.id(nid_of(rows, entry.parent));
    out.blob(entry.name);
  }
  byte_writer policies;
  size_t count = 0;
  for (const auto& name : policy_names(rows))
    for (const auto& entry : policy_entries(rows, name))
      if (covers(mark.covered, entry.by)) {
        policies.blob(name);
        policies.id(entry.at);
        policies.id(entry.by);
        policies.varint(entry.value);
        ++count;
      }
  out.varint(count);
  out.raw(policies.bytes());
}

/// A row that others name. Until its own comes (it never does when its creation was cut) it is a void dir.
local_id alias_of(space_rows& rows, const node_id& nid) {
  if (nid.is_zero())
    return 0;
  auto lid = rows.make_alias(nid);
  auto known = rows.node(lid);
  if (lid == root_lid || (known && (known->flags & node_stale) == 0))
    return lid;
  node_row row;
  row.nid = nid;
  row.kind = node_kind::dir;
  row.flags = node_void;
  row.parent = root_lid;
  row.name = recovered_name(nid);
  rows.put_node(lid, row);
  return lid;
}

void import_head(space_rows& rows, byte_reader& in) {
  auto moves = in.count(moves_max, 14);
  for (size_t i = 0; i < moves && in.ok(); ++i) {
    dir_move_row entry;
    entry.at = in.id<stamp>();
    entry.by = in.id<dot>();
    entry.node = alias_of(rows, in.id<node_id>());
    entry.parent = alias_of(rows, in.id<node_id>());
    entry.name = in.blob(name_bytes_max);
    if (in.ok())
      rows.put_dir_move(entry);
  }
  auto policies = in.count(policies_max, 8);
  for (size_t i = 0; i < policies && in.ok(); ++i) {
    std::string name(in.blob(name_bytes_max));
    policy_entry entry;
    entry.at = in.id<stamp>();
    entry.by = in.id<dot>();
    entry.value = in.varint();
    auto entries = policy_entries(rows, name);
    entries.push_back(entry);
    if (in.ok())
      save_policy(rows, name, std::move(entries));
  }
}

void import_node(space_rows& rows, byte_reader& in) {
  node_id parent;
  auto row = get_row(in, parent);
  auto versions = in.count(SIZE_MAX, 60);
  if (!in.ok())
    return;
  auto lid = rows.make_alias(row.nid);
  row.parent = alias_of(rows, parent);
  for (size_t i = 0; i < versions && in.ok(); ++i)
    if (auto version = get_version_row(in); in.ok())
      rows.put_version(lid, version);
  auto grafts = in.count(SIZE_MAX, 30);
  for (size_t i = 0; i < grafts && in.ok(); ++i) {
    event_row graft;
    graft.what = event_row::kind::graft;
    graft.at = in.id<stamp>();
    graft.by = in.id<dot>();
    graft.target = in.id<space_id>();
    if (in.ok())
      rows.put_event(lid, graft);
    row.kind = node_kind::graft;
    row.graft = graft.target; // by stamp: the last one stays
  }
  rows.put_node(lid, row);
  rows.mark_dirty(lid, dirty_content | dirty_place | dirty_life);
}

} // namespace

std::variant<snapshot_piece, std::string> export_snapshot(space_rows& rows, std::string_view cursor,
                                                          size_t bytes_max) {
  auto mark = newest_checkpoint(rows);
  if (mark.covered.empty())
    return "there is no checkpoint yet: fetch operations instead";
  auto stamp_of = mark.root.to_string();
  snapshot_piece out;
  byte_writer bytes;
  bytes.u8(snapshot_version);
  if (cursor.empty()) {
    bytes.u8(head_piece);
    put_head(bytes, rows, mark);
    out.bytes = bytes.take();
    out.next = stamp_of + "/0";
    return out;
  }
  local_id from = 0;
  auto number = cursor.substr(std::min(cursor.size(), stamp_of.size() + 1));
  if (!cursor.starts_with(stamp_of + "/")
      || std::from_chars(number.data(), number.data() + number.size(), from).ec != std::errc{})
    return "the snapshot changed under way: start again";
  bytes.u8(row_piece);
  auto empty = bytes.bytes().size(); // at least one row per piece, however large
  rows.each_node(from, [&](local_id lid, const node_row& row) {
    if (bytes.bytes().size() > empty && bytes.bytes().size() >= bytes_max) {
      out.next = stamp_of + "/" + std::to_string(lid);
      return false;
    }
    if (auto base = newest_floor_of(rows, lid, row))
      put_node(bytes, rows, lid, *base, mark.covered);
    return true;
  });
  out.bytes = bytes.take();
  return out;
}

std::optional<std::string> import_piece(space_rows& rows, std::string_view bytes) {
  byte_reader in(bytes);
  auto version = in.u8();
  auto kind = in.u8();
  if (!in.ok() || version != snapshot_version)
    return "the snapshot is of another release";
  if (kind == head_piece)
    import_head(rows, in);
  else
    while (in.ok() && in.left() > 0)
      import_node(rows, in);
  if (!in.done())
    return "the snapshot cannot be read";
  return std::nullopt;
}

} // namespace harp
