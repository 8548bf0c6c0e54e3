// Operations into event, version and directory move rows, and out again when they are cut (storage.md 3.1, 4.2).
#pragma once

#include "storage/collision.hpp"
#include "storage/fold.hpp"
#include "storage/row_batch.hpp"

#include <unordered_map>

namespace harp {

/// Collects what the operations of a batch do to rows; refold() makes the rows of it. One per apply.
class op_events {
public:
  op_events(row_batch& batch, collision_watch& watch, version_vector covered, apply_result& result,
            replica_id self);

  /// Operation `idx` of `b`. Checkpoints are not events: ignored here.
  void add(const bundle& b, size_t idx);
  /// The events of a bundle that is void now.
  void remove(const bundle& b);
  /// A purged file: nothing of it stays.
  void purge(local_id lid);
  /// A node whose rows somebody else changed.
  void touch(local_id lid) { open_[lid]; }
  /// Folds all touched nodes, merges directory moves, settles counters. `gone`: dir moves that are void now.
  void refold(const std::function<bool(const dir_move_row&)>& gone = {});

private:
  struct pending {
    bool fresh = false; // made in this batch: its rows are known without reading
    std::vector<event_row> events;
    std::vector<version_row> versions;
  };

  void make_file(const op_make_file& op, const stamp& at, dot by);
  void make_dir(const op_make_dir& op, const stamp& at, dot by);
  void adopt(const op_adopt& op, const stamp& at, dot by);
  void edit(const op_edit& op, const stamp& at, dot by);
  void move(const op_move& op, const stamp& at, dot by);
  void put_policy(const op_policy& op, const stamp& at, dot by);

  local_id dir_for(const node_id& nid);
  local_id target(const node_id& nid);
  void keep_base(local_id lid, bool for_move);
  void add_event(local_id lid, event_row event);
  void add_version(local_id lid, version_row version, const content_ref& content);
  void forget_version(local_id lid, const stamp& at);
  void refold_node(local_id lid, pending& node);
  void write_versions(local_id lid, const node_id& nid, const std::vector<version_row>& before,
                      const std::vector<version_row>& after);
  void watch_overtaken(local_id lid, const std::vector<version_row>& before,
                       std::vector<version_row> after);
  void erase(local_id lid, batch_row& row);
  void refuse_own(local_id lid, const version_row& version);
  void merge_moves(const std::function<bool(const dir_move_row&)>& gone);

  row_batch& batch_;
  space_rows& rows_;
  collision_watch& watch_;
  version_vector covered_;
  apply_result& result_;
  replica_id self_;
  std::unordered_map<local_id, pending> open_;
  std::vector<dir_move_row> moves_;
  std::vector<std::pair<local_id, dir_position>> initial_;
  std::unordered_map<local_id, voided_content> voided_;
};

/// The base of a node for its fold: floor row, folded row, or seed.
node_row base_of(space_rows& rows, local_id lid, const node_row& row);

/// The nodes that an operation of `b` names or makes, without parents.
std::vector<node_id> nodes_of(const bundle& b, size_t idx);

/// Values of a Policy register still known, by stamp.
struct policy_entry {
  stamp at;
  dot by;
  uint64_t value = 0;
};
inline constexpr size_t policy_entries_max
    = 32; // per name: more than any honest admin sets between two checkpoints
std::vector<policy_entry> policy_entries(space_rows& rows, std::string_view name);
void save_policy(space_rows& rows, std::string_view name, std::vector<policy_entry> entries);
/// All names that were ever set.
std::vector<std::string> policy_names(space_rows& rows);

} // namespace harp
