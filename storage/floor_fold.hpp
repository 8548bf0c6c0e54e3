// What a checkpoint leaves of the space (storage.md 5.4): floor rows as a function of (V, floor) alone. Reads rows only.
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/dir_moves.hpp"
#include "storage/fold.hpp"
#include "storage/state_root.hpp"

#include <set>
#include <unordered_map>

namespace harp {

/// A node as the checkpoint sees it: the fold of what V covers, a dir standing where the moves up to the floor put it.
struct floor_node {
  enum class fate : uint8_t {
    outside, // not created within V: none of its events is folded
    kept,
    purged,    // dead for longer than the Trash time: the row goes
    tombstone, // the same for an adopted file, whose derived id may come again: its versions go
  };
  fate what = fate::outside;
  node_row row;
  std::vector<version_row> versions; // within V
};

/// The part of a row that a floor row keeps.
node_row floor_part(node_row row);

class floor_fold {
public:
  /// From the newest checkpoint to `next`. Everything between them must be in `history`.
  floor_fold(space_rows& rows, const checkpoint_mark& next, bundle_source& history);

  /// Nodes whose floor row may change, by lid.
  [[nodiscard]] const std::set<local_id>& work() const { return work_; }
  floor_node at(local_id lid);
  /// The buckets as they will be. The caller compares, then saves.
  root_buckets& root();
  [[nodiscard]] uint64_t purge_before() const { return purge_before_; }
  [[nodiscard]] const std::vector<dir_move_row>& log() const { return log_; }

private:
  void collect(bundle_source& history);
  void flip_node(local_id lid);
  void flip_moves();
  bool is_made(local_id lid);
  node_id nid_of(local_id lid);

  space_rows& rows_;
  checkpoint_mark last_;
  checkpoint_mark next_;
  uint64_t purge_before_ = 0;
  std::vector<dir_move_row> log_;
  std::unordered_map<local_id, dir_position> places_;
  std::set<local_id> work_;
  root_buckets root_;
  bool counted_ = false;
};

/// The buckets over floor rows, counted anew and not saved.
root_buckets count_floor_root(space_rows& rows);
/// Record of a move that V covers but the floor does not: it goes on being replayed.
std::string canonical_move(const dir_move_row& entry, const node_id& node, const node_id& parent);
/// The floor row of a node at the newest checkpoint; nothing: made since, or the root.
std::optional<node_row> newest_floor_of(space_rows& rows, local_id lid, const node_row& row);

} // namespace harp
