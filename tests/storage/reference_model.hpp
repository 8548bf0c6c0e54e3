// The rules of storage.md 3, 4 and 5.4 said a second time, naively: keeps the set of bundles and works everything out
// anew. Shares no code with the fold but ids and one hash.
#pragma once

#include "storage/op.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace harp::reference {

/// What is shown: path -> one line with everything people can see there.
using view = std::map<std::string, std::string>;

/// Rules said wrongly on purpose: a schedule that finds no difference to them could not find the mistake in the fold.
enum class mutant : uint8_t {
  none,
  delete_wins,
  delete_ignored,
  cover_off_by_one,
  cover_ignores_author,
  move_gives_no_life,
  meta_gives_no_life,
  restore_gives_no_life,
  edit_gives_no_life,
  first_move_wins,
  tie_break_dropped,
  dir_moves_as_they_come,
  no_cycle_check,
  cycle_check_of_first_places,
  dead_dirs_in_groups,
  owner_by_version_only,
  owner_by_node,
  adopted_by_stamp,
  adopted_last,
  never_overtaken,
  always_overtaken,
  equal_versions_kept,
  restore_without_version,
  cut_ignored,
  lying_clock_believed,
  never_purged,
  purged_comes_back,
  first_meta_wins,
  salt_ignored,
  folder_gives_way,
  dead_folder_hides,
  graft_ignored,
  count_
};

struct model {
  std::vector<bundle> bundles;         // any order
  std::map<replica_id, uint64_t> cuts; // by the roster
  mutant wrong = mutant::none;
};

/// Paths of shown dirs and slots, with members, current content, history, meta; and "trash:<nid>" for what is deleted.
view view_of(const model& m);

} // namespace harp::reference
