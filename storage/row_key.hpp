// Keys of the database tables: big-endian so that byte order is numeric and time order (storage.md 8).
#pragma once

#include "storage/types.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace harp {

/// Builds one key in place, without allocation. Bytes beyond row_key_bytes_max are a programmer's mistake and are cut
/// (names are bounded before they come here).
class row_key {
public:
  static constexpr size_t row_key_bytes_max = 320;

  row_key& u8(uint8_t v) { return big_endian(v, 1); }
  row_key& u16(uint16_t v) { return big_endian(v, 2); }
  row_key& u32(uint32_t v) { return big_endian(v, 4); }
  row_key& u64(uint64_t v) { return big_endian(v, 8); }
  row_key& at(const stamp& s) { return u64(s.hlc).u32(s.rid).u16(s.idx); }
  row_key& bytes(std::string_view raw) {
    size_t take = std::min(raw.size(), row_key_bytes_max - size_);
    if (take != 0)
      std::memcpy(data_.data() + size_, raw.data(), take);
    size_ += take;
    return *this;
  }
  /// The key of a table that is keyed by lid alone (LMDB's INTEGERKEY: host byte order).
  static row_key lid(local_id id) {
    row_key out;
    std::memcpy(out.data_.data(), &id, sizeof id);
    out.size_ = sizeof id;
    return out;
  }

  [[nodiscard]] std::string_view view() const { return {data_.data(), size_}; }
  operator std::string_view() const { return view(); }

private:
  row_key& big_endian(uint64_t v, size_t width) {
    for (size_t i = 0; i < width; ++i)
      data_[size_ + i] = static_cast<char>(v >> (8 * (width - 1 - i)));
    size_ += width;
    return *this;
  }

  std::array<char, row_key_bytes_max> data_;
  size_t size_ = 0;
};

/// The big-endian number of `width` bytes at `offset` of a key; bytes behind its end count as zero.
inline uint64_t key_number(std::string_view key, size_t offset, size_t width) {
  uint64_t out = 0;
  for (size_t i = offset; i < offset + width; ++i)
    out = out << 8 | (i < key.size() ? static_cast<uint8_t>(key[i]) : 0u);
  return out;
}
/// The stamp of 14 bytes at `offset` of a key.
inline stamp key_stamp(std::string_view key, size_t offset) {
  return {key_number(key, offset, 8), static_cast<replica_id>(key_number(key, offset + 8, 4)),
          static_cast<uint16_t>(key_number(key, offset + 12, 2))};
}
/// The lid of a key made by row_key::lid; 0 when it has another length.
inline local_id key_lid(std::string_view key) {
  local_id out = 0;
  if (key.size() == sizeof out)
    std::memcpy(&out, key.data(), sizeof out);
  return out;
}

} // namespace harp
