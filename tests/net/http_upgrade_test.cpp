// WebSocket upgrades: which pass, and how the relay behind them ends.
#define CAF_SUITE http_upgrade
#include "tests/net/http_world.hpp"

#include <random>

using namespace harp::net;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

constexpr const char* get = "GET /x?y=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr const char* hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
constexpr const char* hello_out = "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello";

bool starts(const std::string& text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(http_upgrade_tests, http_world)

CAF_TEST(websockets_pass_untouched_after_a_sound_upgrade) {
  connect();
  send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly");
  auto head = up().take_all();
  CAF_CHECK(head.find("connection: upgrade\r\nupgrade: websocket\r\n") != head.npos);
  reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst");
  auto answer = got();
  CAF_CHECK(starts(answer, "HTTP/1.1 101 "));
  CAF_CHECK(answer.ends_with("\r\n\r\nfirst"));
  CAF_CHECK_EQUAL(up().take_all(), "early");
  send("\x81\x00"s);
  CAF_CHECK_EQUAL(up().take_all(), "\x81\x00"s);
  reply("down");
  CAF_CHECK_EQUAL(got(), "down");
  CAF_CHECK_EQUAL(numbers.ws_open.load(), 1u);
  client->close(false);
  poll();
  CAF_CHECK(up().ended());
}

CAF_TEST(only_sound_websocket_upgrades_are_passed) {
  const std::string ask = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::string wrong_accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
  const std::string wrong_upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  size_t at = 0;
  for (const auto& [request, answer] : {std::pair{ask, wrong_accept}, {ask, wrong_upgrade}, {std::string{get}, wrong_accept}}) {
    connect();
    send(request);
    reply(answer, at++);
    CAF_CHECK(starts(got(), "HTTP/1.1 502 "));
    CAF_CHECK(client->ended());
  }
  for (auto token : {"h2c", "foo"}) {
    connect();
    send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "s + token + "\r\n\r\n");
    CAF_CHECK(up(at).take_all().find("upgrade") == std::string::npos);
    ++at;
  }
}

CAF_TEST(an_idle_websocket_ends_at_its_own_limit_and_never_with_zero) {
  for (auto [limit, closes] : {std::pair{15'000ms, true}, {0ms, false}}) {
    http_limits limits;
    limits.tunnel = limit;
    make_front(limits);
    connect();
    send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
          app->far_ends.size() - 1);
    got();
    pass(14s);
    CAF_CHECK(!client->ended());
    pass(2s);
    CAF_CHECK_EQUAL(client->ended(), closes);
    pass(24h);
    CAF_CHECK_EQUAL(client->ended(), closes);
    client.reset();
    app->far_ends.clear();
    poll();
  }
}

CAF_TEST(an_upgrade_needs_its_connection_option_and_one_token) {
  const std::string ask = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  size_t at = 0;
  for (auto fields : {"Upgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: foo\r\n",
                      "Connection: Upgrade\r\nUpgrade: websocket, foo\r\n", "Connection: Upgrade\r\n"}) {
    connect();
    send(ask);
    reply("HTTP/1.1 101 Switching Protocols\r\n"s + fields + accept, at++);
    CAF_CHECK(starts(got(), "HTTP/1.1 502 "));
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
