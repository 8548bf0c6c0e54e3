// Requests as decide() sees them, parsed by the real codec, and answers to go with them. For the decision tests.
#pragma once

#include "actors/decision.hpp"

#include <caf/test/unit_test.hpp>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace harp::test {

constexpr std::string_view right_key = "key canary!";
constexpr std::string_view app_token = "token-canary";

using lines = std::vector<std::string>;

/// What decisions point into. Kept to the end of the program, so that a test may look at a decision at leisure.
struct request_content {
  std::string bytes;
  net::request_head head;
};
inline std::deque<request_content> all_requests;
inline std::deque<decision_answers> all_answers;

/// A request as it arrives, parsed by the real codec, with everything decide() wants to know.
struct request {
  explicit request(std::string_view target, const lines& fields = {},
                   std::string_view method = "GET")
      : bytes(all_requests.emplace_back().bytes), head(all_requests.back().head) {
    bytes.append(method).append(" ").append(target).append(" HTTP/1.1\r\nhost: x\r\n");
    for (const auto& line : fields)
      bytes.append(line).append("\r\n");
    bytes += "\r\n";
    size_t searched = 0;
    auto parsed = net::parse_request_head(bytes.data(), bytes.size(), searched, head);
    if (parsed.status != net::parse_status::done)
      CAF_FAIL("test request is refused: " << target << ": " << parsed.reason);
  }

  [[nodiscard]] decision decided(const decision_answers& answers = {}) const {
    decision_facts facts{head, client, shared_key, banned};
    return decide(facts, all_answers.emplace_back(answers));
  }
  [[nodiscard]] next_step step(const decision_answers& answers = {}) const {
    return decided(answers).step;
  }

  std::string& bytes;
  net::request_head& head;
  ip_address client = ip_address::parse("203.0.113.9").value();
  std::string shared_key{right_key};
  bool banned = false;
};

inline std::shared_ptr<exapp_record> record_of(std::string_view routes,
                                               std::string_view host = "127.0.0.1",
                                               std::string_view port = "23000") {
  std::string json = R"({"exapp_token":"token-canary","exapp_version":"2.1.0","host":")";
  json.append(host)
      .append(R"(","port":)")
      .append(port)
      .append(R"(,"routes":)")
      .append(routes)
      .append("}");
  auto result = parse_exapp_record("app", json);
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(*error);
  return std::make_shared<exapp_record>(std::move(std::get<exapp_record>(result)));
}

/// Public, user and admin routes as in the stock test app, with a status list on the user's.
constexpr std::string_view stock_routes = R"([
  {"url":"^/public","access_level":0},
  {"url":"^/user","access_level":1,"bruteforce_protection":[401]},
  {"url":"^/admin","access_level":2}])";

inline decision_answers known(std::shared_ptr<const exapp_record> record) {
  decision_answers answers;
  answers.record = record_state::present;
  answers.known = std::move(record);
  return answers;
}

inline decision_answers known(std::string_view routes = stock_routes) {
  return known(record_of(routes));
}

inline decision_answers as_user(decision_answers answers, std::string id, int level) {
  answers.user = user_state::present;
  answers.who = std::make_shared<user_info>(user_info{std::move(id), level});
  return answers;
}

inline decision_answers with_user(decision_answers answers, user_state state) {
  answers.user = state;
  return answers;
}

inline decision_answers record_is(record_state state, bool closed = false) {
  decision_answers answers;
  answers.record = state;
  answers.closed = closed;
  return answers;
}

inline const std::string key_line = "harp-shared-key: " + std::string(right_key);
inline const std::string cookie_line = "cookie: oc_sessionPassphrase=abc";

/// The six fields of a signed call.
inline lines signed_by(std::string_view key, std::string_view host = "127.0.0.1",
                       std::string_view port = "23000") {
  return {"EX-APP-ID: forged",
          "EX-APP-VERSION: 9.9.9",
          "EX-APP-HOST: " + std::string(host),
          "EX-APP-PORT: " + std::string(port),
          "AUTHORIZATION-APP-API: OnNlY3JldA==",
          "HARP-SHARED-KEY: " + std::string(key)};
}

inline std::string fields_of(const decision& allowed) {
  std::string text;
  CAF_REQUIRE(append_app_fields(allowed, text));
  return text;
}

inline bool is_counted(const decision& made, unsigned tenths) {
  return made.failure_tenths == tenths;
}

} // namespace harp::test
