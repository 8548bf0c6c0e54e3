#define CAF_SUITE peer_strikes
#include "storage/peer_strikes.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

CAF_TEST(bans_at_the_third_strike_within_ten_minutes) {
  peer_strikes tested;
  CAF_CHECK(!tested.strike(0, 1));
  CAF_CHECK(!tested.strike(1, 1));
  CAF_CHECK(!tested.strike(1, 2));
  CAF_CHECK(!tested.is_banned(1, 1));
  CAF_CHECK(tested.strike(strike_window_ms - 1, 1));
  CAF_CHECK(tested.is_banned(strike_window_ms, 1));
  CAF_CHECK(!tested.is_banned(strike_window_ms, 2));
  const uint64_t until = strike_window_ms - 1 + content_ban_ms;
  const auto told = tested.banned_until_ms(strike_window_ms, 1);
  CAF_REQUIRE(told);
  CAF_CHECK_EQUAL(told.value_or(0), until);
  CAF_CHECK(tested.is_banned(until - 1, 1));
  CAF_CHECK(!tested.is_banned(until, 1));
}

CAF_TEST(old_strikes_do_not_count) {
  peer_strikes tested;
  for (uint64_t i = 0; i < 20; ++i)
    CAF_CHECK(!tested.strike(i * strike_window_ms / 2, 1));
}

CAF_TEST(strikes_during_a_ban_do_not_lengthen_it) {
  peer_strikes tested;
  for (int i = 0; i < 3; ++i)
    tested.strike(0, 1);
  CAF_CHECK(!tested.strike(1'000, 1));
  const auto told = tested.banned_until_ms(1'000, 1);
  CAF_REQUIRE(told);
  CAF_CHECK_EQUAL(told.value_or(0), content_ban_ms);
}

CAF_TEST(forgets_the_oldest_but_not_the_banned) {
  peer_strikes tested;
  for (int i = 0; i < 3; ++i)
    tested.strike(0, 1);
  for (replica_id peer = 2; peer < 5'000; ++peer)
    tested.strike(peer, peer);
  CAF_CHECK(tested.size() <= strike_peers_max);
  CAF_CHECK(tested.is_banned(5'000, 1));
}
