// G1: the root of a space is really that root (storage.md 7.3): marker file with the space id, device and inode as remembered.
#pragma once

#include "storage/safe_path.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr std::string_view marker_file_name = ".harp-space";

/// What is remembered of a root beside the database.
struct root_identity {
  space_id space;
  uint64_t device = 0;
  uint64_t inode = 0;
  bool operator==(const root_identity&) const = default;
};

/// Writes the marker into a root that has none, durably. Words when it belongs to another space, or on failure.
std::variant<root_identity, std::string> mark_root(const safe_root& root, const space_id& space);

/// Nothing when all is right; else why the space is "offline here", in words. `path` is opened anew, so an unmounted or
/// exchanged root is seen; `device_may_change`: device numbers of some file systems differ after a restart of the machine,
/// then the marker and the inode must speak (first check after a start only).
std::optional<std::string> root_trouble(const std::string& path, const root_identity& expected,
                                        bool device_may_change = false);

} // namespace harp
