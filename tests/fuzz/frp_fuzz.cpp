// Fuzz target: frp's pure parts. The first byte chooses framing, bodies, snappy chunks or the cipher; the rest is hostile input.
#include "net/frp_codec.hpp"
#include "net/frp_crypto.hpp"
#include "net/frp_snappy.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

namespace frp = harp::net::frp;

void require(bool holds) {
  if (!holds)
    std::abort();
}

/// What was understood can be written and is understood again.
void read_body(frp::kind what, std::string_view body) {
  const auto first = frp::decode_body(what, body);
  if (!first.error.empty() || what == frp::kind::foreign)
    return;
  const std::string again = frp::encode_body(first.value);
  if (again.size() > frp::message_bytes_max)
    return; // escapes may grow a body beyond the limit
  const auto second = frp::decode_body(what, again);
  require(second.error.empty());
  require(frp::encode_body(second.value) == again);
}

void read_frames(std::string_view bytes) {
  while (bytes.size() >= frp::v1_header_bytes) {
    const auto header = frp::v1_read_header(bytes.substr(0, frp::v1_header_bytes));
    bytes.remove_prefix(frp::v1_header_bytes);
    if (!header.error.empty() || header.length > bytes.size())
      return;
    require(header.length <= frp::message_bytes_max);
    frp::v1_read_body(header, bytes.substr(0, header.length));
    bytes.remove_prefix(header.length);
  }
}

void unpack(std::string_view bytes, size_t piece) {
  frp::snappy_decoder decoder;
  while (!decoder.failed() && !(bytes.empty() && decoder.plain().empty())) {
    require(decoder.plain().size() <= frp::snappy_plain_bytes_max);
    decoder.consume(decoder.plain().size());
    bytes.remove_prefix(decoder.feed(bytes.substr(0, piece)));
  }
  if (decoder.failed())
    require(decoder.plain().empty());
}

void pack(std::string_view bytes) {
  const std::string_view plain = bytes.substr(0, frp::snappy_plain_bytes_max);
  frp::snappy_encoder encoder;
  std::string wire;
  encoder.append(wire, plain);
  frp::cfb_writer writer{frp::derive_key("t")};
  require(writer.seal(wire, 0));
  frp::cfb_reader reader{frp::derive_key("t")};
  const auto got = reader.read(wire.data(), wire.size());
  require(got >= 0);
  frp::snappy_decoder decoder;
  decoder.feed(std::string_view{wire}.substr(0, static_cast<size_t>(got)));
  require(!decoder.failed() && decoder.plain() == plain);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const uint8_t choice = data[0];
  const std::string_view rest{static_cast<const char*>(static_cast<const void*>(data + 1)),
                              size - 1};
  switch (choice % 4) {
  case 0:
    read_frames(rest);
    break;
  case 1:
    read_body(static_cast<frp::kind>(choice / 4 % 11), rest);
    break;
  case 2:
    unpack(rest, choice / 4 + size_t{1});
    break;
  default:
    pack(rest);
  }
  return 0;
}
