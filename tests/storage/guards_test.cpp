// G3 on virtual time: bursts are held, answers let them go, ordinary work is not asked about.
#define CAF_SUITE guards
#include "storage/guards.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

CAF_TEST(burst_needs_both_500_files_and_a_fifth_of_the_space) {
  burst_guard g;
  CAF_CHECK_EQUAL(g.left(0, 100), 500u);
  CAF_CHECK_EQUAL(g.left(0, 2'500), 500u);
  CAF_CHECK_EQUAL(g.left(0, 100'000), 20'000u);
  g.note(0, 400);
  CAF_CHECK_EQUAL(g.left(1, 1'000), 100u);
  g.note(1, 100);
  CAF_CHECK_EQUAL(g.left(1, 1'000), 0u);
}

CAF_TEST(losses_count_for_ten_minutes) {
  burst_guard g;
  g.note(0, 500);
  CAF_CHECK_EQUAL(g.left(burst_window_ms - 1, 0), 0u);
  CAF_CHECK_EQUAL(g.left(burst_window_ms, 0), 500u);
}

CAF_TEST(answer_lets_exactly_what_waits_go) {
  burst_guard g;
  g.note(0, 500);
  CAF_CHECK(g.held(18'000));
  CAF_CHECK(!g.held(18'000)); // no second notice
  g.confirm();
  CAF_CHECK_EQUAL(g.left(1, 50'000), 9'500u + 18'000u);
  CAF_CHECK_EQUAL(g.left(1, 1'000), 18'000u);
  g.note(2, 18'000);
  CAF_CHECK_EQUAL(g.left(2, 1'000), 0u);
  CAF_CHECK_EQUAL(g.waiting(), 0u);
}

CAF_TEST(incoming_bursts_are_held_by_author) {
  incoming_guard g;
  stamp vid{5, 1, 0};
  for (local_id lid = 1; lid <= 500; ++lid)
    CAF_CHECK(!g.hold(0, 1'000, 7, lid, vid));
  CAF_CHECK(!g.hold(0, 1'000, 7, 1, vid)); // counted already
  CAF_CHECK(g.hold(0, 1'000, 7, 501, vid));
  CAF_CHECK(!g.hold(0, 1'000, 8, 501, vid));
  CAF_CHECK(g.held() == std::vector<replica_id>{7});
  g.confirm(7);
  CAF_CHECK(!g.hold(1, 1'000, 7, 501, vid));
  CAF_CHECK(g.held().empty());
}

CAF_TEST(failed_actions_come_back_later_and_later) {
  action_backoff b;
  b.failed(0, 1);
  CAF_CHECK(b.waiting(999, 1));
  CAF_CHECK(!b.waiting(1000, 1));
  CAF_CHECK(!b.waiting(0, 2));
  for (int i = 0; i < 20; ++i)
    b.failed(0, 1);
  CAF_CHECK_EQUAL(b.next_ms().value_or(-1), action_retry_ms_max);
  b.worked(1);
  CAF_CHECK(!b.waiting(0, 1));
}
