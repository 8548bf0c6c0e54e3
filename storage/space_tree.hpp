// The tree of one space as people see it (storage.md 4.4): paths, listings, histories, trash. Reads rows, changes nothing.
#pragma once

#include "storage/rows.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

/// Deepest path that is walked; deeper ones are "not found". Names count at most 255 bytes each.
inline constexpr size_t path_depth_max = 512;

/// One line of a listing: a slot (files of one place) or a group (dirs of one place) is ONE entry.
struct shown_entry {
  local_id lid
      = 0; // the member with the smallest nid: stable while other members come, edit and go
  local_id parent
      = 0; // canonical: the member with the smallest nid of the parent's group; 0: this is the root
  std::string name; // as shown: a file beside a dir of its name shows as `n~xxxxxx`
  node_kind kind = node_kind::file;
  stamp vid;          // files: the current version, of member `owner`; zero for dirs
  content_id cid;     // files
  uint64_t size = 0;  // files
  node_meta meta;     // of the owner
  local_id owner = 0; // files: the member with the latest event, where an Edit goes; dirs: lid
  space_id graft;     // kind graft
  bool operator==(const shown_entry&) const = default;
};

/// A slot or group with all its members.
struct resolved_entry {
  shown_entry entry;
  std::string own_name;          // in metadata; differs from entry.name only for `n~xxxxxx`
  std::vector<local_id> members; // by nid; [0] == entry.lid
};

/// Where something is or shall be: a dir (any member of its group) and a name.
struct tree_place {
  local_id parent = 0;
  std::string name;
};

/// A piece of a listing. Go on with `list(dir, next, limit)` while `more`.
struct listing {
  std::vector<shown_entry> entries; // byte order of the names in metadata
  std::string next;
  bool more = false;
};

/// One version in the linear history of a path. Neighbours of equal content are one entry, the latest of them.
struct history_entry {
  local_id lid = 0; // the member it belongs to
  stamp vid;        // when (vid.hlc) and by which replica (vid.rid)
  content_id cid;
  uint64_t size = 0;
  node_meta meta;       // acting_user: the person, when a keeper signed for one
  uint8_t flags = 0;    // version_flag
  stamp overtaken_by;   // the edit that came behind it without having seen it; zero: none
  bool settled = false; // at or below the settled line: cannot be re-ordered any more
  bool current = false;
};

/// A deleted node.
struct trash_entry {
  local_id lid = 0;
  std::string path; // where it was, by where its parents are now
  node_kind kind = node_kind::file;
  stamp died; // when and by which replica
  stamp vid;
  content_id cid;
  uint64_t size = 0;
};

/// A view over one transaction; costs nothing to make.
class space_tree {
public:
  explicit space_tree(space_rows& rows) : rows_(rows) {}

  /// What is shown at `path` ("a/b"; "" is the root; one leading '/' is allowed). Nothing: not there.
  std::optional<resolved_entry> resolve(std::string_view path);
  /// The directory and name of a path that need not exist yet; nothing when its directory is not shown or the path is "".
  std::optional<tree_place> place_of(std::string_view path);
  /// The slot or group that `lid` (any member) is part of; nothing when it is not shown.
  std::optional<resolved_entry> resolve(local_id lid);
  std::optional<shown_entry> entry_of(local_id lid);
  /// What is shown in `dir` (any member of a group) under a shown name; 0: nothing. The canonical lid.
  local_id at(local_id dir, std::string_view shown_name);
  std::optional<resolved_entry> resolve_in(local_id dir, std::string_view shown_name);

  /// Entries of a dir behind the metadata name `after` ("" from the start), about `limit` at most.
  listing list(local_id dir, std::string_view after = {}, size_t limit = 1000);
  /// All dirs of the group of `dir`, by nid; just `dir` when it is not shown.
  std::vector<local_id> group_of(local_id dir);

  /// Shown path of a shown node; for others the path of their own position. "" is the root; nothing: unknown lid.
  std::optional<std::string> path_of(local_id lid);
  /// True when `lid` is `dir` or lies below it by own positions.
  bool is_below(local_id lid, local_id dir);

  /// Linear history of the slot of `lid` (of the node alone when it is not shown), oldest first.
  /// `settled_hlc`: the settled line (storage.md 4.6).
  std::vector<history_entry> history(local_id lid, uint64_t settled_hlc = 0);

  /// Deleted nodes, newest first, those deleted before `before_hlc`; go on with the last entry's died.hlc.
  std::vector<trash_entry> trash(uint64_t before_hlc, size_t limit);
  /// Deleted nodes whose own position is below `dir` (itself included), newest first.
  std::vector<trash_entry> trash_below(local_id dir, size_t limit);
  /// The latest deleted node that was at this path; nothing: none.
  std::optional<trash_entry> in_trash(std::string_view path);

private:
  struct place_members {
    std::vector<local_id> dirs;
    std::vector<local_id> files;
  };
  bool is_sharing();
  place_members members_at(const std::vector<local_id>& parents, std::string_view name);
  void sort_by_nid(std::vector<local_id>& lids);
  std::optional<resolved_entry> dir_entry(local_id parent, std::string_view name,
                                          std::vector<local_id> members);
  std::optional<resolved_entry> file_entry(const std::vector<local_id>& parents,
                                           std::string_view name, std::vector<local_id> members,
                                           bool beside_dir);
  std::string free_alias(const std::vector<local_id>& parents, std::string_view name,
                         const node_id& nid);
  void add_place(listing& out, const std::vector<local_id>& parents, std::string_view name,
                 const std::vector<local_id>& lids);
  std::optional<trash_entry> trash_of(local_id lid);

  space_rows& rows_;
  bool sharing_ = false; // some place has, or had, several members
};

/// The name a file shows when a dir holds its own: `n~` and hex of BLAKE2b(nid), 6 digits unless that is taken too.
std::string alias_name(std::string_view name, const node_id& nid, size_t digits = 6);
/// The name of a dir whose creation was cut away, under the root.
std::string recovered_name(const node_id& nid);

} // namespace harp
