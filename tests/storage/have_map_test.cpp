#define CAF_SUITE have_map
#include "storage/have_map.hpp"

#include <caf/test/unit_test.hpp>

#include <random>
#include <set>

using namespace harp;

CAF_TEST(chunk_set_equals_a_plain_set) {
  const uint64_t seed = 5;
  CAF_MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  for (uint32_t size : {1u, 63u, 64u, 65u, 200u}) {
    chunk_set tested(size);
    std::set<uint32_t> plain;
    for (int i = 0; i < 500; ++i) {
      const auto no = static_cast<uint32_t>(random() % (size + 3));
      if (random() % 2 == 0)
        CAF_CHECK_EQUAL(tested.add(no), no < size && plain.insert(no).second);
      else
        CAF_CHECK_EQUAL(tested.remove(no), plain.erase(no) == 1);
      CAF_CHECK_EQUAL(tested.count(), plain.size());
      const auto from = static_cast<uint32_t>(random() % size);
      auto at = plain.lower_bound(from);
      CAF_CHECK_EQUAL(tested.next(from), at == plain.end() ? size : *at);
      uint32_t absent = from;
      while (absent < size && plain.contains(absent))
        ++absent;
      CAF_CHECK_EQUAL(tested.next_absent(from), absent);
    }
    const auto copy = chunk_set::from_bitmap(size, tested.to_bitmap());
    CAF_REQUIRE(copy);
    CAF_CHECK(*copy == tested);
    chunk_set from_runs(size);
    CAF_CHECK(from_runs.add(tested.runs()));
    CAF_CHECK(from_runs == tested);
  }
}

CAF_TEST(refuses_bitmaps_and_runs_that_do_not_fit) {
  const std::string two(2, '\xff');
  CAF_CHECK(!chunk_set::from_bitmap(17, two));
  CAF_CHECK(!chunk_set::from_bitmap(8, two));
  CAF_CHECK(!chunk_set::from_bitmap(15, two)); // a bit beyond the last chunk
  CAF_CHECK(chunk_set::from_bitmap(16, two));
  CAF_CHECK(!chunk_set::from_bitmap(content_chunks_max + 1, two));
  chunk_set tested(10);
  for (const auto& run :
       {chunk_run{9, 2}, chunk_run{10, 1}, chunk_run{0, 0}, chunk_run{5, UINT32_MAX}}) {
    const std::vector<chunk_run> runs{{0, 1}, run};
    CAF_CHECK(!tested.add(runs));
    CAF_CHECK(tested.none());
  }
}

CAF_TEST(announces_at_most_every_100_ms_or_8_mib) {
  have_announcer tested;
  const content_id cid;
  tested.gained(1'000, cid, 0, 1);
  auto told = tested.due(1'000);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  tested.gained(1'010, cid, 1, 1);
  tested.gained(1'020, cid, 2, 1);
  CAF_CHECK(tested.due(1'099).empty());
  const auto next = tested.next_ms();
  CAF_REQUIRE(next);
  CAF_CHECK_EQUAL(next.value_or(0), 1'100u);
  told = tested.due(1'100);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0].runs == (std::vector<chunk_run>{{1, 2}}));
  tested.gained(1'110, cid, 7, 8ull << 20);
  CAF_CHECK_EQUAL(tested.due(1'110).size(), 1u);
  tested.gained(1'120, cid, 9, 1);
  tested.completed(1'130, cid);
  CAF_CHECK(tested.due(1'150).empty());
  told = tested.due(1'210);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0].complete && told[0].runs.empty());
  CAF_CHECK(!tested.next_ms());
}
