// Conversations with engines on virtual time: every call of appapi-harp.md 4.5 request by request, limits, several engines.
#define CAF_SUITE engines
#include "tests/actors/engines_world.hpp"

using namespace harp;
using namespace std::chrono_literals;

namespace {

constexpr const char* ours
    = R"({"Id":"abc","Name":"/nc_app_app","State":{"Status":"STATUS"},"Config":{"Image":"img:1","Labels":{"io.harp.owner":"http://nc"}}})";
constexpr const char* theirs
    = R"({"Id":"abc","State":{"Status":"running"},"Config":{"Labels":{"io.harp.owner":"http://other"}}})";

std::string container(std::string status) {
  std::string out = ours;
  out.replace(out.find("STATUS"), 6, status);
  return out;
}

using fixture = harp::testing::engines_world;

} // namespace

CAF_TEST_FIXTURE_SCOPE(engines_tests, fixture)

CAF_TEST(exists_tells_the_image) {
  auto asked = app(exapp_action::exists);
  reply(200, container("running"));
  check(asked, 200, R"({"exists":true,"image_ref":"img:1"})");
  auto missing = app(exapp_action::exists);
  reply(404);
  check(missing, 200, R"({"exists":false})");
  check_lines({"GET /containers/nc_app_app/json", "GET /containers/nc_app_app/json"});
}

CAF_TEST(create_makes_volume_and_container) {
  auto asked = order(exapp_action::create, R"({"name":"app","image_id":"img:1"})");
  reply(404);
  CAF_CHECK_EQUAL(
      engine.calls.front().request->body,
      R"({"Name":"nc_app_app_data","Labels":{"io.harp.owner":"http://nc","io.harp.app":"app"}})");
  reply(201, R"({"Name":"nc_app_app_data"})");
  CAF_CHECK(engine.calls.front().request->body.find(R"("Image":"img:1")") != std::string::npos);
  reply(201, R"({"Id":"0123","Warnings":[]})");
  check(asked, 201, R"({"id":"0123","name":"nc_app_app"})");
  check_lines({"GET /volumes/nc_app_app_data", "POST /volumes/create",
               "POST /containers/create?name=nc_app_app"});
}

CAF_TEST(create_keeps_an_existing_volume) {
  auto asked = order(exapp_action::create, R"({"name":"app","image_id":"img:1"})");
  reply(200, R"({"Name":"nc_app_app_data","Labels":null})");
  reply(201, R"({"Id":"0123"})");
  check(asked, 201);
  check_lines({"GET /volumes/nc_app_app_data", "POST /containers/create?name=nc_app_app"});
}

CAF_TEST(create_answers_409_for_a_name_that_is_taken) {
  auto asked = order(exapp_action::create, R"({"name":"app","image_id":"img:1"})");
  reply(200, "{}");
  reply(409);
  reply(200, container("created"));
  check(asked, 409);
}

CAF_TEST(k02_a_refused_mount_reaches_no_engine) {
  auto asked
      = order(exapp_action::create,
              R"({"name":"app","image_id":"i","mount_points":[{"source":"/","target":"/x"}]})");
  check(asked, 400);
  check_lines({});
}

CAF_TEST(k04_create_stops_at_a_foreign_volume) {
  auto asked = order(exapp_action::create, R"({"name":"app","image_id":"i"})");
  reply(200, R"({"Labels":{"io.harp.owner":"http://other"}})");
  auto got = result(asked);
  CAF_CHECK_EQUAL(got.status, 409);
  CAF_CHECK(got.body.find("http://other") != std::string::npos);
  check_lines({"GET /volumes/nc_app_app_data"});
}

CAF_TEST(k04_create_takes_its_volume_back_when_the_container_is_foreign) {
  auto asked = order(exapp_action::create, R"({"name":"app","image_id":"i"})");
  reply(404);
  reply(201, "{}");
  reply(409);
  reply(200, theirs);
  reply(204);
  auto got = result(asked);
  CAF_CHECK_EQUAL(got.status, 409);
  CAF_CHECK(got.body.find("http://other") != std::string::npos);
  CAF_CHECK_EQUAL(engine.lines.back(), "DELETE /volumes/nc_app_app_data");
}

CAF_TEST(k04_nothing_is_done_to_a_foreign_container) {
  for (auto action : {exapp_action::start, exapp_action::stop, exapp_action::remove,
                      exapp_action::wait_for_start}) {
    auto asked = app(action);
    reply(200, theirs);
    check(asked, 409);
  }
  auto certificates
      = order(exapp_action::install_certificates, R"({"name":"app","install_frp_certs":true})",
              24000, std::make_shared<const frp_files>(frp_files{"a", "b", "c"}));
  reply(200, theirs);
  check(certificates, 409);
  for (const auto& line : engine.lines)
    CAF_CHECK_EQUAL(line, "GET /containers/nc_app_app/json");
}

CAF_TEST(k04_a_foreign_volume_saves_its_container_as_well) {
  auto asked = order(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, container("running"));
  reply(200, R"({"Labels":{"io.harp.owner":"http://other"}})");
  check(asked, 409);
  check_lines({"GET /containers/nc_app_app/json", "GET /volumes/nc_app_app_data"});
}

CAF_TEST(x13_start_and_stop_tell_what_was) {
  struct row {
    exapp_action action;
    int engine;
    int wanted;
  };
  for (auto [action, status, wanted] :
       {row{exapp_action::start, 204, 204}, row{exapp_action::start, 304, 200},
        row{exapp_action::start, 404, 404}, row{exapp_action::start, 500, 503},
        row{exapp_action::stop, 204, 204}, row{exapp_action::stop, 304, 200}}) {
    auto asked = app(action);
    reply(200, container("created"));
    reply(status);
    check(asked, wanted);
  }
  auto missing = app(exapp_action::start);
  reply(404);
  check(missing, 404);
  auto down = app(exapp_action::start);
  trouble(engine_trouble::unreachable);
  check(down, 503);
  auto silent = app(exapp_action::start);
  trouble(engine_trouble::timeout);
  check(silent, 504);
}

CAF_TEST(wait_for_start_waits_for_health) {
  auto asked = app(exapp_action::wait_for_start);
  reply(200, container("created"));
  CAF_CHECK(engine.calls.empty());
  pass(500ms);
  reply(200,
        R"({"Id":"abc","State":{"Status":"running","Health":{"Status":"starting"}},"Config":{}})");
  pass(500ms);
  reply(200,
        R"({"Id":"abc","State":{"Status":"running","Health":{"Status":"healthy"}},"Config":{}})");
  check(asked, 200, R"({"started":true,"status":"running","health":"healthy"})");
}

CAF_TEST(wait_for_start_verdicts) {
  struct row {
    const char* state;
    const char* wanted;
  };
  for (
      auto [state, wanted] :
      {row{R"({"Status":"running"})", R"({"started":true,"status":"running","health":null})"},
       row{R"({"Status":"running","Health":{"Status":"unhealthy"}})",
           R"({"started":true,"status":"running","health":"unhealthy","reason":"unhealthy"})"},
       row{R"({"Status":"exited"})",
           R"({"started":false,"status":"exited","health":null,"reason":"the container is exited"})"},
       row{R"({"Status":"paused"})",
           R"({"started":false,"status":"paused","health":null,"reason":"the container is paused"})"},
       row{R"({"Status":"dead"})",
           R"({"started":false,"status":"dead","health":null,"reason":"the container is dead"})"}}) {
    auto asked = app(exapp_action::wait_for_start);
    reply(200, std::string{R"({"Id":"a","State":)"} + state + "}");
    check(asked, 200, wanted);
  }
  auto missing = app(exapp_action::wait_for_start);
  reply(404);
  check(
      missing, 200,
      R"({"started":false,"status":"not_found","health":null,"reason":"there is no such container"})");
  auto broken = app(exapp_action::wait_for_start);
  reply(500, R"({"message":"out of order"})");
  check(broken, 503);
}

CAF_TEST(wait_for_start_gives_up_with_the_last_state) {
  auto asked = app(exapp_action::wait_for_start);
  for (unsigned i = 0; i < start_polls_max; ++i) {
    reply(200, container("restarting"));
    pass(500ms);
  }
  check(
      asked, 200,
      R"({"started":false,"status":"restarting","health":null,"reason":"it did not get ready in time"})");
}

CAF_TEST(remove_keeps_data_unless_told) {
  auto asked = app(exapp_action::remove);
  reply(200, container("running"));
  reply(204);
  check(asked, 204);
  auto all = order(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(200, container("running"));
  reply(200, "{}");
  reply(204);
  reply(409);
  check(all, 409);
  auto nothing = order(exapp_action::remove, R"({"name":"app","remove_data":true})");
  reply(404);
  reply(404);
  check(nothing, 204);
  check_lines({"GET /containers/nc_app_app/json", "DELETE /containers/nc_app_app?force=true",
               "GET /containers/nc_app_app/json", "GET /volumes/nc_app_app_data",
               "DELETE /containers/nc_app_app?force=true", "DELETE /volumes/nc_app_app_data",
               "GET /containers/nc_app_app/json", "GET /volumes/nc_app_app_data"});
}

CAF_TEST(image_remove_counts_what_is_really_gone) {
  auto order_it = [this] { return order(exapp_action::image_remove, R"({"image_ref":"a/b:1"})"); };
  auto gone = order_it();
  reply(200, R"({"Size":12345})");
  reply(200, R"([{"Untagged":"a/b:1"},{"Deleted":"sha256:x"}])");
  check(gone, 200, R"({"deleted":true,"bytes_freed":12345})");
  auto untagged = order_it();
  reply(200, R"({"Size":12345})");
  reply(200, R"([{"Untagged":"a/b:1"}])");
  check(untagged, 200, R"({"deleted":true,"bytes_freed":0})");
  auto missing = order_it();
  reply(404);
  check(missing, 200, R"({"deleted":true,"bytes_freed":0,"reason":"not_found"})");
  auto used = order_it();
  reply(200, R"({"Size":12345})");
  reply(409);
  check(used, 200, R"({"deleted":false,"bytes_freed":0,"reason":"in_use"})");
}

CAF_TEST(tunnel_certificates_need_no_start) {
  auto asked = order(exapp_action::install_certificates,
                     R"({"name":"app","system_certs_bundle":null,"install_frp_certs":true})", 24000,
                     std::make_shared<const frp_files>(frp_files{"CA", "CERT", "KEY"}));
  reply(200, container("created"));
  CAF_CHECK(engine.calls.front().request->body.find("certs/frp/client.key") != std::string::npos);
  reply(200);
  check(asked, 204);
  check_lines({"GET /containers/nc_app_app/json", "PUT /containers/nc_app_app/archive?path=%2F"});
}

CAF_TEST(x12_a_bundle_is_installed_and_the_container_stopped_again) {
  auto asked = order(
      exapp_action::install_certificates,
      R"({"name":"app","system_certs_bundle":"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"})");
  auto exec = [this](const char* output, int code) {
    reply(201, R"({"Id":"e1"})");
    reply(200, output);
    reply(200, R"({"ExitCode":)" + std::to_string(code) + "}");
  };
  reply(200, container("created"));
  reply(204);
  exec("ID=debian\n", 0);
  exec("", 0);
  CAF_CHECK(engine.calls.front().request->body.find(
                "usr/local/share/ca-certificates/custom_ca_cert_0.crt")
            != std::string::npos);
  reply(200);
  exec("", 1); // the update tool fails: only logged
  reply(204);
  reply(200, container("running"));
  pass(250ms);
  reply(200, container("exited"));
  check(asked, 204);
  CAF_CHECK_EQUAL(engine.lines[1], "POST /containers/nc_app_app/start");
  CAF_CHECK(std::count(engine.lines.begin(), engine.lines.end(), "POST /containers/nc_app_app/stop")
            == 1);
}

CAF_TEST(fr5_an_image_without_cat_still_has_its_tunnel) {
  auto asked = order(
      exapp_action::install_certificates,
      R"({"name":"app","install_frp_certs":true,"system_certs_bundle":"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"})",
      24000, std::make_shared<const frp_files>(frp_files{"CA", "CERT", "KEY"}));
  reply(200, container("created"));
  reply(200); // the upload
  reply(204); // the start
  reply(409, R"({"message":"container is not running"})");
  reply(304); // the stop
  reply(200, container("exited"));
  check(asked, 204);
}

CAF_TEST(certificates_without_a_container_are_404) {
  auto asked
      = order(exapp_action::install_certificates, R"({"name":"app","install_frp_certs":true})");
  reply(404);
  check(asked, 404);
}

CAF_TEST(an_engine_that_is_silent_is_given_up_in_time) {
  auto asked = app(exapp_action::start);
  CAF_CHECK_EQUAL(engine.calls.front().limit.count(), 30'000);
  pass(29s);
  CAF_CHECK(board->engines.read()->at(24000).running == 1);
  pass(2s);
  check(asked, 504);
  CAF_CHECK(board->engines.read()->at(24000).running == 0);
  reply(200, container("created")); // too late: nothing happens
  check_lines({"GET /containers/nc_app_app/json"});
}

CAF_TEST(r2_a_slow_engine_harms_no_other) {
  std::vector<pending> slow;
  for (size_t i = 0; i < engine_conversations_max + engine_waiting_max; ++i)
    slow.push_back(order(exapp_action::exists, R"({"name":"app"})", 24001));
  CAF_CHECK_EQUAL(engine.calls.size(), engine_conversations_max);
  auto refused = order(exapp_action::exists, R"({"name":"app"})", 24001);
  refused.receive([](const engine_verdict&) { CAF_FAIL("taken"); },
                  [](caf::error& error) { CAF_CHECK(error == ec::busy); });
  auto good = app(exapp_action::exists);
  engine_reply found;
  found.status = 404;
  engine.tell(engine.calls.size() - 1, found);
  drain();
  check(good, 200, R"({"exists":false})");
  engine.tell(0, found); // one ends, the next begins
  drain();
  CAF_CHECK_EQUAL(engine.calls.size(), engine_conversations_max);
  pass(16s);
  for (size_t i = 0; i < slow.size(); ++i)
    result(slow[i]);
  CAF_CHECK(board->engines.read()->at(24001).waiting == 0);
}

CAF_TEST(an_engine_newer_than_harp_is_asked_for_a_known_api) {
  auto first = app(exapp_action::exists);
  engine_reply told;
  told.status = 404;
  told.api_version = "1.52";
  engine.tell(0, told);
  drain();
  check(first, 200);
  auto second = app(exapp_action::exists);
  reply(404);
  check(second, 200);
  CAF_CHECK_EQUAL(engine.lines.back(), "GET /v1.47/containers/nc_app_app/json");
  CAF_CHECK_EQUAL(board->engines.read()->at(24000).api, "1.52");
}

CAF_TEST(an_engine_of_harps_time_is_asked_without_version) {
  auto first = app(exapp_action::exists);
  engine_reply told;
  told.status = 404;
  told.api_version = "1.41";
  engine.tell(0, told);
  drain();
  check(first, 200);
  auto second = app(exapp_action::exists);
  CAF_CHECK_EQUAL(engine.lines.back(), "GET /containers/nc_app_app/json");
  reply(404);
  check(second, 200);
}

CAF_TEST(reachability_is_published) {
  auto asked = app(exapp_action::exists);
  trouble(engine_trouble::unreachable);
  check(asked, 503);
  CAF_CHECK(board->engines.read()->at(24000).reach == engine_reach::unreachable);
  CAF_CHECK_EQUAL(board->engines.read()->at(24000).trouble, "words");
  auto again = app(exapp_action::exists);
  reply(404);
  check(again, 200);
  CAF_CHECK(board->engines.read()->at(24000).reach == engine_reach::reachable);
}

CAF_TEST(stopping_answers_everybody) {
  auto asked = app(exapp_action::wait_for_start);
  caf::anon_send_exit(tested, caf::exit_reason::user_shutdown);
  drain();
  asked.receive([](const engine_verdict&) { CAF_FAIL("answered"); },
                [](caf::error& error) { CAF_CHECK(error == ec::unavailable); });
}

CAF_TEST_FIXTURE_SCOPE_END()
