// The planner of one synced directory (storage.md 7.2, 7.3): three trees and guards in, a batch of independent actions out.
// Pure: no clock, no I/O of its own. Run it again after each batch until no action is left.
#pragma once

#include "storage/folder_rows.hpp"
#include "storage/host_names.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

/// A node as this device is to have it on disk.
struct want_node {
  local_id parent = 0;
  std::string name; // as shown
  node_kind kind = node_kind::file;
  stamp vid;
  content_id content;
  uint64_t size = 0;
  node_meta meta;
};

/// The folded tree under this device's selection. One snapshot per plan().
class want_tree {
public:
  virtual ~want_tree() = default;
  /// Nothing: not shown, or not selected to be on disk here.
  virtual std::optional<want_node> node(local_id lid) = 0;
  /// The shown and selected node there; 0: none.
  virtual local_id at(local_id parent, std::string_view name) = 0;
  /// The node that stands for this one on disk: of the members of a slot or group, the one that is shown.
  virtual local_id shown_as(local_id lid) { return lid; }
  /// The shown nodes whose own parent is `dir`, itself shown or not; false stops.
  virtual void each_own_child(local_id dir, const std::function<bool(local_id)>& visit) = 0;
  /// True when a keeper has the content of this version (G5).
  virtual bool safe(local_id lid, const stamp& vid) = 0;
};

/// One look at one entry. `unknown`: the disk could not say (error, no right); never taken for absence.
struct disk_look {
  enum class answer : uint8_t { present, absent, unknown };
  answer what = answer::unknown;
  file_stat stat; // present
};

/// The disk as it is. Paths are relative to the root, "" is the root itself.
class disk_tree {
public:
  virtual ~disk_tree() = default;
  virtual disk_look at(std::string_view dir_path, std::string_view name) = 0;
};

/// An entry on disk, by the directory the base knows.
struct disk_place {
  local_id parent = 0;
  std::string name;
  auto operator<=>(const disk_place&) const = default;
};

/// What the planner may do now. Defaults are the cautious ones.
struct plan_guards {
  bool root_present = false; // G1: marker, device and inode of the root are right
  bool may_write = false;    // this device's role
  bool absence_known
      = false; // G2: every change of a completed scan is in `places`, none failed to be read
  size_t losses_left
      = 0; // G3: removals and rewrites of files that may leave this device without asking
  std::function<bool(std::string_view path)>
      settling; // somebody still writes there: leave it alone
  std::function<bool(std::string_view path, bool is_dir)> ignored; // user patterns
  std::function<bool(local_id)>
      hold_incoming; // G3: a burst of another device, not to be carried to disk yet
  std::function<bool(local_id)> backing_off; // its last action failed: not before its time
  host_traits host;                          // what names this file system can hold
};

// -- actions: what a local change becomes. The executor reads the disk anew; anything else than `seen` is a failure. ---------

/// A new entry: read and hash it (file, symlink), then MkFile / Adopt / MkDir. When `meets` is a file of the same content,
/// no operation: answer with its id and version.
struct emit_create {
  disk_place place;
  std::string name; // in metadata: NFC of place.name
  std::string path;
  node_kind kind = node_kind::file;
  file_stat seen;
  local_id meets = 0;
};
/// Hash it; same content as `base_content`: no Edit (SetMeta if mtime or exec bit differ); as the wanted version: no
/// operation, answer with that version.
struct emit_edit {
  local_id lid = 0;
  disk_place place;
  std::string path;
  stamp base;
  content_prefix base_content;
  file_stat seen;
};
struct emit_meta {
  local_id lid = 0;
  disk_place place;
  std::string path;
  node_meta meta;
  file_stat seen;
};
struct emit_move {
  local_id lid = 0;
  disk_place place; // where it is now
  std::string name; // in metadata
  std::string path;
  file_stat seen;
};
/// Removed here by the user; `seen_version` is what he had seen of each (P3). Children before their parents.
struct emit_remove {
  struct item {
    local_id lid = 0;
    stamp seen_version;
  };
  std::vector<item> items; // 1..delete_items_max
};

// -- actions: what metadata asks of the disk -----------------------------------------------------------------------------------

struct do_make_dir {
  local_id lid = 0;
  disk_place place;
  std::string name;
  std::string path;
};
/// Fetch this content and put it there (file_writer). `displaces`: the file that must be there, of node `displaced` (the
/// node itself, or one that is no longer wanted). `keep_displaced`: its content is not safe yet, keep its chunks (G5).
struct do_place {
  local_id lid = 0;
  disk_place place;
  std::string name;
  std::string path;
  node_kind kind = node_kind::file;
  stamp vid;
  content_id content;
  uint64_t size = 0;
  node_meta meta;
  std::optional<file_stat> displaces;
  local_id displaced = 0;
  stamp displaced_vid;
  bool keep_displaced = false;
};
struct do_rename {
  local_id lid
      = 0; // 0: an entry nobody has seen yet, out of a directory that is merged into another
  local_id from_parent = 0;
  std::string from;
  disk_place to;
  std::string name; // in metadata
  std::string path;
  file_stat seen;
  bool is_dir = false;
};
/// Both change places in one step.
struct do_exchange {
  local_id lid = 0;
  local_id other = 0;
  disk_place place;       // of lid, before
  disk_place other_place; // of other, before
  std::string name;       // of lid, after
  std::string path;
  std::string other_path;
  file_stat seen;
  file_stat other_seen;
};
struct do_set_meta {
  local_id lid = 0;
  disk_place place;
  std::string path;
  stamp vid; // the version it belongs to, of the same content
  node_meta meta;
  file_stat seen;
};
struct do_remove_file {
  local_id lid = 0;
  disk_place place;
  std::string path;
  file_stat seen;
  stamp vid;
  bool keep = false; // not safe yet: keep its chunks first (G5)
};
/// Only if empty; otherwise it stays as a leftover.
struct do_remove_dir {
  local_id lid = 0;
  disk_place place;
  std::string path;
  file_stat seen;
};
/// Out of the way, to a name of Harp's own in the root; breaks cycles that an exchange cannot.
struct do_step_aside {
  local_id lid = 0;
  std::string from;
  std::string temp;
  file_stat seen;
  bool is_dir = false;
};

// -- actions: rows only --------------------------------------------------------------------------------------------------------

/// Disk and metadata agree without work. `list`: look at the entries of this directory.
struct row_agree {
  local_id lid = 0;
  base_row row;
  bool list = false;
};
/// Directory `from` on disk now stands for node `to`.
struct row_relabel {
  local_id from = 0;
  local_id to = 0;
};
/// Gone on both sides. Children before their parents.
struct row_forget {
  std::vector<local_id> lids;
};

using plan_action
    = std::variant<emit_create, emit_edit, emit_meta, emit_move, emit_remove, do_make_dir, do_place,
                   do_rename, do_exchange, do_set_meta, do_remove_file, do_remove_dir,
                   do_step_aside, row_agree, row_relabel, row_forget>;

/// True for actions that become operations of this device.
bool is_emission(const plan_action& action);

enum class plan_wait : uint8_t {
  later,         // behind another action of this batch
  settling,      // somebody still writes there
  read_only,     // this device may not write: the change stays here, marked
  held_local,    // G3, asked
  held_incoming, // G3, of another device
  offline,       // G1
  disk_unknown,  // the disk did not answer
  absence,       // G2
  failed,        // backing off
};
struct plan_pending {
  plan_wait why{};
  local_id lid = 0; // of a node ...
  disk_place place; // ... or of an entry
  std::string path; // if known
};
/// An entry that is not synced, for a notice.
struct plan_unsynced {
  disk_place place;
  std::string path;
  std::string why;
};

struct plan_input {
  std::vector<local_id> lids;     // dirty in metadata
  std::vector<disk_place> places; // dirty on disk
  std::vector<local_id>
      dirs; // new on disk (plan_again::new_dirs): their wanted entries may stand elsewhere
};
struct plan_result {
  std::vector<plan_action> actions; // independent of each other, in any order
  std::vector<local_id> clean_lids; // nothing to do: clear their dirty mark
  std::vector<disk_place> clean_places;
  std::vector<local_id> clean_dirs;
  std::vector<plan_pending> pending;
  std::vector<plan_unsynced> unsynced;
  size_t losses = 0;      // G3: files the emissions of this batch remove or rewrite
  size_t losses_held = 0; // G3: files whose loss waits for an answer
};

inline constexpr size_t plan_actions_max = 1024;     // per batch
inline constexpr size_t plan_removals_max = 250'000; // nodes per batch
inline constexpr unsigned plan_rounds_max = 200;     // then alert: the trees do not come together

/// One batch. `lids` and `places` that are neither clean nor pending have an action, or came behind plan_actions_max: give
/// them again.
plan_result plan(const plan_input& input, want_tree& want, folder_rows& base, disk_tree& disk,
                 const plan_guards& guards, size_t actions_max = plan_actions_max);

/// What the executor of an action found. Failed: nothing is recorded, the action will be planned again.
struct action_result {
  bool done = false;
  bool unfit = false;     // do_place: this version must never be on this disk
  bool not_empty = false; // do_remove_dir: entries that Harp does not sync are in it
  local_id lid = 0; // emit_create: the node made (in a slot its newest member), or the one met
  stamp vid;        // emit_create, emit_edit: the version of what is on disk
  content_prefix content; // emit_create, emit_edit
  node_meta meta;         // emit_create, emit_edit
  file_stat seen;         // the entry after the action; exchange: of lid
  file_stat other_seen;   // exchange: of other
  std::string error;      // what happened, cause, next step
};

/// What is to be looked at again after an action.
struct plan_again {
  std::vector<local_id> lids; // already marked dirty in the rows
  std::vector<disk_place> places;
  std::vector<local_id> list_dirs; // directories to be listed
  std::vector<local_id> new_dirs;  // for plan_input::dirs
};
/// Writes what the action changed into the base rows; in the same transaction as the rows of its operation.
void record(const plan_action& action, const action_result& result, folder_rows& base,
            plan_again& again);

/// Names of Harp's own: temp files, the marker. Never synced, whoever made them.
bool is_own_name(std::string_view name);

} // namespace harp
