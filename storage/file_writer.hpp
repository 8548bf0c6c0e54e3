// Finished temp files become files of the space: in groups, durable, never over an edit nobody has seen (storage.md 6.4).
#pragma once

#include "storage/folder_rows.hpp"
#include "storage/safe_path.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace harp {

inline constexpr size_t group_files_max = 1000;
inline constexpr uint64_t group_bytes_max = 64ull << 20;
inline constexpr std::chrono::milliseconds group_wait_max{50};
inline constexpr std::chrono::milliseconds syncfs_slow{
    500}; // then 64 parallel fdatasync on this volume
inline constexpr unsigned parallel_syncs_max = 64;

/// Name of the temp file of a version, in its target directory: ".harp-<nid>-<vid>.tmp".
std::string temp_name(const node_id& nid, const stamp& vid);

/// One finished temp file: content complete and verified, length checked by commit().
struct finished_file {
  placing_row row;                  // inode is filled in by commit()
  uint64_t size = 0;                // it must have
  node_kind kind = node_kind::file; // symlink: the temp file is not used, `target` is
  std::string target;               // symlink: its text
};

/// What became of one. Exactly one of placed / error, and `slipped_in` beside placed.
struct placed_file {
  placing_row row;
  bool placed = false;
  file_stat seen; // the file now at its place
  /// A local edit was there that nobody had seen: it waits under this name in the same directory, to be emitted as Edit
  /// with base = row.displaced_vid, then removed with discard().
  std::optional<std::string> slipped_in;
  file_stat slipped_seen;
  bool changed = false; // not placed: the target is not what was expected; the temp file is kept
  int code = 0;         // not placed: errno
  std::string error;
};

/// True when a symlink of this text in this directory stays inside the space: relative, ".." only in front and not above
/// the root.
bool symlink_stays_inside(std::string_view dir_path, std::string_view target);

/// Collects finished files of one volume and commits them in groups. One owner; commit() blocks (pool thread).
class file_writer {
public:
  /// `intents` is called between durability of the bytes and the renames with the rows of the group: it stores them
  /// (folder_rows::put_placing) durably and returns true; false: nothing is renamed, the group fails.
  using intents = std::function<bool(const std::vector<placing_row>&)>;
  file_writer(const safe_root& root, intents store);

  /// Adds one; true when the group is full and commit() is due at once, else within group_wait_max of the first.
  bool add(finished_file file);
  [[nodiscard]] size_t size() const { return group_.size(); }
  [[nodiscard]] bool due(std::chrono::steady_clock::time_point now) const;
  /// Sync, intents, renames. A failed sync fails the whole group: nothing is acknowledged (R1). The directories of the group
  /// before are synced in the same sync; call with an empty group (or finish()) to make the last ones durable.
  std::vector<placed_file> commit();
  /// Syncs the directories of the last group; false: not durable, the rows of that group must stay.
  bool finish();
  /// True when the group committed last is durable including its directories: its intent rows may be erased.
  [[nodiscard]] bool directories_durable() const { return dirty_dirs_.empty(); }

  /// After a crash: finishes or undoes what an intent row says. Nothing: the row is settled and may be erased (the temp
  /// file was never renamed).
  std::optional<placed_file> recover(const placing_row& row);
  /// Removes a slipped-in file after its content has been emitted, only if it is still `seen`.
  bool discard(const placing_row& row, const std::string& name, const file_stat& seen);

private:
  std::optional<storage_failure> prepare(finished_file& file, int dir_fd) const;
  std::optional<storage_failure> sync_group(const std::vector<int>& dir_fds);
  std::optional<storage_failure> sync_each(const std::vector<int>& dir_fds) const;
  void place(placed_file& out, int dir_fd);
  void place_free(placed_file& out, int dir_fd);
  void place_exchange(placed_file& out, int dir_fd);
  void place_beside(placed_file& out, int dir_fd);
  void settle_displaced(placed_file& out, int dir_fd, const std::string& name) const;

  const safe_root& root_;
  intents store_;
  std::vector<finished_file> group_;
  uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point first_{};
  std::vector<std::string> dirty_dirs_;
  bool parallel_ = false; // syncfs was slow here
  bool exchange_ = true;  // renameat2(RENAME_EXCHANGE) works here
};

} // namespace harp
