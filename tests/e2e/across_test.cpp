// An ExApp attached to one node, reached through another: answers, bodies, WebSockets, refusals, and what never crosses.
#define CAF_SUITE e2e_across
#include "tests/e2e/node.hpp"
#include "tests/e2e/storage_site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp::e2e;

namespace {

constexpr uint64_t mib = 1024 * 1024;
constexpr const char* key = "shared-key of the test";

/// What a node with the proxy plane is told: the development authority instead of a Nextcloud.
std::map<std::string, std::string> proxy_environment() {
  return {{"HARP_DEV_AUTHORITY", "1"},          {"HP_SHARED_KEY", key},
          {"HP_EXAPPS_ADDRESS", "127.0.0.1:0"}, {"HP_EXAPPS_HTTPS_ADDRESS", "127.0.0.1:0"},
          {"HP_FRP_ADDRESS", "127.0.0.1:0"},    {"HP_FRP_DISABLE_TLS", "true"},
          {"HP_BLACKLIST_COUNT", "10000"},      {"HARP_LISTEN_HEALTH", "127.0.0.1:0"}};
}

std::string listener(const storage_node& of, const std::string& name) {
  auto status = of.json({"status"});
  return status.is_object() && status.contains("listeners") ? status["listeners"].value(name, "")
                                                            : std::string{};
}

/// `harp expose` for the sample on a node's tunnel port.
struct exposed_sample {
  sample_app sample;
  temp_dir dir;
  process program;

  bool attach(const storage_node& to) {
    write_file(dir / "key", key);
    spawn_options how;
    how.output = dir / "expose.log";
    program = process{{harp_program(), "--state", dir / "state", "expose", "sample", "--port",
                       "23000", "--to", sample.address(), "--server", listener(to, "frp"),
                       "--no-tls", "--token-file", dir / "key"},
                      how};
    return program.started();
  }
};

/// A founding keeper with the proxy plane, and an entry node with neither key nor Nextcloud.
struct two_nodes {
  storage_node keeper{"keeper"}, entry{"entry"};
  exposed_sample app;
  std::string at_keeper, at_entry; // the ExApp listeners

  static bool must(const storage_node& who, const run_result& told) {
    if (told.status != 0)
      CAF_MESSAGE(who.name() << " ended with " << told.status << ": " << told.output << who.log());
    return told.status == 0;
  }
  bool join(storage_node& node) {
    auto invited = keeper.command({"invite", "--role", "writer"});
    return must(keeper, invited)
           && must(node, node.command({"join", last_line(invited.output), "--name", node.name(),
                                       "--listen", "127.0.0.1:0"}))
           && node.start();
  }
  bool begin() {
    keeper.environment = proxy_environment();
    entry.environment = {{"HARP_PROXY_ENTRY", "true"},
                         {"HARP_LISTEN_EXAPPS", "127.0.0.1:0"},
                         {"HARP_LISTEN_EXAPPS_HTTPS", "127.0.0.1:0"}};
    if (!must(keeper, keeper.command({"init", "--name", "keeper", "--listen", "127.0.0.1:0"}))
        || !keeper.start() || !join(entry))
      return false;
    at_keeper = listener(keeper, "exapps");
    at_entry = listener(entry, "exapps");
    return !at_keeper.empty() && !at_entry.empty();
  }
  bool reachable(const std::string& address, milliseconds limit = 20s) const {
    bool is = until(limit * patience(),
                    [&] { return get(address, "/exapps/sample/public").status == 200; });
    if (!is)
      CAF_MESSAGE(entry.log() << keeper.log());
    return is;
  }
  ~two_nodes() {
    for (auto* node : {&keeper, &entry})
      CAF_CHECK_EQUAL(node->error_lines(), std::vector<std::string>{});
  }
};

} // namespace

CAF_TEST(an_app_is_reached_through_a_node_with_neither_key_nor_nextcloud) {
  two_nodes site;
  CAF_REQUIRE(site.begin());
  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/public").status, 404); // attached nowhere yet
  CAF_REQUIRE(site.app.attach(site.keeper));
  CAF_REQUIRE(site.reachable(site.at_entry));

  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/").body,
                  get(site.at_keeper, "/exapps/sample/").body);
  auto who = get(site.at_entry, "/exapps/sample/whoami?a=%2f",
                 {{"X-Forwarded-For", "198.51.100.1"}, {"X-Real-IP", "198.51.100.1"}});
  CAF_CHECK_EQUAL(who.status, 200);
  CAF_CHECK(who.body.find("198.51.100.1") == std::string::npos);
  CAF_CHECK(who.body.find("127.0.0.1") != std::string::npos);

  for (bool chunked : {false, true}) {
    auto up = upload(site.at_entry, "/exapps/sample/sink", 20 * mib, chunked);
    CAF_CHECK_EQUAL(up.status, 200);
    CAF_CHECK(up.body.find(pattern_sha256(20 * mib)) != std::string::npos);
  }
  auto down = download(site.at_entry, "/exapps/sample/bytes?n=" + std::to_string(20 * mib));
  CAF_CHECK_EQUAL(down.bytes, 20 * mib);
  CAF_CHECK(down.pattern_right);
  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/stream?count=3&interval_ms=20").body,
                  "data: 1\n\ndata: 2\n\ndata: 3\n\n");

  ws_client socket{site.at_entry, "/exapps/sample/ws"};
  CAF_REQUIRE(socket.open());
  CAF_CHECK(socket.echoes("hello"));
  CAF_CHECK(socket.echoes(std::string(300'000, 'x')));

  http_client kept{site.at_entry}; // one connection of the client, a stream each
  for (int i = 0; i < 5; ++i)
    CAF_CHECK_EQUAL(kept.ask("GET", "/exapps/sample/public").status, 200);
}

CAF_TEST(refusals_are_those_of_the_announcing_node_and_no_control_call_crosses) {
  two_nodes site;
  CAF_REQUIRE(site.begin());
  CAF_REQUIRE(site.app.attach(site.keeper));
  CAF_REQUIRE(site.reachable(site.at_entry));
  struct asked {
    const char* target;
    header_list headers;
    int status; // 0: dropped
  };
  const asked all[] = {{"/exapps/sample/user", {}, 403},
                       {"/exapps/sample/user", basic_auth("alice", "alice-dev"), 200},
                       {"/exapps/sample/user", session("bob"), 200},
                       {"/exapps/sample/user", basic_auth("alice", "wrong"), 403},
                       {"/exapps/sample/admin", basic_auth("alice", "alice-dev"), 403},
                       {"/exapps/sample/admin", basic_auth("admin", "admin-dev"), 200},
                       {"/exapps/sample/no-such-route", {}, 404},
                       {"/exapps/sample/heartbeat", {}, 0},
                       {"/exapps/sample/../app_api/info", {}, 0},
                       {"/exapps/sample/%2e%2e/x", {}, 0},
                       {"/exapps/unknown/x", {}, 404},
                       {"/nothing", {}, 404}};
  for (const auto& one : all) {
    auto there = get(site.at_keeper, one.target, one.headers);
    auto here = get(site.at_entry, one.target, one.headers);
    CAF_CHECK_EQUAL(one.target + std::string{" "} + std::to_string(here.status),
                    one.target + std::string{" "} + std::to_string(one.status));
    CAF_CHECK_EQUAL(here.status, there.status);
    CAF_CHECK_EQUAL(here.dropped(), there.dropped());
    if (one.status >= 400) {
      CAF_CHECK_EQUAL(here.body, there.body);
      CAF_CHECK_EQUAL(here.header("content-type"), there.header("content-type"));
    }
  }
  header_list with_key{{"harp-shared-key", key}};
  CAF_CHECK_EQUAL(get(site.at_keeper, "/exapps/app_api/heartbeat", with_key).status, 200);
  for (const char* target : {"/exapps/app_api/heartbeat", "/exapps/App_Api/heartbeat",
                             "/exapps/app_api/info", "/exapps/app_api/exapp_storage/sample"})
    CAF_CHECK_EQUAL(get(site.at_entry, target, with_key).status, 404);
  CAF_CHECK_EQUAL(
      request(site.at_entry, "DELETE", "/exapps/app_api/exapp_storage/sample", with_key).status,
      404);
  auto engine = with_key;
  engine.emplace_back("docker-engine-port", "24000");
  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/public", engine).status, 404);
  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/public").status, 200);
}

CAF_TEST(a_withdrawn_app_and_an_ended_node_are_told_at_once) {
  two_nodes site;
  CAF_REQUIRE(site.begin());
  CAF_REQUIRE(site.app.attach(site.keeper));
  CAF_REQUIRE(site.reachable(site.at_entry));
  ws_client socket{site.at_entry, "/exapps/sample/ws"};
  CAF_REQUIRE(socket.echoes("before"));
  CAF_CHECK_EQUAL(request(site.at_keeper, "DELETE", "/exapps/app_api/exapp_storage/sample",
                          {{"harp-shared-key", key}})
                      .status,
                  204);
  auto closed = get(site.at_entry, "/exapps/sample/public").status;
  CAF_CHECK(closed == 404 || closed == 503);
  site.keeper.kill();
  CAF_CHECK(!socket.receive(5s * patience()));
  CAF_CHECK(until(2s * patience(), [&] {
    int status = get(site.at_entry, "/exapps/sample/public", {}, 2s).status;
    return status == 503 || status == 404;
  }));
}

CAF_TEST(an_app_of_a_node_that_is_no_keeper_is_nobodys_elses) {
  two_nodes site;
  CAF_REQUIRE(site.begin());
  storage_node writer{"writer"};
  writer.environment = proxy_environment();
  CAF_REQUIRE(site.join(writer));
  exposed_sample app;
  CAF_REQUIRE(app.attach(writer));
  CAF_REQUIRE(site.reachable(listener(writer, "exapps")));
  CAF_CHECK_EQUAL(get(site.at_entry, "/exapps/sample/public").status, 404);
  // made a keeper, it is believed
  CAF_REQUIRE_EQUAL(site.keeper.command({"member", "role", "writer", "keeper"}).status, 0);
  CAF_CHECK(site.reachable(site.at_entry));
}

CAF_TEST(a_push_and_a_delete_at_another_keeper_reach_the_announcing_node) {
  two_nodes site;
  CAF_REQUIRE(site.begin());
  storage_node second{"second"}; // with key and authority of its own, and no tunnel
  second.environment = proxy_environment();
  CAF_REQUIRE(site.join(second));
  CAF_REQUIRE_EQUAL(site.keeper.command({"member", "role", "second", "keeper"}).status, 0);
  CAF_REQUIRE(site.app.attach(site.keeper));
  auto at_second = listener(second, "exapps");
  CAF_REQUIRE(site.reachable(at_second));
  CAF_CHECK_EQUAL(get(at_second, "/exapps/sample/user", basic_auth("alice", "alice-dev")).status,
                  200);
  CAF_CHECK_EQUAL(get(at_second, "/exapps/sample/user").status, 403);
  header_list with_key{{"harp-shared-key", key}};
  const char* record = "/exapps/app_api/exapp_storage/sample";
  auto status_at_keeper = [&] { return get(site.at_keeper, "/exapps/sample/public").status; };
  CAF_REQUIRE(until(20s * patience(), [&] {
    request(at_second, "DELETE", record, with_key);
    return status_at_keeper() == 404;
  }));
  CAF_CHECK_EQUAL(get(at_second, "/exapps/sample/public").status, 404);
  auto pushed
      = request(at_second, "POST", record, with_key,
                R"({"exapp_token":"t","exapp_version":"1.0.0","host":"127.0.0.1","port":23000,)"
                R"("routes":[{"url":"^/public","access_level":0}]})");
  CAF_CHECK_EQUAL(pushed.status, 204);
  CAF_CHECK(until(20s * patience(), [&] { return status_at_keeper() == 200; }));
  CAF_CHECK(site.reachable(at_second));
}
