// The fold of one node (storage.md 3): base row, events and versions in, the node's row out. Pure; the order in which
// events came plays no part, for it sees only their set.
#pragma once

#include "storage/rows.hpp"

#include <span>
#include <vector>

namespace harp {

/// What a node is made of. `base` is its floor row, or, for a node made since the newest checkpoint, its seed: identity and
/// first position, nothing else.
struct fold_input {
  node_row base;
  std::vector<event_row> events;     // by stamp
  std::vector<version_row> versions; // by stamp
};

/// `versions` is what the version rows must be: overtaken marks set, versions of Restore made or taken away.
struct folded_node {
  node_row row; // without shown, shown_kids; position of a dir is the base's: dir_moves decides
  std::vector<version_row> versions; // by stamp
};

/// `covered`: what the newest checkpoint folded into base rows. A version within it gives no life of its own any more.
folded_node fold(const fold_input& in, const version_vector& covered);

/// The linear order of versions: those of Adopt first, by mtime, then the others by stamp.
bool is_before(const version_row& a, const version_row& b);
/// Sorts into that order and sets or clears version_overtaken: an Edit whose base is not its predecessor (nor one of
/// equal content just before it) marks the predecessor.
void order_versions(std::vector<version_row>& versions);

/// True when `by` is within `covered`.
bool covers(const version_vector& covered, const dot& by);
/// The seed of a node: what is left of a row when its events are taken away.
node_row seed_of(const node_row& row);

} // namespace harp
