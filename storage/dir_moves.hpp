// Directory moves, replayed in stamp order (storage.md 4.3): walk back in an overlay, merge, redo, report net differences.
// Pure: reads positions through a function, writes nothing.
#pragma once

#include "storage/rows.hpp"

#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace harp {

struct dir_position {
  local_id parent = 0;
  std::string name;
  stamp moved; // of the move that gave it; zero: the initial place
  bool operator==(const dir_position&) const = default;
};

/// A directory as it stands before the merge. `is_void`: it has no creation event, no move of it has an effect.
struct dir_state {
  dir_position position;
  bool is_void = false;
};
using dir_lookup = std::function<dir_state(local_id)>;

/// What a merge asks for. `log` must hold every entry at or above the least of `fresh` and `gone`, in order; the whole log
/// when `initial` is not empty.
struct dir_merge_input {
  std::vector<dir_move_row> log;
  std::vector<dir_move_row> fresh; // new entries, any order; ones in the log are ignored
  std::function<bool(const dir_move_row&)> gone; // entries to take out (cut, void); may be empty
  std::vector<std::pair<local_id, dir_position>>
      initial; // dirs whose first place changed (void or void no more)
};

struct dir_merge_result {
  std::vector<dir_move_row> written; // entries to put: new or changed
  std::vector<dir_move_row> erased;
  std::vector<dir_move_row> lost_effect;                // were effective before, are not now
  std::vector<std::pair<local_id, dir_position>> moved; // net differences
};

dir_merge_result merge_dir_moves(dir_merge_input in, const dir_lookup& lookup);

/// Where dirs stood when only the entries that `counts` were applied; dirs that no entry names stand where they are.
std::unordered_map<local_id, dir_position>
replay_dir_moves(const std::vector<dir_move_row>& log,
                 const std::function<bool(const dir_move_row&)>& counts, const dir_lookup& lookup);

} // namespace harp
