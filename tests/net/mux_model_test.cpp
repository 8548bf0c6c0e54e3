// Two mux sessions against a model, a noisy peer, other threads: acceptance 6-8.
#define CAF_SUITE mux_model
#include "net/socket_stream.hpp"
#include "tests/net/mux_peer.hpp"

#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <future>
#include <iostream>
#include <map>
#include <random>

using namespace harp::net;

// -- a model ------------------------------------------------------------------------------------

namespace {

/// One direction of a stream as it should be: bytes are made by a rule, so both ends know them.
struct modelled {
  stream_ptr end;
  size_t written = 0, read = 0;
  bool fin_sent = false, eof_seen = false, dead = false;
  uint32_t key = 0;
};

constexpr size_t pattern_bytes_max = 100'000; // of one piece

/// `count` bytes as they stand at `position` of the stream direction `key`.
std::string_view pattern(uint32_t key, size_t position, size_t count) {
  constexpr size_t period = 1'000'003; // a prime: no window or frame size divides it
  static const std::string bytes = [] {
    std::mt19937 random{1};
    std::string made(period + pattern_bytes_max, 0);
    for (size_t i = 0; i < made.size(); ++i)
      made[i] = i < period ? static_cast<char>(random()) : made[i - period];
    return made;
  }();
  return std::string_view{bytes}.substr((position + key * 7919u) % period, count);
}

struct model_fixture {
  loop on{0};
  std::mt19937 random;
  std::shared_ptr<mux_session> sessions[2];
  running states[2];
  /// By side, then by the order of opening: a number that is also the first 4 bytes on the stream.
  std::map<uint32_t, modelled> ends[2];
  std::vector<stream_ptr> unnamed[2];
  uint32_t next_key = 0;

  explicit model_fixture(uint32_t seed) : random(seed) {
    auto [a, b] = pipe_stream::make_pair(1 + random() % 100'000);
    auto limits = without_pings();
    limits.unsent_bytes_max = 20'000 + random() % 1'000'000;
    limits.window_bytes_max = 262'144 + random() % 1'000'000;
    limits.opens_per_second_max = 1'000'000;
    for (int side : {0, 1}) {
      sessions[side] = mux_session::make(
          on, side == 0 ? stream_ptr{std::move(a)} : stream_ptr{std::move(b)},
          side == 0 ? mux_role::client : mux_role::server, limits,
          [this, side](stream_ptr s) { unnamed[side].push_back(std::move(s)); });
      sessions[side]->set_trusted();
      launch(on.executor(), run_to_end(sessions[side], states[side]), "session");
    }
  }
  ~model_fixture() {
    sessions[0]->close("over");
    on.io().restart();
    on.io().poll();
  }
  void open(int side) {
    auto made = sessions[side]->open();
    if (made == nullptr)
      return;
    uint32_t key = next_key++;
    std::string name(reinterpret_cast<const char*>(&key), sizeof key);
    auto sent = made->try_write(name);
    if (sent.bytes != name.size())
      return made->close(true);
    ends[side][key] = modelled{std::move(made), 0, 0, false, false, false, key};
  }
  /// Streams the peer opened are known by their first four bytes.
  void name_new(int side) {
    std::erase_if(unnamed[side], [&](stream_ptr& each) {
      uint32_t key = 0;
      auto got = each->try_read({reinterpret_cast<char*>(&key), sizeof key});
      if (got.status == io_status::again)
        return false;
      if (got.status != io_status::ok)
        return true;
      CAF_REQUIRE_EQUAL(got.bytes, sizeof key);
      ends[side][key] = modelled{std::move(each), 0, 0, false, false, false, key};
      return true;
    });
  }
  void write(int side, modelled& end) {
    if (end.fin_sent || end.dead)
      return;
    auto bytes = pattern(end.key * 2 + static_cast<uint32_t>(side), end.written,
                         1 + random() % pattern_bytes_max);
    size_t cut = random() % bytes.size();
    auto sent = end.end->try_write(bytes.substr(0, cut), bytes.substr(cut));
    if (sent.status == io_status::failed)
      end.dead = true;
    end.written += sent.bytes;
  }
  void read(int side, modelled& end) {
    std::vector<char> space(1 + random() % 70'000);
    auto got = end.end->try_read(space);
    if (got.status == io_status::failed)
      end.dead = true;
    if (got.status == io_status::eof)
      end.eof_seen = true;
    auto due = pattern(end.key * 2 + static_cast<uint32_t>(1 - side), end.read, got.bytes);
    CAF_REQUIRE(std::string_view(space.data(), got.bytes) == due);
    end.read += got.bytes;
  }
  void step() {
    int side = static_cast<int>(random() % 2);
    name_new(side);
    unsigned what = random() % 100;
    if (ends[side].empty() || (what < 3 && ends[side].size() < 20))
      return open(side);
    auto chosen = ends[side].begin();
    std::advance(chosen, random() % ends[side].size());
    if (what < 40)
      write(side, chosen->second);
    else if (what < 80)
      read(side, chosen->second);
    else if (what < 82)
      chosen->second.end->shutdown_write(), chosen->second.fin_sent = true;
    else if (what == 82)
      chosen->second.end->close(random() % 2 == 0), chosen->second.dead = true;
    else if (what == 83 && (chosen->second.dead || chosen->second.eof_seen))
      ends[side].erase(chosen);
    else
      on.io().restart(), what < 90 ? on.io().poll() : on.io().poll_one();
  }
  void settle() {
    for (int round = 0; round < 20'000; ++round) {
      on.io().restart();
      size_t ran = on.io().poll();
      size_t before = 0, after = 0;
      for (int side : {0, 1}) {
        name_new(side);
        for (auto& [key, end] : ends[side]) {
          before += end.read;
          read(side, end);
          after += end.read;
        }
      }
      if (ran == 0 && before == after)
        return;
    }
    CAF_FAIL("does not come to rest");
  }
  void check_complete() {
    for (auto& [key, end] : ends[0]) {
      auto other = ends[1].find(key);
      if (end.dead || other == ends[1].end() || other->second.dead)
        continue;
      CAF_CHECK_EQUAL(end.read, other->second.written);
      CAF_CHECK_EQUAL(other->second.read, end.written);
      CAF_CHECK_EQUAL(end.eof_seen, other->second.fin_sent);
      CAF_CHECK_EQUAL(other->second.eof_seen, end.fin_sent);
    }
  }
};

} // namespace

CAF_TEST(random_use_of_two_sessions_matches_the_model) {
  auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  for (uint32_t run = 0; run < 12; ++run) {
    CAF_MESSAGE("seed " << seed << " run " << run);
    model_fixture t{seed + run};
    for (int i = 0; i < 2500; ++i)
      t.step();
    t.settle();
    CAF_CHECK(!t.states[0].done && !t.states[1].done);
    t.check_complete();
    for (int side : {0, 1})
      t.ends[side].clear();
    t.settle();
    CAF_CHECK_EQUAL(t.sessions[0]->stream_count(), 0u);
    CAF_CHECK_EQUAL(t.sessions[1]->stream_count(), 0u);
    CAF_CHECK_EQUAL(t.sessions[0]->unread_bytes(), 0u);
  }
}

CAF_TEST(random_bytes_never_break_a_session) {
  auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random{seed};
  for (int run = 0; run < 300; ++run) {
    peer_fixture t;
    std::string bytes;
    for (int i = 0; i < 50; ++i) {
      auto type = static_cast<mux_type>(random() % 4);
      uint32_t length = random() % 8 == 0 ? static_cast<uint32_t>(random()) : random() % 300;
      bytes += frame(type, static_cast<int>(random() % 16), random() % 12, length);
      if (type == mux_type::data && length < 300)
        bytes.append(length, 'p');
    }
    t.peer->try_write(bytes);
    t.poll();
    for (auto& each : t.streams) {
      read_all(*each);
      each->try_write("answer");
    }
    t.poll();
    CAF_CHECK(t.session->stream_count() <= 2);
  }
}

// -- other threads ------------------------------------------------------------------------------

namespace {

constexpr size_t crossing_bytes = 8u << 20;

asio::awaitable<void> send_pattern(stream_ptr& to, uint32_t key, std::promise<bool>& done) {
  constexpr size_t block_bytes = 50'000;
  bool ok = true;
  for (size_t sent = 0; ok && sent < crossing_bytes; sent += block_bytes)
    ok = co_await write_all(*to, pattern(key, sent, std::min(block_bytes, crossing_bytes - sent)));
  to->shutdown_write();
  done.set_value(ok);
}

asio::awaitable<void> check_pattern(stream_ptr& from, uint32_t key, std::promise<bool>& done) {
  std::vector<char> space(65'536);
  size_t total = 0;
  for (;;) {
    auto got = co_await read_some(*from, space);
    if (got.status != io_status::ok)
      break;
    if (std::string_view(space.data(), got.bytes) != pattern(key, total, got.bytes))
      co_return done.set_value(false);
    total += got.bytes;
  }
  done.set_value(total == crossing_bytes);
}

} // namespace

CAF_TEST(streams_work_on_other_threads_than_their_session) {
  runtime loops{2};
  asio::local::stream_protocol::socket a{loops.at(0).io()}, b{loops.at(1).io()};
  asio::local::connect_pair(a, b);
  running states[2];
  std::promise<stream_ptr> arrived;
  auto near
      = mux_session::make(loops.at(0), make_socket_stream(std::move(a)), mux_role::client, {}, {});
  auto far = mux_session::make(loops.at(1), make_socket_stream(std::move(b)), mux_role::server, {},
                               [&](stream_ptr opened) { arrived.set_value(std::move(opened)); });
  near->set_trusted();
  far->set_trusted();
  std::promise<void> ended[2];
  auto watch = [](std::shared_ptr<mux_session> session,
                  std::promise<void>& told) -> asio::awaitable<void> {
    co_await session->run();
    session.reset();
    told.set_value();
  };
  launch(loops.at(0).executor(), watch(near, ended[0]), "near");
  launch(loops.at(1).executor(), watch(far, ended[1]), "far");
  loops.start();
  stream_ptr here = near->open();
  stream_ptr there = arrived.get_future().get();
  std::promise<bool> done[4];
  launch(loops.at(1).executor(), send_pattern(here, 1, done[0]),
         "send"); // crosswise: each on the other's thread
  launch(loops.at(1).executor(), check_pattern(here, 2, done[1]), "check");
  launch(loops.at(0).executor(), send_pattern(there, 2, done[2]), "send");
  launch(loops.at(0).executor(), check_pattern(there, 1, done[3]), "check");
  for (auto& each : done)
    CAF_CHECK(each.get_future().get());
  near->close("over");
  ended[0].get_future().get();
  ended[1].get_future().get();
  loops.stop();
}
