#include "storage/picker_flights.hpp"

#include <algorithm>

namespace harp {

uint64_t picker_flights::begin(replica_id peer) {
  const uint64_t id = next_request_++;
  requests_[id].peer = peer;
  by_peer_[peer].insert(id);
  return id;
}

void picker_flights::add(const piece_key& key, const flight& what) {
  auto& entry = table_[key];
  if (entry.count == copies_max)
    return;
  entry.of[entry.count++] = what;
  auto& request = requests_[what.request];
  request.pieces.push_back(key);
  ++request.open;
}

const picker_flights::copies* picker_flights::find(const piece_key& key) const {
  auto found = table_.find(key);
  return found == table_.end() ? nullptr : &found->second;
}

flight* picker_flights::find(const piece_key& key, replica_id peer) {
  auto found = table_.find(key);
  if (found == table_.end())
    return nullptr;
  auto& [of, count] = found->second;
  auto it = std::find_if(of.begin(), of.begin() + count,
                         [peer](auto& one) { return one.peer == peer; });
  return it == of.begin() + count ? nullptr : &*it;
}

std::optional<flight> picker_flights::remove(const piece_key& key, replica_id peer) {
  auto* found = find(key, peer);
  if (found == nullptr)
    return std::nullopt;
  const flight out = *found;
  auto& entry = table_[key];
  *found = entry.of[entry.count - 1u];
  if (--entry.count == 0)
    table_.erase(key);
  auto request = requests_.find(out.request);
  if (--request->second.open == 0) {
    auto of_peer = by_peer_.find(peer);
    of_peer->second.erase(out.request);
    if (of_peer->second.empty())
      by_peer_.erase(of_peer);
    requests_.erase(request);
  }
  return out;
}

const picker_flights::request_record* picker_flights::request(uint64_t id) const {
  auto found = requests_.find(id);
  return found == requests_.end() ? nullptr : &found->second;
}

std::vector<piece_key> picker_flights::open_pieces(uint64_t id) const {
  std::vector<piece_key> out;
  const auto* known = request(id);
  if (known == nullptr)
    return out;
  for (const auto& key : known->pieces) {
    const auto* entry = find(key);
    for (uint8_t i = 0; entry != nullptr && i < entry->count; ++i)
      if (entry->of[i].request == id)
        out.push_back(key);
  }
  return out;
}

std::vector<uint64_t> picker_flights::requests_of(replica_id peer) const {
  auto found = by_peer_.find(peer);
  if (found == by_peer_.end())
    return {};
  return {found->second.begin(), found->second.end()};
}

} // namespace harp
