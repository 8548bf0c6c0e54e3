// The decision procedure, rows 1 to 9: bans, paths, keys, signed calls, records (appapi-harp.md 2.3, 7.2; H06, H07).
#define CAF_SUITE decision
#include "actors/path_check.hpp"
#include "tests/actors/decision_request.hpp"

using namespace harp;
using namespace harp::test;

// -- rows 1 to 4: bans, paths, prefix ----------------------------------------------------------------------------------

CAF_TEST(banned_client_is_dropped_without_counting) {
  request asked("/exapps/app/public");
  asked.banned = true;
  auto made = asked.decided(known());
  CAF_CHECK(made.step == next_step::drop);
  CAF_CHECK(is_counted(made, 0));
}

CAF_TEST(right_key_passes_a_ban) {
  request control("/exapps/app_api/info", {key_line});
  control.banned = true;
  CAF_CHECK(control.step() == next_step::control);
  request call("/exapps/app/heartbeat", signed_by(right_key));
  call.banned = true;
  CAF_CHECK(call.step(known()) == next_step::forward);
}

CAF_TEST(wrong_key_does_not_pass_a_ban) {
  for (std::string_view target : {"/exapps/app_api/info", "/exapps/app/public"}) {
    request asked(target, signed_by("wrong"));
    asked.banned = true;
    auto made = asked.decided(known());
    CAF_CHECK(made.step == next_step::drop);
    CAF_CHECK(is_counted(made, 0));
  }
}

CAF_TEST(faulty_paths_are_dropped_and_counted_unless_the_key_is_right) {
  for (std::string target :
       {"/exapps/app/..%2fx", "/exapps/app/%2e%2E/", "/exapps/app/..", "/exapps/app/.%2E",
        "/exapps/app/a\\b", "/exapps/app/%5c", "/exapps/app/%00", "/exapps/app/%zz",
        "/exapps/app_api/../a", "/exapps/app/%252e%252e/x", "/exapps/app/..;/x",
        "/../exapps/app/public"}) {
    auto plain = request(target).decided(known(R"([{"url":".*","access_level":0}])"));
    CAF_CHECK(plain.step == next_step::drop);
    CAF_CHECK(is_counted(plain, 10));
    auto with_key = request(target, {key_line}).decided(known());
    CAF_CHECK(with_key.step == next_step::drop);
    CAF_CHECK(is_counted(with_key, 0));
    auto with_call = request(target, signed_by(right_key)).decided(known());
    CAF_CHECK(with_call.step == next_step::drop);
    CAF_CHECK(is_counted(with_call, 0));
  }
}

CAF_TEST(query_is_no_part_of_the_decision) {
  request asked("/exapps/app/public?x=../..%2f&y=%00%zz\\");
  auto made = asked.decided(known());
  CAF_CHECK(made.step == next_step::forward);
  CAF_CHECK_EQUAL(made.target, "/public");
}

CAF_TEST(paths_without_an_app_are_404_and_counted_unless_the_key_is_right) {
  for (std::string_view target :
       {"/", "/exapps/", "/exapps//app/x", "/%65xapps/app/public", "//exapps/app/public",
        "/x/exapps/app/public", "/EXAPPS/app/public", "/exapps/a%70p/public",
        "/exapps/./app/public", "/index.php", "/exapps/APP_API/info", "/exapps/App_Api/info",
        "/exapps/app_api%2finfo", "/exapps/%61pp_api/info", "/exapps/app_api;x/info"}) {
    auto plain = request(target).decided(known(R"([{"url":".*","access_level":0}])"));
    CAF_CHECK(plain.step == next_step::not_found_404);
    CAF_CHECK(is_counted(plain, 10));
    auto with_call = request(target, signed_by(right_key)).decided(known());
    CAF_CHECK(with_call.step == next_step::not_found_404);
    CAF_CHECK(is_counted(with_call, 0));
  }
}

CAF_TEST(absolute_form_counts_by_its_path) {
  request asked("http://x/exapps/app/public");
  auto made = asked.decided(known());
  CAF_CHECK(made.step == next_step::forward);
  CAF_CHECK_EQUAL(made.target, "/public");
}

CAF_TEST(options_star_gets_no_decision) {
  auto made = request("*", {}, "OPTIONS").decided();
  CAF_CHECK(made.step == next_step::unavailable_503);
  CAF_CHECK(is_counted(made, 0));
}

// -- row 5: the control plane --------------------------------------------------------------------------------------------

CAF_TEST(control_plane_needs_the_right_key) {
  for (const auto& fields : std::initializer_list<lines>{
           {},
           {"harp-shared-key: wrong"},
           {"harp-shared-key:"},
           {"harp-shared-key: key canary"},
           {"harp-shared-key: key canary!!"},
           {"harp-shared-key: KEY CANARY!"},
           {"authorization: Basic YXBwX2FwaV9oYXByb3h5X3VzZXI6dGhlIHJpZ2h0IGtleQ=="},
           {"harp_shared_key: key canary!"},
           {"cookie: harp-shared-key=key canary!"},
           {key_line, "harp-shared-key: wrong"}}) {
    auto made = request("/exapps/app_api/info", fields).decided();
    CAF_CHECK(made.step == next_step::unauthorized_401);
    CAF_CHECK(is_counted(made, 10));
  }
}

CAF_TEST(control_call_passes_with_the_right_key) {
  auto made = request("/exapps/app_api/v1.41/_ping?x", {"Harp-Shared-Key: key canary!"}).decided();
  CAF_CHECK(made.step == next_step::control);
  CAF_CHECK_EQUAL(made.target, "/v1.41/_ping");
  CAF_CHECK(is_counted(made, 0));
  CAF_CHECK(request("/exapps/app_api", {key_line}).step() == next_step::control);
}

CAF_TEST(an_empty_key_is_never_right) {
  for (std::string_view sent : {"", "x"}) {
    request asked("/exapps/app_api/info", {"harp-shared-key: " + std::string(sent)});
    asked.shared_key.clear();
    CAF_CHECK(asked.step() == next_step::unauthorized_401);
  }
}

// -- row 6: signed calls ---------------------------------------------------------------------------------------------------

CAF_TEST(signed_call_with_a_wrong_key_is_dropped_and_the_client_counted) {
  auto made = request("/exapps/app/public", signed_by("wrong")).decided(known());
  CAF_CHECK(made.step == next_step::drop);
  CAF_CHECK(is_counted(made, 10));
}

CAF_TEST(one_missing_field_makes_it_unsigned) {
  for (size_t missing = 0; missing < 6; ++missing) {
    auto fields = signed_by(right_key);
    fields.erase(fields.begin() + static_cast<ptrdiff_t>(missing));
    auto made = request("/exapps/app/admin", fields).decided(known());
    CAF_CHECK(!made.is_signed);
    CAF_CHECK(made.step == next_step::forbidden_403);
    auto internal = request("/exapps/app/init", fields).decided(known());
    CAF_CHECK(internal.step == next_step::drop);
  }
}

CAF_TEST(signed_call_needs_no_route) {
  for (std::string_view target : {"/heartbeat", "/init", "/enabled", "/admin", "/undeclared"}) {
    auto made = request("/exapps/app" + std::string(target), signed_by(right_key)).decided(known());
    CAF_CHECK(made.step == next_step::forward);
    CAF_CHECK(made.is_signed && !made.is_fallback);
    CAF_CHECK_EQUAL(made.target, target);
    CAF_CHECK(made.route == nullptr);
  }
}

CAF_TEST(signed_call_goes_where_the_record_says) {
  auto made = request("/exapps/app/heartbeat", signed_by(right_key, "10.9.9.9", "1"))
                  .decided(known(record_of("[]", "172.17.0.3", "23123")));
  CAF_CHECK(made.step == next_step::forward);
  CAF_CHECK_EQUAL(made.host, "172.17.0.3");
  CAF_CHECK_EQUAL(made.port, 23123u);
  CAF_CHECK_EQUAL(fields_of(made), "ex-app-id: app\r\nex-app-version: 2.1.0\r\n"
                                   "authorization-app-api: OnNlY3JldA==\r\naa-version: 32\r\n");
}

CAF_TEST(signed_call_asks_for_the_record_first) {
  auto made = request("/exapps/App/heartbeat", signed_by(right_key)).decided();
  CAF_CHECK(made.step == next_step::need_record);
  CAF_CHECK_EQUAL(lower_app_id(made.app_id), "app");
}

CAF_TEST(signed_call_for_an_unknown_app_falls_back_within_limits) {
  for (auto state : {record_state::absent, record_state::failed}) {
    for (std::string_view host : {"127.0.0.1", "localhost", "::1", "app", "APP"}) {
      auto made = request("/exapps/app/heartbeat", signed_by(right_key, host, "23005"))
                      .decided(record_is(state));
      CAF_CHECK(made.step == next_step::forward);
      CAF_CHECK(made.is_fallback);
      CAF_CHECK_EQUAL(made.host, host);
      CAF_CHECK_EQUAL(made.port, 23005u);
      CAF_CHECK_EQUAL(made.version, "9.9.9");
      CAF_CHECK(made.token.empty());
    }
  }
  auto own_port = request("/exapps/app/heartbeat", signed_by(right_key, "app", "8080"))
                      .decided(record_is(record_state::absent));
  CAF_CHECK(own_port.step == next_step::forward);
}

CAF_TEST(fallback_reaches_no_engine_and_no_foreign_address) {
  struct row {
    std::string_view host, port;
  };
  for (const auto& [host, port] : std::initializer_list<row>{{"127.0.0.1", "24000"},
                                                             {"127.0.0.1", "24001"},
                                                             {"127.0.0.1", "24099"},
                                                             {"localhost", "24000"},
                                                             {"::1", "24000"},
                                                             {"127.0.0.2", "24000"},
                                                             {"127.0.0.1", "8200"},
                                                             {"127.0.0.1", "22"},
                                                             {"127.0.0.1", "22999"},
                                                             {"127.0.0.1", "24100"},
                                                             {"app", "24000"},
                                                             {"app", "24099"},
                                                             {"app", "0"},
                                                             {"app", "65536"},
                                                             {"0.0.0.0", "24000"},
                                                             {"0.0.0.0", "80"},
                                                             {"10.0.0.5", "23000"},
                                                             {"169.254.169.254", "80"},
                                                             {"other", "23000"},
                                                             {"app.evil.example", "23000"},
                                                             {"", "23000"},
                                                             {"nextcloud-aio-database", "5432"},
                                                             {"2130706433", "24000"},
                                                             {"0x7f.1", "24000"},
                                                             {"localhost.", "24000"},
                                                             {"::ffff:127.0.0.1", "24000"},
                                                             {"[::1]", "24000"},
                                                             {"x.localhost", "24000"}}) {
    for (auto state : {record_state::absent, record_state::failed}) {
      auto made = request("/exapps/app/heartbeat", signed_by(right_key, host, port))
                      .decided(record_is(state));
      if (made.step == next_step::forward)
        CAF_ERROR("reached " << host << ":" << port);
      CAF_CHECK(made.step
                == (state == record_state::failed ? next_step::unavailable_503
                                                  : next_step::not_found_404));
      CAF_CHECK(is_counted(made, 0));
      CAF_CHECK(made.host.empty());
    }
  }
}

CAF_TEST(an_app_id_that_reads_as_an_address_is_no_host) {
  for (std::string_view id :
       {"10.0.0.5", "2130706433", "0x0a000005", "127.1", "a.example", "LOCALHOST"}) {
    auto made = request("/exapps/" + std::string(id) + "/x", signed_by(right_key, id, "8080"))
                    .decided(record_is(record_state::absent));
    CAF_CHECK(made.step == next_step::not_found_404);
  }
}

CAF_TEST(fallback_reaches_the_last_known_host) {
  auto answers = record_is(record_state::failed);
  answers.known = record_of("[]", "192.0.2.7", "9031");
  CAF_CHECK(request("/exapps/app/x", signed_by(right_key, "192.0.2.7", "9031")).step(answers)
            == next_step::forward);
  CAF_CHECK(request("/exapps/app/x", signed_by(right_key, "192.0.2.7", "24000")).step(answers)
            == next_step::unavailable_503);
  CAF_CHECK(request("/exapps/app/x", signed_by(right_key, "192.0.2.8", "9031")).step(answers)
            == next_step::unavailable_503);
  answers.known = record_of("[]", "127.0.0.1", "9031"); // installed by hand on the same host
  CAF_CHECK(request("/exapps/app/x", signed_by(right_key, "127.0.0.1", "9031")).step(answers)
            == next_step::forward);
  CAF_CHECK(request("/exapps/app/x", signed_by(right_key, "127.0.0.1", "9032")).step(answers)
            == next_step::unavailable_503);
}

CAF_TEST(fallback_with_an_odd_port_is_503) {
  for (std::string_view port : {"", "x", "23000x", "-1", "+23000", "0x59d8", "99999999999"}) {
    auto made = request("/exapps/app/x", signed_by(right_key, "127.0.0.1", port))
                    .decided(record_is(record_state::absent));
    CAF_CHECK(made.step == next_step::unavailable_503);
    CAF_CHECK(is_counted(made, 0));
  }
}

CAF_TEST(a_record_reaches_no_engine_either) {
  for (std::string_view host :
       {"127.0.0.1", "localhost", "::1", "127.9.9.9", "LOCALHOST", "::ffff:127.0.0.1", "0.0.0.0"}) {
    auto record = record_of(R"([{"url":".*","access_level":0}])", host, "24001");
    CAF_CHECK(request("/exapps/app/x").step(known(record)) == next_step::not_found_404);
    CAF_CHECK(request("/exapps/app/x", signed_by(right_key)).step(known(record))
              == next_step::not_found_404);
  }
  auto elsewhere = record_of(R"([{"url":".*","access_level":0}])", "192.0.2.7", "24001");
  CAF_CHECK(request("/exapps/app/x").step(known(elsewhere)) == next_step::forward);
}

CAF_TEST(repeated_signed_fields_count_by_the_last) {
  auto fields = signed_by("wrong");
  fields.push_back(key_line);
  CAF_CHECK(request("/exapps/app/x", fields).step(known()) == next_step::forward);
  fields = signed_by(right_key);
  fields.push_back("harp-shared-key: wrong");
  CAF_CHECK(request("/exapps/app/x", fields).step(known()) == next_step::drop);
}

// -- rows 7 to 9: records, internal end points ---------------------------------------------------------------------------

CAF_TEST(unsigned_request_asks_for_the_record_first) {
  auto made = request("/exapps/app/public", {cookie_line}).decided();
  CAF_CHECK(made.step == next_step::need_record);
  CAF_CHECK(is_counted(made, 0));
}

CAF_TEST(unknown_app_is_404_and_counted_unless_the_key_is_right) {
  auto plain = request("/exapps/app/public").decided(record_is(record_state::absent));
  CAF_CHECK(plain.step == next_step::not_found_404);
  CAF_CHECK(is_counted(plain, 10));
  auto with_key
      = request("/exapps/app/public", {key_line}).decided(record_is(record_state::absent));
  CAF_CHECK(with_key.step == next_step::not_found_404);
  CAF_CHECK(is_counted(with_key, 0));
}

CAF_TEST(silent_nextcloud_is_503_and_nobody_counted) {
  auto made = request("/exapps/app/public").decided(record_is(record_state::failed));
  CAF_CHECK(made.step == next_step::unavailable_503);
  CAF_CHECK(is_counted(made, 0));
}

CAF_TEST(withdrawn_app_is_closed_to_unsigned_requests) {
  auto answers = known();
  answers.closed = true;
  CAF_CHECK(request("/exapps/app/public").step(answers) == next_step::not_found_404);
  CAF_CHECK(request("/exapps/app/public", {key_line}).step(answers) == next_step::not_found_404);
  CAF_CHECK(request("/exapps/app/heartbeat", signed_by(right_key)).step(answers)
            == next_step::forward);
  // Nothing is asked for, as long as the app is closed; a signed call asks anew.
  CAF_CHECK(request("/exapps/app/public").step(record_is(record_state::unknown, true))
            == next_step::not_found_404);
  CAF_CHECK(
      request("/exapps/app/init", signed_by(right_key)).step(record_is(record_state::unknown, true))
      == next_step::need_record);
}

CAF_TEST(internal_end_points_are_dropped_and_counted_in_every_form) {
  auto answers = as_user(known(R"([{"url":".*","access_level":0}])"), "admin", access_admin);
  for (std::string_view target :
       {"/heartbeat", "/init", "/enabled", "//init", "/init/", "/./enabled", "/%69nit", "/init%2f",
        "/%2finit", "/heartbeat//", "/init;x", "/%2e/init", "/enabled?enabled=1", "/init?"}) {
    auto made = request("/exapps/app" + std::string(target), {cookie_line}).decided(answers);
    if (made.step != next_step::drop)
      CAF_ERROR("not dropped: " << target);
    CAF_CHECK(made.step == next_step::drop);
    CAF_CHECK(is_counted(made, 10));
  }
  CAF_CHECK(request("/exapps/app/initial", {cookie_line}).step(answers) == next_step::forward);
}
