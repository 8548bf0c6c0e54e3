#include "storage/picker_order.hpp"

#include <array>

namespace harp {

namespace {

constexpr std::array<uint64_t, 4> size_classes{256ull << 10, 4ull << 20, 64ull << 20, 1ull << 30};
constexpr uint64_t newest_every = 4;

} // namespace

turn_key turn_key::of(const content_want& want) {
  uint8_t size_class = 0;
  for (auto limit : size_classes)
    size_class = static_cast<uint8_t>(size_class + (want.size > limit ? 1 : 0));
  const uint64_t minutes = (want.edited_hlc >> 16) / 60'000; // the upper 48 bits are milliseconds
  return {want.cls, size_class, UINT64_MAX - minutes, want.directory, want.size, want.cid};
}

void picker_order::add(picker_content& content) {
  const auto key = turn_key::of(content.wanted());
  if (content.is_small()) {
    small_.emplace(key, &content);
  } else {
    large_.emplace(key, &content);
    newest_[{{key.cls, UINT64_MAX - content.wanted().edited_hlc}, key.cid}] = &content;
  }
  content.is_queued = true;
}

void picker_order::remove(picker_content& content) {
  const auto key = turn_key::of(content.wanted());
  small_.erase(key);
  if (large_.erase(key) != 0)
    newest_.erase({{key.cls, UINT64_MAX - content.wanted().edited_hlc}, key.cid});
  content.is_queued = false;
}

picker_content* picker_order::next_large() {
  if (large_.empty())
    return nullptr;
  return ++opened_ % newest_every == 0 ? newest_.begin()->second : large_.begin()->second;
}

} // namespace harp
