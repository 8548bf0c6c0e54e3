// An app's way through AppAPI's steps on a container engine (appapi-harp.md 6), checked step by step. For test programs only:
// CAF_SUITE is defined before.
#pragma once

#include "tests/e2e/docker_site.hpp"
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace harp::e2e {

/// The frp client that goes into the image: stock frpc if there is one, else nfrp-client, else our own.
inline tunnel_program image_client() {
  static const tunnel_program chosen = [] {
    auto all = foreign_tunnel_programs();
    if (all.empty())
      return tunnel_program{tunnel_program::kind::expose, "harp expose", harp_program()};
    return all.front();
  }();
  return chosen;
}

inline const std::string& root_tar() {
  static const std::string tar = exapp_root_tar(image_client());
  return tar;
}

inline bool can_run(engine_kind kind = engine_kind::docker) {
  std::string engine = kind == engine_kind::docker ? "dockerd" : "podman";
  auto missing = engine_missing(kind);
  if (missing.empty())
    report_ran(engine + " with " + image_client().name + " in its image");
  else
    report_skipped(engine, missing);
  return missing.empty();
}

inline nlohmann::json parsed(const response& answer) {
  return nlohmann::json::parse(answer.body, nullptr, false);
}

constexpr const char* one_certificate
    = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/// A node with a Nextcloud stand-in that knows the app, and AppAPI.
struct deployment {
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  std::unique_ptr<node> harp;
  std::unique_ptr<appapi> caller;
  std::function<std::vector<std::string>(const temp_dir&)>
      launcher; // as node_options has it; before begin()

  bool begin(settings environment, int engine_port, bool tls) {
    node_options options;
    options.nextcloud = nextcloud.url();
    options.tunnel_tls = tls;
    environment.emplace("HP_BLACKLIST_COUNT", "10000");
    options.environment = std::move(environment);
    options.launcher = launcher;
    harp = std::make_unique<node>(std::move(options));
    if (!harp->start())
      return false;
    caller = std::make_unique<appapi>(*harp, engine_port);
    caller->app = sample_record(free_exapp_port());
    caller->frp_address = harp->frp();
    nextcloud.put(caller->name, caller->app);
    return true;
  }

  // nfrp-client leaves some connections hanging with every server; a repeated call tells nothing new to the node
  bool eventually(int status, const std::function<response()>& ask,
                  milliseconds limit = 60s) const {
    response last;
    bool good = until(limit * patience(), [&] {
      last = ask();
      CAF_CHECK(last.status != 404 && last.status != 401
                && !last.dropped()); // AppAPI would take these for answers
      return last.status == status;
    });
    if (!good)
      CAF_MESSAGE("last: " << last.status << ' ' << last.body);
    return good;
  }

  void check_connection(const std::string& version = "v1.41") const {
    auto began = clock::now();
    auto pong = caller->docker("GET", "/" + version + "/_ping", 3s);
    CAF_CHECK_EQUAL(pong.status, 200);
    CAF_CHECK_EQUAL(pong.body, "OK");
    CAF_CHECK(clock::now() - began < 3s * patience());
  }

  /// Steps 2 to 7.
  void deploy(const std::string& bundle = {}) const {
    auto there = caller->helper("exists", caller->named());
    CAF_REQUIRE_EQUAL(there.status, 200);
    if (parsed(there)["exists"] == true)
      CAF_REQUIRE_EQUAL(caller->helper("remove", caller->named(R"("remove_data":false)")).status,
                        204);
    auto made = caller->helper("create", caller->create_body());
    CAF_MESSAGE(made.body);
    CAF_REQUIRE_EQUAL(made.status, 201);
    auto facts = parsed(made);
    CAF_CHECK_EQUAL(facts["name"].get<std::string>(), "nc_app_" + caller->name);
    CAF_CHECK(facts["id"].is_string());
    CAF_CHECK_EQUAL(
        caller->helper("install_certificates", caller->certificates_body(bundle)).status, 204);
    CAF_REQUIRE_EQUAL(caller->helper("start", caller->named()).status, 204);
    auto waited = caller->helper("wait_for_start", caller->named(), 150s);
    CAF_CHECK_EQUAL(waited.status, 200);
    CAF_CHECK(parsed(waited)["started"] == true);
    CAF_CHECK_EQUAL(
        caller->docker("GET", "/v1.41/containers/nc_app_" + caller->name + "/json").status, 200);
  }

  /// Steps 8 to 11, then what users do.
  void enable_and_use() const {
    CAF_REQUIRE(eventually(200, [&] { return caller->signed_call("GET", "/heartbeat", 3s); }));
    CAF_CHECK(eventually(200, [&] { return caller->signed_call("POST", "/init", 5s); }));
    CAF_CHECK_EQUAL(caller->helper("start", caller->named()).status, 200); // running already
    CAF_CHECK(parsed(caller->helper("wait_for_start", caller->named()))["started"] == true);
    CAF_CHECK(eventually(200, [&] { return caller->signed_call("GET", "/heartbeat", 3s); }));
    CAF_CHECK(
        eventually(200, [&] { return caller->signed_call("PUT", "/enabled?enabled=1", 5s); }));
    CAF_CHECK_EQUAL(
        harp->control("POST", "/exapp_storage/" + caller->name, record_json(caller->app)).status,
        204);
    auto base = "/exapps/" + caller->name;
    CAF_CHECK(eventually(200, [&] { return get(harp->exapps(), base + "/public", {}, 5s); }));
    CAF_CHECK(
        eventually(200, [&] { return get(harp->exapps(), base + "/user", session("alice"), 5s); }));
    CAF_CHECK_EQUAL(get(harp->exapps(), base + "/user").status, 403);
    CAF_CHECK(until(30s * patience(), [&] {
      return ws_client{harp->exapps(), base + "/ws"}.echoes("through an engine", 3s);
    }));
  }

  void read_log() const {
    auto log = caller->docker("GET", "/v1.41/containers/nc_app_" + caller->name
                                         + "/logs?stdout=true&stderr=true&tail=all");
    CAF_CHECK_EQUAL(log.status, 200);
    CAF_CHECK(log.body.find("the app starts") != std::string::npos);
    CAF_REQUIRE(log.body.size() > 8);
    CAF_CHECK(log.body[0] == 1 || log.body[0] == 2); // multiplexed
  }

  void disable() const {
    CAF_CHECK(
        eventually(200, [&] { return caller->signed_call("PUT", "/enabled?enabled=0", 5s); }));
    CAF_CHECK_EQUAL(caller->helper("stop", caller->named()).status, 204);
    auto withdrawn = harp->control("DELETE", "/exapp_storage/" + caller->name).status;
    CAF_CHECK(withdrawn == 204 || withdrawn == 404);
    CAF_CHECK_EQUAL(get(harp->exapps(), "/exapps/" + caller->name + "/public").status, 404);
    CAF_CHECK_EQUAL(caller->helper("stop", caller->named()).status, 200);
  }

  void remove(const docker_engine& engine, bool data) const {
    CAF_CHECK(parsed(caller->helper("exists", caller->named()))["exists"] == true);
    CAF_CHECK_EQUAL(caller
                        ->helper("remove", caller->named(data ? R"("remove_data":true)"
                                                              : R"("remove_data":false)"))
                        .status,
                    204);
    CAF_CHECK_EQUAL(engine.status("nc_app_" + caller->name), "");
    auto volume = engine.api("GET", "/volumes/nc_app_" + caller->name + "_data").status;
    CAF_CHECK_EQUAL(volume, data ? 404 : 200);
    CAF_CHECK(parsed(caller->helper("exists", caller->named()))["exists"] == false);
  }
};

inline void check_container(const docker_engine& engine, const deployment& world) {
  auto facts = parsed(engine.api("GET", "/containers/nc_app_" + world.caller->name + "/json"));
  CAF_REQUIRE(facts.is_object());
  CAF_CHECK(facts["HostConfig"]["Privileged"] == false);
  CAF_CHECK(facts["Config"]["Labels"]["io.harp.owner"] == world.nextcloud.url());
  bool has_credential = false;
  for (const std::string entry : facts["Config"]["Env"]) {
    CAF_CHECK(entry.find(world.harp->key()) == std::string::npos); // S3
    has_credential = has_credential || entry.starts_with("HP_SHARED_KEY=hx1.");
  }
  CAF_CHECK(has_credential);
}

} // namespace harp::e2e
