// Whose turn it is: wanted contents that have a source and are not under way, in order (storage.md 9.2, point 3).
#pragma once

#include "storage/picker_content.hpp"

#include <compare>
#include <cstdint>
#include <map>

namespace harp {

/// Priority class, then size class (up to 256 KiB, 4 MiB, 64 MiB, 1 GiB, larger), then the newest minute of editing, then by
/// directory, small ones first.
struct turn_key {
  transfer_class cls = transfer_class::normal;
  uint8_t size_class = 0;
  uint64_t age = 0; // minutes, inverted: newest lowest
  local_id directory = 0;
  uint64_t size = 0;
  content_id cid;
  auto operator<=>(const turn_key&) const = default;
  static turn_key of(const content_want& want);
};

/// The queue. Small ones (one chunk) and large ones apart, because only large ones take one of the open_contents_max places.
class picker_order {
public:
  using turns = std::map<turn_key, picker_content*>;
  void add(picker_content& content);
  void remove(picker_content& content);
  [[nodiscard]] const turns& small() const { return small_; }
  [[nodiscard]] const turns& large() const { return large_; }
  /// The next one to open: in order, but every fourth is the newest edit of its class, so that a new large file does not wait for
  /// all older small ones.
  picker_content* next_large();

private:
  turns small_, large_;
  std::map<std::pair<std::pair<transfer_class, uint64_t>, content_id>, picker_content*> newest_;
  uint64_t opened_ = 0;
};

} // namespace harp
