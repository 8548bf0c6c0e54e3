// The one binary notation of the storage plane (storage.md 3.2): little-endian integers, LEB128 lengths. No I/O.
#pragma once

#include "storage/types.hpp"

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace harp {

inline constexpr size_t varint_bytes_max = 10;
inline constexpr size_t stamp_bytes = 14;

/// Builds bytes. Never fails; the caller checks its own limits.
class byte_writer {
public:
  byte_writer() = default;
  /// Goes on behind what `start` holds, re-using its capacity.
  explicit byte_writer(std::string start) : out_(std::move(start)) {}

  void u8(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void u16(uint16_t value) { little(value); }
  void u32(uint32_t value) { little(value); }
  void u64(uint64_t value) { little(value); }
  void i64(int64_t value) { little(static_cast<uint64_t>(value)); }
  void flag(bool value) { u8(value ? 1 : 0); }

  /// LEB128, shortest form.
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      u8(static_cast<uint8_t>(value | 0x80));
    u8(static_cast<uint8_t>(value));
  }
  void raw(std::string_view bytes) { out_.append(bytes); }
  /// varint length, then the bytes.
  void blob(std::string_view bytes) {
    varint(bytes.size());
    raw(bytes);
  }
  template <size_t N, class Tag>
  void id(const opaque_id<N, Tag>& value) {
    raw(value.view());
  }
  /// rid u32, seq varint.
  void id(const dot& value) {
    u32(value.rid);
    varint(value.seq);
  }
  /// 14 bytes big-endian, so that byte order is stamp order (storage.md 2).
  void id(const stamp& value) {
    big(value.hlc);
    big(value.rid);
    big(value.idx);
  }
  /// Big-endian, for keys whose byte order must be their number's order.
  template <class Integer>
  void big(Integer value) {
    static_assert(std::is_unsigned_v<Integer>);
    for (size_t i = sizeof value; i-- > 0;)
      u8(static_cast<uint8_t>(value >> (8 * i)));
  }

  [[nodiscard]] size_t size() const { return out_.size(); }
  [[nodiscard]] const std::string& bytes() const { return out_; }
  [[nodiscard]] std::string take() { return std::move(out_); }

private:
  template <class Integer>
  void little(Integer value) {
    char bytes[sizeof value];
    for (size_t i = 0; i < sizeof value; ++i)
      bytes[i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
    out_.append(bytes, sizeof bytes);
  }

  std::string out_;
};

/// Reads bytes of anybody. Never throws, never allocates; the first fault sticks, and everything read after it is zero or
/// empty, so a decoder may check once at its end (but before it allocates by a count: use `count`). Views point into the
/// input.
class byte_reader {
public:
  explicit byte_reader(std::string_view bytes) : rest_(bytes) {}

  uint8_t u8() { return little<uint8_t>(); }
  uint16_t u16() { return little<uint16_t>(); }
  uint32_t u32() { return little<uint32_t>(); }
  uint64_t u64() { return little<uint64_t>(); }
  int64_t i64() { return static_cast<int64_t>(little<uint64_t>()); }
  /// One byte, 0 or 1; anything else is a fault.
  bool flag() {
    uint8_t value = u8();
    if (value > 1)
      fail();
    return value == 1;
  }

  /// LEB128; more than 64 bits and a form longer than needed are faults.
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      uint8_t byte = u8();
      uint64_t part = byte & 0x7fu;
      if (!ok_ || (shift == 63 && part > 1) || (byte == 0 && shift > 0))
        break;
      value |= part << shift;
      if ((byte & 0x80) == 0)
        return value;
    }
    fail();
    return 0;
  }
  /// A count of items of at least `item_bytes_min` bytes each: above `max`, or more than the rest can hold, is a fault.
  size_t count(size_t max, size_t item_bytes_min = 1) {
    uint64_t value = varint();
    if (value > max || (item_bytes_min > 0 && value > rest_.size() / item_bytes_min)) {
      fail();
      return 0;
    }
    return static_cast<size_t>(value);
  }
  /// Exactly `size` bytes.
  std::string_view raw(size_t size) {
    if (size > rest_.size()) {
      fail();
      return {};
    }
    auto out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  /// varint length up to `bytes_max`, then the bytes.
  std::string_view blob(size_t bytes_max) {
    uint64_t size = varint();
    if (size > bytes_max) {
      fail();
      return {};
    }
    return raw(static_cast<size_t>(size));
  }
  template <class Id>
  Id id() {
    Id out{};
    if constexpr (std::is_same_v<Id, dot>) {
      out.rid = u32();
      out.seq = varint();
    } else if constexpr (std::is_same_v<Id, stamp>) {
      out.hlc = big<uint64_t>();
      out.rid = big<uint32_t>();
      out.idx = big<uint16_t>();
    } else {
      auto bytes = raw(Id::size);
      if (ok_)
        std::memcpy(out.bytes.data(), bytes.data(), Id::size);
    }
    return ok_ ? out : Id{};
  }
  template <class Integer>
  Integer big() {
    Integer value = 0;
    for (char c : raw(sizeof value))
      value = static_cast<Integer>(value << 8 | static_cast<uint8_t>(c));
    return value;
  }
  /// Everything left.
  std::string_view rest() { return raw(rest_.size()); }

  /// Marks the input as faulty: for a decoder's own checks.
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  [[nodiscard]] size_t left() const { return rest_.size(); }
  [[nodiscard]] bool ok() const { return ok_; }
  /// No fault, and nothing left over.
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

private:
  template <class Integer>
  Integer little() {
    Integer value = 0;
    auto bytes = raw(sizeof value);
    for (size_t i = bytes.size(); i-- > 0;)
      value = static_cast<Integer>((sizeof value > 1 ? value << 8 : 0)
                                   | static_cast<uint8_t>(bytes[i]));
    return value;
  }

  std::string_view rest_;
  bool ok_ = true;
};

} // namespace harp
