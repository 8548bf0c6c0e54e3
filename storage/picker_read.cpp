// Readers: chunks somebody waits for now, and read-ahead (storage.md 9.2, point 1).
#include "storage/picker.hpp"

#include <algorithm>

namespace harp {

bool picker::read_at(uint64_t now_ms, uint64_t who, const content_id& cid, uint64_t offset,
                     uint64_t bytes_per_s) {
  auto* content = find(cid);
  auto known = readers_.find(who);
  if (known != readers_.end() && known->second.cid != cid) {
    read_end(now_ms, who);
    known = readers_.end();
  }
  if (content == nullptr || (known == readers_.end() && readers_.size() >= reads_max))
    return false;
  if (known == readers_.end())
    ++content->readers;
  readers_[who] = {cid, offset, bytes_per_s};
  if (!content->is_open)
    open(*content); // whatever the number of open ones: readers are few
  wake_sources(*content);
  return true;
}

void picker::read_end(uint64_t, uint64_t who) {
  auto found = readers_.find(who);
  if (found == readers_.end())
    return;
  auto* content = find(found->second.cid);
  readers_.erase(found);
  if (content == nullptr || --content->readers != 0 || !content->is_small())
    return;
  close(*content);
}

void picker::fill_readers(uint64_t now_ms) {
  for (const auto& [id, who] : readers_)
    fill_reader(now_ms, who);
}

void picker::fill_reader(uint64_t now_ms, const reader& who) {
  auto& content = *find(who.cid);
  const auto at = content.segment_at(who.offset);
  if (!at)
    return;
  const uint64_t ahead_max = std::max(read_ahead_bytes_min, who.bytes_per_s * read_ahead_ms / 1000);
  uint64_t start = at->second; // byte at which chunk `no` begins
  for (uint32_t no = content.segment_first(at->first); no < content.chunks(); ++no) {
    const auto bytes = content.chunk_bytes(no);
    if (!bytes || start >= who.offset + ahead_max)
      return; // its segment is on its way, or enough is asked
    const bool is_behind = start + *bytes <= who.offset;
    if (!is_behind && !content.have().has(no)) {
      const uint64_t distance = start > who.offset ? start - who.offset : 0;
      const uint64_t needed_ms
          = who.bytes_per_s == 0 ? 1 : std::max<uint64_t>(distance * 1000 / who.bytes_per_s, 1);
      if (!ask_for_reader(now_ms, content, no, needed_ms))
        return;
    }
    start += *bytes;
  }
}

/// Asks the chunk of the peer with the shortest queue, also when a slower one was asked before. False: queues are full.
bool picker::ask_for_reader(uint64_t now_ms, picker_content& content, uint32_t no,
                            uint64_t needed_ms) {
  const piece_key key{content.wanted().cid, piece_kind::chunk, no};
  const auto* copies = flights_.find(key);
  const replica_id slow = copies == nullptr ? 0 : copies->of[0].peer;
  auto* best = fastest_with(now_ms, content, no, slow, true);
  if (best == nullptr)
    return true; // nobody else has it: what comes behind may be elsewhere
  const auto& window = best->second.window;
  const uint64_t queue_ms = window.expected_ms(best->second.urgent_bytes, 0);
  uint8_t moves = 0;
  if (copies != nullptr) {
    const flight what = copies->of[0];
    const uint64_t here = window.expected_ms(best->second.urgent_bytes, what.bytes);
    if (copies->count != 1 || what.got != 0 || what.moves != 0
        || remaining_ms(now_ms, what) <= 2 * here + hedge_wait_ms_min)
      return true;
    give_up(key, slow, true);
    moves = 1;
    ++totals_.moves;
  } else if (queue_ms > deadline_queue_ms_max + window.rtt_ms()
             || best->second.urgent_bytes >= window_bytes_max) {
    return false;
  } else if (!content.in_pool(no)) {
    return true; // a twin of one under way
  }
  ask(now_ms, *best, transfer_class::deadline,
      {{.run = {key.cid, key.kind, no, 1}, .bytes = 0, .moves = moves}},
      static_cast<uint32_t>(std::min<uint64_t>(needed_ms, UINT32_MAX)));
  return true;
}

/// The usable source of a chunk with the least outstanding / rate + rtt; `urgent`: of class deadline only, the rest waits.
picker::peer_entry* picker::fastest_with(uint64_t now_ms, const picker_content& content,
                                         uint32_t no, replica_id except, bool urgent) {
  peer_entry* best = nullptr;
  uint64_t best_ms = 0;
  for (const auto& source : content.sources()) {
    auto peer = peers_.find(source.peer);
    if (source.peer == except || !source.up || !source.has_chunk(no) || peer == peers_.end()
        || !usable(now_ms, *peer))
      continue;
    const auto& window = peer->second.window;
    const uint64_t ahead = urgent ? peer->second.urgent_bytes : window.outstanding();
    const uint64_t ms = window.expected_ms(ahead, 0);
    if (best == nullptr || ms < best_ms) {
      best = &*peer;
      best_ms = ms;
    }
  }
  return best;
}

} // namespace harp
