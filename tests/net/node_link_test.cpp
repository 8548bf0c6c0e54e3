// Node links between members: frames, streams, limits, ends (storage.md 10, 11; quality.md N01).
#define CAF_SUITE node_link
#include "net/dialer.hpp"
#include "net/mux_session.hpp"
#include "net/node_link_core.hpp"
#include "tests/net/node_world.hpp"

using namespace node_world;

namespace {

struct pair_of_nodes : world {
  explicit pair_of_nodes(node_limits limits = {})
      : a(add(1, nullptr, limits)), b(add(2, nullptr, limits)) {}
  node_link_ptr link() {
    auto out = dial(a, b, 2);
    CAF_REQUIRE_EQUAL(out.words, "");
    CAF_REQUIRE(out.link != nullptr);
    CAF_REQUIRE(until([this] { return !b.gate.links.empty(); }));
    return out.link;
  }
  node& a;
  node& b;
};

/// A member that speaks TLS and mux but does with stream 1 what the test wants.
struct rough_member {
  rough_member(world& in, node& to, uint8_t number) : w(in) {
    std::vector<tls_key_row> rows{{"harp/1", identity(number)}};
    auto made = tls_context::client(rows);
    auto context = std::get<std::shared_ptr<tls_context>>(made);
    dialer connect{w.on};
    auto reached = w.run(connect.tcp("127.0.0.1", to.port(), 5s));
    CAF_REQUIRE(reached.stream != nullptr);
    auto anybody = [](std::string_view, std::string_view) { return true; };
    auto secured = w.run(tls_connect(w.on, std::move(reached.stream), context, anybody, 5s));
    CAF_REQUIRE_EQUAL(secured.error, "");
    mux = mux_session::make(w.on, std::move(secured.stream), mux_role::client, {}, nullptr);
    launch(w.on.executor(), run(mux), "rough member");
  }
  ~rough_member() {
    control.reset();
    mux->close("over");
    w.settle();
  }
  static asio::awaitable<void> run(std::shared_ptr<mux_session> session) {
    co_await session->run();
  }
  void say(std::string_view bytes) {
    if (!control)
      control = mux->open();
    control->try_write(bytes);
  }
  world& w;
  std::shared_ptr<mux_session> mux;
  stream_ptr control;
};

asio::awaitable<void> send_into(stream& to, std::string head, std::string body, bool& done) {
  done = co_await write_frame(to, 12, 0, head, body);
}

} // namespace

CAF_TEST(members_see_each_other_by_key) {
  pair_of_nodes t;
  auto near = t.link();
  auto far = t.b.gate.links.front();
  CAF_CHECK(near->peer() == key(2));
  CAF_CHECK(far->peer() == key(1));
  CAF_CHECK(near->facts().dialled);
  CAF_CHECK(!far->facts().dialled);
  CAF_CHECK_EQUAL(far->facts().remote.to_string(), "127.0.0.1");
  CAF_CHECK(near->facts().path == link_path::tcp);
  CAF_CHECK_EQUAL(t.a.gate.links.size(), 1u);
  CAF_CHECK_EQUAL(t.b.end->counts().accepted, 1u);
  CAF_CHECK_EQUAL(t.a.end->counts().dialled, 1u);
  CAF_CHECK_EQUAL(t.b.end->links_of(key(1)).size(), 1u);
  CAF_CHECK(t.b.end->links_of(key(3)).empty());
}

CAF_TEST(control_frames_arrive_in_order_both_ways) {
  pair_of_nodes t;
  auto near = t.link();
  auto far = t.b.gate.links.front();
  constexpr unsigned frames = 2000;
  for (unsigned i = 0; i < frames; ++i) {
    CAF_REQUIRE(near->send_control(4, peer_flag::optional, "n" + std::to_string(i)));
    CAF_REQUIRE(far->send_control(9, 0, std::string(i % 700, 'f')));
  }
  CAF_REQUIRE(t.until(
      [&] { return t.b.gate.frames.size() == frames && t.a.gate.frames.size() == frames; }));
  bool good = true;
  for (unsigned i = 0; i < frames; ++i)
    good = good && t.b.gate.frames[i].view() == "n" + std::to_string(i)
           && t.b.gate.frames[i].type == 4 && t.b.gate.frames[i].is_optional()
           && t.a.gate.frames[i].payload.size() == i % 700;
  CAF_CHECK(good);
  CAF_CHECK_EQUAL(near->counts().control_sent, far->counts().control_received);
}

CAF_TEST(largest_control_frame_passes_and_a_larger_one_is_refused_here) {
  pair_of_nodes t;
  auto near = t.link();
  CAF_CHECK(near->send_control(3, 0, std::string(control_frame_bytes_max, 'r')));
  CAF_CHECK(!near->send_control(3, 0, std::string(control_frame_bytes_max + 1, 'r')));
  CAF_CHECK(!near->send_control(0, 0, "no type"));
  CAF_REQUIRE(t.until([&] { return t.b.gate.frames.size() == 1; }));
  CAF_CHECK_EQUAL(t.b.gate.frames[0].payload.size(), control_frame_bytes_max);
}

CAF_TEST(control_queue_is_bounded_while_the_peer_does_not_read) {
  node_limits limits;
  limits.control_queue_bytes_max = 1u << 20;
  pair_of_nodes t{limits};
  t.b.gate.reads = false;
  auto near = t.link();
  std::string payload(10'000, 'q');
  size_t taken = 0;
  for (bool more = true; more && taken < 10'000; ++taken) {
    more = near->send_control(4, 0, payload);
    t.settle();
  }
  CAF_CHECK(taken * payload.size() < (1u << 20) + (4u << 20));
  CAF_CHECK(near->is_open());
  t.b.gate.reads = true;
  t.b.gate.on_link(t.b.gate.links.front());
  CAF_REQUIRE(t.until([&] { return t.b.gate.frames.size() == taken - 1; }));
  CAF_CHECK(near->send_control(4, 0, payload));
}

CAF_TEST(data_streams_open_from_both_sides_and_end_with_fin) {
  pair_of_nodes t;
  auto near = t.link();
  auto far = t.b.gate.links.front();
  auto there = near->open_data();
  CAF_REQUIRE(there != nullptr);
  CAF_CHECK(t.run(write_frame(*there, 11, 0, "head", std::string(100'000, 'b'))));
  there->shutdown_write();
  CAF_REQUIRE(t.until([&] { return t.b.gate.streams.size() == 1; }));
  peer_frame got;
  CAF_CHECK(t.run(read_frame(*t.b.gate.streams[0], got)) == frame_status::ok);
  CAF_CHECK_EQUAL(got.payload.size(), 100'004u);
  CAF_CHECK(got.view().starts_with("headbbb"));
  CAF_CHECK(t.run(read_frame(*t.b.gate.streams[0], got)) == frame_status::end);
  CAF_CHECK(t.run(write_frame(*t.b.gate.streams[0], 12, 0, "answer")));
  t.b.gate.streams[0]->shutdown_write();
  CAF_CHECK(t.run(read_frame(*there, got)) == frame_status::ok);
  CAF_CHECK_EQUAL(got.view(), "answer");
  auto back = far->open_data();
  CAF_REQUIRE(back != nullptr);
  CAF_CHECK(t.run(write_frame(*back, 11, 0, "")));
  CAF_REQUIRE(t.until([&] { return t.a.gate.streams.size() == 1; }));
  back->close(true);
  CAF_REQUIRE(t.until([&] { return t.a.gate.streams[0]->peer_gone(); }));
  CAF_CHECK(near->is_open());
}

CAF_TEST(frames_of_the_largest_size_pass_and_larger_ones_do_not) {
  pair_of_nodes t;
  auto near = t.link();
  auto there = near->open_data();
  std::string body(data_frame_bytes_max - 64, 'x');
  std::string head(64, 'h');
  bool done = false;
  launch(t.on.executor(), send_into(*there, head, body, done), "send");
  CAF_REQUIRE(t.until([&] { return t.b.gate.streams.size() == 1; }));
  peer_frame got;
  CAF_CHECK(t.run(read_frame(*t.b.gate.streams[0], got)) == frame_status::ok);
  CAF_CHECK_EQUAL(got.payload.size(), data_frame_bytes_max);
  CAF_CHECK(done);
  CAF_CHECK(!t.run(write_frame(*there, 12, 0, head + "h", body)));
  there->try_write(encode_peer_frame(12, 0, "").replace(0, 4, std::string("\x00\x10\x00\x41", 4)));
  CAF_CHECK(t.run(read_frame(*t.b.gate.streams[0], got)) == frame_status::bad);
}

CAF_TEST(end_inside_a_frame_is_told_from_an_end_between_frames) {
  pair_of_nodes t;
  auto near = t.link();
  std::string whole = encode_peer_frame(12, 0, "payload");
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    auto there = near->open_data();
    there->try_write(whole.substr(0, cut));
    there->shutdown_write();
    CAF_REQUIRE(t.until([&] { return !t.b.gate.streams.empty(); }));
    peer_frame got;
    auto status = t.run(read_frame(*t.b.gate.streams[0], got));
    auto wanted = cut == 0              ? frame_status::end
                  : cut == whole.size() ? frame_status::ok
                                        : frame_status::cut;
    CAF_CHECK(status == wanted);
    t.b.gate.streams.clear();
    t.settle();
  }
}

CAF_TEST(data_streams_per_link_are_limited) {
  node_limits limits;
  limits.data_streams_max = 8;
  pair_of_nodes t{limits};
  auto near = t.link();
  std::vector<stream_ptr> open;
  for (unsigned i = 0; i < 8; ++i) {
    open.push_back(near->open_data());
    CAF_REQUIRE(open.back() != nullptr);
  }
  CAF_CHECK(near->open_data() == nullptr);
  CAF_REQUIRE(t.until([&] { return t.b.gate.streams.size() == 8; }));
  CAF_CHECK_EQUAL(near->counts().data_streams, 8u);
  open.front()->close(true);
  CAF_CHECK(near->open_data() != nullptr);
}

CAF_TEST(links_of_one_peer_are_limited) {
  pair_of_nodes t;
  std::vector<node_link_ptr> links;
  for (unsigned i = 0; i < 5; ++i)
    links.push_back(t.link());
  auto sixth = t.dial(t.a, t.b, 2);
  CAF_CHECK(sixth.link == nullptr);
  CAF_CHECK(sixth.error == link_error::busy);
  links.front()->close("one less");
  CAF_REQUIRE(t.until([&] { return t.b.end->links().size() == 4; }));
  CAF_REQUIRE(t.until([&] { return t.a.end->links().size() == 4; }));
  CAF_CHECK(t.dial(t.a, t.b, 2).link != nullptr);
}

CAF_TEST(sixth_link_that_only_the_other_side_counts_is_refused_there) {
  world t;
  auto& b = t.add(2);
  std::vector<node*> selves; // one device, its own endpoints: nothing is counted on its side
  for (unsigned i = 0; i < 6; ++i)
    selves.push_back(&t.add(1));
  for (unsigned i = 0; i < 5; ++i)
    CAF_REQUIRE(t.dial(*selves[i], b, 2).link != nullptr);
  auto sixth = t.dial(*selves[5], b, 2);
  CAF_CHECK(sixth.link == nullptr);
  CAF_CHECK(sixth.error == link_error::refused);
  CAF_CHECK(selves[5]->gate.links.empty());
  CAF_CHECK_EQUAL(b.end->links().size(), 5u);
  CAF_CHECK_EQUAL(b.gate.ended.size(), 0u);
}

CAF_TEST(revoked_peer_loses_its_links_at_once) {
  pair_of_nodes t;
  auto near = t.link();
  t.b.gate.members.erase(key(1));
  CAF_CHECK_EQUAL(t.b.end->recheck_members(), 1u);
  CAF_REQUIRE(t.until([&] { return !t.a.gate.ended.empty() && !t.b.gate.ended.empty(); }));
  CAF_CHECK_EQUAL(t.b.gate.ended[0].second, "the peer is no longer a member");
  CAF_CHECK(!near->is_open());
  CAF_CHECK(!near->send_control(4, 0, "late"));
  CAF_CHECK(near->open_data() == nullptr);
  auto again = t.dial(t.a, t.b, 2);
  CAF_CHECK(again.error == link_error::refused);
  CAF_CHECK(t.dial(t.b, t.a, 1).error == link_error::not_admitted);
}

CAF_TEST(end_is_told_once_on_each_side) {
  pair_of_nodes t;
  auto near = t.link();
  near->close("enough");
  near->close("really");
  CAF_REQUIRE(t.until([&] { return !t.a.gate.ended.empty() && !t.b.gate.ended.empty(); }));
  t.pass(1s);
  CAF_CHECK_EQUAL(t.a.gate.ended.size(), 1u);
  CAF_CHECK_EQUAL(t.b.gate.ended.size(), 1u);
  CAF_CHECK_EQUAL(t.a.gate.ended[0].second, "enough");
  CAF_CHECK_EQUAL(near->end_reason(), "enough");
  CAF_CHECK(t.a.end->links().empty());
  CAF_CHECK(t.b.end->links().empty());
}

CAF_TEST(hostile_control_frames_end_the_link_only) {
  std::string too_long
      = encode_peer_frame(4, 0, "").replace(0, 4, std::string("\x00\x04\x00\x01", 4));
  std::string no_type = std::string("\x00\x00\x00\x00\x00\x00", 6);
  for (const auto& bytes : {too_long, no_type}) {
    pair_of_nodes t;
    auto good = t.link();
    rough_member bad{t, t.b, 3};
    bad.say(bytes);
    CAF_REQUIRE(t.until([&] { return !t.b.gate.ended.empty(); }));
    CAF_CHECK_EQUAL(t.b.gate.ended.size(), 1u);
    CAF_CHECK(t.b.gate.frames.empty());
    CAF_CHECK(good->is_open());
  }
}

CAF_TEST(member_that_opens_no_control_stream_is_let_go) {
  pair_of_nodes t;
  rough_member silent{t, t.b, 3};
  CAF_REQUIRE(t.until([&] { return t.b.gate.links.size() == 1; }));
  t.pass(5s);
  CAF_CHECK(t.b.gate.ended.empty());
  t.pass(6s);
  CAF_REQUIRE(t.until([&] { return !t.b.gate.ended.empty(); }));
  CAF_CHECK_EQUAL(t.b.gate.ended[0].second, "the peer opened no control stream in time");
}

CAF_TEST(end_of_the_control_stream_ends_the_link) {
  pair_of_nodes t;
  rough_member member{t, t.b, 3};
  member.say(encode_peer_frame(4, 0, "one"));
  CAF_REQUIRE(t.until([&] { return t.b.gate.frames.size() == 1; }));
  member.control->shutdown_write();
  CAF_REQUIRE(t.until([&] { return !t.b.gate.ended.empty(); }));
  CAF_CHECK_EQUAL(t.b.gate.ended[0].second, "the peer ended the control stream");
}

CAF_TEST(streams_that_come_with_the_first_bytes_wait_for_on_link) {
  pair_of_nodes t;
  rough_member member{t, t.b, 3};
  member.say(encode_peer_frame(1, 0, "hello"));
  auto early = member.mux->open();
  early->try_write("first");
  CAF_REQUIRE(t.until([&] { return t.b.gate.streams.size() == 1; }));
  CAF_CHECK_EQUAL(t.b.gate.links.size(), 1u);
  CAF_REQUIRE(t.until([&] { return t.b.gate.frames.size() == 1; }));
}

CAF_TEST(round_trips_are_smoothed) {
  pair_of_nodes t;
  auto link = t.link();
  CAF_CHECK_EQUAL(link->srtt().count(), 0);
  link->note_round_trip(8000us);
  CAF_CHECK_EQUAL(link->srtt().count(), 8000);
  link->note_round_trip(16000us);
  CAF_CHECK_EQUAL(link->srtt().count(), 9000);
}
