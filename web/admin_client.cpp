#include "web/admin_client.hpp"

#include "net/visible_text.hpp"
#include "storage/types.hpp"
#include "web/admin_socket.hpp"
#include "web/cli_settings.hpp"
#include "web/config_values.hpp"
#include "web/version.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <fstream>
#include <ostream>

namespace harp::web {

namespace {

constexpr size_t small_file_bytes_max = 64 * 1024;

std::string read_small(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::string text(small_file_bytes_max, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  while (text.ends_with('\n') || text.ends_with('\r'))
    text.pop_back();
  return text;
}

admin_answer unreachable(std::string why) {
  admin_answer answer;
  answer.error = std::move(why);
  answer.reachable = false;
  return answer;
}

/// "HTTP/1.1 200 OK" -> 200, 0 for anything else.
int status_of(std::string_view head) {
  int status = 0;
  if (!head.starts_with("HTTP/1.") || head.size() < 12 || head[8] != ' ')
    return 0;
  auto [end, failure] = std::from_chars(head.data() + 9, head.data() + 12, status);
  return failure == std::errc{} && end == head.data() + 12 && status >= 100 ? status : 0;
}

/// The body of a chunked message; nothing when it is cut or malformed.
std::optional<std::string> unchunk(std::string_view in) {
  std::string out;
  for (;;) {
    size_t bytes = 0;
    auto [end, failure] = std::from_chars(in.data(), in.data() + in.size(), bytes, 16);
    auto line = in.find("\r\n");
    if (failure != std::errc{} || line == in.npos || end > in.data() + line)
      return std::nullopt;
    in.remove_prefix(line + 2);
    if (bytes == 0)
      return out;
    if (in.size() < 2 || bytes > in.size() - 2)
      return std::nullopt;
    out += in.substr(0, bytes);
    in.remove_prefix(bytes + 2);
  }
}

/// Value of a field in a head, lower-cased; "" when absent.
std::string field(std::string_view head, std::string_view name) {
  std::string lower{head};
  for (char& c : lower)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto at = lower.find("\r\n" + std::string{name} + ":");
  if (at == lower.npos)
    return {};
  auto value = std::string_view{lower}.substr(at + name.size() + 3);
  return std::string{trimmed(value.substr(0, value.find("\r\n")))};
}

admin_answer parse_answer(const std::string& raw) {
  admin_answer answer;
  auto end = raw.find("\r\n\r\n");
  answer.status = end == raw.npos ? 0 : status_of(raw);
  if (answer.status == 0) {
    answer.error = "the answer is not HTTP";
    return answer;
  }
  auto head = std::string_view{raw}.substr(0, end + 2);
  answer.body = raw.substr(end + 4);
  auto length = field(head, "content-length");
  std::optional<std::string> body = answer.body;
  if (field(head, "transfer-encoding") == "chunked")
    body = unchunk(answer.body);
  else if (!length.empty() && std::to_string(answer.body.size()) != length)
    body.reset();
  if (!body)
    return {0, {}, "the answer was cut off", true};
  answer.body = std::move(*body);
  return answer;
}

} // namespace

admin_answer ask_admin(const std::string& address, const std::string& token,
                       const std::string& method, const std::string& path,
                       std::chrono::milliseconds limit, const std::string& body) {
  auto request = method + " " + path + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: harp/"
                 + std::string{version} + "\r\nAccept: application/json\r\nConnection: close\r\n";
  if (!token.empty())
    request += "Authorization: Bearer " + token + "\r\n";
  if (method != "GET")
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  auto result = exchange(address, request + "\r\n" + body, admin_answer_bytes_max, limit);
  if (!result.error.empty())
    return unreachable(result.error);
  return parse_answer(result.received);
}

admin_answer ask_daemon(const std::string& state_dir, const std::string& method,
                        const std::string& path, const std::string& body,
                        std::chrono::milliseconds limit) {
  if (state_dir.empty())
    return unreachable("there is no state directory; give --state DIR");
  auto text = read_small(state_dir + "/run.json");
  if (text.empty())
    return unreachable("there is no daemon in " + state_dir + " (no run.json)");
  auto run = nlohmann::json::parse(text, nullptr, false);
  if (!run.is_object() || !run.contains("console") || !run["console"].is_string())
    return unreachable(state_dir + "/run.json is damaged; restart the daemon");
  return ask_admin(run["console"].get<std::string>(), read_small(state_dir + "/cli.token"), method,
                   path, limit, body);
}

int report_failure(const admin_answer& answer, const std::string& state_dir, const cli_call& call) {
  int code = answer.reachable ? exit_problem : exit_unreachable;
  std::string why = answer.error;
  if (answer.status == 401 || answer.status == 403)
    why = "the daemon does not accept " + state_dir
          + "/cli.token; run this as the user that runs the daemon";
  else if (answer.status != 0)
    why = "the daemon answered with status " + std::to_string(answer.status);
  if (call.settings.json) {
    nlohmann::ordered_json error{{"error", why}, {"status", answer.status}};
    call.world.out << error.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return code;
  }
  std::string shown;
  net::append_visible(shown, why);
  call.world.err << "harp: " << shown << "\n";
  if (code == exit_unreachable)
    call.world.err
        << "harp: is it running? Start it with `harp serve`, or choose it with --state\n";
  return code;
}

} // namespace harp::web
