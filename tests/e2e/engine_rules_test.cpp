// What Harp lets through to an engine, and what an ExApp can do with what it holds; with scripted
// engines, whose every request counts: X13, K01, K02, T03, FS2.
#define CAF_SUITE e2e_engine_rules
#include "tests/e2e/engine_deployment.hpp"

#include <algorithm>

using namespace harp::e2e;

namespace {

struct scripted_site {
  temp_dir dir;
  scripted_server engine{[](const received_request& request) {
                           if (request.target.starts_with("/containers/create"))
                             return response_text(201, R"({"Id":"abc","Warnings":[]})");
                           if (request.target == "/volumes/create")
                             return response_text(201, "{}");
                           return response_text(404, R"({"message":"no such thing"})");
                         },
                         "unix:" + (dir / "docker.sock")};
  deployment world;
  explicit scripted_site(settings more = {}) {
    more.emplace("HARP_ENGINES_LOCAL", dir / "docker.sock");
    CAF_REQUIRE(world.begin(std::move(more), 24000, false));
  }
};

} // namespace

CAF_TEST(k01_nothing_an_exapp_holds_opens_the_control_plane) {
  scripted_site site;
  auto& caller = *site.world.caller;
  CAF_REQUIRE_EQUAL(caller.helper("create", caller.create_body()).status, 201);
  auto document = nlohmann::json::parse(site.engine.received().back().body);
  auto before = site.engine.received().size();
  std::vector<std::string> secrets{"", "wrong"};
  for (const std::string entry : document["Env"])
    secrets.push_back(entry.substr(entry.find('=') + 1));
  for (const auto& secret : secrets)
    for (const char* target : {"/docker/exapp/remove", "/docker/exapp/create",
                               "/exapp_storage/test-deploy", "/v1.41/_ping", "/info"}) {
      header_list headers{{"docker-engine-port", "24000"},
                          {"Authorization", "Basic " + base64("app_api_haproxy_user:" + secret)}};
      if (!secret.empty())
        headers.emplace_back("harp-shared-key", secret);
      auto answer = request(site.world.harp->exapps(), "POST",
                            std::string{"/exapps/app_api"} + target, headers, caller.named());
      CAF_CHECK_EQUAL(answer.status, 401);
    }
  CAF_CHECK_EQUAL(site.engine.received().size(), before);
  CAF_CHECK(site.world.harp->log().find("control call without the right key")
            != std::string::npos); // the audit
}

CAF_TEST(t03_a_credential_opens_one_name_on_one_port) {
  scripted_site site;
  auto& caller = *site.world.caller;
  CAF_REQUIRE_EQUAL(caller.helper("create", caller.create_body()).status, 201);
  auto document = nlohmann::json::parse(site.engine.received().back().body);
  std::string credential;
  for (const std::string entry : document["Env"])
    if (entry.starts_with("HP_SHARED_KEY="))
      credential = entry.substr(14);
  CAF_REQUIRE(credential.starts_with("hx1.test-deploy."));
  sample_app app;
  tunnel_settings settings;
  settings.proxy = caller.name;
  settings.to = app.address();
  settings.token = credential;
  auto program = tunnel_program{tunnel_program::kind::expose, "harp expose", harp_program()};
  for (auto [name, port] : {std::pair<std::string, int>{"other", caller.app.port},
                            {caller.name, caller.app.port == 23999 ? 23998 : caller.app.port + 1},
                            {caller.name, 24001},
                            {caller.name, 24000}}) {
    settings.proxy = name;
    settings.port = port;
    tunnel_client refused{program, site.world.harp->frp(), settings};
    CAF_CHECK(refused.says("not allowed"));
  }
  settings.proxy = caller.name;
  settings.port = caller.app.port;
  tunnel_client lawful{program, site.world.harp->frp(), settings};
  CAF_CHECK(until(15s * patience(), [&] {
    return get(site.world.harp->exapps(), "/exapps/test-deploy/public").status == 200;
  }));
}

CAF_TEST(the_compatibility_switch_hands_out_the_key) {
  scripted_site site{{{"HARP_ENGINES_LEGACY_EXAPP_KEY", "true"}}};
  auto& caller = *site.world.caller;
  CAF_REQUIRE_EQUAL(caller.helper("create", caller.create_body()).status, 201);
  CAF_CHECK(site.engine.received().back().body.find("HP_SHARED_KEY=" + site.world.harp->key())
            != std::string::npos);
  CAF_CHECK(site.world.harp->log().find(site.world.harp->key()) == std::string::npos);
}

CAF_TEST(k02_the_engine_gets_the_golden_document_or_nothing) {
  scripted_site site;
  auto& caller = *site.world.caller;
  caller.name = "app";
  for (const char* more : {R"("network_mode":"container:nc_app_x")",
                           R"("mount_points":[{"source":"/","target":"/x"}])",
                           R"("mount_points":[{"source":"/var/run/docker.sock","target":"/x"}])",
                           R"("mount_points":[{"source":"/srv/../etc","target":"/x"}])"}) {
    auto body = R"({"name":"app","image_id":"img",)" + std::string{more} + "}";
    CAF_CHECK_EQUAL(caller.helper("create", body).status, 400);
  }
  CAF_CHECK_EQUAL(caller.helper("create", caller.create_body(R"("network_mode":"bridge")")).status,
                  400); // a key given twice
  auto own_socket = R"({"name":"app","image_id":"img","mount_points":[{"source":")"
                    + (site.dir / "docker.sock") + R"(","target":"/x"}]})";
  CAF_CHECK_EQUAL(caller.helper("create", own_socket).status, 400);
  CAF_CHECK_EQUAL(site.engine.received().size(), 0u);
  CAF_CHECK_EQUAL(
      caller
          .helper(
              "create",
              R"({"name":"app","image_id":"img","Privileged":true,"PRIVILEGED":true,"HostConfig":{"Privileged":true},
    "mount_points":[{"source":"/srv/a","target":"/a","mode":"ro","Type":"tmpfs"}]})")
          .status,
      201);
  auto made = site.engine.received().back();
  CAF_CHECK_EQUAL(made.target, "/containers/create?name=nc_app_app");
  CAF_CHECK_EQUAL(
      made.body,
      R"({"Image":"img","Hostname":"app","Env":[],"Labels":{"io.harp.owner":")"
          + site.world.nextcloud.url()
          + R"(","io.harp.app":"app"},"HostConfig":{"NetworkMode":"bridge","Mounts":[{"Type":"volume","Source":"nc_app_app_data",)"
            R"("Target":"/nc_app_app_data","ReadOnly":false},{"Type":"bind","Source":"/srv/a","Target":"/a","ReadOnly":true}],)"
            R"("RestartPolicy":{"Name":"unless-stopped"}}})");
  for (const auto& request : site.engine.received())
    CAF_CHECK(request.head.find(site.world.harp->key()) == std::string::npos);
  CAF_CHECK(site.world.harp->log().find("mounts /srv/a") != std::string::npos); // the audit
}

CAF_TEST(the_operator_may_forbid_mounts) {
  scripted_site site{{{"HARP_ENGINES_BIND_MOUNTS", "/srv/media"}}};
  auto create = [&site](const std::string& source) {
    return site.world.caller
        ->helper("create", R"({"name":"app","image_id":"img","mount_points":[{"source":")" + source
                               + R"(","target":"/x"}]})")
        .status;
  };
  CAF_CHECK_EQUAL(create("/srv/media/films"), 201);
  CAF_CHECK_EQUAL(create("/srv"), 400);
  CAF_CHECK_EQUAL(create("/etc"), 400);
}

CAF_TEST(calls_of_bad_form_are_refused) {
  scripted_site site;
  auto& harp = *site.world.harp;
  auto ask = [&harp](const std::string& method, const std::string& target, const std::string& port,
                     const std::string& body) {
    header_list more;
    if (!port.empty())
      more.emplace_back("docker-engine-port", port);
    return harp.control(method, target, body, more).status;
  };
  CAF_CHECK_EQUAL(ask("GET", "/docker/exapp/exists", "24000", ""), 405);
  CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/nothing", "24000", "{}"), 404);
  CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/check_engine", "24000", "{}"), 404);
  CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/list_apps", "24000", "{}"), 404);
  for (std::string port : {"", "0", "65536", "x", "-1"})
    CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/exists", port, R"({"name":"a"})"), 400);
  for (std::string port : {"22", "23000", "8780"})
    CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/exists", port, R"({"name":"a"})"), 403);
  for (std::string body : {"", "{", "[]", "{}", R"({"name":"../x"})"})
    CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/exists", "24000", body), 400);
  CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/exists", "24000", std::string(2 * 1024 * 1024, ' ')),
                  413);
  CAF_CHECK_EQUAL(site.engine.received().size(), 0u);
  CAF_CHECK_EQUAL(ask("POST", "/docker/exapp/exists", "24000", R"({"name":"a"})"), 200);
}

CAF_TEST(x13_an_engine_that_is_down_or_silent_is_told_so_in_time) {
  temp_dir dir;
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", dir / "docker.sock"}}, 24000, false));
  auto began = clock::now();
  for (const char* action : {"exists", "start", "stop", "remove", "wait_for_start"})
    CAF_CHECK_EQUAL(world.caller->helper(action, world.caller->named()).status, 503);
  CAF_CHECK(clock::now() - began < 5s * patience());
  std::atomic<bool> done{false};
  connection_server silent{[&done](channel&) { until(60s, [&done] { return done.load(); }); },
                           "unix:" + (dir / "docker.sock")};
  CAF_CHECK_EQUAL(world.caller->helper("exists", world.caller->named(), 30s).status, 504);
  done = true;
}

/// The slowest but two of two hundred sequential requests.
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

CAF_TEST(x36_stalled_engines_and_apps_do_not_slow_the_others) {
  temp_dir dir;
  std::atomic<bool> done{false};
  connection_server silent{[&done](channel&) { until(60s, [&done] { return done.load(); }); },
                           "unix:" + (dir / "docker.sock")};
  scripted_server brisk{[](const received_request&) { return response_text(404, "{}"); },
                        "unix:" + (dir / "brisk.sock")};
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", dir / "docker.sock"}}, 24000, false));
  CAF_CHECK_EQUAL(world.harp->command({"engine", "add", "24001", dir / "brisk.sock"}).status, 0);
  sample_app app;
  world.nextcloud.put("app", sample_record(app.port()));
  double baseline = std::max(p99_ms(world.harp->exapps(), "/exapps/app/public"), 1.0);
  std::vector<http_client> stalled;
  header_list headers{{"harp-shared-key", world.harp->key()}, {"docker-engine-port", "24000"}};
  auto stall = [&](const std::string& method, const std::string& target, const std::string& body) {
    stalled.emplace_back(world.harp->exapps());
    stalled.back().send(request_text(method, target, headers, body));
  };
  for (int i = 0; i < 50; ++i) {
    stall("POST", "/exapps/app_api/docker/exapp/exists", R"({"name":"a"})");
    stall("GET", "/exapps/app_api/v1.44/_ping", {});
    stall("GET", "/exapps/app/silent?s=20", {});
  }
  double with_stalls = p99_ms(world.harp->exapps(), "/exapps/app/public");
  CAF_MESSAGE("p99 " << baseline << " ms alone, " << with_stalls << " ms beside a stalled engine");
  CAF_CHECK(with_stalls < 2 * baseline + 5);
  appapi other{*world.harp, 24001};
  auto began = clock::now();
  CAF_CHECK_EQUAL(other.helper("exists", R"({"name":"a"})", 10s).status,
                  200); // one slow engine harms no other
  CAF_CHECK(clock::now() - began < 2s * patience());
  done = true;
}

CAF_TEST(status_and_metrics_tell_of_every_engine) {
  scripted_site site;
  auto& harp = *site.world.harp;
  CAF_CHECK_EQUAL(harp.metric("harp_engine_requests_total{engine=\"24000\"}"),
                  -1.0); // not asked yet
  CAF_CHECK_EQUAL(site.world.caller->helper("exists", R"({"name":"a"})").status, 200);
  CAF_CHECK_EQUAL(harp.metric("harp_engine_requests_total{engine=\"24000\"}"), 1.0);
  CAF_CHECK_EQUAL(harp.metric("harp_engine_reachable{engine=\"24000\"}"), 1.0);
  CAF_CHECK(harp.metric("harp_engine_request_seconds_total{engine=\"24000\"}") > 0);
  CAF_CHECK_EQUAL(harp.metric("harp_engine_failures_total{engine=\"24000\"}"), 0.0);
  auto gone = site.dir / "gone.sock";
  CAF_CHECK_EQUAL(harp.command({"engine", "add", "24001", gone}).status, 0);
  CAF_CHECK_EQUAL(harp.command({"engine", "check", "24001"}).status, 1);
  CAF_CHECK_EQUAL(harp.metric("harp_engine_reachable{engine=\"24001\"}"), 0.0);
  CAF_CHECK_EQUAL(harp.metric("harp_engine_failures_total{engine=\"24001\"}"), 1.0);
  auto status = nlohmann::json::parse(harp.command({"status", "--json"}).output, nullptr, false);
  CAF_REQUIRE(status.is_object());
  CAF_CHECK(status["engines"][0]["reachable"] == "yes");
  CAF_CHECK(status["engines"][1]["reachable"] == "no");
  CAF_CHECK(status["findings"].dump().find("engine 24001 cannot be reached") != std::string::npos);
}

CAF_TEST(an_engine_that_answers_nonsense_harms_nobody) {
  temp_dir dir;
  int turn = 0;
  const std::vector<std::string> nonsense{
      "",
      "SSH-2.0-OpenSSH\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
      response_text(200, "not json"),
      response_text(200, "[]"),
      response_text(200, std::string(6 * 1024 * 1024, 'x'))};
  scripted_server engine{
      [&](const received_request&) { return nonsense[static_cast<size_t>(turn)]; },
      "unix:" + (dir / "docker.sock")};
  deployment world;
  CAF_REQUIRE(world.begin({{"HARP_ENGINES_LOCAL", dir / "docker.sock"}}, 24000, false));
  for (; turn < static_cast<int>(nonsense.size()); ++turn)
    CAF_CHECK_EQUAL(world.caller->helper("exists", world.caller->named(), 30s).status, 503);
  CAF_CHECK_EQUAL(world.harp->error_lines(), std::vector<std::string>{});
}
