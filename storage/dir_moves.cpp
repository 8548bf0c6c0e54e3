#include "storage/dir_moves.hpp"

#include <algorithm>

namespace harp {

namespace {

bool in_log_order(const dir_move_row& a, const dir_move_row& b) {
  return a.at != b.at ? a.at < b.at : a.node < b.node;
}

/// Positions in memory over those of the rows.
class overlay {
public:
  explicit overlay(const dir_lookup& lookup) : lookup_(lookup) {}

  const dir_state& at(local_id lid) {
    auto it = states_.find(lid);
    if (it == states_.end()) {
      it = states_.emplace(lid, lookup_(lid)).first;
      before_.emplace(lid, it->second.position);
    }
    return it->second;
  }
  void place(local_id lid, dir_position position) {
    at(lid);
    states_[lid].position = std::move(position);
  }
  void undo(const dir_move_row& entry) {
    if (entry.effective)
      place(entry.node, {entry.old_parent, entry.old_name, entry.old_moved});
  }
  /// True when `dir` is `lid` or lies above it.
  bool is_above(local_id dir, local_id lid) {
    for (; lid != 0; lid = lid == root_lid ? 0 : at(lid).position.parent)
      if (lid == dir)
        return true;
    return false;
  }
  /// Sets the fields of `entry` that depend on the state, and changes the state.
  void redo(dir_move_row& entry) {
    const auto& now = at(entry.node);
    entry.effective = !now.is_void && !is_above(entry.node, entry.parent);
    if (!entry.effective) {
      entry.old_parent = 0;
      entry.old_name.clear();
      entry.old_moved = {};
      return;
    }
    entry.old_parent = now.position.parent;
    entry.old_name = now.position.name;
    entry.old_moved = now.position.moved;
    place(entry.node, {entry.parent, entry.name, entry.at});
  }
  std::vector<std::pair<local_id, dir_position>> differences() const {
    std::vector<std::pair<local_id, dir_position>> out;
    for (const auto& [lid, state] : states_)
      if (state.position != before_.at(lid))
        out.emplace_back(lid, state.position);
    std::sort(out.begin(), out.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return out;
  }
  std::unordered_map<local_id, dir_state>& states() { return states_; }

private:
  const dir_lookup& lookup_;
  std::unordered_map<local_id, dir_state> states_;
  std::unordered_map<local_id, dir_position> before_;
};

/// Merges `fresh` in; the flag tells which entries are new.
std::vector<std::pair<dir_move_row, bool>> merged(std::vector<dir_move_row> log,
                                                  std::vector<dir_move_row> fresh) {
  std::sort(fresh.begin(), fresh.end(), in_log_order);
  std::vector<std::pair<dir_move_row, bool>> out;
  out.reserve(log.size() + fresh.size());
  auto old = log.begin();
  for (auto& entry : fresh) {
    while (old != log.end() && in_log_order(*old, entry))
      out.emplace_back(std::move(*old++), false);
    bool known = old != log.end() && !in_log_order(entry, *old);
    bool twice = !out.empty() && !in_log_order(out.back().first, entry);
    if (!known && !twice)
      out.emplace_back(std::move(entry), true);
  }
  while (old != log.end())
    out.emplace_back(std::move(*old++), false);
  return out;
}

} // namespace

dir_merge_result merge_dir_moves(dir_merge_input in, const dir_lookup& lookup) {
  dir_merge_result out;
  overlay state(lookup);
  for (auto it = in.log.rbegin(); it != in.log.rend(); ++it)
    state.undo(*it);
  for (auto& [lid, position] : in.initial)
    state.place(lid, position);
  for (auto& [entry, is_new] : merged(std::move(in.log), std::move(in.fresh))) {
    if (in.gone && in.gone(entry)) {
      if (!is_new)
        out.erased.push_back(entry);
      continue;
    }
    auto before = entry;
    state.redo(entry);
    if (is_new || entry != before)
      out.written.push_back(entry);
    if (!is_new && before.effective && !entry.effective)
      out.lost_effect.push_back(entry);
  }
  out.moved = state.differences();
  return out;
}

std::unordered_map<local_id, dir_position>
replay_dir_moves(const std::vector<dir_move_row>& log,
                 const std::function<bool(const dir_move_row&)>& counts, const dir_lookup& lookup) {
  overlay state(lookup);
  for (auto it = log.rbegin(); it != log.rend(); ++it)
    state.undo(*it);
  for (auto entry : log)
    if (counts(entry))
      state.redo(entry);
  std::unordered_map<local_id, dir_position> out;
  for (const auto& entry : log)
    out.emplace(entry.node, state.at(entry.node).position);
  return out;
}

} // namespace harp
