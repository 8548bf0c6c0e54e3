#include "storage/space_rows_memory.hpp"

#include <utility>

namespace harp {

namespace {

bool is_in_trash(const node_row& row) {
  return (row.flags & (node_alive | node_void)) == 0 && !row.died.is_zero();
}

template <class Map, class Key>
auto value_of(const Map& map, const Key& key) -> std::optional<typename Map::mapped_type> {
  auto it = map.find(key);
  return it == map.end() ? std::nullopt : std::optional{it->second};
}

template <class Row>
std::vector<Row> rows_of(const std::unordered_map<local_id, std::map<stamp, Row>>& table,
                         local_id lid) {
  std::vector<Row> out;
  if (auto it = table.find(lid); it != table.end())
    for (const auto& [at, row] : it->second)
      out.push_back(row);
  return out;
}

} // namespace

// -- nodes ----------------------------------------------------------------------------------------

local_id space_rows_memory::find(const node_id& nid) {
  if (nid == root_node_id())
    return root_lid;
  auto it = aliases_.find(nid);
  return it == aliases_.end() ? 0 : it->second;
}

local_id space_rows_memory::make_alias(const node_id& nid) {
  if (auto known = find(nid))
    return known;
  aliases_.emplace(nid, next_lid_);
  return next_lid_++;
}

std::optional<node_row> space_rows_memory::node(local_id lid) {
  return value_of(nodes_, lid);
}

void space_rows_memory::put_node(local_id lid, const node_row& row) {
  auto& slot = nodes_[lid];
  if (is_in_trash(slot))
    dead_.erase({slot.died.hlc, lid});
  slot = row;
  if (is_in_trash(row))
    dead_.insert({row.died.hlc, lid});
}

void space_rows_memory::erase_node(local_id lid) {
  auto it = nodes_.find(lid);
  if (it == nodes_.end())
    return;
  if (is_in_trash(it->second))
    dead_.erase({it->second.died.hlc, lid});
  aliases_.erase(it->second.nid);
  nodes_.erase(it);
}

void space_rows_memory::each_node(local_id from,
                                  const std::function<bool(local_id, const node_row&)>& visit) {
  for (auto it = nodes_.lower_bound(from); it != nodes_.end(); ++it)
    if (!visit(it->first, it->second))
      return;
}

void space_rows_memory::each_dead(uint64_t before,
                                  const std::function<bool(uint64_t, local_id)>& visit) {
  for (auto it = dead_.lower_bound({before, 0}); it != dead_.begin();) {
    --it;
    if (!visit(it->first, it->second))
      return;
  }
}

// -- events and versions --------------------------------------------------------------------------

std::vector<event_row> space_rows_memory::events(local_id lid) {
  return rows_of(events_, lid);
}

bool space_rows_memory::put_event(local_id lid, const event_row& event) {
  return events_[lid].emplace(event.at, event).second;
}

void space_rows_memory::erase_event(local_id lid, const stamp& at) {
  if (auto it = events_.find(lid); it != events_.end() && it->second.erase(at) > 0)
    if (it->second.empty())
      events_.erase(it);
}

std::vector<version_row> space_rows_memory::versions(local_id lid) {
  return rows_of(versions_, lid);
}

std::optional<version_row> space_rows_memory::version(local_id lid, const stamp& at) {
  auto it = versions_.find(lid);
  return it == versions_.end() ? std::nullopt : value_of(it->second, at);
}

bool space_rows_memory::put_version(local_id lid, const version_row& version) {
  auto [it, fresh] = versions_[lid].try_emplace(version.at, version);
  if (!fresh) {
    holders_[it->second.cid].erase({lid, version.at});
    it->second = version;
  }
  holders_[version.cid].insert({lid, version.at});
  return fresh;
}

void space_rows_memory::erase_version(local_id lid, const stamp& at) {
  auto it = versions_.find(lid);
  if (it == versions_.end())
    return;
  if (auto row = it->second.find(at); row != it->second.end()) {
    holders_[row->second.cid].erase({lid, at});
    it->second.erase(row);
  }
  if (it->second.empty())
    versions_.erase(it);
}

std::vector<std::pair<local_id, stamp>> space_rows_memory::holders(const content_id& cid,
                                                                   size_t limit) {
  std::vector<std::pair<local_id, stamp>> out;
  if (auto it = holders_.find(cid); it != holders_.end())
    for (const auto& holder : it->second)
      if (out.size() < limit)
        out.push_back(holder);
  return out;
}

std::string space_rows_memory::root_record(const content_id& cid) {
  return value_of(roots_, cid).value_or("");
}

void space_rows_memory::put_root_record(const content_id& cid, std::string_view record) {
  roots_.insert_or_assign(cid, std::string(record));
}

// -- directory entries ----------------------------------------------------------------------------

std::vector<local_id> space_rows_memory::entry(local_id parent, std::string_view name) {
  auto dir = entries_.find(parent);
  if (dir == entries_.end())
    return {};
  auto it = dir->second.find(name);
  return it == dir->second.end() ? std::vector<local_id>{}
                                 : std::vector<local_id>(it->second.begin(), it->second.end());
}

void space_rows_memory::add_entry(local_id parent, std::string_view name, local_id lid) {
  entries_[parent][std::string(name)].insert(lid);
}

void space_rows_memory::remove_entry(local_id parent, std::string_view name, local_id lid) {
  auto dir = entries_.find(parent);
  if (dir == entries_.end())
    return;
  auto it = dir->second.find(name);
  if (it == dir->second.end())
    return;
  it->second.erase(lid);
  if (it->second.empty())
    dir->second.erase(it);
}

void space_rows_memory::each_entry(local_id parent, std::string_view after,
                                   const std::function<bool(std::string_view, local_id)>& visit) {
  auto dir = entries_.find(parent);
  if (dir == entries_.end())
    return;
  auto it = after.empty() ? dir->second.begin() : dir->second.upper_bound(after);
  for (; it != dir->second.end(); ++it)
    for (auto lid : it->second)
      if (!visit(it->first, lid))
        return;
}

// -- floor rows, directory moves ------------------------------------------------------------------

std::optional<node_row> space_rows_memory::floor(local_id lid) {
  return value_of(floors_, lid);
}

void space_rows_memory::put_floor(local_id lid, const node_row& row) {
  floors_.insert_or_assign(lid, row);
}

void space_rows_memory::erase_floor(local_id lid) {
  floors_.erase(lid);
}

void space_rows_memory::each_floor(const std::function<bool(local_id, const node_row&)>& visit) {
  for (const auto& [lid, row] : floors_)
    if (!visit(lid, row))
      return;
}

std::vector<dir_move_row> space_rows_memory::dir_moves_from(const stamp& from) {
  std::vector<dir_move_row> out;
  for (auto it = moves_.lower_bound({from, 0}); it != moves_.end(); ++it)
    out.push_back(it->second);
  return out;
}

void space_rows_memory::put_dir_move(const dir_move_row& row) {
  moves_.insert_or_assign(std::pair{row.at, row.node}, row);
}

void space_rows_memory::erase_dir_move(const stamp& at, local_id node) {
  moves_.erase({at, node});
}

// -- replicas, settings, marks, notices -----------------------------------------------------------

std::optional<replica_row> space_rows_memory::replica(replica_id rid) {
  return value_of(replicas_, rid);
}

void space_rows_memory::put_replica(replica_id rid, const replica_row& row) {
  replicas_.insert_or_assign(rid, row);
}

void space_rows_memory::each_replica(
    const std::function<void(replica_id, const replica_row&)>& visit) {
  auto copy = replicas_; // a visitor may write
  for (const auto& [rid, row] : copy)
    visit(rid, row);
}

std::string space_rows_memory::setting(std::string_view key) {
  auto it = settings_.find(key);
  return it == settings_.end() ? std::string{} : it->second;
}

void space_rows_memory::put_setting(std::string_view key, std::string_view value) {
  if (value.empty())
    settings_.erase(std::string(key));
  else
    settings_.insert_or_assign(std::string(key), std::string(value));
}

void space_rows_memory::mark_dirty(local_id lid, uint8_t reason) {
  dirty_[lid] |= reason;
}

std::vector<std::pair<local_id, uint8_t>> space_rows_memory::dirty(size_t limit) {
  std::vector<std::pair<local_id, uint8_t>> out;
  for (const auto& mark : dirty_)
    if (out.size() < limit)
      out.emplace_back(mark);
  return out;
}

void space_rows_memory::clear_dirty(local_id lid) {
  dirty_.erase(lid);
}

void space_rows_memory::put_notice(const notice_row& notice) {
  notices_.emplace(notice.hlc, notice);
  while (notices_.size() > notices_max)
    notices_.erase(notices_.begin());
}

std::vector<notice_row> space_rows_memory::notices(size_t limit) {
  std::vector<notice_row> out;
  for (auto it = notices_.rbegin(); it != notices_.rend() && out.size() < limit; ++it)
    out.push_back(it->second);
  return out;
}

void space_rows_memory::erase_notices() {
  notices_.clear();
}

} // namespace harp
