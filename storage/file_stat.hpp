// What one look at a directory entry tells: identity, and everything that changes when somebody writes (storage.md 7.1).
#pragma once

#include "storage/op.hpp"

#include <cstdint>
#include <optional>

namespace harp {

/// What stands in a directory. `other`: sockets, devices, pipes and directories of another file system, never synced.
enum class disk_kind : uint8_t { file = 1, dir = 2, symlink = 3, other = 4 };

/// The kind a node of the space has on disk (a graft is a directory of its own).
constexpr disk_kind on_disk(node_kind kind) {
  switch (kind) {
  case node_kind::file:
    return disk_kind::file;
  case node_kind::symlink:
    return disk_kind::symlink;
  case node_kind::dir:
  case node_kind::graft:
    break;
  }
  return disk_kind::dir;
}

/// One statx. Times in ns since 1970; `born_ns` 0 where the file system does not know it.
struct file_stat {
  disk_kind kind = disk_kind::other;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint32_t links = 1;
  int64_t born_ns = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool executable = false;
  bool operator==(const file_stat&) const = default;
};

/// The same inode, and not a later one that was given its number again.
constexpr bool same_identity(const file_stat& a, const file_stat& b) {
  return a.kind == b.kind && a.device == b.device && a.inode == b.inode
         && (a.born_ns == b.born_ns || a.born_ns == 0 || b.born_ns == 0);
}
/// The same bytes as far as a stat can tell, whatever was done to name and mode: a rename and a chmod change ctime.
constexpr bool same_bytes(const file_stat& a, const file_stat& b) {
  return same_identity(a, b) && a.size == b.size && a.mtime_ns == b.mtime_ns;
}
/// Nobody touched it in between. Directories: the same directory, whatever happened to its entries.
constexpr bool untouched(const file_stat& a, const file_stat& b) {
  if (a.kind == disk_kind::dir)
    return same_identity(a, b);
  return same_bytes(a, b) && a.ctime_ns == b.ctime_ns;
}

} // namespace harp
