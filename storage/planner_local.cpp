// The planner's first half: what people did to the disk becomes operations (storage.md 7.2, P2, P3).
#include "storage/names.hpp"
#include "storage/planner_run.hpp"
#include "storage/safe_path.hpp"

#include <array>

namespace harp {

namespace {

constexpr auto present = disk_look::answer::present;
constexpr auto absent = disk_look::answer::absent;
constexpr auto unknown = disk_look::answer::unknown;

node_kind node_kind_of(disk_kind kind) {
  switch (kind) {
  case disk_kind::dir:
    return node_kind::dir;
  case disk_kind::symlink:
    return node_kind::symlink;
  case disk_kind::file:
  case disk_kind::other:
    break;
  }
  return node_kind::file;
}

/// Without a birth time a number given again looks like a move: then the bytes must speak for it.
bool is_same_entry(const file_stat& a, const file_stat& b) {
  if (!same_identity(a, b))
    return false;
  bool born = a.born_ns != 0 && b.born_ns != 0;
  return a.kind == disk_kind::dir || born || same_bytes(a, b);
}

} // namespace

void planner_run::note_arrival(const disk_place& place) {
  const dir_view& parent = dir(place.parent);
  if (parent.state != place_state::here)
    return;
  const disk_look& seen = look(place);
  if (seen.what != present || seen.stat.kind == disk_kind::other)
    return;
  std::string path = join_path(parent.path, place.name);
  if (local_id lid = base_.base_at(place.parent, place.name)) {
    const auto& row = base(lid);
    if (row && same_identity(row->seen, seen.stat))
      return;
    // it came out of the very directory whose place it took: that one cannot wait for it
    if (local_id was = base_.by_inode(seen.stat.device, seen.stat.inode);
        was != 0 && inside(was, lid))
      return;
  } else if (is_own_name(place.name) || !synced_name(place, path, seen.stat, false)) {
    return;
  }
  arrived_[{seen.stat.device, seen.stat.inode}] = seen.stat;
}

planner_run::turn planner_run::visit_place(const disk_place& place) {
  auto [at, fresh] = places_.emplace(place, turn::running);
  if (!fresh)
    return at->second;
  turn result = see_place(place);
  places_[place] = result;
  return result;
}

planner_run::turn planner_run::see_place(const disk_place& place) {
  const dir_view parent = dir(place.parent);
  if (parent.state != place_state::here) {
    const auto row = base(place.parent);
    if (!row)
      return turn::clean; // its directory is new or forgotten: a listing brings it again
    visit_place({row->parent, row->disk_name});
    return wait(parent.state == place_state::unknown ? plan_wait::disk_unknown : plan_wait::later,
                0, place);
  }
  std::string path = join_path(parent.path, place.name);
  const disk_look seen = look(place);
  local_id lid = base_.base_at(place.parent, place.name);
  if (seen.what == unknown)
    return wait(plan_wait::disk_unknown, lid, place, path);
  if (lid == 0 && (seen.what == absent || is_own_name(place.name)))
    return turn::clean;
  if (settling(path))
    return wait(plan_wait::settling, lid, place, path);
  if (lid == 0)
    return arrival(place, path, seen.stat);
  if (seen.what == absent) {
    gone_.insert(lid);
    return turn::waits;
  }
  const auto row = base(lid);
  return row ? compare(lid, *row, seen.stat, place, path) : turn::clean;
}

planner_run::turn planner_run::compare(local_id lid, const base_row& row, const file_stat& stat,
                                       const disk_place& place, const std::string& path) {
  // a mount or a device in place of it says nothing about what people did with it
  if (stat.kind == disk_kind::other)
    return wait(plan_wait::disk_unknown, lid, place, path);
  if (on_disk(row.kind) != stat.kind) {
    gone_.insert(lid); // what stands there now follows when it is gone
    return turn::waits;
  }
  if (stat.kind == disk_kind::dir)
    return compare_dir(lid, row, stat, place);
  if (untouched(row.seen, stat))
    return turn::clean;
  if (is_ghost(lid)) {
    forgets_.push_back(lid);
    return turn::acted;
  }
  if (!guards_.may_write)
    return wait(plan_wait::read_only, lid, place, path);
  if (same_bytes(row.seen, stat) && row.seen.executable != stat.executable) {
    node_meta meta = row.meta;
    meta.executable = stat.executable;
    return done_or_later(
        add(emit_meta{lid, place, path, meta, stat}, std::array{lid}, std::array{place}, {}), lid,
        place);
  }
  edits_.push_back({lid, place, path, row.vid, row.content, stat});
  return turn::acted;
}

planner_run::turn planner_run::compare_dir(local_id lid, const base_row& row, const file_stat& stat,
                                           const disk_place& place) {
  if (same_identity(row.seen, stat))
    return turn::clean;
  known_move other = known(stat, place);
  if (other.unknown)
    return wait(plan_wait::disk_unknown, lid, place);
  // another known directory came here; or ours was seen elsewhere: then this one is new
  bool others_turn = other.lid != 0 && !in_ring(other.lid, place);
  if (others_turn || (other.lid == 0 && arrived(row.seen))) {
    gone_.insert(lid);
    return turn::waits;
  }
  base_row now = row;
  now.seen = stat;
  return done_or_later(
      add(row_agree{lid, now, true}, std::array{lid}, std::array{place}, std::array{lid}), lid,
      place);
}

std::optional<std::string> planner_run::synced_name(const disk_place& place,
                                                    const std::string& path, const file_stat& stat,
                                                    bool tell) {
  if (guards_.ignored && guards_.ignored(path, stat.kind == disk_kind::dir))
    return std::nullopt;
  auto refuse = [&](std::string why) -> std::optional<std::string> {
    if (tell)
      out_.unsynced.push_back({place, path, std::move(why)});
    return std::nullopt;
  };
  auto name = to_nfc(place.name);
  if (!name || !is_lawful_name(*name))
    return refuse("its name is not UTF-8 or too long for other nodes; rename it to have it synced");
  if (*name == place.name)
    return name;
  const disk_look& twin = look({place.parent, *name});
  bool itself = twin.what == present && same_identity(twin.stat, stat); // a folding file system
  if (twin.what != absent && !itself)
    return refuse("another entry has the same name in normal form (NFC); rename one of them");
  return name;
}

planner_run::turn planner_run::arrival(const disk_place& place, const std::string& path,
                                       const file_stat& stat) {
  if (stat.kind == disk_kind::other)
    return turn::clean;
  auto name = synced_name(place, path, stat, true);
  if (!name)
    return turn::clean;
  if (!guards_.may_write)
    return wait(plan_wait::read_only, 0, place, path);
  local_id home = want_.shown_as(place.parent);
  if (home != place.parent && dir(home).state == place_state::here)
    return bring_home(place, path, stat, *name, home);
  known_move moved = known(stat, place);
  if (moved.unknown)
    return wait(plan_wait::disk_unknown, 0, place, path);
  if (moved.lid == 0)
    return arrive(place, path, stat, std::move(*name));
  const base_row row = *base(moved.lid);
  std::array places{place, disk_place{row.parent, row.disk_name}};
  std::array lids{moved.lid};
  std::span<const local_id> dirs(lids.data(), stat.kind == disk_kind::dir ? 1 : 0);
  bool added = add(emit_move{moved.lid, place, *name, path, stat}, lids, places, dirs);
  return done_or_later(added, moved.lid, place);
}

/// Its directory became part of another one: the entry moves there before it is looked at.
planner_run::turn planner_run::bring_home(const disk_place& place, const std::string& path,
                                          const file_stat& stat, const std::string& name,
                                          local_id home) {
  disk_place to{home, name};
  for (unsigned k = 1; look(to).what != absent || base_.base_at(home, to.name) != 0; ++k) {
    if (k > alias_tries_max || look(to).what == unknown)
      return wait(plan_wait::disk_unknown, home, place);
    to.name = host_alias(name, k, guards_.host);
  }
  std::string target = join_path(dir(home).path, to.name);
  bool is_dir = stat.kind == disk_kind::dir;
  return done_or_later(add(do_rename{0, place.parent, path, to, to.name, target, stat, is_dir}, {},
                           std::array{place, to}, {}),
                       home, place);
}

planner_run::turn planner_run::arrive(const disk_place& place, const std::string& path,
                                      const file_stat& stat, std::string name) {
  emit_create made{place, name, path, node_kind_of(stat.kind), stat, 0};
  local_id there = want_.at(place.parent, name);
  if (there != 0 && !base(there) && !used_lids_.contains(there)) {
    auto wanted = want_.node(there);
    if (wanted && stat.kind == disk_kind::dir && on_disk(wanted->kind) == disk_kind::dir) {
      base_row row{place.parent, name, place.name, wanted->kind, {}, {}, {}, stat, 0};
      return done_or_later(
          add(row_agree{there, row, true}, std::array{there}, std::array{place}, {}), there, place);
    }
    if (wanted && wanted->kind == made.kind)
      made.meets = there;
  }
  std::array lids{made.meets};
  std::span<const local_id> used(lids.data(), made.meets != 0 ? 1 : 0);
  return done_or_later(add(std::move(made), used, std::array{place}, {}), 0, place);
}

planner_run::known_move planner_run::known(const file_stat& stat, const disk_place& place) {
  local_id lid = base_.by_inode(stat.device, stat.inode);
  if (lid == 0 || is_ghost(lid))
    return {};
  const auto row = base(lid);
  if (!row || !is_same_entry(row->seen, stat) || disk_place{row->parent, row->disk_name} == place)
    return {};
  switch (old_place(*row)) {
  case place_state::gone:
    return {lid, false};
  case place_state::unknown:
    return {0, true};
  case place_state::here:
    break;
  }
  return {};
}

/// True when directories changed places in a ring: each waits for the next one's place. Then the path wins, as for files.
bool planner_run::in_ring(local_id lid, const disk_place& place) {
  for (unsigned steps = 0; steps < 64; ++steps) {
    const auto row = base(lid);
    if (!row || dir(row->parent).state != place_state::here)
      return false;
    disk_place own{row->parent, row->disk_name};
    if (own == place)
      return true;
    const disk_look& seen = look(own);
    if (seen.what != present)
      return false;
    lid = base_.by_inode(seen.stat.device, seen.stat.inode);
  }
  return true;
}

/// Is what the row stands for still at its place? A file with another inode there counts as it: path wins over inode.
planner_run::place_state planner_run::old_place(const base_row& row) {
  const dir_view& parent = dir(row.parent);
  if (parent.state != place_state::here)
    return parent.state;
  const disk_look& seen = look({row.parent, row.disk_name});
  if (seen.what != present)
    return seen.what == absent ? place_state::gone : place_state::unknown;
  if (seen.stat.kind != on_disk(row.kind))
    return seen.stat.kind == disk_kind::other ? place_state::unknown : place_state::gone;
  if (seen.stat.kind == disk_kind::dir && !same_identity(seen.stat, row.seen))
    return place_state::gone;
  return place_state::here;
}

bool planner_run::may_remove(local_id lid, const base_row& row) {
  if (used_lids_.contains(lid) || arrived(row.seen))
    return false;
  std::array lids{lid};
  std::span<const local_id> dirs(lids.data(), on_disk(row.kind) == disk_kind::dir ? 1 : 0);
  return can_add(lids, std::array{disk_place{row.parent, row.disk_name}}, dirs);
}

/// Takes the node and all below it, children first; false when something of it must stay for this batch.
bool planner_run::collect(local_id lid, unsigned depth) {
  const auto row = base(lid);
  if (!row || depth > base_depth_max || removal_nodes_ >= plan_removals_max)
    return false;
  bool is_dir = on_disk(row->kind) == disk_kind::dir;
  size_t first = removal_chunk();
  bool whole = true;
  bool empty = true;
  if (is_dir)
    base_.each_base(lid, {}, [&](std::string_view, local_id kid) {
      empty = false;
      whole = collect(kid, depth + 1) && whole;
      return removal_nodes_ < plan_removals_max;
    });
  // a directory goes only in one action with all its children: actions fail independently
  if (!whole || removal_nodes_ >= plan_removals_max || !may_remove(lid, *row)
      || (!empty && removal_chunk() != first))
    return false;
  ++removal_nodes_;
  if (!want_.node(lid)) {
    forgets_.push_back(lid);
    return true;
  }
  if (!guards_.may_write)
    return false;
  removal_files_ += on_disk(row->kind) == disk_kind::dir ? 0 : 1;
  removal_chunk();
  removals_.back().push_back({lid, row->vid});
  return true;
}

/// True when this very entry was seen at another place.
bool planner_run::arrived(const file_stat& seen) const {
  auto found = arrived_.find({seen.device, seen.inode});
  return found != arrived_.end() && is_same_entry(found->second, seen);
}

/// The index of the list that takes the next removal.
size_t planner_run::removal_chunk() {
  if (removals_.empty() || removals_.back().size() >= delete_items_max)
    removals_.emplace_back();
  return removals_.size() - 1;
}

void planner_run::finish_losses() {
  for (local_id lid : gone_) {
    if (!guards_.absence_known)
      wait(plan_wait::absence, lid, {});
    else if (!collect(lid, 0) && !guards_.may_write)
      wait(plan_wait::read_only, lid, {});
  }
  // moves that wait for each other in a ring: one of them becomes a removal and a creation
  bool stuck = out_.actions.empty() && out_.pending.empty() && edits_.empty() && forgets_.empty()
               && removal_nodes_ == 0;
  if (stuck && !gone_.empty()) {
    arrived_.clear();
    collect(*gone_.begin(), 0);
  }
  size_t losses = edits_.size() + removal_files_;
  if (losses > guards_.losses_left) {
    out_.losses_held = losses;
    for (const auto& held : edits_)
      wait(plan_wait::held_local, held.lid, held.place, held.path);
    for (local_id lid : gone_)
      wait(plan_wait::held_local, lid, {});
    edits_.clear();
    removals_.clear();
  }
  for (const auto& edit : edits_)
    if (add(edit, std::array{edit.lid}, std::array{edit.place}, {}))
      ++out_.losses;
  if (!removals_.empty())
    out_.losses += removal_files_;
  for (auto& items : removals_)
    if (!items.empty())
      out_.actions.emplace_back(emit_remove{std::move(items)});
  if (!forgets_.empty())
    out_.actions.emplace_back(row_forget{std::move(forgets_)});
}

} // namespace harp
