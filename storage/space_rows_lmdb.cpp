#include "storage/space_rows_lmdb.hpp"

#include "storage/row_codec.hpp"
#include "storage/space_rows_keys.hpp"

#include <algorithm>
#include <cerrno>

namespace harp {

namespace {

constexpr std::string_view next_lid_key = "next_lid";
constexpr size_t settings_kept_max = 4096;

row_key setting_key(std::string_view key) {
  return row_key{}.bytes("set:").bytes(key);
}

} // namespace

write_txn& space_rows_lmdb::changing() {
  if (write_ == nullptr)
    throw storage_failure{EROFS, "a snapshot of the metadata database cannot be changed"};
  return *write_;
}

// -- what is kept ---------------------------------------------------------------------------------

void space_rows_lmdb::make_room() {
  if (nodes_.size() + aliases_.size() + marks_.size() + fresh_.size() < rows_kept_max)
    return;
  if (write_ != nullptr)
    flush();
  nodes_.clear();
  aliases_.clear();
  fresh_.clear();
}

void space_rows_lmdb::flush_nodes(write_txn& txn) {
  std::vector<local_id> lids;
  for (const auto& [lid, kept] : nodes_)
    if (kept.changed)
      lids.push_back(lid);
  std::sort(lids.begin(), lids.end());
  for (auto lid : lids) {
    auto& kept = nodes_[lid];
    if (kept.row)
      txn.put(table::node, row_key::lid(lid), encode(*kept.row));
    else
      txn.erase(table::node, row_key::lid(lid));
    kept.changed = false;
  }
}

void space_rows_lmdb::flush_marks(write_txn& txn) {
  std::vector<std::pair<local_id, uint8_t>> marked(marks_.begin(), marks_.end());
  std::sort(marked.begin(), marked.end());
  for (auto [lid, reasons] : marked) {
    auto old = txn.get(table::dirty, row_key::lid(lid));
    char all = static_cast<char>(reasons | (old ? static_cast<uint8_t>(old->front()) : 0));
    if (!old || old->front() != all)
      txn.put(table::dirty, row_key::lid(lid), {&all, 1});
  }
  marks_.clear();
}

void space_rows_lmdb::flush() {
  auto& txn = changing();
  flush_nodes(txn);
  std::vector<std::pair<node_id, local_id>> fresh;
  for (auto& [nid, found] : aliases_)
    if (std::exchange(found.changed, false))
      fresh.emplace_back(nid, found.lid);
  std::sort(fresh.begin(), fresh.end());
  for (const auto& [nid, lid] : fresh)
    txn.put(table::nid2lid, nid.view(), row_key{}.u64(lid));
  flush_marks(txn);
  for (auto& [key, kept] : settings_) {
    if (!std::exchange(kept.changed, false))
      continue;
    if (kept.value.empty())
      txn.erase(table::conf, setting_key(key));
    else
      txn.put(table::conf, setting_key(key), kept.value);
  }
  if (std::exchange(next_lid_changed_, false))
    txn.put(table::conf, next_lid_key, row_key{}.u64(next_lid_));
}

// -- nodes ----------------------------------------------------------------------------------------

local_id space_rows_lmdb::find(const node_id& nid) {
  if (nid == root_node_id())
    return root_lid;
  if (auto it = aliases_.find(nid); it != aliases_.end())
    return it->second.lid;
  make_room();
  auto found = read_.get(table::nid2lid, nid.view());
  auto lid = found ? key_number(*found, 0, 8) : 0;
  aliases_.emplace(nid, alias{lid, false});
  return lid;
}

local_id space_rows_lmdb::take_lid() {
  if (next_lid_ == 0) {
    auto stored = read_.get(table::conf, next_lid_key);
    next_lid_ = stored ? key_number(*stored, 0, 8) : root_lid + 1;
  }
  next_lid_changed_ = true;
  return next_lid_++;
}

local_id space_rows_lmdb::make_alias(const node_id& nid) {
  if (auto known = find(nid))
    return known;
  changing();
  auto lid = take_lid();
  aliases_[nid] = {lid, true};
  fresh_.insert(lid);
  return lid;
}

space_rows_lmdb::kept_node& space_rows_lmdb::keep(local_id lid) {
  if (auto it = nodes_.find(lid); it != nodes_.end())
    return it->second;
  make_room();
  kept_node fresh;
  // A lid given out by this transaction has no row yet: no need to look.
  if (!fresh_.contains(lid))
    if (auto bytes = read_.get(table::node, row_key::lid(lid)))
      fresh.row = sound(decode_node(*bytes), "node");
  return nodes_.emplace(lid, std::move(fresh)).first->second;
}

std::optional<node_row> space_rows_lmdb::node(local_id lid) {
  return keep(lid).row;
}

namespace {

/// Time of death of a row that belongs into the Trash order.
std::optional<uint64_t> death_of(const std::optional<node_row>& row) {
  if (!row || (row->flags & (node_alive | node_void)) != 0 || row->died.is_zero())
    return std::nullopt;
  return row->died.hlc;
}

} // namespace

void space_rows_lmdb::index_dead(local_id lid, const std::optional<node_row>& before,
                                 const std::optional<node_row>& now) {
  auto was = death_of(before);
  auto is = death_of(now);
  if (was == is)
    return;
  if (was)
    changing().erase(table::dead, row_key{}.u64(*was).u64(lid));
  if (is)
    changing().put(table::dead, row_key{}.u64(*is).u64(lid), {});
}

void space_rows_lmdb::each_dead(uint64_t before,
                                const std::function<bool(uint64_t, local_id)>& visit) {
  std::vector<std::pair<uint64_t, local_id>> batch;
  auto until = row_key{}.u64(before);
  for (;;) {
    batch.clear();
    {
      row_cursor cursor(read_, table::dead);
      bool on = cursor.seek(until) ? cursor.previous() : cursor.last();
      for (; on && batch.size() < visit_batch; on = cursor.previous())
        batch.emplace_back(key_number(cursor.key(), 0, 8), key_number(cursor.key(), 8, 8));
    }
    for (const auto& [hlc, lid] : batch)
      if (!visit(hlc, lid))
        return;
    if (batch.size() < visit_batch)
      return;
    until = row_key{}.u64(batch.back().first).u64(batch.back().second);
  }
}

void space_rows_lmdb::put_node(local_id lid, const node_row& row) {
  changing();
  auto& kept = keep(lid);
  if (kept.row == row)
    return;
  index_dead(lid, kept.row, row);
  kept.row = row;
  kept.changed = true;
}

void space_rows_lmdb::erase_node(local_id lid) {
  auto& txn = changing();
  auto& kept = keep(lid);
  if (!kept.row)
    return;
  auto nid = kept.row->nid;
  index_dead(lid, kept.row, std::nullopt);
  kept.row.reset();
  kept.changed = true;
  txn.erase(table::nid2lid, nid.view());
  aliases_[nid] = {};
}

void space_rows_lmdb::each_node(local_id from,
                                const std::function<bool(local_id, const node_row&)>& visit) {
  if (write_ != nullptr)
    flush();
  std::vector<local_id> batch;
  for (;; from = batch.back() + 1) {
    batch.clear();
    read_.each_from(table::node, row_key::lid(from), [&](std::string_view key, std::string_view) {
      batch.push_back(key_lid(key));
      return batch.size() < visit_batch;
    });
    for (auto lid : batch)
      if (auto row = node(lid); row && !visit(lid, *row))
        return;
    if (batch.size() < visit_batch)
      return;
  }
}

// -- replicas and settings ------------------------------------------------------------------------

std::optional<replica_row> space_rows_lmdb::replica(replica_id rid) {
  auto bytes = read_.get(table::replica, row_key{}.u32(rid));
  if (!bytes)
    return std::nullopt;
  return sound(decode_replica(*bytes), "replica");
}

void space_rows_lmdb::put_replica(replica_id rid, const replica_row& row) {
  changing().put(table::replica, row_key{}.u32(rid), encode(row));
}

void space_rows_lmdb::each_replica(
    const std::function<void(replica_id, const replica_row&)>& visit) {
  std::vector<std::pair<replica_id, replica_row>> all; // bounded by the members a space ever had
  read_.each_from(table::replica, {}, [&](std::string_view key, std::string_view row) {
    all.emplace_back(static_cast<replica_id>(key_number(key, 0, 4)),
                     sound(decode_replica(row), "replica"));
    return true;
  });
  for (const auto& [rid, row] : all)
    visit(rid, row);
}

std::string space_rows_lmdb::setting(std::string_view key) {
  std::string name(key);
  if (auto it = settings_.find(name); it != settings_.end())
    return it->second.value;
  std::string value(read_.get(table::conf, setting_key(key)).value_or(""));
  if (settings_.size() < settings_kept_max)
    settings_.emplace(std::move(name), kept_setting{value, false});
  return value;
}

void space_rows_lmdb::put_setting(std::string_view key, std::string_view value) {
  changing();
  if (settings_.size() >= settings_kept_max) {
    flush();
    settings_.clear();
  }
  settings_[std::string(key)] = {std::string(value), true};
}

// -- dirty marks and notices ----------------------------------------------------------------------

void space_rows_lmdb::mark_dirty(local_id lid, uint8_t reason) {
  changing();
  if (auto it = marks_.find(lid); it != marks_.end()) {
    it->second |= reason;
    return;
  }
  make_room();
  marks_.emplace(lid, reason);
}

std::vector<std::pair<local_id, uint8_t>> space_rows_lmdb::dirty(size_t limit) {
  if (write_ != nullptr)
    flush();
  std::vector<std::pair<local_id, uint8_t>> out;
  if (limit == 0)
    return out;
  read_.each_from(table::dirty, {}, [&](std::string_view key, std::string_view bits) {
    out.emplace_back(key_lid(key), static_cast<uint8_t>(bits.front()));
    return out.size() < limit;
  });
  return out;
}

void space_rows_lmdb::clear_dirty(local_id lid) {
  marks_.erase(lid);
  changing().erase(table::dirty, row_key::lid(lid));
}

void space_rows_lmdb::put_notice(const notice_row& notice) {
  auto& txn = changing();
  uint32_t n = 0;
  txn.each_prefix(table::notice, row_key{}.u64(notice.hlc),
                  [&](std::string_view key, std::string_view) {
                    n = static_cast<uint32_t>(key_number(key, 8, 4)) + 1;
                    return true;
                  });
  txn.put(table::notice, row_key{}.u64(notice.hlc).u32(n), encode(notice));
  while (txn.count(table::notice) > notices_max) {
    std::string oldest;
    {
      row_cursor cursor(txn, table::notice);
      cursor.first();
      oldest.assign(cursor.key());
    }
    txn.erase(table::notice, oldest);
  }
}

std::vector<notice_row> space_rows_lmdb::notices(size_t limit) {
  std::vector<notice_row> out;
  row_cursor cursor(read_, table::notice);
  for (bool on = cursor.last(); on && out.size() < limit; on = cursor.previous())
    out.push_back(sound(decode_notice(key_number(cursor.key(), 0, 8), cursor.value()), "notice"));
  return out;
}

void space_rows_lmdb::erase_notices() {
  changing().erase_prefix(table::notice, {});
}

// -- whole transactions ---------------------------------------------------------------------------

std::optional<storage_failure> write_space(metadata_db& db,
                                           const std::function<bool(space_rows&)>& work) {
  return db.write([&](write_txn& txn) {
    space_rows_lmdb rows(txn);
    if (!work(rows))
      return false;
    rows.flush();
    return true;
  });
}

std::optional<storage_failure> read_space(const metadata_db& db,
                                          const std::function<void(space_rows&)>& work) {
  return db.read([&](const read_txn& txn) {
    space_rows_lmdb rows(txn);
    work(rows);
  });
}

} // namespace harp
