// Headers and frames of the mux; vectors are frp.md 10.
#define CAF_SUITE mux_codec
#include "net/mux_codec.hpp"

#include <caf/test/unit_test.hpp>

#include <iostream>
#include <random>
#include <string>
#include <vector>

using namespace harp::net;

namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
  return bytes;
}

std::string encoded(const mux_header& header) {
  auto bytes = encode_mux_header(header);
  return {bytes.data(), bytes.size()};
}

struct vector_row {
  std::string_view hex;
  mux_header header;
};

const std::vector<vector_row> vectors = {
    {"0001000100000001005c0000", {mux_type::window_update, mux_flag::syn, 1, 6'029'312}},
    {"0000000000000001000000be", {mux_type::data, 0, 1, 190}},
    {"0001000200000001005c0000", {mux_type::window_update, mux_flag::ack, 1, 6'029'312}},
    {"000100040000000300000000", {mux_type::window_update, mux_flag::fin, 3, 0}},
    {"000200010000000000000000", {mux_type::ping, mux_flag::syn, 0, 0}},
    {"000200020000000000000000", {mux_type::ping, mux_flag::ack, 0, 0}},
    {"000300000000000000000001", {mux_type::go_away, 0, 0, mux_go_away::protocol_error}},
    {"0000ffffffffffffffffffff", {mux_type::data, 0xffff, 0xffffffff, 0xffffffff}},
};

/// What a reader says of some bytes, as text.
struct observer {
  mux_reader reader;
  std::string payload;
  std::vector<mux_header> headers;
  bool bad = false;
  void feed(std::string_view bytes) {
    for (;;) {
      auto step = reader.next(bytes);
      if (step == mux_reader::step::more)
        return;
      if (step == mux_reader::step::header)
        headers.push_back(reader.header());
      if (step == mux_reader::step::payload)
        payload += reader.payload();
      if (step == mux_reader::step::bad) {
        bad = true;
        return;
      }
    }
  }
};

} // namespace

CAF_TEST(headers_match_the_vectors_in_both_directions) {
  for (const auto& row : vectors) {
    CAF_CHECK_EQUAL(encoded(row.header), from_hex(row.hex));
    auto decoded = decode_mux_header(from_hex(row.hex));
    CAF_REQUIRE(decoded.has_value());
    CAF_CHECK(*decoded == row.header);
  }
}

CAF_TEST(any_header_survives_a_round_trip) {
  auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random{seed};
  for (int i = 0; i < 10'000; ++i) {
    mux_header header{static_cast<mux_type>(random() % 4), static_cast<uint16_t>(random()),
                      static_cast<uint32_t>(random()), static_cast<uint32_t>(random())};
    auto decoded = decode_mux_header(encoded(header));
    CAF_REQUIRE(decoded.has_value());
    CAF_REQUIRE(*decoded == header);
  }
}

CAF_TEST(short_header_is_nothing) {
  auto bytes = from_hex(vectors[0].hex);
  for (size_t length = 0; length < bytes.size(); ++length)
    CAF_CHECK(!decode_mux_header(bytes.substr(0, length)));
}

CAF_TEST(other_version_or_type_is_refused) {
  for (int version = 0; version < 256; ++version)
    for (int type = 0; type < 256; ++type) {
      auto bytes = from_hex(vectors[0].hex);
      bytes[0] = static_cast<char>(version);
      bytes[1] = static_cast<char>(type);
      CAF_REQUIRE_EQUAL(decode_mux_header(bytes).has_value(), version == 0 && type <= 3);
    }
}

CAF_TEST(reader_gives_the_same_for_every_cut) {
  std::string bytes = from_hex("0001000100000001005c0000") + from_hex("000000040000000100000005")
                      + "hello" + from_hex("000000000000000300000000")
                      + from_hex("000200010000000000000007");
  observer whole;
  whole.feed(bytes);
  CAF_CHECK_EQUAL(whole.headers.size(), 4u);
  CAF_CHECK_EQUAL(whole.payload, "hello");
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    observer parts;
    parts.feed(std::string_view{bytes}.substr(0, cut));
    parts.feed(std::string_view{bytes}.substr(cut));
    CAF_CHECK(parts.headers == whole.headers);
    CAF_CHECK_EQUAL(parts.payload, whole.payload);
  }
  observer single;
  for (char each : bytes)
    single.feed({&each, 1});
  CAF_CHECK(single.headers == whole.headers);
  CAF_CHECK_EQUAL(single.payload, whole.payload);
}

CAF_TEST(cut_frame_is_not_reported_as_complete) {
  std::string bytes = from_hex("000000000000000100000005") + "hello";
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    observer part;
    part.feed(std::string_view{bytes}.substr(0, cut));
    CAF_CHECK_EQUAL(part.headers.size(), cut >= mux_header_bytes ? 1u : 0u);
    CAF_CHECK(part.payload.size() < 5);
    CAF_CHECK_EQUAL(part.reader.remaining(), cut >= mux_header_bytes ? bytes.size() - cut : 0u);
  }
}

CAF_TEST(reader_stays_bad) {
  observer hostile;
  hostile.feed(from_hex("010000000000000100000005"));
  CAF_CHECK(hostile.bad);
  hostile.bad = false;
  hostile.feed(from_hex("000200010000000000000007"));
  CAF_CHECK(hostile.bad);
  CAF_CHECK(hostile.headers.empty());
}

CAF_TEST(only_data_has_payload) {
  observer seen;
  seen.feed(from_hex("00010000000000010000ffff") + from_hex("00020001000000000000ffff")
            + from_hex("00030000000000000000ffff"));
  CAF_CHECK_EQUAL(seen.headers.size(), 3u);
  CAF_CHECK(seen.payload.empty());
}
