// Who sent wrong bytes: three strikes in ten minutes ban content from that peer for an hour (storage.md 9.6).
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace harp {

inline constexpr size_t strikes_max = 3;
inline constexpr uint64_t strike_window_ms = 10 * 60'000;
inline constexpr uint64_t content_ban_ms = 60 * 60'000;
inline constexpr size_t strike_peers_max
    = 1024; // the one heard of longest ago is forgotten, banned ones last

/// Counts bad chunks per peer. Survives reconnects of the peer; one owner.
class peer_strikes {
public:
  /// A bad chunk from `peer`. True when this one bans it.
  bool strike(uint64_t now_ms, replica_id peer);
  [[nodiscard]] bool is_banned(uint64_t now_ms, replica_id peer) const;
  /// Until when, for people; nothing when not banned.
  [[nodiscard]] std::optional<uint64_t> banned_until_ms(uint64_t now_ms, replica_id peer) const;
  /// The next end of a ban after `now_ms`.
  [[nodiscard]] std::optional<uint64_t> next_end_ms(uint64_t now_ms) const;
  [[nodiscard]] size_t size() const { return peers_.size(); }

private:
  struct record {
    std::vector<uint64_t> at_ms; // the strikes that still count
    uint64_t last_ms = 0;
    uint64_t banned_until_ms = 0;
  };
  void make_room(uint64_t now_ms);

  std::map<replica_id, record> peers_;
};

} // namespace harp
