// The only way to a space's files: names resolved below the root's descriptor, never through a symlink, never to another
// file system (storage.md 12, S9).
#pragma once

#include "storage/file_stat.hpp"
#include "storage/local_file.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <variant>

namespace harp {

/// One entry without following it; `root_device` tells directories of other file systems (disk_kind::other).
std::variant<file_stat, storage_failure> stat_at(int dir_fd, std::string_view name,
                                                 uint64_t root_device);
/// Of an open descriptor.
std::variant<file_stat, storage_failure> stat_of(int fd);

/// A component of a path: not empty, no '/', no NUL, not "." or "..".
bool is_component(std::string_view name);

/// The root of one space, held open: a root renamed or unmounted meanwhile is still the same directory, or an error.
/// Thread-safe. Paths are relative, components as is_component, at most path_bytes_max.
class safe_root {
public:
  static std::variant<safe_root, storage_failure> open(const std::string& absolute_path);

  /// A directory below the root ("" is the root), O_DIRECTORY, for *at() calls.
  [[nodiscard]] std::variant<unique_fd, storage_failure> open_dir(std::string_view path) const;
  /// A file below the root with these open(2) flags (O_CLOEXEC and O_NOFOLLOW added); `mode` for O_CREAT.
  [[nodiscard]] std::variant<unique_fd, storage_failure> open_file(std::string_view path, int flags,
                                                                   mode_t mode = 0) const;
  [[nodiscard]] std::variant<file_stat, storage_failure> stat(std::string_view path) const;
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint64_t device() const { return device_; }
  [[nodiscard]] uint64_t inode() const { return inode_; }

private:
  unique_fd fd_;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

inline constexpr size_t path_bytes_max = 4095;

/// "a/b/c" -> {"a/b", "c"}; "c" -> {"", "c"}.
std::pair<std::string_view, std::string_view> split_path(std::string_view path);
std::string join_path(std::string_view dir, std::string_view name);

} // namespace harp
