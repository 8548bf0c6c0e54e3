// Long answers, large bodies and WebSockets: X27, X28, W05, R3, R4.
#define CAF_SUITE e2e_streams
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

#include <thread>

using namespace harp::e2e;

namespace {

constexpr uint64_t mib = 1024 * 1024;

struct fixture {
  std::unique_ptr<site> world;
  void begin(settings environment = {}) {
    world = std::make_unique<site>(std::move(environment));
    CAF_REQUIRE(world->started());
    CAF_REQUIRE_EQUAL(world->app_get("/public").status, 200);
  }
  ~fixture() {
    if (world)
      CAF_CHECK_EQUAL(world->harp.error_lines(), std::vector<std::string>{});
  }
  [[nodiscard]] std::string address() const { return world->harp.exapps(); }
};

double seconds_since(clock::time_point began) {
  return std::chrono::duration<double>(clock::now() - began).count();
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(streams, fixture)

CAF_TEST(x27_websocket_echo) {
  begin();
  ws_client socket{address(), "/exapps/app/ws"};
  CAF_REQUIRE(socket.open());
  CAF_CHECK(socket.echoes("hello"));
  CAF_CHECK(socket.echoes(""));
  CAF_CHECK(socket.echoes(std::string(300'000, 'x')));
  ws_client as_user{address(), "/exapps/app/ws", session("alice")};
  CAF_CHECK(as_user.echoes("with a cookie"));
}

CAF_TEST(x27_idle_limit_of_upgrades) {
  begin({{"HP_TIMEOUT_TUNNEL", "2s"}, {"HP_TIMEOUT_CLIENT", "1s"}});
  ws_client socket{address(), "/exapps/app/ws"};
  CAF_REQUIRE(socket.echoes("x"));
  auto began = clock::now();
  CAF_CHECK(!socket.receive(10s));
  CAF_CHECK(socket.how() == heard::end || socket.how() == heard::reset);
  double after = seconds_since(began);
  CAF_CHECK(after > 1.5);
  CAF_CHECK(after < 3.5);
  CAF_CHECK(until(2s, [&] { return world->harp.log().find("idle") != std::string::npos; }));
}

CAF_TEST(x27_zero_means_no_idle_limit) {
  begin({{"HP_TIMEOUT_TUNNEL", "0"}, {"HP_TIMEOUT_SERVER", "1s"}, {"HP_TIMEOUT_CLIENT", "1s"}});
  ws_client socket{address(), "/exapps/app/ws"};
  CAF_REQUIRE(socket.echoes("x"));
  CAF_CHECK(!socket.receive(4s));
  CAF_CHECK(socket.how() == heard::silence);
  CAF_CHECK(socket.echoes("still here"));
}

CAF_TEST(w05_the_other_side_hears_of_an_end) {
  begin();
  auto open = [this] { return world->harp.metric("harp_ws_open"); };
  {
    ws_client gone{address(), "/exapps/app/ws"};
    CAF_REQUIRE(gone.echoes("x"));
    CAF_CHECK(until(3s, [&] { return open() == 1; }));
    gone.raw().reset();
  }
  CAF_CHECK(until(5s, [&] { return open() == 0; }));
  ws_client abandoned{address(), "/exapps/app/ws"};
  CAF_REQUIRE(abandoned.echoes("x"));
  world->sample.program().kill();
  CAF_CHECK(!abandoned.receive(5s));
  CAF_CHECK(abandoned.how() != heard::silence);
}

CAF_TEST(x28_events_arrive_as_they_happen) {
  begin({{"HP_TIMEOUT_CLIENT", "1s"}});
  http_client client{address()};
  CAF_REQUIRE(client.send(request_text("GET", "/exapps/app/stream?interval_ms=1500&count=3")));
  auto head = client.receive_head();
  CAF_CHECK_EQUAL(head.header("content-type"), "text/event-stream");
  auto began = clock::now();
  std::string text = client.rest();
  CAF_CHECK(until(1s, [&] {
    return text.find("data: 1") != std::string::npos
           || client.raw().receive(text, 100ms) == heard::reset;
  }));
  CAF_CHECK(seconds_since(began) < 1.0); // not held back for more
  CAF_CHECK(until(6s, [&] {
    client.raw().receive(text, 100ms);
    return text.find("data: 3") != std::string::npos;
  })); // longer than the client limit, which is not about this
}

CAF_TEST(silent_answers_have_the_server_limit) {
  begin({{"HP_TIMEOUT_SERVER", "1s"}});
  auto began = clock::now();
  CAF_CHECK_EQUAL(world->app_get("/silent?s=8").status, 504);
  CAF_CHECK(seconds_since(began) < 4);
  auto cut = world->app_get("/stream?interval_ms=8000&count=2");
  CAF_CHECK_EQUAL(cut.status, 200);
  CAF_CHECK(!cut.complete);
}

CAF_TEST(x28_slow_heads_get_408) {
  begin({{"HP_TIMEOUT_CLIENT", "2s"}});
  http_client client{address()};
  auto began = clock::now();
  std::string told;
  for (char letter : std::string_view{"GET /exapps/app/public HTTP/1.1\r\nHost: a\r\nX: y"}) {
    client.send({&letter, 1}); // a byte now and then does not help
    if (client.raw().receive(told, 200ms) != heard::silence)
      break;
  }
  CAF_CHECK(told.starts_with("HTTP/1.1 408"));
  CAF_CHECK(seconds_since(began) < 5);
}

CAF_TEST(x28_large_bodies_at_constant_memory) {
  begin();
  size_t before = world->harp.program().resident_bytes();
  auto down = download(address(), "/exapps/app/bytes?n=" + std::to_string(256 * mib));
  CAF_CHECK_EQUAL(down.bytes, 256 * mib);
  CAF_CHECK(down.pattern_right);
  for (bool chunked : {false, true}) {
    auto up = upload(address(), "/exapps/app/sink", 128 * mib, chunked);
    CAF_CHECK_EQUAL(up.status, 200);
    CAF_CHECK(up.body.find(pattern_sha256(128 * mib)) != std::string::npos);
  }
  CAF_CHECK(world->harp.program().resident_bytes() < before + 32 * mib);
}

CAF_TEST(slow_readers_are_capped_and_harm_nobody) {
  begin();
  size_t before = world->harp.program().resident_bytes();
  std::vector<http_client> lazy;
  for (int i = 0; i < 50; ++i) {
    auto& one = lazy.emplace_back(address());
    one.raw().shrink_receive_buffer(4096);
    CAF_CHECK(one.send(request_text("GET", "/exapps/app/bytes?n=100000000")));
  }
  auto began = clock::now();
  for (int i = 0; i < 50; ++i)
    CAF_CHECK_EQUAL(world->app_get("/public").status, 200);
  CAF_CHECK(seconds_since(began) < 5);
  CAF_CHECK(world->harp.program().resident_bytes() < before + 50 * mib / 2);
}

CAF_TEST(a_vanished_client_frees_the_app) {
  begin();
  for (int i = 0; i < 20; ++i) {
    http_client client{address()};
    CAF_CHECK(client.send(request_text("GET", "/exapps/app/stream?interval_ms=20")));
    client.receive_head();
    client.raw().reset();
  }
  CAF_CHECK(until(10s, [&] { return world->sample.program().descriptors() < 20; }));
}

CAF_TEST(idle_sockets_are_cheap) {
  begin({{"HP_TIMEOUT_TUNNEL", "0"}});
  constexpr int sockets = 400; // two thousand are measured in tests/bench
  size_t before = world->harp.program().resident_bytes();
  std::vector<std::unique_ptr<ws_client>> all;
  for (int i = 0; i < sockets; ++i) {
    all.push_back(std::make_unique<ws_client>(address(), "/exapps/app/ws"));
    CAF_REQUIRE(all.back()->open());
  }
  for (auto& one : all)
    CAF_CHECK(one->echoes("x"));
  size_t each = (world->harp.program().resident_bytes() - before) / sockets;
  CAF_MESSAGE("bytes per idle WebSocket: " << each);
  CAF_CHECK(each < 40'000);
}

CAF_TEST_FIXTURE_SCOPE_END()
