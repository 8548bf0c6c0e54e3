#include "storage/refold.hpp"

#include "storage/collision.hpp"
#include "storage/op_events.hpp"

namespace harp {

namespace {

/// The next nodes from `from` on, folded; 0 when there are none.
local_id refold_some(space_rows& rows, local_id from, size_t& mended) {
  std::vector<local_id> lids;
  local_id next = 0;
  rows.each_node(from, [&](local_id lid, const node_row&) {
    if (lids.size() == refold_nodes_per_txn) {
      next = lid;
      return false;
    }
    if (lid != root_lid)
      lids.push_back(lid);
    return true;
  });
  apply_result result;
  row_batch batch{rows};
  collision_watch watch{rows, 0}; // nobody is told: nothing happened
  op_events events{batch, watch, newest_checkpoint(rows).covered, result, 0};
  for (auto lid : lids)
    events.touch(lid);
  events.refold();
  batch.finish();
  mended += batch.touched().size();
  return next;
}

} // namespace

size_t refold_space(space_store& space) {
  size_t mended = 0;
  for (local_id from = 1; from != 0;) {
    size_t here = 0;
    local_id next = 0;
    space.write([&](write_txn&, space_rows& rows) {
      here = 0; // this may be called again
      next = refold_some(rows, from, here);
    });
    mended += here;
    from = next;
  }
  space.recount();
  return mended;
}

} // namespace harp
