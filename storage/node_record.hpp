// A node's signed word on where it is and which apps it serves: message Node (storage.md 11). No I/O, no clock.
#pragma once

#include "storage/signing.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t node_addresses_max = 16;
inline constexpr size_t node_apps_max = 512;
inline constexpr size_t node_address_bytes_max = 255;
inline constexpr size_t node_app_id_bytes_max = 64;
inline constexpr size_t node_record_bytes_max = 64 * 1024;
inline constexpr uint64_t node_record_every_ms = 60'000;
inline constexpr uint64_t node_record_life_ms = 180'000;

struct node_app {
  std::string id;
  uint16_t port = 0;
  bool operator==(const node_app&) const = default;
};

/// Of two records of one device the greater counter counts; start counters at the clock, so that a restart goes on.
struct node_record {
  device_key device;
  uint64_t counter = 0;
  std::vector<std::string> addresses; // host:port
  std::vector<node_app> apps;         // believed only of keepers of the cluster space
  bool operator==(const node_record&) const = default;
};

/// A record with the bytes its device signed, which travel on unchanged.
struct sealed_node_record {
  node_record record;
  std::string raw; // signature included

  /// True when the device named inside signed it.
  [[nodiscard]] bool verify() const;
  bool operator==(const sealed_node_record&) const = default;
};

/// Encodes and signs; `record.device` becomes the key's. Fails with a text when a limit is broken.
std::variant<sealed_node_record, std::string> seal_node_record(node_record record,
                                                               const signing_key& key);
/// Decodes bytes of anybody, with all limits; does not verify.
std::variant<sealed_node_record, std::string> decode_node_record(std::string_view raw);

} // namespace harp
