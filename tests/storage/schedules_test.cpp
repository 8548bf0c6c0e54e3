// Random schedules against the reference model (storage.md 15.2, 15.3). HARP_SCHEDULES=N plays N of them, HARP_SEED=S one.
#define CAF_SUITE schedules
#include "tests/storage/space_play.hpp"

#include <caf/test/unit_test.hpp>

#include <cstdlib>
#include <string>

using namespace harp;

namespace {

uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

#ifdef __OPTIMIZE__
constexpr uint64_t schedules_default = 20'000;
#else
constexpr uint64_t schedules_default = 500; // slow builds look for broken code, not for rare orders
#endif
constexpr uint64_t slices = 20; // one test may last 30 s

void play_slice(uint64_t slice) {
  auto one = number_of("HARP_SEED", 0);
  auto count = number_of("HARP_SCHEDULES", schedules_default) / slices;
  uint64_t first = one != 0 ? one : 1 + slice * count;
  uint64_t last = one != 0 ? one - (slice == 0 ? 0 : 1) : (slice + 1) * count;
  uint64_t bad = 0;
  for (auto seed = first; seed <= last && bad < 3; ++seed) {
    play::world world(seed, play::options_of(seed));
    auto wrong = world.run();
    if (wrong.empty())
      continue;
    ++bad;
    CAF_ERROR("seed " << seed << " (HARP_SEED=" << seed << "): " << wrong);
    if (one != 0)
      CAF_MESSAGE(world.ops_text());
  }
  CAF_CHECK_EQUAL(bad, 0u);
  CAF_MESSAGE("seeds " << first << ".." << last);
}

} // namespace

// Slices of one run over HARP_SCHEDULES seeds.
CAF_TEST(schedules_end_as_the_reference_says_00) {
  play_slice(0);
}
CAF_TEST(schedules_end_as_the_reference_says_01) {
  play_slice(1);
}
CAF_TEST(schedules_end_as_the_reference_says_02) {
  play_slice(2);
}
CAF_TEST(schedules_end_as_the_reference_says_03) {
  play_slice(3);
}
CAF_TEST(schedules_end_as_the_reference_says_04) {
  play_slice(4);
}
CAF_TEST(schedules_end_as_the_reference_says_05) {
  play_slice(5);
}
CAF_TEST(schedules_end_as_the_reference_says_06) {
  play_slice(6);
}
CAF_TEST(schedules_end_as_the_reference_says_07) {
  play_slice(7);
}
CAF_TEST(schedules_end_as_the_reference_says_08) {
  play_slice(8);
}
CAF_TEST(schedules_end_as_the_reference_says_09) {
  play_slice(9);
}
CAF_TEST(schedules_end_as_the_reference_says_10) {
  play_slice(10);
}
CAF_TEST(schedules_end_as_the_reference_says_11) {
  play_slice(11);
}
CAF_TEST(schedules_end_as_the_reference_says_12) {
  play_slice(12);
}
CAF_TEST(schedules_end_as_the_reference_says_13) {
  play_slice(13);
}
CAF_TEST(schedules_end_as_the_reference_says_14) {
  play_slice(14);
}
CAF_TEST(schedules_end_as_the_reference_says_15) {
  play_slice(15);
}
CAF_TEST(schedules_end_as_the_reference_says_16) {
  play_slice(16);
}
CAF_TEST(schedules_end_as_the_reference_says_17) {
  play_slice(17);
}
CAF_TEST(schedules_end_as_the_reference_says_18) {
  play_slice(18);
}
CAF_TEST(schedules_end_as_the_reference_says_19) {
  play_slice(19);
}
