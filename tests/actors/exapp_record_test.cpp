// Records and user info as Nextcloud sends them, and as it must not (appapi-harp.md 3.1, 3.2, 4.4;
// X30).
#define CAF_SUITE exapp_record
#include "actors/exapp_record.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr std::string_view secret = "s3cr3t-canary";

exapp_record record_of(std::string_view json) {
  auto result = parse_exapp_record("Test-App", json);
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(*error);
  return std::get<exapp_record>(result);
}

std::string error_of(std::string_view json) {
  auto result = parse_exapp_record("test", json);
  auto* error = std::get_if<std::string>(&result);
  return error == nullptr ? "" : *error;
}

/// A record with the given text in place of the routes' array.
std::string with_routes(std::string_view routes) {
  return R"({"exapp_token":"s3cr3t-canary","exapp_version":"1.0.0","host":"127.0.0.1","port":23000,"routes":)"
         + std::string(routes) + "}";
}

user_info user_of(std::string_view json) {
  auto result = parse_user_info(json);
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(*error);
  return std::get<user_info>(result);
}

bool is_user_error(std::string_view json) {
  return std::holds_alternative<std::string>(parse_user_info(json));
}

} // namespace

CAF_TEST(reads_a_record) {
  auto record = record_of(with_routes(
      R"([{"url":"^/public$","access_level":0,"bruteforce_protection":[401,403]},
        {"url":".*","access_level":2,"bruteforce_protection":[]}])"));
  CAF_CHECK_EQUAL(record.app_id, "test-app");
  CAF_CHECK_EQUAL(record.token, secret);
  CAF_CHECK_EQUAL(record.version, "1.0.0");
  CAF_CHECK_EQUAL(record.host, "127.0.0.1");
  CAF_CHECK_EQUAL(record.port, 23000u);
  CAF_REQUIRE_EQUAL(record.routes.size(), 2u);
  CAF_CHECK_EQUAL(record.routes[0].url, "^/public$");
  CAF_CHECK_EQUAL(record.routes[0].access_level, access_public);
  CAF_REQUIRE(record.routes[0].counted_statuses != nullptr);
  CAF_CHECK(*record.routes[0].counted_statuses == (std::vector<int>{401, 403}));
  CAF_CHECK_EQUAL(record.routes[1].access_level, access_admin);
  CAF_CHECK(record.routes[1].counted_statuses == nullptr);
  CAF_CHECK(record.warnings.empty());
}

CAF_TEST(takes_decimal_strings_for_numbers) {
  auto record = record_of(R"({"exapp_token":"t","exapp_version":"1","host":"app","port":"23001",
    "routes":[{"url":"/x","access_level":"1","bruteforce_protection":["401"]}]})");
  CAF_CHECK_EQUAL(record.port, 23001u);
  CAF_CHECK_EQUAL(record.routes[0].access_level, access_user);
  CAF_CHECK(*record.routes[0].counted_statuses == std::vector<int>{401});
}

CAF_TEST(takes_missing_routes_and_unknown_fields) {
  auto record = record_of(
      R"({"exapp_token":"","exapp_version":"1","host":"app","port":1,"more":{"x":[1]}})");
  CAF_CHECK(record.routes.empty());
  CAF_CHECK(record_of(with_routes("null")).routes.empty());
  CAF_CHECK(record_of(with_routes("[]")).routes.empty());
  CAF_CHECK(record_of(with_routes(R"([{"url":"/x","access_level":0}])")).routes[0].counted_statuses
            == nullptr);
  CAF_CHECK(
      record_of(with_routes(R"([{"url":"/x","access_level":0,"bruteforce_protection":null}])"))
          .routes.size()
      == 1);
}

CAF_TEST(takes_ipv6_hosts_with_and_without_brackets) {
  CAF_CHECK_EQUAL(
      record_of(R"({"exapp_token":"t","exapp_version":"1","host":"[::1]","port":1})").host, "::1");
  CAF_CHECK_EQUAL(
      record_of(R"({"exapp_token":"t","exapp_version":"1","host":"2001:db8::1","port":1})").host,
      "2001:db8::1");
}

CAF_TEST(keeps_order_and_duplicates) {
  auto record
      = record_of(with_routes(R"([{"url":"/b","access_level":1},{"url":"/a","access_level":0},
    {"url":"/b","access_level":2}])"));
  CAF_REQUIRE_EQUAL(record.routes.size(), 3u);
  CAF_CHECK_EQUAL(record.routes[0].url, "/b");
  CAF_CHECK_EQUAL(record.routes[1].url, "/a");
  CAF_CHECK_EQUAL(record.routes[2].url, "/b");
  CAF_CHECK_EQUAL(record.routes[2].access_level, access_admin);
}

CAF_TEST(refuses_wrong_shapes) {
  for (std::string_view json : {
           "",
           "null",
           "[]",
           "1",
           "\"x\"",
           "{",
           "{}",
           "nonsense",
           "<html></html>",
           R"({"exapp_version":"1","host":"h","port":1})",
           R"({"exapp_token":"t","host":"h","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h"})",
           R"({"exapp_token":1,"exapp_version":"1","host":"h","port":1})",
           R"({"exapp_token":null,"exapp_version":"1","host":"h","port":1})",
           R"({"exapp_token":"t","exapp_version":1.0,"host":"h","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":["h"],"port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"a b","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"a/b","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"u@h","port":1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":0})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":-1})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":65536})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":99999999999999999999})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":18446744073709551615})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":1.5})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":true})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":""})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":"80x"})",
           R"({"exapp_token":"t","exapp_version":"1","host":"h","port":" 80"})",
           R"({"exapp_token":"t\r\nx: y","exapp_version":"1","host":"h","port":1})",
           R"({"exapp_token":"t","exapp_version":"1\n2","host":"h","port":1})",
           R"({"exapp_token":"t","exapp_version":"1\u0000","host":"h","port":1})",
       }) {
    if (error_of(json).empty())
      CAF_ERROR("accepted: " << json);
    CAF_CHECK(!error_of(json).empty());
  }
}

CAF_TEST(refuses_wrong_routes) {
  for (std::string_view routes :
       {"{}", "\"x\"", "1", "[1]", "[null]", "[[]]", "[{}]", R"([{"url":"/x"}])",
        R"([{"access_level":1}])", R"([{"url":1,"access_level":1}])",
        R"([{"url":"/x","access_level":3}])", R"([{"url":"/x","access_level":-1}])",
        R"([{"url":"/x","access_level":"x"}])", R"([{"url":"/x","access_level":null}])",
        R"([{"url":"/x","access_level":1,"bruteforce_protection":401}])",
        R"([{"url":"/x","access_level":1,"bruteforce_protection":["x"]}])",
        R"([{"url":"/x","access_level":1,"bruteforce_protection":{"a":1}}])",
        R"([{"url":"/ok","access_level":1},{"url":"/x","access_level":9}])"}) {
    if (error_of(with_routes(routes)).empty())
      CAF_ERROR("accepted: " << routes);
    CAF_CHECK(!error_of(with_routes(routes)).empty());
  }
}

CAF_TEST(names_the_wrong_field_but_no_value) {
  auto words = error_of(
      R"({"exapp_token":"s3cr3t-canary","exapp_version":"1","host":"h","port":"s3cr3t-canary"})");
  CAF_CHECK(words.find("port") != words.npos);
  CAF_CHECK(words.find(secret) == words.npos);
  words
      = error_of(with_routes(R"([{"url":"/ok","access_level":1},{"url":"/x","access_level":9}])"));
  CAF_CHECK(words.find("routes[1].access_level") != words.npos);
  for (std::string_view json :
       {R"({"exapp_token":["s3cr3t-canary"]})", R"({"exapp_token":"s3cr3t-canary)",
        R"({"exapp_token":"s3cr3t-canary\n"})"})
    CAF_CHECK(error_of(json).find(secret) == std::string::npos);
}

CAF_TEST(bounds_size_depth_and_counts) {
  std::string huge = with_routes("[]");
  huge.append(record_bytes_max, ' ');
  CAF_CHECK(!error_of(huge).empty());
  std::string deep = R"({"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  CAF_CHECK(!error_of(deep).empty());
  auto many = [](size_t count) {
    std::string routes = "[";
    for (size_t i = 0; i < count; ++i)
      routes += std::string(i == 0 ? "" : ",") + R"({"url":"/x","access_level":0})";
    return with_routes(routes + "]");
  };
  CAF_CHECK_EQUAL(record_of(many(record_routes_max)).routes.size(), record_routes_max);
  CAF_CHECK(!error_of(many(record_routes_max + 1)).empty());
  std::string token(token_bytes_max + 1, 't');
  CAF_CHECK(!error_of(R"({"exapp_version":"1","host":"h","port":1,"exapp_token":")" + token + "\"}")
                 .empty());
}

CAF_TEST(cut_anywhere_is_refused) {
  std::string whole
      = with_routes(R"([{"url":"^/public$","access_level":0,"bruteforce_protection":[401]}])");
  for (size_t size = 0; size < whole.size(); ++size)
    CAF_REQUIRE(!error_of(std::string_view(whole).substr(0, size)).empty());
  CAF_CHECK(error_of(whole).empty());
}

CAF_TEST(bad_patterns_are_skipped_and_reported) {
  auto record
      = record_of(with_routes(R"([{"url":"(","access_level":0},{"url":"/x","access_level":1}])"));
  CAF_REQUIRE_EQUAL(record.routes.size(), 2u);
  CAF_CHECK(!record.routes[0].pattern.has_value());
  CAF_CHECK(record.routes[1].pattern.has_value());
  CAF_REQUIRE_EQUAL(record.warnings.size(), 1u);
  CAF_CHECK(record.warnings[0].find("routes[0]") != std::string::npos);
}

CAF_TEST(slashless_patterns_are_reported_once) {
  auto record = record_of(
      with_routes(R"([{"url":"mcp","access_level":0},{"url":"^api\\/w","access_level":1}])"));
  CAF_REQUIRE_EQUAL(record.warnings.size(), 1u);
  CAF_CHECK(record.warnings[0].find("2 route patterns") != std::string::npos);
}

CAF_TEST(unbounded_patterns_are_reported) {
  auto record = record_of(with_routes(R"([{"url":"^/(a+)+$","access_level":0}])"));
  CAF_CHECK(record.routes[0].pattern.has_value());
  CAF_REQUIRE_EQUAL(record.warnings.size(), 1u);
}

CAF_TEST(warnings_are_bounded) {
  std::string routes = "[";
  for (int i = 0; i < 100; ++i)
    routes += std::string(i == 0 ? "" : ",") + R"({"url":"(","access_level":0})";
  CAF_CHECK_EQUAL(record_of(with_routes(routes + "]")).warnings.size(), record_warnings_max);
}

CAF_TEST(reads_user_info) {
  auto user = user_of(R"({"user_id":"admin","access_level":2})");
  CAF_CHECK_EQUAL(user.user_id, "admin");
  CAF_CHECK_EQUAL(user.access_level, access_admin);
  CAF_CHECK_EQUAL(user_of(R"({"user_id":"","access_level":0})").user_id, "");
  CAF_CHECK_EQUAL(user_of(R"({"user_id":null,"access_level":"0"})").access_level, access_public);
  CAF_CHECK_EQUAL(user_of(R"({"user_id":"a b@c.d'é","access_level":"1"})").user_id, "a b@c.d'é");
}

CAF_TEST(refuses_wrong_user_info) {
  for (std::string_view json :
       {"", "[]", "null", "<html>", "{}", R"({"user_id":"u"})", R"({"user_id":1,"access_level":1})",
        R"({"user_id":"u","access_level":3})", R"({"user_id":"u","access_level":-1})",
        R"({"user_id":"u","access_level":null})", R"({"user_id":"u\r\nx: y","access_level":1})",
        R"({"user_id":"u\u0000","access_level":1})", R"({"user_id":"admin:x","access_level":1})",
        R"({"user_id":"","access_level":1})", R"({"access_level":2})",
        R"({"user_id":"\u007f","access_level":1})"}) {
    if (!is_user_error(json))
      CAF_ERROR("accepted: " << json);
    CAF_CHECK(is_user_error(json));
  }
  std::string longest(user_id_bytes_max, 'u');
  CAF_CHECK(!is_user_error(R"({"access_level":1,"user_id":")" + longest + "\"}"));
  CAF_CHECK(is_user_error(R"({"access_level":1,"user_id":")" + longest + "u\"}"));
}
