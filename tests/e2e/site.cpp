// Building the usual surroundings.
#include "tests/e2e/site.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace harp::e2e {

namespace {

constexpr const char* key = "shared-key of the test";

node_options options_for(const nextcloud_stand_in& nextcloud, settings environment) {
  node_options out;
  out.key = key;
  out.nextcloud = nextcloud.url();
  environment.emplace("HP_BLACKLIST_COUNT", "10000");
  out.environment = std::move(environment);
  return out;
}

} // namespace

app_entry sample_record(int port) {
  app_entry out;
  out.port = port;
  out.routes = {{"^/user", 1, {}},     {"^/admin", 2, {}},      {"^/status$", 0, {418}},
                {"^/public", 0, {}},   {"^/whoami$", 0, {}},    {"^/ws$", 0, {}},
                {"^/stream$", 0, {}},  {"^/bytes$", 0, {}},     {"^/sink$", 0, {}},
                {"^/chunked$", 0, {}}, {"^/silent$", 0, {}},    {"^/close$", 0, {}},
                {"^/cut$", 0, {}},     {"^/echo-page$", 0, {}}, {"^/a", 0, {}},
                {"^/$", 0, {}},        {"^/\\.\\.a$", 0, {}}};
  return out;
}

site::site(settings environment)
    : nextcloud(key), app(sample_record(sample.port())),
      harp(options_for(nextcloud, std::move(environment))) {
  nextcloud.put("app", app);
  started_ = harp.start();
}

void site::put(const std::string& app_id, const app_entry& entry) {
  nextcloud.put(app_id, entry);
  get(harp.exapps(), "/exapps/" + app_id + "/public");
}

response site::app_get(const std::string& target, const header_list& headers,
                       milliseconds limit) const {
  return get(harp.exapps(), "/exapps/app" + target, headers, limit * patience());
}

std::vector<std::string> seen(const response& whoami, const std::string& name) {
  std::vector<std::string> out;
  auto body = nlohmann::json::parse(whoami.body, nullptr, false);
  if (!body.is_object())
    return out;
  for (const auto& field : body["headers"]) {
    std::string key_text = field[0];
    std::transform(key_text.begin(), key_text.end(), key_text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (key_text == name)
      out.push_back(field[1]);
  }
  return out;
}

std::string seen_field(const response& whoami, const std::string& field) {
  auto body = nlohmann::json::parse(whoami.body, nullptr, false);
  return body.is_object() ? body.value(field, std::string{}) : std::string{};
}

} // namespace harp::e2e
