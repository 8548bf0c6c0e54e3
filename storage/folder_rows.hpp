// What one synced directory remembers: the base tree (last state where disk and metadata agreed), inode -> node, selection,
// unfinished replacements (storage.md 7.2, 8: disk, ino, dirty, sel).
#pragma once

#include "storage/file_stat.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

/// The first half of a content id: enough to tell contents apart, half the row.
using content_prefix = opaque_id<16, struct content_prefix_tag>;
inline content_prefix prefix_of(const content_id& cid) {
  content_prefix out;
  std::memcpy(out.bytes.data(), cid.bytes.data(), out.bytes.size());
  return out;
}

/// Bits of base_row::flags.
enum base_flag : uint8_t {
  base_leftover
  = 1, // removed in metadata, but the directory stays on disk for entries Harp does not sync
  base_blocked
  = 4, // a leftover that stayed when its place was needed: the next one there gets an alias
  base_stepped = 2, // stands under a name of Harp's own in the root, on its way to its place
};

/// A base row under lid | ghost_bit: the file of a node that was met at another place meanwhile. No node has this lid, so the
/// planner takes the file away, unless somebody changed it: then it is a new one.
inline constexpr local_id ghost_bit = local_id{1} << 63;
constexpr bool is_ghost(local_id lid) {
  return (lid & ghost_bit) != 0;
}

/// One node as disk and metadata last agreed on it. Position: `parent`/`name` as in metadata, `disk_name` as on disk.
struct base_row {
  local_id parent = 0;
  std::string name;
  std::string
      disk_name; // equals `name` unless this host cannot hold it (alias) or it stepped aside
  node_kind kind = node_kind::file;
  stamp vid;              // files: the version on disk
  content_prefix content; // of that version
  node_meta meta;         // mtime and exec bit of that version (acting_user unused)
  file_stat seen;         // its stat when they agreed
  uint8_t flags = 0;
  bool operator==(const base_row&) const = default;
};

/// What this device keeps of a directory and all below it, until another selection below says otherwise.
enum class folder_selection : uint8_t { full = 0, online_only = 1, ignore = 2 };
struct selection_row {
  folder_selection what = folder_selection::full;
  bool pinned = false; // never evicted
  bool operator==(const selection_row&) const = default;
};

/// A finished temp file on its way to its place: written before the rename, erased after the base row (storage.md 6.4).
struct placing_row {
  local_id lid = 0;
  stamp vid;
  content_prefix content;
  node_meta meta;
  std::string dir_path; // of the directory, relative to the root ("" = root)
  std::string temp;     // name of the temp file in it
  std::string name;     // name of the target in it
  uint64_t inode = 0;   // of the temp file: where it is found tells how far the rename came
  std::optional<file_stat> displaces; // what the target must be; nothing: it must be free
  stamp displaced_vid;                // version it is: base of an edit that slipped in
  bool operator==(const placing_row&) const = default;
};

/// Everything the folder reads and writes of one space, inside one transaction; an implementation reports broken storage
/// by throwing storage_failure. Invariants: one row per (parent, disk_name); by_inode finds every row with an inode.
class folder_rows {
public:
  virtual ~folder_rows() = default;

  virtual std::optional<base_row> base(local_id lid) = 0;
  /// Sets the row and keeps the indexes of place and inode.
  virtual void put_base(local_id lid, const base_row& row) = 0;
  virtual void erase_base(local_id lid) = 0;
  /// The node whose base stands there; 0: none.
  virtual local_id base_at(local_id parent, std::string_view disk_name) = 0;
  virtual local_id by_inode(uint64_t device, uint64_t inode) = 0;
  /// Children in byte order of disk names, from `after` (exclusive; empty: from the start); false stops.
  virtual void each_base(local_id parent, std::string_view after,
                         const std::function<bool(std::string_view disk_name, local_id)>& visit)
      = 0;
  /// Rows of files and symlinks: the size of the space on this disk (G3).
  virtual uint64_t base_files() = 0;

  virtual std::optional<selection_row> selection(local_id dir) = 0;
  virtual void put_selection(local_id dir, const selection_row& row) = 0;
  virtual void erase_selection(local_id dir) = 0;

  /// Nodes whose wanted state is to be compared with the base; the same table as space_rows::dirty.
  virtual void mark_dirty(local_id lid, uint8_t reason) = 0;
  virtual std::vector<local_id> dirty_lids(local_id after, size_t limit) = 0; // by lid
  virtual void clear_dirty(local_id lid) = 0;

  virtual void put_placing(const placing_row& row) = 0; // key: dir_path, temp
  virtual void erase_placing(std::string_view dir_path, std::string_view temp) = 0;
  virtual std::vector<placing_row> placings() = 0; // at most placings_max
};

inline constexpr size_t placings_max = 4096;

/// Path of a base row below the root ("" = the root, no leading slash); nothing when a parent has no row or the chain is
/// deeper than base_depth_max.
std::optional<std::string> base_path(folder_rows& rows, local_id lid);
/// The node whose base stands at this path; 0: none.
local_id base_at_path(folder_rows& rows, std::string_view path);
inline constexpr size_t base_depth_max = 512;

/// The same in memory: for tests and simulation.
class folder_rows_memory final : public folder_rows {
public:
  std::optional<base_row> base(local_id lid) override;
  void put_base(local_id lid, const base_row& row) override;
  void erase_base(local_id lid) override;
  local_id base_at(local_id parent, std::string_view disk_name) override;
  local_id by_inode(uint64_t device, uint64_t inode) override;
  void each_base(local_id parent, std::string_view after,
                 const std::function<bool(std::string_view, local_id)>& visit) override;
  uint64_t base_files() override { return files_; }
  std::optional<selection_row> selection(local_id dir) override;
  void put_selection(local_id dir, const selection_row& row) override { selections_[dir] = row; }
  void erase_selection(local_id dir) override { selections_.erase(dir); }
  void mark_dirty(local_id lid, uint8_t reason) override { dirty_[lid] |= reason; }
  std::vector<local_id> dirty_lids(local_id after, size_t limit) override;
  void clear_dirty(local_id lid) override { dirty_.erase(lid); }
  void put_placing(const placing_row& row) override { placings_[{row.dir_path, row.temp}] = row; }
  void erase_placing(std::string_view dir_path, std::string_view temp) override;
  std::vector<placing_row> placings() override;

private:
  std::map<local_id, base_row> rows_;
  std::map<local_id, std::map<std::string, local_id, std::less<>>> kids_;
  std::map<std::pair<uint64_t, uint64_t>, local_id> inodes_;
  std::map<local_id, selection_row> selections_;
  std::map<local_id, uint8_t> dirty_;
  std::map<std::pair<std::string, std::string>, placing_row> placings_;
  uint64_t files_ = 0;
};

} // namespace harp
