// A stand-in for a Kubernetes API that checks documents against Kubernetes' own schema, and a node that uses it. For test
// programs only: CAF_SUITE is defined before.
#pragma once

#include "tests/e2e/site.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

namespace harp::e2e {

/// A Python that can import what the stand-in needs, or "".
inline std::string schema_python() {
  const char* peers = std::getenv("HARP_TEST_PEERS");
  const char* home = std::getenv("HOME");
  std::string cache = peers != nullptr
                          ? std::string{peers}
                          : std::string{home == nullptr ? "" : home} + "/.cache/harp-peers";
  auto path = cache + "/venv/bin/python";
  bool works = access(path.c_str(), X_OK) == 0
               && run({path, "-c", "import kubernetes_validate, yaml"}, {}, 60s).status == 0;
  return works ? path : std::string{};
}

/// False (and said in the report) where the schema cannot be had.
inline bool has_schema() {
  bool there = !schema_python().empty();
  if (there)
    report_ran("Kubernetes API stand-in with Kubernetes' schema (kubernetes-validate)");
  else
    report_skipped("Kubernetes API stand-in", "no Python environment with kubernetes-validate");
  return there;
}

/// An object, empty when the answer is none.
inline nlohmann::json parsed(const response& answer) {
  auto value = nlohmann::json::parse(answer.body, nullptr, false);
  if (value.is_object())
    return value;
  CAF_MESSAGE("no JSON object: " << answer.status << ' ' << answer.body);
  return nlohmann::json::object();
}

/// A self-signed certificate for 127.0.0.1 and its key, as `name`.pem and `name`.key in `dir`.
inline void make_certificate(const temp_dir& dir, const std::string& name) {
  run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
       "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", dir / (name + ".key"),
       "-out", dir / (name + ".pem")});
}

class kubernetes_api {
public:
  kubernetes_api() {
    make_certificate(dir_, "api");
    write_file(dir_ / "token", "first-token-of-the-test\n");
    spawn_options how;
    how.output = dir_ / "ports";
    how.environment = {{"PYTHONDONTWRITEBYTECODE", "1"}};
    program_ = process{{schema_python(), checkout() + "/tests/e2e/kubernetes_stand_in.py",
                        "--certificate", dir_ / "api.pem", "--key", dir_ / "api.key", "--token",
                        dir_ / "token", "--rights", checkout() + "/deploy/kubernetes/rights.yaml"},
                       how};
    until(30s * patience(), [this] {
      ports_ = nlohmann::json::parse(read_file(dir_ / "ports"), nullptr, false);
      return ports_.is_object() || !program_.running();
    });
    CAF_REQUIRE(ports_.is_object());
  }

  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + ports_["tls"].dump(); }
  [[nodiscard]] std::string ca() const { return dir_ / "api.pem"; }
  [[nodiscard]] std::string token_file() const { return dir_ / "token"; }
  /// What the API takes from now on; Harp's own file is another one.
  void take_token(const std::string& token) const { write_file(token_file(), token); }

  /// As the cluster's operator sees and changes things: no token, no rights.
  [[nodiscard]] response as_operator(const std::string& method, const std::string& target,
                                     const std::string& body = {}) const {
    return request("127.0.0.1:" + ports_["plain"].dump(), method, target, {}, body);
  }
  [[nodiscard]] nlohmann::json object(const std::string& kind, const std::string& name) const {
    return nlohmann::json::parse(as_operator("GET", path(kind, name)).body, nullptr, false);
  }
  [[nodiscard]] bool has(const std::string& kind, const std::string& name) const {
    return as_operator("GET", path(kind, name)).status == 200;
  }
  /// Every request of Harp's so far.
  [[nodiscard]] nlohmann::json log() const {
    return nlohmann::json::parse(as_operator("GET", "/_test/log").body);
  }
  [[nodiscard]] nlohmann::json faults() const {
    return nlohmann::json::parse(as_operator("GET", "/_test/faults").body);
  }
  static std::string path(const std::string& kind, const std::string& name) {
    std::string where = kind == "deployments" ? "/apis/apps/v1" : "/api/v1";
    if (kind != "nodes")
      where += "/namespaces/nextcloud-exapps";
    return where + "/" + kind + (name.empty() ? "" : "/" + name);
  }

private:
  temp_dir dir_;
  process program_;
  nlohmann::json ports_;
};

/// A node with the Kubernetes backend, an app in "the cluster" (the sample on loopback) and AppAPI's calls.
struct kubernetes_site {
  kubernetes_api api;
  temp_dir dir; // Harp's own token
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app pod;
  app_entry app = sample_record(1);
  std::unique_ptr<node> harp;

  explicit kubernetes_site(settings more = {}) {
    write_file(dir / "token", read_file(api.token_file()));
    app.host = "not-in-kubernetes.invalid"; // what Nextcloud says does not count
    nextcloud.put("app", app);
    node_options options;
    options.nextcloud = nextcloud.url();
    options.environment = {{"HP_K8S_ENABLED", "true"},
                           {"HP_K8S_API_SERVER", api.url()},
                           {"HP_K8S_CA_FILE", api.ca()},
                           {"HP_K8S_BEARER_TOKEN_FILE", dir / "token"},
                           {"HP_BLACKLIST_COUNT", "10000"},
                           {"HP_K8S_STORAGE_CLASS", "fast"},
                           {"HP_K8S_DEFAULT_STORAGE_SIZE", "1Gi"},
                           {"HP_K8S_HOST_ALIASES", "nc.example:192.0.2.1"},
                           {"HP_LOG_LEVEL", "debug"}};
    for (auto& [name, value] : more)
      options.environment[name] = value;
    harp = std::make_unique<node>(std::move(options));
    CAF_REQUIRE(harp->start());
  }

  /// {"name":"app",...} to a helper.
  [[nodiscard]] response helper(const std::string& action, const std::string& more = {}) const {
    return harp->control("POST", "/k8s/exapp/" + action,
                         R"({"name":"app","instance_id":"")" + (more.empty() ? "" : "," + more)
                             + "}");
  }
  [[nodiscard]] response expose(const std::string& more) const {
    return helper("expose", R"("port":)" + std::to_string(pod.port()) + "," + more);
  }
  [[nodiscard]] response create() const {
    return helper(
        "create",
        R"("image":"ghcr.io\/nextcloud\/app:1","environment_variables":["APP_ID=app","APP_PORT=23000","APP_SECRET=)"
            + app.token + R"(","HP_SHARED_KEY=)" + harp->key()
            + R"("],"resource_limits":{"memory":1073741824,"nanoCPUs":500000000},"mount_points":[])");
  }
  void start() const {
    CAF_CHECK_EQUAL(helper("start").status, 204);
    auto waited = parsed(helper("wait_for_start"));
    CAF_CHECK(waited["started"] == true);
    CAF_CHECK(waited["health"] == "ready");
  }
  [[nodiscard]] int public_status() const {
    return get(harp->exapps(), "/exapps/app/public").status;
  }
  [[nodiscard]] int push() const {
    return harp->control("POST", "/exapp_storage/app", record_json(app)).status;
  }
  /// Nothing that Harp sent broke Kubernetes' schema or its own rights.
  void check_manners() const {
    CAF_CHECK_EQUAL(api.faults().dump(), "[]");
    for (const auto& line : api.log())
      if (line["status"] == 403 || line["status"] == 422)
        CAF_ERROR("refused: " << line.dump());
    CAF_CHECK(harp->log().find("token-of-the-test") == std::string::npos);
    CAF_CHECK_EQUAL(harp->error_lines(), std::vector<std::string>{});
  }
};

} // namespace harp::e2e
