#include "storage/checkpoint.hpp"

#include "storage/byte_codec.hpp"
#include "storage/collision.hpp"
#include "storage/floor_fold.hpp"
#include "storage/op_events.hpp"
#include "storage/space_cut.hpp"

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

constexpr std::string_view mark_setting = "checkpoint";
constexpr std::string_view purge_setting = "purged_before";
constexpr size_t mark_replicas_max = 1u << 16;

bool reaches(const version_vector& to, const version_vector& from) {
  return std::all_of(from.begin(), from.end(), [&](const auto& entry) {
    return covers(to, {entry.first, entry.second});
  });
}

/// Known replicas that are not on the active list are cut at V. One that V has nothing of has not been heard of yet.
std::map<replica_id, uint64_t> cuts_of(space_rows& rows, const op_checkpoint& checkpoint) {
  std::map<replica_id, uint64_t> out;
  rows.each_replica([&](replica_id rid, const replica_row& row) {
    auto covered = checkpoint.covered.find(rid);
    bool active = std::find(checkpoint.active.begin(), checkpoint.active.end(), rid)
                  != checkpoint.active.end();
    if (!active && covered != checkpoint.covered.end() && covered->second > 0
        && (!row.cut || *row.cut > covered->second))
      out[rid] = covered->second;
  });
  return out;
}

/// Writes the floor rows and drops what they stand for.
class floor_writer {
public:
  floor_writer(space_rows& rows, const checkpoint_mark& next, floor_fold& floors,
               const apply_options& options, apply_result& result)
      : rows_(rows), next_(next), floors_(floors), batch_(rows), watch_(rows, 0),
        events_(batch_, watch_, next.covered, result, options.self), result_(result) {}

  void run() {
    for (auto lid : floors_.work())
      write(lid);
    events_.refold([&](const dir_move_row& entry) {
      return entry.at.hlc <= next_.floor && outside_.contains(entry.node);
    });
    for (const auto& entry : floors_.log())
      if (entry.at.hlc > next_.floor)
        moving_.insert(entry.node);
    for (auto lid : kept_)
      if (is_floor_now(lid))
        rows_.erase_floor(lid);
    batch_.finish();
    for (const auto& entry : rows_.dir_moves_from(stamp{}))
      if (entry.at.hlc <= next_.floor)
        rows_.erase_dir_move(entry.at, entry.node);
    auto touched = batch_.touched();
    result_.touched.insert(result_.touched.end(), touched.begin(), touched.end());
  }

private:
  void write(local_id lid) {
    auto node = floors_.at(lid);
    if (node.what == floor_node::fate::outside) {
      outside_.insert(lid);
      return;
    }
    if (node.what == floor_node::fate::purged)
      return events_.purge(lid);
    for (const auto& event : rows_.events(lid))
      if (event.what != event_row::kind::graft && covers(next_.covered, event.by))
        rows_.erase_event(lid, event.at);
    if (node.what == floor_node::fate::tombstone)
      for (const auto& version : rows_.versions(lid))
        if (covers(next_.covered, version.by))
          batch_.erase_version(lid, node.row.nid, version);
    rows_.put_floor(lid, node.row);
    events_.touch(lid);
    kept_.push_back(lid);
  }
  /// Nothing outside V: the row itself is the floor row.
  bool is_floor_now(local_id lid) {
    auto* row = batch_.find(lid);
    auto inside = [&](const auto& x) { return covers(next_.covered, x.by); };
    auto events = rows_.events(lid);
    auto versions = rows_.versions(lid);
    // A dir with moves still in the log may be put elsewhere by a merge that does not touch it.
    return row != nullptr && !moving_.contains(lid) && floor_part(row->row) == rows_.floor(lid)
           && std::all_of(events.begin(), events.end(), inside)
           && std::all_of(versions.begin(), versions.end(), inside);
  }

  space_rows& rows_;
  const checkpoint_mark& next_;
  floor_fold& floors_;
  row_batch batch_;
  collision_watch watch_;
  op_events events_;
  apply_result& result_;
  std::vector<local_id> kept_;
  std::unordered_set<local_id> outside_;
  std::unordered_set<local_id> moving_;
};

void save_mark(space_rows& rows, const checkpoint_mark& mark) {
  byte_writer out;
  out.u64(mark.floor);
  out.id(mark.root);
  for (const auto& [rid, seq] : mark.covered)
    out.id(dot{rid, seq});
  rows.put_setting(mark_setting, out.bytes());
}

void refuse(space_rows& rows, uint64_t hlc, apply_result& result) {
  notice_row notice;
  notice.hlc = hlc;
  notice.code = notice_code::state_differs;
  notice.arguments = {"checkpoint"};
  rows.put_notice(notice);
  result.notices.push_back(std::move(notice));
  result.checkpoint_refused = true;
}

} // namespace

checkpoint_mark newest_checkpoint(space_rows& rows) {
  checkpoint_mark out;
  auto stored = rows.setting(mark_setting);
  if (stored.empty())
    return out;
  byte_reader in(stored);
  out.floor = in.u64();
  out.root = in.id<digest256>();
  while (in.ok() && in.left() > 0 && out.covered.size() < mark_replicas_max) {
    auto d = in.id<dot>();
    out.covered[d.rid] = d.seq;
  }
  return out;
}

void put_checkpoint(space_rows& rows, const checkpoint_mark& mark, uint64_t purge_before) {
  save_mark(rows, mark);
  rows.put_setting(purge_setting, std::to_string(purge_before));
}

uint64_t purged_before(space_rows& rows) {
  uint64_t out = 0;
  auto stored = rows.setting(purge_setting);
  std::from_chars(stored.data(), stored.data() + stored.size(), out);
  return out;
}

void apply_checkpoint(space_rows& rows, const op_checkpoint& checkpoint, uint64_t hlc,
                      const apply_options& options, apply_result& result) {
  auto last = newest_checkpoint(rows);
  checkpoint_mark next{checkpoint.covered, checkpoint.floor, checkpoint.root};
  if (!reaches(next.covered, last.covered) || next.floor < last.floor
      || (next.covered == last.covered && next.floor == last.floor))
    return;
  if (options.history == nullptr || next.floor > hlc
      || !reaches(applied_vector(rows), next.covered))
    return refuse(rows, hlc, result);
  floor_fold judged(rows, next, *options.history);
  if (judged.root().root() != next.root)
    return refuse(rows, hlc, result);
  auto voided_before = result.voided.size();
  void_bundles(rows, cuts_of(rows, checkpoint), next, options, result);
  floor_fold floors(rows, next, *options.history);
  floor_writer(rows, next, floors, options, result).run();
  judged.root().save();
  put_checkpoint(rows, next, floors.purge_before());
  tell_voided(rows, result, voided_before);
  result.checkpoint_applied = true;
}

std::optional<op_checkpoint> plan_checkpoint(space_rows& rows, std::span<const beat_fact> active,
                                             bundle_source& history) {
  op_checkpoint out;
  out.covered = applied_vector(rows);
  std::map<replica_id, uint64_t> newest;
  for (const auto& beat : active) {
    auto& hlc = newest[beat.rid];
    if (beat.seq == 0 || covers(out.covered, {beat.rid, beat.seq}))
      hlc = std::max(hlc, beat.hlc);
  }
  if (newest.empty())
    return std::nullopt;
  out.floor = UINT64_MAX;
  for (const auto& [rid, hlc] : newest) {
    out.active.push_back(rid);
    out.floor = std::min(out.floor, hlc);
  }
  auto last = newest_checkpoint(rows);
  if (out.floor <= last.floor || !reaches(out.covered, last.covered))
    return std::nullopt;
  out.root = floor_fold(rows, {out.covered, out.floor, {}}, history).root().root();
  return out;
}

uint64_t settled_line(space_rows& rows, std::span<const beat_fact> beats) {
  std::map<replica_id, uint64_t> newest;
  for (const auto& beat : beats) {
    auto& hlc = newest[beat.rid];
    if (rows.replica(beat.rid).value_or(replica_row{}).seq >= beat.seq)
      hlc = std::max(hlc, beat.hlc);
  }
  uint64_t line = newest.empty() ? 0 : UINT64_MAX;
  for (const auto& [rid, hlc] : newest)
    line = std::min(line, hlc);
  return line;
}

root_buckets count_floor_root(space_rows& rows) {
  auto mark = newest_checkpoint(rows);
  root_buckets fresh(rows, "floor_root");
  fresh.clear();
  auto nid_of = [&](local_id lid) { return rows.node(lid).value_or(node_row{}).nid; };
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    auto base = newest_floor_of(rows, lid, row);
    if (!base)
      return true;
    fresh.flip(row.nid, canonical_row(*base, base->parent == 0 ? node_id{} : nid_of(base->parent)));
    for (const auto& version : rows.versions(lid))
      if (covers(mark.covered, version.by))
        fresh.flip(row.nid, canonical_version(row.nid, version));
    return true;
  });
  for (const auto& entry : rows.dir_moves_from(stamp{}))
    if (covers(mark.covered, entry.by) && entry.at.hlc > mark.floor)
      fresh.flip(nid_of(entry.node),
                 canonical_move(entry, nid_of(entry.node), nid_of(entry.parent)));
  return fresh;
}

digest256 recount_floor_root(space_rows& rows) {
  return count_floor_root(rows).root();
}

} // namespace harp
