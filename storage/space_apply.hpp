// Bundles into rows (storage.md 4.2): insert events, refold what they touch, keep entries, counters, state root, notices.
#pragma once

#include "storage/rows.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace harp {

/// Old bundles by author, for cuts and checkpoints. Must also know the bundles of the batch being applied (append to the
/// oplog first). Everything not covered by the newest checkpoint has to be there.
class bundle_source {
public:
  virtual ~bundle_source() = default;
  /// Bundles from <= seq <= to of `rid` that are known here, in order; false stops.
  virtual void each(replica_id rid, uint64_t from, uint64_t to,
                    const std::function<bool(const bundle&)>& visit)
      = 0;
};

/// A bundle that passed signature, roster and clock, with the hash its author's next bundle names as previous.
struct arriving_bundle {
  const bundle* body = nullptr;
  digest256 hash;
};

struct apply_options {
  replica_id self = 0;              // own rid here: whom notices are for; 0: nobody
  bundle_source* history = nullptr; // needed only when a Checkpoint or a cut may come
};

/// Own content that became void by a cut: to be made anew as a file (storage.md 4.2).
struct voided_content {
  std::string path; // where it was
  node_kind kind = node_kind::file;
  node_meta meta;
  content_id cid;
  uint64_t size = 0;
};

/// What others must know after the commit. All lists without duplicates.
struct apply_result {
  std::vector<local_id> touched;    // rows that changed; the same are marked dirty
  std::vector<local_id> moved_dirs; // dirs whose own position changed: paths below are others now
  std::vector<notice_row> notices;  // already stored
  std::vector<voided_content> voided;
  std::vector<dot> refused; // bundles out of turn (gate() not asked): nothing of them was applied
  bool checkpoint_applied = false;
  bool checkpoint_refused = false; // its root is not what we computed: alert (notice state_differs)
};

/// Reasons of dirty marks.
enum dirty_reason : uint8_t {
  dirty_content = 1, // version or meta
  dirty_place = 2,   // position, shown name, members of its slot or group
  dirty_life = 4,    // shown or no longer shown
};

enum class gate_verdict : uint8_t {
  ready, // may be applied now
  known, // already applied
  early, // something before it is missing
  cut,   // its author is cut below it: void
};
/// The causal gate. Context entries above a cut count as the cut.
gate_verdict gate(space_rows& rows, const bundle& b);

/// Applies bundles in causal order (each `ready` when its turn comes) inside the transaction of `rows`.
apply_result apply(space_rows& rows, std::span<const arriving_bundle> bundles,
                   const apply_options& options);

/// Cuts `rid` at `last_seq` (Revoke, storage.md 5.3): its later events are void. Never below the newest checkpoint.
/// Needs options.history. Repeating it, or cutting higher than before, changes nothing.
apply_result cut(space_rows& rows, replica_id rid, uint64_t last_seq, const apply_options& options);

/// For space_edit: operations from `first_op` on of an own bundle that is still being put together.
apply_result apply_draft(space_rows& rows, const bundle& b, size_t first_op,
                         const apply_options& options);

/// How far every replica is applied here; a cut replica counts as its cut.
version_vector applied_vector(space_rows& rows);

/// Completes the replica row of own bundles that space_edit applied before they had a hash.
void set_head_hash(space_rows& rows, replica_id rid, const digest256& hash);

/// A value set by Policy operations: the greatest stamp wins. Nothing: never set.
std::optional<uint64_t> policy_value(space_rows& rows, std::string_view name);

} // namespace harp
