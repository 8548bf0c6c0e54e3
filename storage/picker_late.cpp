// What takes too long: silence, overdue chunks, hedging, moving to a faster source, end game (storage.md 9.4, 9.6).
#include "storage/picker.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t move_gain_ms = 50; // a move must save at least this and half of the time
constexpr int64_t move_debt_bytes_max = 2ll << 20; // came in vain and is not earned back yet
constexpr uint8_t moves_max
    = 3; // of one chunk, so that two wrong estimates do not toss it to and fro
constexpr uint64_t quiet_ms
    = 300; // without a byte for so long, an estimate from the rate is too kind
constexpr uint64_t swap_ms_min = 100;
constexpr size_t swaps_max = 4;        // of one peer and sweep
constexpr size_t late_look_max = 4096; // flights looked at for one move

} // namespace

void picker::sweep(uint64_t now_ms) {
  next_sweep_ms_ = now_ms + sweep_ms;
  if (ban_end_ms_ != 0 && now_ms >= ban_end_ms_) {
    for (auto it = banned_.begin(); it != banned_.end();) {
      const auto peer = *it;
      ++it;
      if (strikes_.is_banned(now_ms, peer))
        continue;
      banned_.erase(peer);
      set_ups(peer, is_up(now_ms, peer));
    }
    ban_end_ms_ = strikes_.next_end_ms(now_ms).value_or(0);
  }
  for (auto& entry : peers_) {
    entry.second.exhausted = false; // what was not worth a move may be now
    if (entry.second.up && entry.second.window.outstanding() != 0)
      sweep_peer(now_ms, entry);
  }
}

void picker::sweep_peer(uint64_t now_ms, peer_entry& peer) {
  if (now_ms - peer.second.last_byte_ms >= silence_ms_max) {
    give_up_peer(now_ms, peer.first, true);
    pause(now_ms, peer.second);
    return;
  }
  const uint64_t p95 = peer.second.window.wait_p95_ms();
  bool overdue = false;
  for (auto id : flights_.requests_of(peer.first))
    for (const auto& key : flights_.open_pieces(id)) {
      const auto* known = flights_.find(key, peer.first);
      if (known == nullptr)
        continue;
      const flight what = *known;
      const uint64_t age = now_ms - what.asked_ms;
      if (age > std::max(10 * what.expected_ms, overdue_ms_min)) {
        give_up(key, peer.first, true);
        overdue = true;
      } else if (hedge_bytes_ > 0 && flights_.find(key)->count == 1
                 && age > std::max({2 * what.expected_ms, p95 * 3 / 2, hedge_wait_ms_min})) {
        hedge(now_ms, key, what);
      }
    }
  if (overdue)
    pause(now_ms, peer.second);
  else
    swap_for_rare(now_ms, peer);
}

/// All that was asked before it has come: probably it is being sent.
bool picker::is_next(const peer_state& peer, const flight& what) {
  return peer.window.arrived_total() - what.arrived_mark >= what.ahead;
}

/// Chunks asked of a peer that others have by now make room for chunks only this peer has: what it sends is worth most then.
void picker::swap_for_rare(uint64_t now_ms, peer_entry& peer) {
  if (peers_up_ < 2 || open_.empty())
    return;
  size_t swapped = 0;
  for (auto id : flights_.requests_of(peer.first))
    for (const auto& key : flights_.open_pieces(id)) {
      auto* content = find(key.cid);
      const auto* what = flights_.find(key, peer.first);
      if (key.kind != piece_kind::chunk || what == nullptr || what->got != 0 || what->moves != 0
          || what->cls == transfer_class::deadline || !content->is_open
          || content->rarity(key.no) < 2 || flights_.find(key)->count != 1
          || now_ms < what->asked_ms + swap_ms_min || is_next(peer.second, *what))
        continue;
      const auto* source = content->source(peer.first);
      if (source == nullptr)
        continue;
      const auto rare = content->choose(*source, false, 1, {});
      if (!rare || content->rarity(rare->first) > 1)
        return;
      give_up(key, peer.first, true);
      ++totals_.moves;
      ask(now_ms, peer, content->wanted().cls,
          {{.run = {key.cid, piece_kind::chunk, rare->first, 1}}}, 0);
      if (++swapped == swaps_max)
        return;
    }
}

/// A second copy from the fastest other source, if that one is expected to win.
void picker::hedge(uint64_t now_ms, const piece_key& key, const flight& slow) {
  if (key.kind != piece_kind::chunk)
    return;
  auto* content = find(key.cid);
  auto* fast = fastest_with(now_ms, *content, key.no, slow.peer, false);
  if (fast == nullptr)
    return;
  const auto& window = fast->second.window;
  if (window.expected_ms(window.outstanding(), slow.bytes) >= remaining_ms(now_ms, slow))
    return;
  hedge_bytes_ -= static_cast<int64_t>(slow.bytes);
  ++totals_.hedges;
  ask(now_ms, *fast, slow.cls,
      {{.run = {key.cid, key.kind, key.no, 1}, .bytes = slow.bytes, .moves = slow.moves}}, 0);
}

/// How long a flight will still take, by its peer's rate now; a peer that is quiet is expected to stay so as long again.
uint64_t picker::remaining_ms(uint64_t now_ms, const flight& what) const {
  auto found = peers_.find(what.peer);
  if (found == peers_.end())
    return 0;
  const auto& peer = found->second;
  const uint64_t came = peer.window.arrived_total() - what.arrived_mark;
  const uint64_t ahead = what.ahead - std::min(what.ahead, came);
  const uint64_t ms = peer.window.expected_ms(ahead, what.bytes - std::min(what.got, what.bytes));
  const uint64_t quiet = now_ms - std::max(peer.last_byte_ms, what.asked_ms);
  return quiet > quiet_ms + 2 * peer.window.rtt_ms() ? ms + quiet : ms;
}

bool picker::in_end_game(const picker_content& content) const {
  if (content.pool_bytes() != 0 || (content.is_small() && !order_.small().empty()))
    return false;
  uint64_t windows = 0;
  for (const auto& source : content.sources())
    if (auto peer = peers_.find(source.peer); source.up && peer != peers_.end())
      windows += peer->second.window.bytes();
  return content.missing_bytes() < windows;
}

/// Pieces asked of `slow` that `fast` has and would bring much sooner, latest asked first.
std::vector<picker::late_piece> picker::late_at(uint64_t now_ms, const peer_entry& slow,
                                                const peer_entry& fast) {
  std::vector<late_piece> out;
  uint64_t bytes = 0;
  size_t looked_at = 0;
  const auto& window = fast.second.window;
  auto requests = flights_.requests_of(slow.first);
  for (auto id = requests.rbegin(); id != requests.rend(); ++id) {
    const auto pieces = flights_.open_pieces(*id);
    for (auto key = pieces.rbegin(); key != pieces.rend(); ++key) {
      if (++looked_at > late_look_max || out.size() >= request_runs_max)
        return out;
      const auto* content = find(key->cid);
      const auto* what = flights_.find(*key, slow.first);
      if (key->kind != piece_kind::chunk || what == nullptr || flights_.find(*key)->count != 1)
        continue;
      const auto* source = content->source(fast.first);
      if (source == nullptr || !source->up || !source->has_chunk(key->no))
        continue;
      if (!out.empty() && (bytes + what->bytes > request_bytes_max || what->cls != out[0].slow.cls))
        return out;
      const uint64_t here = window.expected_ms(window.outstanding() + bytes, what->bytes);
      const uint64_t there = remaining_ms(now_ms, *what);
      // A cancelled chunk may be on its way already; stopping all moves would leave the last chunks with the slowest.
      const bool paid = hedge_bytes_ > -move_debt_bytes_max;
      const bool move
          = paid && what->got == 0 && what->moves < moves_max && there > 2 * here + move_gain_ms;
      const bool copy = !move && hedge_bytes_ > static_cast<int64_t>(what->bytes)
                        && there > here + here / 2 && in_end_game(*content);
      if (!move && !copy)
        continue;
      out.push_back({*key, *what, copy});
      bytes += what->bytes;
      if (copy)
        return out; // one at a time: each is paid for
    }
  }
  return out;
}

/// A peer with room and nothing new to ask takes over from slower ones.
bool picker::take_over(uint64_t now_ms, peer_entry& peer) {
  for (auto& other : peers_) {
    if (other.first == peer.first || other.second.window.outstanding() == 0)
      continue;
    const auto late = late_at(now_ms, other, peer);
    if (late.empty())
      continue;
    std::vector<ask_item> items;
    for (const auto& [key, slow, copy] : late) {
      if (copy) {
        hedge_bytes_ -= static_cast<int64_t>(slow.bytes);
        ++totals_.end_game;
      } else {
        give_up(key, other.first, true);
        if (auto* content = find(key.cid); content->is_queued)
          order_.remove(*content);
        ++totals_.moves;
      }
      items.push_back({.run = {key.cid, key.kind, key.no, 1},
                       .bytes = slow.bytes,
                       .moves = static_cast<uint8_t>(slow.moves + (copy ? 0 : 1))});
    }
    ask(now_ms, peer, late[0].slow.cls, items, 0);
    return true;
  }
  return false;
}

} // namespace harp
