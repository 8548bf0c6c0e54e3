// `harp expose`: from words to expose_options. The token comes from a file or the environment,
// never from a word.
#include "net/log.hpp"
#include "web/cli_settings.hpp"
#include "web/config_places.hpp"
#include "web/secret_text.hpp"

#include <charconv>
#include <filesystem>
#include <ostream>

namespace harp::web {

namespace {

constexpr size_t proxy_name_bytes_max = 128;
constexpr size_t unix_path_bytes_max = 107; // sockaddr_un

struct host_port {
  std::string host;
  uint16_t port = 0;
};

/// HOST:PORT with a name, an IPv4 or a bracketed IPv6 address; nothing on anything else.
std::optional<host_port> split_host_port(const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == text.npos || colon == 0)
    return std::nullopt;
  host_port result{text.substr(0, colon), 0};
  auto [end, failure]
      = std::from_chars(text.data() + colon + 1, text.data() + text.size(), result.port);
  if (failure != std::errc{} || end != text.data() + text.size() || result.port == 0)
    return std::nullopt;
  if (result.host.starts_with('[') && result.host.ends_with(']'))
    result.host = result.host.substr(1, result.host.size() - 2);
  else if (result.host.find(':') != std::string::npos)
    return std::nullopt;
  bool odd = result.host.find_first_of(" \t/\"'@") != std::string::npos;
  return result.host.empty() || odd ? std::nullopt : std::optional{std::move(result)};
}

std::string check_name(const std::string& name) {
  bool fine = !name.empty() && name.size() <= proxy_name_bytes_max;
  for (char c : name)
    fine &= c > 0x20 && c < 0x7f;
  return fine ? ""
              : "the name needs 1 to " + std::to_string(proxy_name_bytes_max)
                    + " printable ASCII characters without blanks";
}

std::string take_service(const std::string& text, expose_options& into) {
  if (text.starts_with("unix:")) {
    into.local_unix = text.substr(5);
    bool fine = into.local_unix.starts_with('/') && into.local_unix.size() <= unix_path_bytes_max;
    return fine ? ""
                : "--to unix: needs an absolute path of at most "
                      + std::to_string(unix_path_bytes_max) + " bytes";
  }
  auto where = split_host_port(text);
  if (!where)
    return "--to needs unix:/path or host:port, not " + in_quotes(text);
  into.local_host = where->host;
  into.local_port = where->port;
  return {};
}

std::string take_server(const cli_call& call, expose_options& into) {
  auto text = call.settings.expose_server;
  if (text.empty()) {
    auto host = environment_value(call.sources, "HP_FRP_ADDRESS");
    auto port = environment_value(call.sources, "HP_FRP_PORT");
    if (host.empty() || port.empty())
      return "--server HOST:PORT is missing";
    text = host + ":" + port;
  }
  auto where = split_host_port(text);
  if (!where)
    return "--server needs HOST:PORT, not " + in_quotes(text);
  into.server_host = where->host;
  into.server_port = where->port;
  return {};
}

std::string take_tls(const cli_call& call, expose_options& into) {
  into.tls = !call.settings.no_tls;
  if (!into.tls)
    return into.tls_dir.empty() ? "" : "--tls-dir and --no-tls contradict each other";
  if (into.tls_dir.empty())
    into.tls_dir = node_directories(call.sources).second + "/frp";
  std::error_code failure;
  for (const char* file : {"client.crt", "client.key", "ca.crt"})
    if (!std::filesystem::exists(std::filesystem::path{into.tls_dir} / file, failure))
      return "there is no " + into.tls_dir + "/" + file
             + "; copy the server's certs/frp and give --tls-dir, or say --no-tls";
  return {};
}

std::string read_token(const std::string& path, const std::string& label, bool quotes_go,
                       std::string& token) {
  auto content = read_secret_file(path);
  if (!content.value)
    return label + " " + content.error;
  token = quotes_go ? strip_quotes(*content.value) : std::move(*content.value);
  return {};
}

std::string take_token(const cli_call& call, std::string& token) {
  const auto& file = call.settings.token_file;
  auto shared_file = environment_value(call.sources, "HP_SHARED_KEY_FILE");
  std::string fault;
  if (!file.empty())
    fault = read_token(file, "--token-file", false, token);
  else if (auto own = environment_value(call.sources, "HARP_TOKEN"); !own.empty())
    token = own;
  else if (auto key = environment_value(call.sources, "HP_SHARED_KEY"); !key.empty())
    token = strip_quotes(key);
  else if (!shared_file.empty())
    fault = read_token(shared_file, "HP_SHARED_KEY_FILE", true, token);
  else
    return "no token: give --token-file FILE, or HARP_TOKEN or HP_SHARED_KEY in the environment";
  if (fault.empty())
    fault = shared_key_fault(token);
  return fault.empty() || fault.starts_with("-") || fault.starts_with("HP_") ? fault
                                                                             : "the token " + fault;
}

} // namespace

int run_expose(const cli_call& call) {
  auto options = call.settings.expose;
  options.mux = !call.settings.no_mux;
  options.json = call.settings.json;
  auto refuse = [&](const std::string& fault, int code) {
    call.world.err << "harp: " << fault << "\n";
    return code;
  };
  for (const auto& fault :
       {check_name(options.name), take_service(call.settings.expose_to, options),
        take_server(call, options),
        std::string{options.remote_port == 0 ? "--port needs a number from 1 to 65535" : ""}})
    if (!fault.empty())
      return refuse(fault, exit_usage);
  for (const auto& fault : {take_tls(call, options), take_token(call, options.token)})
    if (!fault.empty())
      return refuse(fault, exit_problem);
  if (!call.hooks.expose)
    return refuse("this program cannot expose", exit_problem);
  net::log_setup(net::log_level::info, !call.world.terminal);
  return call.hooks.expose(options);
}

} // namespace harp::web
