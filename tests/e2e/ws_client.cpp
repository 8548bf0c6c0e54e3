// WebSocket frames (RFC 6455 5.2), as a client sends and reads them.
#include "tests/e2e/ws_client.hpp"

#include <openssl/sha.h>

#include <array>

namespace harp::e2e {

namespace {

constexpr std::string_view key = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr unsigned char close_opcode = 8;

std::string frame_head(size_t length) {
  std::string out{'\x81'};
  if (length < 126) {
    out += static_cast<char>(0x80 | length);
  } else if (length < 65536) {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(length >> 8);
    out += static_cast<char>(length & 0xff);
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8)
      out += static_cast<char>(length >> shift & 0xff);
  }
  return out;
}

} // namespace

std::string accept_for(const std::string& of) {
  std::string text = of + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> sum{};
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum.data());
  return base64({reinterpret_cast<const char*>(sum.data()), sum.size()});
}

ws_client::ws_client(const std::string& address, const std::string& target,
                     const header_list& headers)
    : client_(address) {
  header_list all{{"Connection", "Upgrade"},
                  {"Upgrade", "websocket"},
                  {"Sec-WebSocket-Version", "13"},
                  {"Sec-WebSocket-Key", std::string{key}}};
  all.insert(all.end(), headers.begin(), headers.end());
  if (!client_.open() || !client_.send(request_text("GET", target, all)))
    return;
  answer_ = client_.receive();
  open_ = answer_.status == 101
          && answer_.header("sec-websocket-accept") == accept_for(std::string{key});
}

bool ws_client::send_text(std::string_view text) {
  static constexpr std::array<char, 4> mask{'\x11', '\x22', '\x33', '\x44'};
  std::string frame = frame_head(text.size());
  frame.append(mask.data(), mask.size());
  for (size_t i = 0; i < text.size(); ++i)
    frame += static_cast<char>(text[i] ^ mask[i % mask.size()]);
  return client_.send(frame);
}

bool ws_client::have(size_t bytes, clock::time_point end) {
  while (client_.rest().size() < bytes) {
    auto left = std::chrono::duration_cast<milliseconds>(end - clock::now());
    how_ = client_.raw().receive(client_.rest(), std::max(left, 0ms));
    if (how_ != heard::data)
      return false;
  }
  return true;
}

std::optional<std::string> ws_client::receive(milliseconds limit) {
  auto end = clock::now() + limit;
  auto& in = client_.rest();
  std::string message; // of its frames so far
  for (;;) {
    if (!have(2, end))
      return std::nullopt;
    bool is_last = (static_cast<unsigned char>(in[0]) & 0x80) != 0;
    unsigned opcode = static_cast<unsigned char>(in[0]) & 15;
    uint64_t length = static_cast<unsigned char>(in[1]) & 127;
    size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (!have(2 + extra, end))
      return std::nullopt;
    if (extra > 0)
      length = 0;
    for (size_t i = 0; i < extra; ++i)
      length = length << 8 | static_cast<unsigned char>(in[2 + i]);
    if (!have(2 + extra + length, end))
      return std::nullopt;
    if (opcode < close_opcode)
      message.append(in, 2 + extra, length);
    in.erase(0, 2 + extra + length);
    if (opcode == close_opcode) {
      how_ = heard::end;
      return std::nullopt;
    }
    if (opcode < close_opcode && is_last)
      return message;
  }
}

bool ws_client::echoes(const std::string& text, milliseconds limit) {
  return send_text(text) && receive(limit) == text;
}

} // namespace harp::e2e
