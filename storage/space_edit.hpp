// Local intents into operations (storage.md 3.1, 4.4): bases, seen dots, all members, salts, limits. Each operation is
// applied to the rows at once, so the next intent of the same transaction sees it.
#pragma once

#include "storage/space_apply.hpp"
#include "storage/space_tree.hpp"

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace harp {

/// Raw bytes of operations in one draft: below what a bundle may hold even when nothing of it compresses.
inline constexpr size_t draft_bytes_max = 900u << 10;

/// The operations of one bundle to be: `id` and `hlc` are fixed, the ids of new files depend on them. The store adds
/// space, roster version, previous hash and context delta, seals, appends, and calls set_head_hash.
struct draft_bundle {
  dot id;
  uint64_t hlc = 0;
  std::vector<operation> ops;
};

enum class edit_refusal : uint8_t {
  no_such_node = 1, // not shown (or not in Trash, for restore)
  not_a_dir = 2,
  not_a_file = 3,
  name_taken = 4,
  bad_name = 5,
  into_itself = 6, // a dir into its own subtree
  is_root = 7,
  no_such_version = 8,
  changed = 9, // it is no longer what the author had seen
};
std::string_view to_string(edit_refusal why);

/// What an intent did: the canonical entry, and for content the version it made.
struct edit_done {
  local_id lid = 0;
  stamp vid; // zero: no version was made
};
using edit_outcome = std::variant<edit_done, edit_refusal>;

/// A deletion of what somebody saw (P3): refused (`changed`) when the current version is another.
struct seen_item {
  local_id lid = 0;
  stamp seen_version; // zero: whatever is there (dirs)
};

/// Collects intents into drafts. One per write transaction; `next` = {own rid, own seq + 1}; the first draft has clock
/// `hlc` (hybrid_clock::now), each further one the next tick: give the last one back to the clock (last_hlc()).
class space_edit {
public:
  space_edit(space_rows& rows, dot next, uint64_t hlc, apply_options options);

  edit_outcome make_file(local_id parent, std::string_view name, node_kind kind,
                         const node_meta& meta, const content_ref& content);
  /// Pairing of existing trees only (Adopt).
  edit_outcome adopt_file(local_id parent, std::string_view name, const node_meta& meta,
                          const content_ref& content);
  /// Also brings a deleted dir of that place back (empty). An existing dir: that one, without an operation.
  edit_outcome make_dir(local_id parent, std::string_view name);
  /// A new version of the slot `lid` (any member). `base`: the version the author saw; zero: the current one.
  edit_outcome edit(local_id lid, const stamp& base, const node_meta& meta,
                    const content_ref& content);
  /// make_file, or edit of what is there.
  edit_outcome put_file(local_id parent, std::string_view name, const node_meta& meta,
                        const content_ref& content);
  /// What a laggard found changed on its disk (storage.md 5.4): an edit with its old base; of a file that is known no more
  /// (purged, or its creation was cut) a new file at `place`, under a free name if that is taken.
  edit_outcome edit_or_make(local_id lid, const stamp& base, const tree_place& place,
                            const node_meta& meta, const content_ref& content);
  edit_outcome set_meta(local_id lid, const node_meta& meta);
  /// All members of the slot or group. The target must be free; a rename that replaces is put_file + remove.
  edit_outcome move(local_id lid, local_id parent, std::string_view name);
  /// A file, or a dir with everything below it.
  edit_outcome remove(local_id lid);
  /// Exactly these slots and dirs, nothing below them; items that were changed since are left and returned.
  std::vector<local_id> remove_seen(std::span<const seen_item> items);
  /// A version of the history of `lid`'s slot becomes current again. The root record comes from the rows.
  edit_outcome restore_version(local_id lid, const stamp& vid);
  /// Out of Trash: a file, or a dir with what was deleted below it together with it (same author, within a minute), with
  /// the dirs above that are needed. If its place is taken it comes back as `name (restored)`.
  edit_outcome restore_deleted(local_id lid);
  /// Undo of a joined slot: the member that is not the owner and came last moves to a free name `name (2)`.
  edit_outcome put_back_as_two(local_id lid);
  /// Everything under `dir` (root_lid: all) as it was at `hlc`: Restore and Move operations; what was made later is
  /// removed to Trash only when asked. Places and lives are known back to the newest checkpoint, versions for ever.
  size_t rewind(local_id dir, uint64_t hlc, bool remove_newer = false);
  edit_outcome graft(local_id dir, const space_id& target);
  void policy(std::vector<std::pair<std::string, uint64_t>> values);
  /// Any operation as it is, for the glue (Checkpoint).
  void add(operation op);

  /// The drafts, all applied; in order, never empty ones. Ends this object's work. The replica row is up to date but for
  /// the hash (set_head_hash).
  std::vector<draft_bundle> take();
  /// What the applied drafts touched.
  [[nodiscard]] const apply_result& result() const { return result_; }
  [[nodiscard]] uint64_t last_hlc() const { return hlc_; }

private:
  void push(operation op);
  void flush();
  [[nodiscard]] dot draft_dot() const { return next_; }
  stamp next_stamp();
  [[nodiscard]] node_id nid_of(local_id lid);
  std::optional<edit_refusal> check_place(local_id& parent, std::string_view name);
  void push_moves(const std::vector<local_id>& members, local_id parent, std::string_view name);
  void push_deletes(const std::vector<local_id>& lids);
  void collect_tree(local_id lid, std::vector<local_id>& files, std::vector<local_id>& dirs);
  void restore_parents(local_id lid);
  void restore_node(local_id lid, const stamp& vid);

  space_rows& rows_;
  space_tree tree_;
  dot next_;
  uint64_t hlc_;
  apply_options options_;
  std::vector<draft_bundle> drafts_;
  bundle open_;
  size_t open_bytes_ = 0;
  apply_result result_;
};

/// A free name in `dir` made of `name`: "a (2).txt", "a (3).txt" ..; with `word`: "a (restored).txt", "a (restored 2).txt".
std::string free_name(space_tree& tree, local_id dir, std::string_view name,
                      std::string_view word = {});

} // namespace harp
