// Lexical rules of HTTP fields: tokens, lists, control bytes, and the names Harp knows. Used by the
// HTTP codec only.
#pragma once

#include "net/http_codec.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace harp::net {

/// For every byte its lower-case form when it may stand in a token (RFC 9110 5.6.2), else 0.
constexpr std::array<char, 256> make_token_lower() {
  std::array<char, 256> table{};
  for (char c : std::string_view{"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"})
    table[static_cast<unsigned char>(c)] = c;
  for (char c = 'A'; c <= 'Z'; ++c)
    table[static_cast<unsigned char>(c)] = static_cast<char>(c - 'A' + 'a');
  return table;
}
inline constexpr std::array<char, 256> token_lower = make_token_lower();

/// A byte that no field value may hold: below blank but HTAB, and DEL. Bytes from 0x80 (obs-text)
/// pass.
constexpr bool is_control(char c) {
  auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

/// The first control byte (see is_control) in [at, end); `end` when there is none.
inline char* find_control(char* at, const char* end) {
  constexpr uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  while (at != end) {
    if (end - at >= 8) { // eight bytes at a time while no byte is below 0x20 or equal to 0x7f
      uint64_t word = 0;
      std::memcpy(&word, at, 8);
      uint64_t del = word ^ (0x7f * ones);
      uint64_t low = (word - 0x20 * ones) & ~word;
      uint64_t is_del = (del - ones) & ~del;
      if (((low | is_del) & highs) == 0) {
        at += 8;
        continue;
      }
    }
    if (is_control(*at))
      return at;
    ++at;
  }
  return at;
}

/// ASCII only.
bool equal_ignoring_case(std::string_view a, std::string_view b);
/// Not empty and of token bytes only.
bool is_token(std::string_view text);
/// Takes the next element of a comma-separated list off `rest`, without blanks around it; may be
/// empty.
std::string_view next_token(std::string_view& rest);
/// The id of a lower-case name.
field_id field_id_of(std::string_view lower_name);
/// True when the name equals a known one but for `_` in place of `-`.
bool is_twin_of_known(std::string_view lower_name);

} // namespace harp::net
