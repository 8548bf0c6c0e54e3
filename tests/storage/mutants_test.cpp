// Would the schedules notice a wrong rule? Each mutant of the reference must be told from the fold (storage.md 15.4). The
// comparison has two sides: what tells a wrong reference from the fold tells a wrong fold from the reference.
#define CAF_SUITE mutants
#include "tests/storage/space_play.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using reference::mutant;

namespace {

constexpr uint64_t seeds_max = 1500;

/// The first seed that notices; 0: none.
uint64_t killer_of(mutant wrong) {
  for (uint64_t seed = 1; seed <= seeds_max; ++seed) {
    auto options = play::options_of(seed);
    options.wrong = wrong;
    if (!play::world(seed, options).run().empty())
      return seed;
  }
  return 0;
}

/// Each test a few, for one test may last 30 s.
void check_mutants(int first, int last) {
  for (int n = first; n <= last && n < static_cast<int>(mutant::count_); ++n) {
    auto seed = killer_of(static_cast<mutant>(n));
    CAF_MESSAGE("mutant " << n << " fell to seed " << seed);
    CAF_CHECK_NOT_EQUAL(seed, 0u);
  }
}

} // namespace

CAF_TEST(no_mutant_of_life_survives) {
  check_mutants(1, 8);
}
CAF_TEST(no_mutant_of_places_survives) {
  check_mutants(9, 14);
}
CAF_TEST(no_mutant_of_versions_survives) {
  check_mutants(15, 22);
}
CAF_TEST(no_mutant_of_cuts_and_checkpoints_survives) {
  check_mutants(23, 26);
}
CAF_TEST(no_mutant_of_the_rest_survives) {
  check_mutants(27, 99);
}
