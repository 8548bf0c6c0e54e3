// The long life of a space: checkpoints are issued, the log is cut behind them, snapshots are given and taken, and what this
// device did while it was away survives (storage.md 5.2, 5.4).
#include "storage/space_store.hpp"

#include "storage/byte_codec.hpp"
#include "storage/fold.hpp"
#include "storage/folder_rows_lmdb.hpp"
#include "storage/log_source.hpp"
#include "storage/rebase.hpp"
#include "storage/space_rows_lmdb.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr std::string_view clock_key = "clock";
constexpr std::string_view checkpoint_key = "checkpoint_dot";
constexpr std::string_view active_key = "checkpoint_active"; // rids that have to have it before the log is cut
constexpr std::string_view left_behind_key = "left_behind";  // rid, first and last number of own void bundles
constexpr std::string_view ack_prefix = "ack/";
constexpr size_t replayed_bundles_max = 1u << 20; // behind a snapshot; more come from peers

const op_checkpoint* checkpoint_of(const bundle& b) {
  for (const auto& op : b.ops)
    if (const auto* found = std::get_if<op_checkpoint>(&op))
      return found;
  return nullptr;
}

std::string dot_bytes(const dot& at) {
  return std::string{row_key{}.u32(at.rid).u64(at.seq)};
}

bool is_newer(const op_checkpoint& next, const checkpoint_mark& last) {
  bool reaches = std::all_of(last.covered.begin(), last.covered.end(), [&](const auto& entry) { return covers(next.covered, {entry.first, entry.second}); });
  return reaches && next.floor >= last.floor && !(next.covered == last.covered && next.floor == last.floor);
}

std::vector<local_id> base_lids(const read_txn& txn) {
  std::vector<local_id> out;
  txn.each_from(table::disk, row_key::lid(0), [&](std::string_view key, std::string_view) {
    out.push_back(key_lid(key));
    return true;
  });
  return out;
}

} // namespace

// -- what the rest asks ------------------------------------------------------------------------------------------------------

version_vector space_store::cuts() const {
  version_vector out;
  read([&](const read_txn&, space_rows& rows) {
    rows.each_replica([&](replica_id rid, const replica_row& row) {
      if (row.cut)
        out[rid] = *row.cut;
    });
  });
  return out;
}

replica_heads space_store::heads() const {
  replica_heads out;
  read([&](const read_txn&, space_rows& rows) {
    rows.each_replica([&](replica_id rid, const replica_row& row) {
      if (row.seq > 0)
        out[rid] = {row.seq, row.head_hash, row.hlc, 0};
    });
  });
  for (auto& [rid, head] : out)
    if (auto found = find_bundle({rid, head.seq}))
      head = head_of(*found);
  return out;
}

void space_store::settle_left_behind(space_rows& rows) {
  auto rid = own();
  auto row = rid != 0 ? rows.replica(rid) : std::nullopt;
  left_behind_ = row && row->cut && !members()->cut_of(rid) ? rid : 0;
}

void space_store::note_cuts(const version_vector& before, space_change& change) const {
  for (const auto& [rid, seq] : cuts())
    if (auto was = before.find(rid); was == before.end() || was->second != seq)
      change.cuts.emplace_back(rid, seq);
}

// -- checkpoints -------------------------------------------------------------------------------------------------------------

std::optional<space_change> space_store::issue_checkpoint(uint64_t now_ms, std::span<const replica_id> linked, uint64_t active_ms) {
  auto self = own();
  if (self == 0 || members()->checkpointer() != self || !may_write())
    return std::nullopt;
  std::map<replica_id, std::vector<beat_fact>> signs;
  auto own_beat = make_beat(now_ms);
  signs[self].push_back({self, own_beat->seq, own_beat->hlc});
  for (const auto& beat : beats())
    signs[beat.rid].push_back({beat.rid, beat.seq, beat.hlc});
  for (const auto& [rid, head] : heads()) // a bundle says as much as a Beat
    signs[rid].push_back({rid, head.seq, head.hlc});
  std::vector<beat_fact> active;
  auto mine = members();
  for (const auto& member : mine->members()) {
    if (member.is_revoked() || member.cut)
      continue;
    auto found = signs.find(member.rid);
    bool is_linked = member.rid == self || std::find(linked.begin(), linked.end(), member.rid) != linked.end();
    if (found == signs.end()) {
      if (is_linked && harp::may_write(member.role))
        return std::nullopt; // its first Beat is on its way
      continue;
    }
    auto newest = std::max_element(found->second.begin(), found->second.end(), [](const auto& a, const auto& b) { return a.hlc < b.hlc; });
    if (is_linked || ms_of_hlc(newest->hlc) + active_ms >= now_ms)
      active.insert(active.end(), found->second.begin(), found->second.end());
  }
  std::optional<op_checkpoint> planned;
  read([&](const read_txn& txn, space_rows& rows) {
    auto absent = [&](const beat_fact& fact) { return rows.replica(fact.rid).value_or(replica_row{}).cut.has_value(); };
    std::erase_if(active, absent);
    log_source history{log_, txn};
    planned = plan_checkpoint(rows, active, history);
  });
  if (!planned)
    return std::nullopt;
  if (auto failure = log_.start_segment(db_))
    throw *failure;
  auto done = commit(now_ms, [&](space_edit& edit, space_rows&, write_txn&) { edit.add(*planned); });
  auto* change = std::get_if<space_change>(&done);
  return change != nullptr && !change->made.empty() ? std::optional{std::move(*change)} : std::nullopt;
}

void space_store::note_checkpoint(write_txn& txn, const std::vector<bundle_ptr>& bundles) {
  const op_checkpoint* newest = nullptr;
  for (const auto& b : bundles)
    if (const auto* found = checkpoint_of(b->content)) {
      checkpoint_ = b->content.id();
      newest = found;
    }
  txn.put(table::conf, checkpoint_key, dot_bytes(checkpoint_));
  byte_writer active;
  for (auto rid : newest != nullptr ? newest->active : std::vector<replica_id>{})
    active.u32(rid);
  txn.put(table::conf, active_key, active.bytes());
}

bool space_store::note_ack(replica_id rid, const dot& checkpoint) {
  if (checkpoint_.rid == 0 || checkpoint != checkpoint_)
    return false;
  bool all = true;
  write([&](write_txn& txn, space_rows&) {
    all = true;
    txn.put(table::conf, std::string{ack_prefix} + std::to_string(rid), dot_bytes(checkpoint));
    std::string listed{txn.get(table::conf, active_key).value_or(std::string_view{})};
    byte_reader in{listed};
    while (in.ok() && in.left() > 0) {
      auto one = in.u32();
      auto said = txn.get(table::conf, std::string{ack_prefix} + std::to_string(one));
      bool gone = members()->role_of(one) == member_role::none;
      all = all && (one == own() || gone || (said && *said == dot_bytes(checkpoint_)));
    }
  });
  return all;
}

size_t space_store::drop_log() {
  version_vector covered;
  read([&](const read_txn&, space_rows& rows) { covered = newest_checkpoint(rows).covered; });
  auto gone = log_.drop_covered(db_, covered);
  if (auto* failure = std::get_if<storage_failure>(&gone))
    throw *failure;
  return std::get<size_t>(gone);
}

bool space_store::has_gap(const op_range& range) const {
  auto known = known_.find(range.rid);
  if (known == known_.end() || range.from > known->second)
    return false;
  bool there = false;
  read([&](const read_txn& txn, space_rows&) { there = harp::find_bundle(txn, {range.rid, range.from}).has_value(); });
  return !there;
}

// -- snapshots ---------------------------------------------------------------------------------------------------------------

std::variant<snapshot_piece, std::string> space_store::export_piece(const std::string& cursor) const {
  std::variant<snapshot_piece, std::string> out;
  read([&](const read_txn&, space_rows& rows) { out = export_snapshot(rows, cursor); });
  return out;
}

/// Bundles of the log that the snapshot does not cover, in an order every one of them can be applied in.
void space_store::replay_log(write_txn& txn, space_rows& rows, const version_vector& covered, apply_result& result) {
  log_source history{log_, txn};
  std::vector<std::pair<uint64_t, bundle_row>> found;
  txn.each_from(table::bundle, {}, [&](std::string_view key, std::string_view value) {
    dot at{static_cast<replica_id>(key_number(key, 0, 4)), key_number(key, 4, 8)};
    if (auto row = decode_bundle_row(value); row && !covers(covered, at))
      found.emplace_back(row->hlc, *row);
    return found.size() < replayed_bundles_max;
  });
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [hlc, row] : found) {
    auto sealed = history.read(row);
    if (gate(rows, sealed.content) != gate_verdict::ready)
      continue;
    arriving_bundle arriving{&sealed.content, sealed.hash};
    auto more = harp::apply(rows, {&arriving, 1}, {own(), &history});
    result.voided.insert(result.voided.end(), more.voided.begin(), more.voided.end());
  }
}

std::variant<space_change, std::string> space_store::take_snapshot(const sealed_bundle& signed_by, const piece_source& pieces, uint64_t now_ms) {
  const auto* checkpoint = checkpoint_of(signed_by.content);
  if (checkpoint == nullptr || members()->judge(signed_by.content) != bundle_verdict::valid)
    return "the snapshot is not signed by the one who issues checkpoints here";
  space_change out;
  apply_result result;
  std::string trouble;
  auto rid = own();
  auto cuts_before = cuts();
  auto seq_before = known_.contains(rid) ? known_.at(rid) : 0;
  auto broken = db_.write([&](write_txn& txn) {
    out = {};
    result = {};
    space_rows_lmdb rows{txn};
    if (!is_newer(*checkpoint, newest_checkpoint(rows))) {
      trouble = "the snapshot is older than what is here";
      return false;
    }
    std::vector<std::pair<local_id, stamp>> safe; // what a keeper confirmed stays confirmed
    rows.each_node(0, [&](local_id lid, const node_row& row) {
      if (!row.is_dir())
        for (const auto& version : rows.versions(lid))
          if ((version.flags & version_safe) != 0)
            safe.emplace_back(lid, version.at);
      return true;
    });
    trouble = begin_import(rows, *checkpoint).value_or(std::string{});
    std::string piece;
    for (bool first = true; trouble.empty() && pieces(first, piece); first = false)
      trouble = import_piece(rows, piece).value_or(std::string{});
    if (trouble.empty())
      trouble = finish_import(rows, *checkpoint).value_or(std::string{});
    if (!trouble.empty())
      return false;
    for (const auto& [lid, at] : safe)
      if (auto version = rows.version(lid, at)) {
        version->flags |= version_safe;
        rows.put_version(lid, *version);
      }
    clock_.receive(signed_by.content.hlc, now_ms);
    txn.put(table::conf, clock_key, row_key{}.u64(clock_.last()));
    note_checkpoint(txn, {std::make_shared<const sealed_bundle>(signed_by)});
    replay_log(txn, rows, checkpoint->covered, result);
    settle_rows(rows);
    rows.flush();
    out.touched = base_lids(txn);
    if (rid != 0)
      keep_own_work(txn, rows, out.touched, rid, seq_before, result.voided, out);
    return true;
  });
  if (broken || !trouble.empty()) {
    load_state();
    if (broken)
      throw *broken;
    return trouble;
  }
  recent_.clear(); // everything may have changed
  ++changes_;
  out.checkpoint_applied = true;
  out.look_anew = true;
  note_cuts(cuts_before, out);
  make_anew(result.voided, now_ms, out);
  return out;
}

// -- what this device did ----------------------------------------------------------------------------------------------------

/// Own bundles from `from` on that the log still has, void by now.
std::vector<bundle> space_store::own_void(const read_txn& txn, replica_id rid, uint64_t from) const {
  std::vector<bundle> out;
  log_source history{log_, txn};
  history.each(rid, from, UINT64_MAX - 1, [&](const bundle& b) {
    out.push_back(b);
    return true;
  });
  return out;
}

/// In the transaction that made own bundles void, behind its flush: the folder's base rows go back to what is agreed.
void space_store::keep_own_work(write_txn& txn, space_rows& rows, const std::vector<local_id>& touched, replica_id rid, uint64_t seq_before,
                                std::vector<voided_content>& lost, space_change& change) {
  auto seq = rows.replica(rid).value_or(replica_row{}).seq;
  bool is_cut = seq_before > seq;
  if (!is_cut && lost.empty())
    return;
  auto gone = is_cut ? own_void(txn, rid, seq + 1) : std::vector<bundle>{};
  folder_rows_lmdb base{txn};
  auto on_disk = set_back_base(rows, base, touched, rid, gone);
  std::erase_if(lost, [&](const voided_content& one) { return on_disk.contains(prefix_of(one.cid)); });
  change.look_anew = true;
  if (is_cut) {
    txn.put(table::conf, left_behind_key, row_key{}.u32(rid).u64(seq + 1));
    lost.clear(); // finish_rebase() makes it anew, once there is another number
  }
}

space_change space_store::finish_rebase(uint64_t now_ms) {
  space_change out;
  replica_id rid = 0;
  uint64_t from = 0;
  bool has_folder = false;
  std::vector<bundle> lost;
  read([&](const read_txn& txn, space_rows&) {
    auto mark = txn.get(table::conf, left_behind_key);
    if (!mark || mark->size() != 12)
      return;
    rid = static_cast<replica_id>(key_number(*mark, 0, 4));
    from = key_number(*mark, 4, 8);
    has_folder = txn.has(table::conf, "folder_root");
    if (rid != own() && !has_folder)
      lost = own_void(txn, rid, from);
  });
  if (rid == 0 || rid == own() || !may_write())
    return out;
  auto done = commit(now_ms, [&](space_edit& edit, space_rows& rows, write_txn& txn) {
    std::map<node_id, std::pair<op_edit, tree_place>> last; // the newest content of every node
    for (const auto& b : lost)
      for (size_t idx = 0; idx < b.ops.size(); ++idx) {
        if (const auto* made = std::get_if<op_make_file>(&b.ops[idx]))
          last[made_node_id(b.id(), static_cast<uint16_t>(idx))] = {{{}, {}, made->meta, made->content}, {rows.find(made->parent), made->name}};
        else if (const auto* edited = std::get_if<op_edit>(&b.ops[idx])) {
          auto& one = last[edited->node];
          auto lid = rows.find(edited->node);
          auto node = lid != 0 ? rows.node(lid) : std::nullopt;
          auto base = one.first.base == stamp{} ? edited->base : one.first.base;
          if (node)
            one.second = {node->parent, node->name};
          one.first = {edited->node, base, edited->meta, edited->content};
        } else if (const auto* removed = std::get_if<op_delete>(&b.ops[idx])) {
          for (const auto& item : removed->items)
            last.erase(item.node);
        }
      }
    for (auto& [nid, work] : last) {
      if (work.second.parent == 0)
        work.second.parent = root_lid;
      if (!work.second.name.empty())
        edit.edit_or_make(rows.find(nid), work.first.base, work.second, work.first.meta, work.first.content);
    }
    txn.erase(table::conf, left_behind_key);
  });
  if (auto* change = std::get_if<space_change>(&done))
    out = std::move(*change);
  out.look_anew = true;
  return out;
}

} // namespace harp
