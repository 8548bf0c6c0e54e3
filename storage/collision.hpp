// Who is told what (storage.md 4.5, P7): notices for the author whose wish did not become what everybody sees.
#pragma once

#include "storage/dir_moves.hpp"
#include "storage/row_batch.hpp"
#include "storage/space_apply.hpp"

#include <map>
#include <unordered_map>
#include <unordered_set>

namespace harp {

/// Dirs of a new group whose entries are compared for joined files.
inline constexpr size_t joined_entries_max = 1000;
/// Trash entries counted for "restore N files".
inline constexpr size_t deleted_count_max = 10'000;

/// Watches one batch from the side of the replica `self`. A case of 4.5 is one only when the other's bundle had not seen
/// ours: each author's context names how far it knew us, kept in settings `ack/<rid>`.
///
/// Arguments of the notices: path, rid of the other author, its clock (hlc), then: edit_overtaken, kept_after_delete: the
/// path again is the whole story; move_overtaken: the path wished for; move_without_effect: the directory wished for;
/// folder_kept: the number of files that "restore" would bring back; name_taken_by_dir: the name it shows as now.
class collision_watch {
public:
  collision_watch(space_rows& rows, replica_id self) : rows_(rows), self_(self) {}

  /// Before the operations of `b`.
  void begin(const bundle& b);
  /// An operation of the current bundle on a node, of somebody else.
  void note(local_id lid, event_row::kind what, const stamp& at);
  void overtaken(local_id lid, const version_row& version, const version_row& by);
  void lost_effect(const dir_move_row& entry);
  /// After row_batch::finish: decides, stores, returns. `find`: the batch's row of a lid.
  std::vector<notice_row> finish(row_batch& batch);

private:
  struct fact {
    event_row::kind what{};
    stamp at;
    uint64_t acked = 0; // how many of our bundles its author knew
  };
  struct lost_version {
    local_id lid = 0;
    version_row mine;
    version_row other;
  };
  template <class Fits>
  const fact* unseeing(local_id lid, uint64_t own_seq, Fits fits) const;
  uint64_t seq_of(local_id lid, event_row::kind what, const stamp& at);
  void put(notice_code code, local_id lid, const stamp& other, std::vector<std::string> more = {});
  void judge_edits();
  void judge_death(local_id lid, const batch_row& row);
  void judge_folder_delete(local_id lid, const batch_row& row);
  void judge_move(local_id lid, const batch_row& row);
  void judge_effects();
  void judge_reappeared(row_batch& batch);
  void judge_joined(row_batch& batch);
  void join_children(row_batch& batch, local_id a, local_id b);
  void judge_pair(row_batch& batch, local_id a, local_id b);
  size_t deleted_below(local_id dir, replica_id by);

  space_rows& rows_;
  replica_id self_ = 0;
  replica_id author_ = 0;
  stamp newest_; // of remote operations in this batch
  std::map<replica_id, uint64_t> acked_;
  std::map<local_id, std::vector<fact>> facts_;
  std::vector<lost_version> overtaken_;
  std::vector<dir_move_row> without_effect_;
  std::unordered_set<local_id> told_; // nodes below which a reappearing folder is no news
  std::unordered_set<local_id> joined_;
  std::vector<notice_row> out_;
};

} // namespace harp
