// Back again: versions, deleted nodes, joined files.
#include "storage/hlc.hpp"
#include "storage/space_edit.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t together_ms = 60'000; // deletions of one author within it belong together

/// The first `bytes_max` bytes of `text`, cut between characters.
std::string_view head_of(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max)
    return text;
  while (bytes_max > 0 && (static_cast<uint8_t>(text[bytes_max]) & 0xC0) == 0x80)
    --bytes_max;
  return text.substr(0, bytes_max);
}

} // namespace

std::string free_name(space_tree& tree, local_id dir, std::string_view name,
                      std::string_view word) {
  auto point = name.rfind('.');
  if (point == std::string_view::npos || point == 0)
    point = name.size();
  for (unsigned n = word.empty() ? 2 : 1;; ++n) {
    std::string mark(word);
    if (n > 1)
      mark += (word.empty() ? "" : " ") + std::to_string(n);
    auto end = " (" + mark + ")" + std::string(head_of(name.substr(point), name_bytes_max / 2));
    auto out = std::string(head_of(name.substr(0, point), name_bytes_max - end.size())) + end;
    if (!tree.resolve_in(dir, out))
      return out;
  }
}

// -- back again -----------------------------------------------------------------------------------

edit_outcome space_edit::restore_version(local_id lid, const stamp& vid) {
  auto shown = tree_.resolve(lid);
  for (auto member : shown ? shown->members : std::vector{lid}) {
    if (vid.is_zero() || !rows_.version(member, vid))
      continue;
    if (!shown) {
      restore_parents(member);
      restore_node(member, vid);
      return edit_done{member, rows_.node(member)->head};
    }
    push(op_restore{nid_of(member), vid});
    return edit_done{shown->entry.lid, next_stamp()};
  }
  return edit_refusal::no_such_version;
}

/// Dirs above that are neither alive nor shown.
void space_edit::restore_parents(local_id lid) {
  std::vector<local_id> dead;
  for (auto row = rows_.node(lid); row && row->parent != 0;) {
    auto above = row->parent;
    row = rows_.node(above);
    if (row && !row->alive() && !row->shown() && (row->flags & node_void) == 0)
      dead.push_back(above);
  }
  for (auto it = dead.rbegin(); it != dead.rend(); ++it)
    push(op_restore{nid_of(*it), {}});
}

/// One dead node, at its place or beside who has taken that. `vid` not zero: at that version.
void space_edit::restore_node(local_id lid, const stamp& vid) {
  auto row = rows_.node(lid);
  auto there = tree_.resolve_in(row->parent, row->name);
  bool both_dirs = there && row->is_dir() && there->entry.vid.is_zero();
  if (there && !both_dirs) // a Move brings it to life as well
    push_moves({lid}, row->parent, free_name(tree_, row->parent, row->name, "restored"));
  if (!there || both_dirs || (!vid.is_zero() && vid != row->head))
    push(op_restore{row->nid, vid == row->head ? stamp{} : vid});
}

edit_outcome space_edit::restore_deleted(local_id lid) {
  auto row = rows_.node(lid);
  if (!row || row->alive() || (row->flags & node_void) != 0 || row->died.is_zero())
    return edit_refusal::no_such_node;
  std::vector<trash_entry> all;
  if (row->is_dir())
    all = tree_.trash_below(lid, SIZE_MAX);
  auto near = [&](const stamp& died) {
    auto a = ms_of_hlc(died.hlc);
    auto b = ms_of_hlc(row->died.hlc);
    return died.rid == row->died.rid && (a > b ? a - b : b - a) <= together_ms;
  };
  restore_parents(lid);
  restore_node(lid, {});
  std::vector<std::pair<size_t, local_id>> order; // dirs before what is in them
  for (const auto& entry : all)
    if (entry.lid != lid && near(entry.died))
      order.emplace_back(static_cast<size_t>(std::count(entry.path.begin(), entry.path.end(), '/')),
                         entry.lid);
  std::sort(order.begin(), order.end());
  for (const auto& [depth, below] : order)
    restore_node(below, {});
  auto entry = tree_.entry_of(lid);
  return edit_done{entry ? entry->lid : lid, entry ? entry->vid : stamp{}};
}

edit_outcome space_edit::put_back_as_two(local_id lid) {
  auto shown = tree_.resolve(lid);
  if (!shown || shown->members.size() < 2 || shown->entry.vid.is_zero())
    return edit_refusal::no_such_node;
  local_id other = 0;
  stamp latest;
  for (auto member : shown->members) {
    auto row = rows_.node(member);
    auto last = std::max(row->moved, row->head);
    if (member != shown->entry.owner && (other == 0 || last > latest)) {
      other = member;
      latest = last;
    }
  }
  push_moves({other}, shown->entry.parent, free_name(tree_, shown->entry.parent, shown->own_name));
  return edit_done{other, {}};
}

} // namespace harp
