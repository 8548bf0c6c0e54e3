#include "storage/floor_fold.hpp"

#include "storage/byte_codec.hpp"
#include "storage/hlc.hpp"
#include "storage/op_events.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t day_ms = 24ull * 60 * 60 * 1000;

std::vector<version_row> within(std::vector<version_row> versions, const version_vector& covered) {
  std::erase_if(versions, [&](const version_row& v) { return !covers(covered, v.by); });
  return versions;
}

uint64_t seq_in(const version_vector& vv, replica_id rid) {
  auto it = vv.find(rid);
  return it == vv.end() ? 0 : it->second;
}

/// The Trash time as V sets it.
uint64_t trash_days(space_rows& rows, const version_vector& covered) {
  uint64_t days = trash_days_default;
  for (const auto& entry : policy_entries(rows, "trash_days")) // by stamp
    if (covers(covered, entry.by))
      days = entry.value;
  return days;
}

} // namespace

std::string canonical_move(const dir_move_row& entry, const node_id& node, const node_id& parent) {
  byte_writer out;
  out.id(entry.at);
  out.id(entry.by);
  out.id(node);
  out.id(parent);
  out.blob(entry.name);
  return out.take();
}

node_row floor_part(node_row row) {
  row.flags = static_cast<uint8_t>((row.flags & ~(node_shown | node_void)) | node_folded);
  row.shown_kids = 0;
  return row;
}

std::optional<node_row> newest_floor_of(space_rows& rows, local_id lid, const node_row& row) {
  if (lid == root_lid)
    return std::nullopt;
  auto base = rows.floor(lid).value_or(row);
  if ((base.flags & node_folded) == 0)
    return std::nullopt;
  return floor_part(std::move(base));
}

floor_fold::floor_fold(space_rows& rows, const checkpoint_mark& next, bundle_source& history)
    : rows_(rows), last_(newest_checkpoint(rows)), next_(next), log_(rows.dir_moves_from(stamp{})),
      root_(rows, "floor_root") {
  auto kept_ms = trash_days(rows, next.covered) * day_ms;
  auto floor_ms = ms_of_hlc(next.floor);
  purge_before_ = floor_ms > kept_ms ? hlc_of_ms(floor_ms - kept_ms) : 0;
  auto lookup = [&](local_id lid) -> dir_state {
    auto row = rows_.node(lid).value_or(node_row{});
    return {{row.parent, row.name, row.moved}, !is_made(lid)};
  };
  auto counts = [&](const dir_move_row& entry) {
    return entry.at.hlc <= next_.floor && covers(next_.covered, entry.by);
  };
  places_ = replay_dir_moves(log_, counts, lookup);
  collect(history);
}

/// True when the creation of a dir is within V.
bool floor_fold::is_made(local_id lid) {
  auto row = rows_.node(lid);
  if (!row)
    return false;
  auto base = base_of(rows_, lid, *row);
  if (lid == root_lid || (base.flags & node_folded) != 0)
    return true;
  for (const auto& event : rows_.events(lid))
    if (event.what == event_row::kind::make && covers(next_.covered, event.by))
      return true;
  return false;
}

void floor_fold::collect(bundle_source& history) {
  for (const auto& [rid, seq] : next_.covered)
    history.each(rid, seq_in(last_.covered, rid) + 1, seq, [&](const bundle& b) {
      for (size_t idx = 0; idx < b.ops.size(); ++idx)
        for (const auto& nid : nodes_of(b, idx))
          if (auto lid = rows_.find(nid); lid != 0 && lid != root_lid)
            work_.insert(lid);
      return true;
    });
  for (const auto& entry : log_)
    work_.insert(entry.node);
  if (purge_before_ == 0)
    return;
  rows_.each_dead(purge_before_, [&](uint64_t, local_id lid) {
    work_.insert(lid);
    return true;
  });
  // Alive here only by something outside V: dead in V all the same.
  rows_.each_floor([&](local_id lid, const node_row& row) {
    if (!row.alive() && (row.flags & node_folded) != 0)
      work_.insert(lid);
    return true;
  });
}

floor_node floor_fold::at(local_id lid) {
  floor_node out;
  auto row = rows_.node(lid);
  if (!row)
    return out;
  fold_input in{base_of(rows_, lid, *row), rows_.events(lid),
                within(rows_.versions(lid), next_.covered)};
  std::erase_if(in.events, [&](const event_row& e) { return !covers(next_.covered, e.by); });
  auto folded = fold(in, last_.covered);
  if ((folded.row.flags & node_void) != 0)
    return out;
  out.what = floor_node::fate::kept;
  out.row = floor_part(std::move(folded.row));
  out.versions = std::move(folded.versions);
  if (out.row.is_dir()) {
    auto place = places_.find(lid);
    out.row.parent = place == places_.end() ? row->parent : place->second.parent;
    out.row.name = place == places_.end() ? row->name : place->second.name;
    out.row.moved = place == places_.end() ? row->moved : place->second.moved;
    return out;
  }
  if (out.row.alive() || out.row.died.is_zero() || out.row.died.hlc >= purge_before_)
    return out;
  out.versions.clear();
  out.row.head = {};
  out.row.meta = {};
  out.row.meta_stamp = {};
  out.what = node_tag_of(out.row.nid) == 1 ? floor_node::fate::purged : floor_node::fate::tombstone;
  return out;
}

node_id floor_fold::nid_of(local_id lid) {
  auto row = rows_.node(lid);
  return row ? row->nid : node_id{};
}

void floor_fold::flip_node(local_id lid) {
  auto row = rows_.node(lid);
  if (!row)
    return;
  auto put = [&](const node_row& node, const std::vector<version_row>& versions) {
    root_.flip(row->nid, canonical_row(node, nid_of(node.parent)));
    for (const auto& version : versions)
      root_.flip(row->nid, canonical_version(row->nid, version));
  };
  if (auto old = newest_floor_of(rows_, lid, *row))
    put(*old, within(rows_.versions(lid), last_.covered));
  auto now = at(lid);
  if (now.what == floor_node::fate::kept || now.what == floor_node::fate::tombstone)
    put(now.row, now.versions);
}

void floor_fold::flip_moves() {
  auto listed = [](const checkpoint_mark& mark, const dir_move_row& entry) {
    return covers(mark.covered, entry.by) && entry.at.hlc > mark.floor;
  };
  for (const auto& entry : log_)
    if (listed(last_, entry) != listed(next_, entry)) {
      auto nid = nid_of(entry.node);
      root_.flip(nid, canonical_move(entry, nid, nid_of(entry.parent)));
    }
}

root_buckets& floor_fold::root() {
  if (std::exchange(counted_, true))
    return root_;
  for (auto lid : work_)
    flip_node(lid);
  flip_moves();
  return root_;
}

} // namespace harp
