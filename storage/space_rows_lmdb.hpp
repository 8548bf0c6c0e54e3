// The tables of one space in LMDB, behind the interface of the fold: node rows are kept and written back at the end.
#pragma once

#include "storage/metadata_db.hpp"
#include "storage/rows.hpp"

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace harp {

/// Node rows, aliases and dirty marks one transaction keeps in memory before it writes them back.
inline constexpr size_t rows_kept_max = 32'768;

/// One transaction's view. Over a write_txn, `flush` must be the last call before the commit; over a read_txn every
/// change throws storage_failure (EROFS). A row that cannot be decoded throws storage_failure (EBADMSG).
class space_rows_lmdb final : public space_rows {
public:
  explicit space_rows_lmdb(write_txn& txn) : read_(txn), write_(&txn) {}
  explicit space_rows_lmdb(const read_txn& txn) : read_(txn) {}

  /// Writes what was kept back, in key order.
  void flush();

  local_id find(const node_id& nid) override;
  local_id make_alias(const node_id& nid) override;
  std::optional<node_row> node(local_id lid) override;
  void put_node(local_id lid, const node_row& row) override;
  void erase_node(local_id lid) override;
  void each_node(local_id from,
                 const std::function<bool(local_id, const node_row&)>& visit) override;

  void each_dead(uint64_t before,
                 const std::function<bool(uint64_t hlc, local_id)>& visit) override;

  std::vector<event_row> events(local_id lid) override;
  bool put_event(local_id lid, const event_row& event) override;
  void erase_event(local_id lid, const stamp& at) override;
  std::vector<version_row> versions(local_id lid) override;
  std::optional<version_row> version(local_id lid, const stamp& at) override;
  bool put_version(local_id lid, const version_row& version) override;
  void erase_version(local_id lid, const stamp& at) override;
  std::vector<std::pair<local_id, stamp>> holders(const content_id& cid, size_t limit) override;
  std::string root_record(const content_id& cid) override;
  void put_root_record(const content_id& cid, std::string_view record) override;

  std::vector<local_id> entry(local_id parent, std::string_view name) override;
  void add_entry(local_id parent, std::string_view name, local_id lid) override;
  void remove_entry(local_id parent, std::string_view name, local_id lid) override;
  void each_entry(local_id parent, std::string_view after,
                  const std::function<bool(std::string_view, local_id)>& visit) override;

  std::optional<node_row> floor(local_id lid) override;
  void put_floor(local_id lid, const node_row& row) override;
  void erase_floor(local_id lid) override;
  void each_floor(const std::function<bool(local_id, const node_row&)>& visit) override;

  std::vector<dir_move_row> dir_moves_from(const stamp& from) override;
  void put_dir_move(const dir_move_row& row) override;
  void erase_dir_move(const stamp& at, local_id node) override;

  std::optional<replica_row> replica(replica_id rid) override;
  void put_replica(replica_id rid, const replica_row& row) override;
  void each_replica(const std::function<void(replica_id, const replica_row&)>& visit) override;
  std::string setting(std::string_view key) override;
  void put_setting(std::string_view key, std::string_view value) override;

  void mark_dirty(local_id lid, uint8_t reason) override;
  std::vector<std::pair<local_id, uint8_t>> dirty(size_t limit) override;
  void clear_dirty(local_id lid) override;
  void put_notice(const notice_row& notice) override;
  std::vector<notice_row> notices(size_t limit) override;
  void erase_notices() override;

private:
  struct kept_node {
    std::optional<node_row> row; // nothing: absent
    bool changed = false;
  };
  struct alias {
    local_id lid = 0; // 0: known to be absent
    bool changed = false;
  };

  struct kept_setting {
    std::string value;
    bool changed = false;
  };

  write_txn& changing();
  void index_dead(local_id lid, const std::optional<node_row>& before,
                  const std::optional<node_row>& now);
  void flush_nodes(write_txn& txn);
  void flush_marks(write_txn& txn);
  void make_room();
  kept_node& keep(local_id lid);
  local_id take_lid();

  const read_txn& read_;
  write_txn* write_ = nullptr;
  std::unordered_map<local_id, kept_node> nodes_;
  /// All bytes count: files of one bundle differ only in the last ones.
  struct nid_hash {
    size_t operator()(const node_id& id) const noexcept {
      uint64_t halves[2];
      std::memcpy(halves, id.bytes.data(), sizeof halves);
      auto mixed = (halves[0] ^ (halves[1] * 0x9E3779B97F4A7C15ull)) * 0xD6E8FEB86659FD93ull;
      return static_cast<size_t>(mixed ^ mixed >> 32);
    }
  };
  std::unordered_map<node_id, alias, nid_hash> aliases_;
  std::unordered_set<local_id> fresh_; // aliases made here: no node row in the table yet
  std::unordered_map<local_id, uint8_t> marks_;
  std::unordered_map<std::string, kept_setting> settings_; // few: counters and roots of the fold
  local_id next_lid_ = 0;                                  // 0: not read yet
  bool next_lid_changed_ = false;
};

/// One write transaction over the rows of a space: `work` (false aborts), then the flush, then the commit. As with
/// metadata_db::write, `work` may be called again.
std::optional<storage_failure> write_space(metadata_db& db,
                                           const std::function<bool(space_rows&)>& work);
/// One snapshot of the rows of a space.
std::optional<storage_failure> read_space(const metadata_db& db,
                                          const std::function<void(space_rows&)>& work);

} // namespace harp
