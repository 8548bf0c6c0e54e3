#define CAF_SUITE replicator_network
#include "tests/storage/replicator_world.hpp"

#include <caf/test/unit_test.hpp>

#include <cstdlib>

using namespace harp;
using namespace harp::test;

namespace {

uint64_t seeds_to_run() {
  const char* text = std::getenv("HARP_TEST_SEEDS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 2000;
}

world_options options_of(uint64_t seed) {
  world_options options;
  options.seed = seed;
  options.replicas = 2 + seed % 5;
  options.bundles = 10 + seed % 40;
  return options;
}

/// One eighth of the seeds: CAF's watchdog gives a test 30 s.
void run_eighth(uint64_t part) {
  size_t made = 0;
  size_t repeats = 0;
  uint64_t count = seeds_to_run() / 8;
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

CAF_TEST(all_replicas_end_equal_0) {
  run_eighth(0);
}

CAF_TEST(all_replicas_end_equal_1) {
  run_eighth(1);
}

CAF_TEST(all_replicas_end_equal_2) {
  run_eighth(2);
}

CAF_TEST(all_replicas_end_equal_3) {
  run_eighth(3);
}

CAF_TEST(all_replicas_end_equal_4) {
  run_eighth(4);
}

CAF_TEST(all_replicas_end_equal_5) {
  run_eighth(5);
}

CAF_TEST(all_replicas_end_equal_6) {
  run_eighth(6);
}

CAF_TEST(all_replicas_end_equal_7) {
  run_eighth(7);
}

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
