#include "storage/picker.hpp"

#include <algorithm>
#include <utility>

namespace harp {

std::string_view to_string(wait_reason reason) {
  switch (reason) {
  case wait_reason::none:
    return "nothing";
  case wait_reason::queued:
    return "its turn";
  case wait_reason::transferring:
    return "chunks on their way";
  case wait_reason::manifest:
    return "its chunk list";
  case wait_reason::nobody_has_it:
    return "a device that has it";
  case wait_reason::peer_offline:
    return "a device that is offline";
  case wait_reason::peer_busy:
    return "a device that is busy";
  case wait_reason::peer_banned:
    return "another device: the one that has it sent wrong bytes";
  }
  return "nothing";
}

picker::picker(picker_settings settings) : settings_(settings) {
  // nop
}

picker_content* picker::find(const content_id& cid) {
  auto found = contents_.find(cid);
  return found == contents_.end() ? nullptr : found->second.get();
}

const picker_content* picker::find(const content_id& cid) const {
  auto found = contents_.find(cid);
  return found == contents_.end() ? nullptr : found->second.get();
}

// -- wants --------------------------------------------------------------------------------------

bool picker::want(uint64_t now_ms, content_want wanted) {
  const auto cid = wanted.cid;
  if (auto* known = find(cid)) {
    raise_class(*known, wanted.cls);
    return true;
  }
  if (contents_.size() >= wants_max) {
    was_full_ = true;
    return false;
  }
  const auto author = wanted.author;
  auto made = std::make_unique<picker_content>(std::move(wanted), settings_.own);
  auto& content = *made;
  contents_.emplace(cid, std::move(made));
  if (author != 0 && author != settings_.own)
    content.set_source(author, is_up(now_ms, author), true, {});
  const std::pair<content_id, replica_id> from{cid, 0};
  for (auto it = early_.lower_bound(from); it != early_.end() && it->first.first == cid;
       it = early_.erase(it))
    content.set_source(it->first.second, is_up(now_ms, it->first.second), it->second.complete,
                       it->second.runs);
  if (content.complete())
    finish(now_ms, content); // an empty file
  else
    requeue(content);
  return true;
}

void picker::raise_class(picker_content& content, transfer_class cls) {
  if (cls >= content.wanted().cls)
    return;
  const bool was_queued = content.is_queued, was_open = content.is_open;
  if (was_queued)
    order_.remove(content);
  if (was_open)
    open_.erase(turn_key::of(content.wanted()));
  content.set_class(cls);
  if (was_queued)
    order_.add(content);
  if (was_open)
    open_.emplace(turn_key::of(content.wanted()), &content);
}

void picker::unwant(uint64_t now_ms, const content_id& cid) {
  auto* content = find(cid);
  if (content == nullptr)
    return;
  stop_all(now_ms, *content);
  announcer_.forget(cid);
  forget(*content);
}

bool picker::chunks_held(uint64_t now_ms, const content_id& cid, std::span<const chunk_run> runs) {
  auto* content = find(cid);
  if (content == nullptr || !content->shaped())
    return false;
  if (chunk_set check(content->chunks()); !check.add(runs))
    return false;
  std::vector<uint32_t> twins;
  for (const auto& run : runs)
    for (uint32_t no = run.first; no < run.first + run.count; ++no) {
      const uint64_t mean = content->wanted().size / content->chunks();
      const uint64_t bytes = content->chunk_bytes(no).value_or(mean);
      drop_copies(now_ms, {cid, piece_kind::chunk, no});
      twins.clear();
      if (content->had(no, bytes, twins))
        announcer_.gained(now_ms, cid, no, bytes);
      settle_twins(now_ms, *content, no, twins);
    }
  if (content->complete())
    finish(now_ms, *content);
  return true;
}

void picker::chunks_lost(uint64_t, const content_id& cid, std::span<const chunk_run> runs) {
  auto* content = find(cid);
  if (content == nullptr)
    return;
  for (const auto& run : runs)
    for (uint32_t i = 0; i < run.count && run.first + i < content->chunks(); ++i)
      content->lost(run.first + i);
  requeue(*content);
  wake_sources(*content);
}

/// Puts a content that is neither open nor under way where its sources let it be.
void picker::requeue(picker_content& content) {
  if (content.is_open)
    return;
  const bool ready = content.sources_up() != 0 && content.in_flight == 0;
  if (ready && !content.is_queued) {
    order_.add(content);
    wake_sources(content);
  } else if (!ready && content.is_queued) {
    order_.remove(content);
  }
}

void picker::close(picker_content& content) {
  open_.erase(turn_key::of(content.wanted()));
  content.close();
  requeue(content);
}

/// Cancels all that is under way of a content.
void picker::stop_all(uint64_t now_ms, picker_content& content) {
  const auto& cid = content.wanted().cid;
  for (uint32_t no = content.asked().next(0); no < content.chunks();
       no = content.asked().next(no + 1))
    drop_copies(now_ms, {cid, piece_kind::chunk, no});
  drop_copies(now_ms, {cid, piece_kind::root, 0});
  const auto manifests = content.manifests;
  for (const auto& wait : manifests)
    drop_copies(now_ms, {cid, piece_kind::segment, wait.index});
}

void picker::forget(picker_content& content) {
  const auto cid = content.wanted().cid;
  if (content.is_queued)
    order_.remove(content);
  if (content.is_open)
    open_.erase(turn_key::of(content.wanted()));
  std::erase_if(readers_, [&](const auto& entry) { return entry.second.cid == cid; });
  contents_.erase(cid);
  if (was_full_ && contents_.size() <= wants_max / 2) {
    was_full_ = false;
    effects_.emplace_back(fetch_room{});
  }
}

void picker::finish(uint64_t now_ms, picker_content& content) {
  const auto cid = content.wanted().cid;
  stop_all(now_ms, content);
  announcer_.completed(now_ms, cid);
  effects_.emplace_back(fetch_finished{cid});
  forget(content);
}

// -- outcome ------------------------------------------------------------------------------------

std::vector<fetch_effect> picker::effects(uint64_t now_ms) {
  if (now_ms >= next_sweep_ms_)
    sweep(now_ms);
  open_contents(now_ms);
  for (auto& [key, content] : open_)
    ask_manifests(now_ms, *content);
  fill_readers(now_ms);
  fill(now_ms);
  if (auto deltas = announcer_.due(now_ms); !deltas.empty())
    effects_.emplace_back(fetch_announce{std::move(deltas)});
  return std::exchange(effects_, {});
}

std::optional<uint64_t> picker::next_ms() const {
  auto out = announcer_.next_ms();
  const auto sooner = [&out](uint64_t at) { out = out ? std::min(*out, at) : at; };
  const bool waits = std::any_of(peers_.begin(), peers_.end(), [this](const auto& entry) {
    return entry.second.up && entry.second.paused_until_ms >= next_sweep_ms_;
  });
  if (flights_.size() != 0 || waits)
    sooner(next_sweep_ms_);
  else if (ban_end_ms_ != 0)
    sooner(ban_end_ms_);
  return out;
}

wait_line picker::waiting_for(const content_id& cid) const {
  const auto* content = find(cid);
  if (content == nullptr)
    return {.cid = cid};
  wait_line out{.cid = cid,
                .reason = wait_reason::nobody_has_it,
                .size = content->wanted().size,
                .bytes_had = content->bytes_had(),
                .sources = content->sources_up()};
  double best = -1;
  bool all_paused = true;
  for (const auto& source : content->sources()) {
    auto peer = peers_.find(source.peer);
    const bool up = source.up && peer != peers_.end();
    const double rate = up ? peer->second.window.rate() : 0;
    all_paused = all_paused && !(up && peer->second.paused_until_ms < next_sweep_ms_);
    if (rate > best || (best == 0 && source.peer == content->wanted().author)) {
      best = rate;
      out.peer = source.peer;
    }
  }
  if (content->sources().empty())
    return out;
  const bool manifest = content->in_flight != 0 && content->asked().none();
  if (content->sources_up() == 0)
    out.reason = banned_.contains(out.peer) ? wait_reason::peer_banned : wait_reason::peer_offline;
  else if (content->in_flight != 0)
    out.reason = manifest ? wait_reason::manifest : wait_reason::transferring;
  else
    out.reason = all_paused ? wait_reason::peer_busy : wait_reason::queued;
  return out;
}

std::vector<wait_line> picker::waits(size_t lines_max) const {
  std::vector<std::pair<turn_key, content_id>> turns;
  for (const auto& [cid, content] : contents_)
    turns.emplace_back(turn_key::of(content->wanted()), cid);
  const size_t count = std::min(lines_max, turns.size());
  std::partial_sort(turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(count), turns.end());
  std::vector<wait_line> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(waiting_for(turns[i].second));
  return out;
}

const chunk_set* picker::held(const content_id& cid) const {
  const auto* content = find(cid);
  return content == nullptr || !content->shaped() ? nullptr : &content->have();
}

std::optional<uint64_t> picker::chunk_bytes(const content_id& cid, uint32_t no) const {
  if (const auto* copies = flights_.find({cid, piece_kind::chunk, no}))
    return copies->of[0].bytes;
  const auto* content = find(cid);
  return content == nullptr ? std::nullopt : std::optional<uint64_t>(content->chunk_bytes(no));
}

double picker::peer_rate(replica_id peer) const {
  auto found = peers_.find(peer);
  return found == peers_.end() ? 0 : found->second.window.rate();
}

} // namespace harp
