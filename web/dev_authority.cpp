// Answers of the development authority.
#include "web/dev_authority.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <random>

namespace harp::web {

namespace {

constexpr size_t token_characters = 64;
constexpr size_t credential_bytes_max = 4096;

struct route {
  std::string_view pattern;
  int access_level; // 0 public, 1 user, 2 admin
};

constexpr std::array<route, 15> routes{{{"^/$", 0},
                                        {"^/public", 0},
                                        {"^/whoami$", 0},
                                        {"^/ws$", 0},
                                        {"^/echo-page$", 0},
                                        {"^/stream$", 0},
                                        {"^/bytes$", 0},
                                        {"^/sink$", 0},
                                        {"^/chunked$", 0},
                                        {"^/silent$", 0},
                                        {"^/status$", 0},
                                        {"^/close$", 0},
                                        {"^/cut$", 0},
                                        {"^/user", 1},
                                        {"^/admin", 2}}};

std::string drawn_token() {
  static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::uniform_int_distribution<size_t> index{0, letters.size() - 1};
  std::string token;
  for (size_t i = 0; i < token_characters; ++i)
    token += letters[index(random)];
  return token;
}

std::string base64(std::string_view text) {
  static constexpr std::string_view letters
      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (char c : text) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6)
      out += letters[bits >> (count - 6) & 63];
  }
  if (count > 0)
    out += letters[bits << (6 - count) & 63];
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}

/// "Basic" in any case, then one or more spaces; the rest is the credential. Nothing for another
/// scheme.
std::string_view basic_credential(std::string_view authorization) {
  static constexpr std::string_view scheme = "basic ";
  bool is_basic = authorization.size() > scheme.size()
                  && std::equal(scheme.begin(), scheme.end(), authorization.begin(),
                                [](char want, char got) { return (got | 0x20) == want; });
  if (!is_basic)
    return {};
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

/// The value of the last `oc_sessionPassphrase` in a Cookie header.
std::string_view session_cookie(std::string_view cookie) {
  static constexpr std::string_view name = "oc_sessionPassphrase=";
  std::string_view found;
  while (!cookie.empty()) {
    std::string_view item = cookie.substr(0, cookie.find(';'));
    cookie.remove_prefix(std::min(cookie.size(), item.size() + 1));
    item.remove_prefix(std::min(item.find_first_not_of(' '), item.size()));
    if (item.starts_with(name))
      found = item.substr(name.size());
  }
  return found;
}

dev_authority::answer known(std::string_view name, int access_level) {
  nlohmann::json body{{"user_id", name}, {"access_level", access_level}};
  return {200, body.dump()};
}

} // namespace

dev_authority::dev_authority() : token_(drawn_token()) {}

dev_authority::answer dev_authority::exapp_meta(std::string_view asked_app_id) const {
  if (asked_app_id != app_id)
    return {404, R"({"message":"no such ExApp in the development authority"})"};
  nlohmann::json list = nlohmann::json::array();
  for (const route& each : routes)
    list.push_back({{"url", each.pattern},
                    {"access_level", each.access_level},
                    {"bruteforce_protection", nlohmann::json::array()}});
  nlohmann::json body{{"exapp_token", token_},
                      {"exapp_version", "1.0.0"},
                      {"host", "127.0.0.1"},
                      {"port", app_port},
                      {"routes", std::move(list)}};
  return {200, body.dump()};
}

dev_authority::answer dev_authority::user_info(std::string_view authorization,
                                               std::string_view cookie) const {
  std::string_view credential = basic_credential(authorization);
  if (!credential.empty() && credential.size() <= credential_bytes_max) {
    for (const user& each : users)
      if (credential == base64(std::string{each.name} + ":" + std::string{each.password}))
        return known(each.name, each.access_level);
    return {401, R"({"message":"wrong user or password"})"};
  }
  std::string_view session = session_cookie(cookie);
  for (const user& each : users)
    if (session == each.name)
      return known(each.name, each.access_level);
  return known("", 0);
}

} // namespace harp::web
