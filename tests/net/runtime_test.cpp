// Deadlines, buffers, loops.
#define CAF_SUITE runtime
#include "net/runtime.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <caf/test/unit_test.hpp>

#include <future>
#include <stdexcept>

using namespace harp::net;
using namespace std::chrono_literals;

CAF_TEST(deadline_fires_once_and_not_before_its_time) {
  loop on{0};
  int fired = 0;
  deadline limit{on, [&fired] { ++fired; }};
  limit.in(10s);
  CAF_CHECK(limit.armed());
  auto start = on.coarse_now();
  on.check_deadlines(start + 9s);
  CAF_CHECK_EQUAL(fired, 0);
  on.check_deadlines(start + 10s);
  CAF_CHECK_EQUAL(fired, 1);
  CAF_CHECK(!limit.armed());
  on.check_deadlines(start + 20s);
  CAF_CHECK_EQUAL(fired, 1);
}

CAF_TEST(deadline_counts_from_the_last_tick) {
  loop on{0};
  int fired = 0;
  deadline limit{on, [&fired] { ++fired; }};
  auto later = on.coarse_now() + 100s;
  on.check_deadlines(later);
  CAF_CHECK(on.coarse_now() == later);
  limit.in(5s);
  on.check_deadlines(later + 4s);
  CAF_CHECK_EQUAL(fired, 0);
  on.check_deadlines(later + 5s);
  CAF_CHECK_EQUAL(fired, 1);
}

CAF_TEST(deadline_off_or_zero_never_fires) {
  loop on{0};
  int fired = 0;
  deadline off{on, [&fired] { ++fired; }};
  deadline zero{on, [&fired] { ++fired; }};
  off.in(1s);
  off.off();
  zero.in(1s);
  zero.in(0s);
  CAF_CHECK(!off.armed());
  CAF_CHECK(!zero.armed());
  on.check_deadlines(on.coarse_now() + 24h);
  CAF_CHECK_EQUAL(fired, 0);
}

CAF_TEST(deadline_may_be_set_again_by_its_own_callback) {
  loop on{0};
  int fired = 0;
  deadline* self = nullptr;
  deadline limit{on, [&] {
                   ++fired;
                   self->in(5s);
                 }};
  self = &limit;
  limit.in(1s);
  auto start = on.coarse_now();
  on.check_deadlines(start + 1s);
  on.check_deadlines(start + 5s);
  CAF_CHECK_EQUAL(fired, 1);
  on.check_deadlines(start + 6s);
  CAF_CHECK_EQUAL(fired, 2);
}

CAF_TEST(callback_may_destroy_the_deadlines_that_come_next) {
  loop on{0};
  int fired = 0;
  std::vector<std::unique_ptr<deadline>> others;
  for (int i = 0; i < 3; ++i) {
    others.push_back(std::make_unique<deadline>(on, [&fired] { ++fired; }));
    others.back()->in(1s);
  }
  deadline first{on, [&] { others.clear(); }}; // newest is visited first
  first.in(1s);
  on.check_deadlines(on.coarse_now() + 2s);
  CAF_CHECK_EQUAL(fired, 0);
  CAF_CHECK(others.empty());
}

CAF_TEST(probe_runs_on_every_tick) {
  loop on{0};
  int probes = 0;
  {
    deadline probe{on, {}};
    probe.on_tick = [&probes] { ++probes; };
    on.check_deadlines(on.coarse_now() + 1s);
    on.check_deadlines(on.coarse_now() + 1s);
  }
  on.check_deadlines(on.coarse_now() + 1s);
  CAF_CHECK_EQUAL(probes, 2);
}

CAF_TEST(buffers_come_back_and_are_used_again) {
  loop on{0};
  char* small = nullptr;
  char* large = nullptr;
  {
    buffer first{on, buffer_bytes};
    buffer second{on, large_buffer_bytes};
    CAF_CHECK_EQUAL(first.size(), buffer_bytes);
    CAF_CHECK_EQUAL(second.size(), large_buffer_bytes);
    small = first.data();
    large = second.data();
  }
  buffer again{on, buffer_bytes};
  buffer large_again{on, large_buffer_bytes};
  CAF_CHECK(again.data() == small);
  CAF_CHECK(large_again.data() == large);
  again = std::move(large_again); // gives the small one back
  CAF_CHECK(again.data() == large);
  CAF_CHECK(!large_again);
  buffer third{on, buffer_bytes};
  CAF_CHECK(third.data() == small);
}

CAF_TEST(runtime_ticks_and_knows_its_threads) {
  runtime loops{2};
  CAF_CHECK(&loops.here() == &loops.at(0)); // a foreign thread gets the first
  loops.start();
  std::promise<bool> on_second;
  asio::post(loops.at(1).io(), [&] { on_second.set_value(&loops.here() == &loops.at(1)); });
  CAF_CHECK(on_second.get_future().get());
  std::promise<void> ticked;
  std::unique_ptr<deadline> limit;
  asio::post(loops.at(1).io(), [&] {
    limit = std::make_unique<deadline>(loops.at(1), [&ticked] { ticked.set_value(); });
    limit->in(1ms);
  });
  ticked.get_future().get();
  CAF_CHECK(loops.at(1).silent_for() < 60s);
  loops.stop();
  limit.reset();
}

CAF_TEST(launched_exception_does_not_end_the_loop) {
  loop on{0};
  bool after = false;
  auto throws = [](bool really) -> asio::awaitable<void> {
    if (really)
      throw std::runtime_error("expected by a test");
    co_return;
  };
  launch(on.executor(), throws(true), "thrower");
  asio::post(on.io(), [&after] { after = true; });
  on.io().run();
  CAF_CHECK(after);
}

CAF_TEST(waiting_coroutines_are_dropped_with_the_runtime) {
  auto token = std::make_shared<int>(1);
  {
    runtime loops{2};
    loops.start();
    std::promise<void> waiting;
    auto wait = [](loop& on, std::shared_ptr<int> kept,
                   std::promise<void>& told) -> asio::awaitable<void> {
      buffer borrowed{on, buffer_bytes};
      deadline limit{on, {}};
      asio::steady_timer never{on.io(), 24h};
      told.set_value();
      co_await never.async_wait(nothrow);
      kept.reset();
    };
    launch(loops.at(1).executor(), wait(loops.at(1), token, waiting), "wait");
    waiting.get_future().get();
  }
  CAF_CHECK_EQUAL(token.use_count(), 1);
}
