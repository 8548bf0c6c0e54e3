// A device whose own operations became void sets its folder's base back to what metadata still know, so that the planner finds
// its work on disk as local changes: nothing of it is lost (storage.md 5.4).
#pragma once

#include "storage/folder_rows.hpp"
#include "storage/op.hpp"
#include "storage/rows.hpp"

#include <set>
#include <span>
#include <vector>

namespace harp {

/// `lids`: nodes whose rows may have changed. `own`: the number under which the void operations were signed; `lost`: them, in
/// order (empty: not known, then only contents are kept). Returns the contents that stand on disk and will be found there.
/// Nodes that vanished are forgotten: what stands there is new. Versions that vanished become edits of the version they were
/// based on; moves and deletions are seen again on disk, a deletion only when the node is still what its author had seen.
std::set<content_prefix> set_back_base(space_rows& rows, folder_rows& base, std::span<const local_id> lids, replica_id own, std::span<const bundle> lost);

} // namespace harp
