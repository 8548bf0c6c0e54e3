#define CAF_SUITE replicator_network
#include "tests/storage/replicator_world.hpp"

#include <caf/test/unit_test.hpp>

#include <cstdlib>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint64_t parts = 40;
#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t seeds_default = 160; // ten times as slow
#else
constexpr uint64_t seeds_default = 2000;
#endif

uint64_t seeds_to_run() {
  const char* text = std::getenv("HARP_TEST_SEEDS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : seeds_default;
}

world_options options_of(uint64_t seed) {
  world_options options;
  options.seed = seed;
  options.replicas = 2 + seed % 5;
  options.bundles = 10 + seed % 40;
  return options;
}

/// One part of the seeds: CAF's watchdog gives a test 30 s, also on a busy machine.
void run_part(uint64_t part) {
  size_t made = 0;
  size_t repeats = 0;
  uint64_t count = seeds_to_run() / parts;
  for (uint64_t seed = part * count + 1; seed <= (part + 1) * count; ++seed) {
    replicator_world world{options_of(seed)};
    if (!world.run() || !world.fault.empty()) {
      CAF_FAIL("seed " << seed << ": "
                       << (world.fault.empty() ? "not equal at the end" : world.fault));
      return;
    }
    made += world.made();
    repeats += world.repeats;
  }
  CAF_MESSAGE("seeds from " << part * count + 1 << ": " << made << " bundles made, " << repeats
                            << " came again as answers");
  CAF_CHECK(made > count);
}

} // namespace

#define HARP_SEEDS(part)                                                                           \
  CAF_TEST(all_replicas_end_equal_##part) {                                                        \
    run_part(part);                                                                                \
  }
HARP_SEEDS(0)
HARP_SEEDS(1)
HARP_SEEDS(2)
HARP_SEEDS(3)
HARP_SEEDS(4)
HARP_SEEDS(5)
HARP_SEEDS(6)
HARP_SEEDS(7)
HARP_SEEDS(8)
HARP_SEEDS(9)
HARP_SEEDS(10)
HARP_SEEDS(11)
HARP_SEEDS(12)
HARP_SEEDS(13)
HARP_SEEDS(14)
HARP_SEEDS(15)
HARP_SEEDS(16)
HARP_SEEDS(17)
HARP_SEEDS(18)
HARP_SEEDS(19)
HARP_SEEDS(20)
HARP_SEEDS(21)
HARP_SEEDS(22)
HARP_SEEDS(23)
HARP_SEEDS(24)
HARP_SEEDS(25)
HARP_SEEDS(26)
HARP_SEEDS(27)
HARP_SEEDS(28)
HARP_SEEDS(29)
HARP_SEEDS(30)
HARP_SEEDS(31)
HARP_SEEDS(32)
HARP_SEEDS(33)
HARP_SEEDS(34)
HARP_SEEDS(35)
HARP_SEEDS(36)
HARP_SEEDS(37)
HARP_SEEDS(38)
HARP_SEEDS(39)

CAF_TEST(same_seed_gives_the_same_trace) {
  for (uint64_t seed : {3, 7, 11, 19}) {
    replicator_world once{options_of(seed)};
    replicator_world again{options_of(seed)};
    replicator_world other{options_of(seed + 5)};
    once.run();
    again.run();
    other.run();
    auto trace = once.trace();
    CAF_CHECK(trace == again.trace());
    CAF_CHECK(trace != other.trace());
  }
}
