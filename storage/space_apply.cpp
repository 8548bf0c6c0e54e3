#include "storage/space_apply.hpp"

#include "storage/checkpoint.hpp"
#include "storage/collision.hpp"
#include "storage/op_events.hpp"
#include "storage/row_batch.hpp"
#include "storage/space_cut.hpp"

#include <algorithm>

namespace harp {

namespace {

template <class T>
void add_all(std::vector<T>& to, std::vector<T> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void sort_unique(std::vector<local_id>& lids) {
  std::sort(lids.begin(), lids.end());
  lids.erase(std::unique(lids.begin(), lids.end()), lids.end());
}

const op_checkpoint* checkpoint_in(const bundle& b) {
  for (const auto& op : b.ops)
    if (const auto* found = std::get_if<op_checkpoint>(&op))
      return found;
  return nullptr;
}

/// Applies bundles between two checkpoints as one batch.
class batch_apply {
public:
  batch_apply(space_rows& rows, const apply_options& options, apply_result& result)
      : rows_(rows), mark_(newest_checkpoint(rows)), batch_(rows), watch_(rows, options.self),
        events_(batch_, watch_, mark_.covered, result, options.self), result_(result) {}

  void add(const bundle& b, size_t first_op, const digest256& hash) {
    auto row = known_replica(b.rid);
    row->seq = b.seq;
    row->hlc = b.hlc;
    row->head_hash = hash;
    if (b.hlc <= mark_.floor && !covers(mark_.covered, b.id()))
      return; // its clock lies: void for everybody (storage.md 5.4)
    watch_.begin(b);
    for (size_t idx = first_op; idx < b.ops.size(); ++idx)
      events_.add(b, idx);
  }
  replica_row* known_replica(replica_id rid) {
    auto [it, fresh] = replicas_.try_emplace(rid);
    if (fresh)
      if (auto stored = rows_.replica(rid))
        it->second = *stored;
    return &it->second;
  }
  void finish() {
    events_.refold();
    batch_.finish();
    for (const auto& [rid, row] : replicas_)
      rows_.put_replica(rid, row);
    add_all(result_.touched, batch_.touched());
    add_all(result_.notices, watch_.finish(batch_));
  }

private:
  space_rows& rows_;
  checkpoint_mark mark_;
  row_batch batch_;
  collision_watch watch_;
  op_events events_;
  apply_result& result_;
  std::map<replica_id, replica_row> replicas_;
};

void finish_result(apply_result& result) {
  sort_unique(result.touched);
  sort_unique(result.moved_dirs);
}

} // namespace

gate_verdict gate(space_rows& rows, const bundle& b) {
  auto own = rows.replica(b.rid).value_or(replica_row{});
  if (own.cut && b.seq > *own.cut)
    return gate_verdict::cut;
  if (b.seq <= own.seq)
    return gate_verdict::known;
  if (b.seq != own.seq + 1)
    return gate_verdict::early;
  for (const auto& need : b.context_delta) {
    auto other = rows.replica(need.rid).value_or(replica_row{});
    auto seq = other.cut ? std::min(need.seq, *other.cut) : need.seq;
    if (need.rid != b.rid && other.seq < seq)
      return gate_verdict::early;
  }
  return gate_verdict::ready;
}

apply_result apply(space_rows& rows, std::span<const arriving_bundle> bundles,
                   const apply_options& options) {
  apply_result result;
  for (size_t i = 0; i < bundles.size();) {
    batch_apply batch(rows, options, result);
    const op_checkpoint* checkpoint = nullptr;
    uint64_t hlc = 0;
    for (; i < bundles.size() && checkpoint == nullptr; ++i) {
      const auto& b = *bundles[i].body;
      auto* own = batch.known_replica(b.rid);
      if (b.seq != own->seq + 1 || (own->cut && b.seq > *own->cut)) {
        result.refused.push_back(b.id());
        continue;
      }
      batch.add(b, 0, bundles[i].hash);
      checkpoint = checkpoint_in(b);
      hlc = b.hlc;
    }
    batch.finish();
    if (checkpoint != nullptr)
      apply_checkpoint(rows, *checkpoint, hlc, options, result);
  }
  finish_result(result);
  return result;
}

apply_result apply_draft(space_rows& rows, const bundle& b, size_t first_op,
                         const apply_options& options) {
  apply_result result;
  batch_apply batch(rows, options, result);
  batch.add(b, first_op, {});
  batch.finish();
  for (size_t idx = first_op; idx < b.ops.size(); ++idx)
    if (const auto* checkpoint = std::get_if<op_checkpoint>(&b.ops[idx]))
      apply_checkpoint(rows, *checkpoint, b.hlc, options, result);
  finish_result(result);
  return result;
}

apply_result cut(space_rows& rows, replica_id rid, uint64_t last_seq,
                 const apply_options& options) {
  apply_result result;
  auto row = rows.replica(rid).value_or(replica_row{});
  auto last = std::max(last_seq, newest_checkpoint(rows).covered[rid]);
  if (row.cut && *row.cut <= last)
    return result;
  void_bundles(rows, {{rid, last}}, newest_checkpoint(rows), options, result);
  tell_voided(rows, result, 0);
  finish_result(result);
  return result;
}

version_vector applied_vector(space_rows& rows) {
  version_vector out;
  rows.each_replica([&](replica_id rid, const replica_row& row) {
    if (row.seq > 0)
      out[rid] = row.seq;
  });
  return out;
}

void set_head_hash(space_rows& rows, replica_id rid, const digest256& hash) {
  auto row = rows.replica(rid).value_or(replica_row{});
  row.head_hash = hash;
  rows.put_replica(rid, row);
}

std::optional<uint64_t> policy_value(space_rows& rows, std::string_view name) {
  auto entries = policy_entries(rows, name);
  return entries.empty() ? std::nullopt : std::optional{entries.back().value};
}

} // namespace harp
