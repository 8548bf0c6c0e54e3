// The stand-in's answers.
#include "tests/e2e/nextcloud_stand_in.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace harp::e2e {

namespace {

constexpr milliseconds slice = 50ms;
constexpr milliseconds slow_answer = 30s;
constexpr size_t kept_requests_max = 20'000;

struct known_user {
  std::string_view name;
  int level;
};
constexpr std::array<known_user, 3> users{{{"alice", 1}, {"bob", 1}, {"admin", 2}}};

std::string query_value(const std::string& target, std::string_view name) {
  std::string wanted = std::string{name} + "=";
  size_t at = target.find(wanted);
  if (at == std::string::npos)
    return {};
  at += wanted.size();
  return target.substr(at, target.find('&', at) - at);
}

std::string json_user(std::string_view name, int level) {
  return nlohmann::json{{"user_id", name}, {"access_level", level}}.dump();
}

std::string faulty(fault how) {
  switch (how) {
  case fault::error_500:
    return response_text(500, R"({"message":"oops"})");
  case fault::login_page:
    return response_text(200, "<!doctype html><title>Login</title>", "text/html");
  case fault::redirect:
    return response_text(302, "", "text/html", "Location: http://127.0.0.2:9/login\r\n");
  case fault::broken_json:
    return response_text(200, R"({"user_id": "al)");
  case fault::maintenance:
    return response_text(503, R"({"message":"maintenance"})");
  case fault::none:
  case fault::down:
  case fault::slow:
    break;
  }
  return {};
}

} // namespace

std::string record_json(const app_entry& app) {
  nlohmann::json routes = nlohmann::json::array();
  for (const auto& route : app.routes)
    routes.push_back({{"url", route.url},
                      {"access_level", route.access_level},
                      {"bruteforce_protection", route.bruteforce_protection}});
  return nlohmann::json{{"exapp_token", app.token},
                        {"exapp_version", app.version},
                        {"host", app.host},
                        {"port", app.port},
                        {"routes", std::move(routes)}}
      .dump();
}

nextcloud_stand_in::nextcloud_stand_in(std::string key)
    : key_(std::move(key)), server_([this](channel& client) { serve(client); }) {}

void nextcloud_stand_in::put(const std::string& app_id, app_entry app) {
  std::lock_guard lock{guard_};
  apps_[app_id] = std::move(app);
}

void nextcloud_stand_in::remove(const std::string& app_id) {
  std::lock_guard lock{guard_};
  apps_.erase(app_id);
}

void nextcloud_stand_in::log_out(const std::string& user) {
  std::lock_guard lock{guard_};
  logged_out_.insert(user);
}

std::vector<received_request> nextcloud_stand_in::received() {
  std::lock_guard lock{guard_};
  return received_;
}

void nextcloud_stand_in::serve(channel& client) {
  std::string rest;
  while (!server_.stopping()) {
    if (fault_ == fault::down) {
      client.reset();
      return;
    }
    if (rest.empty() && client.receive(rest, slice) == heard::silence)
      continue;
    auto request = read_request(client, rest, 5s);
    if (!request)
      return;
    {
      std::lock_guard lock{guard_};
      if (received_.size() < kept_requests_max)
        received_.push_back(*request);
    }
    std::string text = answer(*request);
    if (text.empty() || !client.send(text))
      return;
  }
}

bool nextcloud_stand_in::wait_while_slow() {
  return until(slow_answer, [this] { return fault_ != fault::slow || server_.stopping(); });
}

std::string nextcloud_stand_in::answer(const received_request& request) {
  bool about_user = request.target.starts_with("/index.php/apps/app_api/harp/user-info?");
  bool about_app = request.target.starts_with("/index.php/apps/app_api/harp/exapp-meta?");
  ++(about_user ? user_calls_ : meta_calls_);
  if (about_user) {
    int open = ++users_at_once_;
    for (int seen = users_at_once_max_; seen < open;)
      users_at_once_max_.compare_exchange_weak(seen, open);
  }
  std::this_thread::sleep_for(
      milliseconds{delay_ms_}); // a busy PHP worker, as long as the test says
  if (fault_ == fault::slow)
    wait_while_slow();
  if (about_user)
    --users_at_once_;
  if (fault_ != fault::none)
    return faulty(fault_);
  if (request.header("harp-shared-key") != key_)
    return response_text(401, R"({"message":"Harp shared key is not valid"})");
  if (about_user)
    return user_info(request);
  if (!about_app)
    return response_text(404, "{}");
  std::lock_guard lock{guard_};
  auto found = apps_.find(query_value(request.target, "appId"));
  if (found == apps_.end())
    return response_text(401, R"({"message":"ExApp not found"})");
  return response_text(200, record_json(found->second));
}

std::string nextcloud_stand_in::user_info(const received_request& request) {
  std::string authorization = request.header("authorization");
  std::string cookie = request.header("cookie");
  std::lock_guard lock{guard_};
  for (const auto& user : users) {
    std::string name{user.name};
    bool by_password = authorization == "Basic " + base64(name + ":" + name + "-pw");
    bool by_cookie = cookie.find("oc_sessionPassphrase=" + name) != std::string::npos;
    if ((by_password || by_cookie) && !logged_out_.contains(name))
      return response_text(200, json_user(name, user.level));
  }
  if (authorization.starts_with("Basic "))
    return response_text(401, R"({"message":"Password login forbidden or wrong"})");
  return response_text(200, json_user("", 0));
}

} // namespace harp::e2e
