#define CAF_SUITE row_codec
#include "storage/row_codec.hpp"
#include "tests/storage/random_rows.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint64_t seed = 20261123;

/// Round trip, and no shorter or longer text is taken for a row.
template <class Row, class Decode>
void check_codec(const Row& row, Decode decode, bool cuts_are_rows = false) {
  auto bytes = encode(row);
  auto again = decode(bytes);
  CAF_REQUIRE(again);
  CAF_REQUIRE(*again == row);
  for (size_t size = 0; size < bytes.size(); ++size) {
    auto cut = decode(std::string_view(bytes).substr(0, size));
    CAF_CHECK(!cut || (cuts_are_rows && *cut != row));
  }
  auto longer = decode(bytes + std::string(1, '\0'));
  CAF_CHECK(!longer);
}

} // namespace

CAF_TEST(every_row_survives_its_bytes_and_no_cut_of_them_is_a_row) {
  CAF_MESSAGE("seed " << seed);
  row_maker make(seed);
  for (int i = 0; i < 300; ++i) {
    check_codec(make.node(), [](std::string_view b) { return decode_node(b); });
    auto event = make.event();
    check_codec(event, [&](std::string_view b) { return decode_event(event.at, b); });
    // Without its last field, the base, a version is a version without one.
    auto version = make.version();
    check_codec(
        version, [&](std::string_view b) { return decode_version(version.at, b); }, true);
    auto move = make.dir_move();
    check_codec(move, [&](std::string_view b) { return decode_dir_move(move.at, b); });
    check_codec(make.replica(), [](std::string_view b) { return decode_replica(b); });
    auto notice = make.notice();
    check_codec(notice, [&](std::string_view b) { return decode_notice(notice.hlc, b); });
  }
}

CAF_TEST(random_bytes_never_break_a_decoder) {
  row_maker make(seed + 1);
  size_t taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = make.text(120);
    taken += decode_node(bytes).has_value() + decode_event({}, bytes).has_value()
             + decode_version({}, bytes).has_value() + decode_dir_move({}, bytes).has_value()
             + decode_replica(bytes).has_value() + decode_notice(0, bytes).has_value();
  }
  CAF_CHECK(taken < 20'000);
  // A count far beyond the bytes that are there must not be believed.
  node_row row;
  auto bytes = encode(row);
  bytes.back() = '\x7f';
  CAF_CHECK(!decode_node(bytes));
}

CAF_TEST(a_plain_file_row_is_small) {
  node_row row;
  row.nid = row_maker(1).id<node_id>();
  row.parent = 70'000;
  row.name = "IMG_20261123.jpg";
  row.head = row.moved = row.meta_stamp = {1, 1, 1};
  row.meta.mtime_ns = 1;
  row.life = {{3, 70'000}};
  CAF_CHECK(encode(row).size() <= 80);
}

CAF_TEST(cuts_arguments_of_a_notice_to_what_a_row_may_hold) {
  notice_row row;
  row.arguments.assign(12, std::string(300, 'x'));
  auto again = decode_notice(0, encode(row));
  CAF_REQUIRE(again);
  CAF_CHECK_EQUAL(again->arguments.size(), notice_arguments_max);
  size_t bytes = 0;
  for (const auto& argument : again->arguments)
    bytes += argument.size();
  CAF_CHECK_EQUAL(bytes, notice_bytes_max);
}
