// How a mux session ends, and who is woken then.
#define CAF_SUITE mux_end
#include "tests/net/mux_peer.hpp"

#include <malloc.h>

using namespace harp::net;

// -- the end of a session -----------------------------------------------------------------------

CAF_TEST(go_away_zero_stops_opening_only) {
  peer_fixture t;
  t.send(syn(1) + go_away(0));
  CAF_CHECK(t.session->open() == nullptr);
  t.send(data(1, "on"));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "on");
  CAF_CHECK(!t.state.done);
}

CAF_TEST(go_away_with_another_code_ends_the_session) {
  for (uint32_t code : {1u, 2u, 77u}) {
    peer_fixture t;
    t.send(syn(1) + go_away(code));
    CAF_CHECK(t.state.done);
    CAF_CHECK_EQUAL(t.state.reason, "the peer ended the session with code " + std::to_string(code));
    CAF_CHECK(t.streams.size() <= 1);
  }
}

CAF_TEST(end_of_the_connection_ends_all_streams) {
  peer_fixture t;
  t.send(syn(1) + data(1, "complete") + fin(1) + syn(3) + data(3, "cut"));
  answer readable;
  t.poll();
  t.peer->close(false);
  t.poll();
  CAF_CHECK(t.state.done);
  CAF_CHECK_EQUAL(t.state.reason, "the peer closed the connection");
  io_status last{};
  CAF_CHECK(!t.streams[0]->peer_gone()); // there is still something to read
  CAF_CHECK_EQUAL(read_all(*t.streams[0], &last), "complete");
  CAF_CHECK(last == io_status::eof);
  CAF_CHECK(t.streams[1]->peer_gone());
  CAF_CHECK_EQUAL(read_all(*t.streams[1], &last), "cut");
  CAF_CHECK(last == io_status::failed);
  CAF_CHECK_EQUAL(t.streams[1]->failure(), "session ended: the peer closed the connection");
  CAF_CHECK(t.streams[1]->try_write("x").status == io_status::failed);
  CAF_CHECK(t.session->open() == nullptr);
}

CAF_TEST(close_sends_what_was_queued_and_wakes_everybody) {
  peer_fixture t;
  t.send(syn(1) + syn(3));
  answer readable;
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_readable(), readable), "wait");
  t.poll();
  t.streams[1]->try_write("last words");
  t.session->close("enough");
  t.session->close("again");
  CAF_CHECK_EQUAL(t.output(), data(3, "last words"));
  CAF_CHECK(readable.done);
  CAF_CHECK(t.peer->ended());
  CAF_CHECK_EQUAL(t.state.reason, "enough");
  CAF_CHECK(status_of(*t.streams[0]) == io_status::failed);
}

CAF_TEST(streams_may_outlive_the_session_object) {
  auto t = std::make_unique<peer_fixture>();
  t->send(syn(1));
  auto kept = std::move(t->streams[0]);
  t.reset();
  CAF_CHECK(status_of(*kept) == io_status::failed);
  CAF_CHECK(kept->try_write("x").status == io_status::failed);
  kept->cancel();
  kept->shutdown_write();
  kept->close(true);
}

CAF_TEST(session_may_be_closed_from_its_own_callback) {
  loop on{0};
  auto [ours, theirs] = pipe_stream::make_pair(1 << 20);
  std::shared_ptr<mux_session> session;
  int called = 0;
  session = mux_session::make(on, std::move(ours), mux_role::server, without_pings(),
                              [&](stream_ptr opened) {
                                ++called;
                                opened->try_write("bye");
                                session->close("no visitors");
                                session.reset();
                              });
  running state;
  launch(on.executor(), run_to_end(session, state), "session");
  theirs->try_write(syn(1) + data(1, "x") + syn(3));
  on.io().poll();
  CAF_CHECK(state.done);
  CAF_CHECK_EQUAL(state.reason, "no visitors");
  CAF_CHECK_EQUAL(called, 1);
}

CAF_TEST(session_without_a_handler_refuses_streams) {
  loop on{0};
  auto [ours, theirs] = pipe_stream::make_pair(1 << 20);
  auto session = mux_session::make(on, std::move(ours), mux_role::client, without_pings(), {});
  running state;
  launch(on.executor(), run_to_end(session, state), "session");
  theirs->try_write(syn(2));
  on.io().poll();
  CAF_CHECK_EQUAL(theirs->take_all(), rst(2));
  session->close("over");
  on.io().restart();
  on.io().poll();
  CAF_CHECK(state.done);
}

CAF_TEST(cancel_and_close_wake_the_waiters_with_false) {
  peer_fixture t;
  t.send(syn(1) + syn(3));
  answer reading, writing, closed;
  while (t.streams[0]->try_write(std::string(50'000, 'x')).status == io_status::ok)
    t.output();
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_readable(), reading), "wait");
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_writable(), writing), "wait");
  launch(t.on.executor(), keep_answer(t.streams[1]->wait_readable(), closed), "wait");
  t.poll();
  CAF_CHECK(!reading.done && !writing.done && !closed.done);
  t.streams[0]->cancel();
  t.streams[1].reset();
  t.poll();
  CAF_CHECK(reading.done && !reading.value);
  CAF_CHECK(writing.done && !writing.value);
  CAF_CHECK(closed.done && !closed.value);
  t.send(data(1, "later"));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "later");
}

CAF_TEST(cancel_wins_over_data_that_came_before_it) {
  peer_fixture t;
  t.send(syn(1));
  answer reading;
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_readable(), reading), "wait");
  t.poll();
  t.peer->try_write(data(1, "x"));
  while (t.session->unread_bytes() == 0)
    t.on.io().restart(), t.on.io().run_one();
  CAF_CHECK(!reading.done); // woken, not yet run
  t.streams[0]->cancel();
  t.poll();
  CAF_CHECK(reading.done && !reading.value);
}

CAF_TEST(loop_may_end_under_a_running_session) {
  auto held = std::make_shared<int>(1);
  auto use = [](stream_ptr own, std::shared_ptr<int> keep) -> asio::awaitable<void> {
    co_await own->wait_readable();
    keep.reset();
  };
  {
    loop on{0};
    auto [ours, theirs] = pipe_stream::make_pair(1 << 20);
    auto session = mux_session::make(
        on, std::move(ours), mux_role::server, without_pings(),
        [&](stream_ptr opened) { launch(on.executor(), use(std::move(opened), held), "user"); });
    running state;
    launch(on.executor(), run_to_end(session, state), "session");
    theirs->try_write(syn(1) + syn(3));
    on.io().poll();
    CAF_CHECK_EQUAL(held.use_count(), 3);
    session.reset();
  }
  CAF_CHECK_EQUAL(held.use_count(), 1);
}

CAF_TEST(idle_stream_costs_less_than_a_kibibyte) {
  auto limits = without_pings();
  limits.streams_max = 10'000;
  limits.opens_per_second_max = 10'000;
  peer_fixture t{limits};
  t.session->set_trusted();
  t.send(syn(1));
  auto before = ::mallinfo2().uordblks;
  constexpr size_t count = 2000;
  for (uint32_t i = 1; i <= count; ++i) {
    uint32_t id = 2 * i + 1;
    t.send(syn(id) + data(id, std::string(500, 'x')));
    t.streams.back()->try_write("answer");
    read_all(*t.streams.back());
  }
  t.output();
  t.pass(1s);
  t.pass(1s);
  auto each = (::mallinfo2().uordblks - before) / count;
  CAF_CHECK_EQUAL(t.session->stream_count(), count + 1);
  CAF_CHECK(each < 1024); // 0 under a sanitizer, whose malloc does not count
}
