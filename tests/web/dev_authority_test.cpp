// The development authority's answers have Nextcloud's shapes and its users their levels.
#define CAF_SUITE dev_authority
#include "web/dev_authority.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using harp::web::dev_authority;
using nlohmann::json;

namespace {

struct fixture {
  dev_authority tested;
  json user(std::string_view authorization, std::string_view cookie, int status = 200) {
    auto answer = tested.user_info(authorization, cookie);
    CAF_CHECK_EQUAL(answer.status, status);
    return json::parse(answer.body);
  }
  std::string name(std::string_view authorization, std::string_view cookie) {
    return user(authorization, cookie).at("user_id");
  }
  int level(std::string_view authorization, std::string_view cookie) {
    return user(authorization, cookie).at("access_level");
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(dev_authority_tests, fixture)

CAF_TEST(knows_the_sample_and_nothing_else) {
  auto answer = tested.exapp_meta("sample");
  CAF_CHECK_EQUAL(answer.status, 200);
  auto record = json::parse(answer.body);
  CAF_CHECK_EQUAL(record.at("host"), "127.0.0.1");
  CAF_CHECK_EQUAL(record.at("port").get<int>(), 23000);
  CAF_CHECK_EQUAL(record.at("exapp_token").get<std::string>().size(), 64u);
  CAF_CHECK_EQUAL(record.at("routes").at(0).at("url"), "^/$");
  CAF_CHECK_EQUAL(record.at("routes").at(0).at("access_level").get<int>(), 0);
  for (auto other : {"", "Sample", "samples", "talk"})
    CAF_CHECK_EQUAL(tested.exapp_meta(other).status, 404);
}

CAF_TEST(draws_another_secret_each_time) {
  dev_authority other;
  CAF_CHECK_NOT_EQUAL(tested.exapp_meta("sample").body, other.exapp_meta("sample").body);
}

CAF_TEST(accepts_right_passwords_only) {
  // alice:alice-dev, admin:admin-dev
  CAF_CHECK_EQUAL(name("Basic YWxpY2U6YWxpY2UtZGV2", ""), "alice");
  CAF_CHECK_EQUAL(level("basic  YWRtaW46YWRtaW4tZGV2", ""), 2);
  for (auto wrong : {"Basic YWxpY2U6Ym9iLWRldg==", "Basic YWxpY2U=", "Basic !", "Basic Og=="})
    CAF_CHECK(user(wrong, "", 401).contains("message"));
}

CAF_TEST(ignores_other_schemes) {
  CAF_CHECK_EQUAL(level("Bearer YWxpY2U6YWxpY2UtZGV2", ""), 0);
}

CAF_TEST(takes_the_last_session_cookie) {
  auto found = user("", "x=1; oc_sessionPassphrase=alice; oc_sessionPassphrase=bob");
  CAF_CHECK(found.at("user_id") == "bob");
  CAF_CHECK(found.at("access_level") == 1);
}

CAF_TEST(calls_strangers_anonymous) {
  for (auto cookie : {"", "oc_sessionPassphrase=", "oc_sessionPassphrase=carol", "user=alice"}) {
    auto found = user("", cookie);
    CAF_CHECK(found.at("user_id") == "");
    CAF_CHECK(found.at("access_level") == 0);
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
