// Sliding counts of losses, answers, and growing delays.
#include "storage/guards.hpp"

#include <algorithm>

namespace harp {

size_t burst_guard::recent(int64_t now_ms) const {
  size_t sum = 0;
  for (const auto& each : pieces_)
    if (each.at_ms > now_ms - burst_window_ms)
      sum += each.losses;
  return sum;
}

size_t burst_guard::left(int64_t now_ms, size_t files) const {
  size_t limit = std::max(burst_files_min, files * burst_percent / 100);
  size_t gone = recent(now_ms);
  return (gone < limit ? limit - gone : 0) + allowance_;
}

void burst_guard::note(int64_t now_ms, size_t losses) {
  // what was allowed by name does not count against the limit
  size_t allowed = std::min(losses, allowance_);
  allowance_ -= allowed;
  waiting_ -= std::min(waiting_, allowed);
  losses -= allowed;
  while (!pieces_.empty() && pieces_.front().at_ms <= now_ms - burst_window_ms)
    pieces_.pop_front();
  if (losses == 0)
    return;
  if (!pieces_.empty() && now_ms - pieces_.back().at_ms < 1000)
    pieces_.back().losses += losses;
  else
    pieces_.push_back({now_ms, losses});
}

bool burst_guard::held(size_t losses) {
  bool news = losses > waiting_;
  waiting_ = losses;
  return news;
}

void burst_guard::confirm() {
  allowance_ = std::max(allowance_, waiting_);
}

bool incoming_guard::hold(int64_t now_ms, size_t files, replica_id author, local_id lid,
                          const stamp& lost) {
  if (!authors_.contains(author) && authors_.size() >= 4096)
    author = 0;
  auto& state = authors_[author];
  auto known = state.seen.find(lid);
  if (known != state.seen.end() && known->second == lost)
    return false;
  if (state.burst.left(now_ms, files) == 0) {
    state.held = true;
    return true;
  }
  state.burst.note(now_ms, 1);
  if (state.seen.size() >= 65'536)
    state.seen.clear();
  state.seen[lid] = lost;
  return false;
}

void incoming_guard::confirm(replica_id author) {
  auto found = authors_.find(author);
  if (found == authors_.end())
    return;
  found->second.burst.held(SIZE_MAX / 2);
  found->second.burst.confirm();
  found->second.held = false;
}

std::vector<replica_id> incoming_guard::held() const {
  std::vector<replica_id> out;
  for (const auto& [author, state] : authors_)
    if (state.held)
      out.push_back(author);
  return out;
}

void action_backoff::failed(int64_t now_ms, local_id lid) {
  if (states_.size() >= action_retries_max && !states_.contains(lid))
    std::erase_if(states_, [&](const auto& each) { return each.second.due_ms <= now_ms; });
  if (states_.size() >= action_retries_max && !states_.contains(lid))
    return;
  auto& state = states_[lid];
  state.delay_ms = state.delay_ms == 0 ? action_retry_ms_min
                                       : std::min(state.delay_ms * 2, action_retry_ms_max);
  state.due_ms = now_ms + state.delay_ms;
}

bool action_backoff::waiting(int64_t now_ms, local_id lid) const {
  auto found = states_.find(lid);
  return found != states_.end() && found->second.due_ms > now_ms;
}

std::optional<int64_t> action_backoff::next_ms() const {
  std::optional<int64_t> out;
  for (const auto& [lid, state] : states_)
    if (!out || state.due_ms < *out)
      out = state.due_ms;
  return out;
}

} // namespace harp
