// Names that are lawful in the space but that this host's file system cannot hold, and the alias they get here
// (storage.md 4.5 last rows, quality.md M06). Pure, except for the one probe of the file system.
#pragma once

#include "storage/safe_path.hpp"

#include <string>
#include <string_view>

namespace harp {

/// What the file system of a space can hold.
struct host_traits {
  size_t name_bytes_max = 255;
  bool folds_case = false; // "a" and "A" are one entry
  bool plain_names
      = false; // Windows' rules: no <>:"|?*\ and controls, no CON, no trailing dot or space
};

/// Asks the file system of the root: limits by fstatfs, case by its type and flags. Makes nothing.
host_traits probe_host(const safe_root& root);

/// False when an entry of this name cannot be made here.
bool host_can_hold(std::string_view name, const host_traits& traits);

/// The k-th stand-in for a name (k >= 1): "report.txt" -> "report~1.txt", forbidden characters become '_', cut to fit.
/// Never equal to `name`, always can be held.
std::string host_alias(std::string_view name, unsigned k, const host_traits& traits);
inline constexpr unsigned alias_tries_max = 99;

/// Two names that a folding file system takes for one have the same key: NFC, case-folded.
std::string folded_name(std::string_view name);

} // namespace harp
