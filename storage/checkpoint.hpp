// Checkpoints (storage.md 5.4): fold what is agreed into floor rows, drop its events, purge old Trash, cut the absent.
#pragma once

#include "storage/space_apply.hpp"

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace harp {

/// The newest checkpoint this space has applied; empty vector and floor 0 before the first one.
struct checkpoint_mark {
  version_vector covered; // V
  uint64_t floor = 0;
  digest256 root;
};
checkpoint_mark newest_checkpoint(space_rows& rows);

checkpoint_mark newest_checkpoint(space_rows& rows);
/// Files that died before this clock and are still dead at the newest checkpoint are purged; 0: none yet.
uint64_t purged_before(space_rows& rows);

void put_checkpoint(space_rows& rows, const checkpoint_mark& mark, uint64_t purge_before);

/// Days a deleted file stays in Trash unless Policy `trash_days` says otherwise.
inline constexpr uint64_t trash_days_default = 90;

/// Carries out a Checkpoint operation of a bundle with clock `hlc`: part of apply(). Not newer than the newest one:
/// nothing. Its root is compared before anything is changed.
void apply_checkpoint(space_rows& rows, const op_checkpoint& checkpoint, uint64_t hlc,
                      const apply_options& options, apply_result& result);

/// The last Beat of a replica, as signed by it.
struct beat_fact {
  replica_id rid = 0;
  uint64_t seq = 0;
  uint64_t hlc = 0;
};

/// The checkpointing keeper's plan: V = what is applied here, floor = the least hlc of the Beats of the active whose seq
/// is within V, root = what every node will compute. Nothing to gain (no beat, floor not above the last one): nothing.
/// A replica that never signed anything may be left out of `active`: it is not cut by that.
std::optional<op_checkpoint> plan_checkpoint(space_rows& rows, std::span<const beat_fact> active,
                                             bundle_source& history);

/// The settled line (storage.md 4.6): least hlc over active replicas of their last Beat whose bundles are all applied.
uint64_t settled_line(space_rows& rows, std::span<const beat_fact> beats);

/// Recounts the root over floor rows from scratch: for verify and tests.
digest256 recount_floor_root(space_rows& rows);

// -- bootstrap (storage.md 5.2) ------------------------------------------------------------------

inline constexpr size_t snapshot_piece_bytes_max = 256u << 10;

/// A part of a snapshot. `next` empty: this was the last. A cursor belongs to its exporter and its checkpoint.
struct snapshot_piece {
  std::string bytes;
  std::string next;
};
/// Fails with a text when a newer checkpoint has been applied since the cursor was given: start again.
std::variant<snapshot_piece, std::string> export_snapshot(space_rows& rows, std::string_view cursor,
                                                          size_t bytes_max
                                                          = snapshot_piece_bytes_max);

/// Takes a snapshot over. begin (one transaction) forgets all rows but keeps aliases, disk rows and settings of others;
/// add takes the pieces in order; finish compares with the signed checkpoint. Any error text: begin anew with another peer.
std::optional<std::string> begin_import(space_rows& rows, const op_checkpoint& checkpoint);
std::optional<std::string> import_piece(space_rows& rows, std::string_view bytes);
std::optional<std::string> finish_import(space_rows& rows, const op_checkpoint& checkpoint);

} // namespace harp
