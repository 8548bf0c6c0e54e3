// Starting and asking a node.
#include "tests/e2e/node.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <sstream>

namespace harp::e2e {

node::node(node_options options) : options_(std::move(options)) {
  std::filesystem::create_directory(state());
}

std::map<std::string, std::string> node::environment() const {
  auto address = [this](const std::string& name) {
    auto known = listeners_.find(name); // a restart keeps its ports
    return known == listeners_.end() ? std::string{"127.0.0.1:0"} : known->second;
  };
  std::map<std::string, std::string> out = options_.environment;
  out.emplace("HP_SHARED_KEY", options_.key);
  out.emplace("NC_INSTANCE_URL", options_.nextcloud);
  out.emplace("HP_EXAPPS_ADDRESS", address("exapps"));
  out.emplace("HP_EXAPPS_HTTPS_ADDRESS", address("exapps_https"));
  out.emplace("HP_FRP_ADDRESS", address("frp"));
  out.emplace("HARP_LISTEN_HEALTH", address("health"));
  out.emplace("HARP_LISTEN_CONSOLE", address("console"));
  out.emplace("HP_LOG_LEVEL", "debug");
  if (!options_.tunnel_tls)
    out.emplace("HP_FRP_DISABLE_TLS", "true");
  std::erase_if(out,
                [](const auto& one) { return one.second == "-"; }); // "-" takes a variable away
  return out;
}

bool node::start(milliseconds limit) {
  spawn_options how;
  how.environment = environment();
  how.output = dir_ / "harp.log";
  how.descriptors_max = options_.descriptors_max;
  std::vector<std::string> words
      = options_.launcher ? options_.launcher(dir_) : std::vector<std::string>{};
  words.insert(words.end(), {harp_program(), "--state", state(), "serve"});
  program_ = process{words, how};
  return until(limit * patience(), [this] { return !program_.running() || read_listeners(); })
         && program_.running() && command({"health"}).status == 0;
}

bool node::restart(bool hard) {
  if (hard)
    program_.kill();
  else
    program_.stop();
  return start();
}

bool node::read_listeners() {
  if (!std::filesystem::exists(state() + "/run.json"))
    return false;
  auto told = command({"status", "--json"});
  if (told.status != 0)
    return false;
  auto status = nlohmann::json::parse(told.output, nullptr, false);
  if (!status.is_object() || !status.contains("listeners"))
    return false;
  std::map<std::string, std::string> found;
  for (const auto& [name, address] : status["listeners"].items())
    if (address.is_string() && !address.get<std::string>().empty())
      found[name] = address;
  if (!found.contains("console"))
    return false;
  listeners_ = std::move(found);
  return true;
}

std::string node::listener(const std::string& name) const {
  auto found = listeners_.find(name);
  return found == listeners_.end() ? std::string{} : found->second;
}

std::vector<std::string> node::error_lines() const {
  std::vector<std::string> out;
  std::istringstream lines{log()};
  for (std::string line; std::getline(lines, line);)
    if (line.find("\"level\":\"error\"") != std::string::npos)
      out.push_back(line);
  return out;
}

run_result node::command(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {harp_program(), "--state", state()});
  return run(arguments, {}, 10s);
}

header_list node::signed_headers(const std::string& app_id, const app_entry& app) const {
  return {{"AA-VERSION", "32.0.1"},
          {"EX-APP-ID", app_id},
          {"EX-APP-VERSION", app.version},
          {"AUTHORIZATION-APP-API", base64(":" + app.token)},
          {"AA-REQUEST-ID", "CLI"},
          {"harp-shared-key", key()},
          {"ex-app-port", std::to_string(app.port)},
          {"ex-app-host", app.host}};
}

response node::control(const std::string& method, const std::string& target,
                       const std::string& body, header_list more) const {
  more.emplace_back("harp-shared-key", key());
  return request(exapps(), method, "/exapps/app_api" + target, more, body);
}

double node::metric(const std::string& name) const {
  std::istringstream lines{get(console(), "/metrics", {{"Host", console()}}).body};
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ' ')
      return std::stod(line.substr(name.size() + 1));
  return -1;
}

sample_app::sample_app(const std::string& listen) {
  spawn_options how;
  how.output = dir_ / "sample.log";
  program_ = process{{sample_program(), "--listen", listen}, how};
  until(10s * patience(), [this] {
    std::string text = read_file(dir_ / "sample.log");
    size_t end = text.find('\n');
    if (!text.starts_with("listening on ") || end == std::string::npos)
      return false;
    address_ = text.substr(13, end - 13);
    return true;
  });
}

int sample_app::port() const {
  return std::stoi(address_.substr(address_.rfind(':') + 1));
}

} // namespace harp::e2e
