// Failures, bans, their end and their bounds (quality.md S5, T02, B03; X04, X24).
#define CAF_SUITE ban_list
#include "actors/ban_list.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;

namespace {

constexpr int64_t start_ms = 1'700'000'000'000;
constexpr int64_t second_ms = 1000;
constexpr const char* why = "test";

ip_address at(std::string_view text) {
  return ip_address::parse(text).value();
}

ip_address v4(uint32_t number) {
  std::array<uint8_t, 16> bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  for (size_t i = 0; i < 4; ++i)
    bytes[12 + i] = static_cast<uint8_t>(number >> (24 - 8 * i));
  return ip_address::from_bytes(bytes);
}

/// Notes `count` whole failures at one time; tells how many bans began.
int fail(ban_list& bans, const ip_address& client, int count, int64_t now_ms) {
  int began = 0;
  for (int i = 0; i < count; ++i)
    began += bans.fail(client, now_ms, failure_whole_tenths, why) ? 1 : 0;
  return began;
}

} // namespace

CAF_TEST(bans_at_the_count_and_not_before) {
  ban_list bans{{10, 300 * second_ms}};
  auto client = at("203.0.113.9");
  CAF_CHECK_EQUAL(fail(bans, client, 9, start_ms), 0);
  CAF_CHECK(!bans.banned(client, start_ms));
  CAF_CHECK_EQUAL(fail(bans, client, 1, start_ms + second_ms), 1);
  CAF_REQUIRE(bans.banned(client, start_ms + second_ms).has_value());
  CAF_CHECK(bans.banned(client, start_ms + second_ms) == start_ms + 300 * second_ms);
}

CAF_TEST(ban_ends_when_the_oldest_failure_leaves_the_window) {
  ban_list bans{{3, 300 * second_ms}};
  auto client = at("203.0.113.9");
  fail(bans, client, 1, start_ms);
  fail(bans, client, 2, start_ms + 100 * second_ms);
  CAF_CHECK(bans.banned(client, start_ms + 300 * second_ms - 1).has_value());
  CAF_CHECK(!bans.banned(client, start_ms + 300 * second_ms));
  CAF_CHECK_EQUAL(fail(bans, client, 1, start_ms + 301 * second_ms),
                  1); // two are still in the window
}

CAF_TEST(old_failures_do_not_count) {
  ban_list bans{{3, 300 * second_ms}};
  auto client = at("203.0.113.9");
  for (int i = 0; i < 50; ++i)
    CAF_CHECK_EQUAL(fail(bans, client, 1, start_ms + i * 150 * second_ms), 0);
}

CAF_TEST(banned_client_collects_nothing) {
  ban_list bans{{3, 300 * second_ms}};
  auto client = at("203.0.113.9");
  fail(bans, client, 3, start_ms);
  CAF_CHECK_EQUAL(fail(bans, client, 100, start_ms + 200 * second_ms), 0);
  CAF_CHECK(!bans.banned(client, start_ms + 300 * second_ms));
  CAF_CHECK_EQUAL(fail(bans, client, 2, start_ms + 300 * second_ms), 0);
  CAF_CHECK_EQUAL(fail(bans, client, 1, start_ms + 300 * second_ms), 1);
}

CAF_TEST(others_stay_free) {
  ban_list bans{{10, 300 * second_ms}};
  fail(bans, at("203.0.113.9"), 20, start_ms);
  fail(bans, at("2001:db8:1:1::9"), 20, start_ms);
  for (std::string_view other :
       {"203.0.113.8", "203.0.113.10", "2001:db8:1:2::9", "2001:db8:2:1::9"})
    CAF_CHECK(!bans.banned(at(other), start_ms));
  CAF_CHECK(bans.banned(at("203.0.113.9"), start_ms).has_value());
}

CAF_TEST(one_ipv6_64_is_one_client) {
  ban_list bans{{10, 300 * second_ms}};
  for (int i = 0; i < 10; ++i)
    fail(bans, at("2001:db8:1:1::" + std::to_string(i + 1)), 1, start_ms);
  CAF_CHECK(bans.banned(at("2001:db8:1:1:ffff::77"), start_ms).has_value());
  CAF_CHECK_EQUAL(bans.size(), 1u);
}

CAF_TEST(mapped_address_is_its_ipv4) {
  ban_list bans{{2, 300 * second_ms}};
  fail(bans, at("::ffff:203.0.113.9"), 1, start_ms);
  fail(bans, at("203.0.113.9"), 1, start_ms);
  CAF_CHECK(bans.banned(at("203.0.113.9"), start_ms).has_value());
}

CAF_TEST(weights_add_up) {
  ban_list bans{{10, 300 * second_ms}};
  auto client = at("203.0.113.9");
  for (int i = 0; i < 19; ++i)
    CAF_CHECK(!bans.fail(client, start_ms, 5, why));
  CAF_CHECK(bans.fail(client, start_ms, 5, why));
  CAF_CHECK(!bans.fail(at("203.0.113.10"), start_ms, 0, why));
  CAF_CHECK_EQUAL(bans.size(), 1u);
}

CAF_TEST(mixed_weights_add_up) {
  ban_list bans{{3, 300 * second_ms}};
  auto client = at("203.0.113.9");
  CAF_CHECK(!bans.fail(client, start_ms, 5, why));  // 5
  CAF_CHECK(!bans.fail(client, start_ms, 10, why)); // 15
  CAF_CHECK(!bans.fail(client, start_ms, 5, why));  // 20
  CAF_CHECK(!bans.fail(client, start_ms, 9, why));  // 29
  CAF_CHECK(bans.fail(client, start_ms, 1, why));   // 30
}

CAF_TEST(weight_above_a_whole_counts_as_one) {
  ban_list bans{{2, 300 * second_ms}};
  CAF_CHECK(!bans.fail(at("203.0.113.9"), start_ms, 1000, why));
  CAF_CHECK(bans.fail(at("203.0.113.9"), start_ms, 1000, why));
}

CAF_TEST(half_failures_leave_the_window_too) {
  ban_list bans{{2, 300 * second_ms}};
  auto client = at("203.0.113.9");
  for (int i = 0; i < 100; ++i)
    CAF_CHECK(!bans.fail(client, start_ms + i * 301 * second_ms, 5, why));
}

CAF_TEST(lifting_forgets) {
  ban_list bans{{3, 300 * second_ms}};
  auto client = at("2001:db8::9");
  fail(bans, client, 3, start_ms);
  CAF_CHECK(bans.lift(at("2001:db8::1")));
  CAF_CHECK(!bans.lift(client));
  CAF_CHECK(!bans.banned(client, start_ms));
  CAF_CHECK_EQUAL(fail(bans, client, 2, start_ms), 0);
  CAF_CHECK_EQUAL(fail(bans, client, 1, start_ms), 1);
}

CAF_TEST(lifts_all) {
  ban_list bans{{1, 300 * second_ms}};
  fail(bans, at("203.0.113.9"), 1, start_ms);
  fail(bans, at("203.0.113.10"), 1, start_ms);
  CAF_CHECK_EQUAL(bans.lift_all(start_ms), 2u);
  CAF_CHECK_EQUAL(bans.size(), 0u);
  CAF_CHECK(bans.list(start_ms).empty());
  CAF_CHECK_EQUAL(bans.lift_all(start_ms), 0u);
}

CAF_TEST(lists_the_banned_only) {
  ban_list bans{{2, 300 * second_ms}};
  fail(bans, at("203.0.113.9"), 2, start_ms + second_ms);
  fail(bans, at("203.0.113.10"), 2, start_ms);
  fail(bans, at("203.0.113.11"), 1, start_ms);
  auto listed = bans.list(start_ms + 2 * second_ms);
  CAF_REQUIRE_EQUAL(listed.size(), 2u);
  CAF_CHECK_EQUAL(listed[0].key.to_string(), "203.0.113.10");
  CAF_CHECK_EQUAL(listed[0].until_ms, start_ms + 300 * second_ms);
  CAF_CHECK_EQUAL(listed[1].key.to_string(), "203.0.113.9");
  CAF_CHECK_EQUAL(std::string(listed[1].reason), "test");
  CAF_CHECK(bans.list(start_ms + 400 * second_ms).empty());
}

CAF_TEST(clock_set_back_ends_no_later_than_a_window) {
  ban_list bans{{1, 300 * second_ms}};
  fail(bans, at("203.0.113.9"), 1, start_ms + 10'000'000 * second_ms);
  CAF_CHECK(!bans.banned(at("203.0.113.9"), start_ms));
}

CAF_TEST(count_of_zero_bans_everybody_as_harp_does) {
  ban_list bans{{0, 300 * second_ms}};
  CAF_CHECK(bans.banned(at("203.0.113.9"), start_ms).has_value());
  CAF_CHECK_EQUAL(fail(bans, at("203.0.113.9"), 5, start_ms), 0);
  CAF_CHECK_EQUAL(bans.size(), 0u);
}

CAF_TEST(overflow_forgets_the_longest_silent_that_is_not_banned) {
  ban_list bans{{2, 300 * second_ms}};
  fail(bans, v4(1), 2, start_ms);
  for (uint32_t i = 2; i <= ban_keys_max; ++i)
    fail(bans, v4(i), 1, start_ms);
  CAF_CHECK_EQUAL(bans.size(), ban_keys_max);
  fail(bans, v4(1'000'000), 1, start_ms);
  CAF_CHECK_EQUAL(bans.size(), ban_keys_max);
  CAF_CHECK(bans.banned(v4(1), start_ms).has_value());
  CAF_CHECK_EQUAL(fail(bans, v4(3), 1, start_ms), 1); // remembered
  CAF_CHECK_EQUAL(fail(bans, v4(2), 1, start_ms), 0); // forgotten
}

CAF_TEST(nothing_but_banned_keys_stays_bounded) {
  ban_list bans{{1, 300 * second_ms}};
  for (uint32_t i = 1; i <= ban_keys_max + 100; ++i)
    CAF_REQUIRE_EQUAL(fail(bans, v4(i), 1, start_ms), 1);
  CAF_CHECK_EQUAL(bans.size(), ban_keys_max);
  CAF_CHECK(!bans.banned(v4(1), start_ms));
  CAF_CHECK(bans.banned(v4(ban_keys_max + 100), start_ms).has_value());
}

CAF_TEST(expired_keys_make_room_by_themselves) {
  ban_list bans{{1, 300 * second_ms}};
  for (uint32_t i = 1; i <= 1000; ++i)
    fail(bans, v4(i), 1, start_ms);
  for (uint32_t i = 1; i <= 600; ++i)
    fail(bans, v4(100'000 + i), 1, start_ms + 301 * second_ms);
  CAF_CHECK_EQUAL(bans.size(), 600u);
}

CAF_TEST(large_counts_mean_fewer_keys) {
  ban_list bans{{4'000'000, 300 * second_ms}};
  CAF_CHECK_EQUAL(bans.keys_max(), ban_stamps_max / ban_count_max);
  CAF_CHECK_EQUAL(ban_list(ban_rule{}).keys_max(), ban_keys_max);
}

CAF_TEST(random_traffic_matches_a_naive_model) {
  constexpr unsigned seed = 20240607;
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  ban_list bans{{4, 60 * second_ms}};
  std::array<std::vector<int64_t>, 8> naive;
  int64_t now_ms = start_ms;
  for (int step = 0; step < 20'000; ++step) {
    now_ms += random() % (8 * second_ms);
    uint32_t who = random() % naive.size();
    auto& stamps = naive[who];
    std::erase_if(stamps, [&](int64_t at_ms) { return now_ms - at_ms >= 60 * second_ms; });
    bool is_banned = stamps.size() >= 4;
    CAF_REQUIRE_EQUAL(bans.banned(v4(who), now_ms).has_value(), is_banned);
    bool began = bans.fail(v4(who), now_ms, failure_whole_tenths, why);
    if (!is_banned)
      stamps.push_back(now_ms);
    CAF_REQUIRE_EQUAL(began, !is_banned && stamps.size() == 4);
  }
}
