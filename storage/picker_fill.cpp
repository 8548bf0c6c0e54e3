// The picker's choice: rarest first, small files in lists, the better source first (storage.md 9.1, 9.2).
#include "storage/picker.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t room_share
    = 4; // ask when a quarter of the window is free: fewer, larger requests
constexpr uint64_t room_bytes_min = 1ull << 20;
constexpr uint64_t large_every = 4;    // so that no stream of small files starves the large ones
constexpr uint64_t relay_patience = 4; // how much faster a relayed peer must be to be preferred
constexpr uint64_t root_bytes_guess = 1024;
constexpr uint64_t segment_entry_bytes = 36;

uint32_t order_tie(const content_id& cid, replica_id own) {
  uint64_t x = std::hash<content_id>{}(cid) ^ (uint64_t{own} * 0x9E3779B97F4A7C15ull);
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9ull;
  return static_cast<uint32_t>(x >> 32);
}

} // namespace

// -- places ---------------------------------------------------------------------------------------

void picker::open(picker_content& content) {
  if (content.is_queued)
    order_.remove(content);
  content.open();
  open_.emplace(turn_key::of(content.wanted()), &content);
}

void picker::open_contents(uint64_t) {
  for (auto it = open_.begin(); it != open_.end();) {
    auto& content = *(it++)->second;
    if (content.sources_up() == 0 && content.in_flight == 0 && content.readers == 0)
      close(content); // its place is for those who can go on
  }
  while (auto* next = order_.next_large()) {
    if (open_.size() >= open_contents_max) {
      auto& last = *open_.rbegin()->second;
      if (last.wanted().cls <= next->wanted().cls || last.readers != 0 || last.in_flight != 0)
        return;
      close(last);
    }
    open(*next);
    wake_sources(*next);
  }
}

// -- manifests ------------------------------------------------------------------------------------

void picker::ask_manifests(uint64_t now_ms, picker_content& content) {
  const auto& cid = content.wanted().cid;
  if (!content.shaped()) {
    if (!content.root) {
      content.root = manifest_state::looked_up;
      effects_.emplace_back(need_root{cid});
    } else if (*content.root == manifest_state::absent) {
      ask_manifest(now_ms, content, piece_kind::root, 0);
    }
    return;
  }
  std::vector<uint32_t> preferred;
  for (const auto& [id, who] : readers_)
    if (who.cid == cid)
      for (auto offset : {who.offset, who.offset + read_ahead_bytes_min})
        if (auto at = content.segment_at(offset))
          preferred.push_back(at->first);
  for (auto index : content.to_load(preferred)) {
    content.manifests.push_back({index, manifest_state::looked_up});
    effects_.emplace_back(need_segment{cid, index});
  }
  for (size_t i = 0; i < content.manifests.size(); ++i)
    if (content.manifests[i].state == manifest_state::absent)
      ask_manifest(now_ms, content, piece_kind::segment, content.manifests[i].index);
}

void picker::ask_manifest(uint64_t now_ms, picker_content& content, piece_kind kind,
                          uint32_t index) {
  peer_entry* best = nullptr;
  uint64_t best_ms = 0;
  for (const auto& source : content.sources()) {
    auto peer = peers_.find(source.peer);
    if (!source.up || peer == peers_.end() || !usable(now_ms, *peer))
      continue;
    if (kind == piece_kind::segment && !source.complete
        && source.has.next(content.segment_first(index))
               >= content.segment_first(index) + content.segments()[index].chunks)
      continue;
    const auto ms = peer->second.window.expected_ms(peer->second.window.outstanding(), 0);
    if (best == nullptr || ms < best_ms) {
      best = &*peer;
      best_ms = ms;
    }
  }
  if (best == nullptr)
    return;
  const bool is_root = kind == piece_kind::root;
  const uint64_t bytes
      = is_root ? root_bytes_guess : content.segments()[index].chunks * segment_entry_bytes;
  const auto cls = content.readers != 0 ? transfer_class::deadline : content.wanted().cls;
  ask(now_ms, *best, cls, {{.run = {content.wanted().cid, kind, index, 1}, .bytes = bytes}}, 0);
}

// -- peers ----------------------------------------------------------------------------------------

std::vector<picker::peer_entry*> picker::peers_by_preference(uint64_t now_ms) {
  std::vector<peer_entry*> out;
  for (auto& entry : peers_)
    if (usable(now_ms, entry))
      out.push_back(&entry);
  std::stable_sort(out.begin(), out.end(), [](const auto* a, const auto* b) {
    if (a->second.reach != b->second.reach)
      return a->second.reach < b->second.reach;
    return a->second.window.rate() > b->second.window.rate();
  });
  return out;
}

/// Sources that would have brought all of the rest before `than` brings one more chunk; a relayed peer also gives way to every
/// source that needs no relay and is not much slower.
picker::better_list picker::better_sources(uint64_t now_ms, const picker_content& content,
                                           const peer_entry& than) const {
  better_list out;
  if (content.sources_up() < 2)
    return out;
  const uint64_t chunk = std::min<uint64_t>(content.wanted().size, 1u << 20);
  const auto& slow = than.second;
  const uint64_t slow_ms = slow.window.expected_ms(slow.window.outstanding(), chunk);
  for (const auto& source : content.sources()) {
    auto peer = peers_.find(source.peer);
    if (source.peer == than.first || !source.up || peer == peers_.end() || !usable(now_ms, *peer))
      continue;
    const auto& other = peer->second;
    const bool relay_yields
        = slow.reach == peer_reach::relayed && other.reach != peer_reach::relayed
          && other.window.expected_ms(other.window.outstanding(), chunk) < relay_patience * slow_ms;
    const uint64_t all_ms = other.window.expected_ms(other.window.outstanding(),
                                                     std::max(chunk, content.pool_bytes()));
    if (relay_yields || all_ms < slow_ms)
      out.push_back(&source);
  }
  return out;
}

void picker::fill(uint64_t now_ms) {
  const auto peers = peers_by_preference(now_ms);
  for (bool asked = true; asked;) {
    asked = false;
    for (auto* peer : peers) {
      auto& window = peer->second.window;
      if (peer->second.exhausted
          || window.room() < std::min(window.bytes() / room_share, room_bytes_min))
        continue;
      if (fill_peer(now_ms, *peer))
        asked = true;
      else
        peer->second.exhausted = true;
    }
  }
}

bool picker::fill_peer(uint64_t now_ms, peer_entry& peer) {
  if (flights_.size() >= flights_max)
    return false;
  bool large_first = peer.second.picks % large_every == large_every - 1;
  if (!open_.empty() && !order_.small().empty()) {
    const auto large = open_.begin()->first.cls, small = order_.small().begin()->first.cls;
    if (large != small)
      large_first = large < small;
  }
  const bool asked = large_first ? ask_large(now_ms, peer) || ask_small(now_ms, peer)
                                 : ask_small(now_ms, peer) || ask_large(now_ms, peer);
  if (asked)
    ++peer.second.picks;
  return asked || take_over(now_ms, peer);
}

bool picker::ask_large(uint64_t now_ms, peer_entry& peer) {
  for (auto& [key, content] : open_)
    if (ask_chunks(now_ms, peer, *content))
      return true;
  return false;
}

bool picker::ask_chunks(uint64_t now_ms, peer_entry& peer, picker_content& content) {
  const auto* source = content.source(peer.first);
  if (source == nullptr || !source->up)
    return false;
  const auto better = better_sources(now_ms, content, peer);
  std::function<bool(uint32_t)> skip;
  if (!better.empty())
    skip = [&better](uint32_t no) {
      return std::any_of(better.begin(), better.end(),
                         [no](const auto* other) { return other->has_chunk(no); });
    };
  // A share for each source, so that the last chunks of a content do not all wait for one of them.
  const uint64_t share = content.pool_bytes() / std::max(1u, content.sources_up());
  const uint64_t bytes_max
      = std::min({request_bytes_max, std::max<uint64_t>(share, 1), peer.second.window.room()});
  const auto choice = content.choose(*source, peers_up_ == 1, bytes_max, skip);
  if (!choice)
    return false;
  ask(now_ms, peer, content.wanted().cls,
      {{.run = {content.wanted().cid, piece_kind::chunk, choice->first, choice->count}}}, 0);
  return true;
}

bool picker::ask_small(uint64_t now_ms, peer_entry& peer) {
  struct candidate {
    picker_content* content;
    uint32_t rarity, tie;
  };
  std::vector<candidate> found;
  size_t looked_at = 0;
  for (const auto& [key, content] : order_.small()) {
    if (++looked_at > small_candidates_max
        || (!found.empty() && key.cls != found.front().content->wanted().cls))
      break;
    const auto* source = content->source(peer.first);
    if (source == nullptr || !source->up || !source->has_chunk(0))
      continue;
    const auto better = better_sources(now_ms, *content, peer);
    if (std::none_of(better.begin(), better.end(),
                     [](const auto* other) { return other->has_chunk(0); }))
      found.push_back({content, content->sources_up(), order_tie(key.cid, settings_.own)});
  }
  if (peers_up_ > 1)
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return std::pair(a.rarity, a.tie) < std::pair(b.rarity, b.tie);
    });
  std::vector<ask_item> items;
  uint64_t bytes = 0;
  const uint64_t bytes_max = std::min(request_bytes_max, peer.second.window.room());
  for (const auto& [content, rarity, tie] : found) {
    const uint64_t size = content->wanted().size;
    if (items.size() >= request_runs_max || (!items.empty() && bytes + size > bytes_max))
      break;
    bytes += size;
    order_.remove(*content);
    items.push_back({.run = {content->wanted().cid, piece_kind::chunk, 0, 1}});
  }
  if (items.empty())
    return false;
  ask(now_ms, peer, found.front().content->wanted().cls, items, 0);
  return true;
}

/// One request: enters its pieces as flights and sends it.
void picker::ask(uint64_t now_ms, peer_entry& peer, transfer_class cls,
                 const std::vector<ask_item>& items, uint32_t deadline_ms) {
  auto& window = peer.second.window;
  if (window.outstanding() == 0)
    peer.second.last_byte_ms = now_ms; // silence is counted from here
  fetch_request out{.id = flights_.begin(peer.first),
                    .peer = peer.first,
                    .cls = cls,
                    .runs = {},
                    .bytes = 0,
                    .deadline_ms = deadline_ms};
  for (const auto& item : items) {
    auto& content = *find(item.run.cid);
    for (uint32_t no = item.run.first; no < item.run.first + item.run.count; ++no) {
      const piece_key key{item.run.cid, item.run.kind, no};
      const bool is_chunk = item.run.kind == piece_kind::chunk;
      uint64_t bytes = item.bytes;
      if (is_chunk && bytes == 0)
        bytes = content.chunk_bytes(no).value_or(0);
      flights_.add(key, {.request = out.id,
                         .peer = peer.first,
                         .cls = cls,
                         .bytes = bytes,
                         .asked_ms = now_ms,
                         .expected_ms = window.expected_ms(window.outstanding(), bytes),
                         .ahead = window.outstanding(),
                         .arrived_mark = window.arrived_total(),
                         .moves = item.moves});
      window.asked(now_ms, bytes);
      if (cls == transfer_class::deadline)
        peer.second.urgent_bytes += bytes;
      out.bytes += bytes;
      ++content.in_flight;
      if (is_chunk)
        content.set_asked(no, true);
      else if (item.run.kind == piece_kind::root)
        content.root = manifest_state::asked;
      else
        for (auto& wait : content.manifests)
          if (wait.index == no)
            wait.state = manifest_state::asked;
    }
    auto* last = out.runs.empty() ? nullptr : &out.runs.back();
    if (last != nullptr && last->cid == item.run.cid && last->kind == item.run.kind
        && last->first + last->count == item.run.first)
      last->count += item.run.count;
    else
      out.runs.push_back(item.run);
  }
  if (next_sweep_ms_ <= now_ms)
    next_sweep_ms_ = now_ms + sweep_ms;
  effects_.emplace_back(std::move(out));
}

} // namespace harp
