#include "web/cli_engine.hpp"

#include "net/visible_text.hpp"
#include "web/admin_client.hpp"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include <ostream>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

constexpr std::chrono::seconds engine_call_limit{120}; // several engines, one after the other

CLI::App* command(CLI::App& parent, const std::string& name, const std::string& meaning) {
  auto* added = parent.add_subcommand(name, meaning);
  added->fallthrough();
  return added;
}

/// What the API takes for the Kubernetes backend, which has no control port.
constexpr const char* kubernetes_port = "1";

/// `kubernetes` stands for that backend.
void allow_kubernetes(CLI::Option* port) {
  port->transform([](std::string given) { return given == "kubernetes" ? kubernetes_port : given; },
                  "", "kubernetes");
}

CLI::Option* add_port(CLI::App* to, engine_words& into) {
  return to->add_option("port", into.port, "the engine's port, 24000 to 24099")
      ->option_text("PORT")
      ->required();
}

void add_app(CLI::App* to, engine_words& into) {
  to->add_option("app", into.app, "the app's id")->option_text("APP")->required();
  allow_kubernetes(to->add_option("--engine", into.port,
                                  "only on the engine of this port, or kubernetes")
                       ->option_text("PORT"));
}

/// A call of the API and the arguments it takes out of the words.
struct known_call {
  const char* words;
  const char* name;
  json (*arguments)(const engine_words&);
};

json of_port(const engine_words& w) {
  return {{"port", w.port}};
}

json of_app(const engine_words& w) {
  return {{"app", w.app}, {"port", w.port}, {"lines", w.lines}};
}

const known_call calls[] = {
    {"engine ls", "engine_ls", of_port},
    {"engine check", "engine_check", of_port},
    {"engine add", "engine_add",
     [](const engine_words& w) {
       return json{{"port", w.port}, {"socket", w.socket}};
     }},
    {"engine rm", "engine_rm", of_port},
    {"apps ls", "apps_ls", of_app},
    {"apps logs", "apps_logs", of_app},
    {"apps stop", "apps_stop", of_app},
    {"apps start", "apps_start", of_app},
};

void print(const cli_call& call, const std::string& words, const std::string& body) {
  if (call.settings.json) {
    call.world.out << body;
    return;
  }
  auto value = words == "apps logs" ? json::parse(body, nullptr, false) : json{};
  if (!value.is_object() || !value.contains("log") || !value["log"].is_string()) {
    call.world.out << readable(body);
    return;
  }
  std::string line;
  for (char c : value["log"].get<std::string>() + "\n") { // an app's output is foreign text
    if (c != '\n') {
      line += c;
      continue;
    }
    std::string shown;
    net::append_visible(shown, line);
    call.world.out << shown << '\n';
    line.clear();
  }
}

/// The daemon's own words for why it did not do it; false when it gave none.
bool print_refusal(const cli_call& call, const std::string& body) {
  auto value = json::parse(body, nullptr, false);
  if (!value.is_object() || !value.contains("error") || !value["error"].is_string())
    return false;
  if (call.settings.json) {
    call.world.out << body;
    return true;
  }
  for (const char* key : {"error", "next"}) {
    std::string shown;
    net::append_visible(shown, value.value(key, std::string{}));
    if (!shown.empty())
      call.world.err << "harp: " << shown << "\n";
  }
  return true;
}

} // namespace

void add_engine_commands(CLI::App& app, engine_words& into) {
  auto* engine = command(app, "engine", "container engines on which AppAPI deploys ExApps");
  engine->require_subcommand(0, 1);
  command(*engine, "ls",
          "list them: where they are, whether they answered last, which API they speak");
  allow_kubernetes(
      add_port(command(*engine, "check",
                       "ask one (PORT, or kubernetes) now: product, version, what Harp may do there"),
               into));
  auto* add = command(*engine, "add",
                      "serve a further engine of this machine; remote ones come by tunnel");
  add_port(add, into);
  add->add_option("socket", into.socket, "its socket, e.g. /run/podman/podman.sock")
      ->option_text("PATH")
      ->required();
  add_port(command(*engine, "rm", "stop serving an engine that was added; its containers stay"),
           into);
  auto* apps = command(app, "apps", "ExApps as the engines know them");
  apps->require_subcommand(0, 1);
  command(*apps, "ls", "list them with state, owner and findings");
  auto* logs = command(*apps, "logs", "what an app wrote");
  add_app(logs, into);
  logs->add_option("--lines", into.lines, "only the last ones")->option_text("N");
  add_app(command(*apps, "stop", "stop an app's container"), into);
  add_app(command(*apps, "start", "start it again"), into);
  command(app, "adopt", "what an existing HaRP installation would become with Harp; reads only");
}

bool is_engine_command(const std::string& words) {
  for (const auto& known : calls)
    if (words == known.words)
      return true;
  return words == "adopt";
}

int run_engine(const cli_call& call, const std::string& words) {
  if (words == "adopt")
    return run_adopt(call);
  auto state = node_directories(call.sources).first;
  for (const auto& known : calls) {
    if (words != known.words)
      continue;
    auto arguments = known.arguments(call.settings.engine)
                         .dump(-1, ' ', false, json::error_handler_t::replace);
    auto answer = ask_daemon(state, "POST", std::string{"/api/call/"} + known.name, arguments,
                             engine_call_limit);
    if (answer.status >= 400 && print_refusal(call, answer.body))
      return exit_problem;
    if (answer.status != 200)
      return report_failure(answer, state, call);
    print(call, words, answer.body);
  }
  return exit_fine;
}

} // namespace harp::web
