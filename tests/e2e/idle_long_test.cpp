// Ten minutes of silence, everything side by side: X27, X28, W01, frp checks 5 and 12. Only under ./tests/run --long.
#define CAF_SUITE e2e_idle_long
#include "tests/e2e/site.hpp"
#include "tests/e2e/tunnel_client.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp::e2e;

namespace {

constexpr auto silence = std::chrono::minutes{10};

bool hears(http_client& client, std::string& text, const std::string& wanted, milliseconds limit) {
  auto end = clock::now() + limit;
  while (text.find(wanted) == std::string::npos && clock::now() < end)
    if (client.raw().receive(text, 1s) == heard::end)
      break;
  return text.find(wanted) != std::string::npos;
}

} // namespace

CAF_TEST(ten_minutes_of_silence_close_nothing) {
  site direct;
  CAF_REQUIRE(direct.started());
  temp_dir dir;
  int port = free_exapp_port();
  sample_app behind_tunnel{"unix:" + (dir / "app.sock")};
  direct.nextcloud.put("tunnelled", sample_record(port));
  tunnel_settings settings;
  settings.port = port;
  settings.proxy = "tunnelled";
  settings.to = "unix:" + (dir / "app.sock");
  settings.token = direct.harp.key();
  auto program = tunnel_programs().front();
  tunnel_client client{program, direct.harp.frp(), settings};
  auto late = settings; // the same port: refused now, and taken over when it is free
  late.proxy = "late";
  tunnel_client refused{program, direct.harp.frp(), late};
  const std::string& at = direct.harp.exapps();
  CAF_REQUIRE(until(15s, [&] { return get(at, "/exapps/tunnelled/public").status == 200; }));

  std::vector<std::unique_ptr<ws_client>> sockets;
  std::vector<http_client> streams;
  for (std::string app : {"app", "tunnelled"}) {
    sockets.push_back(std::make_unique<ws_client>(at, "/exapps/" + app + "/ws"));
    CAF_REQUIRE(sockets.back()->echoes("before"));
    streams.emplace_back(at);
    streams.back().send(
        request_text("GET", "/exapps/" + app + "/stream?count=2&interval_ms=605000"));
    CAF_CHECK_EQUAL(streams.back().receive_head().status, 200);
  }
  ws_client half{at, "/exapps/app/ws"};
  CAF_REQUIRE(half.echoes("x"));
  half.raw().end_sending(); // a half-closed upgrade ends within 30 s
  CAF_CHECK(!half.receive(35s));
  CAF_CHECK(half.how() != heard::silence);

  std::string quiet;
  CAF_CHECK(sockets[0]->raw().receive(quiet, silence) == heard::silence);
  for (auto& socket : sockets)
    CAF_CHECK(socket->echoes("after ten minutes"));
  for (auto& stream : streams) {
    std::string text = stream.rest();
    CAF_CHECK(hears(stream, text, "data: 2", 40s));
  }
  client.program().stop();
  CAF_CHECK(until(60s, [&] {
    return refused.log().find("start proxy success") != std::string::npos
           || program.what != tunnel_program::kind::frpc;
  }));
  CAF_CHECK_EQUAL(direct.harp.error_lines(), std::vector<std::string>{});
}
