// Heads and masks of WebSocket frames (RFC 6455 5): bytes <-> structs, without I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace harp::net {

inline constexpr size_t ws_control_bytes_max = 125; // RFC 6455 5.5
inline constexpr size_t ws_head_bytes_max = 14;

/// Who masks: a client masks all it sends and takes no masked frame, a server the other way round.
enum class ws_role : uint8_t { client, server };

enum class ws_opcode : uint8_t { continuation, text, binary, close = 8, ping = 9, pong = 10 };

/// Close, ping, pong: short, whole, between the pieces of a message.
[[nodiscard]] constexpr bool is_control(ws_opcode code) {
  return static_cast<uint8_t>(code) >= 8;
}

struct ws_head {
  ws_opcode opcode = ws_opcode::binary;
  bool fin = true;
  bool masked = false;
  std::array<uint8_t, 4> mask{};
  uint64_t length = 0;
};

enum class ws_parse : uint8_t { more, done, bad };

/// Strict: no extension bits, known opcodes, shortest length form, control frames whole and short,
/// masked exactly when `reader` is the server. `used` is the size of the head when done.
ws_parse parse_ws_head(std::string_view bytes, ws_role reader, ws_head& out, size_t& used);
/// Into `out` (ws_head_bytes_max); returns the size.
size_t encode_ws_head(const ws_head& head, char* out);
/// XORs `bytes` with the mask, of which `at` bytes were used before.
void apply_ws_mask(char* bytes, size_t size, const std::array<uint8_t, 4>& mask, size_t at);

} // namespace harp::net
