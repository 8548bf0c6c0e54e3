// Operations and bundles as values (storage.md 3.1, 3.2). Bytes: bundle_codec; meaning: fold.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t name_bytes_max = 255;
inline constexpr size_t bundle_ops_max = 4096;
inline constexpr size_t bundle_sent_bytes_max = 1u << 20;
inline constexpr size_t bundle_raw_bytes_max = 4u << 20;
inline constexpr size_t delete_items_max = 4096;
inline constexpr size_t move_nodes_max = 16;
inline constexpr size_t inline_root_bytes_max = 320;

/// What a node is. Values are wire format.
enum class node_kind : uint8_t { file = 1, dir = 2, symlink = 3, graft = 4 };

/// What travels beside content: last writer wins as a whole.
struct node_meta {
  int64_t mtime_ns = 0;
  bool executable = false;
  std::string acting_user; // only when a keeper signs for a user of Nextcloud; 64 bytes at most
  bool operator==(const node_meta&) const = default;
};

/// A content: its size, its id and, when small, its root record itself (storage.md 6.2).
struct content_ref {
  uint64_t size = 0;
  content_id cid;
  std::string root; // the root record if <= inline_root_bytes_max, else empty
  bool operator==(const content_ref&) const = default;
};

struct op_make_file {
  node_id parent;
  std::string name;
  node_kind kind = node_kind::file; // file or symlink (content: its target text as one chunk)
  node_meta meta;
  content_ref content;
};
struct op_make_dir {
  node_id parent;
  std::string name;
  stamp salt; // zero unless the id derived with zero lives elsewhere
};
struct op_adopt {
  node_id parent;
  std::string name;
  node_meta meta;
  content_ref content;
};
struct op_edit {
  node_id node;
  stamp base; // the version the author saw
  node_meta meta;
  content_ref content;
};
struct op_set_meta {
  node_id node;
  node_meta meta;
};
struct op_move {
  std::vector<node_id> nodes; // all members of the slot or group, 1..move_nodes_max
  node_id parent;
  std::string name;
};
struct delete_item {
  node_id node;
  std::vector<dot> seen; // per rid the greatest life dot the author had seen
};
struct op_delete {
  std::vector<delete_item> items; // 1..delete_items_max
};
struct op_restore {
  node_id node;
  stamp version; // zero: only alive again; else also a version equal to that one
};
struct op_graft {
  node_id node; // a dir
  space_id target;
};
struct op_checkpoint {
  version_vector covered; // V: a causally closed set of bundles
  uint64_t floor = 0;     // hlc
  std::vector<replica_id> active;
  digest256 root; // over the floor rows
};
struct op_policy {
  std::vector<std::pair<std::string, uint64_t>> values; // retention, quotas, guard limits by name; 64 at most
};

using operation = std::variant<op_make_file, op_make_dir, op_adopt, op_edit, op_set_meta, op_move, op_delete,
                               op_restore, op_graft, op_checkpoint, op_policy>;

/// What one replica signs at once. Operation i has the stamp (hlc, rid, i).
struct bundle {
  space_id space;
  replica_id rid = 0;
  uint64_t seq = 0;
  uint64_t hlc = 0;
  uint64_t roster_version = 0;
  digest256 previous; // BLAKE2b of the author's previous bundle; zero at seq 1
  std::vector<dot> context_delta; // what the author had applied of others, changes since its previous bundle
  std::vector<operation> ops;

  [[nodiscard]] dot id() const { return {rid, seq}; }
};

/// The id of a file or symlink made by operation `idx` of bundle `at`: rid 4, seq 8, idx 2, tag 1 (storage.md 2).
node_id made_node_id(dot at, uint16_t idx);
/// The derived id of a directory: BLAKE2b("harp.dir", parent, name, salt), tag 2.
node_id dir_node_id(const node_id& parent, std::string_view name, const stamp& salt);
/// The derived id of an adopted file: the same with "harp.adopt", tag 3.
node_id adopted_node_id(const node_id& parent, std::string_view name);
/// The root directory: zero, tag 2.
node_id root_node_id();
/// file 1, dir 2, adopted 3: what the last two bytes say.
uint16_t node_tag_of(const node_id& id);

/// A name as storage.md 2 allows it: UTF-8 in NFC, 1..255 bytes, no '/', no NUL, not "." or "..".
bool is_lawful_name(std::string_view name);

} // namespace harp
