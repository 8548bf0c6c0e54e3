// The changed rows of one apply: counts shown children up the tree, then writes net differences with entries, state root and
// dirty marks.
#pragma once

#include "storage/dir_moves.hpp"
#include "storage/rows.hpp"
#include "storage/state_root.hpp"

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace harp {

/// A row as it was and as it is to be. `row` is free to change but for shown, shown_kids and the position, which
/// settle() works out from `place`.
struct batch_row {
  std::optional<node_row> before;
  node_row row;        // with its new position once settled
  bool erased = false; // purge, or a file whose creation was cut
  // the place that entries and counters know
  local_id listed_parent = 0;
  std::string listed_name;
  bool listed = false;
  bool detached = false;
};

/// A file or dir that appeared at a place in this batch, and who was there already.
struct joined_place {
  local_id lid = 0;
  std::vector<local_id> others;
};

/// One per apply, over one transaction. References stay valid until finish().
class row_batch {
public:
  explicit row_batch(space_rows& rows);

  /// Nothing: no such node (or erased in this batch).
  batch_row* find(local_id lid);
  /// A node without a row yet.
  batch_row& make(local_id lid, const node_row& row);
  /// Call before the position of a row or `erased` is changed: takes it off its old place.
  void detach(local_id lid, batch_row& row);
  /// Rows whose life or position may have changed: puts them where they belong now.
  void settle(const std::vector<local_id>& lids);

  void put_version(local_id lid, const node_id& nid, const version_row& version);
  void erase_version(local_id lid, const node_id& nid, const version_row& version);

  /// Writes. Call once.
  void finish();
  /// Rows that differ, by lid; after finish().
  [[nodiscard]] const std::vector<local_id>& touched() const { return touched_; }
  [[nodiscard]] const std::vector<joined_place>& joined() const { return joined_; }
  space_rows& rows() { return rows_; }

private:
  void list(local_id lid, batch_row& row);
  void unlist(local_id lid, batch_row& row);
  void count(local_id parent, int change);
  [[nodiscard]] bool wants_shown(const batch_row& row) const;
  node_id nid_of(local_id lid);
  void write(local_id lid, batch_row& row);
  void write_entries();
  void mark(local_id lid, uint8_t reason);
  void mark_shared();
  void mark_below(local_id dir);

  space_rows& rows_;
  root_buckets root_;
  std::unordered_map<local_id, batch_row> kept_;
  std::map<std::tuple<local_id, std::string, local_id>, int> entries_; // net
  std::vector<local_id> touched_;
  std::vector<joined_place> joined_;
  bool shared_ = false;       // some place of this space has had several members
  bool shared_known_ = false; // as stored
};

} // namespace harp
