// The picker's peers: who is there, what they have, and what becomes of requests they do not fulfil.
#include "storage/picker.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t busy_ms_min = 50, busy_ms_max = 60'000;
constexpr size_t peers_known_max = 1024; // with those that left

double guess_of(peer_reach reach) {
  switch (reach) {
  case peer_reach::lan:
    return rate_guess_lan;
  case peer_reach::direct:
    return rate_guess_direct;
  case peer_reach::relayed:
    return rate_guess_relayed;
  }
  return rate_guess_relayed;
}

} // namespace

bool picker::is_up(uint64_t now_ms, replica_id peer) const {
  auto found = peers_.find(peer);
  return found != peers_.end() && found->second.up && !strikes_.is_banned(now_ms, peer);
}

bool picker::usable(uint64_t now_ms, const peer_entry& peer) const {
  return peer.second.up && peer.second.paused_until_ms <= now_ms && !banned_.contains(peer.first);
}

bool picker::peer_up(uint64_t now_ms, replica_id peer, peer_reach reach, uint32_t rtt_ms,
                     bool keeper) {
  auto found = peers_.find(peer);
  if (found == peers_.end()) {
    if (peers_up_ >= picker_peers_max)
      return false;
    if (peers_.size() >= peers_known_max)
      std::erase_if(peers_, [](const auto& entry) { return !entry.second.up; });
    found = peers_
                .emplace(peer, peer_state{.window
                                          = {rtt_ms, guess_of(reach), keeper && settings_.keeper}})
                .first;
  } else if (!found->second.up && peers_up_ >= picker_peers_max) {
    return false;
  }
  auto& state = found->second;
  peers_up_ += state.up ? 0u : 1u;
  state.up = true;
  state.reach = reach;
  state.keeper = keeper;
  state.window.set_rtt(rtt_ms);
  state.last_byte_ms = now_ms;
  state.exhausted = false;
  set_ups(peer, !strikes_.is_banned(now_ms, peer));
  return true;
}

void picker::peer_down(uint64_t now_ms, replica_id peer) {
  auto found = peers_.find(peer);
  if (found == peers_.end() || !found->second.up)
    return;
  give_up_peer(now_ms, peer, false);
  found->second.up = false;
  --peers_up_;
  found->second.window.halve();
  set_ups(peer, false);
}

void picker::peer_rtt(replica_id peer, uint32_t rtt_ms) {
  auto found = peers_.find(peer);
  if (found != peers_.end())
    found->second.window.set_rtt(rtt_ms);
}

void picker::set_ups(replica_id peer, bool up) {
  for (auto& [cid, content] : contents_)
    if (content->source(peer) != nullptr) {
      content->set_up(peer, up);
      requeue(*content);
    }
}

void picker::have(uint64_t now_ms, replica_id peer, const content_id& cid, bool complete,
                  std::span<const chunk_run> runs) {
  if (auto* content = find(cid)) {
    content->set_source(peer, is_up(now_ms, peer), complete, runs);
    requeue(*content);
    wake(peer);
    return;
  }
  if (early_.size() >= early_have_max)
    early_.erase(early_.begin());
  if (runs.size() <= early_runs_max)
    early_[{cid, peer}] = {complete, {runs.begin(), runs.end()}};
}

void picker::have_more(uint64_t now_ms, replica_id peer, const content_id& cid,
                       std::span<const chunk_run> runs) {
  if (auto* content = find(cid)) {
    content->source_gains(peer, is_up(now_ms, peer), runs);
    requeue(*content);
    wake(peer);
    return;
  }
  auto early = early_.find({cid, peer});
  if (early == early_.end())
    have(now_ms, peer, cid, false, runs);
  else if (!early->second.complete && early->second.runs.size() + runs.size() <= early_runs_max)
    early->second.runs.insert(early->second.runs.end(), runs.begin(), runs.end());
}

void picker::wake(replica_id peer) {
  auto found = peers_.find(peer);
  if (found != peers_.end())
    found->second.exhausted = false;
}

void picker::wake_sources(const picker_content& content) {
  for (const auto& source : content.sources())
    wake(source.peer);
}

// -- what is not fulfilled ------------------------------------------------------------------------

void picker::pause(uint64_t now_ms, peer_state& peer) {
  const uint64_t ms = pause_ms_start << std::min(peer.failures, 16u);
  ++peer.failures;
  peer.paused_until_ms = std::max(peer.paused_until_ms, now_ms + std::min(ms, pause_ms_max));
}

/// A flight ended, one way or the other: its peer has room again.
void picker::left(peer_state& peer, const flight& what) {
  peer.window.settled(what.bytes - std::min(what.got, what.bytes));
  if (what.cls == transfer_class::deadline)
    peer.urgent_bytes -= std::min(peer.urgent_bytes, what.bytes);
  peer.exhausted = false;
}

/// A flight was taken out of the table: its piece may be asked of others.
void picker::release(const piece_key& key, const flight& what) {
  auto peer = peers_.find(what.peer);
  if (peer != peers_.end()) {
    left(peer->second, what);
    peer->second.window.gave_up(what.bytes - std::min(what.got, what.bytes));
  }
  totals_.duplicate_bytes += what.got;
  auto* content = find(key.cid);
  if (content == nullptr)
    return;
  --content->in_flight;
  if (flights_.find(key) != nullptr)
    return;
  switch (key.kind) {
  case piece_kind::chunk:
    content->set_asked(key.no, false);
    break;
  case piece_kind::segment:
    for (auto& wait : content->manifests)
      if (wait.index == key.no)
        wait.state = manifest_state::absent;
    break;
  case piece_kind::root:
    content->root = manifest_state::absent;
    break;
  }
  requeue(*content);
  wake_sources(*content);
}

void picker::give_up(const piece_key& key, replica_id peer, bool tell) {
  auto removed = flights_.remove(key, peer);
  if (!removed)
    return;
  if (tell)
    effects_.emplace_back(
        fetch_cancel{removed->request, peer, {{key.cid, key.kind, key.no, 1}}, false});
  release(key, *removed);
}

void picker::drop_copies(uint64_t, const piece_key& key) {
  for (const auto* copies = flights_.find(key); copies != nullptr; copies = flights_.find(key))
    give_up(key, copies->of[0].peer, true);
}

void picker::give_up_request(uint64_t id, bool tell) {
  const auto* known = flights_.request(id);
  if (known == nullptr)
    return;
  const auto peer = known->peer;
  for (const auto& key : flights_.open_pieces(id))
    give_up(key, peer, false);
  if (tell)
    effects_.emplace_back(fetch_cancel{id, peer, {}, true});
}

void picker::give_up_peer(uint64_t, replica_id peer, bool tell) {
  for (auto id : flights_.requests_of(peer))
    give_up_request(id, tell);
}

void picker::missing(uint64_t, replica_id peer, const piece_run& run, bool denied) {
  auto* content = find(run.cid);
  if (content == nullptr)
    return;
  const uint32_t count = std::min(run.count, content->shaped() ? content->chunks() : 1u);
  for (uint32_t i = 0; i < count; ++i)
    give_up({run.cid, run.kind, run.first + i}, peer, false);
  if (denied || run.kind == piece_kind::root || !content->shaped()) {
    for (auto id : flights_.requests_of(peer))
      for (const auto& key : flights_.open_pieces(id))
        if (key.cid == run.cid)
          give_up(key, peer, false);
    content->remove_source(peer);
  } else if (run.kind == piece_kind::segment && run.first < content->segments().size()) {
    const chunk_run all{content->segment_first(run.first), content->segments()[run.first].chunks};
    content->source_lacks(peer, {&all, 1});
  } else if (run.kind == piece_kind::chunk) {
    const chunk_run lacks{run.first, run.count};
    content->source_lacks(peer, {&lacks, 1});
  }
  requeue(*content);
  wake_sources(*content);
}

void picker::busy(uint64_t now_ms, replica_id peer, uint64_t request, uint32_t retry_ms) {
  auto found = peers_.find(peer);
  if (found == peers_.end())
    return;
  give_up_request(request, false);
  found->second.window.halve();
  found->second.paused_until_ms
      = std::max(found->second.paused_until_ms,
                 now_ms + std::clamp<uint64_t>(retry_ms, busy_ms_min, busy_ms_max));
}

void picker::request_failed(uint64_t now_ms, uint64_t request) {
  const auto* known = flights_.request(request);
  if (known == nullptr)
    return;
  auto found = peers_.find(known->peer);
  give_up_request(request, false);
  if (found == peers_.end())
    return;
  found->second.window.halve();
  pause(now_ms, found->second);
}

void picker::strike(uint64_t now_ms, replica_id peer) {
  ++totals_.bad_chunks;
  if (!strikes_.strike(now_ms, peer))
    return;
  banned_.insert(peer);
  const auto until = *strikes_.banned_until_ms(now_ms, peer);
  ban_end_ms_ = ban_end_ms_ == 0 ? until : std::min(ban_end_ms_, until);
  give_up_peer(now_ms, peer, true);
  set_ups(peer, false);
  effects_.emplace_back(fetch_banned{peer, until});
}

} // namespace harp
