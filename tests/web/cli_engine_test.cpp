// The commands about engines and apps: which words become which call, what is printed, which exit code.
#define CAF_SUITE cli_engine
#include "tests/web/cli_fixture.hpp"
#include "tests/web/fake_admin.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace harp;
using namespace harp::web;
using json = nlohmann::ordered_json;

namespace {

struct fixture : cli_fixture {
  /// Runs the words against a daemon that answers one call.
  ran ask(const std::vector<std::string>& words, const std::string& call, const std::string& body,
          int status = 200) {
    fake_admin daemon{{{"POST /api/call/" + call, fake_admin::answer(status, body)}}};
    daemon_at(daemon.address());
    auto told = run(words);
    asked.clear();
    for (const auto& request : daemon.requests())
      asked.push_back(request.substr(0, request.find(" HTTP/1.1")) + " "
                      + request.substr(request.find("\r\n\r\n") + 4));
    return told;
  }
  std::vector<std::string> asked; // "POST /api/call/NAME BODY"
};

using lines = std::vector<std::string>;

} // namespace

CAF_TEST_FIXTURE_SCOPE(cli_engine_tests, fixture)

CAF_TEST(engines_are_listed_checked_added_and_removed) {
  auto listed = ask({"engine", "ls"}, "engine_ls",
                    R"({"engines":[{"port":24000,"place":"unix:/x","reachable":"yes"}]})");
  CAF_CHECK_EQUAL(listed.code, exit_fine);
  CAF_CHECK(has(listed.out, "unix:/x"));
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/engine_ls {"port":0})"});
  CAF_CHECK_EQUAL(ask({"engine", "check", "24001"}, "engine_check", R"({"product":"Docker"})").code,
                  exit_fine);
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/engine_check {"port":24001})"});
  ask({"engine", "check", "kubernetes"}, "engine_check", R"({"product":"Kubernetes"})");
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/engine_check {"port":1})"});
  ask({"engine", "add", "24001", "/run/podman.sock"}, "engine_add", "{}");
  CAF_CHECK_EQUAL(asked,
                  lines{R"(POST /api/call/engine_add {"port":24001,"socket":"/run/podman.sock"})"});
  ask({"engine", "rm", "24001"}, "engine_rm", "{}");
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/engine_rm {"port":24001})"});
}

CAF_TEST(apps_are_listed_stopped_started_and_read) {
  auto listed = ask({"apps", "ls", "--json"}, "apps_ls", R"({"apps":[],"troubles":[]})");
  CAF_CHECK_EQUAL(listed.out, R"({"apps":[],"troubles":[]})");
  ask({"apps", "stop", "talk", "--engine", "24002"}, "apps_stop", "{}");
  CAF_CHECK_EQUAL(asked,
                  lines{R"(POST /api/call/apps_stop {"app":"talk","port":24002,"lines":0})"});
  ask({"apps", "start", "talk", "--engine", "kubernetes"}, "apps_start", "{}");
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/apps_start {"app":"talk","port":1,"lines":0})"});
  auto read = ask({"apps", "logs", "talk", "--lines", "5"}, "apps_logs",
                  R"({"app":"talk","log":"one\ntwo\u001b[31m"})");
  CAF_CHECK_EQUAL(asked, lines{R"(POST /api/call/apps_logs {"app":"talk","port":0,"lines":5})"});
  CAF_CHECK(has(read.out, "one\ntwo"));
  CAF_CHECK(!has(read.out, "\x1b")); // an app's output is foreign text
}

CAF_TEST(troubles_have_their_exit_codes) {
  auto refused = ask({"engine", "check", "24001"}, "engine_check",
                     R"({"error":"it is down","next":"start it"})", 502);
  CAF_CHECK_EQUAL(refused.code, exit_problem);
  CAF_CHECK(has(refused.err, "it is down"));
  CAF_CHECK(has(refused.err, "start it"));
  for (const lines& wrong : {lines{"engine", "check"},
                             {"engine", "check", "x"},
                             {"engine", "add", "24001"},
                             {"apps", "stop"},
                             {"apps", "logs", "a", "--lines", "-1"},
                             {"engine", "nothing"}})
    CAF_CHECK_EQUAL(run(wrong).code, exit_usage);
  daemon_at("127.0.0.1:1");
  CAF_CHECK_EQUAL(run({"engine", "ls"}).code, exit_unreachable);
}

CAF_TEST(adopt_says_what_would_become_of_a_harp_installation) {
  sources.environment["HP_TIMEOUT_SERVER"] = "60s";
  auto told = ask(
      {"adopt", "--json"}, "apps_ls",
      R"x({"apps":[{"container":"nc_app_x","owner":"HaRP (adoptable)","findings":["holds the shared key"]}]})x");
  auto facts = json::parse(told.out, nullptr, false);
  CAF_REQUIRE(facts.is_object());
  CAF_CHECK_EQUAL(
      facts["containers"].dump(),
      R"x([{"container":"nc_app_x","owner":"HaRP (adoptable)","findings":["holds the shared key"]}])x");
  CAF_CHECK(has(facts["settings"].dump(), "HP_TIMEOUT_SERVER"));
  CAF_CHECK(has(facts["certificates"].dump(), "would be made at the first start"));
  auto alone = run({"adopt"});
  CAF_CHECK(has(alone.out, "containers were not looked at"));
}

CAF_TEST(the_engine_helper_is_told_socket_user_and_command) {
  helper_options given;
  hooks.engine_helper = [&given](const config&, const helper_options& options) {
    given = options;
    return 7;
  };
  CAF_CHECK_EQUAL(run({"engine-helper"}).code, 7);
  CAF_CHECK_EQUAL(given.socket, "/var/run/docker.sock");
  CAF_CHECK(given.command.empty());
  CAF_CHECK_EQUAL(run({"engine-helper", "--socket", "/run/x.sock", "--user", "harp", "--", "harp",
                       "--state", "/s", "serve"})
                      .code,
                  7);
  CAF_CHECK_EQUAL(given.socket + " " + given.user, "/run/x.sock harp");
  CAF_CHECK_EQUAL(given.command, (lines{"harp", "--state", "/s", "serve"}));
  CAF_CHECK_EQUAL(run({"engine-helper", "--socket", "x.sock"}).code, exit_usage);
}

CAF_TEST_FIXTURE_SCOPE_END()
