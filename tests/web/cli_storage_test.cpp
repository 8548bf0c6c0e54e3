// The storage commands as calls: which words become which arguments, what is printed, which exit code.
#define CAF_SUITE cli_storage
#include "tests/web/cli_fixture.hpp"
#include "tests/web/fake_admin.hpp"
#include "web/cli_storage.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>

using namespace harp;
using namespace harp::web;
using json = nlohmann::ordered_json;

namespace {

/// No daemon: calls come to a hook that remembers them.
struct fixture : cli_fixture {
  std::string name;
  json arguments;
  admin_answer answer{200, "{}", {}, true};
  bool called = false;

  fixture() {
    hooks.storage = [this](const config_sources&, const std::string& call, const std::string& body) {
      called = true;
      name = call;
      arguments = json::parse(body);
      return answer;
    };
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(cli_storage_tests, fixture)

CAF_TEST(makes_calls_of_words_while_no_daemon_runs) {
  answer.body = R"({"name":"n0","fingerprint":"aa"})";
  auto init = run({"init", "--name", "n0", "--listen", "127.0.0.1:0"});
  CAF_CHECK_EQUAL(init.code, 0);
  CAF_CHECK_EQUAL(name, "init");
  CAF_CHECK_EQUAL(arguments.dump(), R"({"name":"n0","listen":"127.0.0.1:0"})");
  CAF_CHECK(has(init.out, "n0"));
  CAF_CHECK_EQUAL(run({"invite", "--role", "keeper", "--space", "a", "--space", "b", "--expires", "30m", "--uses", "3"}).code, 0);
  CAF_CHECK_EQUAL(name, "invite");
  CAF_CHECK_EQUAL(arguments["spaces"].dump(), R"(["a","b"])");
  CAF_CHECK_EQUAL(arguments["uses"].get<int>(), 3);
  CAF_CHECK_EQUAL(run({"member", "role", "laptop", "reader", "--space", "a"}).code, 0);
  CAF_CHECK_EQUAL(arguments.dump(), R"({"device":"laptop","role":"reader","space":"a"})");
  CAF_CHECK_EQUAL(run({"invite", "revoke", "abcd"}).code, 0);
  CAF_CHECK_EQUAL(name, "invite_revoke");
  CAF_CHECK_EQUAL(arguments["id"], "abcd");
}

CAF_TEST(makes_folders_and_paths_absolute_and_leaves_an_absent_folder_empty) {
  auto here = std::filesystem::current_path().string();
  run({"space", "create", "work", "--dir", "some/../folder"});
  CAF_CHECK_EQUAL(arguments["dir"], here + "/folder");
  run({"space", "create", "work"});
  CAF_CHECK_EQUAL(arguments["dir"], "");
  run({"history", "work:a/b"});
  CAF_CHECK_EQUAL(arguments["path"], "work:a/b");
  CAF_CHECK_EQUAL(arguments["absolute"], here + "/work:a/b");
}

CAF_TEST(prints_the_token_alone_on_the_last_line) {
  answer.body = R"({"id":"12345678","expires":"soon","token":"H1.abc"})";
  auto told = run({"invite", "--role", "writer"});
  CAF_CHECK_EQUAL(told.code, 0);
  CAF_CHECK(told.out.ends_with("\nH1.abc\n"));
  CAF_CHECK(has(told.out, "12345678"));
  auto as_json = run({"invite", "--json"});
  auto parsed = json::parse(as_json.out);
  CAF_CHECK_EQUAL(parsed["token"], "H1.abc");
}

CAF_TEST(tells_failures_with_the_next_step_and_their_exit_codes) {
  answer = {409, R"({"error":"this node is in no cluster yet","next":"run harp init"})", {}, true};
  auto problem = run({"space", "ls"});
  CAF_CHECK_EQUAL(problem.code, 1);
  CAF_CHECK(has(problem.err, "no cluster") && has(problem.err, "run harp init"));
  CAF_CHECK(problem.out.empty());
  answer.status = 400;
  CAF_CHECK_EQUAL(run({"space", "ls"}).code, 2);
  answer = {200, R"({"spaces":[],"problems":[{"path":"a","problem":"damaged"}]})", {}, true};
  CAF_CHECK_EQUAL(run({"verify"}).code, 1);
  answer.body = R"({"spaces":[],"problems":[]})";
  CAF_CHECK_EQUAL(run({"verify"}).code, 0);
}

CAF_TEST(needs_a_daemon_for_what_lasts) {
  for (const auto& words : {std::vector<std::string>{"cat", "work:a"}, {"rewind", "work:", "--to", "2h"}, {"restore", "work:a"}, {"repair"}}) {
    called = false;
    CAF_CHECK_EQUAL(run(words).code, 3);
    CAF_CHECK(!called);
  }
}

CAF_TEST(prefers_the_daemon_when_one_runs) {
  fake_admin console{{{"POST /api/call/space_ls", fake_admin::answer(200, R"({"spaces":[{"name":"work"}]})")}}};
  daemon_at(console.address());
  auto told = run({"space", "ls", "--json"});
  CAF_CHECK_EQUAL(told.code, 0);
  CAF_CHECK(has(told.out, "work"));
  CAF_CHECK(!called);
  CAF_REQUIRE_EQUAL(console.requests().size(), 1u);
}

CAF_TEST(reads_a_file_piece_by_piece_and_tells_when_one_does_not_come) {
  fake_admin console{{{"POST /api/call/open", fake_admin::answer(200, R"({"handle":"ab","size":5})")},
                      {"GET /api/content?handle=ab&offset=0&length=5", fake_admin::answer(200, "hel")},
                      {"GET /api/content?handle=ab&offset=3&length=2", fake_admin::answer(200, "lo")}}};
  daemon_at(console.address());
  auto told = run({"cat", "work:a"});
  CAF_CHECK_EQUAL(told.code, 0);
  CAF_CHECK_EQUAL(told.out, "hello");
  fake_admin late{{{"POST /api/call/open", fake_admin::answer(200, R"({"handle":"ab","size":5})")},
                   {"GET /api/content?handle=ab&offset=0&length=5", fake_admin::answer(504, R"({"error":"waiting for laptop","next":"later"})")}}};
  daemon_at(late.address());
  auto waits = run({"cat", "work:a"});
  CAF_CHECK_EQUAL(waits.code, 1);
  CAF_CHECK(has(waits.err, "waiting for laptop") && has(waits.err, "later"));
  CAF_CHECK(waits.out.empty());
}

CAF_TEST(writes_no_file_when_its_content_does_not_come) {
  fake_admin console{{{"POST /api/call/open", fake_admin::answer(404, R"({"error":"nothing there","next":"look"})")}}};
  daemon_at(console.address());
  auto target = dir.string() + "/out";
  CAF_CHECK_EQUAL(run({"get", "work:a", "--to", target}).code, 1);
  CAF_CHECK(!std::filesystem::exists(target));
}

CAF_TEST_FIXTURE_SCOPE_END()
