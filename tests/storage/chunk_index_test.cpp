#define CAF_SUITE chunk_index
#include "storage/chunk_index.hpp"
#include "storage/digest.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>

using namespace harp;
using namespace harp::test;

namespace {

metadata_db opened(const std::filesystem::path& dir) {
  auto db = metadata_db::open(dir, environment::chunks, {});
  CAF_REQUIRE(std::holds_alternative<metadata_db>(db));
  return std::move(std::get<metadata_db>(db));
}

} // namespace

CAF_TEST(shows_the_same_before_and_after_it_is_written) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  chunk_index index(db);
  std::mt19937_64 random(4);
  std::map<chunk_id, std::set<chunk_location>> places;
  std::map<chunk_id, pack_row> packs;
  auto id_of = [](uint64_t n) { return chunk_id_of(std::to_string(n)); };
  for (int round = 0; round < 3000; ++round) {
    auto id = id_of(random() % 20);
    chunk_location at{static_cast<uint32_t>(random() % 2), random() % 3,
                      static_cast<uint32_t>(random() % 3)};
    switch (random() % 6) {
    case 0:
    case 1:
      index.add_location(id, at);
      places[id].insert(at);
      break;
    case 2:
      index.remove_location(id, at);
      places[id].erase(at);
      break;
    case 3: {
      pack_row row{static_cast<uint32_t>(random() % 9), static_cast<uint32_t>(random()), 50, 0, 0};
      index.put_pack(id, row);
      packs[id] = row;
      break;
    }
    case 4:
      index.erase_pack(id);
      packs.erase(id);
      break;
    default:
      if (random() % 20 == 0)
        CAF_REQUIRE(!index.flush());
    }
    auto seen = index.locations(id, 100);
    CAF_REQUIRE(std::set<chunk_location>(seen.begin(), seen.end()) == places[id]);
    CAF_REQUIRE_EQUAL(seen.size(), places[id].size());
    CAF_REQUIRE(index.locations(id, 2).size() <= 2);
    auto row = index.pack_of(id);
    CAF_REQUIRE(row.has_value() == packs.contains(id) && (!row || *row == packs[id]));
  }
  CAF_REQUIRE(!index.flush());
  std::map<chunk_id, pack_row> walked;
  CAF_CHECK(!index.each_pack({}, [&](const chunk_id& id, const pack_row& row) {
    walked.emplace(id, row);
    return true;
  }));
  CAF_CHECK(walked == packs);
}

CAF_TEST(tells_apart_chunks_that_share_half_of_their_id) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  chunk_index index(db);
  auto a = chunk_id_of("a");
  auto b = a;
  b.bytes[31] ^= 1;
  index.put_pack(a, {1, 2, 3, 0, 0});
  CAF_REQUIRE(!index.flush());
  CAF_CHECK(index.pack_of(a));
  CAF_CHECK(!index.pack_of(b));
}

CAF_TEST(is_due_when_full_or_old) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  chunk_index index(db);
  auto now = std::chrono::steady_clock::now();
  CAF_CHECK(!index.due(now + index_wait_max));
  index.add_location(chunk_id_of("a"), {1, 2, 3});
  CAF_CHECK(!index.due(now));
  CAF_CHECK(index.due(std::chrono::steady_clock::now() + index_wait_max));
  for (uint32_t i = 0; i < index_pending_max; ++i)
    index.add_location(chunk_id_of("a"), {1, 2, i});
  CAF_CHECK(index.due(now));
  CAF_REQUIRE(!index.flush());
  CAF_CHECK(!index.due(now + index_wait_max));
  CAF_CHECK_EQUAL(index.locations(chunk_id_of("a"), 10).size(), 10u);
}

CAF_TEST(numbers_spaces_for_good_and_forgets_a_dropped_one) {
  scratch_dir dir(true);
  space_id first;
  space_id second;
  second.bytes[3] = 1;
  {
    auto db = opened(dir / "db");
    chunk_index index(db);
    CAF_CHECK_EQUAL(index.space_number(first).value_or(0), 1u);
    CAF_CHECK_EQUAL(index.space_number(second).value_or(0), 2u);
    for (uint32_t n = 0; n < 10'000; ++n)
      index.add_location(chunk_id_of(std::to_string(n / 3)), {1 + n % 2, n, 0});
    CAF_REQUIRE(!index.flush());
  }
  auto db = opened(dir / "db");
  chunk_index index(db);
  CAF_CHECK_EQUAL(index.space_number(second).value_or(0), 2u);
  CAF_REQUIRE(!index.forget_space(1));
  for (uint32_t n = 0; n < 3000; ++n)
    for (const auto& at : index.locations(chunk_id_of(std::to_string(n)), 100))
      CAF_REQUIRE_EQUAL(at.space, 2u);
  CAF_CHECK(!index.locations(chunk_id_of("7"), 1).empty());
}

CAF_TEST(a_failed_write_keeps_what_was_pending) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  chunk_index index(db);
  index.put_pack(chunk_id_of("a"), {1, 2, 3, 0, 0});
  index.set_before([] { return std::optional{storage_failure{5, "no"}}; });
  CAF_CHECK(index.flush());
  CAF_CHECK(index.pack_of(chunk_id_of("a")));
  index.set_before({});
  CAF_CHECK(!index.flush());
  chunk_index other(db);
  CAF_CHECK(other.pack_of(chunk_id_of("a")));
}
