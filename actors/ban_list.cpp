#include "actors/ban_list.hpp"

#include <algorithm>
#include <tuple>

namespace harp {

namespace {

// More than the one new key of a failure: old ones vanish faster than new ones come.
constexpr size_t swept_per_failure = 2;

} // namespace

ban_list::ban_list(ban_rule rule) : rule_(rule) {
  rule_.count = std::min(rule_.count, ban_count_max);
  keys_max_ = std::min(ban_keys_max, ban_stamps_max / std::max(rule_.count, 1u));
}

bool ban_list::is_fresh(int64_t stamp_ms, int64_t now_ms) const {
  // Both directions: a clock set back must not turn a ban of minutes into one of years.
  int64_t age_ms = now_ms - stamp_ms;
  return age_ms < rule_.window_ms && age_ms > -rule_.window_ms;
}

bool ban_list::is_banned(const entry& one, int64_t now_ms) const {
  return one.stamps_ms.size() >= rule_.count && one.last_tenths >= failure_whole_tenths
         && is_fresh(one.stamps_ms.front(), now_ms);
}

bool ban_list::fail(const ip_address& client, int64_t now_ms, unsigned tenths, const char* reason) {
  if (tenths == 0 || rule_.count == 0)
    return false;
  ip_address key = client.ban_key();
  entry& one = touch(key, now_ms);
  if (is_banned(one, now_ms))
    return false;
  if (one.was_banned) { // an earlier ban has ended
    failing_.splice(failing_.end(), banned_, one.place);
    one.was_banned = false;
  }
  add(one, now_ms, std::min(tenths, failure_whole_tenths));
  one.reason = reason;
  if (!is_banned(one, now_ms))
    return false;
  banned_.splice(banned_.end(), failing_, one.place);
  one.was_banned = true;
  return true;
}

ban_list::entry& ban_list::touch(const ip_address& key, int64_t now_ms) {
  auto found = entries_.find(key);
  if (found != entries_.end()) {
    entry& one = found->second;
    if (!one.was_banned)
      failing_.splice(failing_.end(), failing_, one.place);
    return one;
  }
  make_room(now_ms);
  entry& one = entries_[key];
  one.place = failing_.insert(failing_.end(), key);
  return one;
}

void ban_list::add(entry& one, int64_t now_ms, unsigned tenths) const {
  auto& stamps = one.stamps_ms;
  std::erase_if(stamps, [&](int64_t stamp_ms) { return !is_fresh(stamp_ms, now_ms); });
  if (stamps.empty())
    one.last_tenths = failure_whole_tenths;
  unsigned sum = tenths;
  if (one.last_tenths < failure_whole_tenths) {
    sum += one.last_tenths;
    stamps.pop_back();
  }
  stamps.push_back(now_ms);
  one.last_tenths = std::min(sum, failure_whole_tenths);
  if (sum > failure_whole_tenths && stamps.size() < rule_.count) {
    stamps.push_back(now_ms);
    one.last_tenths = sum - failure_whole_tenths;
  }
}

void ban_list::make_room(int64_t now_ms) {
  for (auto* keys : {&failing_, &banned_}) {
    for (size_t i = 0; i < swept_per_failure && !keys->empty(); ++i) {
      auto oldest = entries_.find(keys->front());
      if (is_fresh(oldest->second.stamps_ms.back(), now_ms))
        break;
      forget(oldest);
    }
  }
  if (entries_.size() < keys_max_)
    return;
  forget(entries_.find(failing_.empty() ? banned_.front() : failing_.front()));
}

void ban_list::forget(table::iterator one) {
  list_of(one->second).erase(one->second.place);
  entries_.erase(one);
}

std::optional<int64_t> ban_list::banned(const ip_address& client, int64_t now_ms) const {
  if (rule_.count == 0)
    return now_ms + rule_.window_ms;
  auto found = entries_.find(client.ban_key());
  if (found == entries_.end() || !is_banned(found->second, now_ms))
    return std::nullopt;
  return found->second.stamps_ms.front() + rule_.window_ms;
}

bool ban_list::lift(const ip_address& client) {
  auto found = entries_.find(client.ban_key());
  if (found == entries_.end())
    return false;
  forget(found);
  return true;
}

size_t ban_list::lift_all(int64_t now_ms) {
  size_t lifted = list(now_ms).size();
  entries_.clear();
  failing_.clear();
  banned_.clear();
  return lifted;
}

std::vector<ban_entry> ban_list::list(int64_t now_ms) const {
  std::vector<ban_entry> result;
  for (const auto& key : banned_) {
    const entry& one = entries_.at(key);
    if (is_banned(one, now_ms))
      result.push_back({key, one.stamps_ms.front() + rule_.window_ms, one.reason});
  }
  std::sort(result.begin(), result.end(), [](const ban_entry& a, const ban_entry& b) {
    return std::tie(a.until_ms, a.key) < std::tie(b.until_ms, b.key);
  });
  return result;
}

} // namespace harp
