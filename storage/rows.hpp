// The tables of one space as the fold sees them (storage.md 8): row types, and the one interface behind which they are
// LMDB (space_rows_lmdb) or plain maps (space_rows_memory, for tests and simulation).
#pragma once

#include "storage/op.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

/// Bits of node_row::flags.
enum node_flag : uint8_t {
  node_alive = 1,   // some life dot is not covered by a Delete
  node_shown = 2,   // alive, or (dir) has a shown child through its own position
  node_void = 4,    // events without a creation event: not alive, a dir lies under the root as `recovered~xxxxxx`
  node_folded = 8,  // its base (floor row, else this row) comes from the newest checkpoint; local, not in the state root
};

/// One node: the fold of its events. `parent`/`name` are its effective position.
struct node_row {
  node_id nid;
  node_kind kind = node_kind::file;
  uint8_t flags = 0;
  local_id parent = 0;
  std::string name;
  uint64_t shown_kids = 0; // dirs: shown children through their own position
  stamp head;              // files: the current version; zero for dirs
  stamp moved;             // stamp of the event that gave the position (arrival in the slot)
  node_meta meta;
  stamp meta_stamp;
  stamp died;            // greatest Delete of it, whether or not it survived that; zero: never deleted
  std::vector<dot> life; // greatest uncovered life dot per rid, by rid
  space_id graft;        // kind graft: the space mounted here

  [[nodiscard]] bool alive() const { return (flags & node_alive) != 0; }
  [[nodiscard]] bool shown() const { return (flags & node_shown) != 0; }
  [[nodiscard]] bool is_dir() const { return kind == node_kind::dir || kind == node_kind::graft; }
  bool operator==(const node_row&) const = default;
};

/// An event that is not a version: what the fold needs of MkDir, MkFile's position, Move, Delete, SetMeta, Restore, Graft.
struct event_row {
  enum class kind : uint8_t { make = 1, move = 2, remove = 3, set_meta = 4, restore = 5, graft = 6 };
  stamp at;
  dot by;
  kind what = kind::make;
  local_id parent = 0;    // make, move
  std::string name;       // make, move
  node_meta meta;         // make, set_meta
  std::vector<dot> seen;  // remove
  stamp version;          // restore
  space_id target;        // graft
  bool operator==(const event_row&) const = default;
};

enum version_flag : uint8_t {
  version_overtaken = 1, // an edit not based on it came behind it without having seen it
  version_safe = 2,      // a keeper has its content (storage.md 6.3)
  version_lost = 4,      // content never left the device that made it
  version_adopted = 8,   // made by Adopt: sorts before the others, by mtime
};

/// One version of a file.
struct version_row {
  stamp at; // its vid
  dot by;
  content_id cid;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  bool executable = false;
  std::string acting_user; // with mtime and executable: the meta its author gave
  stamp base;
  uint8_t flags = 0;
  bool operator==(const version_row&) const = default;
};

/// An entry of the log of directory moves (storage.md 4.3).
struct dir_move_row {
  stamp at;
  dot by;
  local_id node = 0;
  local_id parent = 0;
  std::string name;
  local_id old_parent = 0; // position before it, when effective
  std::string old_name;
  stamp old_moved;
  bool effective = false;
  bool operator==(const dir_move_row&) const = default;
};

/// One replica of the space as known here.
struct replica_row {
  device_key device;
  member_role role = member_role::none;
  std::string user;
  uint64_t seq = 0;     // highest applied bundle
  digest256 head_hash;  // of that bundle
  uint64_t hlc = 0;     // of that bundle
  std::optional<uint64_t> cut; // bundles above are void
  bool operator==(const replica_row&) const = default;
};

/// Why people are told (P7). Values are stored: append only.
enum class notice_code : uint16_t {
  edit_overtaken = 1,    // edit || edit
  move_overtaken = 2,    // rename || rename
  files_joined = 3,      // create || create, or two files in one slot
  move_without_effect = 4, // x into y || y into x
  folder_kept = 5,       // rename/move dir || delete of its tree
  kept_after_delete = 6, // edit/move || delete
  name_taken_by_dir = 7, // file n || dir n
  name_unfit = 8,        // a name this host or Harp cannot hold
  read_only_change = 9,  // a device without a writing role changed something
  held_burst = 10,       // G3
  space_offline = 11,    // G1
  content_waiting = 12,  // nobody has the content yet
  content_lost = 13,     // content never left the device
  equivocation = 14,     // a replica signed two bundles with one number
  clock_ahead = 15,      // a bundle from the future was held back
  peer_bad_content = 16, // three strikes
  voided = 17,           // own operations were cut away and made anew
  disk_trouble = 18,     // full, I/O error, unsupported
  state_differs = 19,    // equal vv, different state root
};

struct notice_row {
  uint64_t hlc = 0;
  notice_code code{};
  local_id node = 0;
  std::vector<std::string> arguments; // 8 at most, 1 KiB together
  bool operator==(const notice_row&) const = default;
};

/// Everything the fold reads and writes of one space, inside one transaction. Not thread-safe: belongs to one transaction.
/// References and views die with it. An implementation reports broken storage by throwing storage_failure.
class space_rows {
public:
  virtual ~space_rows() = default;

  // nodes
  virtual local_id find(const node_id& nid) = 0; // 0: not known
  virtual local_id make_alias(const node_id& nid) = 0; // a new lid; the root is root_lid from the start
  virtual std::optional<node_row> node(local_id lid) = 0;
  virtual void put_node(local_id lid, const node_row& row) = 0;
  virtual void erase_node(local_id lid) = 0; // with its alias (purge)
  /// By lid, from `from` (inclusive); false stops. `visit` must not write.
  virtual void each_node(local_id from, const std::function<bool(local_id, const node_row&)>& visit) = 0;
  /// Dead nodes by time of death, newest first, those with died.hlc < before; false stops. An index kept by put_node and
  /// erase_node: a row is in it iff it is not alive, not void and `died` is set.
  virtual void each_dead(uint64_t before, const std::function<bool(uint64_t hlc, local_id)>& visit) = 0;

  // events and versions of a node, in stamp order
  virtual std::vector<event_row> events(local_id lid) = 0;
  virtual bool put_event(local_id lid, const event_row& event) = 0; // false: was there
  virtual void erase_event(local_id lid, const stamp& at) = 0;
  virtual std::vector<version_row> versions(local_id lid) = 0;
  virtual std::optional<version_row> version(local_id lid, const stamp& at) = 0;
  virtual bool put_version(local_id lid, const version_row& version) = 0; // replaces; true: new
  virtual void erase_version(local_id lid, const stamp& at) = 0;
  /// Files with a version of this content: for whole-file reuse and the right to fetch it. At most `limit`.
  virtual std::vector<std::pair<local_id, stamp>> holders(const content_id& cid, size_t limit) = 0;
  virtual std::string root_record(const content_id& cid) = 0; // empty: not stored here
  virtual void put_root_record(const content_id& cid, std::string_view record) = 0;

  // directory entries: shown nodes only, by their own position
  virtual std::vector<local_id> entry(local_id parent, std::string_view name) = 0;
  virtual void add_entry(local_id parent, std::string_view name, local_id lid) = 0;
  virtual void remove_entry(local_id parent, std::string_view name, local_id lid) = 0;
  /// In byte order of names, from `after` (exclusive; empty: from the start); false stops.
  virtual void each_entry(local_id parent, std::string_view after,
                          const std::function<bool(std::string_view, local_id)>& visit) = 0;

  // floor rows (storage.md 5.4): a row that stands for the events a checkpoint folded away
  virtual std::optional<node_row> floor(local_id lid) = 0;
  virtual void put_floor(local_id lid, const node_row& row) = 0;
  virtual void erase_floor(local_id lid) = 0;
  /// Explicit floor rows only, by lid; false stops. `visit` must not write.
  virtual void each_floor(const std::function<bool(local_id, const node_row&)>& visit) = 0;

  // directory moves; one Move of a group has one stamp for several nodes, so the key is (at, node)
  virtual std::vector<dir_move_row> dir_moves_from(const stamp& from) = 0; // >= from, in order
  virtual void put_dir_move(const dir_move_row& row) = 0; // replaces
  virtual void erase_dir_move(const stamp& at, local_id node) = 0;

  // replicas, counters, settings
  virtual std::optional<replica_row> replica(replica_id rid) = 0;
  virtual void put_replica(replica_id rid, const replica_row& row) = 0;
  virtual void each_replica(const std::function<void(replica_id, const replica_row&)>& visit) = 0;
  virtual std::string setting(std::string_view key) = 0; // empty: unset
  virtual void put_setting(std::string_view key, std::string_view value) = 0; // empty value: unset

  // what others must look at
  virtual void mark_dirty(local_id lid, uint8_t reason) = 0; // or-ed
  virtual std::vector<std::pair<local_id, uint8_t>> dirty(size_t limit) = 0;
  virtual void clear_dirty(local_id lid) = 0;
  virtual void put_notice(const notice_row& notice) = 0; // at most notices_max kept: oldest go
  virtual std::vector<notice_row> notices(size_t limit) = 0; // newest first
  virtual void erase_notices() = 0;
};

inline constexpr size_t notices_max = 10'000;

/// Storage broke (disk full, I/O error, map full that could not grow). The transaction is lost, nothing of it was kept.
struct storage_failure {
  int code = 0;     // errno or LMDB's
  std::string what; // operation and cause in words
};

} // namespace harp
