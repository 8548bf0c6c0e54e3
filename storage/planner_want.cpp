// The planner's second half: what metadata asks becomes changes of the disk, never over something nobody has seen
// (storage.md 7.2, 4.5).
#include "storage/planner_run.hpp"
#include "storage/safe_path.hpp"

#include <array>

namespace harp {

namespace {

constexpr auto present = disk_look::answer::present;
constexpr auto absent = disk_look::answer::absent;
constexpr auto unknown = disk_look::answer::unknown;

bool changed(const base_row& row, const file_stat& stat) {
  return on_disk(row.kind) != stat.kind || !untouched(row.seen, stat);
}

bool same_meta(const node_meta& a, const node_meta& b) {
  return a.mtime_ns == b.mtime_ns && a.executable == b.executable;
}

} // namespace

planner_run::turn planner_run::visit_lid(local_id lid, unsigned depth) {
  if (lid == root_lid)
    return turn::clean;
  auto [at, fresh] = lids_.emplace(lid, turn::running);
  if (!fresh)
    return at->second;
  turn result = see_lid(lid, depth);
  lids_[lid] = result;
  return result;
}

planner_run::turn planner_run::see_lid(local_id lid, unsigned depth) {
  const auto row = base(lid);
  const auto wanted = want_.node(lid);
  if (!row && !wanted)
    return turn::clean;
  if (guards_.backing_off && guards_.backing_off(lid))
    return wait(plan_wait::failed, lid, {});
  if (!row)
    return appear(lid, *wanted, depth);
  if (row->parent != root_lid && !base(row->parent)) { // its directory was forgotten before it
    forgets_.push_back(lid);
    return turn::acted;
  }
  return see_base(lid, *row, wanted, depth);
}

planner_run::turn planner_run::see_base(local_id lid, const base_row& row,
                                        const std::optional<want_node>& wanted, unsigned depth) {
  disk_place place{row.parent, row.disk_name};
  const dir_view parent = dir(row.parent);
  if (parent.state != place_state::here) {
    visit_place(place);
    return wait(parent.state == place_state::gone ? plan_wait::later : plan_wait::disk_unknown, lid,
                place);
  }
  std::string path = join_path(parent.path, row.disk_name);
  const disk_look seen = look(place);
  if (seen.what == unknown)
    return wait(plan_wait::disk_unknown, lid, place, path);
  if (settling(path))
    return wait(plan_wait::settling, lid, place, path);
  // the local change goes first, with the version it is based on
  if (seen.what == absent || changed(row, seen.stat)) {
    visit_place(place);
    return wait(plan_wait::later, lid, place);
  }
  bool loses = !wanted || wanted->vid != row.vid;
  if (loses && guards_.hold_incoming && guards_.hold_incoming(lid))
    return wait(plan_wait::held_incoming, lid, place, path);
  if (!wanted)
    return remove(lid, row, path, seen.stat, depth);
  return bring_together(lid, *wanted, row, path, seen.stat, depth);
}

planner_run::turn planner_run::bring_together(local_id lid, const want_node& wanted,
                                              const base_row& row, const std::string& path,
                                              const file_stat& seen, unsigned depth) {
  disk_place place{row.parent, row.disk_name};
  std::array lids{lid};
  std::array places{place};
  if (row.parent != wanted.parent || row.name != wanted.name || (row.flags & base_stepped) != 0)
    return relocate(lid, wanted, row, path, seen, depth);
  if (on_disk(row.kind) == disk_kind::dir) {
    if (row.kind == wanted.kind && (row.flags & base_leftover) == 0)
      return turn::clean;
    base_row now = row;
    now.kind = wanted.kind;
    now.flags = 0;
    return done_or_later(add(row_agree{lid, now, true}, lids, places, {}), lid, place);
  }
  bool same_content = prefix_of(wanted.content) == row.content;
  if (!same_content) {
    do_place action = placement(lid, wanted, place);
    action.displaces = seen;
    action.displaced = lid;
    action.displaced_vid = row.vid;
    action.keep_displaced = !want_.safe(lid, row.vid);
    return done_or_later(add(std::move(action), lids, places, {}), lid, place);
  }
  bool meta_differs = row.kind == node_kind::file && !same_meta(wanted.meta, row.meta);
  if (meta_differs)
    return done_or_later(
        add(do_set_meta{lid, place, path, wanted.vid, wanted.meta, seen}, lids, places, {}), lid,
        place);
  if (wanted.vid == row.vid)
    return turn::clean;
  base_row now = row;
  now.vid = wanted.vid;
  return done_or_later(add(row_agree{lid, now, false}, lids, places, {}), lid, place);
}

do_place planner_run::placement(local_id lid, const want_node& wanted, const disk_place& place) {
  do_place out;
  out.lid = lid;
  out.place = place;
  out.name = wanted.name;
  out.path = join_path(dir(place.parent).path, place.name);
  out.kind = wanted.kind;
  out.vid = wanted.vid;
  out.content = wanted.content;
  out.size = wanted.size;
  out.meta = wanted.meta;
  return out;
}

bool planner_run::parent_ready(local_id parent, unsigned depth) {
  if (parent == root_lid)
    return true;
  const auto row = base(parent);
  if (!row) {
    visit_lid(parent, depth + 1);
    return false;
  }
  if (dir(parent).state == place_state::here)
    return true;
  visit_place({row->parent, row->disk_name});
  return false;
}

planner_run::turn planner_run::appear(local_id lid, const want_node& wanted, unsigned depth) {
  if (depth > plan_depth_max || !parent_ready(wanted.parent, depth))
    return wait(plan_wait::later, lid, {});
  if (guards_.hold_incoming && guards_.hold_incoming(lid))
    return wait(plan_wait::held_incoming, lid, {});
  slot_choice slot = choose(wanted.parent, wanted.name, lid);
  disk_place place{wanted.parent, slot.name};
  if (!slot.found || slot.look.what == unknown)
    return wait(plan_wait::disk_unknown, lid, place);
  std::string path = join_path(dir(wanted.parent).path, slot.name);
  if (settling(path))
    return wait(plan_wait::settling, lid, place, path);
  if (slot.look.what == present || slot.occupant != 0)
    return appear_over(lid, wanted, slot, depth);
  bool added = on_disk(wanted.kind) == disk_kind::dir
                   ? add(do_make_dir{lid, place, wanted.name, path}, std::array{lid},
                         std::array{place}, {})
                   : add(placement(lid, wanted, place), std::array{lid}, std::array{place}, {});
  return done_or_later(added, lid, place);
}

planner_run::turn planner_run::appear_over(local_id lid, const want_node& wanted,
                                           const slot_choice& slot, unsigned depth) {
  disk_place place{wanted.parent, slot.name};
  local_id other = slot.occupant;
  const auto row = base(other);
  if (other == 0 || !row || slot.look.what == absent || changed(*row, slot.look.stat)) {
    visit_place(place); // a local change first
    return wait(plan_wait::later, lid, place);
  }
  bool is_dir = on_disk(wanted.kind) == disk_kind::dir;
  bool other_dir = on_disk(row->kind) == disk_kind::dir;
  if (want_.node(other) || is_dir != other_dir) {
    // in its own turn it may wait for us: then it must leave the place first
    blockers_.insert(other);
    visit_lid(other, depth + 1);
    return wait(plan_wait::later, lid, place);
  }
  std::array lids{lid, other};
  if (is_dir)
    return done_or_later(add(row_relabel{other, lid}, lids, std::array{place}, std::array{other}),
                         lid, place);
  do_place action = placement(lid, wanted, place);
  action.displaces = slot.look.stat;
  action.displaced = other;
  action.displaced_vid = row->vid;
  action.keep_displaced = !want_.safe(other, row->vid);
  if (prefix_of(wanted.content) == row->content && wanted.kind == row->kind
      && (wanted.kind == node_kind::symlink || same_meta(wanted.meta, row->meta))) {
    // the same bytes under another owner of the slot: nothing to fetch
    base_row now = *row;
    now.vid = wanted.vid;
    now.name = wanted.name;
    return done_or_later(add(row_agree{lid, now, false}, lids, std::array{place}, {}), lid, place);
  }
  return done_or_later(add(std::move(action), lids, std::array{place}, {}), lid, place);
}

planner_run::turn planner_run::remove(local_id lid, const base_row& row, const std::string& path,
                                      const file_stat& seen, unsigned depth) {
  disk_place place{row.parent, row.disk_name};
  std::array lids{lid};
  std::array places{place};
  if (on_disk(row.kind) != disk_kind::dir)
    return done_or_later(
        add(do_remove_file{lid, place, path, seen, row.vid, !want_.safe(lid & ~ghost_bit, row.vid)},
            lids, places, {}),
        lid, place);
  bool empty = true;
  if (depth <= base_depth_max)
    base_.each_base(lid, {}, [&](std::string_view, local_id kid) {
      empty = false;
      visit_lid(kid, depth + 1);
      return out_.actions.size() < actions_max_;
    });
  if (!empty)
    return wait(plan_wait::later, lid, place);
  bool needed = (row.flags & base_blocked) == 0 && want_.at(row.parent, row.name) != 0;
  if ((row.flags & base_leftover) != 0 && !needed)
    return turn::clean;
  return done_or_later(add(do_remove_dir{lid, place, path, seen}, lids, places, lids), lid, place);
}

/// True when `lid` stands somewhere below `of` on disk.
bool planner_run::inside(local_id lid, local_id of) {
  for (unsigned steps = 0; lid != root_lid && steps < base_depth_max; ++steps) {
    if (lid == of)
      return true;
    const auto& row = base(lid);
    if (!row)
      return false;
    lid = row->parent;
  }
  return false;
}

planner_run::turn planner_run::relocate(local_id lid, const want_node& wanted, const base_row& row,
                                        const std::string& path, const file_stat& seen,
                                        unsigned depth) {
  disk_place from{row.parent, row.disk_name};
  if (depth > plan_depth_max)
    return aside(lid);
  if (inside(wanted.parent, lid)) {
    // its new parent is below it and must come out first
    for (local_id at = wanted.parent; at != lid; at = base(at)->parent)
      if (visit_lid(at, depth + 1) == turn::running)
        return aside(at);
    return wait(plan_wait::later, lid, from);
  }
  if (!parent_ready(wanted.parent, depth))
    return wait(plan_wait::later, lid, from);
  slot_choice slot = choose(wanted.parent, wanted.name, lid);
  disk_place to{wanted.parent, slot.name};
  if (!slot.found || slot.look.what == unknown)
    return wait(plan_wait::disk_unknown, lid, to);
  std::array lids{lid};
  if (slot.occupant == lid && to == from) { // only its name in metadata changed
    base_row now = row;
    now.name = wanted.name;
    now.flags = 0;
    return done_or_later(add(row_agree{lid, now, false}, lids, std::array{from}, {}), lid, from);
  }
  bool itself
      = slot.look.what == present && slot.occupant == 0 && same_identity(slot.look.stat, seen);
  if (!itself && (slot.look.what == present || slot.occupant != 0))
    return relocate_over(lid, wanted, row, slot, depth);
  std::string target = join_path(dir(wanted.parent).path, slot.name);
  if (settling(target))
    return wait(plan_wait::settling, lid, to, target);
  bool is_dir = on_disk(row.kind) == disk_kind::dir;
  std::span<const local_id> moved(lids.data(), is_dir ? 1 : 0);
  return done_or_later(add(do_rename{lid, row.parent, path, to, wanted.name, target, seen, is_dir},
                           lids, std::array{from, to}, moved),
                       lid, from);
}

planner_run::turn planner_run::relocate_over(local_id lid, const want_node& wanted,
                                             const base_row& row, const slot_choice& slot,
                                             unsigned depth) {
  disk_place from{row.parent, row.disk_name};
  disk_place to{wanted.parent, slot.name};
  local_id other = slot.occupant;
  const auto there = base(other);
  if (other == 0 || !there || slot.look.what == absent || changed(*there, slot.look.stat)) {
    visit_place(to); // a local change first
    return wait(plan_wait::later, lid, to);
  }
  if (visit_lid(other, depth + 1) != turn::running) {
    blockers_.insert(other);
    return wait(plan_wait::later, lid, to);
  }
  // each waits for the other's place
  if (inside(lid, other) || inside(other, lid) || (there->flags & base_stepped) != 0)
    return aside(lid);
  const disk_look here = look(from);
  do_exchange swap{lid,
                   other,
                   from,
                   to,
                   wanted.name,
                   join_path(dir(from.parent).path, from.name),
                   join_path(dir(to.parent).path, to.name),
                   here.stat,
                   slot.look.stat};
  std::array both{lid, other};
  std::vector<local_id> moved;
  if (on_disk(row.kind) == disk_kind::dir)
    moved.push_back(lid);
  if (on_disk(there->kind) == disk_kind::dir)
    moved.push_back(other);
  return done_or_later(add(std::move(swap), both, std::array{from, to}, moved), lid, from);
}

planner_run::turn planner_run::aside(local_id lid) {
  const auto row = base(lid);
  if (!row || dir(row->parent).state != place_state::here || (row->flags & base_stepped) != 0)
    return wait(plan_wait::later, lid, {});
  disk_place from{row->parent, row->disk_name};
  const disk_look seen = look(from);
  std::string temp = ".harp-" + std::to_string(lid) + ".tmp";
  if (seen.what != present || changed(*row, seen.stat)
      || settling(join_path(dir(row->parent).path, row->disk_name)))
    return wait(plan_wait::later, lid, from);
  bool is_dir = on_disk(row->kind) == disk_kind::dir;
  std::array lids{lid};
  std::span<const local_id> moved(lids.data(), is_dir ? 1 : 0);
  std::string path = join_path(dir(row->parent).path, row->disk_name);
  return done_or_later(add(do_step_aside{lid, path, temp, seen.stat, is_dir}, lids,
                           std::array{from, disk_place{root_lid, temp}}, moved),
                       lid, from);
}

/// True when the entry found at `place` is not this node's rightful predecessor but another one's stand-in, or something
/// that Harp does not sync: then this node needs an alias.
bool planner_run::stands_for_other(const disk_place& place, const disk_look& seen,
                                   const std::string& name, local_id lid) {
  if (local_id other = base_.base_at(place.parent, place.name)) {
    const auto row = base(other);
    if (other == lid || !row)
      return false;
    return (row->flags & base_blocked) != 0
           || (row->name != name && (row->flags & base_stepped) == 0);
  }
  if (seen.what != present)
    return false;
  if (seen.stat.kind == disk_kind::other || is_own_name(place.name))
    return true;
  // a folding file system shows a sibling
  if (local_id other = base_.by_inode(seen.stat.device, seen.stat.inode);
      other != 0 && other != lid) {
    const auto row = base(other);
    if (row && row->parent == place.parent && same_identity(row->seen, seen.stat)
        && folded_name(row->disk_name) == folded_name(place.name))
      return true;
  }
  return !synced_name(place, join_path(dir(place.parent).path, place.name), seen.stat, false);
}

planner_run::slot_choice planner_run::choose(local_id parent, const std::string& name,
                                             local_id lid) {
  slot_choice out;
  for (unsigned k = 0; k <= alias_tries_max; ++k) {
    out.name = k == 0 ? name : host_alias(name, k, guards_.host);
    if (is_own_name(out.name) || !host_can_hold(out.name, guards_.host))
      continue;
    disk_place place{parent, out.name};
    out.look = look(place);
    if (out.look.what != unknown && stands_for_other(place, out.look, name, lid))
      continue;
    out.occupant = base_.base_at(parent, out.name);
    out.found = true;
    return out;
  }
  return out;
}

} // namespace harp
