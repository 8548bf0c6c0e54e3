// What the picker has asked and not yet got: pieces, whom they were asked of, and the requests they belong to.
#pragma once

#include "storage/picker_events.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t flights_max = 131'072; // pieces awaited at once
inline constexpr size_t copies_max = 2;        // of one piece

struct piece_key {
  content_id cid;
  piece_kind kind = piece_kind::chunk;
  uint32_t no = 0;
  auto operator<=>(const piece_key&) const = default;
};
struct piece_key_hash {
  size_t operator()(const piece_key& key) const noexcept {
    return std::hash<content_id>{}(key.cid) ^ (size_t{key.no} * 0x9E3779B97F4A7C15ull)
           ^ static_cast<size_t>(key.kind);
  }
};

/// One copy of a piece on its way from one peer.
struct flight {
  uint64_t request = 0;
  replica_id peer = 0;
  transfer_class cls = transfer_class::normal;
  uint64_t bytes = 0;
  uint64_t got = 0; // of them, already
  uint64_t asked_ms = 0;
  uint64_t expected_ms = 0;  // when asked: how long it should take
  uint64_t ahead = 0;        // bytes asked of the peer before it
  uint64_t arrived_mark = 0; // what had arrived from the peer by then
  uint8_t moves = 0;         // how often it was taken from a slower peer
};

/// Table of flights. A piece has at most two copies, never both of one peer.
class picker_flights {
public:
  struct copies {
    std::array<flight, copies_max> of;
    uint8_t count = 0;
  };
  struct request_record {
    replica_id peer = 0;
    std::vector<piece_key> pieces; // as asked; those still awaited are found in the table
    size_t open = 0;
  };

  /// A new request; its pieces follow by `add`.
  uint64_t begin(replica_id peer);
  void add(const piece_key& key, const flight& what);
  [[nodiscard]] const copies* find(const piece_key& key) const;
  flight* find(const piece_key& key, replica_id peer);
  /// Takes one copy out; nothing when the peer was not asked.
  std::optional<flight> remove(const piece_key& key, replica_id peer);
  [[nodiscard]] const request_record* request(uint64_t id) const;
  /// Pieces of a request that are still awaited.
  [[nodiscard]] std::vector<piece_key> open_pieces(uint64_t id) const;
  /// Requests of a peer with something awaited, oldest first.
  [[nodiscard]] std::vector<uint64_t> requests_of(replica_id peer) const;
  [[nodiscard]] size_t size() const { return table_.size(); }

private:
  uint64_t next_request_ = 1;
  std::unordered_map<piece_key, copies, piece_key_hash> table_;
  std::unordered_map<uint64_t, request_record> requests_;
  std::map<replica_id, std::set<uint64_t>> by_peer_;
};

} // namespace harp
