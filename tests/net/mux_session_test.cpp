// Streams of a mux session opened, used and closed: frp.md 1.1 and the transcript of frp.md 10.
#define CAF_SUITE mux_session
#include "tests/net/mux_peer.hpp"

using namespace harp::net;

// -- opening ------------------------------------------------------------------------------------

CAF_TEST(acknowledges_a_stream_on_receipt) {
  peer_fixture t;
  CAF_CHECK_EQUAL(t.send(from_hex("0001000100000001005c0000")), ack(1));
  CAF_CHECK_EQUAL(t.streams.size(), 1u);
  CAF_CHECK_EQUAL(t.session->stream_count(), 1u);
}

CAF_TEST(syn_may_ride_on_data_and_carry_fin) {
  peer_fixture t;
  CAF_CHECK_EQUAL(t.send(data(1, "hello", mux_flag::syn | mux_flag::fin)), ack(1));
  CAF_REQUIRE_EQUAL(t.streams.size(), 1u);
  io_status last{};
  CAF_CHECK_EQUAL(read_all(*t.streams[0], &last), "hello");
  CAF_CHECK(last == io_status::eof);
}

CAF_TEST(ids_may_come_out_of_order) {
  peer_fixture t;
  t.session->set_trusted();
  CAF_CHECK_EQUAL(t.send(syn(5) + syn(1) + syn(3)), ack(5) + ack(1) + ack(3));
  t.send(data(1, "one") + data(5, "five") + data(3, "three"));
  CAF_REQUIRE_EQUAL(t.streams.size(), 3u);
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "five");
  CAF_CHECK_EQUAL(read_all(*t.streams[1]), "one");
  CAF_CHECK_EQUAL(read_all(*t.streams[2]), "three");
}

CAF_TEST(live_id_opened_again_ends_the_session) {
  peer_fixture t;
  t.send(syn(1));
  CAF_CHECK_EQUAL(t.send(syn(1)), go_away(1));
  CAF_CHECK(t.state.done);
  CAF_CHECK_EQUAL(t.state.reason, "protocol error: a stream id that is in use");
}

CAF_TEST(id_of_the_wrong_side_ends_the_session) {
  for (uint32_t id : {0u, 2u, 0xfffffffeu}) {
    peer_fixture t;
    CAF_CHECK_EQUAL(t.send(syn(id)), go_away(1));
    CAF_CHECK(t.state.done);
    CAF_CHECK(t.streams.empty());
  }
  peer_fixture client{without_pings(), 1 << 20, true, mux_role::client};
  CAF_CHECK_EQUAL(client.send(syn(2)), ack(2));
  CAF_CHECK_EQUAL(client.send(syn(1)), go_away(1));
}

CAF_TEST(both_sides_open_streams_and_use_them_at_once) {
  peer_fixture t;
  auto opened = t.session->open();
  CAF_REQUIRE(opened != nullptr);
  opened->try_write("head", "body");
  CAF_CHECK_EQUAL(t.output(), syn(2) + data(2, "headbody"));
  t.send(ack(2) + data(2, "back"));
  CAF_CHECK_EQUAL(read_all(*opened), "back");
  auto second = t.session->open();
  CAF_CHECK_EQUAL(t.output(), syn(4));
}

CAF_TEST(peer_may_refuse_our_stream) {
  peer_fixture t;
  auto opened = t.session->open();
  t.output();
  t.send(rst(2));
  CAF_CHECK(status_of(*opened) == io_status::failed);
  CAF_CHECK(opened->peer_gone());
  CAF_CHECK_EQUAL(opened->failure(), "stream reset");
  CAF_CHECK_EQUAL(t.session->stream_count(), 0u);
}

CAF_TEST(unacknowledged_opens_are_limited) {
  auto limits = without_pings();
  limits.unacked_opens_max = 2;
  peer_fixture t{limits};
  auto a = t.session->open(), b = t.session->open();
  CAF_CHECK(a != nullptr && b != nullptr);
  CAF_CHECK(t.session->open() == nullptr);
  t.send(ack(2));
  auto c = t.session->open();
  CAF_CHECK(c != nullptr);
  t.send(rst(4)); // a refusal answers too
  auto d = t.session->open();
  CAF_CHECK(d != nullptr);
  CAF_CHECK(t.session->open() == nullptr);
}

// -- the transcript of frp.md 10 ----------------------------------------------------------------

namespace {

const std::string login_message = from_hex("6f00000000000000b57b2276657273696f6e223a22302e36312e312"
                                           "22c226f73223a226c696e7578222c2261726368223a22616d643634"
                                           "222c2270726976696c6567655f6b6579223a2232343932306465636"
                                           "63833663639363062383066373337613238656561666331222c2274"
                                           "696d657374616d70223a313730303030303030302c226d657461732"
                                           "23a7b22746f6b656e223a22736563726574227d2c22636c69656e74"
                                           "5f73706563223a7b7d2c22706f6f6c5f636f756e74223a317d");
const std::string work_message
    = from_hex("77000000000000001d7b2272756e5f6964223a2230313233343536373839616263646566227d");
const std::string proxy_iv = from_hex("101112131415161718191a1b1c1d1e1f");
const std::string proxy_message = from_hex("4d6bc19e410a086216c060cb5d17fcc3bcbac8ec4c4be0570540441"
                                           "ea174e8e830d9ea9057cd815cce52225b4ed7e9e4b6fd7ba55fdec0"
                                           "2bc2f8e6ce11a6d62e83f05cb2778224");
const std::string client_bytes
    = from_hex("0001000100000001005c0000") + from_hex("0000000000000001000000be") + login_message
      + from_hex("0001000100000003005c0000") + from_hex("000000000000000300000026") + work_message
      + from_hex("000000000000000100000010") + proxy_iv + from_hex("000000000000000100000047")
      + proxy_message + from_hex("00000000000000030000000a6563686f3a68656c6c6f")
      + from_hex("000100040000000300000000") + from_hex("000200010000000000000000");

void check_transcript(peer_fixture& t) {
  CAF_REQUIRE_EQUAL(t.streams.size(), 2u);
  io_status last{};
  CAF_CHECK_EQUAL(read_all(*t.streams[0], &last), login_message + proxy_iv + proxy_message);
  CAF_CHECK(last == io_status::again);
  CAF_CHECK_EQUAL(read_all(*t.streams[1], &last), work_message + "echo:hello");
  CAF_CHECK(last == io_status::eof);
}

} // namespace

CAF_TEST(transcript_is_understood_byte_by_byte_and_at_every_cut) {
  CAF_REQUIRE_EQUAL(login_message.size(), 190u);
  CAF_REQUIRE_EQUAL(proxy_message.size(), 71u);
  auto answers = ack(1) + ack(3) + from_hex("000200020000000000000000");
  peer_fixture single;
  std::string said;
  for (char each : client_bytes)
    said += single.send({&each, 1});
  CAF_CHECK_EQUAL(said, answers);
  check_transcript(single);
  for (size_t cut = 0; cut <= client_bytes.size(); ++cut) {
    peer_fixture t;
    auto first = t.send(std::string_view{client_bytes}.substr(0, cut));
    CAF_CHECK_EQUAL(first + t.send(std::string_view{client_bytes}.substr(cut)), answers);
    check_transcript(t);
  }
}

CAF_TEST(transcript_of_the_server_is_what_a_stock_one_sends) {
  peer_fixture t;
  t.send(client_bytes);
  CAF_REQUIRE_EQUAL(t.streams.size(), 2u);
  t.streams[0]->try_write(from_hex("000102030405060708090a0b0c0d0e0f"));
  CAF_CHECK_EQUAL(t.output(), from_hex("000000000000000100000010000102030405060708090a0b0c0d0e0f"));
  t.streams[0]->try_write(from_hex("8b30610abcb682c5556510"));
  t.streams[1]->try_write("hello");
  CAF_CHECK_EQUAL(t.output(), from_hex("00000000000000010000000b8b30610abcb682c5556510"
                                       "00000000000000030000000568656c6c6f"));
  t.streams[1]->shutdown_write();
  CAF_CHECK_EQUAL(t.output(), from_hex("000100040000000300000000"));
  CAF_CHECK_EQUAL(t.session->stream_count(), 1u);
}

// -- closing ------------------------------------------------------------------------------------

CAF_TEST(stream_is_freed_when_both_sides_sent_fin) {
  peer_fixture t;
  t.send(syn(1) + data(1, "rest") + fin(1));
  CAF_CHECK_EQUAL(t.session->stream_count(), 1u);
  t.streams[0]->shutdown_write();
  CAF_CHECK_EQUAL(t.output(), fin(1));
  CAF_CHECK_EQUAL(t.session->stream_count(), 0u);
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "rest"); // what came before the FIN is still there
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
}

CAF_TEST(fin_is_sent_once) {
  peer_fixture t;
  t.send(syn(1));
  t.streams[0]->try_write("bye");
  t.streams[0]->shutdown_write();
  t.streams[0]->shutdown_write();
  t.streams[0]->close();
  t.streams.clear();
  CAF_CHECK_EQUAL(t.output(), data(1, "bye") + fin(1));
  CAF_CHECK_EQUAL(t.send(fin(1)), "");
  CAF_CHECK_EQUAL(t.session->stream_count(), 0u);
}

CAF_TEST(nothing_is_written_after_fin) {
  peer_fixture t;
  t.send(syn(1));
  t.streams[0]->shutdown_write();
  CAF_CHECK(t.streams[0]->try_write("late").status == io_status::failed);
  CAF_CHECK_EQUAL(t.output(), fin(1));
  t.send(data(1, "still"));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "still");
}

CAF_TEST(second_fin_ends_the_session) {
  peer_fixture t;
  t.send(syn(1) + fin(1));
  CAF_CHECK(!t.state.done);
  CAF_CHECK_EQUAL(t.send(fin(1)), go_away(1));
  CAF_CHECK(t.state.done);
}

CAF_TEST(data_after_fin_resets_the_stream_only) {
  peer_fixture t;
  CAF_CHECK_EQUAL(t.send(syn(1) + fin(1)), ack(1));
  CAF_CHECK_EQUAL(t.send(data(1, "x") + syn(3)), rst(1) + ack(3));
  CAF_CHECK(status_of(*t.streams[0]) == io_status::failed);
  CAF_CHECK(!t.state.done);
}

CAF_TEST(reset_of_the_peer_drops_what_was_buffered) {
  peer_fixture t;
  t.send(syn(1) + data(1, "lost"));
  CAF_CHECK(!t.streams[0]->peer_gone());
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 4u);
  CAF_CHECK_EQUAL(t.send(rst(1)), "");
  CAF_CHECK(t.streams[0]->peer_gone());
  CAF_CHECK(status_of(*t.streams[0]) == io_status::failed);
  CAF_CHECK(t.streams[0]->try_write("x").status == io_status::failed);
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
  t.streams.clear();
  CAF_CHECK_EQUAL(t.output(), "");
}

CAF_TEST(close_with_reset_sends_rst) {
  peer_fixture t;
  t.send(syn(1) + data(1, "unread"));
  t.streams[0]->close(true);
  CAF_CHECK_EQUAL(t.output(), rst(1));
  CAF_CHECK_EQUAL(t.session->stream_count(), 0u);
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
  CAF_CHECK(t.streams[0]->try_write("x").status == io_status::failed);
  CAF_CHECK(status_of(*t.streams[0]) == io_status::failed);
}

CAF_TEST(data_for_a_closed_stream_is_answered_with_rst) {
  peer_fixture t;
  t.send(syn(1));
  t.streams.clear();
  CAF_CHECK_EQUAL(t.output(), fin(1));
  CAF_CHECK_EQUAL(t.session->stream_count(), 1u);
  CAF_CHECK_EQUAL(t.send(data(1, "more")), rst(1));
  CAF_CHECK_EQUAL(t.session->stream_count(), 0u);
  CAF_CHECK_EQUAL(t.session->unread_bytes(), 0u);
}

CAF_TEST(frames_of_unknown_streams_are_skipped) {
  peer_fixture t;
  auto noise
      = data(7, std::string(100'000, 'x')) + fin(9) + rst(11) + credit(13, 5) + data(0, "zero");
  CAF_CHECK_EQUAL(t.send(noise + syn(1) + data(1, "ok")), ack(1));
  CAF_CHECK_EQUAL(read_all(*t.streams[0]), "ok");
}

CAF_TEST(stream_closed_inside_a_frame_swallows_the_rest_of_it) {
  peer_fixture t;
  auto whole = data(1, std::string(1000, 'x'));
  t.send(syn(1) + whole.substr(0, 500));
  t.streams[0]->close(true);
  CAF_CHECK_EQUAL(t.send(whole.substr(500) + syn(3)), rst(1) + ack(3));
}

CAF_TEST(unanswered_fin_becomes_rst_after_five_minutes) {
  for (bool half_close : {false, true}) {
    peer_fixture t{without_pings(), 1 << 20, half_close};
    t.send(syn(1) + syn(3));
    CAF_CHECK_EQUAL(t.streams[0]->half_closes(), half_close);
    t.streams[0]->shutdown_write(); // in use by somebody who may still read
    t.streams[1]->close();
    CAF_CHECK_EQUAL(t.output(), fin(1) + fin(3));
    t.pass(299s);
    CAF_CHECK_EQUAL(t.output(), "");
    t.pass(6s);
    CAF_CHECK_EQUAL(t.output(), half_close ? rst(3) : rst(1) + rst(3));
    CAF_CHECK_EQUAL(t.session->stream_count(), half_close ? 1u : 0u);
  }
}
