// Who reaches an ExApp and what arrives there: X14 to X20, X31, X33.
#define CAF_SUITE e2e_data_plane
#include "tests/e2e/confined.hpp"
#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>

#include <thread>

using namespace harp::e2e;

namespace {

struct fixture : site {
  fixture() : site(settings{{"HP_SESSION_LIFETIME", "2"}}) { CAF_REQUIRE(started()); }
  ~fixture() { CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{}); }
  int status(const std::string& target, const header_list& headers = {}) {
    return app_get(target, headers).status;
  }
};

using texts = std::vector<std::string>;

} // namespace

CAF_TEST_FIXTURE_SCOPE(data_plane, fixture)

CAF_TEST(x14_asks_once_for_an_unknown_app) {
  nextcloud.delay(200ms); // so that the hundred really meet
  std::vector<std::thread> all;
  std::atomic<int> right{0};
  for (int i = 0; i < 100; ++i)
    all.emplace_back([this, &right] {
      auto answer = get(harp.exapps(), "/exapps/nobody/x");
      right += answer.status == 404 && answer.body == "404 Not Found"
               && answer.header("content-type").starts_with("text/plain");
    });
  for (auto& one : all)
    one.join();
  CAF_CHECK_EQUAL(right.load(), 100);
  CAF_CHECK_EQUAL(nextcloud.meta_calls(), 1);
  CAF_CHECK_EQUAL(get(harp.exapps(), "/exapps/nobody/x").status, 404);
  CAF_CHECK_EQUAL(nextcloud.meta_calls(), 1); // remembered for 15 s
}

CAF_TEST(x15_levels_by_password_and_by_session) {
  CAF_CHECK_EQUAL(status("/public"), 200);
  CAF_CHECK_EQUAL(status("/user"), 403);
  CAF_CHECK_EQUAL(status("/admin"), 403);
  for (const auto& credentials : {basic_auth("alice", "alice-pw"), session("alice")}) {
    CAF_CHECK_EQUAL(status("/public", credentials), 200);
    CAF_CHECK_EQUAL(status("/user", credentials), 200);
    CAF_CHECK_EQUAL(status("/admin", credentials), 403);
  }
  for (const auto& credentials : {basic_auth("admin", "admin-pw"), session("admin")}) {
    CAF_CHECK_EQUAL(status("/user", credentials), 200);
    CAF_CHECK_EQUAL(status("/admin", credentials), 200);
  }
  CAF_CHECK_EQUAL(status("/user", basic_auth("alice", "wrong")), 403);
  CAF_CHECK_EQUAL(app_get("/user").body, "403 Forbidden");
}

CAF_TEST(x16_first_matching_route_decides) {
  app.routes = {{"^/admin/open$", 0, {}}, {"^/admin", 2, {}}, {".*/late$", 0, {}}};
  put("second", app);
  auto at
      = [this](const std::string& target) { return get(harp.exapps(), "/exapps/second" + target); };
  CAF_CHECK_EQUAL(seen_field(at("/admin/open"), "target"), "/admin/open"); // the app's own 404
  CAF_CHECK_EQUAL(at("/admin/late").status, 403);                          // no fall-through
  CAF_CHECK_EQUAL(seen_field(at("/x/late"), "target"), "/x/late");
  auto undeclared = at("/undeclared");
  CAF_CHECK_EQUAL(undeclared.status, 404);
  CAF_CHECK_EQUAL(undeclared.body, "404 Not Found");
}

CAF_TEST(x17_one_session_one_question) {
  http_client client{harp.exapps()};
  for (int i = 0; i < 20; ++i)
    CAF_CHECK_EQUAL(client.ask("GET", "/exapps/app/user", session("alice")).status, 200);
  CAF_CHECK_EQUAL(nextcloud.user_calls(), 1);
  bool asked_again = until(
      5s, [&] { return status("/user", session("alice")) == 200 && nextcloud.user_calls() == 2; });
  CAF_CHECK(asked_again);
  nextcloud.log_out("alice");
  CAF_CHECK(until(5s, [&] { return status("/user", session("alice")) == 403; }));
}

CAF_TEST(another_credential_is_another_user) {
  CAF_CHECK_EQUAL(seen_field(app_get("/user", session("alice")), "user"), "alice");
  CAF_CHECK_EQUAL(seen_field(app_get("/user", session("bob")), "user"), "bob");
  auto both = session("alice");
  both.push_back(basic_auth("bob", "bob-pw").front());
  auto cookie_of_a_stranger = session("alice");
  cookie_of_a_stranger.push_back(basic_auth("alice", "wrong").front());
  CAF_CHECK_EQUAL(seen_field(app_get("/user", both), "user"), "alice"); // as Nextcloud says of both
  CAF_CHECK_EQUAL(nextcloud.user_calls(), 3);
}

CAF_TEST(x18_identity_arrives_once_and_only_from_harp) {
  auto answer = app_get("/whoami", {{"EX-APP-ID", "evil"},
                                    {"ex-app-id", "evil2"},
                                    {"Ex-App-Version", "9"},
                                    {"AUTHORIZATION-APP-API", "ZXZpbDp4"},
                                    {"authorization-app-api", "ZXZpbDp4"},
                                    {"AA-VERSION", "99"},
                                    {"Cookie", "oc_sessionPassphrase=alice"}});
  CAF_REQUIRE_EQUAL(answer.status, 200);
  CAF_CHECK_EQUAL(seen(answer, "ex-app-id"), texts{"app"});
  CAF_CHECK_EQUAL(seen(answer, "ex-app-version"), texts{app.version});
  CAF_CHECK_EQUAL(seen(answer, "authorization-app-api"), texts{base64("alice:" + app.token)});
  CAF_CHECK_EQUAL(seen(answer, "aa-version"), texts{"32"});
  auto anonymous = app_get("/whoami");
  CAF_CHECK_EQUAL(seen(anonymous, "authorization-app-api"), texts{base64(":" + app.token)});
}

CAF_TEST(x19_the_key_never_reaches_an_app) {
  auto answer = app_get("/whoami", harp.signed_headers("app", app));
  CAF_REQUIRE_EQUAL(answer.status, 200);
  for (auto name : {"harp-shared-key", "ex-app-host", "ex-app-port"})
    CAF_CHECK_EQUAL(seen(answer, name), texts{});
  CAF_CHECK_EQUAL(seen(answer, "aa-request-id"), texts{"CLI"}); // the rest passes
  CAF_CHECK_EQUAL(seen(answer, "authorization-app-api"), texts{base64(":" + app.token)});
  CAF_CHECK(answer.body.find(harp.key()) == std::string::npos);
}

CAF_TEST(x20_paths_pass_byte_for_byte) {
  for (std::string target :
       {"/a%20b//c?x=%2f&y", "/a%2Fb", "/a;v=1/b", "/a?q=../x&%zz", "/a%e4%B8"})
    CAF_CHECK_EQUAL(seen_field(app_get(target), "target"), target);
  auto root = get(harp.exapps(), "/exapps/app");
  CAF_CHECK_EQUAL(root.status, 200);
  CAF_CHECK(root.body.find("Hello, visitor!") != std::string::npos);
}

CAF_TEST(x33_cold_session_with_a_chunked_body) {
  auto answer = upload(harp.exapps(), "/exapps/app/sink", 300'000, true, session("alice"));
  CAF_CHECK_EQUAL(answer.status, 200);
  CAF_CHECK(answer.body.find(pattern_sha256(300'000)) != std::string::npos);
  bool asked = false;
  for (const auto& request : nextcloud.received()) {
    if (request.target.find("user-info") == std::string::npos)
      continue;
    asked = true;
    for (auto name : {"transfer-encoding", "content-length", "expect", "accept-encoding", "range"})
      CAF_CHECK_EQUAL(request.count(name), 0u);
    CAF_CHECK_EQUAL(request.count("harp-shared-key"), 1u);
    CAF_CHECK(request.header("cookie").find("alice") != std::string::npos);
  }
  CAF_CHECK(asked);
}

CAF_TEST(speaks_http_like_a_good_proxy) {
  http_client client{harp.exapps()};
  auto head = client.ask("HEAD", "/exapps/app/bytes?n=5000");
  CAF_CHECK_EQUAL(head.header("content-length"), "5000");
  CAF_CHECK_EQUAL(client.ask("GET", "/exapps/app/chunked").body, "first second third");
  CAF_CHECK_EQUAL(client.ask("GET", "/exapps/app/user").status, 403); // keeps the connection
  CAF_CHECK_EQUAL(client.ask("GET", "/exapps/app/status?code=204").status, 204);
  std::string one = request_text("GET", "/exapps/app/bytes?n=3");
  CAF_CHECK(client.send(one + one + one)); // pipelined
  for (int i = 0; i < 3; ++i)
    CAF_CHECK_EQUAL(client.receive().body, std::string("\0\1\2", 3));
  CAF_CHECK(client.send("POST /exapps/app/sink HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                        "Expect: 100-continue\r\n\r\n"));
  std::string interim;
  CAF_CHECK_EQUAL(client.raw().receive(interim), heard::data);
  CAF_CHECK(interim.starts_with("HTTP/1.1 100"));
  CAF_CHECK(client.send("abc"));
  CAF_CHECK_EQUAL(client.receive().status, 200);
}

CAF_TEST(failures_of_the_app_are_told_apart) {
  CAF_CHECK_EQUAL(status("/close"), 502);
  auto cut = app_get("/cut?n=100");
  CAF_CHECK_EQUAL(cut.status, 200);
  CAF_CHECK(!cut.complete); // never padded, never ended politely
  app.port = free_port();
  put("absent", app);
  auto began = clock::now();
  auto absent = get(harp.exapps(), "/exapps/absent/public");
  CAF_CHECK_EQUAL(absent.status, 503);
  CAF_CHECK(!absent.header("retry-after").empty());
  CAF_CHECK(clock::now() - began < 2s);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(x31_an_app_that_moved_is_found_again) {
  temp_dir dir;
  const std::string hosts = dir / "hosts";
  auto point_to = [&hosts](const std::string& address) {
    write_file(hosts, "127.0.0.1 localhost\n" + address + " moving-app\n");
  };
  point_to("127.0.0.2");
  auto launcher = in_own_mounts("mount --bind " + hosts + " /etc/hosts", "X31");
  if (launcher.empty())
    return;
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  auto before = std::make_unique<sample_app>("127.0.0.2:0");
  auto record = sample_record(before->port());
  record.host = "moving-app";
  nextcloud.put("app", record);
  node_options options;
  options.nextcloud = nextcloud.url();
  options.launcher = [&launcher](const temp_dir&) { return launcher; };
  node harp{options};
  CAF_REQUIRE(harp.start());
  const pid_t pid = harp.program().pid();
  http_client kept{harp.exapps()};
  CAF_CHECK_EQUAL(kept.ask("GET", "/exapps/app/public").status, 200);
  for (std::string there : {"127.0.0.3", "127.0.0.4",
                            "127.0.0.3"}) { // each time with a connection kept to the old place
    before.reset();
    CAF_CHECK_NOT_EQUAL(kept.ask("GET", "/exapps/app/public").status, 200);
    point_to(there);
    before = std::make_unique<sample_app>(there + ":" + std::to_string(record.port));
    CAF_CHECK(until(5s * patience(),
                    [&] { return kept.ask("GET", "/exapps/app/public").status == 200; }));
  }
  CAF_CHECK(harp.program().running());
  CAF_CHECK_EQUAL(harp.program().pid(), pid);
  CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{});
}
