#include "storage/space_cut.hpp"

#include "storage/collision.hpp"
#include "storage/fold.hpp"
#include "storage/op_events.hpp"
#include "storage/row_batch.hpp"

namespace harp {

namespace {

uint64_t seq_in(const version_vector& vv, replica_id rid) {
  auto it = vv.find(rid);
  return it == vv.end() ? 0 : it->second;
}

void mark_cut(space_rows& rows, replica_id rid, uint64_t last) {
  auto row = rows.replica(rid).value_or(replica_row{});
  row.cut = last;
  if (row.seq > last) {
    row.seq = last;
    row.head_hash = {};
  }
  rows.put_replica(rid, row);
}

} // namespace

void tell_voided(space_rows& rows, apply_result& result, size_t from) {
  uint64_t newest = 0;
  rows.each_replica(
      [&](replica_id, const replica_row& row) { newest = std::max(newest, row.hlc); });
  for (size_t i = from; i < result.voided.size(); ++i) {
    notice_row notice;
    notice.hlc = newest;
    notice.code = notice_code::voided;
    notice.arguments = {result.voided[i].path};
    rows.put_notice(notice);
    result.notices.push_back(std::move(notice));
  }
}

void void_bundles(space_rows& rows, const std::map<replica_id, uint64_t>& cuts,
                  const checkpoint_mark& line, const apply_options& options, apply_result& result) {
  row_batch batch(rows);
  collision_watch watch(rows, 0);
  op_events events(batch, watch, newest_checkpoint(rows).covered, result, options.self);
  rows.each_replica([&](replica_id rid, const replica_row& stored) {
    auto cut = cuts.find(rid);
    auto from = (cut != cuts.end() ? cut->second : seq_in(line.covered, rid)) + 1;
    if (from > stored.seq || options.history == nullptr)
      return;
    options.history->each(rid, from, stored.seq, [&](const bundle& b) {
      if (cut == cuts.end() && b.hlc > line.floor)
        return false; // the clock rises along a chain
      events.remove(b);
      return true;
    });
  });
  events.refold([&](const dir_move_row& entry) {
    auto cut = cuts.find(entry.by.rid);
    if (cut != cuts.end())
      return entry.by.seq > cut->second;
    return entry.at.hlc <= line.floor && !covers(line.covered, entry.by);
  });
  batch.finish();
  for (const auto& [rid, last] : cuts)
    mark_cut(rows, rid, last);
  const auto& touched = batch.touched();
  result.touched.insert(result.touched.end(), touched.begin(), touched.end());
}

} // namespace harp
