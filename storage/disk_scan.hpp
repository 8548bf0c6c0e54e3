// Full comparison of a directory tree with its base rows: what differs, directory by directory, never the whole tree in
// memory (storage.md 7.1, G2).
#pragma once

#include "storage/folder_rows.hpp"
#include "storage/planner.hpp"
#include "storage/safe_path.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace harp {

/// What a scan found. Given to the visitor in pieces; places of present entries and of gone ones apart, so that all that
/// is present can be planned before anything is taken for removed (plan_guards::absence_known).
struct scan_piece {
  std::vector<disk_place> present; // new or changed
  std::vector<disk_place> absent;  // in the base, not in a complete listing
};

struct scan_totals {
  uint64_t dirs = 0;
  uint64_t entries = 0;
  uint64_t changed = 0;
  uint64_t absent = 0;
  std::vector<std::string> unreadable; // paths, at most 100: below them nothing is known
  bool complete = true; // false: something could not be read, or the scan was stopped
};

struct scan_options {
  /// Entries that are not synced; own names are left out anyway.
  std::function<bool(std::string_view path, bool is_dir)> ignored;
  unsigned threads = 2; // walk in parallel; each has its own view of the rows
  bool deep = true;     // false: only this directory
};
inline constexpr unsigned scan_threads_max = 16;

/// A view of the rows for one thread of the scan, e.g. over one read transaction; it is given back (destroyed) and asked for
/// anew after at most scan_view_dirs directories, so that no snapshot lives long.
using rows_view = std::function<std::unique_ptr<folder_rows>()>;
inline constexpr size_t scan_view_dirs = 256;

/// Walks from `dir` (root_lid: all). `found` is called with non-empty pieces, one at a time, on any of the threads; false stops.
/// Directories without a base row are reported as present and not entered: once emitted they are listed (list_dirs).
scan_totals scan_disk(const safe_root& root, const rows_view& rows, local_id dir,
                      const scan_options& options, const std::function<bool(scan_piece)>& found);

} // namespace harp
