// Limits and pings of a mux session: frp.md 6, acceptance 15.
#define CAF_SUITE mux_limits
#include "tests/net/mux_peer.hpp"

using namespace harp::net;

// -- limits -------------------------------------------------------------------------------------

CAF_TEST(surplus_streams_are_refused) {
  auto limits = without_pings();
  limits.streams_max = 3;
  peer_fixture t{limits};
  t.session->set_trusted();
  CAF_CHECK_EQUAL(t.send(syn(1) + syn(3) + syn(5) + data(7, "payload", mux_flag::syn)),
                  ack(1) + ack(3) + ack(5) + rst(7));
  CAF_CHECK(t.session->open() == nullptr);
  t.streams[0]->close(true);
  CAF_CHECK_EQUAL(t.send(syn(9)), rst(1) + ack(9));
}

CAF_TEST(stream_that_only_awaits_a_fin_makes_room) {
  auto limits = without_pings();
  limits.streams_max = 2;
  peer_fixture t{limits};
  t.session->set_trusted();
  t.send(syn(1) + syn(3));
  t.streams[0]->close();
  CAF_CHECK_EQUAL(t.output(), fin(1));
  CAF_CHECK_EQUAL(t.send(syn(5)), rst(1) + ack(5));
  CAF_CHECK_EQUAL(t.session->stream_count(), 2u);
}

CAF_TEST(churn_of_streams_is_limited_per_second) {
  auto limits = without_pings();
  limits.opens_per_second_max = 5;
  peer_fixture t{limits};
  t.session->set_trusted();
  std::string churn, answers;
  for (uint32_t id = 1; id <= 13; id += 2) {
    churn += syn(id) + rst(id);
    answers += id <= 9 ? ack(id) : rst(id);
  }
  CAF_CHECK_EQUAL(t.send(churn), answers);
  t.pass(2s);
  CAF_CHECK_EQUAL(t.send(syn(21)), ack(21));
}

CAF_TEST(three_hundred_streams_at_once_are_all_acknowledged) {
  peer_fixture t;
  t.session->set_trusted();
  std::string opens, answers;
  for (uint32_t id = 1; id < 601; id += 2) {
    opens += syn(id);
    answers += ack(id);
  }
  CAF_CHECK_EQUAL(t.send(opens), answers);
  CAF_CHECK_EQUAL(t.streams.size(), 300u);
}

CAF_TEST(many_refusals_at_once_are_fine_when_the_peer_reads) {
  auto limits = without_pings();
  limits.control_frames_max = 8;
  peer_fixture t{limits};
  std::string opens;
  for (uint32_t id = 1; id < 2001; id += 2)
    opens += syn(id);
  CAF_CHECK_EQUAL(t.send(opens).size(), 1000 * mux_header_bytes);
  CAF_CHECK(!t.state.done);
}

CAF_TEST(answers_that_nobody_reads_end_the_session) {
  auto limits = without_pings();
  limits.control_frames_max = 8;
  peer_fixture t{limits, 200};
  for (uint32_t id = 1; id < 2001 && !t.state.done; id += 2) {
    t.peer->try_write(syn(id));
    t.poll();
  }
  CAF_CHECK(t.state.done);
  CAF_CHECK_EQUAL(t.state.reason, "too many answers wait for the peer to read");
}

CAF_TEST(unsent_bytes_are_bounded_and_small_writes_pass_bulk) {
  auto limits = without_pings();
  limits.unsent_bytes_max = 40'000;
  peer_fixture t{limits, 100};
  t.peer->try_write(syn(1) + syn(3));
  t.poll();
  t.peer->try_write(credit(1, 1 << 20));
  t.poll();
  std::string bulk(100'000, 'x');
  size_t queued = 0;
  for (auto got = t.streams[0]->try_write(bulk); got.status == io_status::ok;
       got = t.streams[0]->try_write(bulk))
    queued += got.bytes;
  CAF_CHECK(queued > 0);
  CAF_CHECK(queued <= 10'000u);
  CAF_CHECK(t.streams[1]->try_write("small").status == io_status::ok);
  size_t more = 0;
  while (t.streams[1]->try_write(std::string(1000, 'y')).status == io_status::ok)
    CAF_REQUIRE(++more <= 40);
}

CAF_TEST(all_writers_go_on_when_the_queue_empties) {
  auto limits = without_pings();
  limits.unsent_bytes_max = 40'000;
  peer_fixture t{limits, 1000};
  t.session->set_trusted();
  constexpr size_t count = 30;
  std::vector<answer> answers(count);
  std::string bulk(20'000, 'x');
  for (uint32_t i = 0; i < count; ++i)
    t.send(syn(2 * i + 1));
  for (size_t i = 0; i < count; ++i)
    launch(t.on.executor(), keep_answer(write_all(*t.streams[i], bulk), answers[i]), "writer");
  size_t total = 0;
  for (int round = 0; round < 5000; ++round)
    total += t.output().size();
  CAF_CHECK(total > count * bulk.size());
  for (const auto& each : answers)
    CAF_CHECK(each.done && each.value);
}

CAF_TEST(peer_that_stops_reading_is_dropped) {
  peer_fixture t{without_pings(), 100};
  t.peer->try_write(syn(1));
  t.poll();
  t.streams[0]->try_write(std::string(1000, 'x'));
  t.poll();
  t.pass(29s);
  CAF_CHECK(!t.state.done);
  CAF_CHECK_EQUAL(t.peer->take_all().size(), 100u); // progress starts the limit anew
  t.poll();
  t.pass(29s);
  CAF_CHECK(!t.state.done);
  t.pass(3s);
  CAF_CHECK(t.state.done);
  CAF_CHECK_EQUAL(t.state.reason, "the peer does not read");
}

CAF_TEST(bytes_that_are_no_frame_end_the_session) {
  for (auto hex :
       {"010000000000000100000000", "000400000000000100000000", "474554202f20485454502f31"}) {
    peer_fixture t;
    CAF_CHECK_EQUAL(t.send(from_hex(hex)), go_away(1));
    CAF_CHECK(t.state.done);
  }
}

// -- pings --------------------------------------------------------------------------------------

CAF_TEST(ping_is_answered_with_its_own_number) {
  peer_fixture t;
  CAF_CHECK_EQUAL(t.send(frame(mux_type::ping, mux_flag::syn, 0, 0xdeadbeef)),
                  frame(mux_type::ping, mux_flag::ack, 0, 0xdeadbeef));
}

CAF_TEST(flood_of_pings_is_answered_ten_times_a_second) {
  peer_fixture t;
  std::string flood;
  for (int i = 0; i < 500; ++i)
    flood += frame(mux_type::ping, mux_flag::syn, 0, 1);
  CAF_CHECK_EQUAL(t.send(flood).size(), 10 * mux_header_bytes);
  t.pass(1s);
  CAF_CHECK_EQUAL(t.send(flood).size(), 10 * mux_header_bytes);
  CAF_CHECK(!t.state.done);
}

CAF_TEST(own_ping_unanswered_ends_the_session) {
  peer_fixture t{mux_limits{}};
  t.pass(29s);
  CAF_CHECK_EQUAL(t.output(), "");
  t.pass(2s);
  CAF_CHECK_EQUAL(t.output(), frame(mux_type::ping, mux_flag::syn, 0, 1));
  t.pass(9s);
  CAF_CHECK(!t.state.done);
  t.pass(2s);
  CAF_CHECK(t.state.done);
  CAF_CHECK_EQUAL(t.state.reason, "the peer does not answer pings");
}

CAF_TEST(own_ping_answered_keeps_the_session) {
  peer_fixture t{mux_limits{}};
  for (uint32_t i = 1; i < 20; ++i) {
    t.pass(31s);
    CAF_CHECK_EQUAL(t.output(), frame(mux_type::ping, mux_flag::syn, 0, i));
    t.send(frame(mux_type::ping, mux_flag::ack, 0, i));
    t.pass(11s);
    CAF_REQUIRE(!t.state.done);
  }
}

CAF_TEST(any_byte_shows_life_while_the_answer_is_due) {
  peer_fixture t{mux_limits{}};
  t.send(syn(1));
  t.pass(31s);
  for (int i = 0; i < 5; ++i) {
    t.send(data(1, "x"));
    t.pass(11s);
  }
  CAF_CHECK(!t.state.done);
  t.pass(11s);
  CAF_CHECK(t.state.done);
}

CAF_TEST(asked_ping_says_whether_the_peer_lives) {
  peer_fixture t;
  answer alive, also, dead;
  launch(t.on.executor(), keep_answer(t.session->ping(1s), alive), "ping");
  launch(t.on.executor(), keep_answer(t.session->ping(1s), also), "ping");
  CAF_CHECK_EQUAL(t.output(), frame(mux_type::ping, mux_flag::syn, 0, 1)); // one for both
  t.send(frame(mux_type::ping, mux_flag::ack, 0, 99));
  CAF_CHECK(!alive.done);
  t.send(frame(mux_type::ping, mux_flag::ack, 0, 1));
  CAF_CHECK(alive.done && alive.value && also.done && also.value);
  launch(t.on.executor(), keep_answer(t.session->ping(1s), dead), "ping");
  CAF_CHECK_EQUAL(t.output(), frame(mux_type::ping, mux_flag::syn, 0, 2));
  t.pass(500ms);
  CAF_CHECK(!dead.done);
  t.pass(2s);
  CAF_CHECK(dead.done && !dead.value);
  CAF_CHECK(!t.state.done);
}

CAF_TEST(asked_ping_ends_with_the_session) {
  peer_fixture t;
  answer pinged, after;
  launch(t.on.executor(), keep_answer(t.session->ping(10s), pinged), "ping");
  t.poll();
  t.session->close("over");
  t.poll();
  CAF_CHECK(pinged.done && !pinged.value);
  launch(t.on.executor(), keep_answer(t.session->ping(10s), after), "ping");
  t.poll();
  CAF_CHECK(after.done && !after.value);
}
