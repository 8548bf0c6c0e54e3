// Layers over work streams: vectors of frp.md 5, a stream below that takes and gives little, the
// token bucket.
#define CAF_SUITE frp_transform
#include "net/frp_transform.hpp"
#include "net/runtime.hpp"

#include <caf/test/unit_test.hpp>

#include <cstring>
#include <random>

using namespace harp::net;
using namespace std::chrono_literals;

namespace {

std::string unhex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string{text.substr(i, 2)}, nullptr, 16));
  return out;
}

/// What a fake stream holds; outlives it.
struct wire {
  std::string in, out;
  size_t read_max = SIZE_MAX;
  size_t budget = SIZE_MAX; // bytes it still takes
  bool ended = false;
};

class fake_stream final : public stream {
public:
  explicit fake_stream(wire& on) : on_(on) {}
  io_result try_read(std::span<char> into) override {
    const size_t bytes = std::min({into.size(), on_.in.size(), on_.read_max});
    if (bytes == 0)
      return {on_.ended ? io_status::eof : io_status::again, 0};
    std::memcpy(into.data(), on_.in.data(), bytes);
    on_.in.erase(0, bytes);
    return {io_status::ok, bytes};
  }
  io_result try_write(std::string_view head, std::string_view body) override {
    const std::string both = std::string{head}.append(body);
    const size_t bytes = std::min(both.size(), on_.budget);
    if (bytes == 0)
      return {io_status::again, 0};
    on_.out.append(both, 0, bytes);
    on_.budget -= bytes;
    return {io_status::ok, bytes};
  }
  asio::awaitable<bool> wait_readable() override { co_return true; }
  asio::awaitable<bool> wait_writable() override { co_return true; }
  void shutdown_write() override {}
  void cancel() override {}
  void close(bool) override {}

private:
  wire& on_;
};

stream_ptr wrapped(wire& on, bool encryption, bool compression,
                   std::string_view token = "12345678") {
  return frp::wrap_transform(std::make_unique<fake_stream>(on), encryption, compression,
                             frp::derive_key(token));
}

/// Offers everything, a few bytes of budget at a time, as a relay would.
void write_slowly(stream& to, wire& on, std::string_view text, size_t step) {
  while (!text.empty()) {
    on.budget = step;
    const auto done = to.try_write(text.substr(0, text.size() / 2), text.substr(text.size() / 2));
    CAF_REQUIRE(done.status == io_status::ok || done.status == io_status::again);
    text.remove_prefix(done.bytes);
  }
}

std::string read_all(stream& from, io_status& last) {
  std::string out;
  std::array<char, 1000> part;
  for (;;) {
    const auto got = from.try_read(part);
    last = got.status;
    if (got.status != io_status::ok)
      return out;
    out.append(part.data(), got.bytes);
  }
}

} // namespace

CAF_TEST(without_options_the_stream_stays_itself) {
  wire on;
  auto raw = std::make_unique<fake_stream>(on);
  const stream* address = raw.get();
  CAF_CHECK(frp::wrap_transform(std::move(raw), false, false, frp::derive_key("")).get()
            == address);
}

CAF_TEST(compresses_the_published_bytes) {
  wire on;
  const auto tested = wrapped(on, false, true);
  CAF_CHECK_EQUAL(tested->try_write("echo:", "hello").bytes, 10u);
  CAF_CHECK_EQUAL(on.out, unhex("ff060000734e61507059010e0000cdbf67096563686f3a68656c6c6f"));
}

CAF_TEST(reads_the_published_bytes_of_both_layers) {
  for (size_t piece : {1u, 3u, 100u}) {
    wire on;
    on.read_max = piece;
    on.in = unhex("6dfe58078ae6504a41c62c3bac183c47"
                  "33454f464ce564f5e2d27262b4019bfe99bb91b6f96dfab0ef60679e");
    on.ended = true;
    io_status last{};
    CAF_CHECK_EQUAL(read_all(*wrapped(on, true, true), last), "echo:hello");
    CAF_CHECK(last == io_status::eof);
  }
}

CAF_TEST(sends_nothing_before_the_first_data) {
  wire on;
  const auto tested = wrapped(on, true, true);
  CAF_CHECK(tested->try_write("").status == io_status::ok);
  CAF_CHECK_EQUAL(on.out.size(), 0u);
  CAF_CHECK_EQUAL(tested->try_write("a").bytes, 1u);
  CAF_CHECK_EQUAL(on.out.size(), 16u + 10u + 4u + 4u + 1u);
}

CAF_TEST(round_trips_through_a_slow_stream) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int options = 1; options < 4; ++options) {
    wire there;
    const auto sender = wrapped(there, options & 1, options & 2);
    std::string text;
    for (int i = 0; i < 60'000; ++i)
      text += static_cast<char>(i < 30'000 ? random() : 'a' + i % 3);
    write_slowly(*sender, there, text, 777);
    CAF_CHECK(there.out.find(text.substr(0, 40)) == std::string::npos || options == 2);
    wire here;
    here.in = there.out;
    here.read_max = random() % 2'000 + 1;
    here.ended = true;
    io_status last{};
    CAF_CHECK(read_all(*wrapped(here, options & 1, options & 2), last) == text);
    CAF_CHECK(last == io_status::eof);
  }
}

CAF_TEST(fails_on_bad_and_cut_data) {
  wire bad;
  bad.in = "not snappy at all";
  io_status last{};
  CAF_CHECK_EQUAL(read_all(*wrapped(bad, false, true), last), "");
  CAF_CHECK(last == io_status::failed);
  wire cut;
  cut.in = unhex("ff060000734e61507059010e0000cdbf6709");
  cut.ended = true;
  CAF_CHECK_EQUAL(read_all(*wrapped(cut, false, true), last), "");
  CAF_CHECK(last == io_status::failed);
}

CAF_TEST(bucket_grants_its_burst_then_its_rate) {
  const frp::rate_bucket::time_point start{};
  frp::rate_bucket bucket{100'000, start};
  CAF_CHECK_EQUAL(bucket.take(60'000, start), 60'000u);
  CAF_CHECK_EQUAL(bucket.take(60'000, start), 40'000u);
  CAF_CHECK_EQUAL(bucket.take(1, start), 0u);
  CAF_CHECK_EQUAL(bucket.take(60'000, start + 10ms), 0u); // less than a grant
  CAF_CHECK(bucket.delay(start + 10ms) > 30ms);
  CAF_CHECK(bucket.delay(start + 10ms) < 31ms);
  CAF_CHECK_EQUAL(bucket.take(60'000, start + 100ms), 10'000u);
  bucket.give_back(5'000);
  CAF_CHECK_EQUAL(bucket.take(60'000, start + 100ms), 5'000u);
  CAF_CHECK_EQUAL(bucket.take(SIZE_MAX, start + 1h), 100'000u); // never more than the burst
}

CAF_TEST(tiny_rates_still_pass) {
  const frp::rate_bucket::time_point start{};
  frp::rate_bucket bucket{1, start};
  CAF_CHECK_EQUAL(bucket.take(100, start), 1u);
  CAF_CHECK_EQUAL(bucket.take(100, start + 500ms), 0u);
  CAF_CHECK_EQUAL(bucket.take(100, start + 1s), 1u);
}

CAF_TEST(limited_streams_share_one_bucket_in_both_directions) {
  wire on, other;
  on.in = std::string(30'000, 'r');
  const auto bucket
      = std::make_shared<frp::rate_bucket>(20'000, std::chrono::steady_clock::now() + 1h);
  const auto first = frp::wrap_rate_limit(std::make_unique<fake_stream>(on), bucket);
  const auto second = frp::wrap_rate_limit(std::make_unique<fake_stream>(other), bucket);
  std::array<char, 12'000> part;
  CAF_CHECK_EQUAL(first->try_read(part).bytes, 12'000u);
  CAF_CHECK_EQUAL(second->try_write(std::string(5'000, 'h'), std::string(9'000, 'b')).bytes,
                  8'000u);
  CAF_CHECK_EQUAL(other.out, std::string(5'000, 'h') + std::string(3'000, 'b'));
  CAF_CHECK(first->try_read(part).status == io_status::again);
  CAF_CHECK(second->try_write("x").status == io_status::again);
}

CAF_TEST(a_wait_for_tokens_can_be_cancelled) {
  loop on{0};
  wire below;
  const auto bucket = std::make_shared<frp::rate_bucket>(1, std::chrono::steady_clock::now()
                                                                + 1h); // no refill soon
  CAF_REQUIRE_EQUAL(bucket->take(1, {}), 1u);
  auto tested = frp::wrap_rate_limit(std::make_unique<fake_stream>(below), bucket);
  int ended = 0;
  auto wait = [](stream& what, int& count) -> asio::awaitable<void> {
    const bool ready = co_await what.wait_readable();
    count += ready ? 100 : 1;
  };
  auto destroyed = frp::wrap_rate_limit(std::make_unique<fake_stream>(below), bucket);
  launch(on.executor(), wait(*tested, ended), "wait");
  launch(on.executor(), wait(*destroyed, ended), "wait");
  on.io().poll();
  CAF_CHECK_EQUAL(ended, 0);
  tested->cancel();
  destroyed.reset();
  on.io().run();
  CAF_CHECK_EQUAL(ended, 2);
}
