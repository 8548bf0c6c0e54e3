// Behind real nginx, Caddy, HAProxy and Apache with the snippets of deploy/proxies: everything a browser needs passes.
#define CAF_SUITE e2e_proxies
#include "tests/e2e/front_proxy.hpp"
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp::e2e;

namespace {

constexpr uint64_t gib = 1024ULL * 1024 * 1024;

struct fixture : site {
  std::vector<std::unique_ptr<front_proxy>> proxies;

  fixture() : site(settings{{"HP_TRUSTED_PROXY_IPS", "127.0.0.1"}, {"HP_BLACKLIST_COUNT", "10"}}) {
    CAF_REQUIRE(started());
    for (auto name : {"nginx", "caddy", "haproxy", "apache2"}) {
      auto proxy = std::make_unique<front_proxy>(name, harp.exapps());
      if (!proxy->installed()) {
        report_skipped(name, "not installed");
        continue;
      }
      report_ran(name);
      bool up = proxy->ready();
      if (!up)
        CAF_MESSAGE(proxy->log());
      CAF_REQUIRE(up);
      proxies.push_back(std::move(proxy));
    }
  }
  ~fixture() { CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{}); }
};

/// One request from another loopback address than the proxies use.
response get_from(const std::string& source, const std::string& address, const std::string& target,
                  const header_list& headers = {}) {
  http_client client{address, source};
  return client.ask("GET", target, headers);
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(behind_proxies, fixture)

CAF_TEST(pages_users_and_paths) {
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    const auto& at = proxy->address();
    auto page = get(at, "/exapps/app/whoami", session("alice"));
    CAF_CHECK_EQUAL(page.status, 200);
    CAF_CHECK_EQUAL(seen_field(page, "user"), "alice");
    CAF_CHECK_EQUAL(seen(page, "host"), std::vector<std::string>{"cloud.example"});
    CAF_CHECK_EQUAL(get(at, "/exapps/app/user").status, 403);
    CAF_CHECK_EQUAL(get(at, "/exapps/app/user", basic_auth("alice", "alice-pw")).status, 200);
    CAF_CHECK_EQUAL(seen_field(get(at, "/exapps/app/a%20b?x=%2f&y"), "target"), "/a%20b?x=%2f&y");
    CAF_CHECK_EQUAL(seen_field(get(at, "/exapps/app/a%2Fb"), "target"), "/a%2Fb");
    CAF_CHECK_EQUAL(get(at, "/exapps/app/chunked").body, "first second third");
  }
}

CAF_TEST(signed_calls_pass) {
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    auto answer = get(proxy->address(), "/exapps/app/heartbeat", harp.signed_headers("app", app));
    CAF_CHECK_EQUAL(answer.body, R"({"status":"ok"})");
    CAF_CHECK_EQUAL(
        get(proxy->address(), "/exapps/app_api/info", {{"harp-shared-key", harp.key()}}).status,
        200);
  }
}

CAF_TEST(websockets) {
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    ws_client socket{proxy->address(), "/exapps/app/ws", session("alice")};
    CAF_CHECK(socket.open());
    CAF_CHECK(socket.echoes("hello"));
    CAF_CHECK(socket.echoes(std::string(100'000, 'x')));
  }
}

CAF_TEST(events_are_not_held_back) {
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    http_client client{proxy->address()};
    client.send(request_text("GET", "/exapps/app/stream?interval_ms=60000&count=2"));
    CAF_CHECK_EQUAL(client.receive_head().status, 200);
    std::string text = client.rest();
    while (text.find("data: 1") == std::string::npos
           && client.raw().receive(text, 3s) == heard::data)
      ;
    CAF_CHECK(text.find("data: 1") != std::string::npos);
  }
}

CAF_TEST(one_gibibyte_each_way_and_a_minute_of_silence) {
  std::vector<http_client> silent; // beside the rest
  for (auto& proxy : proxies) {
    silent.emplace_back(proxy->address());
    CAF_CHECK(silent.back().send(request_text("GET", "/exapps/app/silent?s=60")));
  }
  std::string sum = pattern_sha256(gib);
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    auto down = download(proxy->address(), "/exapps/app/bytes?n=" + std::to_string(gib), {}, 120s);
    CAF_CHECK_EQUAL(down.bytes, gib);
    CAF_CHECK(down.pattern_right);
    auto up = upload(proxy->address(), "/exapps/app/sink", gib, false, {}, 120s);
    CAF_CHECK_EQUAL(up.status, 200);
    CAF_CHECK(up.body.find(sum) != std::string::npos);
    auto chunked = upload(proxy->address(), "/exapps/app/sink", 1024 * 1024, true);
    CAF_CHECK(chunked.body.find(pattern_sha256(1024 * 1024)) != std::string::npos);
  }
  for (auto& one : silent)
    CAF_CHECK_EQUAL(one.receive(90s).body, "spoken after the silence");
}

CAF_TEST(the_clients_address_is_found) {
  int last = 20;
  for (auto& proxy : proxies) {
    CAF_MESSAGE(proxy->name());
    std::string offender = "127.0.0." + std::to_string(++last);
    std::string neighbour = "127.0.0." + std::to_string(++last);
    for (int i = 0; i < 10; ++i)
      CAF_CHECK_EQUAL(get_from(offender, proxy->address(), "/exapps/app/user",
                               {{"X-Forwarded-For", "203.0.113." + std::to_string(i)}})
                          .status,
                      403);
    CAF_CHECK_NOT_EQUAL(get_from(offender, proxy->address(), "/exapps/app/public").status, 200);
    CAF_CHECK_EQUAL(get_from(neighbour, proxy->address(), "/exapps/app/public").status, 200);
    auto bans = harp.command({"bans", "ls", "--json"}).output;
    CAF_CHECK(bans.find("\"" + offender + "\"") != std::string::npos);
    CAF_CHECK(bans.find("203.0.113.") == std::string::npos);
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
