// Fuzz target: the decision procedure and the Docker allow-list. Whatever arrives, only what was checked goes on: an own
// slow reading of paths, patterns free, must agree with every `forward`.
#include "actors/decision.hpp"
#include "actors/docker_call.hpp"
#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "actors/tunnel_credential.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

using namespace harp;

namespace {

constexpr std::string_view key = "fuzz-key";

void require(bool holds) {
  if (!holds)
    std::abort();
}

int digit(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0
             ? std::stoi(std::string(1, c), nullptr, 16)
             : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0
        && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// True when some segment is exactly two dots.
bool climbs(std::string text) {
  text = "/" + text + "/";
  return text.find("/../") != text.npos || text.find("/..;") != text.npos;
}

/// The path and its first two decodings hold nothing that climbs, no backslash and no NUL.
bool is_harmless(const std::string& path) {
  std::string once = decoded(path);
  for (const auto& form : {path, once, decoded(once)}) {
    if (climbs(form) || form.find('\\') != form.npos || form.find('\0') != form.npos)
      return false;
  }
  return true;
}

bool is_internal(std::string target) {
  std::string form = decoded(target);
  for (size_t at = form.find("//"); at != form.npos; at = form.find("//"))
    form.erase(at, 1);
  if (form.size() > 1 && form.back() == '/')
    form.pop_back();
  return form == "/init" || form == "/heartbeat" || form == "/enabled";
}

std::shared_ptr<const exapp_record> fixed_record() {
  auto parsed
      = parse_exapp_record("app", R"({"exapp_token":"t","exapp_version":"1","host":"127.0.0.1",
    "port":23000,"routes":[{"url":"^/admin","access_level":2},{"url":"^/user","access_level":1},
    {"url":".*","access_level":0}]})");
  return std::make_shared<exapp_record>(std::get<exapp_record>(parsed));
}

void check_forward(const net::request_head& head, const decision& made) {
  std::string path(head.path);
  std::string target(made.target);
  require(is_harmless(path));
  require(path
          == "/exapps/" + std::string(made.app_id)
                 + (target == "/" && !path.ends_with('/') ? "" : target));
  require(is_app_id(made.app_id) && lower_app_id(made.app_id) != control_app_id);
  require(!(is_loopback_host(made.host) && is_engine_port(made.port)));
  require(made.failure_tenths == 0);
  require(made.is_signed || !is_internal(target));
  require(made.is_signed || (made.route != nullptr && made.route->access_level == access_public));
  std::string form = decoded(target);
  require(made.is_signed || (form.substr(0, 6) != "/admin" && form.substr(0, 5) != "/user"));
  std::string fields;
  if (append_app_fields(made, fields))
    require(fields.find('\0') == fields.npos && fields.ends_with("\r\naa-version: 32\r\n"));
}

void check_decision(std::string bytes, const std::shared_ptr<const exapp_record>& record) {
  net::request_head head;
  size_t searched = 0;
  if (net::parse_request_head(bytes.data(), bytes.size(), searched, head).status
      != net::parse_status::done)
    return;
  bool key_sent = false;
  for (const auto& field : head.fields)
    key_sent = key_sent || (field.id == net::field_id::harp_shared_key && field.value == key);
  for (auto state :
       {record_state::unknown, record_state::absent, record_state::failed, record_state::present}) {
    decision_answers answers{state, state == record_state::present ? record : nullptr, false,
                             user_state::anonymous, nullptr};
    decision made = decide({head, ip_address{}, key}, answers);
    require(*made.reason != '\0');
    require(key_sent
            || (made.step != next_step::control
                && !(made.is_signed && made.step == next_step::forward)));
    if (made.step == next_step::forward)
      check_forward(head, made);
    if (made.step == next_step::control)
      require(head.path.substr(0, 16) == "/exapps/app_api/" || head.path == "/exapps/app_api");
    answers.closed = true;
    decision closed = decide({head, ip_address{}, key}, answers);
    require(closed.step != next_step::forward || closed.is_signed);
  }
  user_info_key(head, "app");
  for (const auto& [name, value] : user_info_fields(head, true))
    require(name != "transfer-encoding" && name != "harp-shared-key");
}

void check_docker(const std::string& bytes) {
  auto line_end = bytes.find('\n');
  auto path = bytes.substr(0, line_end);
  auto query = line_end == bytes.npos ? "" : bytes.substr(line_end + 1);
  for (std::string_view method : {"GET", "HEAD", "POST", "DELETE"}) {
    auto call = rebuild_docker_call(method, path, query);
    if (!call)
      continue;
    require(call->method == method && method != "DELETE");
    require(is_harmless(call->target));
    for (char c : call->target)
      require(c > 0x20 && c < 0x7f && c != '#');
    auto mark = std::min(call->target.find('?'), call->target.size());
    auto again = rebuild_docker_call(method, call->target.substr(0, mark),
                                     call->target.substr(std::min(mark + 1, call->target.size())));
    require(again && again->target == call->target);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto record = fixed_record();
  static const tunnel_credentials credentials{key};
  std::string bytes(reinterpret_cast<const char*>(data), size);
  check_decision(bytes, record);
  check_decision("GET /exapps/app/" + bytes.substr(0, bytes.find_first_of(" \r\n?#"))
                     + " HTTP/1.1\r\nhost: x\r\n\r\n",
                 record);
  check_docker(bytes);
  parse_exapp_record("app", bytes);
  parse_user_info(bytes);
  require(!credentials.verify(bytes));
  auto path_ok = check_path(bytes) == path_fault::none;
  require(!path_ok || is_harmless(bytes));
  return 0;
}
