// Commands that ask the running daemon: status, health, tunnels, bans.
#include "storage/types.hpp"
#include "web/admin_client.hpp"
#include "web/cli_settings.hpp"
#include "web/cli_storage.hpp"
#include "web/config_values.hpp"

#include <nlohmann/json.hpp>

#include <ostream>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

admin_answer ask(const cli_call& call, const std::string& method, const std::string& path) {
  return ask_daemon(node_directories(call.sources).first, method, path);
}

int fail(const cli_call& call, const admin_answer& answer) {
  return report_failure(answer, node_directories(call.sources).first, call);
}

void print(const cli_call& call, const std::string& body) {
  call.world.out << (call.settings.json ? body : readable(body));
  if (call.settings.json && !body.ends_with('\n'))
    call.world.out << "\n";
}

int usage(const cli_call& call, const std::string& text) {
  call.world.err << "harp: " << text << "\n";
  return exit_usage;
}

/// What goes behind /api/bans/: the address itself, or the base of the /64 that `bans ls` shows.
std::optional<std::string> ban_name(const std::string& text) {
  if (auto address = ip_address::parse(text))
    return address->to_string();
  auto network = ip_network::parse(text);
  bool bannable = network && network->bits == (network->base.is_v4() ? 128u : 64u);
  return bannable ? std::optional{network->base.to_string()} : std::nullopt;
}

} // namespace

int run_status(const cli_call& call) {
  if (call.settings.storage.wait)
    return wait_until_settled(call);
  auto answer = ask(call, "GET", "/api/status");
  if (answer.status != 200)
    return fail(call, answer);
  print(call, answer.body);
  return exit_fine;
}

int run_health(const cli_call& call) {
  auto answer = ask(call, "GET", "/readyz?verbose");
  if (answer.status != 200 && answer.status != 503)
    return fail(call, answer);
  if (!answer.body.empty())
    print(call, answer.body);
  return answer.status == 200 ? exit_fine : exit_problem;
}

int run_tunnels(const cli_call& call) {
  auto answer = ask(call, "GET", "/api/status");
  if (answer.status != 200)
    return fail(call, answer);
  auto status = json::parse(answer.body, nullptr, false);
  if (!status.is_object() || !status.contains("tunnels")) {
    call.world.err << "harp: the daemon tells nothing about tunnels\n";
    return exit_problem;
  }
  json only{{"tunnels", status["tunnels"]}};
  print(call, only.dump(2, ' ', false, json::error_handler_t::replace));
  return exit_fine;
}

int run_bans_list(const cli_call& call) {
  auto answer = ask(call, "GET", "/api/bans");
  if (answer.status != 200)
    return fail(call, answer);
  print(call, answer.body);
  return exit_fine;
}

int run_bans_lift(const cli_call& call) {
  const auto& wanted = call.settings.ban_address;
  if (wanted.empty() == !call.settings.lift_all)
    return usage(call, "bans lift needs an address or --all, and not both");
  std::string path = "/api/bans";
  if (!call.settings.lift_all) {
    auto name = ban_name(wanted);
    if (!name && wanted == "all")
      return usage(call, "to lift every ban say `harp bans lift --all`");
    if (!name)
      return usage(call, in_quotes(wanted) + " is neither an IP address nor an IPv6 /64");
    path += "/" + *name;
  }
  auto answer = ask(call, "DELETE", path);
  if (answer.status == 404 && !call.settings.json) {
    call.world.err << "harp: " << wanted << " is not banned\n";
    return exit_problem;
  }
  if (answer.status < 200 || answer.status > 299)
    return fail(call, answer);
  if (call.settings.json)
    call.world.out << (answer.body.empty() ? "{}\n" : answer.body + "\n");
  else
    call.world.out << (wanted.empty() ? "all bans lifted\n" : wanted + ": ban lifted\n");
  return exit_fine;
}

} // namespace harp::web
