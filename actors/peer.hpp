// What a linked node may say: frames into checked messages (storage.md 11, quality.md S7, S8). No CAF, no I/O, no clock.
#pragma once

#include "actors/storage_plane.hpp"
#include "storage/bundle_codec.hpp"
#include "storage/peer_codec.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint8_t frame_flag_optional = 1; // storage.md 11: an unknown type may be ignored
inline constexpr uint8_t frame_flag_arriving = 2; // Relay: opened by the keeper, `peer` is who wants to talk

/// Judges the frames of one link. A message leaves here only when it was decoded whole, its space lists both nodes, and the
/// sender is entitled to it. One per link, used by one thread at a time.
class peer {
public:
  /// Nothing to do with this frame: `why` is for the log at debug level.
  struct ignored {
    std::string why;
  };
  /// The link must end: the peer does not keep to the protocol.
  struct broken {
    std::string why;
  };
  using judged = std::variant<peer_note, ignored, broken>;

  peer(const device_key& who, const device_key& self, const space_id& cluster, std::shared_ptr<const hot_rosters> rosters)
    : who_(who), self_(self), cluster_(cluster), rosters_(std::move(rosters)) {}

  /// One control frame. Signatures of bundles, beats and node records are verified here: 70 us each, so call it where that
  /// may take its time.
  judged judge(uint8_t type, uint8_t flags, std::string_view payload) const;
  /// The space a message is about; zero: the cluster as a whole.
  static space_id space_of(const peer_message& what);
  [[nodiscard]] const device_key& device() const { return who_; }
  /// What the peer is in a space: none when it may not even know of it.
  [[nodiscard]] member_role role_in(const space_id& space) const;

private:
  judged judge_ops(const ops_message& ops, peer_note note) const;

  device_key who_;
  device_key self_;
  space_id cluster_;
  std::shared_ptr<const hot_rosters> rosters_;
};

} // namespace harp
