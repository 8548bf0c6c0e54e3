#include "storage/chunk_index.hpp"

#include "storage/byte_codec.hpp"

#include <algorithm>
#include <utility>

namespace harp {

namespace {

constexpr std::string_view mark_key = "pack_mark";
constexpr std::string_view spaces_key = "spaces";
constexpr size_t forget_batch = 4096;

std::string_view short_id(const chunk_id& id) {
  return id.view().substr(0, 16);
}

std::string encode(const chunk_id& id, const pack_row& row) {
  byte_writer out;
  out.u32(row.pack);
  out.u32(row.offset);
  out.u32(row.length);
  out.raw(id.view().substr(16));
  out.u32(row.unreferenced_s);
  out.u8(row.flags);
  return out.take();
}

struct decoded_row {
  chunk_id id;
  pack_row row;
};

std::optional<decoded_row> decode(std::string_view key, std::string_view bytes) {
  byte_reader in(bytes);
  decoded_row out;
  out.row.pack = in.u32();
  out.row.offset = in.u32();
  out.row.length = in.u32();
  auto rest = in.raw(16);
  out.row.unreferenced_s = in.u32();
  out.row.flags = in.u8();
  if (!in.done() || key.size() != 16)
    return std::nullopt;
  std::memcpy(out.id.bytes.data(), key.data(), 16);
  std::memcpy(out.id.bytes.data() + 16, rest.data(), 16);
  return out;
}

row_key space_key(const space_id& space) {
  return row_key{}.bytes("space:").bytes(space.view());
}

} // namespace

chunk_index::location_key chunk_index::key_of(const chunk_id& id, const chunk_location& at) {
  auto key = row_key{}.bytes(short_id(id)).u32(at.space).u64(at.lid).u32(at.no);
  location_key out{};
  std::memcpy(out.data(), key.view().data(), out.size());
  return out;
}

void chunk_index::touch() {
  if (!since_)
    since_ = std::chrono::steady_clock::now();
}

std::optional<uint32_t> chunk_index::space_number(const space_id& space) {
  std::optional<uint32_t> out;
  auto failure = db_.read([&](const read_txn& txn) {
    if (auto found = txn.get(table::conf, space_key(space)))
      out = static_cast<uint32_t>(key_number(*found, 0, 4));
  });
  if (failure || out)
    return out;
  failure = db_.write([&](write_txn& txn) {
    auto last = txn.get(table::conf, spaces_key);
    auto number = last ? static_cast<uint32_t>(key_number(*last, 0, 4)) + 1 : 1;
    txn.put(table::conf, spaces_key, row_key{}.u32(number));
    txn.put(table::conf, space_key(space), row_key{}.u32(number));
    out = number;
    return true;
  });
  return failure ? std::nullopt : out;
}

// -- files ----------------------------------------------------------------------------------------

void chunk_index::add_location(const chunk_id& id, const chunk_location& at) {
  std::lock_guard lock(mutex_);
  touch();
  pending_.places[key_of(id, at)] = true;
}

void chunk_index::remove_location(const chunk_id& id, const chunk_location& at) {
  std::lock_guard lock(mutex_);
  touch();
  pending_.places[key_of(id, at)] = false;
}

std::vector<chunk_location> chunk_index::locations(const chunk_id& id, size_t limit) const {
  std::lock_guard lock(mutex_);
  std::vector<chunk_location> out;
  auto parse = [](std::string_view value) {
    return chunk_location{static_cast<uint32_t>(key_number(value, 0, 4)), key_number(value, 4, 8),
                          static_cast<uint32_t>(key_number(value, 12, 4))};
  };
  location_key from{};
  std::memcpy(from.data(), id.bytes.data(), 16);
  auto gather = [&](const batch& rows, const batch* over) {
    for (auto it = rows.places.lower_bound(from); it != rows.places.end() && out.size() < limit;
         ++it) {
      if (!std::equal(from.begin(), from.begin() + 16, it->first.begin()))
        break;
      if (it->second && (over == nullptr || !over->places.contains(it->first)))
        out.push_back(parse({reinterpret_cast<const char*>(it->first.data()) + 16, 16}));
    }
  };
  gather(pending_, nullptr);
  gather(writing_, &pending_);
  static_cast<void>(db_.read([&](const read_txn& txn) {
    txn.each_value(table::loc, short_id(id), [&](std::string_view value) {
      if (out.size() >= limit)
        return false;
      auto at = parse(value);
      auto key = key_of(id, at);
      if (!pending_.places.contains(key) && !writing_.places.contains(key))
        out.push_back(at);
      return true;
    });
  }));
  return out;
}

std::optional<storage_failure> chunk_index::forget_space(uint32_t space) {
  if (auto failure = flush())
    return failure;
  std::string from;
  for (bool more = true; more;) {
    std::vector<std::pair<std::string, std::string>> gone;
    more = false;
    auto failure = db_.walk(table::loc, from, [&](std::string_view key, std::string_view value) {
      if (gone.size() >= forget_batch && key != from) {
        from.assign(key);
        more = true;
        return false;
      }
      if (key != from)
        from.assign(key);
      if (key_number(value, 0, 4) == space)
        gone.emplace_back(key, value);
      return true;
    });
    if (!failure)
      failure = db_.write([&](write_txn& txn) {
        for (const auto& [key, value] : gone)
          txn.erase_value(table::loc, key, value);
        return true;
      });
    if (failure)
      return failure;
  }
  return std::nullopt;
}

// -- packs ----------------------------------------------------------------------------------------

std::optional<pack_row> chunk_index::pack_of(const chunk_id& id) const {
  std::lock_guard lock(mutex_);
  for (const auto* rows : {&pending_, &writing_})
    if (auto it = rows->packs.find(id); it != rows->packs.end())
      return it->second;
  std::optional<pack_row> out;
  static_cast<void>(db_.read([&](const read_txn& txn) {
    auto found = txn.get(table::pack, short_id(id));
    auto row = found ? decode(short_id(id), *found) : std::nullopt;
    if (row && row->id == id)
      out = row->row;
  }));
  return out;
}

void chunk_index::put_pack(const chunk_id& id, const pack_row& row) {
  std::lock_guard lock(mutex_);
  touch();
  pending_.packs[id] = row;
}

void chunk_index::erase_pack(const chunk_id& id) {
  std::lock_guard lock(mutex_);
  touch();
  pending_.packs[id] = std::nullopt;
}

std::optional<storage_failure>
chunk_index::each_pack(const chunk_id& from,
                       const std::function<bool(const chunk_id&, const pack_row&)>& visit) const {
  return db_.walk(table::pack, short_id(from), [&](std::string_view key, std::string_view value) {
    auto row = decode(key, value);
    return !row || visit(row->id, row->row);
  });
}

// -- writing --------------------------------------------------------------------------------------

bool chunk_index::due(std::chrono::steady_clock::time_point now) const {
  std::lock_guard lock(mutex_);
  return since_
         && (pending_.places.size() + pending_.packs.size() >= index_pending_max
             || now - *since_ >= index_wait_max);
}

std::optional<storage_failure> chunk_index::flush() {
  if (before_)
    if (auto failure = before_())
      return failure;
  {
    std::lock_guard lock(mutex_);
    if (!since_ && !pending_.mark)
      return std::nullopt;
    writing_ = std::exchange(pending_, {});
    since_.reset();
  }
  auto failure = write(writing_);
  std::lock_guard lock(mutex_);
  if (failure)
    give_back();
  writing_ = {};
  return failure;
}

/// After a failed write: what it held is pending again, below what came meanwhile.
void chunk_index::give_back() {
  pending_.places.merge(writing_.places);
  pending_.packs.merge(writing_.packs);
  if (!pending_.mark)
    pending_.mark = writing_.mark;
  touch();
}

std::optional<storage_failure> chunk_index::write(const batch& rows) {
  std::vector<chunk_id> order;
  order.reserve(rows.packs.size());
  for (const auto& [id, row] : rows.packs)
    order.push_back(id);
  std::sort(order.begin(), order.end());
  return db_.write([&](write_txn& txn) {
    for (const auto& [key, add] : rows.places) {
      std::string_view bytes(reinterpret_cast<const char*>(key.data()), key.size());
      if (add)
        txn.put(table::loc, bytes.substr(0, 16), bytes.substr(16));
      else
        txn.erase_value(table::loc, bytes.substr(0, 16), bytes.substr(16));
    }
    for (const auto& id : order) {
      if (const auto& row = rows.packs.at(id))
        txn.put(table::pack, short_id(id), encode(id, *row));
      else
        txn.erase(table::pack, short_id(id));
    }
    if (rows.mark)
      txn.put(table::conf, mark_key, row_key{}.u32(rows.mark->pack).u32(rows.mark->end));
    return true;
  });
}

void chunk_index::set_mark(const pack_mark& mark) {
  std::lock_guard lock(mutex_);
  pending_.mark = mark;
}

std::optional<pack_mark> chunk_index::mark() const {
  std::lock_guard lock(mutex_);
  for (const auto* rows : {&pending_, &writing_})
    if (rows->mark)
      return rows->mark;
  std::optional<pack_mark> out;
  static_cast<void>(db_.read([&](const read_txn& txn) {
    if (auto found = txn.get(table::conf, mark_key))
      out = pack_mark{static_cast<uint32_t>(key_number(*found, 0, 4)),
                      static_cast<uint32_t>(key_number(*found, 4, 4))};
  }));
  return out;
}

std::string chunk_index::note(std::string_view key) const {
  std::string out;
  static_cast<void>(db_.read([&](const read_txn& txn) {
    out = txn.get(table::conf, row_key{}.bytes("note:").bytes(key)).value_or("");
  }));
  return out;
}

std::optional<storage_failure> chunk_index::put_note(std::string_view key, std::string_view value) {
  return db_.write([&](write_txn& txn) {
    if (value.empty())
      txn.erase(table::conf, row_key{}.bytes("note:").bytes(key));
    else
      txn.put(table::conf, row_key{}.bytes("note:").bytes(key), value);
    return true;
  });
}

} // namespace harp
