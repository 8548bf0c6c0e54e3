// `deploy/up` as people and scripts use it: the JSON line, the URLs, a second start, the end.
#define CAF_SUITE e2e_up
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>

using namespace harp::e2e;

namespace {

struct fixture {
  temp_dir dir;
  run_result up(std::vector<std::string> arguments = {}) {
    spawn_options how;
    how.environment = {{"HARP_UP_STATE", dir / "demo"},
                       {"HARP_UP_BIN", std::filesystem::path{harp_program()}.parent_path()}};
    arguments.insert(arguments.begin(), checkout() + "/deploy/up");
    return run(arguments, how, 90s);
  }
  ~fixture() { up({"--stop"}); }
  static nlohmann::json last_line(const std::string& text) {
    size_t end = text.find_last_not_of('\n');
    size_t start = text.rfind('\n', end);
    return nlohmann::json::parse(text.substr(start + 1, end - start), nullptr, false);
  }
  static std::string address_of(const std::string& url) {
    size_t start = url.find("//") + 2;
    return url.substr(start, url.find('/', start) - start);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(demo, fixture)

CAF_TEST(starts_tells_restarts_and_stops) {
  auto started = up();
  if (started.status != 0)
    CAF_MESSAGE(started.output);
  CAF_REQUIRE_EQUAL(started.status, 0);
  CAF_CHECK(started.output.find("DEVELOPMENT AUTHORITY") != std::string::npos);
  auto told = last_line(started.output);
  CAF_REQUIRE(told.is_object());
  std::string url = told["exapps"][0]["url"];
  CAF_CHECK(told["exapps"][0]["id"] == "sample");
  CAF_CHECK(told["listeners"].contains("frp"));
  CAF_REQUIRE(told["nodes"].size() == 2);
  // the storage plane: one folder on two nodes
  std::string dirs[2] = {told["nodes"][0]["dir"], told["nodes"][1]["dir"]};
  CAF_CHECK_EQUAL(read_file(dirs[0] + "/hello.txt"), read_file(dirs[1] + "/hello.txt"));
  write_file(dirs[1] + "/answer.txt", "from the second node");
  CAF_CHECK(until(20s * patience(), [&] { return read_file(dirs[0] + "/answer.txt") == "from the second node"; }));
  auto at = address_of(url);
  CAF_CHECK(get(at, "/exapps/sample/").body.find("Hello") != std::string::npos);
  CAF_CHECK(get(at, "/exapps/sample/echo-page").body.find("WebSocket") != std::string::npos);
  CAF_CHECK_EQUAL(get(at, "/exapps/sample/stream?count=3&interval_ms=10").body,
                  "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  CAF_CHECK_EQUAL(get(at, "/exapps/sample/user").status, 403);
  CAF_CHECK_EQUAL(get(at, "/exapps/sample/user", basic_auth("alice", "alice-dev")).status, 200);
  CAF_CHECK_EQUAL(get(at, "/exapps/sample/admin", basic_auth("alice", "alice-dev")).status, 403);
  CAF_CHECK_EQUAL(get(at, "/exapps/sample/admin", basic_auth("admin", "admin-dev")).status, 200);
  ws_client socket{at, "/exapps/sample/ws"};
  CAF_CHECK(socket.echoes("hello"));

  auto again = up();
  CAF_CHECK_EQUAL(again.status, 0);
  CAF_CHECK(again.output.find("already running") != std::string::npos);
  CAF_CHECK(last_line(again.output) == told);
  CAF_CHECK(socket.echoes("still the same"));

  CAF_CHECK_EQUAL(up({"--stop"}).status, 0);
  CAF_CHECK(!channel::connect(at, 1s).open());
  CAF_CHECK_EQUAL(up({"--stop"}).status, 0); // nothing left is fine
}

CAF_TEST(tells_wrong_usage) {
  CAF_CHECK_EQUAL(up({"--nonsense"}).status, 2);
}

CAF_TEST_FIXTURE_SCOPE_END()
