// Commands about the configuration, and serve's way into the hook: read, complain or go.
#include "net/log.hpp"
#include "net/visible_text.hpp"
#include "web/admin_client.hpp"
#include "web/cli_settings.hpp"
#include "web/config_report.hpp"
#include "web/version.hpp"

#include <nlohmann/json.hpp>

#include <ostream>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

std::string visible(const std::string& text) {
  std::string result;
  net::append_visible(result, text);
  return result;
}

void print_lines(std::ostream& out, const char* what, const std::vector<std::string>& lines) {
  for (const auto& line : lines)
    out << what << ": " << visible(line) << "\n";
}

std::string dump(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

net::log_level level_of(const std::string& name) {
  if (name == "debug")
    return net::log_level::debug;
  if (name == "info")
    return net::log_level::info;
  return name == "error" ? net::log_level::error : net::log_level::warn;
}

} // namespace

int run_serve(const cli_call& call) {
  auto loaded = load_config(call.sources);
  print_lines(call.world.err, "harp: error", loaded.errors);
  if (!loaded.errors.empty()) {
    call.world.err << "harp: the configuration has errors; nothing was started\n";
    return exit_problem;
  }
  const auto& c = loaded.value;
  net::log_setup(level_of(c.log_level),
                 c.log_format == "json" || (c.log_format == "auto" && !call.world.terminal));
  for (const auto& warning : loaded.warnings)
    net::log(net::log_level::warn, "HARP-C001", "admin", warning,
             {{"cause", "configuration"}, {"next", "harp config check"}});
  if (!call.hooks.serve) {
    call.world.err << "harp: this program cannot serve\n";
    return exit_problem;
  }
  if (call.hooks.loaded)
    call.hooks.loaded(loaded, call.sources);
  return call.hooks.serve(c);
}

int run_version(const cli_call& call) {
  if (call.settings.json)
    call.world.out << dump({{"version", version}});
  else
    call.world.out << "harp " << version << "\n";
  return exit_fine;
}

int run_config_check(const cli_call& call) {
  auto loaded = load_config(call.sources);
  int code = loaded.errors.empty() ? exit_fine : exit_problem;
  if (call.settings.json) {
    call.world.out << dump({{"ok", loaded.errors.empty()},
                            {"file", loaded.value.config_file},
                            {"errors", loaded.errors},
                            {"warnings", loaded.warnings}});
    return code;
  }
  print_lines(call.world.out, "error", loaded.errors);
  print_lines(call.world.out, "warning", loaded.warnings);
  call.world.out << (loaded.errors.empty() ? "the configuration is usable"
                                           : "the configuration cannot be used")
                 << " (" << loaded.errors.size() << " errors, " << loaded.warnings.size()
                 << " warnings)\n";
  return code;
}

int run_config_show(const cli_call& call) {
  auto loaded = load_config(call.sources);
  if (call.settings.json)
    call.world.out << config_json(loaded);
  else
    call.world.out << config_text(loaded, call.settings.origin);
  print_lines(call.world.err, "error", loaded.errors);
  return loaded.errors.empty() ? exit_fine : exit_problem;
}

int run_config_diff(const cli_call& call) {
  auto state = node_directories(call.sources).first;
  auto answer = ask_daemon(state, "GET", "/api/config");
  if (answer.status != 200)
    return report_failure(answer, state, call);
  auto compared = compare_config(answer.body, load_config(call.sources));
  if (!compared.error.empty()) {
    call.world.err << "harp: " << compared.error << "\n";
    return exit_problem;
  }
  json rows = json::array();
  for (const auto& row : compared.differences) {
    rows.push_back({{"key", row.key}, {"running", row.running}, {"files", row.files}});
    if (!call.settings.json)
      call.world.out << row.key << "\n  running: " << visible(row.running)
                     << "\n  files:   " << visible(row.files) << "\n";
  }
  if (call.settings.json)
    call.world.out << dump({{"differences", rows}});
  else if (compared.differences.empty())
    call.world.out << "no difference\n";
  return compared.differences.empty() ? exit_fine : exit_problem;
}

int run_config_reference(const cli_call& call) {
  call.world.out << (call.settings.json ? config_reference_json() : config_reference());
  return exit_fine;
}

} // namespace harp::web
