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

} // namespace

CAF_TEST(schedules_end_as_the_reference_says) {
  auto one = number_of("HARP_SEED", 0);
  uint64_t last = one != 0 ? one : number_of("HARP_SCHEDULES", schedules_default);
  uint64_t bad = 0;
  for (auto seed = one != 0 ? one : 1; seed <= last && bad < 3; ++seed) {
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
  CAF_MESSAGE("seeds " << (one != 0 ? one : 1) << ".." << last);
}
