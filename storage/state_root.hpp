// The state root (storage.md 5.1): XOR of BLAKE2b(canonical row) in 256 buckets, folded. Equal sets of operations give
// equal roots on all nodes, whatever their local ids.
#pragma once

#include "storage/rows.hpp"

#include <array>
#include <map>
#include <string>
#include <string_view>

namespace harp {

/// 256 XOR buckets kept in settings `<prefix>/0` .. `<prefix>/15`, 16 buckets each. Read on demand, written by save().
class root_buckets {
public:
  root_buckets(space_rows& rows, std::string_view prefix) : rows_(rows), prefix_(prefix) {}

  /// Adds a record, or takes it away again: XOR.
  void flip(const node_id& nid, std::string_view record);
  void save();
  void clear();
  [[nodiscard]] digest256 root();
  /// One bucket, for comparing with a peer that differs.
  [[nodiscard]] digest256 bucket(uint8_t n);

private:
  struct part {
    std::array<digest256, 16> buckets{};
    bool changed = false;
  };
  part& load(uint8_t n);

  space_rows& rows_;
  std::string prefix_;
  std::map<uint8_t, part> parts_;
};

/// The bucket of a node.
uint8_t bucket_of(const node_id& nid);
/// Void rows are left out: whether one is kept depends on what was known here before a cut.
inline bool is_counted(const node_row& row) {
  return (row.flags & node_void) == 0;
}
/// What of a node row all nodes agree on. `parent`: nid of row.parent.
std::string canonical_row(const node_row& row, const node_id& parent);
/// What of a version row all nodes agree on (not overtaken, safe, lost).
std::string canonical_version(const node_id& nid, const version_row& version);

/// The root as kept by apply; two nodes with equal vv and roster compare it.
digest256 state_root(space_rows& rows);
digest256 state_root_bucket(space_rows& rows, uint8_t n);
/// From all rows anew: for verify and tests.
digest256 recount_state_root(space_rows& rows);
/// The same, kept from now on: for repair.
void rebuild_state_root(space_rows& rows);

} // namespace harp
