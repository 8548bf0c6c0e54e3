// What a folder did becomes rows (storage.md 7.2): operations of local changes and the base rows of both directions, in one
// transaction. The store's thread.
#pragma once

#include "storage/disk_actions.hpp"
#include "storage/folder_rows.hpp"
#include "storage/planner.hpp"
#include "storage/space_edit.hpp"

#include <set>
#include <string>
#include <vector>

namespace harp {

/// One action of a batch with what became of it.
struct finished_action {
  plan_action action;
  action_result result;
  read_entry read; // emit_create, emit_edit; do_place: of what slipped in
  // do_place only: a local edit that nobody had seen was there (storage.md 6.4)
  placing_row row;
  std::optional<std::string> slipped_in;
  file_stat slipped_seen;
  bool slipped_kept = false;    // its bytes are in the packs
  bool slipped_emitted = false; // and an operation names them: the file may go
};

struct ledger_options {
  bool pairing = false; // this device's roster entry says so: existing trees are being joined (Adopt)
  bool keeper = false;  // what is on this disk counts as safe (storage.md 6.3)
};

/// Puts the emissions of `batch` into `edit` and records every action that was done. Results are completed on the way (lid
/// and version of what was emitted). Refused emissions count as not done, with the reason in their result.
/// `edit` may be null when nothing of the batch is an emission.
void enter(std::vector<finished_action>& batch, const ledger_options& options, space_edit* edit, space_rows& rows,
           folder_rows& base, plan_again& again);

/// Versions that must not be on this disk, e.g. a symlink that leads out of the space: as if they were not selected.
using unfit_versions = std::set<std::pair<local_id, stamp>>;
inline constexpr size_t unfit_versions_max = 10'000;

/// The wanted tree over the rows of one snapshot, under the selections of this device.
class selected_tree final : public want_tree {
public:
  selected_tree(space_rows& rows, folder_rows& base, folder_selection whole, const unfit_versions* unfit = nullptr)
    : rows_(rows), tree_(rows), base_(base), whole_(whole), unfit_(unfit) {}
  std::optional<want_node> node(local_id lid) override;
  local_id at(local_id parent, std::string_view name) override;
  local_id shown_as(local_id lid) override;
  void each_own_child(local_id dir, const std::function<bool(local_id)>& visit) override;
  bool safe(local_id lid, const stamp& vid) override;
  /// The selection that counts for an entry in this directory.
  [[nodiscard]] folder_selection selection_in(local_id dir);

private:
  space_rows& rows_;
  space_tree tree_;
  folder_rows& base_;
  folder_selection whole_; // of the space as a whole
  const unfit_versions* unfit_;
};

/// The disk below a root, looked at entry by entry.
class looked_disk final : public disk_tree {
public:
  explicit looked_disk(const safe_root& root) : root_(root) {}
  disk_look at(std::string_view dir_path, std::string_view name) override;

private:
  const safe_root& root_;
  std::string dir_path_; // of dir_, kept open from look to look
  unique_fd dir_;
};

} // namespace harp
