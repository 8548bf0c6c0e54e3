// Frames of the node link as bytes (storage.md 11): whole, cut everywhere, hostile.
#define CAF_SUITE peer_frame
#include "net/peer_frame.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp::net;

namespace {

using step = peer_frame_reader::step;

struct said {
  uint8_t type;
  uint8_t flags;
  std::string payload;
  bool operator==(const said&) const = default;
};

/// Everything that `bytes` says when it comes in pieces of `piece` bytes.
std::vector<said> read_all(std::string_view bytes, size_t piece, size_t max, bool* bad = nullptr) {
  std::vector<said> out;
  peer_frame_reader reader{max};
  peer_frame frame;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string_view input = bytes.substr(at, piece);
    step now = reader.next(input, frame);
    for (; now == step::frame; now = reader.next(input, frame))
      out.push_back({frame.type, frame.flags, std::string{frame.view()}});
    if (now == step::bad) {
      if (bad != nullptr)
        *bad = true;
      return out;
    }
  }
  return out;
}

} // namespace

CAF_TEST(head_is_six_bytes_big_endian) {
  auto head = encode_peer_head({0x01020304, 0x16, 0x02});
  CAF_CHECK_EQUAL(std::string(head.data(), head.size()), "\x01\x02\x03\x04\x16\x02");
  CAF_CHECK(decode_peer_head({head.data(), head.size()}) == (peer_frame_head{0x01020304, 0x16, 2}));
  CAF_CHECK(!decode_peer_head({head.data(), 5}));
  CAF_CHECK(!decode_peer_head(std::string(6, '\0')));
}

CAF_TEST(frames_survive_every_cut) {
  std::vector<said> wanted{
      {1, 0, "hello"}, {4, 1, ""}, {12, 255, std::string(300, 'x')}, {255, 2, "z"}};
  std::string bytes;
  for (const auto& each : wanted)
    bytes += encode_peer_frame(each.type, each.flags, each.payload);
  for (size_t piece = 1; piece <= bytes.size(); ++piece)
    CAF_CHECK(read_all(bytes, piece, 1024) == wanted);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    auto got = read_all(std::string_view{bytes}.substr(0, cut), 7, 1024);
    CAF_CHECK(got.size() < wanted.size());
    CAF_CHECK(std::equal(got.begin(), got.end(), wanted.begin()));
  }
}

CAF_TEST(longest_frame_passes_and_one_byte_more_does_not) {
  for (size_t max : {size_t{0}, size_t{1}, control_frame_bytes_max, data_frame_bytes_max}) {
    std::string payload(max, 'p');
    CAF_CHECK_EQUAL(read_all(encode_peer_frame(7, 0, payload), 4096, max).size(), 1u);
    bool bad = false;
    CAF_CHECK(read_all(encode_peer_frame(7, 0, payload + "p"), 4096, max, &bad).empty());
    CAF_CHECK(bad);
  }
}

CAF_TEST(nothing_is_read_behind_a_bad_frame) {
  std::string good = encode_peer_frame(1, 0, "good");
  bool bad = false;
  auto got = read_all(good + std::string(6, '\0') + good, 3, 64, &bad);
  CAF_CHECK_EQUAL(got.size(), 1u);
  CAF_CHECK(bad);
  peer_frame_reader reader{64};
  peer_frame frame;
  std::string zeros(6, '\0');
  std::string_view input = zeros;
  CAF_CHECK(reader.next(input, frame) == step::bad);
  input = good;
  CAF_CHECK(reader.next(input, frame) == step::bad);
}

CAF_TEST(claimed_length_costs_no_memory) {
  peer_frame_reader reader{data_frame_bytes_max};
  peer_frame frame;
  auto head = encode_peer_head({data_frame_bytes_max, 12, 0});
  std::string_view input{head.data(), head.size()};
  CAF_CHECK(reader.next(input, frame) == step::more);
  CAF_CHECK_EQUAL(frame.payload.capacity(), 0u);
  auto room = reader.room(frame, SIZE_MAX);
  CAF_CHECK_EQUAL(room.size(), peer_first_reserve_bytes);
  CAF_CHECK(reader.used(frame, 1) == step::more);
  CAF_CHECK_EQUAL(frame.payload.size(), 1u);
  CAF_CHECK(frame.payload.capacity() <= 2 * peer_first_reserve_bytes);
}

CAF_TEST(payload_filled_in_place_equals_payload_copied) {
  unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  peer_frame frame;
  for (unsigned round = 0; round < 50; ++round) {
    std::string payload(random() % 200'000, '\0');
    for (auto& each : payload)
      each = static_cast<char>(random());
    std::string bytes = encode_peer_frame(12, 0, payload);
    peer_frame_reader reader{data_frame_bytes_max};
    std::string_view input = std::string_view{bytes}.substr(0, peer_head_bytes);
    step now = reader.next(input, frame);
    size_t at = 0;
    while (now == step::more) {
      auto room = reader.room(frame, 1 + random() % 70'000);
      size_t part = room.size() == 0 ? 0 : random() % (room.size() + 1);
      std::copy_n(payload.data() + at, part, room.data());
      at += part;
      now = reader.used(frame, part);
    }
    CAF_CHECK(now == step::frame);
    CAF_CHECK(frame.view() == payload);
    CAF_CHECK(reader.at_start());
  }
}
