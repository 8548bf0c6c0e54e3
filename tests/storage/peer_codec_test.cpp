#define CAF_SUITE peer_codec
#include "storage/digest.hpp"
#include "storage/op.hpp"
#include "storage/peer_codec.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;

namespace {

template <class Id>
Id filled(uint8_t with) {
  Id out;
  out.bytes.fill(with);
  return out;
}

/// One of each message, every field set.
std::vector<peer_message> every_message() {
  auto key = signing_key::from_seed(std::string(32, '\3'));
  auto space = filled<space_id>(0x11);
  auto cid = filled<content_id>(0x22);
  auto device = filled<device_key>(0x33);
  node_record node;
  node.counter = 5;
  node.addresses = {"a:1"};
  node.apps = {{"notes", 7}};
  return {hello_message{1, 1, "harp/1", filled<link_id>(1), 99, {{space, 4}}},
          hello_ack_message{1, 2, 3, {space}, 10, 20, 30, 40, "192.0.2.1:5"},
          roster_message{space, {"entry", "lease"}},
          head_message{space, true, {{1, 5}, {9, 700}}, 8, 3, {1, 4}, filled<digest256>(0x44)},
          want_ops_message{space, {{1, 2, 3}, {4, 5, 6}}, 1 << 20},
          ops_message{space, true, {"bundle", "another"}},
          nack_message{space, 3, 4, nack_code::quota},
          snapshot_request_message{space, 17},
          snapshot_part_message{space, 17, true, false, "checkpoint", "rows"},
          have_message{space, {{cid, true, {}}, {cid, false, {{2, "bits"}}}}},
          have_delta_message{space, {cid, {{1, 2}, {5, 6}}}},
          want_message{
              space, want_class::deadline, {{cid, {7, 8}}, {cid, {root_chunk_number, 1}}}, 250},
          data_message{cid, 7, 4096, true, "bytes of a chunk"},
          missing_message{{cid, {{1, 2}}}, missing_reason::denied},
          busy_message{300, want_class::history},
          cancel_message{{{cid, {{1, 2}}}}},
          safe_message{space, {{made_node_id({1, 2}, 3), {4, 5, 6}}}},
          punch_message{{"a:1", "b:2"}, filled<punch_token>(9), 1000},
          relay_message{device},
          ping_message{5},
          pong_message{5, 6, 7},
          bye_message{"stopping"},
          beat_message{signed_beat::make(space, {3, 9}, 10, key)},
          enrol_message{filled<enrol_secret>(8), device, "laptop"},
          enrol_ack_message{
              enrol_status::done, "", device, space, {{space, 3, device, {"entry"}}}, {"a:1"}},
          node_message{std::get<sealed_node_record>(seal_node_record(node, key))},
          open_message{"notes", 7, *ip_address::parse("192.0.2.9"), "request"},
          recheck_message{"notes", true}};
}

uint8_t number(const peer_message& m) {
  return static_cast<uint8_t>(type_of(m));
}

bool is_bad(uint8_t type, std::string_view payload) {
  auto decoded = decode_payload(type, payload);
  return std::holds_alternative<decode_fault>(decoded);
}

} // namespace

CAF_TEST(every_message_survives_the_round_trip) {
  auto all = every_message();
  CAF_REQUIRE_EQUAL(all.size(), std::variant_size_v<peer_message>);
  for (size_t i = 0; i < all.size(); ++i) {
    CAF_CHECK_EQUAL(all[i].index(), i);
    auto payload = encode_payload(all[i]);
    auto decoded = decode_payload(number(all[i]), payload);
    CAF_REQUIRE(std::holds_alternative<peer_message>(decoded));
    CAF_CHECK(std::get<peer_message>(decoded) == all[i]);
  }
}

CAF_TEST(bytes_and_numbers_do_not_drift) {
  std::string all;
  std::vector<int> numbers;
  for (const auto& m : every_message()) {
    numbers.push_back(number(m));
    all += encode_payload(m);
  }
  CAF_CHECK(numbers == (std::vector<int>{1,  2,  3,  4,  5,  6,  7,  8,  8,  9,  10, 11, 12, 13,
                                         14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 22, 23, 24, 25}));
  CAF_CHECK_EQUAL(chunk_id_of(all).to_string(),
                  "986361770d3d5df28a6ca85ededa91c7eab9ba87575528974e70d2769d531d4c");
}

CAF_TEST(every_cut_is_refused_and_nothing_may_follow) {
  for (const auto& m : every_message()) {
    auto payload = encode_payload(m);
    // Data ends with its bytes: shorter ones are another piece.
    size_t fixed = std::holds_alternative<data_message>(m) ? data_head_bytes : payload.size();
    for (size_t size = 0; size < fixed; ++size)
      CAF_CHECK(is_bad(number(m), std::string_view(payload).substr(0, size)));
    if (fixed == payload.size() && !std::holds_alternative<node_message>(m))
      CAF_CHECK(is_bad(number(m), payload + "x"));
  }
}

CAF_TEST(data_heads_are_written_without_their_bytes) {
  data_message m{filled<content_id>(1), 2, 3, true, "abc"};
  auto head = encode_data_head(m);
  CAF_CHECK_EQUAL(std::string(head.data(), head.size()) + "abc", encode_payload(m));
  std::string piece(data_piece_bytes_max, 'x');
  m.bytes = piece;
  auto payload = encode_payload(m);
  auto decoded = decode_payload(12, payload);
  CAF_REQUIRE(std::holds_alternative<peer_message>(decoded));
  auto bytes = std::get<data_message>(std::get<peer_message>(decoded)).bytes;
  CAF_CHECK(bytes.data() == payload.data() + data_head_bytes); // no copy
  CAF_CHECK_EQUAL(bytes.size(), piece.size());
}

CAF_TEST(unknown_types_are_told_apart_from_broken_ones) {
  auto decoded = decode_payload(26, "anything");
  CAF_REQUIRE(std::holds_alternative<decode_fault>(decoded));
  CAF_CHECK(std::get<decode_fault>(decoded).unknown_type);
  decoded = decode_payload(0, "");
  CAF_CHECK(std::get<decode_fault>(decoded).unknown_type);
  decoded = decode_payload(7, "");
  CAF_CHECK(!std::get<decode_fault>(decoded).unknown_type);
}

CAF_TEST(sizes_are_limited_by_kind) {
  CAF_CHECK_EQUAL(payload_bytes_max(message_type::head), 256u * 1024);
  CAF_CHECK_EQUAL(payload_bytes_max(message_type::data), (1u << 20) + 64);
  CAF_CHECK_EQUAL(payload_bytes_max(message_type::enrol, true), 1024u);
  roster_message large{filled<space_id>(1), std::vector<std::string>(70, std::string(4000, 'x'))};
  CAF_CHECK(is_bad(3, encode_payload(large)));
  ops_message largest{filled<space_id>(1), true, {std::string(1 << 20, 'x')}};
  CAF_CHECK(!is_bad(6, encode_payload(largest)));
}

CAF_TEST(counts_above_their_limits_are_refused) {
  auto space = filled<space_id>(1);
  auto cid = filled<content_id>(2);
  auto both = [&](auto message, auto&& list, size_t max) {
    auto& items = list(message);
    items.resize(max);
    bool fits = !is_bad(number(message), encode_payload(message));
    items.resize(max + 1);
    return fits && is_bad(number(message), encode_payload(message));
  };
  CAF_CHECK(both(
      want_ops_message{space, {}, 0}, [](auto& m) -> auto& { return m.ranges; }, want_ranges_max));
  CAF_CHECK(both(
      want_message{space, want_class::normal, {}, 0}, [](auto& m) -> auto& { return m.entries; },
      want_entries_max));
  CAF_CHECK(both(
      safe_message{space, {}}, [](auto& m) -> auto& { return m.versions; }, safe_entries_max));
  CAF_CHECK(both(
      hello_message{}, [](auto& m) -> auto& { return m.spaces; }, hello_spaces_max));
  CAF_CHECK(both(
      have_message{space, {}}, [](auto& m) -> auto& { return m.contents; }, have_entries_max));
  CAF_CHECK(both(
      have_delta_message{space, {cid, {}}}, [](auto& m) -> auto& { return m.gained.runs; },
      content_runs_max));
  CAF_CHECK(both(
      ops_message{space, false, {}}, [](auto& m) -> auto& { return m.bundles; }, ops_bundles_max));
  head_message head;
  for (replica_id rid = 1; rid <= head_replicas_max; ++rid)
    head.vv[rid] = 1;
  CAF_CHECK(!is_bad(4, encode_payload(head)));
  head.vv[0xffff'0000] = 1;
  CAF_CHECK(is_bad(4, encode_payload(head)));
}

CAF_TEST(a_count_without_its_items_allocates_nothing) {
  byte_writer lie;
  lie.id(filled<space_id>(1));
  lie.u8(0);
  lie.varint(ops_bundles_max);
  CAF_CHECK(is_bad(6, lie.bytes()));
}

CAF_TEST(enums_outside_their_range_are_refused) {
  for (uint8_t code : {0, 6, 255}) {
    auto payload = encode_payload(nack_message{filled<space_id>(1), 1, 1, nack_code::parse});
    payload.back() = static_cast<char>(code);
    CAF_CHECK(is_bad(7, payload));
  }
  CAF_CHECK(is_bad(19, std::string(1, '\2') + std::string(8, 'x')));
}

CAF_TEST(random_bytes_never_crash) {
  std::mt19937_64 random{5};
  size_t good = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto all = static_cast<uint8_t>(1 + random() % 25);
    std::string bytes(random() % 200, '\0');
    for (auto& c : bytes)
      c = static_cast<char>(random() % 4 == 0 ? random() : random() % 3);
    auto decoded = decode_payload(all, bytes);
    if (auto* message = std::get_if<peer_message>(&decoded)) {
      ++good;
      CAF_CHECK_EQUAL(number(*message), all);
      CAF_CHECK(encode_payload(*message) == bytes); // one form only
    }
  }
  CAF_CHECK(good > 0);
}
