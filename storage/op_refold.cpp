// How op_events makes rows of events, and takes events out again.
#include "storage/op_events.hpp"
#include "storage/space_tree.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint16_t made_tag = 1;

} // namespace

// -- out again ------------------------------------------------------------------------------------

void op_events::refuse_own(local_id lid, const version_row& version) {
  if (version.by.rid != self_ || self_ == 0 || covers(covered_, version.by))
    return; // what a checkpoint covers has had its time in Trash
  auto* row = batch_.find(lid);
  voided_[lid] = {space_tree(rows_).path_of(lid).value_or(""),
                  row->row.kind,
                  {version.mtime_ns, version.executable, version.acting_user},
                  version.cid,
                  version.size};
}

void op_events::forget_version(local_id lid, const stamp& at) {
  auto version = rows_.version(lid, at);
  if (!version)
    return;
  refuse_own(lid, *version);
  batch_.erase_version(lid, batch_.find(lid)->row.nid, *version);
}

void op_events::remove(const bundle& b) {
  for (size_t idx = 0; idx < b.ops.size(); ++idx) {
    stamp at{b.hlc, b.rid, static_cast<uint16_t>(idx)};
    for (const auto& nid : nodes_of(b, idx)) {
      auto lid = rows_.find(nid);
      if (lid == 0 || batch_.find(lid) == nullptr)
        continue;
      rows_.erase_event(lid, at);
      forget_version(lid, at);
      touch(lid);
    }
    if (const auto* policy = std::get_if<op_policy>(&b.ops[idx]))
      for (const auto& [name, value] : policy->values) {
        auto entries = policy_entries(rows_, name);
        std::erase_if(entries, [&](const policy_entry& e) { return e.at == at; });
        save_policy(rows_, name, std::move(entries));
      }
  }
}

/// A file without its creation: nothing of it stays.
void op_events::erase(local_id lid, batch_row& row) {
  auto versions = rows_.versions(lid);
  std::sort(versions.begin(), versions.end(), is_before);
  for (const auto& version : versions) {
    refuse_own(lid, version);
    batch_.erase_version(lid, row.row.nid, version);
  }
  for (const auto& event : rows_.events(lid))
    rows_.erase_event(lid, event.at);
  rows_.erase_floor(lid);
  batch_.detach(lid, row);
  row.erased = true;
}

void op_events::purge(local_id lid) {
  touch(lid);
  if (auto* row = batch_.find(lid))
    erase(lid, *row);
}

// -- fold -----------------------------------------------------------------------------------------

void op_events::write_versions(local_id lid, const node_id& nid,
                               const std::vector<version_row>& before,
                               const std::vector<version_row>& after) {
  auto old = before.begin();
  for (const auto& version : after) {
    for (; old != before.end() && old->at < version.at; ++old)
      batch_.erase_version(lid, nid, *old);
    bool known = old != before.end() && old->at == version.at;
    if (!known || *old != version)
      batch_.put_version(lid, nid, version);
    if (known)
      ++old;
  }
  for (; old != before.end(); ++old)
    batch_.erase_version(lid, nid, *old);
}

void op_events::watch_overtaken(local_id lid, const std::vector<version_row>& before,
                                std::vector<version_row> after) {
  if (self_ == 0)
    return;
  std::sort(after.begin(), after.end(), is_before);
  for (size_t i = 0; i + 1 < after.size(); ++i) {
    if ((after[i].flags & version_overtaken) == 0 || after[i].by.rid != self_)
      continue;
    auto was = std::find_if(before.begin(), before.end(),
                            [&](const version_row& v) { return v.at == after[i].at; });
    if (was != before.end() && (was->flags & version_overtaken) == 0)
      watch_.overtaken(lid, after[i], after[i + 1]);
  }
}

void op_events::refold_node(local_id lid, pending& node) {
  auto* kept = batch_.find(lid);
  if (kept == nullptr)
    return;
  auto by_stamp = [](const auto& a, const auto& b) { return a.at < b.at; };
  fold_input in;
  if (node.fresh) {
    std::sort(node.events.begin(), node.events.end(), by_stamp);
    std::sort(node.versions.begin(), node.versions.end(), by_stamp);
    in = {seed_of(kept->row), node.events, node.versions};
  } else {
    in = {base_of(rows_, lid, kept->row), rows_.events(lid), rows_.versions(lid)};
  }
  auto folded = fold(in, covered_);
  if ((folded.row.flags & node_void) != 0 && node_tag_of(folded.row.nid) == made_tag)
    return erase(lid, *kept);
  write_versions(lid, folded.row.nid, in.versions, folded.versions);
  watch_overtaken(lid, in.versions, folded.versions);
  auto& row = kept->row;
  auto& now = folded.row;
  now.flags |= row.flags & node_shown;
  now.shown_kids = row.shown_kids;
  if (!now.is_dir()) {
    if (now.parent != row.parent || now.name != row.name)
      batch_.detach(lid, *kept);
    row = std::move(now);
    return;
  }
  bool was_void = kept->before && (kept->before->flags & node_void) != 0;
  bool is_void = (now.flags & node_void) != 0;
  if (kept->before && was_void != is_void) {
    dir_position first{root_lid, recovered_name(now.nid), {}};
    for (const auto& event : in.events)
      if (!is_void && event.what == event_row::kind::make)
        first = {event.parent, event.name, {}};
    initial_.emplace_back(lid, std::move(first));
  } else if (!kept->before && !is_void && !in.events.empty()) {
    for (const auto& event : in.events) // a void dir of this very batch that was made after all
      if (event.what == event_row::kind::make) {
        row.parent = event.parent;
        row.name = event.name;
      }
  }
  now.parent = row.parent;
  now.name = row.name;
  now.moved = row.moved;
  row = std::move(now);
}

void op_events::merge_moves(const std::function<bool(const dir_move_row&)>& gone) {
  if (moves_.empty() && initial_.empty() && !gone)
    return;
  dir_merge_input in;
  bool whole = !initial_.empty() || gone;
  stamp from{UINT64_MAX, UINT32_MAX, UINT16_MAX};
  for (const auto& entry : moves_)
    from = std::min(from, entry.at);
  in.log = rows_.dir_moves_from(whole ? stamp{} : from);
  in.fresh = std::move(moves_);
  in.initial = initial_;
  in.gone = gone;
  auto lookup = [&](local_id lid) -> dir_state {
    auto* kept = batch_.find(lid);
    if (kept == nullptr)
      return {{}, true};
    const auto& row = kept->row;
    return {{row.parent, row.name, row.moved}, (row.flags & node_void) != 0};
  };
  auto merged = merge_dir_moves(std::move(in), lookup);
  for (const auto& entry : merged.erased)
    rows_.erase_dir_move(entry.at, entry.node);
  for (const auto& entry : merged.written)
    rows_.put_dir_move(entry);
  for (const auto& entry : merged.lost_effect)
    watch_.lost_effect(entry);
  for (const auto& [lid, position] : merged.moved)
    batch_.detach(lid, *batch_.find(lid));
  for (const auto& [lid, position] : merged.moved) {
    auto& row = batch_.find(lid)->row;
    row.parent = position.parent;
    row.name = position.name;
    row.moved = position.moved;
    result_.moved_dirs.push_back(lid);
    touch(lid);
  }
}

void op_events::refold(const std::function<bool(const dir_move_row&)>& gone) {
  for (auto& [lid, node] : open_)
    refold_node(lid, node);
  merge_moves(gone);
  std::vector<local_id> order;
  order.reserve(open_.size());
  for (const auto& [lid, node] : open_)
    order.push_back(lid);
  std::sort(order.begin(), order.end());
  batch_.settle(order);
  for (auto& [lid, content] : voided_)
    result_.voided.push_back(std::move(content));
}

} // namespace harp
