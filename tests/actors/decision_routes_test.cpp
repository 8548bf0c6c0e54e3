// The decision procedure, rows 10 and 11: users and routes (appapi-harp.md 2.3; FS7, FB3; X15, X16, X20, X29).
#define CAF_SUITE decision_routes
#include "tests/actors/decision_request.hpp"

#include <chrono>

using namespace harp;
using namespace harp::test;

// -- rows 10 and 11: users and routes --------------------------------------------------------------------------------------

CAF_TEST(access_levels_are_kept) {
  struct row {
    std::string_view target;
    int level; // -1: nobody
    next_step expected;
  };
  constexpr auto yes = next_step::forward;
  constexpr auto no = next_step::forbidden_403;
  for (const auto& [target, level, expected] : std::initializer_list<row>{{"/public", -1, yes},
                                                                          {"/public", 1, yes},
                                                                          {"/public", 2, yes},
                                                                          {"/user", -1, no},
                                                                          {"/user", 1, yes},
                                                                          {"/user", 2, yes},
                                                                          {"/admin", -1, no},
                                                                          {"/admin", 1, no},
                                                                          {"/admin", 2, yes}}) {
    auto answers
        = level < 0 ? with_user(known(), user_state::anonymous) : as_user(known(), "u", level);
    for (const std::string& credentials : {cookie_line, std::string("authorization: Basic dTp1")}) {
      auto made = request("/exapps/app" + std::string(target), {credentials}).decided(answers);
      CAF_CHECK(made.step == expected);
      CAF_CHECK((made.failure_tenths > 0) == (expected == no));
    }
  }
}

CAF_TEST(nobody_is_asked_about_without_credentials) {
  CAF_CHECK(request("/exapps/app/public").step(known()) == next_step::forward);
  CAF_CHECK(request("/exapps/app/user").step(known()) == next_step::forbidden_403);
  CAF_CHECK(request("/exapps/app/user", {"cookie: other=1; oc_sessionPassphrase="}).step(known())
            == next_step::forbidden_403);
  // An answer that belongs to somebody else must not leak in.
  auto leaked = as_user(known(), "admin", access_admin);
  CAF_CHECK(request("/exapps/app/admin").step(leaked) == next_step::forbidden_403);
  CAF_CHECK(request("/exapps/app/public").decided(leaked).user_id.empty());
}

CAF_TEST(user_is_asked_for_when_there_are_credentials) {
  for (std::string_view target : {"/public", "/user", "/admin"}) {
    CAF_CHECK(request("/exapps/app" + std::string(target), {cookie_line}).step(known())
              == next_step::need_user);
    CAF_CHECK(request("/exapps/app" + std::string(target), {"authorization: x"}).step(known())
              == next_step::need_user);
  }
}

CAF_TEST(nobody_is_asked_about_when_no_route_matches) {
  auto made = request("/exapps/app/undeclared", {cookie_line}).decided(known());
  CAF_CHECK(made.step == next_step::not_found_404);
  CAF_CHECK(is_counted(made, 10));
}

CAF_TEST(public_routes_go_on_while_nextcloud_is_silent) {
  auto answers = with_user(known(), user_state::failed);
  auto made = request("/exapps/app/public", {cookie_line}).decided(answers);
  CAF_CHECK(made.step == next_step::forward);
  CAF_CHECK(made.user_id.empty());
  for (std::string_view target : {"/user", "/admin"}) {
    auto refused = request("/exapps/app" + std::string(target), {cookie_line}).decided(answers);
    CAF_CHECK(refused.step == next_step::unavailable_503);
    CAF_CHECK(is_counted(refused, 0));
  }
}

CAF_TEST(expired_session_counts_half) {
  auto answers = with_user(known(), user_state::anonymous);
  CAF_CHECK(is_counted(request("/exapps/app/user", {cookie_line}).decided(answers), 5));
  CAF_CHECK(
      is_counted(request("/exapps/app/user", {cookie_line}).decided(as_user(known(), "", 0)), 5));
  CAF_CHECK(is_counted(request("/exapps/app/user").decided(known()), 10));
  CAF_CHECK(
      is_counted(request("/exapps/app/user", {"authorization: Basic x"}).decided(answers), 10));
  CAF_CHECK(is_counted(
      request("/exapps/app/user", {cookie_line, "authorization: Basic x"}).decided(answers), 10));
  CAF_CHECK(is_counted(
      request("/exapps/app/admin", {cookie_line}).decided(as_user(known(), "u", 1)), 10));
}

CAF_TEST(expired_session_weight_is_configurable) {
  request asked("/exapps/app/user", {cookie_line});
  decision_facts facts{asked.head, asked.client, asked.shared_key};
  facts.expired_session_tenths = 0;
  CAF_CHECK(is_counted(decide(facts, with_user(known(), user_state::anonymous)), 0));
}

CAF_TEST(first_matching_route_decides) {
  auto answers = known(R"([{"url":"^/a/secret","access_level":2},{"url":"^/a","access_level":0}])");
  CAF_CHECK(request("/exapps/app/a/secret").step(answers) == next_step::forbidden_403);
  CAF_CHECK(request("/exapps/app/a/other").step(answers) == next_step::forward);
  answers = known(R"([{"url":"^/a","access_level":0},{"url":"^/a/secret","access_level":2}])");
  CAF_CHECK(request("/exapps/app/a/secret").step(answers) == next_step::forward);
}

CAF_TEST(undeclared_paths_and_apps_without_routes_are_404) {
  for (std::string_view routes : {"[]", "null", R"([{"url":"public","access_level":0}])",
                                  R"([{"url":"(","access_level":0}])"}) {
    auto made = request("/exapps/app/public").decided(known(routes));
    CAF_CHECK(made.step == next_step::not_found_404);
    CAF_CHECK(is_counted(made, 10));
  }
  CAF_CHECK(request("/exapps/app/Public").step(known()) == next_step::not_found_404);
}

CAF_TEST(the_stricter_reading_of_a_path_counts) {
  auto answers
      = as_user(known(R"([{"url":"^/admin","access_level":2},{"url":".*","access_level":1}])"), "u",
                access_user);
  for (std::string_view target : {"/%61dmin", "//admin", "/./admin", "/%2fadmin", "/admin;x",
                                  "/;x/admin", "/%2e/admin", "/admin%2fx"}) {
    auto made = request("/exapps/app" + std::string(target), {cookie_line}).decided(answers);
    if (made.step != next_step::forbidden_403)
      CAF_ERROR("allowed: " << target);
    CAF_CHECK(made.step == next_step::forbidden_403);
  }
  CAF_CHECK(request("/exapps/app/%75ser", {cookie_line}).step(answers) == next_step::forward);
}

CAF_TEST(both_readings_must_be_declared) {
  auto answers = known(R"([{"url":"^/files/[^/]+$","access_level":0}])");
  CAF_CHECK(request("/exapps/app/files/a").step(answers) == next_step::forward);
  CAF_CHECK(request("/exapps/app/files/a%20b").step(answers) == next_step::forward);
  CAF_CHECK(request("/exapps/app/files/a%2fb").step(answers) == next_step::not_found_404);
  answers = known(R"([{"url":"^/public$","access_level":0}])");
  CAF_CHECK(request("/exapps/app/%70ublic").step(answers) == next_step::not_found_404);
}

CAF_TEST(trailing_slashes_of_declared_paths_stay) {
  auto answers = known(R"([{"url":"^/public/$","access_level":0}])");
  CAF_CHECK(request("/exapps/app/public/").step(answers) == next_step::forward);
  CAF_CHECK(request("/exapps/app/public").step(answers) == next_step::not_found_404);
}

CAF_TEST(lawful_paths_pass_byte_for_byte) {
  auto answers = known(R"([{"url":".*","access_level":0}])");
  struct row {
    std::string_view path, target;
  };
  for (const auto& [path, target] :
       std::initializer_list<row>{{"/exapps/app/a%20b//c?x=%2f&y", "/a%20b//c"},
                                  {"/exapps/app", "/"},
                                  {"/exapps/app?x", "/"},
                                  {"/exapps/app/", "/"},
                                  {"/exapps/app/a%2Fb", "/a%2Fb"},
                                  {"/exapps/app//", "//"},
                                  {"/exapps/app/x;v=1", "/x;v=1"},
                                  {"/exapps/app/..a", "/..a"},
                                  {"/exapps/app/100%25", "/100%25"},
                                  {"/exapps/app/./x", "/./x"},
                                  {"/exapps/app/%c3%a9", "/%c3%a9"},
                                  {"/exapps/app/exapps/app_api/info", "/exapps/app_api/info"}}) {
    request asked(path);
    auto made = asked.decided(answers);
    CAF_CHECK(made.step == next_step::forward);
    CAF_CHECK_EQUAL(made.target, target);
    CAF_CHECK_EQUAL(made.app_id, "app");
  }
}

CAF_TEST(a_pattern_over_its_limits_is_404) {
  auto answers = known(R"([{"url":"^/(a+)+$","access_level":0},{"url":".*","access_level":0}])");
  auto made = request("/exapps/app/" + std::string(3000, 'a') + "!").decided(answers);
  CAF_CHECK(made.step == next_step::not_found_404);
  CAF_CHECK(std::string_view(made.reason).find("limits") != std::string_view::npos);
}

CAF_TEST(allowing_route_is_told_for_its_status_list) {
  auto answers = as_user(known(), "u", access_user);
  request asked("/exapps/app/user", {cookie_line});
  auto made = asked.decided(answers);
  CAF_REQUIRE(made.route != nullptr);
  CAF_REQUIRE(made.route->counted_statuses != nullptr);
  CAF_CHECK(*made.route->counted_statuses == std::vector<int>{401});
  CAF_CHECK(request("/exapps/app/user", signed_by(right_key)).decided(answers).route == nullptr);
}

CAF_TEST(a_thousand_costly_routes_share_one_budget) {
  std::string routes = "[";
  for (int i = 0; i < 1000; ++i) // each stays below the limit of one pattern
    routes += std::string(i == 0 ? "" : ",") + R"({"url":"^/(.*a){3}$","access_level":0})";
  auto answers = known(record_of(routes + "]"));
  auto began = std::chrono::steady_clock::now();
  auto made = request("/exapps/app/" + std::string(60, 'a') + "!").decided(answers);
  CAF_CHECK(made.step == next_step::not_found_404);
  CAF_CHECK(std::string_view(made.reason).find("limits") != std::string_view::npos);
  CAF_CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
}

CAF_TEST(a_thousand_plain_routes_are_within_the_budget) {
  std::string routes = "[";
  for (int i = 0; i < 999; ++i)
    routes += R"({"url":"^/api/v1/[a-z]+/)" + std::to_string(i) + R"($","access_level":2},)";
  routes += R"({"url":"^/.*\\.js$","access_level":0}])";
  auto made = request("/exapps/app/api/v1/" + std::string(200, 'a') + "/x.js")
                  .decided(known(record_of(routes)));
  CAF_CHECK(made.step == next_step::forward);
}
