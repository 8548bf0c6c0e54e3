#define CAF_SUITE hlc
#include "storage/hlc.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {
constexpr uint64_t noon = 1'700'000'000'000;
}

CAF_TEST(own_values_rise_even_when_the_clock_stands_or_falls) {
  hybrid_clock clock;
  auto a = clock.now(noon);
  CAF_CHECK_EQUAL(ms_of_hlc(a), noon);
  auto b = clock.now(noon);
  auto c = clock.now(noon - 60'000);
  auto d = clock.now(noon + 1);
  CAF_CHECK_EQUAL(b, a + 1);
  CAF_CHECK_EQUAL(c, b + 1);
  CAF_CHECK_EQUAL(d, hlc_of_ms(noon + 1));
  hybrid_clock restarted{d};
  CAF_CHECK(restarted.now(noon - 1) > d);
}

CAF_TEST(own_values_exceed_received_ones) {
  hybrid_clock clock;
  auto remote = hlc_of_ms(noon + 200'000) + 7;
  CAF_CHECK(clock.receive(remote, noon) == clock_verdict::ok);
  CAF_CHECK_EQUAL(clock.now(noon), remote + 1);
}

CAF_TEST(five_minutes_ahead_is_the_limit) {
  hybrid_clock clock;
  auto edge = hlc_of_ms(noon + clock_ahead_ms_max) + 0xffff;
  CAF_CHECK(clock.receive(edge, noon) == clock_verdict::ok);
  CAF_CHECK(clock.receive(hlc_of_ms(noon + clock_ahead_ms_max + 1), noon) == clock_verdict::ahead);
  CAF_CHECK_EQUAL(clock.last(), edge);
  CAF_CHECK(!is_hlc_ahead(edge, noon));
  CAF_CHECK(is_hlc_ahead(UINT64_MAX, noon));
}

CAF_TEST(offset_is_a_median_that_ignores_noise) {
  clock_offset offset;
  CAF_CHECK_EQUAL(offset.value_ms(), 0);
  offset.add(1000, 1500, 1600, 2100);
  CAF_CHECK_EQUAL(offset.value_ms(), 0);
  clock_offset late;
  for (int64_t i = 0; i < 9; ++i)
    late.add(1000, 61'000 + i, 61'000 + i, 1000);
  late.add(1000, 999'999'999, 999'999'999, 1000);
  CAF_CHECK(late.value_ms() >= 60'000 && late.value_ms() <= 60'009);
  clock_offset early;
  early.add(10'000, 5'000, 5'100, 10'100);
  CAF_CHECK_EQUAL(early.value_ms(), -5'000);
}

CAF_TEST(old_samples_leave) {
  clock_offset offset;
  for (int i = 0; i < 20; ++i)
    offset.add(0, 50'000, 50'000, 0);
  for (size_t i = 0; i < clock_offset::samples_max; ++i)
    offset.add(0, 0, 0, 0);
  CAF_CHECK_EQUAL(offset.value_ms(), 0);
}
