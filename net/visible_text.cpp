#include "net/visible_text.hpp"

#include <cstdint>
#include <cstdio>

namespace harp::net {

namespace {

struct code_point {
  uint32_t value = 0;
  size_t bytes = 0; // 0: not UTF-8
};

/// The character at the front of `text` (RFC 3629: shortest forms only, no surrogates, at most
/// U+10FFFF).
code_point decode(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  uint32_t first = byte(0);
  if (first < 0x80)
    return {first, 1};
  size_t bytes = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (first > 0xf4 || bytes == 0 || text.size() < bytes)
    return {};
  uint32_t value = first & (0xffu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return {};
    value = (value << 6) | (byte(i) & 0x3f);
  }
  bool too_long = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
  bool surrogate = value >= 0xd800 && value <= 0xdfff;
  return too_long || surrogate || value > 0x10ffff ? code_point{} : code_point{value, bytes};
}

bool is_harmful(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f)           // C0, DEL, C1
         || c == 0xad || c == 0x61c                     // soft hyphen, Arabic letter mark
         || (c >= 0x200b && c <= 0x200f)                // zero width, LRM, RLM
         || (c >= 0x2028 && c <= 0x202e)                // line ends, embeddings and overrides
         || (c >= 0x2060 && c <= 0x206f)                // joiners, isolates
         || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) // byte order mark, interlinear marks
         || (c >= 0xe0000 && c <= 0xe007f);             // tags
}

void append_escape(std::string& out, uint32_t c) {
  char text[16];
  if (c > 0xffff) {
    uint32_t rest = c - 0x10000;
    std::snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                  0xdc00 + (rest & 0x3ff));
  } else {
    std::snprintf(text, sizeof text, "\\u%04x", c);
  }
  out += text;
}

void append_byte(std::string& out, std::string_view lead, char byte) {
  char text[4];
  std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  out += lead;
  out += text;
}

bool is_plain(char c) {
  return c >= 0x20 && c < 0x7f;
}

} // namespace

void append_visible(std::string& out, std::string_view text) {
  while (!text.empty()) {
    auto c = decode(text);
    if (c.bytes == 0)
      append_byte(out, "\\x", text.front());
    else if (c.bytes == 1 && !is_plain(text.front()))
      append_byte(out, "\\x", text.front());
    else if (is_harmful(c.value))
      append_escape(out, c.value);
    else
      out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes == 0 ? 1 : c.bytes);
  }
}

void append_json_text(std::string& out, std::string_view text) {
  while (!text.empty()) {
    auto c = decode(text);
    if (c.bytes == 0)
      append_byte(out, "\\\\x", text.front());
    else if (c.value == '"' || c.value == '\\')
      (out += '\\') += text.front();
    else if (is_harmful(c.value))
      append_escape(out, c.value);
    else
      out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes == 0 ? 1 : c.bytes);
  }
}

} // namespace harp::net
