#include "actors/bridge_admin.hpp"

#include "actors/ask.hpp"
#include "web/config_report.hpp"
#include "web/version.hpp"

#include <nlohmann/json.hpp>

#include <chrono>

namespace harp {

using json = nlohmann::ordered_json;

net::asio::awaitable<json> bridge_admin::status() {
  json listeners = json::object();
  for (const auto& [name, open] : listeners_)
    if (!listeners.contains(name))
      listeners[name] = open->address();
  json tunnels = json::array();
  for (const auto& session : seam_.tunnels().all()) {
    auto facts = session->facts();
    tunnels.push_back({{"peer", facts.peer},
                       {"version", facts.version},
                       {"hostname", facts.hostname},
                       {"tls", facts.tls},
                       {"mux", facts.mux},
                       {"proxies", facts.proxies},
                       {"streams", facts.streams},
                       {"bytes_in", facts.bytes_in},
                       {"bytes_out", facts.bytes_out},
                       {"since", facts.since_unix_s}});
  }
  json apps = json::array();
  auto running = seam_.answers().tunnels.read();
  for (const auto& [app_id, app] : *seam_.answers().records.read()) {
    json entry{{"id", app_id}, {"closed", app.closed}};
    if (app.record) {
      entry["version"] = app.record->version;
      entry["host"] = app.record->host;
      entry["port"] = app.record->port;
      entry["routes"] = app.record->routes.size();
      entry["tunnel"] = running->contains(app.record->port);
    }
    apps.push_back(std::move(entry));
  }
  bool ready = false;
  auto checks = readiness(ready);
  json result{{"version", web::version},
              {"pid", getpid()},
              {"started", started_s_},
              {"ready", ready},
              {"listeners", listeners},
              {"apps", apps},
              {"tunnels", tunnels},
              {"checks", checks},
              {"warnings", loaded_.warnings}};
  if (loaded_.value.proxy_enabled) {
    result["engines"] = engines_.list();
    result["findings"] = engines_.findings();
    if (loaded_.value.legacy_exapp_key)
      result["findings"].push_back("ExApps get the shared key itself (engines.legacy_exapp_key)");
  }
  if (auto nodes = storage_.listening(); !nodes.empty())
    result["listeners"]["nodes"] = nodes;
  co_await storage_.add_status(result);
  co_return result;
}

net::asio::awaitable<std::optional<json>> bridge_admin::bans() {
  auto handles = seam_.handles();
  if (!handles.gatekeeper)
    co_return json::array(); // the proxy plane is off: nobody can be banned
  auto report = co_await ask<ban_report>(seam_.system(), handles.gatekeeper, ask_limit, bans_atom_v);
  if (!report)
    co_return std::nullopt;
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  json list = json::array();
  for (const auto& entry : report->entries) {
    auto shown = entry.key.is_v4() ? entry.key.to_string() : entry.key.to_string() + "/64";
    list.push_back({{"address", shown}, {"ends_in_s", (entry.until_ms - now + 999) / 1000}, {"reason", entry.reason}});
  }
  co_return list;
}

net::asio::awaitable<std::optional<uint64_t>> bridge_admin::lift(std::string address) {
  auto handles = seam_.handles();
  if (!handles.gatekeeper)
    co_return uint64_t{0};
  auto lifted = co_await ask<uint64_t>(seam_.system(), handles.gatekeeper, ask_limit, lift_atom_v, address);
  if (!lifted)
    co_return std::nullopt;
  co_return *lifted;
}

json bridge_admin::config() {
  return json::parse(web::config_json(loaded_));
}

bool bridge_admin::live() {
  for (size_t i = 0; i < seam_.loops().size(); ++i)
    if (seam_.loops().at(i).silent_for() > loop_silence_max)
      return false;
  return true;
}

json bridge_admin::readiness(bool& ready) {
  json checks = json::array();
  ready = true;
  auto check = [&checks, &ready](const char* name, bool good, bool needed, const char* reason) {
    checks.push_back({{"name", name}, {"ok", good}, {"reason", good ? "" : reason}});
    ready = ready && (good || !needed);
  };
  check("loops", live(), true, "an event loop does not answer");
  check("listeners", !listeners_.empty(), true, "nothing listens yet");
  check("accepting", !stopping_, true, "the node is stopping");
  if (loaded_.value.proxy_enabled)
    check("nextcloud", seam_.answers().nextcloud_answers, false, "Nextcloud did not answer the last call");
  return checks;
}

} // namespace harp
