// What a node wrote down when it was founded or joined, and which spaces it holds in which folders: one small JSON file.
#pragma once

#include "storage/types.hpp"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t held_spaces_max = 4096;
inline constexpr size_t remembered_members_max = 1024;
inline constexpr size_t remembered_addresses_max = 4; // of one member
inline constexpr size_t node_conf_bytes_max = 4u << 20;

/// What this device keeps of a space (storage.md 7.4).
enum class keep_mode : uint8_t { full, online_only, ignore };
std::string_view to_string(keep_mode mode);
std::optional<keep_mode> parse_keep_mode(std::string_view text);

/// A space that is held here.
struct held_space {
  space_id id;
  std::string dir; // absolute path of its folder; empty: metadata only
  keep_mode mode = keep_mode::full;
  bool operator==(const held_space&) const = default;
};

struct node_conf {
  space_id cluster;     // the cluster space
  device_key governor;  // public key that signs rosters
  std::string name;     // of this device
  std::string listen;   // HOST:PORT as given to init or join; empty: the default
  std::string listened; // where it listened when the port was left to the system; tried first again
  std::vector<std::string> addresses;                     // where the governor was reached at join
  std::map<device_key, std::vector<std::string>> members; // where members last said they are
  std::vector<held_space> spaces;
  bool operator==(const node_conf&) const = default;

  [[nodiscard]] const held_space* find(const space_id& id) const;
  /// Notes where a member is, within the limits above. False when nothing changed.
  bool remember(const device_key& member, std::vector<std::string> where);
  /// Reads `path`. Nothing when there is no such file; words when it is damaged.
  static std::variant<std::optional<node_conf>, std::string> load(const std::string& path);
  /// Replaces `path` by rename, durable when this returns nothing, else what went wrong.
  [[nodiscard]] std::optional<std::string> save(const std::string& path) const;
};

/// Writes `content` beside `path`, syncs it, renames it over, syncs the directory. Mode 0600.
std::optional<std::string> replace_file(const std::string& path, std::string_view content);

} // namespace harp
