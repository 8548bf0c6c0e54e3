// Frames of the mux: bytes <-> structs, without I/O.
#include "net/mux_codec.hpp"

#include <algorithm>
#include <cstring>

namespace harp::net {

namespace {

void put_u32(char* to, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    *to++ = static_cast<char>(static_cast<unsigned char>(value >> shift));
}

uint32_t get_u8(const char* from) {
  return static_cast<unsigned char>(*from);
}

uint32_t get_u32(const char* from) {
  return get_u8(from) << 24 | get_u8(from + 1) << 16 | get_u8(from + 2) << 8 | get_u8(from + 3);
}

} // namespace

std::array<char, mux_header_bytes> encode_mux_header(const mux_header& header) {
  std::array<char, mux_header_bytes> bytes;
  put_u32(bytes.data(), static_cast<uint32_t>(header.type) << 16 | header.flags);
  put_u32(bytes.data() + 4, header.stream);
  put_u32(bytes.data() + 8, header.length);
  return bytes;
}

std::optional<mux_header> decode_mux_header(std::string_view bytes) {
  if (bytes.size() < mux_header_bytes)
    return {};
  uint32_t first = get_u32(bytes.data());
  uint32_t version_and_type = first >> 16;
  if (version_and_type > static_cast<uint32_t>(mux_type::go_away))
    return {};
  mux_header header;
  header.type = static_cast<mux_type>(version_and_type);
  header.flags = static_cast<uint16_t>(first);
  header.stream = get_u32(bytes.data() + 4);
  header.length = get_u32(bytes.data() + 8);
  return header;
}

mux_reader::step mux_reader::start_frame(std::string_view bytes) {
  auto decoded = decode_mux_header(bytes);
  if (!decoded) {
    bad_ = true;
    return step::bad;
  }
  header_ = *decoded;
  remaining_ = header_.type == mux_type::data ? header_.length : 0;
  return step::header;
}

mux_reader::step mux_reader::next(std::string_view& input) {
  if (bad_)
    return step::bad;
  if (input.empty())
    return step::more;
  if (remaining_ > 0) {
    payload_ = input.substr(0, remaining_);
    input.remove_prefix(payload_.size());
    remaining_ -= static_cast<uint32_t>(payload_.size());
    return step::payload;
  }
  if (held_ == 0 && input.size() >= mux_header_bytes) {
    auto bytes = input.substr(0, mux_header_bytes);
    input.remove_prefix(mux_header_bytes);
    return start_frame(bytes);
  }
  size_t taken = std::min(input.size(), mux_header_bytes - held_);
  std::memcpy(partial_.data() + held_, input.data(), taken);
  held_ = static_cast<uint8_t>(held_ + taken);
  input.remove_prefix(taken);
  if (held_ < mux_header_bytes)
    return step::more;
  held_ = 0;
  return start_frame({partial_.data(), partial_.size()});
}

} // namespace harp::net
