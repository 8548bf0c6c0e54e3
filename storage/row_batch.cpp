#include "storage/row_batch.hpp"

#include "storage/space_apply.hpp"
#include "storage/space_tree.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr std::string_view shared_setting = "shared_places";

node_row root_row() {
  node_row root;
  root.nid = root_node_id();
  root.kind = node_kind::dir;
  root.flags = node_alive | node_shown | node_folded;
  return root;
}

uint8_t reason_of(const batch_row& changed) {
  const auto& now = changed.row;
  if (!changed.before)
    return dirty_life | dirty_place | dirty_content;
  const auto& old = *changed.before;
  uint8_t reason = 0;
  if (changed.erased || old.shown() != now.shown() || old.alive() != now.alive())
    reason |= dirty_life;
  if (old.parent != now.parent || old.name != now.name)
    reason |= dirty_place;
  if (old.head != now.head || old.meta != now.meta || old.kind != now.kind)
    reason |= dirty_content;
  return reason;
}

} // namespace

row_batch::row_batch(space_rows& rows)
    : rows_(rows), root_(rows, "state_root"), shared_(!rows.setting(shared_setting).empty()),
      shared_known_(shared_) {
  if (!rows_.node(root_lid))
    make(root_lid, root_row()).listed = true;
}

batch_row* row_batch::find(local_id lid) {
  if (auto it = kept_.find(lid); it != kept_.end())
    return it->second.erased ? nullptr : &it->second;
  auto row = rows_.node(lid);
  if (!row)
    return nullptr;
  auto& kept = kept_[lid];
  kept.listed_parent = row->parent;
  kept.listed_name = row->name;
  kept.listed = row->shown();
  kept.row = *row;
  kept.before = std::move(row);
  return &kept;
}

batch_row& row_batch::make(local_id lid, const node_row& row) {
  auto& kept = kept_[lid];
  kept.row = row;
  kept.erased = false;
  return kept;
}

bool row_batch::wants_shown(const batch_row& row) const {
  if (row.row.nid == root_node_id())
    return true;
  return !row.erased && (row.row.alive() || row.row.shown_kids > 0);
}

void row_batch::list(local_id lid, batch_row& row) {
  row.listed = true;
  row.listed_parent = row.row.parent;
  row.listed_name = row.row.name;
  ++entries_[{row.listed_parent, row.listed_name, lid}];
}

void row_batch::unlist(local_id lid, batch_row& row) {
  row.listed = false;
  --entries_[{row.listed_parent, row.listed_name, lid}];
}

/// A shown child more or less: up the tree as far as that shows or hides a dir.
void row_batch::count(local_id parent, int change) {
  while (parent != 0) {
    auto* row = find(parent);
    if (row == nullptr)
      return;
    row->row.shown_kids += static_cast<uint64_t>(static_cast<int64_t>(change));
    if (row->detached || wants_shown(*row) == row->listed)
      return;
    if (row->listed)
      unlist(parent, *row);
    else
      list(parent, *row);
    change = row->listed ? 1 : -1;
    parent = row->listed_parent;
  }
}

void row_batch::detach(local_id lid, batch_row& row) {
  if (std::exchange(row.detached, true) || !row.listed)
    return;
  unlist(lid, row);
  count(row.listed_parent, -1);
}

void row_batch::settle(const std::vector<local_id>& lids) {
  for (auto lid : lids) {
    auto it = kept_.find(lid);
    if (it == kept_.end())
      continue;
    auto& row = it->second;
    row.detached = false;
    if (wants_shown(row) == row.listed)
      continue;
    if (row.listed)
      unlist(lid, row);
    else
      list(lid, row);
    count(row.listed_parent, row.listed ? 1 : -1);
  }
}

void row_batch::put_version(local_id lid, const node_id& nid, const version_row& version) {
  if (rows_.put_version(lid, version))
    root_.flip(nid, canonical_version(nid, version));
}

void row_batch::erase_version(local_id lid, const node_id& nid, const version_row& version) {
  rows_.erase_version(lid, version.at);
  root_.flip(nid, canonical_version(nid, version));
}

node_id row_batch::nid_of(local_id lid) {
  if (lid == 0)
    return {};
  auto it = kept_.find(lid);
  if (it != kept_.end())
    return it->second.row.nid;
  auto row = rows_.node(lid);
  return row ? row->nid : node_id{};
}

void row_batch::mark(local_id lid, uint8_t reason) {
  if (reason != 0)
    rows_.mark_dirty(lid, reason);
}

void row_batch::write(local_id lid, batch_row& changed) {
  auto& row = changed.row;
  if (changed.erased && !changed.before)
    return rows_.erase_node(lid);
  row.flags = static_cast<uint8_t>((row.flags & ~node_shown) | (changed.listed ? node_shown : 0));
  if (changed.before && !changed.erased && *changed.before == row)
    return;
  touched_.push_back(lid);
  if (changed.before && is_counted(*changed.before))
    root_.flip(row.nid, canonical_row(*changed.before, nid_of(changed.before->parent)));
  if (changed.erased) {
    rows_.erase_node(lid);
  } else {
    if (is_counted(row))
      root_.flip(row.nid, canonical_row(row, nid_of(row.parent)));
    rows_.put_node(lid, row);
  }
  mark(lid, reason_of(changed));
}

/// Net changes of entries; finds out who now shares a place with whom.
void row_batch::write_entries() {
  for (const auto& [key, net] : entries_)
    if (net < 0)
      rows_.remove_entry(std::get<0>(key), std::get<1>(key), std::get<2>(key));
  for (const auto& [key, net] : entries_) {
    const auto& [parent, name, lid] = key;
    if (net <= 0)
      continue;
    auto others = rows_.entry(parent, name);
    rows_.add_entry(parent, name, lid);
    if (others.empty())
      continue;
    shared_ = true;
    joined_.push_back({lid, std::move(others)});
  }
  if (shared_ && !shared_known_)
    rows_.put_setting(shared_setting, "1");
}

void row_batch::finish() {
  std::vector<local_id> order;
  order.reserve(kept_.size());
  for (const auto& [lid, row] : kept_)
    order.push_back(lid);
  std::sort(order.begin(), order.end());
  for (auto lid : order)
    write(lid, kept_[lid]);
  write_entries();
  root_.save();
  if (shared_)
    mark_shared();
}

/// Who shares a place shows as one entry: a change of one member may change what another lid shows.
void row_batch::mark_shared() {
  for (const auto& [key, net] : entries_) {
    const auto& [parent, name, lid] = key;
    if (net == 0)
      continue;
    auto members = rows_.entry(parent, name);
    if (std::find(members.begin(), members.end(), lid) == members.end())
      members.push_back(lid);
    std::erase_if(members, [&](local_id member) { return !find(member); });
    if (members.size() < 2)
      continue;
    size_t dirs = 0;
    for (auto member : members) {
      mark(member, dirty_place);
      dirs += find(member)->row.is_dir() ? 1 : 0;
    }
    for (auto member :
         members) // of a group come or gone: what is below has another canonical parent
      if (dirs > 1 && find(member)->row.is_dir())
        mark_below(member);
  }
  space_tree tree(rows_);
  for (auto lid : touched_)
    if (auto shown = tree.resolve(lid); shown && shown->members.size() > 1)
      for (auto other : shown->members)
        mark(other, dirty_content);
}

void row_batch::mark_below(local_id dir) {
  std::vector<local_id> open{dir};
  while (!open.empty()) {
    auto next = open.back();
    open.pop_back();
    rows_.each_entry(next, {}, [&](std::string_view, local_id child) {
      mark(child, dirty_place);
      open.push_back(child);
      return true;
    });
  }
}

} // namespace harp
