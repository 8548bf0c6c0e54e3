// Frames of the node link: u32 length | u8 type | u8 flags | payload (storage.md 11). Bytes <->
// structs, without I/O; what a payload means is peer_codec's business.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace harp::net {

inline constexpr size_t peer_head_bytes = 6;
inline constexpr size_t control_frame_bytes_max = 256 * 1024;   // payload
inline constexpr size_t data_frame_bytes_max = (1u << 20) + 64; // payload
inline constexpr size_t enrol_frame_bytes_max = 1024;           // payload of a joiner's only frame
inline constexpr size_t peer_first_reserve_bytes = 64 * 1024;   // memory given for a mere claim

/// Bits of `flags`. Unknown bits are kept and mean nothing.
namespace peer_flag {
inline constexpr uint8_t optional = 1; // who does not know the type ignores the frame
inline constexpr uint8_t answer = 2; // the second of a pair under one number: SnapshotReq/Snapshot,
                                     // Ping/Pong, Enrol/EnrolAck
} // namespace peer_flag

/// Bytes that are overwritten at once: growing neither clears nor visits them. A vector does, with whatever allocator: one
/// cycle per byte with g++ 12, a tenth of what receiving costs.
class frame_bytes {
public:
  frame_bytes() = default;
  frame_bytes(frame_bytes&&) noexcept = default;
  frame_bytes& operator=(frame_bytes&&) noexcept = default;
  frame_bytes(const frame_bytes& other) { append(other.data(), other.size()); }
  frame_bytes& operator=(const frame_bytes& other) {
    if (this != &other) {
      clear();
      append(other.data(), other.size());
    }
    return *this;
  }
  [[nodiscard]] char* data() { return bytes_.get(); }
  [[nodiscard]] const char* data() const { return bytes_.get(); }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] const char* begin() const { return data(); }
  [[nodiscard]] const char* end() const { return data() + size_; }
  void clear() { size_ = 0; }
  /// New bytes have any value.
  void resize(size_t size);

private:
  void append(const char* from, size_t size);

  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

struct peer_frame_head {
  uint32_t length = 0; // of the payload, big-endian on the wire
  uint8_t type = 0;    // never 0
  uint8_t flags = 0;
  bool operator==(const peer_frame_head&) const = default;
};

/// One frame as received. Reuse the object: its memory is kept.
struct peer_frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  frame_bytes payload;
  [[nodiscard]] std::string_view view() const { return {payload.data(), payload.size()}; }
  [[nodiscard]] bool is_optional() const { return (flags & peer_flag::optional) != 0; }
  [[nodiscard]] bool is_answer() const { return (flags & peer_flag::answer) != 0; }
};

std::array<char, peer_head_bytes> encode_peer_head(const peer_frame_head& head);
/// Nothing when there are fewer than 6 bytes or the type is 0.
std::optional<peer_frame_head> decode_peer_head(std::string_view bytes);
/// A whole frame, for queues and tests.
std::string encode_peer_frame(uint8_t type, uint8_t flags, std::string_view payload);

/// Cuts a byte stream into frames, however it arrives. Memory follows the bytes that came, not the
/// length that was claimed.
class peer_frame_reader {
public:
  explicit peer_frame_reader(size_t payload_bytes_max) : max_(payload_bytes_max) {}

  enum class step : uint8_t {
    more,  // the input is used up
    frame, // `into` is complete
    bad,   // type 0 or too long: nothing behind it can be understood
  };
  /// Takes what it can from the front of `input`. Give the same `into` until it is complete.
  step next(std::string_view& input, peer_frame& into);

  /// For readers that fill the payload themselves, once in_payload(): room for its next bytes, at
  /// most `bytes_max`, and then how much of it was used. `frame` when that completes it.
  [[nodiscard]] bool in_payload() const { return have_head_; }
  std::span<char> room(peer_frame& into, size_t bytes_max);
  step used(peer_frame& into, size_t bytes);
  /// True between frames: an end of the stream here cuts nothing off.
  [[nodiscard]] bool at_start() const { return !have_head_ && held_ == 0; }

private:
  step take_head(std::string_view& input, peer_frame& into);

  size_t max_;
  size_t left_ = 0; // payload bytes still to come
  size_t room_ = 0; // given by room(), not yet used
  bool have_head_ = false;
  bool bad_ = false;
  uint8_t held_ = 0;
  std::array<char, peer_head_bytes> partial_{};
};

} // namespace harp::net
