// Fuzz target: payloads of node links; the first byte is the type. Every message has one form only.
#include "storage/peer_codec.hpp"

#include <cstdint>
#include <cstdlib>

using namespace harp;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  std::string_view payload{reinterpret_cast<const char*>(data) + 1, size - 1};
  auto decoded = decode_payload(data[0], payload);
  auto* message = std::get_if<peer_message>(&decoded);
  if (message == nullptr)
    return 0;
  if (static_cast<uint8_t>(type_of(*message)) != data[0] || encode_payload(*message) != payload)
    std::abort();
  // Nobody here has the key of a device that is all zeros.
  if (const auto* beat = std::get_if<beat_message>(message);
      beat != nullptr && beat->beat.verify(device_key{}))
    std::abort();
  return 0;
}
