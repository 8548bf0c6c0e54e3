#include "storage/pack_gc.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace harp {

namespace {

std::array<uint8_t, 16> prefix_of_chunk(const chunk_id& id) {
  std::array<uint8_t, 16> out{};
  std::copy_n(id.bytes.begin(), out.size(), out.begin());
  return out;
}

std::string scrub_key(uint32_t pack) {
  return "scrub:" + std::to_string(pack);
}

/// The id behind `id` in the order of the table, which compares 16 bytes; nothing behind the last one.
std::optional<chunk_id> behind(chunk_id id) {
  std::fill(id.bytes.begin() + 16, id.bytes.end(), uint8_t{0});
  for (size_t i = 16; i-- > 0;)
    if (++id.bytes[i] != 0)
      return id;
  return std::nullopt;
}

} // namespace

void gc_marks::add(const chunk_id& id) {
  marks_.push_back(prefix_of_chunk(id));
}

void gc_marks::close() {
  std::sort(marks_.begin(), marks_.end());
  marks_.erase(std::unique(marks_.begin(), marks_.end()), marks_.end());
}

bool gc_marks::contains(const chunk_id& id) const {
  return std::binary_search(marks_.begin(), marks_.end(), prefix_of_chunk(id));
}

pack_sweep::pack_sweep(pack_store& store, const gc_marks& marks, uint32_t now_s)
    : store_(store), marks_(marks), now_s_(now_s) {}

void pack_sweep::judge(const chunk_id& id, pack_row row) {
  auto& index = store_.index();
  bool referenced = marks_.contains(id);
  if (!referenced && row.unreferenced_s != 0 && now_s_ >= row.unreferenced_s
      && now_s_ - row.unreferenced_s >= unreferenced_s_min) {
    index.erase_pack(id);
    ++report_.removed;
    return;
  }
  live_[row.pack] += row.length;
  report_.waiting += referenced ? 0 : 1;
  uint32_t since = referenced ? 0 : row.unreferenced_s != 0 ? row.unreferenced_s : now_s_;
  if (since != row.unreferenced_s) {
    row.unreferenced_s = since;
    index.put_pack(id, row);
  }
}

std::optional<storage_failure> pack_sweep::walk_step() {
  // The rows must be the table's own before they are judged by it.
  if (auto failure = store_.index().flush())
    return failure;
  std::vector<std::pair<chunk_id, pack_row>> rows;
  auto failure = store_.index().each_pack(next_, [&](const chunk_id& id, const pack_row& row) {
    rows.emplace_back(id, row);
    return rows.size() < sweep_rows_per_step;
  });
  if (failure)
    return failure;
  for (const auto& [id, row] : rows)
    judge(id, row);
  auto next = rows.size() < sweep_rows_per_step ? std::nullopt : behind(rows.back().first);
  if (next) {
    next_ = *next;
    return std::nullopt;
  }
  walked_ = true;
  for (auto pack : store_.packs()) {
    auto bytes = store_.bytes_of(pack);
    if (pack != store_.current() && live_[pack] * 100 < bytes * pack_live_percent_min)
      thin_.push_back(pack);
  }
  return store_.index().flush();
}

std::optional<storage_failure> pack_sweep::rewrite(uint32_t pack) {
  auto listed = store_.entries(pack);
  if (auto* failure = std::get_if<storage_failure>(&listed))
    return *failure;
  bool all_moved = true;
  uint64_t found = 0;
  for (const auto& entry : std::get<0>(listed)) {
    auto row = store_.index().pack_of(entry.id);
    if (!row || row->pack != pack || row->offset != entry.offset)
      continue;
    found += entry.length;
    auto data = store_.read(pack, entry);
    if (auto* failure = std::get_if<storage_failure>(&data)) {
      if (failure->code != EBADMSG)
        return *failure;
      store_.mark_damaged(entry.id);
      if (report_.damaged.size() < damaged_max)
        report_.damaged.push_back(entry.id);
      all_moved = false;
      continue;
    }
    auto since = row->unreferenced_s;
    if (auto failure = store_.move_here(entry.id, std::get<std::string>(data)))
      return *failure;
    if (auto moved = store_.index().pack_of(entry.id); moved && since != 0) {
      moved->unreferenced_s = since;
      store_.index().put_pack(entry.id, *moved);
    }
  }
  // Only when every record that counts was found and copied, and the copies and the index are durable.
  auto failure = store_.sync();
  if (!failure)
    failure = store_.index().flush();
  if (failure || !all_moved || found < live_[pack])
    return failure;
  auto bytes = store_.bytes_of(pack);
  if (auto kept = store_.remove(pack))
    return kept;
  report_.bytes_freed += bytes;
  ++report_.packs_rewritten;
  return store_.index().put_note(scrub_key(pack), {});
}

std::variant<bool, storage_failure> pack_sweep::step() {
  std::optional<storage_failure> failure;
  if (!walked_) {
    failure = walk_step();
  } else if (!thin_.empty()) {
    auto pack = thin_.back();
    thin_.pop_back();
    failure = rewrite(pack);
  }
  if (failure)
    return *failure;
  return walked_ && thin_.empty();
}

// -- scrub ----------------------------------------------------------------------------------------

std::optional<uint32_t> next_scrub(const pack_store& store, uint32_t now_s, uint32_t every_s) {
  std::optional<uint32_t> out;
  uint32_t oldest = 0;
  for (auto pack : store.packs()) {
    auto text = store.index().note(scrub_key(pack));
    uint32_t last = 0;
    std::from_chars(text.data(), text.data() + text.size(), last);
    bool due = last == 0 || (now_s >= last && now_s - last >= every_s);
    if (due && (!out || last < oldest)) {
      out = pack;
      oldest = last;
    }
  }
  return out;
}

std::variant<bool, storage_failure> pack_scrub::step(size_t bytes_max) {
  if (!entries_) {
    if (auto failure = pack_ == store_.current() ? store_.sync() : std::nullopt)
      return *failure;
    auto listed = store_.entries(pack_);
    if (auto* failure = std::get_if<storage_failure>(&listed))
      return *failure;
    entries_ = std::move(std::get<0>(listed));
  }
  for (size_t bytes = 0; next_ < entries_->size() && bytes < bytes_max; ++next_) {
    const auto& entry = (*entries_)[next_];
    auto row = store_.index().pack_of(entry.id);
    if (!row || row->pack != pack_ || row->offset != entry.offset)
      continue;
    bytes += entry.length;
    auto data = store_.read(pack_, entry);
    auto* failure = std::get_if<storage_failure>(&data);
    if (failure == nullptr)
      continue;
    if (failure->code != EBADMSG)
      return *failure;
    store_.mark_damaged(entry.id);
    damaged_.push_back(entry.id);
  }
  if (next_ < entries_->size())
    return false;
  if (auto failure = store_.index().put_note(scrub_key(pack_), std::to_string(now_s_)))
    return *failure;
  return true;
}

std::variant<std::vector<chunk_id>, storage_failure> scrub_pack(pack_store& store, uint32_t pack, uint32_t now_s) {
  pack_scrub scrub{store, pack, now_s};
  auto done = scrub.step(SIZE_MAX);
  if (auto* failure = std::get_if<storage_failure>(&done))
    return *failure;
  return scrub.damaged();
}

} // namespace harp
