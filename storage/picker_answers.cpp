// What comes in: manifests, bytes, chunks.
#include "storage/picker.hpp"

#include <algorithm>

namespace harp {

// -- manifests ------------------------------------------------------------------------------------

void picker::manifest_came(uint64_t now_ms, replica_id peer, const piece_key& key) {
  auto removed = flights_.remove(key, peer);
  if (!removed)
    return;
  auto& from = peers_.find(peer)->second;
  from.last_byte_ms = now_ms;
  from.failures = 0;
  left(from, *removed);
  if (auto* content = find(key.cid))
    --content->in_flight;
}

bool picker::root_arrived(uint64_t now_ms, replica_id peer, const content_id& cid,
                          const content_shape& shape) {
  auto* content = find(cid);
  if (content == nullptr)
    return false;
  if (content->shaped())
    return true;
  if (content->is_queued)
    order_.remove(*content); // it may move to the small ones
  const bool fits = content->shape(shape);
  if (!fits) {
    requeue(*content);
    return false;
  }
  manifest_came(now_ms, peer, {cid, piece_kind::root, 0});
  drop_copies(now_ms, {cid, piece_kind::root, 0});
  content->root.reset();
  if (content->complete()) {
    finish(now_ms, *content);
    return true;
  }
  if (content->is_open && content->is_small() && content->readers == 0)
    close(*content);
  requeue(*content);
  wake_sources(*content);
  return true;
}

void picker::root_absent(uint64_t, const content_id& cid) {
  auto* content = find(cid);
  if (content != nullptr && content->root == manifest_state::looked_up)
    content->root = manifest_state::absent;
}

bool picker::segment_arrived(uint64_t now_ms, replica_id peer, const content_id& cid,
                             uint32_t index, std::span<const chunk_ref> chunks) {
  auto* content = find(cid);
  if (content == nullptr || !content->load(index, chunks))
    return false;
  manifest_came(now_ms, peer, {cid, piece_kind::segment, index});
  drop_copies(now_ms, {cid, piece_kind::segment, index});
  std::erase_if(content->manifests, [index](const auto& wait) { return wait.index == index; });
  wake_sources(*content);
  return true;
}

void picker::segment_absent(uint64_t, const content_id& cid, uint32_t index) {
  auto* content = find(cid);
  if (content == nullptr)
    return;
  for (auto& wait : content->manifests)
    if (wait.index == index && wait.state == manifest_state::looked_up)
      wait.state = manifest_state::absent;
}

void picker::manifest_bad(uint64_t now_ms, replica_id peer, const content_id& cid, piece_kind kind,
                          uint32_t no) {
  missing(now_ms, peer, {cid, kind, no, 1}, false);
  strike(now_ms, peer);
}

// -- chunks ---------------------------------------------------------------------------------------

bool picker::data_arrived(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no,
                          uint64_t bytes) {
  auto found = peers_.find(peer);
  if (found == peers_.end())
    return false;
  auto* awaited = flights_.find({cid, piece_kind::chunk, no}, peer);
  if (awaited == nullptr) { // cancelled, still in the pipe: paid from the same purse as hedges
    hedge_bytes_ -= static_cast<int64_t>(bytes);
    return true;
  }
  found->second.last_byte_ms = now_ms;
  if (bytes > awaited->bytes - awaited->got) {
    give_up({cid, piece_kind::chunk, no}, peer, true);
    chunk_bad(now_ms, peer, cid, no);
    return false;
  }
  awaited->got += bytes;
  found->second.window.settled(bytes);
  found->second.window.arrived(now_ms, bytes);
  return true;
}

bool picker::chunk_arrived(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no,
                           uint64_t bytes) {
  const piece_key key{cid, piece_kind::chunk, no};
  auto removed = flights_.remove(key, peer);
  auto* content = find(cid);
  if (removed)
    chunk_came(now_ms, *removed);
  if (content == nullptr || !content->shaped() || content->have().has(no)) {
    totals_.duplicate_bytes += bytes;
    if (content != nullptr && removed)
      --content->in_flight;
    return false;
  }
  if (removed)
    --content->in_flight;
  drop_copies(now_ms, key); // the slower copy, or one asked of somebody else meanwhile
  content->set_asked(no, false);
  std::vector<uint32_t> twins;
  content->had(no, bytes, twins);
  totals_.received_bytes += bytes;
  const auto share = static_cast<int64_t>(static_cast<double>(bytes) * hedge_share);
  hedge_bytes_ = std::min(hedge_bytes_ + share, hedge_bytes_max);
  announcer_.gained(now_ms, cid, no, bytes);
  settle_twins(now_ms, *content, no, twins);
  if (content->complete())
    finish(now_ms, *content);
  return true;
}

/// Book-keeping of the peer that delivered.
void picker::chunk_came(uint64_t now_ms, const flight& what) {
  auto found = peers_.find(what.peer);
  if (found == peers_.end())
    return;
  auto& from = found->second;
  const uint64_t rest = what.bytes - std::min(what.got, what.bytes);
  from.last_byte_ms = now_ms;
  from.failures = 0;
  left(from, what);
  from.window.arrived(now_ms, rest);
  from.window.waited(now_ms - what.asked_ms);
}

void picker::settle_twins(uint64_t now_ms, picker_content& content, uint32_t from,
                          const std::vector<uint32_t>& twins) {
  const auto cid = content.wanted().cid;
  for (auto to : twins) {
    drop_copies(now_ms, {cid, piece_kind::chunk, to});
    announcer_.gained(now_ms, cid, to, 0);
    effects_.emplace_back(fetch_reuse{cid, from, to});
  }
}

void picker::chunk_bad(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no) {
  give_up({cid, piece_kind::chunk, no}, peer, false);
  if (auto* content = find(cid)) {
    const chunk_run lacks{no, 1};
    content->source_lacks(peer, {&lacks, 1});
    requeue(*content);
    wake_sources(*content);
  }
  strike(now_ms, peer);
}

} // namespace harp
