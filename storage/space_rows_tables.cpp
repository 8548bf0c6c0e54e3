// The tables of space_rows_lmdb that are written at once: events, versions, entries, floor rows, directory moves.
#include "storage/row_codec.hpp"
#include "storage/space_rows_keys.hpp"
#include "storage/space_rows_lmdb.hpp"

namespace harp {

namespace {

std::string_view short_id(const content_id& cid) {
  return cid.view().substr(0, 16);
}
row_key entry_key(local_id parent, std::string_view name) {
  return row_key{}.u64(parent).bytes(name);
}

} // namespace

// -- events and versions --------------------------------------------------------------------------

std::vector<event_row> space_rows_lmdb::events(local_id lid) {
  std::vector<event_row> out;
  read_.each_prefix(table::ev, row_key{}.u64(lid), [&](std::string_view key, std::string_view row) {
    out.push_back(sound(decode_event(key_stamp(key, 8), row), "ev"));
    return true;
  });
  return out;
}

bool space_rows_lmdb::put_event(local_id lid, const event_row& event) {
  return changing().insert(table::ev, version_key(lid, event.at), encode(event));
}

void space_rows_lmdb::erase_event(local_id lid, const stamp& at) {
  changing().erase(table::ev, version_key(lid, at));
}

std::vector<version_row> space_rows_lmdb::versions(local_id lid) {
  std::vector<version_row> out;
  read_.each_prefix(table::ver, row_key{}.u64(lid),
                    [&](std::string_view key, std::string_view row) {
                      out.push_back(sound(decode_version(key_stamp(key, 8), row), "ver"));
                      return true;
                    });
  return out;
}

std::optional<version_row> space_rows_lmdb::version(local_id lid, const stamp& at) {
  auto bytes = read_.get(table::ver, version_key(lid, at));
  if (!bytes)
    return std::nullopt;
  return sound(decode_version(at, *bytes), "ver");
}

bool space_rows_lmdb::put_version(local_id lid, const version_row& version) {
  auto& txn = changing();
  auto key = version_key(lid, version.at);
  auto bytes = encode(version);
  if (txn.insert(table::ver, key, bytes)) {
    txn.put(table::cidref, short_id(version.cid), key);
    return true;
  }
  auto old = sound(decode_version(version.at, txn.get(table::ver, key).value_or("")), "ver");
  if (old == version)
    return false;
  if (old.cid != version.cid) {
    txn.erase_value(table::cidref, short_id(old.cid), key);
    txn.put(table::cidref, short_id(version.cid), key);
  }
  txn.put(table::ver, key, bytes);
  return false;
}

void space_rows_lmdb::erase_version(local_id lid, const stamp& at) {
  auto& txn = changing();
  auto key = version_key(lid, at);
  auto bytes = txn.get(table::ver, key);
  if (!bytes)
    return;
  auto old = sound(decode_version(at, *bytes), "ver");
  txn.erase_value(table::cidref, short_id(old.cid), key);
  txn.erase(table::ver, key);
}

std::vector<std::pair<local_id, stamp>> space_rows_lmdb::holders(const content_id& cid,
                                                                 size_t limit) {
  std::vector<std::pair<local_id, stamp>> out;
  if (limit == 0)
    return out;
  read_.each_value(table::cidref, short_id(cid), [&](std::string_view key) {
    auto at = key_stamp(key, 8);
    auto bytes = read_.get(table::ver, key);
    // The reference has half of the id; the row has all of it.
    if (bytes && sound(decode_version(at, *bytes), "ver").cid == cid)
      out.emplace_back(key_number(key, 0, 8), at);
    return out.size() < limit;
  });
  return out;
}

std::string space_rows_lmdb::root_record(const content_id& cid) {
  auto found = read_.get(table::root, short_id(cid));
  if (!found || found->substr(0, 16) != cid.view().substr(16))
    return {};
  return std::string(found->substr(16));
}

void space_rows_lmdb::put_root_record(const content_id& cid, std::string_view record) {
  std::string value(cid.view().substr(16));
  value.append(record);
  changing().put(table::root, short_id(cid), value);
}

// -- directory entries ----------------------------------------------------------------------------

std::vector<local_id> space_rows_lmdb::entry(local_id parent, std::string_view name) {
  std::vector<local_id> out;
  auto key = entry_key(parent, name);
  read_.each_value(table::dirent, key, [&](std::string_view value) {
    out.push_back(key_number(value, 0, 8));
    return true;
  });
  return out;
}

void space_rows_lmdb::add_entry(local_id parent, std::string_view name, local_id lid) {
  changing().put(table::dirent, entry_key(parent, name), row_key{}.u64(lid));
}

void space_rows_lmdb::remove_entry(local_id parent, std::string_view name, local_id lid) {
  changing().erase_value(table::dirent, entry_key(parent, name), row_key{}.u64(lid));
}

void space_rows_lmdb::each_entry(local_id parent, std::string_view after,
                                 const std::function<bool(std::string_view, local_id)>& visit) {
  std::vector<std::pair<std::string, local_id>> batch;
  std::string last(after);
  auto prefix = row_key{}.u64(parent);
  for (bool more = true; more;) {
    more = false;
    batch.clear();
    row_cursor cursor(read_, table::dirent);
    for (bool on = cursor.seek(entry_key(parent, last)); on && cursor.key().starts_with(prefix);
         on = cursor.next()) {
      auto name = cursor.key().substr(8);
      if (!last.empty() && name == last)
        continue;
      if (batch.size() >= visit_batch && name != batch.back().first) {
        more = true;
        break;
      }
      batch.emplace_back(name, key_number(cursor.value(), 0, 8));
    }
    for (const auto& [name, lid] : batch)
      if (!visit(name, lid))
        return;
    if (more)
      last = batch.back().first;
  }
}

// -- floor rows and directory moves ---------------------------------------------------------------

std::optional<node_row> space_rows_lmdb::floor(local_id lid) {
  auto bytes = read_.get(table::floor, row_key::lid(lid));
  if (!bytes)
    return std::nullopt;
  return sound(decode_node(*bytes), "floor");
}

void space_rows_lmdb::put_floor(local_id lid, const node_row& row) {
  changing().put(table::floor, row_key::lid(lid), encode(row));
}

void space_rows_lmdb::erase_floor(local_id lid) {
  changing().erase(table::floor, row_key::lid(lid));
}

void space_rows_lmdb::each_floor(const std::function<bool(local_id, const node_row&)>& visit) {
  read_.each_from(table::floor, {}, [&](std::string_view key, std::string_view row) {
    return visit(key_lid(key), sound(decode_node(row), "floor"));
  });
}

std::vector<dir_move_row> space_rows_lmdb::dir_moves_from(const stamp& from) {
  std::vector<dir_move_row> out;
  read_.each_from(table::dlog, row_key{}.at(from), [&](std::string_view key, std::string_view row) {
    out.push_back(sound(decode_dir_move(key_stamp(key, 0), row), "dlog"));
    return true;
  });
  return out;
}

void space_rows_lmdb::put_dir_move(const dir_move_row& row) {
  changing().put(table::dlog, row_key{}.at(row.at).u64(row.node), encode(row));
}

void space_rows_lmdb::erase_dir_move(const stamp& at, local_id node) {
  changing().erase(table::dlog, row_key{}.at(at).u64(node));
}

} // namespace harp
