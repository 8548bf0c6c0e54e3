// The planner's actions carried out on the disk (storage.md 6.4, 7.2): reads and hashes what becomes an operation, changes
// what metadata asks for. Every action looks first and fails when the entry is not what the planner saw. Blocks: pool threads.
#pragma once

#include "storage/content_root.hpp"
#include "storage/planner.hpp"
#include "storage/safe_path.hpp"

#include <string>
#include <utility>
#include <vector>

namespace harp {

/// A local entry read for an emission.
struct read_entry {
  file_stat seen;
  content_ref content; // files and symlinks
  std::string record;  // the root record, when it is not inside `content`
  std::vector<std::pair<chunk_id, std::string>> segments; // of the manifest, and the text of a symlink: for the packs
  std::vector<chunk_id> chunks; // in order, for the index of locations
  std::string error;   // not empty: nothing of it counts; tried again
  bool changed = false; // somebody wrote while it was read
};

/// Reads and hashes the entry at `path`, which must be untouched since `seen`, and still be afterwards.
read_entry read_for_emission(const safe_root& root, const std::string& path, node_kind kind, const file_stat& seen);

/// Carries out one action that needs no content from elsewhere: everything `do_*` but do_place, and emit_meta, emit_move,
/// row_*: those only look.
action_result carry_out(const safe_root& root, const plan_action& action);

/// Writes a whole small content into the temp file for `place`; empty when done, else what went wrong.
std::string write_small(const safe_root& root, const do_place& place, const std::string& temp, std::string_view bytes);

} // namespace harp
