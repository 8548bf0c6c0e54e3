// Payloads of node link frames (storage.md 11). The frame around them (length, type, flags) is net's. No I/O.
#pragma once

#include "storage/peer_messages.hpp"

#include <array>
#include <string>
#include <string_view>
#include <variant>

namespace harp {

/// What is written in the frame's type field.
message_type type_of(const peer_message& message);

/// The payload. The caller keeps the limits of peer_messages.hpp; bytes that break one are refused by every decoder.
std::string encode_payload(const peer_message& message);

/// The fixed part of a Data payload; its bytes follow. Saves the sender from copying them.
std::array<char, data_head_bytes> encode_data_head(const data_message& message);

/// Why a payload is not a message.
struct decode_fault {
  bool unknown_type = false; // ignore the frame when its flag says optional, else close
  std::string text;
};

/// Decodes one payload, which must stay alive as long as a Data message made from it. Every count is checked before it
/// allocates; nothing recurses. Signatures are not verified here.
std::variant<peer_message, decode_fault> decode_payload(uint8_t type, std::string_view payload);

/// The greatest payload of a type: 256 KiB for control, 1 MiB + 64 for data, 1 KiB for Enrol as it comes before trust.
size_t payload_bytes_max(message_type type, bool before_trust = false);

} // namespace harp
