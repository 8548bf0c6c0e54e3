// `harp engine-helper`: the node deploys on a real engine whose socket only another process holds (quality.md S4).
#define CAF_SUITE e2e_engine_helper
#include "tests/e2e/engine_deployment.hpp"

#include <csignal>
#include <filesystem>
#include <sstream>

using namespace harp::e2e;

namespace {

/// `harp engine-helper ... --` in front of `harp serve`; `more` are its further options.
auto behind_helper(const std::string& socket, std::vector<std::string> more = {}) {
  return [socket, more](const temp_dir&) {
    std::vector<std::string> words{harp_program(), "engine-helper", "--socket", socket};
    words.insert(words.end(), more.begin(), more.end());
    words.emplace_back("--");
    return words;
  };
}

std::string status_line(pid_t pid, const std::string& key) {
  std::istringstream lines{read_file("/proc/" + std::to_string(pid) + "/status")};
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  return {};
}

pid_t node_of(const deployment& world) {
  auto status
      = nlohmann::json::parse(world.harp->command({"status", "--json"}).output, nullptr, false);
  return status.is_object() ? status.value("pid", 0) : 0;
}

} // namespace

CAF_TEST(an_app_lives_on_an_engine_that_only_the_helper_reaches) {
  if (!can_run())
    return;
  docker_engine engine;
  CAF_REQUIRE(engine.start());
  CAF_REQUIRE(import_image(engine, root_tar()));
  deployment world;
  world.launcher = behind_helper(engine.socket());
  CAF_REQUIRE(world.begin({}, 24000, true));
  auto helper = world.harp->program().pid();
  CAF_CHECK_EQUAL(status_line(helper, "Seccomp"), "2");
  CAF_CHECK_EQUAL(status_line(helper, "NoNewPrivs"), "1");
  CAF_CHECK_NOT_EQUAL(node_of(world), helper);
  CAF_CHECK_NOT_EQUAL(std::filesystem::read_symlink("/proc/" + std::to_string(helper) + "/ns/net"),
                      std::filesystem::read_symlink("/proc/self/ns/net"));
  world.check_connection();
  world.deploy(one_certificate);
  check_container(engine, world);
  world.enable_and_use();
  world.read_log();
  CAF_CHECK_EQUAL(world.harp->command({"engine", "check", "24000"}).status, 0);
  CAF_CHECK(world.harp->command({"apps", "ls"}).output.find("nc_app_test-deploy")
            != std::string::npos);
  world.disable();
  world.remove(engine, true);
  CAF_CHECK_EQUAL(world.harp->error_lines(), std::vector<std::string>{});
  CAF_CHECK(world.harp->log().find("HARP-E042") == std::string::npos); // nothing was refused
  CAF_CHECK_EQUAL(world.harp->stop(), 0);                              // TERM goes on to the node
}

CAF_TEST(the_node_itself_need_not_be_able_to_use_the_socket) {
  if (::geteuid() != 0) {
    report_skipped("engine helper with --user", "only root can become another user");
    return;
  }
  temp_dir dir; // of root, mode 0700
  scripted_server engine{
      [](const received_request&) { return response_text(404, R"({"message":"none"})"); },
      "unix:" + (dir / "docker.sock")};
  deployment world;
  world.launcher = [&dir](const temp_dir& node_dir) {
    auto program = node_dir / "harp"; // the checkout may be closed to others
    std::error_code ignored;
    std::filesystem::copy_file(harp_program(), program,
                               std::filesystem::copy_options::overwrite_existing, ignored);
    std::filesystem::create_directories(node_dir / "state", ignored);
    run({"chown", "-R", "nobody", node_dir.path()});
    // `harp serve` of the test's own words follows; env runs the copy with them
    return std::vector<std::string>{program,    "engine-helper",
                                    "--socket", dir / "docker.sock",
                                    "--user",   "nobody",
                                    "--",       "sh",
                                    "-c",       "shift; exec " + program + " \"$@\"",
                                    "sh"};
  };
  CAF_REQUIRE(world.begin({}, 24000, false));
  CAF_CHECK_EQUAL(world.caller->helper("exists", R"({"name":"a"})").body, R"({"exists":false})");
  CAF_CHECK_EQUAL(engine.received().size(), 1u);
  CAF_CHECK(status_line(node_of(world), "Uid").find("\t0") == std::string::npos);
  CAF_CHECK_NOT_EQUAL(status_line(node_of(world), "Uid").substr(0, 2), "0\t");
}

CAF_TEST(helper_and_node_end_together) {
  temp_dir dir;
  scripted_server engine{[](const received_request&) { return response_text(404, "{}"); },
                         "unix:" + (dir / "docker.sock")};
  deployment world;
  world.launcher = behind_helper(dir / "docker.sock");
  CAF_REQUIRE(world.begin({}, 24000, false));
  auto node = node_of(world);
  CAF_REQUIRE(node > 0);
  ::kill(node, SIGKILL);
  CAF_CHECK_EQUAL(world.harp->program().wait(10s).value_or(-1), 128 + SIGKILL);
  deployment again;
  again.launcher = behind_helper(dir / "docker.sock");
  CAF_REQUIRE(again.begin({}, 24000, false));
  node = node_of(again);
  again.harp->program().signal(SIGKILL);
  CAF_CHECK(until(15s * patience(), [node] { return ::kill(node, 0) != 0; })); // it stops in order
}

CAF_TEST(an_engine_that_is_away_is_told_as_such) {
  temp_dir dir;
  deployment world;
  world.launcher = behind_helper(dir / "docker.sock");
  CAF_REQUIRE(world.begin({}, 24000, false));
  CAF_CHECK_EQUAL(world.caller->helper("exists", R"({"name":"a"})").status, 503);
  scripted_server engine{[](const received_request&) { return response_text(404, "{}"); },
                         "unix:" + (dir / "docker.sock")};
  CAF_CHECK_EQUAL(world.caller->helper("exists", R"({"name":"a"})").status, 200);
}
