#define CAF_SUITE transfer_window
#include "storage/transfer_window.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <deque>

using namespace harp;

namespace {

/// Keeps a window full over a path of `rate` bytes/s and `rtt_ms`; returns it after `ms`.
transfer_window driven(double rate, uint32_t rtt_ms, uint64_t ms, bool keepers = false) {
  transfer_window tested(rtt_ms, rate_guess_direct, keepers);
  const uint64_t chunk = 1u << 18;
  std::deque<double> arrivals; // when each outstanding chunk comes
  double free_at = 0;
  for (uint64_t now = 0; now < ms; ++now) {
    while (!arrivals.empty() && arrivals.front() <= static_cast<double>(now)) {
      arrivals.pop_front();
      tested.settled(chunk);
      tested.arrived(now, chunk);
    }
    while (tested.room() >= chunk) {
      tested.asked(now, chunk);
      free_at = std::max(free_at, static_cast<double>(now + rtt_ms))
                + static_cast<double>(chunk) * 1000 / rate;
      arrivals.push_back(free_at);
    }
  }
  return tested;
}

} // namespace

CAF_TEST(grows_to_fill_a_long_fat_path) {
  const auto tested = driven(100e6, 100, 10'000);
  CAF_CHECK(tested.rate() > 90e6);
  CAF_CHECK(tested.bytes() >= 20'000'000); // rate x rtt
  CAF_CHECK(tested.bytes() <= window_bytes_max);
}

CAF_TEST(keepers_may_have_twice_as_much) {
  CAF_CHECK_EQUAL(driven(1e9, 300, 10'000).bytes(), window_bytes_max);
  CAF_CHECK_EQUAL(driven(1e9, 300, 10'000, true).bytes(), window_bytes_max_keepers);
}

CAF_TEST(stays_small_on_a_slow_path) {
  const auto tested = driven(1e6, 20, 20'000);
  CAF_CHECK_EQUAL(tested.bytes(), window_bytes_min);
  CAF_CHECK(tested.rate() > 0.8e6 && tested.rate() < 1.2e6);
}

CAF_TEST(halves_down_to_the_minimum) {
  transfer_window tested(10, rate_guess_lan, false);
  CAF_CHECK_EQUAL(tested.bytes(), window_bytes_start);
  tested.halve();
  CAF_CHECK_EQUAL(tested.bytes(), window_bytes_start / 2);
  tested.halve();
  CAF_CHECK_EQUAL(tested.bytes(), window_bytes_min);
}

CAF_TEST(idle_time_does_not_count_as_slow) {
  auto tested = driven(10e6, 10, 5'000);
  const double before = tested.rate();
  tested.settled(tested.outstanding());
  tested.asked(60'000, 4'000'000);
  tested.arrived(60'400, 4'000'000);
  CAF_CHECK(tested.rate() > before * 0.8);
}

CAF_TEST(knows_its_95th_percentile) {
  transfer_window tested(10, rate_guess_lan, false);
  CAF_CHECK_EQUAL(tested.wait_p95_ms(), 0u);
  for (uint64_t ms = 1; ms <= 100; ++ms)
    tested.waited(ms);
  CAF_CHECK(tested.wait_p95_ms() >= 95 && tested.wait_p95_ms() <= 99);
  CAF_CHECK_EQUAL(transfer_window(10, 1000, false).expected_ms(500, 500), 1'010u);
}
