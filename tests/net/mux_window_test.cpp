// Windows of mux streams, and what a peer may do before it is trusted: frp.md 1.1 and 6.
#define CAF_SUITE mux_window
#include "tests/net/mux_peer.hpp"

using namespace harp::net;

// -- windows ------------------------------------------------------------------------------------

CAF_TEST(sender_stops_at_the_window_and_goes_on_with_credit) {
  peer_fixture t;
  t.send(syn(1));
  std::string block(300'000, 'b');
  size_t taken = t.streams[0]->try_write(block).bytes;
  t.output();
  while (true) {
    auto more = t.streams[0]->try_write(block);
    if (more.status == io_status::again)
      break;
    CAF_REQUIRE(more.status == io_status::ok);
    taken += more.bytes;
    t.output();
  }
  CAF_CHECK_EQUAL(taken, mux_initial_window_bytes);
  answer waiting;
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_writable(), waiting), "wait");
  t.poll();
  CAF_CHECK(!waiting.done);
  t.send(credit(1, 10));
  CAF_CHECK(waiting.done && waiting.value);
  CAF_CHECK_EQUAL(t.streams[0]->try_write(block).bytes, 10u);
  CAF_CHECK_EQUAL(t.output(), data(1, "bbbbbbbbbb"));
}

CAF_TEST(frames_are_cut_at_64_kib) {
  peer_fixture t;
  t.send(syn(1));
  CAF_CHECK_EQUAL(t.streams[0]->try_write("h", std::string(100'000, 'x')).bytes, 100'001u);
  auto out = t.output();
  CAF_CHECK_EQUAL(out.size(), 100'001u + 2 * mux_header_bytes);
  CAF_CHECK_EQUAL(out.substr(0, 13), frame(mux_type::data, 0, 1, 65536) + "h");
  CAF_CHECK_EQUAL(out.substr(12 + 65536, 12), frame(mux_type::data, 0, 1, 34465));
}

CAF_TEST(data_past_the_window_ends_the_session) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1) + data(1, std::string(mux_initial_window_bytes, 'x')));
  CAF_CHECK(!t.state.done);
  CAF_CHECK_EQUAL(t.send(data(1, "x")), go_away(1));
  CAF_CHECK_EQUAL(t.state.reason, "protocol error: more data than the window allows");
}

CAF_TEST(huge_length_is_refused_before_its_payload) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1));
  CAF_CHECK_EQUAL(t.send(frame(mux_type::data, 0, 1, 0xffffffff)), go_away(1));
  CAF_CHECK(t.state.done);
  peer_fixture unknown;
  CAF_CHECK_EQUAL(unknown.send(frame(mux_type::data, 0, 9, 0xffffffff) + "some"), "");
  CAF_CHECK(!unknown.state.done);
}

CAF_TEST(window_beyond_32_bits_ends_the_session) {
  peer_fixture t;
  t.send(syn(1) + credit(1, 0xffffffff - mux_initial_window_bytes));
  CAF_CHECK(!t.state.done);
  CAF_CHECK_EQUAL(t.send(credit(1, 1)), go_away(1));
  CAF_CHECK(t.state.done);
}

namespace {

/// Sends `bytes` in frames of 16 KiB; reads them at once if told. The sum and the largest of the
/// credits given.
std::pair<size_t, size_t> pump(peer_fixture& t, size_t bytes, bool read) {
  std::pair<size_t, size_t> given{0, 0};
  for (size_t sent = 0; sent < bytes; sent += 16'384) {
    auto said = t.send(data(1, std::string(16'384, 'x')));
    if (read)
      read_all(*t.streams[0]);
    said += t.output();
    for (; said.size() >= 12; said.erase(0, 12)) {
      auto header = decode_mux_header(said);
      CAF_REQUIRE(header && header->type == mux_type::window_update && header->stream == 1);
      given.first += header->length;
      given.second = std::max<size_t>(given.second, header->length);
    }
    if (t.state.done)
      return given;
  }
  return given;
}

} // namespace

CAF_TEST(credit_comes_only_for_what_was_read) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1));
  auto given = pump(t, mux_initial_window_bytes, false);
  CAF_CHECK_EQUAL(given.first, 0u);
  CAF_CHECK_EQUAL(t.session->unread_bytes(), mux_initial_window_bytes);
  read_all(*t.streams[0]);
  CAF_CHECK(!t.output().empty());
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
}

CAF_TEST(reader_that_waits_without_another_read_is_not_forgotten) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1));
  std::vector<char> exact(144
                          * 1024); // more than half a window, the last third too little to settle
  t.send(data(1, std::string(exact.size(), 'x')));
  for (size_t part = exact.size() / 3, done = 0; done < exact.size(); done += part)
    CAF_CHECK_EQUAL(t.streams[0]->try_read({exact.data(), part}).bytes, part);
  answer waiting;
  launch(t.on.executor(), keep_answer(t.streams[0]->wait_readable(), waiting), "wait");
  t.poll();
  CAF_CHECK(!waiting.done);
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
  CAF_CHECK(!t.output().empty());
}

CAF_TEST(window_of_a_fast_reader_grows_to_the_maximum_and_no_further) {
  auto limits = without_pings();
  limits.window_bytes_max = 1 << 20;
  peer_fixture t{limits};
  t.session->set_trusted();
  t.send(syn(1));
  size_t sent = 16u << 20;
  auto given = pump(t, sent, true);
  CAF_CHECK(!t.state.done);
  CAF_CHECK(given.second > mux_initial_window_bytes);
  CAF_CHECK(given.first + mux_initial_window_bytes <= sent + limits.window_bytes_max);
  CAF_CHECK(given.first + mux_initial_window_bytes > sent);
}

CAF_TEST(window_of_a_slow_reader_does_not_grow) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1));
  size_t largest = 0;
  for (int i = 0; i < 100; ++i) {
    largest = std::max(largest, pump(t, 16'384, true).second);
    t.pass(1s);
  }
  CAF_CHECK(largest > 0);
  CAF_CHECK(largest <= mux_initial_window_bytes);
}

CAF_TEST(session_budget_bounds_growth) {
  auto limits = without_pings();
  limits.unread_bytes_max = 300'000;
  peer_fixture t{limits};
  t.session->set_trusted();
  t.send(syn(1));
  auto given = pump(t, 8u << 20, true);
  CAF_CHECK(given.second <= 2 * mux_initial_window_bytes);
}

CAF_TEST(windows_shrink_while_too_much_is_unread) {
  auto limits = without_pings();
  limits.unread_bytes_max = 100'000;
  peer_fixture t{limits};
  t.session->set_trusted();
  t.send(syn(1) + syn(3) + data(3, std::string(200'000, 'y'))); // nobody reads stream 3
  auto given = pump(t, mux_initial_window_bytes, true);
  CAF_CHECK(given.first > 0);
  CAF_CHECK(given.first <= 64 * 1024);
  CAF_CHECK(pump(t, 32'768, true).first > 0); // and the stream goes on
  CAF_CHECK(!t.state.done);
}

CAF_TEST(stream_that_overruns_the_session_is_reset) {
  auto limits = without_pings();
  limits.unread_bytes_max = 1000;
  peer_fixture t{limits};
  t.session->set_trusted();
  CAF_CHECK_EQUAL(t.send(syn(1) + syn(3) + data(1, std::string(7000, 'x'))), ack(1) + ack(3));
  CAF_CHECK_EQUAL(t.send(data(3, std::string(2000, 'x'))), rst(3));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]).size(), 7000u);
}

CAF_TEST(unread_stream_does_not_stop_the_others) {
  peer_fixture t;
  t.session->set_trusted();
  t.send(syn(1) + syn(3) + data(1, std::string(mux_initial_window_bytes, 'x')));
  for (int i = 0; i < 10; ++i) {
    t.send(data(3, "ping"));
    CAF_CHECK_EQUAL(read_all(*t.streams[1]), "ping");
    t.streams[1]->try_write("pong");
    CAF_CHECK_EQUAL(t.output(), data(3, "pong"));
  }
}

// -- before trust -------------------------------------------------------------------------------

CAF_TEST(untrusted_peer_has_two_streams) {
  peer_fixture t;
  CAF_CHECK_EQUAL(t.send(syn(1) + syn(3) + syn(5)), ack(1) + ack(3) + rst(5));
  CAF_CHECK_EQUAL(t.streams.size(), 2u);
  t.session->set_trusted();
  CAF_CHECK_EQUAL(t.send(syn(7)), ack(7));
}

CAF_TEST(untrusted_stream_sends_one_message_ahead_of_its_reader) {
  peer_fixture t;
  std::string message(preamble_bytes_max, 'x');
  CAF_CHECK_EQUAL(t.send(syn(1) + data(1, message)), ack(1));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]).size(), message.size());
  CAF_CHECK_EQUAL(t.send(data(1, message)), "");
  CAF_CHECK_EQUAL(t.send(data(1, "x")), rst(1));
  CAF_CHECK(!t.state.done);
}

CAF_TEST(untrusted_peer_gets_no_credit_until_it_is_trusted) {
  peer_fixture t;
  t.send(syn(1));
  std::string said;
  for (int i = 0; i < 25; ++i) {
    said += t.send(data(1, std::string(10'000, 'x')));
    read_all(*t.streams[0]);
    said += t.output();
  }
  CAF_CHECK_EQUAL(said, "");
  t.session->set_trusted();
  auto given = decode_mux_header(t.output());
  CAF_REQUIRE(given.has_value());
  CAF_CHECK_EQUAL(given->stream, 1u);
  CAF_CHECK(given->length >= 250'000u);
}
