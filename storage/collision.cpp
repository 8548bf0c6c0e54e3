#include "storage/collision.hpp"

#include "storage/space_tree.hpp"

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

std::string ack_key(replica_id rid) {
  return "ack/" + std::to_string(rid);
}

uint64_t number_of(const std::string& text) {
  uint64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

bool is_life(event_row::kind what) {
  return what != event_row::kind::remove && what != event_row::kind::graft;
}

bool arrived_by(const node_row& row, replica_id rid) {
  return row.moved.is_zero() ? row.head.rid == rid : row.moved.rid == rid;
}

const stamp& arrival_of(const node_row& row) {
  return row.moved.is_zero() ? row.head : row.moved;
}

} // namespace

void collision_watch::begin(const bundle& b) {
  author_ = b.rid;
  if (self_ == 0 || b.rid == self_)
    return;
  auto [it, fresh] = acked_.try_emplace(b.rid, 0);
  if (fresh)
    it->second = number_of(rows_.setting(ack_key(b.rid)));
  for (const auto& known : b.context_delta)
    if (known.rid == self_)
      it->second = std::max(it->second, known.seq);
}

void collision_watch::note(local_id lid, event_row::kind what, const stamp& at) {
  if (self_ == 0 || author_ == self_)
    return;
  facts_[lid].push_back({what, at, acked_[author_]});
  newest_ = std::max(newest_, at);
}

void collision_watch::overtaken(local_id lid, const version_row& version, const version_row& by) {
  if (by.by.rid != self_)
    overtaken_.push_back({lid, version, by});
}

void collision_watch::lost_effect(const dir_move_row& entry) {
  if (self_ != 0 && entry.by.rid == self_)
    without_effect_.push_back(entry);
}

template <class Fits>
const collision_watch::fact* collision_watch::unseeing(local_id lid, uint64_t own_seq,
                                                       Fits fits) const {
  auto it = facts_.find(lid);
  if (it == facts_.end())
    return nullptr;
  for (const auto& known : it->second)
    if (known.acked < own_seq && fits(known))
      return &known;
  return nullptr;
}

/// Number of the bundle behind an own event; 0 when a checkpoint has folded it away: no longer news.
uint64_t collision_watch::seq_of(local_id lid, event_row::kind what, const stamp& at) {
  for (const auto& event : rows_.events(lid))
    if (event.at == at && event.what == what)
      return event.by.seq;
  return 0;
}

void collision_watch::put(notice_code code, local_id lid, const stamp& other,
                          std::vector<std::string> more) {
  notice_row notice;
  notice.hlc = std::max(newest_.hlc, other.hlc);
  notice.code = code;
  notice.node = lid;
  notice.arguments = {space_tree(rows_).path_of(lid).value_or(""), std::to_string(other.rid),
                      std::to_string(other.hlc)};
  for (auto& argument : more)
    notice.arguments.push_back(std::move(argument));
  rows_.put_notice(notice);
  out_.push_back(std::move(notice));
}

void collision_watch::judge_edits() {
  for (const auto& lost : overtaken_)
    put(notice_code::edit_overtaken, lost.lid, lost.other.at);
}

/// edit, move || own delete: it is there again. A folder that was moved tells how much of it is not.
void collision_watch::judge_death(local_id lid, const batch_row& row) {
  if (!row.before || row.before->alive() || !row.row.alive() || row.row.died.rid != self_)
    return;
  auto seq = seq_of(lid, event_row::kind::remove, row.row.died);
  const auto* by = unseeing(lid, seq, [](const fact& f) { return is_life(f.what); });
  if (by == nullptr)
    return;
  told_.insert(lid);
  const auto* moved
      = unseeing(lid, seq, [](const fact& f) { return f.what == event_row::kind::move; });
  if (row.row.is_dir() && moved != nullptr)
    put(notice_code::folder_kept, lid, moved->at, {std::to_string(deleted_below(lid, self_))});
  else
    put(notice_code::kept_after_delete, lid, by->at);
}

/// own move of a folder || delete of its tree: the folder stays, what the other had seen in it is in Trash.
void collision_watch::judge_folder_delete(local_id lid, const batch_row& row) {
  if (!row.row.is_dir() || !row.row.alive())
    return;
  uint64_t own_move = 0;
  for (const auto& event : rows_.events(lid))
    if (event.what == event_row::kind::move && event.by.rid == self_)
      own_move = std::max(own_move, event.by.seq);
  const auto* by
      = unseeing(lid, own_move, [](const fact& f) { return f.what == event_row::kind::remove; });
  if (by == nullptr)
    return;
  if (auto count = deleted_below(lid, by->at.rid); count > 0)
    put(notice_code::folder_kept, lid, by->at, {std::to_string(count)});
}

/// rename || rename, the other's is later.
void collision_watch::judge_move(local_id lid, const batch_row& row) {
  if (!row.before)
    return;
  const auto& old = *row.before;
  const auto& now = row.row;
  if (old.moved.rid != self_ || now.moved == old.moved || now.moved.rid == self_
      || (old.parent == now.parent && old.name == now.name))
    return;
  auto seq = seq_of(lid, event_row::kind::move, old.moved);
  if (unseeing(lid, seq, [&](const fact& f) { return f.at == now.moved; }) == nullptr)
    return;
  auto dir = space_tree(rows_).path_of(old.parent).value_or("");
  put(notice_code::move_overtaken, lid, now.moved, {dir.empty() ? old.name : dir + "/" + old.name});
}

void collision_watch::judge_effects() {
  for (const auto& entry : without_effect_)
    put(notice_code::move_without_effect, entry.node, newest_,
        {space_tree(rows_).path_of(entry.parent).value_or("")});
}

/// create inside || own rmdir tree: the topmost folder that had to come back, unless something in it was told already.
void collision_watch::judge_reappeared(row_batch& batch) {
  std::unordered_set<local_id> back;
  for (auto lid : batch.touched()) {
    auto* row = batch.find(lid);
    if (row != nullptr && row->before && !row->before->shown() && row->row.shown()
        && !row->row.alive() && row->row.died.rid == self_)
      back.insert(lid);
  }
  for (auto lid : told_)
    for (auto at = lid; at != 0;) {
      back.erase(at);
      auto row = rows_.node(at);
      at = row ? row->parent : 0;
    }
  for (auto lid : back)
    if (!back.contains(batch.find(lid)->row.parent))
      put(notice_code::kept_after_delete, lid, newest_);
}

size_t collision_watch::deleted_below(local_id dir, replica_id by) {
  size_t count = 0;
  size_t looked_at = 0;
  space_tree tree(rows_);
  rows_.each_dead(UINT64_MAX, [&](uint64_t, local_id lid) {
    auto row = rows_.node(lid);
    if (row && !row->is_dir() && row->died.rid == by && tree.is_below(lid, dir))
      ++count;
    return ++looked_at < deleted_count_max;
  });
  return count;
}

// -- places with several members ------------------------------------------------------------------

void collision_watch::judge_pair(row_batch& batch, local_id a, local_id b) {
  auto* one = batch.find(a);
  auto* two = batch.find(b);
  if (one == nullptr || two == nullptr || a == b)
    return;
  if (one->row.is_dir() && two->row.is_dir())
    return join_children(batch, a, b);
  if (!arrived_by(one->row, self_) || one->row.is_dir()) {
    std::swap(one, two);
    std::swap(a, b);
  }
  if (one->row.is_dir() || !arrived_by(one->row, self_))
    return;
  if (two->row.is_dir()) {
    if (joined_.insert(a).second)
      put(notice_code::name_taken_by_dir, a, arrival_of(two->row),
          {alias_name(one->row.name, one->row.nid)});
  } else if (!arrived_by(two->row, self_) && joined_.insert(a).second) {
    put(notice_code::files_joined, a, arrival_of(two->row));
  }
}

/// A new group: its dirs may hold files of one name.
void collision_watch::join_children(row_batch& batch, local_id a, local_id b) {
  size_t looked_at = 0;
  std::vector<std::pair<local_id, local_id>> pairs;
  rows_.each_entry(a, {}, [&](std::string_view name, local_id child) {
    for (auto other : rows_.entry(b, name))
      pairs.emplace_back(child, other);
    return ++looked_at < joined_entries_max;
  });
  for (const auto& [mine, other] : pairs)
    judge_pair(batch, mine, other);
}

void collision_watch::judge_joined(row_batch& batch) {
  for (const auto& place : batch.joined())
    for (auto other : place.others)
      judge_pair(batch, place.lid, other);
}

std::vector<notice_row> collision_watch::finish(row_batch& batch) {
  for (const auto& [rid, seq] : acked_)
    if (number_of(rows_.setting(ack_key(rid))) != seq)
      rows_.put_setting(ack_key(rid), std::to_string(seq));
  if (self_ == 0 || newest_.is_zero())
    return {};
  judge_edits();
  for (const auto& [lid, facts] : facts_) {
    auto* row = batch.find(lid);
    if (row == nullptr)
      continue;
    judge_death(lid, *row);
    judge_folder_delete(lid, *row);
    judge_move(lid, *row);
  }
  judge_effects();
  judge_reappeared(batch);
  judge_joined(batch);
  return std::move(out_);
}

} // namespace harp
