#include "storage/serve_queue.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t weight_of(transfer_class cls) {
  switch (cls) {
  case transfer_class::deadline:
    return 8;
  case transfer_class::normal:
    return 4;
  case transfer_class::history:
    return 1;
  }
  return 1;
}

/// Name of a piece in the memory of what was sent; a collision costs order, not correctness.
uint64_t name_of(const serve_item& item) {
  return std::hash<content_id>{}(item.cid)
         ^ (uint64_t{item.no} + 1 + (uint64_t(item.kind) << 32)) * 0x9E3779B97F4A7C15ull;
}

constexpr uint64_t round_ms = 500;               // of measuring the rate
constexpr uint64_t round_bytes_min = 8ull << 20; // several chunks, else single ones are measured
constexpr double rate_weight = 0.3;              // of the newest round
constexpr double rate_decay = 0.998;
constexpr double parallel_max = 12;

} // namespace

std::optional<uint32_t> serve_queue::add(uint64_t now_ms, std::vector<serve_item> items) {
  if (items.empty())
    return std::nullopt;
  uint64_t bytes = 0;
  for (auto& item : items) {
    bytes += item.bytes;
    item.queued_ms = now_ms;
  }
  const replica_id requester = items.front().requester;
  if (requesters_.size() >= serve_requesters_max && !requesters_.contains(requester))
    return static_cast<uint32_t>(serve_retry_ms_max);
  auto& who = requesters_[requester];
  const bool full = who.queued_items + items.size() > serve_items_max
                    || who.queued_bytes + bytes > serve_backlog_bytes_max
                    || queued_items_ + items.size() > serve_items_total_max;
  if (full) {
    const double drain_ms = static_cast<double>(who.queued_bytes) * 500.0 / std::max(rate_, 1.0);
    return static_cast<uint32_t>(
        std::clamp(drain_ms, double{serve_retry_ms_min}, double{serve_retry_ms_max}));
  }
  const turn at{items.front().cls, items.front().requester};
  auto& to = who.lanes[at.first];
  if (to.items.empty())
    turns_.push_back(at);
  who.queued_items += items.size();
  who.queued_bytes += bytes;
  queued_items_ += items.size();
  queued_bytes_ += bytes;
  to.items.insert(to.items.end(), items.begin(), items.end());
  return std::nullopt;
}

bool serve_queue::under_pressure() const {
  const auto quick = static_cast<uint64_t>(rate_ * double{serve_pressure_ms} / 1000.0);
  if (queued_bytes_ <= std::max(serve_pressure_bytes, quick))
    return false;
  return std::count_if(requesters_.begin(), requesters_.end(),
                       [](const auto& entry) { return entry.second.queued_items != 0; })
         > 1;
}

serve_queue::freshness serve_queue::freshness_of(uint64_t now_ms, const serve_item& item) const {
  if (now_ms >= item.queued_ms + serve_patience_ms)
    return freshness::fresh;
  const auto name = name_of(item);
  auto found = sent_young_.find(name);
  if (found == sent_young_.end()) {
    found = sent_old_.find(name);
    if (found == sent_old_.end())
      return freshness::fresh;
  }
  return now_ms < found->second ? freshness::just_sent : freshness::repeat;
}

/// As long as this node needs for so many bytes, but long enough for the news to travel.
uint64_t serve_queue::hold_ms(uint64_t bytes) const {
  const double ms = static_cast<double>(bytes) * 1000.0 / std::max(rate_, 1.0);
  return static_cast<uint64_t>(
      std::clamp(ms, double{serve_hold_ms_min}, double{serve_hold_ms_max}));
}

/// Until then the chunk is not sent to anybody else, while others wait for fresher ones.
void serve_queue::hold(const serve_item& item, uint64_t until_ms) {
  const auto name = name_of(item);
  if (auto old = sent_old_.find(name); old != sent_old_.end()) {
    old->second = until_ms;
    return;
  }
  if (sent_young_.size() >= serve_memory_chunks_max) {
    sent_old_ = std::move(sent_young_);
    sent_young_.clear();
  }
  sent_young_[name] = until_ms;
}

/// The freshest item among the first of a lane.
std::list<serve_item>::iterator serve_queue::pick(uint64_t now_ms, lane& from, bool pressed) const {
  auto best = from.items.begin();
  if (!pressed)
    return best;
  auto best_is = freshness_of(now_ms, *best);
  size_t looked_at = 0;
  for (auto it = best; it != from.items.end() && looked_at < serve_look_max; ++it, ++looked_at) {
    const auto is = freshness_of(now_ms, *it);
    if (is < best_is) {
      best = it;
      best_is = is;
    }
    if (best_is == freshness::fresh)
      break;
  }
  return best;
}

uint64_t serve_queue::quantum(const requester_state& who, const turn& at, uint64_t lack_max) const {
  uint64_t out = serve_quantum_bytes * weight_of(at.first);
  if (lack_max != 0)
    out += static_cast<uint64_t>(static_cast<double>(out) * static_cast<double>(who.lack_bytes)
                                 / static_cast<double>(lack_max));
  return out;
}

void serve_queue::took(requester_state& who, const serve_item& item) {
  --who.queued_items;
  --queued_items_;
  who.queued_bytes -= item.bytes;
  queued_bytes_ -= item.bytes;
}

/// What is on its way to requesters that take it; who is slow is left out.
uint64_t serve_queue::moving_bytes(uint64_t now_ms) const {
  const double ms = 4000.0 * double{serve_ahead_bytes_min} / std::max(rate_, 1.0);
  const auto stuck_ms = static_cast<uint64_t>(
      std::clamp(ms, double{serve_stuck_ms_min}, double{serve_stuck_ms_max}));
  uint64_t out = 0;
  for (const auto& [peer, who] : requesters_)
    if (who.reading_bytes != 0 && now_ms < who.reading_since_ms + stuck_ms)
      out += who.reading_bytes;
  return out;
}

std::optional<serve_item> serve_queue::next(uint64_t now_ms) {
  if (turns_.empty() || reading_bytes_ >= buffers_max_)
    return std::nullopt;
  const double ahead
      = parallel_
        * std::max(rate_ * double{serve_ahead_ms} / 1000.0, double{serve_ahead_bytes_min});
  if (static_cast<double>(moving_bytes(now_ms)) >= ahead)
    return std::nullopt;
  const bool pressed = under_pressure();
  uint64_t lack_max = 0;
  if (pressed)
    for (const auto& [peer, who] : requesters_)
      if (who.queued_items != 0)
        lack_max = std::max(lack_max, who.lack_bytes);
  if (!(pressed && advance(now_ms, pressed, lack_max, freshness::fresh))
      && !advance(now_ms, pressed, lack_max, freshness::repeat))
    return std::nullopt;
  auto& from = requesters_[turns_.front().second].lanes[turns_.front().first];
  return hand_out(now_ms, turns_.front(), pick(now_ms, from, pressed));
}

/// Turns the round until the lane at the front may send something; false when none may. Each visit adds a quantum, so the dearest chunk is affordable after a bounded number of rounds.
bool serve_queue::advance(uint64_t now_ms, bool pressed, uint64_t lack_max, freshness up_to) {
  for (size_t blocked = 0; blocked < turns_.size();) {
    const turn at = turns_.front();
    auto& who = requesters_[at.second];
    auto& from = who.lanes[at.first];
    const auto item = pick(now_ms, from, pressed);
    const auto how = pressed ? freshness_of(now_ms, *item) : freshness::fresh;
    const bool blocks
        = how > up_to
          || (who.reading_bytes != 0 && who.reading_bytes + item->bytes > serve_reading_bytes_max);
    if (!blocks && !visited_) {
      from.deficit += quantum(who, at, lack_max);
      visited_ = true;
    }
    if (!blocks && from.deficit >= item->bytes)
      return true;
    blocked = blocks ? blocked + 1 : 0;
    turns_.pop_front();
    turns_.push_back(at);
    visited_ = false;
  }
  return false;
}

serve_item serve_queue::hand_out(uint64_t now_ms, const turn& at,
                                 std::list<serve_item>::iterator item) {
  auto& who = requesters_[at.second];
  auto& from = who.lanes[at.first];
  serve_item out = *item;
  from.items.erase(item);
  from.deficit -= out.bytes;
  took(who, out);
  if (reading_bytes_ == 0) { // idle time is not slowness
    round_start_ms_ = now_ms;
    round_bytes_ = 0;
  }
  if (who.reading_bytes == 0)
    who.reading_since_ms = now_ms;
  who.reading_bytes += out.bytes;
  reading_bytes_ += out.bytes;
  hold(out, now_ms + hold_ms(moving_bytes(now_ms) * 3 / 2));
  if (from.items.empty()) {
    from.deficit = 0; // credit is for those who wait
    turns_.pop_front();
    visited_ = false;
  }
  return out;
}

void serve_queue::sent(uint64_t now_ms, const serve_item& item) {
  measure(now_ms, item.bytes);
  hold(item, now_ms + hold_ms(item.bytes / 2));
  auto found = requesters_.find(item.requester);
  if (found == requesters_.end())
    return; // its share went when it went
  const uint64_t freed = std::min(item.bytes, found->second.reading_bytes);
  found->second.reading_bytes -= freed;
  found->second.reading_since_ms = now_ms;
  reading_bytes_ -= freed;
}

void serve_queue::measure(uint64_t now_ms, uint64_t bytes) {
  round_bytes_ += bytes;
  if (now_ms < round_start_ms_ + round_ms || round_bytes_ < round_bytes_min)
    return;
  const double rate
      = static_cast<double>(round_bytes_) * 1000.0 / static_cast<double>(now_ms - round_start_ms_);
  smooth_rate_ = measured_ ? smooth_rate_ + rate_weight * (rate - smooth_rate_) : rate;
  // The fastest of late: while receivers are what is slow, the present rate says little of what this node can send.
  rate_ = measured_ ? std::max(smooth_rate_, rate_ * rate_decay) : rate;
  measured_ = true;
  if (smooth_rate_ < rate_ * 0.97)
    parallel_ = std::min(parallel_ * 1.5, parallel_max);
  else if (smooth_rate_ > rate_ * 0.99)
    parallel_ = std::max(parallel_ / 1.05, 1.0);
  round_start_ms_ = now_ms;
  round_bytes_ = 0;
}

template <class Match>
size_t serve_queue::drop(replica_id requester, Match match) {
  auto found = requesters_.find(requester);
  if (found == requesters_.end())
    return 0;
  size_t dropped = 0;
  for (auto& [cls, from] : found->second.lanes) {
    if (from.items.empty())
      continue;
    for (auto it = from.items.begin(); it != from.items.end();)
      if (match(*it)) {
        took(found->second, *it);
        it = from.items.erase(it);
        ++dropped;
      } else {
        ++it;
      }
    if (from.items.empty()) {
      from.deficit = 0;
      const turn gone{cls, requester};
      visited_ = visited_ && turns_.front() != gone;
      std::erase(turns_, gone);
    }
  }
  return dropped;
}

size_t serve_queue::cancel(replica_id requester, uint64_t request) {
  return drop(requester, [request](const serve_item& item) { return item.request == request; });
}

bool serve_queue::cancel(replica_id requester, uint64_t request, const content_id& cid,
                         piece_kind kind, uint32_t no) {
  return drop(requester,
              [&](const serve_item& item) {
                return item.request == request && item.cid == cid && item.kind == kind
                       && item.no == no;
              })
         != 0;
}

void serve_queue::requester_gone(replica_id requester) {
  drop(requester, [](const serve_item&) { return true; });
  auto found = requesters_.find(requester);
  if (found == requesters_.end())
    return;
  reading_bytes_ -= std::min(found->second.reading_bytes, reading_bytes_);
  requesters_.erase(found);
}

void serve_queue::set_lack(replica_id requester, uint64_t bytes) {
  auto found = requesters_.find(requester);
  if (found != requesters_.end() || requesters_.size() < serve_requesters_max)
    requesters_[requester].lack_bytes = bytes;
}

uint64_t serve_queue::reading_bytes(replica_id requester) const {
  auto found = requesters_.find(requester);
  return found == requesters_.end() ? 0 : found->second.reading_bytes;
}

} // namespace harp
