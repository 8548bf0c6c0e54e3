// One run of the planner: what it has looked at, decided and reserved. Only planner*.cpp include it.
#pragma once

#include "storage/planner.hpp"

#include <map>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>

namespace harp {

/// Answers of the trees are kept for the run, so one batch rests on one picture.
class planner_run {
public:
  planner_run(want_tree& want, folder_rows& base, disk_tree& disk, const plan_guards& guards,
              size_t actions_max)
      : want_(want), base_(base), disk_(disk), guards_(guards), actions_max_(actions_max) {}
  plan_result run(const plan_input& input);

private:
  enum class turn : uint8_t { running, clean, acted, waits };
  enum class place_state : uint8_t { here, gone, unknown };
  /// A directory of the base on disk: the same inode at its place, or not.
  struct dir_view {
    place_state state = place_state::unknown;
    std::string path;
  };
  /// The name an entry gets in a directory here, and what stands there now.
  struct slot_choice {
    std::string name;
    disk_look look;
    local_id occupant = 0;
    bool found = false;
  };
  struct known_move {
    local_id lid = 0;
    bool unknown = false;
  };

  // what is (planner_run.cpp)
  turn visit_with_slot(local_id lid);
  turn visit_own_children(local_id dir);
  void break_deadlock();
  const std::optional<base_row>& base(local_id lid);
  const disk_look& look(const disk_place& place);
  const dir_view& dir(local_id lid);
  dir_view find_dir(local_id lid);
  bool settling(std::string_view path) const { return guards_.settling && guards_.settling(path); }
  bool add(plan_action action, std::span<const local_id> lids, std::span<const disk_place> places,
           std::span<const local_id> moved);
  [[nodiscard]] bool can_add(std::span<const local_id> lids, std::span<const disk_place> places,
                             std::span<const local_id> moved);
  void reserve(std::span<const local_id> lids, std::span<const disk_place> places,
               std::span<const local_id> moved);
  disk_place place_key(const disk_place& place) const;
  turn wait(plan_wait why, local_id lid, const disk_place& place, std::string path = {});
  turn done_or_later(bool added, local_id lid, const disk_place& place);

  // disk -> operations (planner_local.cpp)
  void note_arrival(const disk_place& place);
  turn visit_place(const disk_place& place);
  turn see_place(const disk_place& place);
  turn compare(local_id lid, const base_row& row, const file_stat& stat, const disk_place& place,
               const std::string& path);
  turn compare_dir(local_id lid, const base_row& row, const file_stat& stat,
                   const disk_place& place);
  turn arrival(const disk_place& place, const std::string& path, const file_stat& stat);
  turn bring_home(const disk_place& place, const std::string& path, const file_stat& stat,
                  const std::string& name, local_id home);
  turn arrive(const disk_place& place, const std::string& path, const file_stat& stat,
              std::string name);
  std::optional<std::string> synced_name(const disk_place& place, const std::string& path,
                                         const file_stat& stat, bool tell);
  known_move known(const file_stat& stat, const disk_place& place);
  bool in_ring(local_id lid, const disk_place& place);
  place_state old_place(const base_row& row);
  void finish_losses();
  bool collect(local_id lid, unsigned depth);
  [[nodiscard]] bool arrived(const file_stat& seen) const;
  size_t removal_chunk();
  bool may_remove(local_id lid, const base_row& row);

  // metadata -> disk (planner_want.cpp)
  turn visit_lid(local_id lid, unsigned depth);
  turn see_lid(local_id lid, unsigned depth);
  turn see_base(local_id lid, const base_row& row, const std::optional<want_node>& wanted,
                unsigned depth);
  turn bring_together(local_id lid, const want_node& wanted, const base_row& row,
                      const std::string& path, const file_stat& seen, unsigned depth);
  turn appear(local_id lid, const want_node& wanted, unsigned depth);
  turn appear_over(local_id lid, const want_node& wanted, const slot_choice& slot, unsigned depth);
  turn remove(local_id lid, const base_row& row, const std::string& path, const file_stat& seen,
              unsigned depth);
  turn relocate(local_id lid, const want_node& wanted, const base_row& row, const std::string& path,
                const file_stat& seen, unsigned depth);
  turn relocate_over(local_id lid, const want_node& wanted, const base_row& row,
                     const slot_choice& slot, unsigned depth);
  turn aside(local_id lid);
  slot_choice choose(local_id parent, const std::string& name, local_id lid);
  bool stands_for_other(const disk_place& place, const disk_look& seen, const std::string& name,
                        local_id lid);
  bool inside(local_id lid, local_id of);
  do_place placement(local_id lid, const want_node& wanted, const disk_place& place);
  bool parent_ready(local_id parent, unsigned depth);

  want_tree& want_;
  folder_rows& base_;
  disk_tree& disk_;
  const plan_guards& guards_;
  size_t actions_max_;
  plan_result out_;
  std::unordered_map<local_id, std::optional<base_row>> rows_;
  std::map<disk_place, disk_look> looks_;
  std::unordered_map<local_id, dir_view> dirs_;
  std::map<disk_place, turn> places_;
  std::unordered_map<local_id, turn> lids_;
  std::map<std::pair<uint64_t, uint64_t>, file_stat>
      arrived_; // inodes seen at places that are not theirs
  std::unordered_set<local_id> used_lids_;
  std::set<disk_place> used_places_;
  std::unordered_set<local_id> moved_; // directories whose path or node changes in this batch
  std::unordered_set<local_id> busy_;  // directories above an action of this batch
  std::set<local_id> gone_;
  std::set<local_id> blockers_; // nodes that stand where others are wanted
  std::vector<emit_edit> edits_;
  std::vector<std::vector<emit_remove::item>> removals_;
  std::vector<local_id> forgets_;
  size_t removal_nodes_ = 0;
  size_t removal_files_ = 0;
};

/// Below this depth of waiting for each other, a node steps aside: a longer chain is nearly always a cycle.
inline constexpr unsigned plan_depth_max = 128;

} // namespace harp
