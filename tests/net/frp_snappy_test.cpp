// Snappy chunks: vectors of frp.md 5, any cut, hostile chunks.
#define CAF_SUITE frp_snappy
#include "net/frp_snappy.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

namespace frp = harp::net::frp;

namespace {

const std::string identifier{"\xff\x06\x00\x00sNaPpY", 10};

std::string chunk(unsigned char type, std::string_view body) {
  std::string out(1, static_cast<char>(type));
  for (int shift = 0; shift < 24; shift += 8)
    out += static_cast<char>(body.size() >> shift);
  return out + std::string{body};
}

std::string checksum(std::string_view plain) {
  const uint32_t crc = frp::masked_crc32c(plain);
  std::string out;
  for (int shift = 0; shift < 32; shift += 8)
    out += static_cast<char>(crc >> shift);
  return out;
}

struct outcome {
  std::string plain;
  bool failed = false, clean = false;
};

outcome decode(std::string_view wire, size_t piece_max = SIZE_MAX) {
  frp::snappy_decoder decoder;
  outcome out;
  while (!decoder.failed()) {
    out.plain += decoder.plain();
    decoder.consume(decoder.plain().size());
    if (wire.empty())
      break;
    wire.remove_prefix(decoder.feed(wire.substr(0, piece_max)));
  }
  out.failed = decoder.failed();
  out.clean = decoder.between_chunks();
  return out;
}

} // namespace

CAF_TEST(computes_the_published_checksum) {
  CAF_CHECK_EQUAL(checksum("echo:hello"), "\xcd\xbf\x67\x09");
  CAF_CHECK_EQUAL(frp::masked_crc32c(""), 0xa282ead8u);
}

CAF_TEST(encodes_the_published_chunk) {
  frp::snappy_encoder encoder;
  std::string wire;
  encoder.append(wire, "echo:hello");
  CAF_CHECK_EQUAL(wire,
                  identifier + std::string("\x01\x0e\x00\x00\xcd\xbf\x67\x09", 8) + "echo:hello");
  CAF_CHECK_EQUAL(decode(wire).plain, "echo:hello");
}

CAF_TEST(round_trips_in_any_pieces) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  frp::snappy_encoder encoder;
  std::string sent, wire;
  for (size_t bytes : {1u, 65'536u, 100u, 65'535u, 0u, 3u}) {
    std::string part(bytes, 'x');
    if (bytes % 2 == 0)
      for (auto& c : part)
        c = static_cast<char>(random());
    sent += part;
    encoder.append(wire, part);
  }
  CAF_CHECK(wire.size() < sent.size());
  for (size_t piece : {1u, 7u, 4096u, 1u << 20}) {
    const auto got = decode(wire, piece);
    CAF_CHECK(!got.failed);
    CAF_CHECK(got.clean);
    CAF_CHECK(got.plain == sent);
  }
}

CAF_TEST(an_end_inside_a_chunk_is_not_clean) {
  frp::snappy_encoder encoder;
  std::string wire;
  encoder.append(wire, "echo:hello");
  for (size_t cut = 11; cut < wire.size(); ++cut) {
    const auto got = decode(std::string_view{wire}.substr(0, cut));
    CAF_CHECK(!got.failed && !got.clean);
    CAF_CHECK_EQUAL(got.plain, "");
  }
}

CAF_TEST(skips_padding_and_repeated_identifiers) {
  const std::string wire = identifier + chunk(0xfe, std::string(100'000, 'p')) + identifier
                           + chunk(0x80, "") + chunk(0x01, checksum("a") + "a");
  for (size_t piece : {1u, 5u, 1u << 20})
    CAF_CHECK_EQUAL(decode(wire, piece).plain, "a");
}

CAF_TEST(refuses_hostile_chunks) {
  const std::string good = chunk(0x01, checksum("a") + "a");
  CAF_CHECK(decode(good).failed); // no identifier first
  CAF_CHECK(decode(chunk(0x80, "x")).failed);
  CAF_CHECK(decode(identifier + chunk(0x02, "abcd")).failed);
  CAF_CHECK(decode(identifier + chunk(0x7f, "abcd")).failed);
  CAF_CHECK(decode(identifier + chunk(0x01, "abc")).failed);
  CAF_CHECK(decode(identifier + chunk(0x00, "abc")).failed);
  CAF_CHECK(decode(identifier + chunk(0xff, "sNaPpX")).failed);
  CAF_CHECK(decode(identifier + chunk(0xff, "sNaPpYY")).failed);
  CAF_CHECK(decode(identifier + chunk(0x01, checksum("b") + "a")).failed);
  CAF_CHECK(decode(identifier + chunk(0x00, checksum("a") + "\x01\x00\x61\x61")).failed);
  // a bomb: claims 4 GiB; one that claims just one byte too many
  CAF_CHECK(decode(identifier + chunk(0x00, "abcd\xff\xff\xff\xff\x0f\x00")).failed);
  CAF_CHECK(decode(identifier + chunk(0x00, "abcd\x81\x80\x04\x00")).failed);
  CAF_CHECK(decode(identifier + std::string("\x01\x05\x00\x01", 4)).failed); // 65,541 bytes of body
  CAF_CHECK(decode(identifier + std::string("\x00\xff\xff\xff", 4)).failed);
  CAF_CHECK(!decode(identifier + good).failed);
}

CAF_TEST(never_releases_unverified_bytes) {
  frp::snappy_encoder encoder;
  const std::string plain = std::string(300, 'z') + "end";
  std::string wire;
  encoder.append(wire, plain);
  size_t failures = 0;
  for (size_t at = 14; at < wire.size(); ++at) {
    std::string bad = wire;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    const auto got = decode(bad);
    failures += got.failed;
    CAF_CHECK(got.plain.empty()
              || got.plain == plain); // another copy offset may mean the same text
  }
  CAF_CHECK(failures > (wire.size() - 14) / 2);
}
