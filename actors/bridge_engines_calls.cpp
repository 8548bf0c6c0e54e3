#include "actors/bridge_engines_calls.hpp"

#include "actors/ask.hpp"
#include "actors/engines.hpp"
#include "actors/port_claims.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

namespace harp {

namespace {

using json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 8> names{"engine_ls", "engine_check", "engine_add",
                                                "engine_rm", "apps_ls",      "apps_logs",
                                                "apps_stop", "apps_start"};
constexpr size_t socket_path_bytes_max = 107; // sun_path

web::call_answer answer(int status, const json& body) {
  return {status, body.dump(2, ' ', false, json::error_handler_t::replace) + "\n", false};
}

web::call_answer refused(int status, const std::string& what, const std::string& next) {
  return answer(status, json{{"error", what}, {"next", next}});
}

std::string_view words_of(engine_reach reach) {
  return reach == engine_reach::reachable     ? "yes"
         : reach == engine_reach::unreachable ? "no"
                                              : "not asked yet";
}

/// How people name an engine: by its port, or "kubernetes".
json name_of(uint16_t engine) {
  return engine == kubernetes_engine ? json("kubernetes") : json(engine);
}

std::string text_of(const json& from, const char* key) {
  auto found = from.find(key);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

unsigned number_of(const json& from, const char* key) {
  auto found = from.find(key);
  return found != from.end() && found->is_number_unsigned() ? found->get<unsigned>() : 0;
}

std::optional<std::map<uint16_t, std::string>> read_sockets(std::istream& from) {
  auto value = json::parse(from, nullptr, false);
  if (!value.is_object())
    return std::nullopt;
  std::map<uint16_t, std::string> out;
  for (unsigned port = engine_port_first; port <= engine_port_last; ++port)
    if (auto socket = text_of(value, std::to_string(port).c_str()); !socket.empty())
      out.emplace(static_cast<uint16_t>(port), std::move(socket));
  return out;
}

} // namespace

std::string bridge_engines_calls::load() {
  std::ifstream file{file_};
  if (!file)
    return {};
  auto sockets = read_sockets(file);
  if (!sockets)
    return file_ + " is damaged: remove it and add its engines again with `harp engine add`";
  engines_.set_sockets(std::move(*sockets));
  return {};
}

bool bridge_engines_calls::knows(std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

net::asio::awaitable<web::call_answer> bridge_engines_calls::call(std::string name,
                                                                  std::string arguments) {
  auto given = json::parse(arguments.empty() ? "{}" : arguments, nullptr, false);
  if (!given.is_object())
    co_return refused(400, "the arguments are not a JSON object", "see web/README.md");
  if (!seam_.handles().engines)
    co_return refused(503, "the proxy plane of this node is off: it has no engines",
                      "give it the shared key and Nextcloud's URL");
  auto port = number_of(given, "port");
  if (name == "engine_ls")
    co_return answer(200, json{{"engines", list()}});
  if (name == "engine_add")
    co_return add(port, text_of(given, "socket"));
  if (name == "engine_rm")
    co_return remove(port);
  if (name == "engine_check")
    co_return co_await check(port);
  if (name == "apps_ls")
    co_return co_await list_apps();
  auto action = name == "apps_stop"    ? exapp_action::stop
                : name == "apps_start" ? exapp_action::start
                                       : exapp_action::read_logs;
  co_return co_await app(action, text_of(given, "app"), port, number_of(given, "lines"));
}

// -- engines ---------------------------------------------------------------------------------------------------------------

json bridge_engines_calls::list() const {
  auto known = board_->engines.read();
  json out = json::array();
  for (auto port : engines_.ports()) {
    auto found = known->find(port);
    auto facts = found == known->end() ? engine_facts{} : found->second;
    out.push_back({{"port", name_of(port)},
                   {"place", engines_.place(port)},
                   {"reachable", words_of(facts.reach)},
                   {"product", facts.product},
                   {"version", facts.version},
                   {"api", facts.api},
                   {"server", facts.server},
                   {"running", facts.running},
                   {"waiting", facts.waiting},
                   {"trouble", facts.trouble}});
  }
  return out;
}

std::vector<std::string> bridge_engines_calls::findings() const {
  std::vector<std::string> out;
  auto all = board_->engines.read();
  for (const auto& [port, facts] : *all) {
    auto name = port == kubernetes_engine ? std::string{"kubernetes"} : std::to_string(port);
    if (facts.reach == engine_reach::unreachable)
      out.push_back("engine " + name + " cannot be reached: " + facts.trouble);
    for (const auto& finding : facts.findings)
      out.push_back("engine " + name + ": " + finding);
    for (const auto& finding : facts.app_findings)
      out.push_back("engine " + name + ": " + finding);
  }
  return out;
}

web::call_answer bridge_engines_calls::add(unsigned port, const std::string& socket) {
  if (!is_engine_port(port) || port == engine_port_first)
    return refused(400, "the port must be 24001 to 24099",
                   "24000 is engines.local of the configuration");
  if (!socket.starts_with('/') || socket.size() > socket_path_bytes_max)
    return refused(400, "the socket must be an absolute path of at most 107 bytes",
                   "for a remote engine run frpc or `harp expose` there instead");
  if (!engines_.place(static_cast<uint16_t>(port)).empty())
    return refused(409, "this port has an engine", "choose another, see `harp engine ls`");
  std::ifstream file{file_};
  auto sockets = read_sockets(file).value_or(std::map<uint16_t, std::string>{});
  sockets[static_cast<uint16_t>(port)] = socket;
  if (auto error = save(sockets); !error.empty())
    return refused(500, error, "see whether the state directory can be written");
  engines_.set_sockets(std::move(sockets));
  return answer(200, json{{"port", port}, {"place", "unix:" + socket}});
}

web::call_answer bridge_engines_calls::remove(unsigned port) {
  std::ifstream file{file_};
  auto sockets = read_sockets(file).value_or(std::map<uint16_t, std::string>{});
  if (sockets.erase(static_cast<uint16_t>(port)) == 0)
    return refused(404, "no engine was added on this port",
                   "24000 is taken away in the configuration, a tunnel by its client");
  if (auto error = save(sockets); !error.empty())
    return refused(500, error, "see whether the state directory can be written");
  engines_.set_sockets(std::move(sockets));
  return answer(200, json{{"removed", port}});
}

/// Appears whole or not at all.
std::string bridge_engines_calls::save(const std::map<uint16_t, std::string>& sockets) {
  json text = json::object();
  for (const auto& [port, socket] : sockets)
    text[std::to_string(port)] = socket;
  auto fresh = file_ + ".new";
  std::ofstream file{fresh, std::ios::trunc};
  file << text.dump(2) << '\n';
  file.close();
  std::error_code error;
  if (!file)
    return fresh + " cannot be written";
  std::filesystem::rename(fresh, file_, error);
  return error ? file_ + ": " + error.message() : std::string{};
}

// -- conversations -----------------------------------------------------------------------------------------------------------

net::asio::awaitable<exapp_answer> bridge_engines_calls::order(uint16_t port, exapp_call call) {
  engine_order wanted;
  wanted.engine = port;
  auto limit = engine_call_limit(call.action, port) + ask_limit;
  wanted.call = std::make_shared<const exapp_call>(std::move(call));
  auto verdict = co_await ask<engine_verdict>(seam_.system(), seam_.handles().engines, limit,
                                              carry_atom_v, wanted);
  if (!verdict)
    co_return text_answer(503, "too many calls wait for this engine");
  co_return *verdict->answer;
}

net::asio::awaitable<web::call_answer> bridge_engines_calls::check(unsigned port) {
  bool in_cluster = port == kubernetes_engine && engines_.has_cluster();
  if (!is_engine_port(port) && !in_cluster)
    co_return refused(400, "the port must be 24000 to 24099, or kubernetes where that is switched on",
                      "see `harp engine ls`");
  exapp_call call;
  call.action = exapp_action::check_engine;
  auto said = co_await order(static_cast<uint16_t>(port), std::move(call));
  if (said.status != 200)
    co_return refused(502, said.body,
                      "see whether the engine runs, whether Harp may use its socket, or whether "
                      "its tunnel is up");
  auto facts = json::parse(said.body, nullptr, false);
  json out{{"port", name_of(static_cast<uint16_t>(port))},
           {"place", engines_.place(static_cast<uint16_t>(port))}};
  out.update(facts);
  co_return answer(200, out);
}

net::asio::awaitable<web::call_answer> bridge_engines_calls::list_apps() {
  json apps = json::array();
  json troubles = json::array();
  for (auto port : engines_.ports()) {
    exapp_call call;
    call.action = exapp_action::list_apps;
    auto said = co_await order(port, std::move(call));
    if (said.status != 200) {
      troubles.push_back({{"engine", name_of(port)}, {"error", said.body}});
      continue;
    }
    for (auto& entry : json::parse(said.body, nullptr, false)) {
      json one{{"engine", name_of(port)}};
      one.update(entry);
      apps.push_back(std::move(one));
    }
  }
  co_return answer(200, json{{"apps", apps}, {"troubles", troubles}});
}

/// On the engine that was named, else on the first that has the app.
net::asio::awaitable<web::call_answer>
bridge_engines_calls::app(exapp_action action, std::string name, unsigned port, unsigned lines) {
  if (!is_exapp_name(name) || (port != 0 && port != kubernetes_engine && !is_engine_port(port)))
    co_return refused(400, "the app's id or the engine's port is not one", "see `harp apps ls`");
  exapp_answer said = text_answer(404, "no engine has a container of this app");
  for (auto candidate : engines_.ports()) {
    if (port != 0 && port != candidate)
      continue;
    exapp_call call;
    call.action = action;
    call.name = name;
    call.log_lines = lines;
    said = co_await order(candidate, std::move(call));
    if (said.status != 404)
      break;
  }
  if (said.status >= 400)
    co_return refused(said.status == 404 ? 404 : 502, said.body,
                      "see `harp apps ls` and `harp engine check`");
  if (action == exapp_action::read_logs)
    co_return answer(200, json{{"app", name}, {"log", said.body}});
  bool changed = said.status == 204;
  co_return answer(200, json{{"app", name}, {"done", changed}, {"note", changed ? "" : said.body}});
}

} // namespace harp
