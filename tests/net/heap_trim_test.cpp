// What is given back, and when: spare things nobody used, free pages after a burst.
#define CAF_SUITE heap_trim
#include "net/heap_trim.hpp"
#include "net/spare_list.hpp"

#include <caf/test/unit_test.hpp>

#include <memory>
#include <vector>

using namespace harp::net;
using namespace std::chrono_literals;

CAF_TEST(trims_once_after_each_burst_and_not_within_it) {
  calm_watch watch;
  std::chrono::microseconds cpu{0};
  auto after = [&](std::chrono::microseconds used) { return watch.look(cpu += used); };
  CAF_CHECK(!after(100ms));
  CAF_CHECK(!after(200ms)); // busy
  CAF_CHECK(!after(1ms));
  CAF_CHECK(after(1ms)); // calm for two looks
  for (int i = 0; i < 10; ++i)
    CAF_CHECK(!after(100us)); // nothing new to give back
  CAF_CHECK(!after(50ms));
  CAF_CHECK(!after(5ms));
  CAF_CHECK(!after(6ms)); // busy again: counts anew
  CAF_CHECK(!after(0ms));
  CAF_CHECK(after(0ms));
}

CAF_TEST(slow_work_is_trimmed_after_as_well) {
  calm_watch watch;
  std::chrono::microseconds cpu{0};
  int trims = 0;
  for (int i = 0; i < 100; ++i)
    trims += watch.look(cpu += 1ms); // never busy, yet it adds up
  CAF_CHECK_EQUAL(trims, 5);
}

CAF_TEST(spare_things_go_when_nobody_uses_them) {
  spare_list<std::unique_ptr<int>> spare{8};
  for (int i = 0; i < 12; ++i)
    spare.give(std::make_unique<int>(i));
  CAF_CHECK_EQUAL(spare.size(), 8u); // never more
  spare.shrink();
  CAF_CHECK_EQUAL(spare.size(), 8u); // all of them came since
  std::vector<size_t> sizes;
  for (int i = 0; i < 5; ++i) {
    spare.shrink();
    sizes.push_back(spare.size());
  }
  CAF_CHECK_EQUAL(sizes, (std::vector<size_t>{4, 2, 1, 0, 0}));
}

CAF_TEST(spare_things_in_use_stay) {
  spare_list<int> spare{8};
  for (int i = 0; i < 6; ++i)
    spare.give(i);
  spare.shrink();
  for (int round = 0; round < 20; ++round) {
    int a = spare.take();
    int b = spare.take();
    CAF_CHECK_EQUAL(a, spare.empty() ? a : b + 1); // the newest first
    spare.give(b);
    spare.give(a);
    spare.shrink();
  }
  CAF_CHECK_EQUAL(spare.size(), 2u);
}
