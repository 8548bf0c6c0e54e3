#include "storage/peer_strikes.hpp"

#include <algorithm>

namespace harp {

bool peer_strikes::strike(uint64_t now_ms, replica_id peer) {
  if (!peers_.contains(peer))
    make_room(now_ms);
  auto& who = peers_[peer];
  who.last_ms = now_ms;
  if (now_ms < who.banned_until_ms)
    return false;
  std::erase_if(who.at_ms, [now_ms](uint64_t at) { return at + strike_window_ms <= now_ms; });
  who.at_ms.push_back(now_ms);
  if (who.at_ms.size() < strikes_max)
    return false;
  who.at_ms.clear();
  who.banned_until_ms = now_ms + content_ban_ms;
  return true;
}

bool peer_strikes::is_banned(uint64_t now_ms, replica_id peer) const {
  return banned_until_ms(now_ms, peer).has_value();
}

std::optional<uint64_t> peer_strikes::banned_until_ms(uint64_t now_ms, replica_id peer) const {
  auto found = peers_.find(peer);
  if (found == peers_.end() || found->second.banned_until_ms <= now_ms)
    return std::nullopt;
  return found->second.banned_until_ms;
}

std::optional<uint64_t> peer_strikes::next_end_ms(uint64_t now_ms) const {
  std::optional<uint64_t> out;
  for (const auto& [peer, who] : peers_)
    if (who.banned_until_ms > now_ms && (!out || who.banned_until_ms < *out))
      out = who.banned_until_ms;
  return out;
}

void peer_strikes::make_room(uint64_t now_ms) {
  if (peers_.size() < strike_peers_max)
    return;
  auto oldest = peers_.end();
  for (auto it = peers_.begin(); it != peers_.end(); ++it)
    if (it->second.banned_until_ms <= now_ms
        && (oldest == peers_.end() || it->second.last_ms < oldest->second.last_ms))
      oldest = it;
  if (oldest == peers_.end()) // all are banned: the first to be free again gives way
    oldest = std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
      return a.second.banned_until_ms < b.second.banned_until_ms;
    });
  peers_.erase(oldest);
}

} // namespace harp
