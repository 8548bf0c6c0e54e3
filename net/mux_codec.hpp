// Frames of the mux: bytes <-> structs, without I/O (frp.md 1.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace harp::net {

inline constexpr size_t mux_header_bytes = 12;
inline constexpr uint32_t mux_initial_window_bytes
    = 256 * 1024; // both directions, fixed by the protocol

enum class mux_type : uint8_t { data, window_update, ping, go_away };

/// Bits of mux_header::flags; unknown bits are kept and mean nothing.
namespace mux_flag {
inline constexpr uint16_t syn = 1;
inline constexpr uint16_t ack = 2;
inline constexpr uint16_t fin = 4;
inline constexpr uint16_t rst = 8;
} // namespace mux_flag

/// `length` of a go_away frame.
namespace mux_go_away {
inline constexpr uint32_t normal = 0; // no further streams from us; the live ones go on
inline constexpr uint32_t protocol_error = 1;
} // namespace mux_go_away

/// A frame without its payload.
struct mux_header {
  mux_type type = mux_type::data;
  uint16_t flags = 0;
  uint32_t stream = 0; // 0 for ping and go_away
  uint32_t length = 0; // data: payload bytes; window_update: credit; ping: opaque; go_away: code
  [[nodiscard]] bool has(uint16_t flag) const { return (flags & flag) != 0; }
  bool operator==(const mux_header&) const = default;
};

/// The 12 bytes of a header, big-endian, version 0.
std::array<char, mux_header_bytes> encode_mux_header(const mux_header& header);

/// Nothing when there are fewer than 12 bytes, the version is not 0 or the type is unknown: the
/// last two end a session.
std::optional<mux_header> decode_mux_header(std::string_view bytes);

/// Cuts a byte stream into headers and pieces of payload. Holds at most one header; never
/// allocates.
class mux_reader {
public:
  enum class step : uint8_t {
    more,    // the input is used up
    header,  // header() is new
    payload, // payload() is the next piece of header()'s payload, a view into the input
    bad,     // the input is not this protocol: nothing behind it can be understood
  };
  /// Takes one step and removes what it used from the front of `input`.
  step next(std::string_view& input);
  [[nodiscard]] const mux_header& header() const { return header_; }
  [[nodiscard]] std::string_view payload() const { return payload_; }
  /// Payload bytes of header() that payload() has not shown yet.
  [[nodiscard]] uint32_t remaining() const { return remaining_; }

private:
  step start_frame(std::string_view bytes);

  mux_header header_;
  std::string_view payload_;
  uint32_t remaining_ = 0;
  uint8_t held_ = 0; // bytes in partial_
  bool bad_ = false;
  std::array<char, mux_header_bytes> partial_{};
};

} // namespace harp::net
