// Socket streams over socket pairs and loopback TCP.
#define CAF_SUITE socket_stream
#include "net/runtime.hpp"
#include "net/socket_stream.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <caf/test/unit_test.hpp>

#include <array>
#include <optional>
#include <vector>

using namespace harp::net;
using asio::ip::tcp;

namespace {

using generic_socket = asio::generic::stream_protocol::socket;

struct two_streams {
  stream_ptr a, b;
};

two_streams unix_pair(loop& on) {
  asio::local::stream_protocol::socket a{on.io()}, b{on.io()};
  asio::local::connect_pair(a, b);
  return {make_socket_stream(std::move(a)), make_socket_stream(std::move(b))};
}

two_streams tcp_pair(loop& on) {
  tcp::acceptor acceptor{on.io(), tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
  tcp::socket a{on.io()};
  a.connect(acceptor.local_endpoint());
  tcp::socket b = acceptor.accept();
  return {make_socket_stream(std::move(a)), make_socket_stream(std::move(b))};
}

/// Runs the loop until `what` is done; its result.
template <class T>
T finish(loop& on, asio::awaitable<T> what) {
  std::optional<T> result;
  auto keep = [](asio::awaitable<T> work, std::optional<T>& into) -> asio::awaitable<void> {
    into = co_await std::move(work);
  };
  launch(on.executor(), keep(std::move(what), result), "test");
  on.io().restart();
  while (!result && on.io().run_one() > 0) {
  }
  CAF_REQUIRE(result.has_value());
  return *result;
}

std::string read_text(loop& on, stream& from) {
  std::array<char, 64> space{};
  auto got = finish(on, read_some(from, space));
  return got.status == io_status::ok ? std::string(space.data(), got.bytes) : std::string{};
}

struct result_of_wait {
  bool done = false;
  bool value = false;
};

void start_wait(loop& on, stream& whom, result_of_wait& into) {
  auto work = [](stream& s, result_of_wait& r) -> asio::awaitable<void> {
    r.value = co_await s.wait_readable();
    r.done = true;
  };
  launch(on.executor(), work(whom, into), "wait");
  on.io().restart();
  on.io().poll();
}

} // namespace

CAF_TEST(head_and_body_arrive_in_one_piece) {
  loop on{0};
  for (auto make : {unix_pair, tcp_pair}) {
    auto [a, b] = make(on);
    auto sent = a->try_write("head ", "body");
    CAF_CHECK(sent.status == io_status::ok);
    CAF_CHECK_EQUAL(sent.bytes, 9u);
    CAF_CHECK_EQUAL(read_text(on, *b), "head body");
    std::array<char, 8> space{};
    CAF_CHECK(b->try_read(space).status == io_status::again);
    CAF_CHECK(b->try_read(space).status == io_status::again);
  }
}

CAF_TEST(full_socket_says_again_and_write_all_waits) {
  loop on{0};
  auto [a, b] = unix_pair(on);
  std::string block(1 << 20, 'x');
  size_t written = 0;
  for (;;) {
    auto done = a->try_write(block);
    if (done.status == io_status::again)
      break;
    CAF_REQUIRE(done.status == io_status::ok);
    written += done.bytes;
  }
  CAF_CHECK(written > 0);
  auto drain = [](stream& from, size_t until, size_t& total) -> asio::awaitable<void> {
    std::vector<char> space(100'000);
    while (total < until) {
      auto got = co_await read_some(from, space);
      if (got.status != io_status::ok)
        co_return;
      total += got.bytes;
    }
  };
  size_t total = 0;
  launch(on.executor(), drain(*b, written + block.size() + 4, total), "drain");
  CAF_CHECK(finish(on, write_all(*a, "head", block)));
  on.io().restart();
  on.io().run();
  CAF_CHECK_EQUAL(total, written + block.size() + 4);
}

CAF_TEST(half_close_reads_as_eof_and_the_other_direction_lives) {
  loop on{0};
  auto [a, b] = tcp_pair(on);
  a->shutdown_write();
  std::array<char, 8> space{};
  CAF_CHECK(finish(on, read_some(*b, space)).status == io_status::eof);
  CAF_CHECK(!b->peer_gone());
  CAF_CHECK(b->try_write("still").status == io_status::ok);
  CAF_CHECK_EQUAL(read_text(on, *a), "still");
}

CAF_TEST(reset_is_seen_as_failure_and_as_gone) {
  loop on{0};
  auto [a, b] = tcp_pair(on);
  CAF_CHECK(!b->peer_gone());
  CAF_CHECK(b->failure().empty());
  a->close(true);
  std::array<char, 8> space{};
  CAF_CHECK(finish(on, b->wait_readable()));
  CAF_CHECK(b->peer_gone());
  CAF_CHECK(b->try_read(space).status == io_status::failed);
  CAF_CHECK(!b->failure().empty());
  CAF_CHECK(b->try_write("x").status == io_status::failed);
}

CAF_TEST(cancel_wakes_the_waiter_with_false_and_the_stream_goes_on) {
  loop on{0};
  auto [a, b] = unix_pair(on);
  result_of_wait wait;
  start_wait(on, *b, wait);
  CAF_CHECK(!wait.done);
  b->cancel();
  on.io().restart();
  on.io().poll();
  CAF_CHECK(wait.done);
  CAF_CHECK(!wait.value);
  a->try_write("later");
  CAF_CHECK_EQUAL(read_text(on, *b), "later");
}

CAF_TEST(cancel_wins_over_readiness_that_is_already_on_its_way) {
  loop on{0};
  auto [a, b] = unix_pair(on);
  result_of_wait wait;
  start_wait(on, *b, wait);
  a->try_write("now");
  b->cancel();
  on.io().restart();
  on.io().poll();
  CAF_CHECK(wait.done);
  CAF_CHECK(!wait.value);
}

CAF_TEST(stream_may_be_destroyed_while_waited_for) {
  loop on{0};
  auto [a, b] = unix_pair(on);
  result_of_wait wait;
  start_wait(on, *b, wait);
  b.reset();
  on.io().restart();
  on.io().poll();
  CAF_CHECK(wait.done);
  CAF_CHECK(!wait.value);
  std::array<char, 8> space{};
  CAF_CHECK(finish(on, read_some(*a, space)).status == io_status::eof);
}

CAF_TEST(loop_may_end_while_a_stream_is_waited_for) {
  bool resumed = false;
  {
    loop on{0};
    auto [a, b] = unix_pair(on);
    auto own = [](stream_ptr waited, stream_ptr peer, bool& done) -> asio::awaitable<void> {
      co_await waited->wait_readable(); // the frame of the wait goes before the stream
      peer.reset();
      done = true;
    };
    launch(on.executor(), own(std::move(b), std::move(a), resumed), "owner");
    on.io().poll();
  }
  CAF_CHECK(!resumed);
}

CAF_TEST(closed_stream_fails_at_once) {
  loop on{0};
  auto [a, b] = unix_pair(on);
  a->close();
  a->close(true);
  a->cancel();
  a->shutdown_write();
  std::array<char, 8> space{};
  CAF_CHECK(a->try_read(space).status == io_status::failed);
  CAF_CHECK(a->try_write("x").status == io_status::failed);
  CAF_CHECK(!finish(on, a->wait_readable()));
  auto unopened = make_socket_stream(generic_socket{on.io()});
  CAF_CHECK(unopened->try_read(space).status == io_status::failed);
}

CAF_TEST(silence_is_asked_anew_right_after_a_read) {
  runtime loops{1};
  auto& on = loops.at(0);
  std::array<two_streams, 2> pairs{unix_pair(on), tcp_pair(on)};
  for (auto& [a, b] : pairs) {
    CAF_CHECK(a->is_silent());
    b->try_write("one");
    CAF_CHECK(!a->is_silent());
    CAF_CHECK_EQUAL(read_text(on, *a), "one"); // a small read: the next try_read() would spare its system call
    CAF_CHECK(a->is_silent());
    b->try_write("unasked");
    CAF_CHECK(!a->is_silent());
    CAF_CHECK_EQUAL(read_text(on, *a), "unasked");
    b->close();
    CAF_CHECK(!a->is_silent());
    CAF_CHECK(a->peer_finished());
  }
}
