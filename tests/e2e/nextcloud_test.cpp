// A Nextcloud that is slow, broken or gone harms only what needs it: B01, B03, X29, X36.
#define CAF_SUITE e2e_nextcloud
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <thread>

using namespace harp::e2e;

namespace {

struct fixture : site {
  fixture() : site(settings{{"HP_SESSION_LIFETIME", "1"}, {"HP_BLACKLIST_COUNT", "10"}}) {
    CAF_REQUIRE(started());
    CAF_REQUIRE_EQUAL(app_get("/public").status, 200);
  }
  ~fixture() { CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{}); }
};

/// The slowest but one of a hundred sequential requests.
double p99_ms(const std::string& address, const std::string& target) {
  std::vector<double> all;
  http_client client{address};
  for (int i = 0; i < 200; ++i) {
    auto began = clock::now();
    CAF_CHECK_EQUAL(client.ask("GET", target).status, 200);
    all.push_back(std::chrono::duration<double, std::milli>(clock::now() - began).count());
  }
  std::sort(all.begin(), all.end());
  return all[all.size() * 99 / 100 - 1];
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(nextcloud_faults, fixture)

CAF_TEST(b01_every_fault_is_a_503_and_nobody_is_banned) {
  ws_client socket{harp.exapps(), "/exapps/app/ws"};
  CAF_REQUIRE(socket.echoes("before"));
  for (fault how : {fault::down, fault::error_500, fault::login_page, fault::redirect,
                    fault::broken_json, fault::maintenance}) {
    CAF_MESSAGE("fault " << static_cast<int>(how));
    nextcloud.fail(how);
    for (int i = 0; i < 3; ++i) { // 18 in all: more than a ban needs
      auto refused = app_get("/user", session("alice"), 26s);
      CAF_CHECK_EQUAL(refused.status, 503);
      CAF_CHECK(!refused.header("retry-after").empty());
    }
    CAF_CHECK_EQUAL(get(harp.exapps(), "/exapps/never-seen/x").status, 503);
    CAF_CHECK_EQUAL(app_get("/public").status, 200);
    CAF_CHECK_EQUAL(app_get("/public", session("alice")).status, 200);
    CAF_CHECK(socket.echoes("during"));
  }
  nextcloud.fail(fault::none);
  CAF_CHECK(until(5s, [&] { return app_get("/user", session("alice")).status == 200; }));
  CAF_CHECK(until(5s, [&] { return get(harp.exapps(), "/exapps/never-seen/x").status == 404; }));
}

CAF_TEST(x29_a_slow_nextcloud_is_given_up_in_time) {
  nextcloud.fail(fault::slow);
  std::vector<std::thread> all;
  std::atomic<int> right{0};
  auto began = clock::now();
  for (int i = 0; i < 20; ++i)
    all.emplace_back([this, &right] {
      right += get(harp.exapps(), "/exapps/app/user", session("alice"), 28s).status == 503;
    });
  CAF_CHECK_EQUAL(app_get("/public").status, 200);
  CAF_CHECK_EQUAL(app_get("/public", session("alice"), 28s).status, 200);
  for (auto& one : all)
    one.join();
  CAF_CHECK_EQUAL(right.load(), 20);
  CAF_CHECK(clock::now() - began < 27s);
  CAF_CHECK_EQUAL(nextcloud.users_at_once_max(), 1); // one question for one session
  nextcloud.fail(fault::none);
  CAF_CHECK(until(5s, [&] { return app_get("/user", session("alice")).status == 200; }));
}

CAF_TEST(a_redirect_is_not_followed_to_another_origin) {
  scripted_server other{[](const received_request&) {
    return response_text(200, R"({"user_id":"admin","access_level":2})");
  }};
  connection_server redirecting{[&other](channel& client) {
    std::string rest;
    while (auto request = read_request(client, rest, 2s))
      client.send(response_text(302, "", "text/plain",
                                "Location: http://" + other.address() + request->target + "\r\n"));
  }};
  node_options options;
  options.nextcloud = "http://" + redirecting.address();
  node second{options};
  CAF_REQUIRE(second.start());
  CAF_CHECK_EQUAL(get(second.exapps(), "/exapps/app/user", session("alice")).status, 503);
  CAF_CHECK_EQUAL(other.connections(), 0); // it would have learnt the key
}

CAF_TEST(b03_random_askers_are_bounded) {
  size_t before = harp.program().resident_bytes();
  constexpr int rounds = 3000; // 100,000 in the long run
  auto began = clock::now();
  int calls_before = nextcloud.user_calls() + nextcloud.meta_calls();
  http_client client{harp.exapps()};
  for (int i = 0; i < rounds; ++i) {
    auto cookie = session("stranger-" + std::to_string(i * 7919));
    if (!client.open() || client.ask("GET", "/exapps/app/public", cookie).how != heard::data)
      client = http_client{harp.exapps()};
  }
  double seconds = std::chrono::duration<double>(clock::now() - began).count();
  int calls = nextcloud.user_calls() + nextcloud.meta_calls() - calls_before;
  CAF_MESSAGE(calls << " look-ups in " << seconds << " s");
  CAF_CHECK(calls <= 50 * (seconds + 2));
  CAF_CHECK(harp.program().resident_bytes() < before + 16 * 1024 * 1024);
  CAF_CHECK_EQUAL(app_get("/public").status, 200);
}

CAF_TEST(x36_one_stalled_part_does_not_slow_the_others) {
  double baseline = std::max(p99_ms(harp.exapps(), "/exapps/app/public"), 1.0);
  nextcloud.fail(fault::slow);
  std::vector<http_client> stalled;
  for (int i = 0; i < 50; ++i) {
    stalled.emplace_back(harp.exapps());
    stalled.back().send(request_text("GET", "/exapps/app/user", session("s" + std::to_string(i))));
    stalled.emplace_back(harp.exapps());
    stalled.back().send(request_text("GET", "/exapps/app/silent?s=20"));
  }
  double with_stalls = p99_ms(harp.exapps(), "/exapps/app/public");
  CAF_MESSAGE("p99 " << baseline << " ms alone, " << with_stalls << " ms beside stalls");
  CAF_CHECK(with_stalls < 2 * baseline + 5);
  nextcloud.fail(fault::none);
}

CAF_TEST(fs14_a_deleted_record_stays_closed) {
  CAF_CHECK_EQUAL(harp.control("DELETE", "/exapp_storage/app").status, 204);
  int calls = nextcloud.meta_calls();
  for (int i = 0; i < 3; ++i)
    CAF_CHECK_EQUAL(app_get("/public").status, 404); // although Nextcloud would still answer
  CAF_CHECK(nextcloud.meta_calls() <= calls + 1);
  CAF_CHECK_EQUAL(app_get("/heartbeat", harp.signed_headers("app", app)).status, 200);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(starts_while_nextcloud_is_away) {
  node_options options;
  options.nextcloud = "http://127.0.0.1:" + std::to_string(free_port());
  node harp{options};
  CAF_REQUIRE(harp.start());
  CAF_CHECK_EQUAL(get(harp.exapps(), "/exapps/app/x").status, 503);
  CAF_CHECK_EQUAL(harp.control("GET", "/info").status, 200);
}
