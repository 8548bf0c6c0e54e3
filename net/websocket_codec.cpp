// Heads and masks of WebSocket frames (RFC 6455 5), without I/O.
#include "net/websocket_codec.hpp"

#include <cstring>

namespace harp::net {

namespace {

constexpr uint8_t fin_bit = 0x80;
constexpr uint8_t reserved_bits = 0x70;
constexpr uint8_t mask_bit = 0x80;
constexpr size_t short_length_max = 125;
constexpr size_t medium_length_max = 0xffff;

bool is_known(uint8_t code) {
  return code <= 2 || (code >= 8 && code <= 10);
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t out = 0;
  for (char each : bytes)
    out = out << 8 | static_cast<uint8_t>(each);
  return out;
}

} // namespace

ws_parse parse_ws_head(std::string_view bytes, ws_role reader, ws_head& out, size_t& used) {
  if (bytes.size() < 2)
    return ws_parse::more;
  auto first = static_cast<uint8_t>(bytes[0]);
  auto second = static_cast<uint8_t>(bytes[1]);
  out.fin = (first & fin_bit) != 0;
  out.masked = (second & mask_bit) != 0;
  out.opcode = static_cast<ws_opcode>(first & 0x0f);
  out.length = second & 0x7fu;
  bool bad = (first & reserved_bits) != 0 || !is_known(first & 0x0f)
             || out.masked != (reader == ws_role::server)
             || (is_control(out.opcode) && (!out.fin || out.length > ws_control_bytes_max));
  if (bad)
    return ws_parse::bad;
  size_t extra = out.length <= short_length_max ? 0 : out.length == 126 ? 2 : 8;
  used = 2 + extra + (out.masked ? 4 : 0);
  if (bytes.size() < used)
    return ws_parse::more;
  if (extra != 0) {
    out.length = big_endian(bytes.substr(2, extra));
    bool shortest = out.length > (extra == 2 ? short_length_max : medium_length_max);
    if (!shortest || out.length > static_cast<uint64_t>(INT64_MAX))
      return ws_parse::bad;
  }
  if (out.masked)
    std::memcpy(out.mask.data(), bytes.data() + 2 + extra, 4);
  return ws_parse::done;
}

size_t encode_ws_head(const ws_head& head, char* out) {
  size_t extra = head.length <= short_length_max ? 0 : head.length <= medium_length_max ? 2 : 8;
  uint64_t in_second = extra == 0 ? head.length : extra == 2 ? 126 : 127;
  out[0] = static_cast<char>((head.fin ? fin_bit : 0) | static_cast<uint8_t>(head.opcode));
  out[1] = static_cast<char>((head.masked ? mask_bit : 0) | in_second);
  for (size_t i = 0; i < extra; ++i)
    out[2 + i] = static_cast<char>(head.length >> 8 * (extra - 1 - i) & 0xff);
  if (head.masked)
    std::memcpy(out + 2 + extra, head.mask.data(), 4);
  return 2 + extra + (head.masked ? 4 : 0);
}

void apply_ws_mask(char* bytes, size_t size, const std::array<uint8_t, 4>& mask, size_t at) {
  std::array<char, 8> wide{};
  for (size_t i = 0; i < wide.size(); ++i)
    wide[i] = static_cast<char>(mask[(at + i) % 4]);
  uint64_t key = 0;
  std::memcpy(&key, wide.data(), sizeof key);
  size_t done = 0;
  for (; done + sizeof key <= size; done += sizeof key) {
    uint64_t block = 0;
    std::memcpy(&block, bytes + done, sizeof block);
    block ^= key;
    std::memcpy(bytes + done, &block, sizeof block);
  }
  for (; done < size; ++done)
    bytes[done] = static_cast<char>(bytes[done] ^ wide[done % 8]);
}

} // namespace harp::net
