// `harp adopt`: looks at a HaRP installation and says what it would become. Changes nothing.
#include "net/certs.hpp"
#include "web/admin_client.hpp"
#include "web/cli_engine.hpp"

#include <nlohmann/json.hpp>

#include <ctime>
#include <filesystem>
#include <ostream>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

constexpr const char* own_configurations[] = {"/haproxy.cfg", "/frps.toml", "/frpc-docker.toml"};
constexpr std::chrono::seconds apps_limit{60};

json certificates(const std::string& dir) {
  json out = json::array();
  for (const char* name : {"ca.crt", "server.crt", "client.crt"}) {
    auto facts = net::read_certificate(dir + "/" + name, dir + "/ca.crt");
    json entry{{"file", dir + "/" + name}};
    if (!facts.error.empty()) {
      entry["verdict"] = "would be made at the first start";
    } else {
      bool good = std::string_view{name} == "ca.crt" || facts.issued_by_ca;
      auto expiry = net::expiry_warning("it", facts.not_after_unix_s, std::time(nullptr));
      entry["verdict"] = !good            ? "was not issued by this CA: tunnels will fail"
                         : expiry.empty() ? "is used as it is"
                                          : expiry;
    }
    out.push_back(std::move(entry));
  }
  return out;
}

/// Every HP_ name that is set, as Harp understands it.
json settings(const config_result& read) {
  json out = json::array();
  for (const auto& one : read.origins)
    if (one.origin.starts_with("env HP_") || one.origin.starts_with("env NC_INSTANCE_URL"))
      out.push_back({{"key", one.key}, {"value", one.value}, {"from", one.origin.substr(4)}});
  return out;
}

} // namespace

int run_adopt(const cli_call& call) {
  auto [state, certs] = node_directories(call.sources);
  auto read = load_config(call.sources);
  json findings = json::array();
  for (const auto& text : read.errors)
    findings.push_back("error: " + text);
  for (const auto& text : read.warnings)
    findings.push_back(text);
  for (const char* file : own_configurations)
    if (std::error_code ignored; std::filesystem::exists(file, ignored))
      findings.push_back(std::string{file}
                         + " would not be read: take its changes over into harp.toml");
  json containers = json::array();
  auto answer = ask_daemon(state, "POST", "/api/call/apps_ls", "{}", apps_limit);
  auto told = json::parse(answer.body, nullptr, false);
  if (answer.status == 200 && told.is_object() && told.contains("apps"))
    for (const auto& one : told["apps"])
      containers.push_back({{"container", one.value("container", "")},
                            {"owner", one.value("owner", "")},
                            {"findings", one.value("findings", json::array())}});
  else
    findings.push_back(
        "no daemon of this state directory answers, so containers were not looked at");
  json out{{"certificates", certificates(certs + "/frp")},
           {"settings", settings(read)},
           {"containers", containers},
           {"findings", findings}};
  auto text = out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  call.world.out << (call.settings.json ? text : readable(text));
  return read.errors.empty() ? exit_fine : exit_problem;
}

} // namespace harp::web
