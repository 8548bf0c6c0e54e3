#define CAF_SUITE node_record
#include "storage/beat.hpp"
#include "storage/digest.hpp"
#include "storage/node_record.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

signing_key key() {
  return signing_key::from_seed(std::string(32, '\2'));
}

node_record record() {
  node_record out;
  out.counter = 77;
  out.addresses = {"192.0.2.1:8784", "[2001:db8::1]:8784"};
  out.apps = {{"notes", 23001}, {"talk", 23002}};
  return out;
}

sealed_node_record sealed() {
  return std::get<sealed_node_record>(seal_node_record(record(), key()));
}

bool is_refused(const node_record& r) {
  return std::holds_alternative<std::string>(seal_node_record(r, key()));
}

} // namespace

CAF_TEST(node_records_round_trip_and_do_not_drift) {
  auto one = sealed();
  CAF_CHECK(one.record.device == key().public_key());
  auto decoded = decode_node_record(one.raw);
  CAF_REQUIRE(std::holds_alternative<sealed_node_record>(decoded));
  CAF_CHECK(std::get<sealed_node_record>(decoded) == one);
  CAF_CHECK(one.record.apps == record().apps);
  CAF_CHECK_EQUAL(chunk_id_of(one.raw).to_string(), "8aa008fe6c89b6d3daabe7ed0a937027c01b6fc2c8eff5f7013501fa46250755");
}

CAF_TEST(node_records_are_signed_by_the_device_they_name) {
  auto one = sealed();
  CAF_CHECK(one.verify());
  for (size_t i = 0; i < one.raw.size(); ++i) {
    auto changed = one.raw;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    auto decoded = decode_node_record(changed);
    if (auto* other = std::get_if<sealed_node_record>(&decoded))
      CAF_CHECK(!other->verify());
  }
  for (size_t size = 0; size < one.raw.size(); ++size) {
    auto decoded = decode_node_record(one.raw.substr(0, size));
    if (auto* other = std::get_if<sealed_node_record>(&decoded))
      CAF_CHECK(!other->verify());
  }
}

CAF_TEST(node_record_limits_hold) {
  auto r = record();
  r.addresses.assign(node_addresses_max, "a:1");
  r.apps.assign(node_apps_max, {std::string(node_app_id_bytes_max, 'a'), 1});
  CAF_CHECK(!is_refused(r));
  r.addresses.emplace_back("a:1");
  CAF_CHECK(is_refused(r));
  r = record();
  r.apps.assign(node_apps_max + 1, {"a", 1});
  CAF_CHECK(is_refused(r));
  r = record();
  r.apps[0].id = std::string(node_app_id_bytes_max + 1, 'a');
  CAF_CHECK(is_refused(r));
  r.apps[0].id.clear();
  CAF_CHECK(is_refused(r));
  CAF_CHECK(std::holds_alternative<std::string>(
      decode_node_record(std::string(node_record_bytes_max + 1, '\1'))));
}

CAF_TEST(beats_are_signed_for_their_space_and_numbers) {
  space_id space;
  space.bytes.fill(0x11);
  auto beat = signed_beat::make(space, {3, 9}, 1234, key());
  CAF_CHECK(beat.verify(key().public_key()));
  byte_writer out;
  beat.encode(out);
  CAF_CHECK_EQUAL(out.size(), signed_beat::wire_bytes);
  CAF_CHECK_EQUAL(chunk_id_of(out.bytes()).to_string(), "9884b73be0db1a4809f31ae68f0bac72a3ec86a4e94a25f6899050d4cd93f1cc");
  byte_reader in{out.bytes()};
  CAF_CHECK(signed_beat::decode(in) == beat);
  CAF_CHECK(in.done());
  auto other = beat;
  other.seq++;
  CAF_CHECK(!other.verify(key().public_key()));
  other = beat;
  other.hlc++;
  CAF_CHECK(!other.verify(key().public_key()));
  other = beat;
  other.space = {};
  CAF_CHECK(!other.verify(key().public_key()));
  for (size_t size = 0; size < out.size(); ++size) {
    byte_reader cut{std::string_view(out.bytes()).substr(0, size)};
    signed_beat::decode(cut);
    CAF_CHECK(!cut.ok());
  }
}
