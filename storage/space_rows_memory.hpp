// The tables of one space as plain maps: for tests and simulation, with the meaning of space_rows_lmdb.
#pragma once

#include "storage/rows.hpp"

#include <map>
#include <set>
#include <unordered_map>

namespace harp {

/// Copyable: a copy is a snapshot. Nothing is durable and nothing fails.
class space_rows_memory final : public space_rows {
public:
  local_id find(const node_id& nid) override;
  local_id make_alias(const node_id& nid) override;
  std::optional<node_row> node(local_id lid) override;
  void put_node(local_id lid, const node_row& row) override;
  void erase_node(local_id lid) override;
  void each_node(local_id from,
                 const std::function<bool(local_id, const node_row&)>& visit) override;
  void each_dead(uint64_t before, const std::function<bool(uint64_t, local_id)>& visit) override;

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
  using names = std::map<std::string, std::set<local_id>, std::less<>>;

  local_id next_lid_ = root_lid + 1;
  std::unordered_map<node_id, local_id> aliases_;
  std::map<local_id, node_row> nodes_;
  std::set<std::pair<uint64_t, local_id>> dead_;
  std::unordered_map<local_id, std::map<stamp, event_row>> events_;
  std::unordered_map<local_id, std::map<stamp, version_row>> versions_;
  std::map<content_id, std::set<std::pair<local_id, stamp>>> holders_;
  std::map<content_id, std::string> roots_;
  std::unordered_map<local_id, names> entries_;
  std::map<local_id, node_row> floors_;
  std::map<std::pair<stamp, local_id>, dir_move_row> moves_;
  std::map<replica_id, replica_row> replicas_;
  std::map<std::string, std::string, std::less<>> settings_;
  std::map<local_id, uint8_t> dirty_;
  std::multimap<uint64_t, notice_row> notices_;
};

} // namespace harp
