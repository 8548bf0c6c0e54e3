// The planner's picture of the three trees, and what a batch has reserved.
#include "storage/planner_run.hpp"

#include "storage/safe_path.hpp"

#include <array>

namespace harp {

plan_result planner_run::run(const plan_input& input) {
  if (!guards_.root_present) {
    for (local_id lid : input.lids)
      wait(plan_wait::offline, lid, {});
    for (const auto& place : input.places)
      wait(plan_wait::offline, 0, place);
    return std::move(out_);
  }
  // moves first: an entry that arrived somewhere explains one that is gone
  for (const auto& place : input.places)
    note_arrival(place);
  for (const auto& place : input.places)
    if (visit_place(place) == turn::clean)
      out_.clean_places.push_back(place);
  for (local_id lid : input.lids)
    if (out_.actions.size() < actions_max_ && visit_with_slot(lid) == turn::clean)
      out_.clean_lids.push_back(lid);
  for (local_id dir : input.dirs)
    if (out_.actions.size() < actions_max_ && visit_own_children(dir) == turn::clean)
      out_.clean_dirs.push_back(dir);
  finish_losses();
  break_deadlock();
  return std::move(out_);
}

/// The node, the one that stands for it, and the one that is wanted where it stands: members of slots come and go.
planner_run::turn planner_run::visit_with_slot(local_id lid) {
  turn own = visit_lid(lid, 0);
  turn shown = visit_lid(want_.shown_as(lid), 0);
  turn heir = turn::clean;
  // no longer the one that stands for its group: what it brought may be wanted elsewhere now
  if (own == turn::clean && !base(lid) && !want_.node(lid))
    own = visit_own_children(lid);
  if (const auto row = base(lid))
    if (local_id other = want_.at(row->parent, row->name))
      heir = visit_lid(other, 0);
  for (turn each : {own, shown, heir})
    if (each != turn::clean)
      return each;
  return turn::clean;
}

planner_run::turn planner_run::visit_own_children(local_id dir) {
  turn result = turn::clean;
  want_.each_own_child(dir, [&](local_id own) {
    local_id kid = want_.shown_as(own);
    if (kid != own && visit_own_children(own) != turn::clean)
      result = turn::waits;
    const auto row = base(kid);
    if ((!row || row->parent != dir) && visit_lid(kid, 0) != turn::clean)
      result = turn::waits;
    return out_.actions.size() < actions_max_;
  });
  return out_.actions.size() < actions_max_ ? result : turn::waits;
}

/// Nothing can move, and nothing from outside holds it up: one node in another's way steps aside.
void planner_run::break_deadlock() {
  if (!out_.actions.empty() || !out_.pending.empty())
    return;
  for (local_id lid : blockers_)
    if (aside(lid) == turn::acted)
      return;
}

const std::optional<base_row>& planner_run::base(local_id lid) {
  auto found = rows_.find(lid);
  if (found == rows_.end())
    found = rows_.emplace(lid, base_.base(lid)).first;
  return found->second;
}

const disk_look& planner_run::look(const disk_place& place) {
  auto found = looks_.find(place);
  if (found != looks_.end())
    return found->second;
  const dir_view& parent = dir(place.parent);
  disk_look seen;
  if (parent.state == place_state::here)
    seen = disk_.at(parent.path, place.name);
  return looks_.emplace(place, seen).first->second;
}

const planner_run::dir_view& planner_run::dir(local_id lid) {
  auto found = dirs_.find(lid);
  if (found != dirs_.end())
    return found->second;
  dirs_.emplace(lid, dir_view{}); // rows of a damaged database may form a ring
  return dirs_[lid] = find_dir(lid);
}

planner_run::dir_view planner_run::find_dir(local_id lid) {
  if (lid == root_lid)
    return {place_state::here, {}};
  const auto row = base(lid);
  if (!row || on_disk(row->kind) != disk_kind::dir)
    return {place_state::gone, {}};
  dir_view parent = dir(row->parent);
  if (parent.state != place_state::here)
    return {parent.state, {}};
  disk_look seen = look({row->parent, row->disk_name});
  if (seen.what == disk_look::answer::unknown
      || (seen.what == disk_look::answer::present && seen.stat.kind == disk_kind::other))
    return {place_state::unknown, {}};
  if (seen.what == disk_look::answer::absent || !same_identity(seen.stat, row->seen))
    return {place_state::gone, {}};
  return {place_state::here, join_path(parent.path, row->disk_name)};
}

disk_place planner_run::place_key(const disk_place& place) const {
  return guards_.host.folds_case ? disk_place{place.parent, folded_name(place.name)} : place;
}

bool planner_run::can_add(std::span<const local_id> lids, std::span<const disk_place> places,
                          std::span<const local_id> moved) {
  for (local_id lid : lids)
    if (used_lids_.contains(lid))
      return false;
  for (const auto& place : places) {
    if (used_places_.contains(place_key(place)))
      return false;
    unsigned steps = 0;
    for (local_id at = place.parent; at != root_lid && ++steps < base_depth_max;) {
      if (moved_.contains(at))
        return false;
      const auto& row = base(at);
      if (!row)
        break;
      at = row->parent;
    }
  }
  for (local_id lid : moved)
    if (busy_.contains(lid) || moved_.contains(lid))
      return false;
  return true;
}

void planner_run::reserve(std::span<const local_id> lids, std::span<const disk_place> places,
                          std::span<const local_id> moved) {
  used_lids_.insert(lids.begin(), lids.end());
  moved_.insert(moved.begin(), moved.end());
  for (const auto& place : places) {
    used_places_.insert(place_key(place));
    for (local_id at = place.parent; at != root_lid && busy_.insert(at).second;) {
      const auto& row = base(at);
      if (!row)
        break;
      at = row->parent;
    }
  }
}

bool planner_run::add(plan_action action, std::span<const local_id> lids,
                      std::span<const disk_place> places, std::span<const local_id> moved) {
  if (out_.actions.size() >= actions_max_ || !can_add(lids, places, moved))
    return false;
  reserve(lids, places, moved);
  out_.actions.push_back(std::move(action));
  return true;
}

planner_run::turn planner_run::wait(plan_wait why, local_id lid, const disk_place& place,
                                    std::string path) {
  // what waits for its turn in this batch needs no list: it is simply given again
  if (why != plan_wait::later)
    out_.pending.push_back({why, lid, place, std::move(path)});
  return turn::waits;
}

planner_run::turn planner_run::done_or_later(bool added, local_id lid, const disk_place& place) {
  return added ? turn::acted : wait(plan_wait::later, lid, place);
}

plan_result plan(const plan_input& input, want_tree& want, folder_rows& base, disk_tree& disk,
                 const plan_guards& guards, size_t actions_max) {
  planner_run run(want, base, disk, guards, actions_max);
  return run.run(input);
}

bool is_emission(const plan_action& action) {
  return std::holds_alternative<emit_create>(action) || std::holds_alternative<emit_edit>(action)
         || std::holds_alternative<emit_meta>(action) || std::holds_alternative<emit_move>(action)
         || std::holds_alternative<emit_remove>(action);
}

bool is_own_name(std::string_view name) {
  return name == ".harp-space" || (name.starts_with(".harp-") && name.ends_with(".tmp"));
}

} // namespace harp
