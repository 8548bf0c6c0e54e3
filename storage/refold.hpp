// Repair of rows: every node folded anew from its events, which are signed and cannot be wrong (storage.md 5.1).
#pragma once

#include "storage/space_store.hpp"

namespace harp {

inline constexpr size_t refold_nodes_per_txn = 2000;

/// Folds all nodes and counts the state root anew; how many rows were not what their events say. The store's thread; throws
/// storage_failure. Rows that a checkpoint folded are their own base: of them only what follows from later events is mended.
size_t refold_space(space_store& space);

} // namespace harp
