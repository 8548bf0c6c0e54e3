#include "actors/hot_answers.hpp"

#include <algorithm>
#include <cstring>

namespace harp {

size_t user_cache::key_hash::operator()(const credential_hash& key) const {
  size_t value = 0; // the key is a cryptographic hash already
  std::memcpy(&value, key.data() + 4, sizeof value);
  return value;
}

std::optional<user_cache::hit> user_cache::find(const credential_hash& key, int64_t now_ms) const {
  auto& place = of(key);
  std::lock_guard lock{place.mutex};
  auto found = place.entries.find(key);
  if (found == place.entries.end() || found->second.until_ms <= now_ms)
    return std::nullopt;
  return hit{found->second.user};
}

void user_cache::put(const credential_hash& key, std::shared_ptr<const user_info> user, int64_t until_ms,
                     int64_t now_ms) {
  auto& place = of(key);
  std::lock_guard lock{place.mutex};
  if (place.entries.size() >= users_kept_max / user_shards) {
    std::erase_if(place.entries, [now_ms](const auto& one) { return one.second.until_ms <= now_ms; });
    if (place.entries.size() >= users_kept_max / user_shards)
      place.entries.erase(std::min_element(place.entries.begin(), place.entries.end(), [](const auto& a, const auto& b) {
        return a.second.until_ms < b.second.until_ms;
      }));
  }
  place.entries[key] = entry{std::move(user), until_ms};
}

void user_cache::clear() {
  for (auto& place : shards_) {
    std::lock_guard lock{place.mutex};
    place.entries.clear();
  }
}

size_t user_cache::size() const {
  size_t total = 0;
  for (auto& place : shards_) {
    std::lock_guard lock{place.mutex};
    total += place.entries.size();
  }
  return total;
}

} // namespace harp
