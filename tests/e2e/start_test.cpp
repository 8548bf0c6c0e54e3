// Starting, refusing to start, stopping, and what is written down meanwhile: X01, X02, X32, X34, X35.
#define CAF_SUITE e2e_start
#include "tests/e2e/confined.hpp"
#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>

#include <filesystem>
#include <thread>

using namespace harp::e2e;

namespace {

/// `harp serve` with exactly these variables (and free ports); how it ended, or 137 when it ran on.
run_result serve_with(settings environment, milliseconds limit = 10s) {
  temp_dir dir;
  for (auto name : {"HP_EXAPPS_ADDRESS", "HP_EXAPPS_HTTPS_ADDRESS", "HP_FRP_ADDRESS",
                    "HARP_LISTEN_HEALTH", "HARP_LISTEN_CONSOLE"})
    environment.emplace(name, "127.0.0.1:0");
  spawn_options how;
  how.environment = std::move(environment);
  return run({harp_program(), "--state", dir.path(), "serve"}, how, limit);
}

/// A certificate for 127.0.0.1 in one PEM file with its key, as HaRP's /certs/cert.pem.
void make_https_pem(const std::string& file, const std::string& name) {
  temp_dir dir;
  auto made = run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                   "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                   dir / "key", "-out", dir / "crt"});
  CAF_REQUIRE_EQUAL(made.status, 0);
  write_file(file + ".new", read_file(dir / "crt") + read_file(dir / "key"));
  std::filesystem::rename(file + ".new", file);
}

std::string certificate_name(const std::string& address) {
  return run({"sh", "-c",
              "openssl s_client -connect " + address
                  + " </dev/null 2>/dev/null | openssl x509 -noout -subject"})
      .output;
}

node_options with_nextcloud(const nextcloud_stand_in& nextcloud, settings environment = {}) {
  node_options out;
  out.nextcloud = nextcloud.url();
  out.environment = std::move(environment);
  return out;
}

} // namespace

CAF_TEST(x01_refuses_to_start_without_its_secrets) {
  const settings good{{"HP_SHARED_KEY", "key"}, {"NC_INSTANCE_URL", "http://127.0.0.1:9"}};
  auto without = [&good](const std::string& name) {
    auto out = good;
    out.erase(name);
    return out;
  };
  auto both = good;
  both["HP_SHARED_KEY_FILE"] = "/dev/null";
  auto empty = good;
  empty["HP_SHARED_KEY"] = "";
  for (const auto& environment :
       {without("HP_SHARED_KEY"), without("NC_INSTANCE_URL"), both, empty}) {
    auto ended = serve_with(environment);
    CAF_CHECK_EQUAL(ended.status, 1);
    CAF_CHECK(ended.output.find("HP_SHARED_KEY") != std::string::npos
              || ended.output.find("NC_INSTANCE_URL") != std::string::npos);
  }
  auto bad = good;
  bad["HP_SESSION_LIFETIME"] = "11";
  CAF_CHECK_EQUAL(serve_with(bad).status, 1);
}

CAF_TEST(x01_odd_keys_work) {
  nextcloud_stand_in nextcloud{"k\"e\\y gr\xc3\xbc\xc3\x9f"};
  auto options = with_nextcloud(nextcloud);
  options.key = "k\"e\\y gr\xc3\xbc\xc3\x9f";
  node harp{options};
  CAF_REQUIRE(harp.start());
  CAF_CHECK_EQUAL(harp.control("GET", "/info").status, 200);
  CAF_CHECK(harp.log().find("\"level\":\"warn\"") != std::string::npos);
  CAF_CHECK_EQUAL(harp.stop(), 0);
}

CAF_TEST(x02_certificates_are_made_once) {
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  auto options = with_nextcloud(nextcloud);
  options.tunnel_tls = true;
  node harp{options};
  CAF_REQUIRE(harp.start());
  std::string frp = harp.certs() + "/frp/";
  std::map<std::string, std::string> before;
  for (std::string name :
       {"ca.key", "ca.crt", "server.key", "server.crt", "client.key", "client.crt"}) {
    before[name] = read_file(frp + name);
    CAF_CHECK(!before[name].empty());
  }
  for (std::string leaf : {"server", "client"})
    CAF_CHECK_EQUAL(
        run({"openssl", "verify", "-CAfile", frp + "ca.crt", frp + leaf + ".crt"}).status, 0);
  auto text = run({"openssl", "x509", "-in", frp + "server.crt", "-noout", "-subject", "-ext",
                   "subjectAltName"})
                  .output;
  CAF_CHECK(text.find("DNS:harp.nc") != std::string::npos);
  text = run({"openssl", "x509", "-in", frp + "client.crt", "-noout", "-ext", "subjectAltName"})
             .output;
  CAF_CHECK(text.find("DNS:harp.client.nc") != std::string::npos);
  auto mode = std::filesystem::status(frp + "client.key").permissions();
  CAF_CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  CAF_REQUIRE(harp.restart());
  for (const auto& [name, bytes] : before)
    CAF_CHECK(read_file(frp + name) == bytes);
}

CAF_TEST(x32_term_ends_within_ten_seconds) {
  site world;
  CAF_REQUIRE(world.started());
  http_client streaming{world.harp.exapps()};
  streaming.send(request_text("GET", "/exapps/app/stream"));
  CAF_CHECK_EQUAL(streaming.receive_head().status, 200);
  auto began = clock::now();
  CAF_CHECK_EQUAL(world.harp.stop(10s), 0);
  CAF_CHECK(clock::now() - began < 10s);
  CAF_CHECK_EQUAL(world.harp.error_lines(), std::vector<std::string>{});
}

CAF_TEST(x32_term_during_start) {
  nextcloud_stand_in nextcloud{"k"};
  for (milliseconds after : {0ms, 5ms, 20ms, 60ms, 150ms}) {
    temp_dir dir;
    spawn_options how;
    how.environment = {{"HP_SHARED_KEY", "k"}, {"NC_INSTANCE_URL", nextcloud.url()}};
    for (auto name : {"HP_EXAPPS_ADDRESS", "HP_EXAPPS_HTTPS_ADDRESS", "HP_FRP_ADDRESS",
                      "HARP_LISTEN_HEALTH", "HARP_LISTEN_CONSOLE"})
      how.environment.emplace(name, "127.0.0.1:0");
    process harp{{harp_program(), "--state", dir.path(), "serve"}, how};
    std::this_thread::sleep_for(after); // the moment of the signal is the input
    int status = harp.stop(10s);
    CAF_MESSAGE("after " << after.count() << " ms: " << status);
    CAF_CHECK(status == 0
              || (status == 128 + SIGTERM && after < 60ms)); // before main() it is just a signal
  }
}

CAF_TEST(x32_hup_swaps_the_certificate_under_a_download) {
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample;
  nextcloud.put("app", sample_record(sample.port()));
  node harp{with_nextcloud(nextcloud)};
  std::filesystem::create_directories(harp.certs());
  make_https_pem(harp.certs() + "/cert.pem", "first.example");
  CAF_REQUIRE(harp.start());
  auto https = harp.listener("exapps_https");
  CAF_REQUIRE(!https.empty());
  CAF_CHECK(certificate_name(https).find("first.example") != std::string::npos);
  temp_dir dir;
  spawn_options how;
  how.output = dir / "sum";
  process download{
      {"sh", "-c",
       "curl -sk --limit-rate 20M https://" + https + "/exapps/app/bytes?n=40000000 | sha256sum"},
      how};
  CAF_CHECK(until(5s, [&] { return harp.metric("harp_http_open_connections") >= 1; }));
  make_https_pem(harp.certs() + "/cert.pem", "second.example");
  harp.program().signal(SIGHUP);
  CAF_CHECK(until(
      5s, [&] { return certificate_name(https).find("second.example") != std::string::npos; }));
  CAF_CHECK_EQUAL(download.wait(20s).value_or(-1), 0);
  CAF_CHECK(read_file(dir / "sum").starts_with(pattern_sha256(40'000'000)));
  write_file(harp.certs() + "/cert.pem", "not a certificate");
  harp.program().signal(SIGHUP);
  CAF_CHECK(until(5s, [&] { return harp.log().find("cert.pem") != std::string::npos; }));
  CAF_CHECK(certificate_name(https).find("second.example")
            != std::string::npos); // the old one stays
}

CAF_TEST(x34_few_descriptors_are_enough_to_start) {
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample;
  nextcloud.put("app", sample_record(sample.port()));
  auto options = with_nextcloud(nextcloud);
  options.descriptors_max = 256;
  node harp{options};
  CAF_REQUIRE(harp.start());
  CAF_CHECK_EQUAL(get(harp.exapps(), "/exapps/app/public").status, 200);
  std::vector<channel> crowd;
  for (int i = 0; i < 400; ++i)
    crowd.push_back(channel::connect(harp.exapps()));
  CAF_CHECK(harp.program().running());
  crowd.clear();
  CAF_CHECK(
      until(10s, [&] { return get(harp.exapps(), "/exapps/app/public", {}, 1s).status == 200; }));
  CAF_CHECK_EQUAL(harp.stop(), 0);
}

CAF_TEST(x34_a_read_only_root_without_capabilities_is_enough) {
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample;
  nextcloud.put("app", sample_record(sample.port()));
  if (in_own_mounts("true", "X34").empty())
    return;
  auto options = with_nextcloud(nextcloud);
  options.tunnel_tls = true; // certificates are made in the state directory
  options.descriptors_max = 1024;
  options.launcher = [](const temp_dir& dir) {
    auto out = in_own_mounts("mount --bind " + dir.path() + " " + dir.path() // stays writable
                                 + "\nmount -o remount,bind,ro /",
                             "X34");
    out.insert(out.end(), {"setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"});
    return out;
  };
  node harp{options};
  CAF_REQUIRE(harp.start());
  const std::string proc = "/proc/" + std::to_string(harp.program().pid());
  CAF_CHECK(read_file(proc + "/status").find("CapEff:\t0000000000000000") != std::string::npos);
  CAF_CHECK(read_file(proc + "/mountinfo").find(" / / ro") != std::string::npos);
  CAF_CHECK_EQUAL(get(harp.exapps(), "/exapps/app/public").status, 200);
  CAF_CHECK_EQUAL(harp.control("GET", "/info").status, 200);
  CAF_CHECK(!read_file(harp.certs() + "/frp/client.crt").empty());
  CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{});
  CAF_CHECK_EQUAL(harp.stop(), 0);
}

CAF_TEST(x35_no_secret_in_any_log) {
  site world;
  CAF_REQUIRE(world.started());
  auto cookie = session("alice");
  cookie[0].second += "; nc_token=CANARY-cookie-value";
  CAF_CHECK_EQUAL(world.app_get("/user", cookie).status, 200);
  CAF_CHECK_EQUAL(world.app_get("/user?token=CANARY-query", basic_auth("alice", "alice-pw")).status,
                  200);
  world.app_get("/user", basic_auth("alice", "CANARY-password"));
  world.app_get("/heartbeat", world.harp.signed_headers("app", world.app));
  world.app_get("/heartbeat", {{"AUTHORIZATION-APP-API", "CANARY-api"}});
  world.harp.control("GET", "/info");
  world.harp.control("POST", "/exapp_storage/app", R"({"exapp_token":"CANARY-token","port":"x"})");
  get(world.harp.exapps(), "/exapps/app_api/info", {{"harp-shared-key", "CANARY-wrong-key"}});
  world.nextcloud.fail(fault::broken_json);
  world.app_get("/user", session("CANARY-passphrase"));
  for (std::vector<std::string> command : {std::vector<std::string>{"config", "show", "--origin"},
                                           {"status", "--json"},
                                           {"config", "check"}}) {
    auto shown = world.harp.command(command).output;
    CAF_CHECK(shown.find(world.harp.key()) == std::string::npos);
  }
  auto metrics = get(world.harp.console(), "/metrics", {{"Host", world.harp.console()}}).body;
  CAF_CHECK(metrics.find("harp_build_info") != std::string::npos);
  world.harp.stop();
  std::string log = world.harp.log();
  CAF_CHECK(!log.empty());
  for (const auto& secret :
       {std::string{"CANARY"}, world.harp.key(), world.app.token, base64(":" + world.app.token),
        base64("alice:alice-pw"), base64("alice:" + world.app.token)}) {
    CAF_CHECK(log.find(secret) == std::string::npos);
    CAF_CHECK(metrics.find(secret) == std::string::npos);
  }
}

CAF_TEST(says_what_differs_from_harp_once) {
  site world;
  CAF_REQUIRE(world.started());
  auto log = world.harp.log();
  CAF_CHECK(log.find("X-Forwarded-For") != std::string::npos); // quality.md 3.2 among them
}

CAF_TEST(a_state_directory_has_one_owner) {
  site world;
  CAF_REQUIRE(world.started());
  spawn_options how;
  how.environment = {{"HP_SHARED_KEY", "k"}, {"NC_INSTANCE_URL", "http://127.0.0.1:9"}};
  for (auto name :
       {"HP_EXAPPS_ADDRESS", "HP_FRP_ADDRESS", "HARP_LISTEN_HEALTH", "HARP_LISTEN_CONSOLE"})
    how.environment.emplace(name, "127.0.0.1:0");
  auto second = run({harp_program(), "--state", world.harp.state(), "serve"}, how, 10s);
  CAF_CHECK_EQUAL(second.status, 1);
  CAF_CHECK_EQUAL(world.app_get("/public").status, 200);
  CAF_CHECK_EQUAL(world.harp.command({"status"}).status, 0);
}
