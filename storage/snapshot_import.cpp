// Begins and ends the import of a snapshot: what follows from its rows, and whether they are what the checkpoint signs.
#include "storage/snapshot_import.hpp"

#include "storage/checkpoint.hpp"
#include "storage/floor_fold.hpp"
#include "storage/op_events.hpp"

#include <algorithm>

namespace harp {

namespace {

node_id nid_of(space_rows& rows, local_id lid) {
  return lid == 0 ? node_id{} : rows.node(lid).value_or(node_row{}).nid;
}

// -- what follows from the rows -------------------------------------------------------------------

/// Counts shown children of everything; memory: a few bytes per node.
class tree_rebuild {
public:
  explicit tree_rebuild(space_rows& rows) : rows_(rows) {}

  /// False: the rows are no tree.
  bool run() {
    complete();
    rows_.each_node(0, [&](local_id lid, const node_row& row) {
      if (lid >= nodes_.size())
        nodes_.resize(lid + 1);
      nodes_[lid].parent = row.parent;
      nodes_[lid].known = true;
      nodes_[lid].alive = row.alive();
      return true;
    });
    for (local_id lid = 1; lid < nodes_.size(); ++lid)
      if (nodes_[lid].alive && !show(lid))
        return false;
    write();
    return true;
  }

private:
  struct light_node {
    local_id parent = 0;
    uint32_t kids = 0;
    bool known = false;
    bool alive = false;
    bool shown = false;
  };

  /// A row for the root; away with those of before that did not come again.
  void complete() {
    std::vector<local_id> stale;
    rows_.each_node(root_lid + 1, [&](local_id lid, const node_row& row) {
      if ((row.flags & node_stale) != 0)
        stale.push_back(lid);
      return true;
    });
    for (auto lid : stale) {
      rows_.mark_dirty(lid, dirty_life);
      rows_.erase_node(lid);
    }
    node_row root;
    root.nid = root_node_id();
    root.kind = node_kind::dir;
    root.flags = node_alive | node_shown | node_folded;
    rows_.put_node(root_lid, root);
  }
  bool show(local_id lid) {
    for (size_t steps = 0; lid != 0 && !nodes_[lid].shown; ++steps) {
      nodes_[lid].shown = true;
      auto parent = nodes_[lid].parent;
      if (lid != root_lid && (parent >= nodes_.size() || !nodes_[parent].known))
        return false;
      if (parent != 0)
        ++nodes_[parent].kids;
      lid = parent;
      if (steps > nodes_.size())
        return false;
    }
    return true;
  }
  void write() {
    for (local_id lid = 1; lid < nodes_.size(); ++lid) {
      const auto& light = nodes_[lid];
      if (!light.known || (!light.shown && light.kids == 0))
        continue;
      auto row = *rows_.node(lid);
      row.flags |= light.shown ? node_shown : 0;
      row.shown_kids = light.kids;
      rows_.put_node(lid, row);
      if (lid != root_lid)
        rows_.add_entry(row.parent, row.name, lid);
    }
  }

  space_rows& rows_;
  std::vector<light_node> nodes_;
};

/// Floor rows stand where the floor left them: replays the moves that V has above it.
void replay_moves(space_rows& rows, apply_result& result) {
  auto log = rows.dir_moves_from(stamp{});
  if (log.empty())
    return;
  row_batch batch(rows);
  std::vector<local_id> changed;
  for (const auto& entry : log)
    if (auto* row = batch.find(entry.node); row != nullptr && !rows.floor(entry.node))
      rows.put_floor(entry.node, floor_part(row->row));
  for (const auto& entry : log)
    rows.erase_dir_move(entry.at, entry.node);
  dir_merge_input in;
  in.fresh = std::move(log);
  auto merged = merge_dir_moves(std::move(in), [&](local_id lid) -> dir_state {
    auto* row = batch.find(lid);
    if (row == nullptr)
      return {{}, true};
    return {{row->row.parent, row->row.name, row->row.moved}, (row->row.flags & node_void) != 0};
  });
  for (const auto& entry : merged.written)
    rows.put_dir_move(entry);
  for (const auto& [lid, position] : merged.moved)
    batch.detach(lid, *batch.find(lid));
  for (const auto& [lid, position] : merged.moved) {
    auto& row = batch.find(lid)->row;
    row.parent = position.parent;
    row.name = position.name;
    row.moved = position.moved;
    changed.push_back(lid);
  }
  batch.settle(changed);
  batch.finish();
  result.moved_dirs = std::move(changed);
}

void save_state_root(space_rows& rows) {
  root_buckets root(rows, "state_root");
  root.clear();
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    if (is_counted(row))
      root.flip(row.nid, canonical_row(row, nid_of(rows, row.parent)));
    for (const auto& version : rows.versions(lid))
      root.flip(row.nid, canonical_version(row.nid, version));
    return true;
  });
  root.save();
}

} // namespace

std::optional<std::string> begin_import(space_rows& rows, const op_checkpoint&) {
  std::vector<local_id> all;
  rows.each_node(0, [&](local_id lid, const node_row&) {
    all.push_back(lid);
    return true;
  });
  for (auto lid : all) {
    auto row = *rows.node(lid);
    if (row.shown() && lid != root_lid)
      rows.remove_entry(row.parent, row.name, lid);
    for (const auto& event : rows.events(lid))
      rows.erase_event(lid, event.at);
    for (const auto& version : rows.versions(lid))
      rows.erase_version(lid, version.at);
    rows.erase_floor(lid);
    node_row stale;
    stale.nid = row.nid;
    stale.kind = row.kind;
    stale.flags = node_stale | node_void;
    rows.put_node(lid, stale);
  }
  for (const auto& entry : rows.dir_moves_from(stamp{}))
    rows.erase_dir_move(entry.at, entry.node);
  for (const auto& name : policy_names(rows))
    save_policy(rows, name, {});
  for (auto name : {"floor_root", "state_root"}) {
    root_buckets root(rows, name);
    root.clear();
    root.save();
  }
  put_checkpoint(rows, {}, 0);
  return std::nullopt;
}

std::optional<std::string> finish_import(space_rows& rows, const op_checkpoint& checkpoint) {
  checkpoint_mark mark{checkpoint.covered, checkpoint.floor, checkpoint.root};
  std::vector<std::pair<replica_id, replica_row>> replicas;
  rows.each_replica(
      [&](replica_id rid, const replica_row& row) { replicas.emplace_back(rid, row); });
  put_checkpoint(rows, mark, 0);
  if (!tree_rebuild(rows).run())
    return "the snapshot is no tree";
  auto floors = count_floor_root(rows);
  if (floors.root() != checkpoint.root)
    return "the snapshot is not what the checkpoint signs";
  floors.save();
  apply_result result;
  rows.put_setting("shared_places", "1"); // not known: look
  replay_moves(rows, result);
  save_state_root(rows);
  for (auto& [rid, row] : replicas) {
    if (!covers(checkpoint.covered, {rid, row.seq}) || covers(checkpoint.covered, {rid, row.seq + 1}))
      row.head_hash = {}; // of a bundle that is not the newest any more
    row.seq = 0;
    rows.put_replica(rid, row);
  }
  for (const auto& [rid, seq] : checkpoint.covered) {
    auto row = rows.replica(rid).value_or(replica_row{});
    row.seq = seq;
    bool active = std::find(checkpoint.active.begin(), checkpoint.active.end(), rid) != checkpoint.active.end();
    if (!active && seq > 0) // as applying the checkpoint would have cut it
      row.cut = std::min(row.cut.value_or(seq), seq);
    rows.put_replica(rid, row);
  }
  return std::nullopt;
}

} // namespace harp
