// What must not get through, and who is banned for trying: X21 to X26, S5.
#define CAF_SUITE e2e_refusals
#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp::e2e;

namespace {

struct fixture {
  std::unique_ptr<site> world;
  void begin(settings environment = {}) {
    world = std::make_unique<site>(std::move(environment));
    CAF_REQUIRE(world->started());
  }
  void begin_behind_proxy() {
    begin({{"HP_TRUSTED_PROXY_IPS", "127.0.0.1"}, {"HP_BLACKLIST_COUNT", "10"}});
  }
  ~fixture() {
    if (world)
      CAF_CHECK_EQUAL(world->harp.error_lines(), std::vector<std::string>{});
  }
  response from(const std::string& forwarded, const std::string& target = "/public") {
    return world->app_get(target, {{"X-Forwarded-For", forwarded}});
  }
  std::string bans() { return world->harp.command({"bans", "ls", "--json"}).output; }
  bool banned(const std::string& address) {
    return bans().find("\"" + address) != std::string::npos;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(refusals, fixture)

CAF_TEST(x21_internal_end_points_need_a_signature) {
  begin();
  world->app.routes = {{".*", 0, {}}}; // even when a broad route matches
  world->put("wide", world->app);
  for (std::string target :
       {"/heartbeat", "/init", "/enabled", "/heartbeat?x=1", "/%69nit", "//init", "/init/",
        "/./enabled", "/%68eartbeat", "/enable%64/", "//heartbeat//"}) {
    auto answer = get(world->harp.exapps(), "/exapps/wide" + target);
    CAF_MESSAGE(target);
    CAF_CHECK(answer.dropped());
  }
  CAF_CHECK_EQUAL(get(world->harp.exapps(), "/exapps/wide/public").status, 200);
  auto with_signature = world->harp.signed_headers("wide", world->app);
  CAF_CHECK_EQUAL(get(world->harp.exapps(), "/exapps/wide/heartbeat", with_signature).body,
                  R"({"status":"ok"})");
  CAF_CHECK_EQUAL(request(world->harp.exapps(), "POST", "/exapps/wide/init", with_signature).status,
                  200);
  CAF_CHECK_EQUAL(
      request(world->harp.exapps(), "PUT", "/exapps/wide/enabled?enabled=1", with_signature).status,
      200);
}

CAF_TEST(x22_no_way_up) {
  begin();
  for (std::string target : {"/exapps/app/..%2fx", "/exapps/app/%2e%2E/", "/exapps/app/..",
                             "/exapps/app/../x", "/exapps/app/x/%2e./y", "/exapps/app/.%2E",
                             "/exapps/app_api/../app/x", "/exapps/app/%2e%2e%2fx"}) {
    CAF_MESSAGE(target);
    CAF_CHECK(get(world->harp.exapps(), target).dropped());
  }
  CAF_CHECK_EQUAL(seen_field(world->app_get("/..a"), "target"), "/..a");
}

CAF_TEST(h06_ambiguous_paths_reach_nobody) {
  begin();
  auto before = world->nextcloud.user_calls();
  for (std::string target :
       {"/exapps/app/a\\..\\b", "/exapps/app/a%5cb", "/exapps/app/a%00b", "/exapps/app/a%zz",
        "/exapps/app/a%2", "/%65xapps/app/public", "/exapps/APP_API/info", "/exapps/ap%70_api/info",
        "/exapps//app/public", "/x/exapps/app/public", "/exapps/app/%252e%252e/x",
        "/exapps/app/..;/x"}) {
    auto answer = get(world->harp.exapps(), target);
    CAF_MESSAGE(target);
    CAF_CHECK(answer.dropped() || answer.status == 400 || answer.status == 404);
    CAF_CHECK(seen_field(answer, "target").empty()); // no app answered
  }
  CAF_CHECK_EQUAL(world->nextcloud.user_calls(), before);
}

CAF_TEST(x23_signed_calls_for_an_app_unknown_to_nextcloud) {
  begin();
  sample_app fresh{"127.0.0.1:" + std::to_string(free_exapp_port())};
  app_entry entry = world->app;
  entry.port = fresh.port();
  auto ask = [&](const app_entry& as, const std::string& key) {
    auto headers = world->harp.signed_headers("fresh", as);
    headers[5].second = key;
    return get(world->harp.exapps(), "/exapps/fresh/heartbeat", headers);
  };
  CAF_CHECK_EQUAL(ask(entry, world->harp.key()).status, 200);
  CAF_CHECK(ask(entry, "wrong").dropped());
  scripted_server engine{[](const received_request&) { return response_text(200, "{}"); },
                         "127.0.0.1:24007"};
  entry.port = 24007;
  CAF_CHECK_NOT_EQUAL(ask(entry, world->harp.key()).status, 200);
  CAF_CHECK_EQUAL(engine.connections(), 0);
  entry.port = fresh.port();
  entry.host = "127.0.0.2";
  CAF_CHECK_NOT_EQUAL(ask(entry, world->harp.key()).status, 200);
  entry.host = "example.org";
  CAF_CHECK_NOT_EQUAL(ask(entry, world->harp.key()).status, 200);
}

CAF_TEST(x24_ten_failures_ban_one_client) {
  begin_behind_proxy();
  for (int i = 0; i < 10; ++i)
    CAF_CHECK_EQUAL(from("198.51.100.7", "/user").status, 403);
  CAF_CHECK(from("198.51.100.7").dropped());
  CAF_CHECK_EQUAL(from("198.51.100.8").status, 200);
  auto with_signature = world->harp.signed_headers("app", world->app);
  with_signature.emplace_back("X-Forwarded-For", "198.51.100.7");
  CAF_CHECK_EQUAL(world->app_get("/heartbeat", with_signature).status, 200);
  CAF_CHECK(banned("198.51.100.7"));
  CAF_CHECK(!banned("198.51.100.8"));
  CAF_CHECK_EQUAL(world->harp.command({"bans", "lift", "198.51.100.7"}).status, 0);
  CAF_CHECK(!banned("198.51.100.7"));
  CAF_CHECK_EQUAL(from("198.51.100.7").status, 200);
}

CAF_TEST(a_ban_ends_with_its_window) {
  begin({{"HP_BLACKLIST_COUNT", "3"}, {"HP_BLACKLIST_WINDOW", "3"}});
  for (int i = 0; i < 3; ++i)
    CAF_CHECK_EQUAL(world->app_get("/user").status, 403);
  CAF_CHECK(world->app_get("/public").dropped());
  CAF_CHECK(until(8s, [&] { return world->app_get("/public").status == 200; }));
}

CAF_TEST(x25_the_rightmost_untrusted_address_counts) {
  begin_behind_proxy();
  for (int i = 0; i < 12; ++i) // rotating the left part does not evade, and frames nobody
    from("203.0.113." + std::to_string(i) + ", 198.51.100.9", "/user");
  CAF_CHECK(from("198.51.100.9").dropped());
  CAF_CHECK_EQUAL(from("203.0.113.1").status, 200);
  CAF_CHECK(banned("198.51.100.9"));
  CAF_CHECK(!banned("203.0.113."));
  CAF_CHECK(!banned("127.0.0.1"));
}

CAF_TEST(x25_ipv6_is_banned_by_its_network) {
  begin_behind_proxy();
  for (int i = 0; i < 10; ++i)
    from("2001:db8:1:2::" + std::to_string(i + 1), "/user");
  CAF_CHECK(from("2001:db8:1:2:ffff::1").dropped());
  CAF_CHECK_EQUAL(from("2001:db8:1:3::1").status, 200);
}

CAF_TEST(x25_strangers_cannot_name_an_address) {
  begin({{"HP_BLACKLIST_COUNT", "10"}});
  for (int i = 0; i < 10; ++i)
    CAF_CHECK_EQUAL(from("198.51.100.7", "/user").status, 403);
  CAF_CHECK(banned("127.0.0.1"));
  CAF_CHECK(!banned("198.51.100.7"));
  CAF_CHECK(from("198.51.100.99").dropped()); // still the same peer
}

CAF_TEST(x26_listed_statuses_count) {
  begin({{"HP_BLACKLIST_COUNT", "5"}});
  for (int i = 0; i < 5; ++i) {
    auto answer = world->app_get("/status?code=418");
    CAF_CHECK_EQUAL(answer.status, 418);
    CAF_CHECK_EQUAL(answer.body, "status as asked"); // unchanged
  }
  CAF_CHECK(world->app_get("/public").dropped());
}

CAF_TEST(x26_other_statuses_do_not) {
  begin({{"HP_BLACKLIST_COUNT", "5"}});
  for (int i = 0; i < 8; ++i)
    CAF_CHECK_EQUAL(world->app_get("/status?code=404").status, 404);
  CAF_CHECK_EQUAL(world->app_get("/public").status, 200);
}

CAF_TEST(who_delivers_signed_calls_is_never_banned) {
  begin({{"HP_BLACKLIST_COUNT", "5"}});
  auto with_signature = world->harp.signed_headers("app", world->app);
  CAF_CHECK_EQUAL(world->app_get("/heartbeat", with_signature).status, 200);
  for (int i = 0; i < 20; ++i)
    CAF_CHECK_EQUAL(world->app_get("/user").status, 403);
  CAF_CHECK_EQUAL(world->app_get("/public").status, 200);
}

CAF_TEST_FIXTURE_SCOPE_END()
