#include "storage/have_map.hpp"

#include <algorithm>
#include <bit>

namespace harp {

namespace {

constexpr uint64_t ones_from(uint32_t bit) {
  return ~uint64_t{0} << bit;
}

bool in_range(const chunk_run& run, uint32_t size) {
  return run.count != 0 && run.first < size && run.count <= size - run.first;
}

} // namespace

bool chunk_set::add(uint32_t no) {
  if (no >= size_ || has(no))
    return false;
  words_[no / 64] |= uint64_t{1} << (no % 64);
  ++count_;
  return true;
}

bool chunk_set::remove(uint32_t no) {
  if (!has(no))
    return false;
  words_[no / 64] &= ~(uint64_t{1} << (no % 64));
  --count_;
  return true;
}

void chunk_set::add_all() {
  for (auto& word : words_)
    word = ~uint64_t{0};
  if (size_ % 64 != 0)
    words_.back() = ~ones_from(size_ % 64);
  count_ = size_;
}

bool chunk_set::add(std::span<const chunk_run> runs) {
  if (!std::all_of(runs.begin(), runs.end(), [this](auto& run) { return in_range(run, size_); }))
    return false;
  for (const auto& run : runs)
    for (uint32_t i = 0; i < run.count; ++i)
      add(run.first + i);
  return true;
}

void chunk_set::remove(std::span<const chunk_run> runs) {
  for (const auto& run : runs) {
    const uint64_t end = std::min<uint64_t>(uint64_t{run.first} + run.count, size_);
    for (uint64_t no = run.first; no < end; ++no)
      remove(static_cast<uint32_t>(no));
  }
}

uint32_t chunk_set::next(uint32_t from) const {
  if (from >= size_)
    return size_;
  size_t at = from / 64;
  uint64_t word = words_[at] & ones_from(from % 64);
  while (word == 0)
    if (++at == words_.size())
      return size_;
    else
      word = words_[at];
  return static_cast<uint32_t>(at * 64 + static_cast<size_t>(std::countr_zero(word)));
}

uint32_t chunk_set::next_absent(uint32_t from) const {
  if (from >= size_)
    return size_;
  size_t at = from / 64;
  uint64_t word = ~words_[at] & ones_from(from % 64);
  while (word == 0)
    if (++at == words_.size())
      return size_;
    else
      word = ~words_[at];
  return std::min(size_,
                  static_cast<uint32_t>(at * 64 + static_cast<size_t>(std::countr_zero(word))));
}

std::vector<chunk_run> chunk_set::runs(size_t runs_max) const {
  std::vector<chunk_run> out;
  for (uint32_t at = next(0); at < size_ && out.size() < runs_max;) {
    const uint32_t end = next_absent(at);
    out.push_back({at, end - at});
    at = next(end);
  }
  return out;
}

std::string chunk_set::to_bitmap() const {
  std::string out((size_t{size_} + 7) / 8, '\0');
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<char>(words_[i / 8] >> (i % 8 * 8) & 0xff);
  return out;
}

std::optional<chunk_set> chunk_set::from_bitmap(uint32_t chunks, std::string_view bitmap) {
  if (chunks > content_chunks_max || bitmap.size() != (size_t{chunks} + 7) / 8)
    return std::nullopt;
  chunk_set out(chunks);
  for (size_t i = 0; i < bitmap.size(); ++i)
    out.words_[i / 8] |= uint64_t{static_cast<uint8_t>(bitmap[i])} << (i % 8 * 8);
  if (chunks % 64 != 0 && (out.words_.back() & ones_from(chunks % 64)) != 0)
    return std::nullopt;
  for (auto word : out.words_)
    out.count_ += static_cast<uint32_t>(std::popcount(word));
  return out;
}

// -- have_announcer ------------------------------------------------------------------------------

void have_announcer::add(pending& entry, uint32_t no) {
  if (!entry.runs.empty()) {
    auto& last = entry.runs.back();
    if (no == last.first + last.count) {
      ++last.count;
      return;
    }
    if (no >= last.first && no < last.first + last.count)
      return;
  }
  entry.runs.push_back({no, 1});
}

void have_announcer::gained(uint64_t now_ms, const content_id& cid, uint32_t no, uint64_t bytes) {
  auto found = pending_.find(cid);
  if (found == pending_.end()) {
    if (pending_.size() >= have_pending_max)
      return; // peers learn of it from the next Have
    found = pending_.emplace(cid, pending{}).first;
  }
  auto& entry = found->second;
  add(entry, no);
  entry.bytes += bytes;
  if (!entry.waiting) {
    entry.waiting = true;
    entry.due_ms = entry.told_ms == 0 ? now_ms : std::max(now_ms, entry.told_ms + have_interval_ms);
  }
  if (entry.bytes >= have_bytes_max)
    entry.due_ms = now_ms;
}

void have_announcer::completed(uint64_t now_ms, const content_id& cid) {
  if (pending_.size() >= have_pending_max && !pending_.contains(cid))
    return;
  auto& entry = pending_[cid];
  entry.complete = true;
  entry.runs.clear();
  if (!entry.waiting)
    entry.due_ms = entry.told_ms == 0 ? now_ms : std::max(now_ms, entry.told_ms + have_interval_ms);
  entry.waiting = true;
}

std::vector<have_delta> have_announcer::due(uint64_t now_ms, size_t contents_max) {
  std::vector<have_delta> out;
  for (auto it = pending_.begin(); it != pending_.end() && out.size() < contents_max;) {
    auto& [cid, entry] = *it;
    if (!entry.waiting) { // kept only to space its announcements
      it = entry.told_ms + have_interval_ms <= now_ms ? pending_.erase(it) : std::next(it);
      continue;
    }
    if (entry.due_ms > now_ms) {
      ++it;
      continue;
    }
    out.push_back({cid, entry.complete, std::move(entry.runs)});
    if (entry.complete) {
      it = pending_.erase(it);
      continue;
    }
    entry = {};
    entry.told_ms = now_ms;
    ++it;
  }
  return out;
}

std::optional<uint64_t> have_announcer::next_ms() const {
  std::optional<uint64_t> out;
  for (const auto& [cid, entry] : pending_)
    if (entry.waiting && (!out || entry.due_ms < *out))
      out = entry.due_ms;
  return out;
}

} // namespace harp
