// The control plane: key check, status, records, and the engine passthrough: X07 to X09, X30.
#define CAF_SUITE e2e_control
#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace harp::e2e;

namespace {

struct fixture {
  temp_dir dir;
  scripted_server engine{[this](const received_request& request) { return docker(request); },
                         "unix:" + (dir / "docker.sock")};
  site world{settings{{"HARP_ENGINES_LOCAL", dir / "docker.sock"}}};

  fixture() { CAF_REQUIRE(world.started()); }
  ~fixture() { CAF_CHECK_EQUAL(world.harp.error_lines(), std::vector<std::string>{}); }

  static std::string docker(const received_request& request) {
    if (request.target.ends_with("/_ping"))
      return request.method == "HEAD" ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                                      : response_text(200, "OK", "text/plain");
    if (request.method == "POST")
      return "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
             "chunked\r\n\r\n15\r\n{\"status\":\"Pulling\"}\n\r\n"
             "0\r\n\r\n";
    return response_text(200, R"({"Id":"1"})");
  }
  response engine_call(const std::string& method, const std::string& target,
                       const std::string& port = "24000", header_list more = {}) {
    more.emplace_back("docker-engine-port", port);
    more.emplace_back("Authorization", "Basic " + base64("app_api_haproxy_user:key"));
    return world.harp.control(method, target, {}, more);
  }
  response push(const std::string& app_id, const std::string& body) {
    return world.harp.control("POST", "/exapp_storage/" + app_id, body);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(control_plane, fixture)

CAF_TEST(x07_the_key_opens_the_control_plane) {
  for (const header_list& headers : {header_list{}, header_list{{"harp-shared-key", "wrong"}},
                                     header_list{{"harp-shared-key", ""}}}) {
    auto refused = get(world.harp.exapps(), "/exapps/app_api/info", headers);
    CAF_CHECK_EQUAL(refused.status, 401);
    CAF_CHECK_EQUAL(refused.body, "401 Unauthorized");
    CAF_CHECK_EQUAL(refused.count("www-authenticate"), 0u);
  }
  auto info = world.harp.control("GET", "/info");
  CAF_CHECK_EQUAL(info.status, 200);
  auto facts = nlohmann::json::parse(info.body);
  CAF_REQUIRE(facts["version"].is_string());
  std::string version = facts["version"];
  int major = 0;
  int minor = 0;
  int patch = 0;
  CAF_REQUIRE_EQUAL(std::sscanf(version.c_str(), "%d.%d.%d", &major, &minor, &patch), 3);
  CAF_CHECK(std::tuple(major, minor, patch) >= std::tuple(0, 4, 4));
  CAF_CHECK(facts["docker"] == true);
  CAF_CHECK(facts["kubernetes"]["enabled"] == false);
  CAF_CHECK_EQUAL(world.harp.control("GET", "/heartbeat").body, R"({"status":"ok"})");
}

CAF_TEST(unknown_calls_are_refused) {
  CAF_CHECK_EQUAL(world.harp.control("GET", "/nothing").status, 404);
  CAF_CHECK_EQUAL(world.harp.control("POST", "/frp_handler", "{}").status, 404);
  CAF_CHECK_EQUAL(world.harp.control("DELETE", "/info").status, 405);
}

CAF_TEST(the_old_health_check_has_its_address) {
  auto health = world.harp.listener("health");
  CAF_CHECK_EQUAL(get(health, "/heartbeat").status, 200);
  CAF_CHECK_NOT_EQUAL(request(health, "POST", "/exapp_storage/app", {}, "{}").status, 204);
  CAF_CHECK_NOT_EQUAL(get(health, "/exapps/app/public").status, 200);
}

CAF_TEST(x08_ping_reaches_the_engine) {
  CAF_CHECK_EQUAL(engine_call("GET", "/v1.41/_ping").body, "OK");
  CAF_CHECK_EQUAL(engine_call("GET", "/_ping").body, "OK");
  CAF_CHECK_EQUAL(engine_call("HEAD", "/v1.44/_ping").status, 200);
  for (const auto& request : engine.received()) { // rebuilt: nothing of the caller's goes along
    CAF_CHECK(request.head.find(world.harp.key()) == std::string::npos);
    CAF_CHECK_EQUAL(request.count("authorization"), 0u);
    CAF_CHECK_EQUAL(request.count("harp-shared-key"), 0u);
    CAF_CHECK_EQUAL(request.count("docker-engine-port"), 0u);
  }
  CAF_CHECK_EQUAL(engine.received().size(), 3u);
}

CAF_TEST(x08_everything_else_is_forbidden) {
  const std::vector<std::pair<std::string, std::string>> calls{
      {"GET", "/_ping/x"},
      {"GET", "/containers/json"},
      {"GET", "/v1.41/containers/json?all=1"},
      {"DELETE", "/containers/nc_app_x"},
      {"POST", "/containers/create"},
      {"POST", "/_ping"},
      {"GET", "/containers/other/json"},
      {"GET", "/containers/nc_app_x/logs/more"},
      {"GET", "/containers/nc_app_x%2f..%2fy/json"},
      {"GET", "/info"},
      {"GET", "/v1.41/../containers/json"},
  };
  for (const auto& [method, target] : calls) {
    auto answer = engine_call(method, target);
    CAF_MESSAGE(method << ' ' << target);
    CAF_CHECK(answer.status == 403 || answer.dropped());
  }
  CAF_CHECK_EQUAL(engine.received().size(), 0u);
}

CAF_TEST(x08_lawful_calls_are_built_anew) {
  CAF_CHECK_EQUAL(engine_call("GET", "/v1.41/containers/nc_app_test-deploy/json?size=1").status,
                  200);
  CAF_CHECK_EQUAL(
      engine_call("GET", "/v1.41/containers/nc_app_x/logs?stdout=true&stderr=true&tail=5&follow=1")
          .status,
      200);
  auto pull = engine_call(
      "POST",
      "/v1.41/images/create?fromImage=ghcr.io%2Fnextcloud%2Ftest-deploy%3Arelease-cpu&fromSrc=x");
  CAF_CHECK_EQUAL(pull.body, "{\"status\":\"Pulling\"}\n");
  auto received = engine.received();
  CAF_REQUIRE_EQUAL(received.size(), 3u);
  CAF_CHECK_EQUAL(received[0].target, "/v1.41/containers/nc_app_test-deploy/json");
  CAF_CHECK(received[1].target.find("tail=5") != std::string::npos);
  CAF_CHECK(received[1].target.find("follow") == std::string::npos);
  CAF_CHECK(received[2].target.find("fromImage=ghcr.io") != std::string::npos);
  CAF_CHECK(received[2].target.find("fromSrc") == std::string::npos);
}

CAF_TEST(engines_live_on_engine_ports_only) {
  for (std::string port : {"23000", "8780", "0", "99999", "x", "24100"}) {
    auto answer = engine_call("GET", "/_ping", port);
    CAF_MESSAGE(port);
    CAF_CHECK(answer.status >= 400);
  }
  auto began = clock::now();
  CAF_CHECK_EQUAL(engine_call("GET", "/_ping", "24001").status, 503); // no tunnel
  CAF_CHECK(clock::now() - began < 2s);
  CAF_CHECK_EQUAL(engine.received().size(), 0u);
}

CAF_TEST(x30_records_come_and_go) {
  CAF_CHECK_EQUAL(world.app_get("/public").status, 200);
  auto changed = world.app;
  changed.version = "7.7.7";
  changed.routes = {{"^/whoami$", 0, {}}};
  CAF_CHECK_EQUAL(push("app", record_json(changed)).status, 204);
  CAF_CHECK_EQUAL(seen(world.app_get("/whoami"), "ex-app-version"),
                  std::vector<std::string>{"7.7.7"});
  CAF_CHECK_EQUAL(world.app_get("/public").status, 404);
  sample_app elsewhere;
  changed.port = elsewhere.port();
  CAF_CHECK_EQUAL(push("app", record_json(changed)).status, 204);
  world.sample.program().kill();
  CAF_CHECK_EQUAL(world.app_get("/whoami").status, 200);
  CAF_CHECK_EQUAL(world.harp.control("DELETE", "/exapp_storage/app").status, 204);
  CAF_CHECK_EQUAL(world.app_get("/whoami").status, 404);
  CAF_CHECK_EQUAL(world.harp.control("DELETE", "/exapp_storage/app").status, 404);
  CAF_CHECK_EQUAL(push("app", record_json(changed)).status, 204); // enabled again
  CAF_CHECK_EQUAL(world.app_get("/whoami").status, 200);
}

CAF_TEST(x30_bad_records_change_nothing) {
  CAF_CHECK_EQUAL(world.app_get("/public").status, 200);
  for (std::string body :
       {"", "{", "[]", "{}", R"({"exapp_token":1,"exapp_version":"1","host":"x","port":1})",
        R"({"exapp_token":"a","exapp_version":"1","host":"x","port":70000})"}) {
    CAF_MESSAGE(body);
    CAF_CHECK_EQUAL(push("app", body).status, 400);
  }
  CAF_CHECK_EQUAL(push("app", std::string(9 * 1024 * 1024, ' ')).status, 413);
  CAF_CHECK_EQUAL(world.app_get("/public").status, 200);
}

CAF_TEST(numbers_may_be_decimal_strings) {
  auto text
      = R"({"exapp_token":"t","exapp_version":"1","host":"127.0.0.1","port":")"
        + std::to_string(world.app.port)
        + R"(","routes":[{"url":"^/whoami$","access_level":"0","bruteforce_protection":["401"]}]})";
  CAF_CHECK_EQUAL(push("strings", text).status, 204);
  CAF_CHECK_EQUAL(get(world.harp.exapps(), "/exapps/strings/whoami").status, 200);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(x09_pull_lines_are_not_held_back) {
  temp_dir dir;
  std::atomic<bool> go_on{false};
  connection_server engine{[&go_on](channel& client) {
                             std::string rest;
                             if (!read_request(client, rest, 5s))
                               return;
                             client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                         "8\r\n{\"a\":1}\n\r\n");
                             until(5s, [&] { return go_on.load(); });
                             client.send("8\r\n{\"b\":2}\n\r\n0\r\n\r\n");
                           },
                           "unix:" + (dir / "docker.sock")};
  site world{settings{{"HARP_ENGINES_LOCAL", dir / "docker.sock"}}};
  CAF_REQUIRE(world.started());
  http_client client{world.harp.exapps()};
  client.send(
      request_text("POST", "/exapps/app_api/images/create?fromImage=alpine",
                   {{"harp-shared-key", world.harp.key()}, {"docker-engine-port", "24000"}}));
  CAF_CHECK_EQUAL(client.receive_head().status, 200);
  std::string text = client.rest();
  auto began = clock::now();
  while (text.find("{\"a\":1}") == std::string::npos
         && client.raw().receive(text, 1s) == heard::data)
    ;
  CAF_CHECK(text.find("{\"a\":1}") != std::string::npos);
  CAF_CHECK(clock::now() - began < 100ms * patience());
  go_on = true;
  while (text.find("{\"b\":2}") == std::string::npos
         && client.raw().receive(text, 2s) == heard::data)
    ;
  CAF_CHECK(text.find("{\"b\":2}") != std::string::npos);
}
