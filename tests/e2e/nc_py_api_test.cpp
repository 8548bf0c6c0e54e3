// A real ExApp written with nc_py_api, on its unix socket behind a foreign frp client, through its whole life.
#define CAF_SUITE e2e_nc_py_api
#include "tests/e2e/site.hpp"
#include "tests/e2e/tunnel_client.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

#include <unistd.h>

using namespace harp::e2e;

namespace {

/// A Python that can import nc_py_api, or "".
std::string python() {
  const char* peers = std::getenv("HARP_TEST_PEERS");
  const char* home = std::getenv("HOME");
  std::string cache = peers != nullptr
                          ? std::string{peers}
                          : std::string{home == nullptr ? "" : home} + "/.cache/harp-peers";
  for (const std::string& path :
       {cache + "/venv/bin/python", std::string{"/opt/peers/venv/bin/python"}})
    if (access(path.c_str(), X_OK) == 0
        && run({path, "-c", "import nc_py_api, uvicorn"}, {}, 60s).status == 0)
      return path;
  return {};
}

app_entry record() {
  app_entry out;
  out.port = 23000;
  out.routes = {{"^/public", 0, {}}, {"^/user", 1, {}}, {"^/admin", 2, {}}, {"^/ws", 1, {}}};
  return out;
}

process start_exapp(const std::string& interpreter, const temp_dir& dir,
                    const std::string& nextcloud) {
  spawn_options how;
  how.output = dir / "exapp.log";
  how.directory = checkout() + "/tests/e2e";
  auto app = record();
  how.environment = {{"APP_ID", "pyapp"},
                     {"APP_VERSION", app.version},
                     {"APP_SECRET", app.token},
                     {"APP_HOST", "127.0.0.1"},
                     {"APP_PORT", "23000"},
                     {"AA_VERSION", "32.0.0"},
                     {"APP_PERSISTENT_STORAGE", dir.path()},
                     {"NEXTCLOUD_URL", nextcloud},
                     {"PYTHONDONTWRITEBYTECODE", "1"},
                     {"HP_SHARED_KEY", "x"}, // tells nc_py_api to listen on the socket
                     {"HP_EXAPP_SOCK", dir / "exapp.sock"}};
  return process{{interpreter, "exapp_nc_py_api.py"}, how};
}

} // namespace

CAF_TEST(a_whole_life_behind_a_tunnel) {
  std::string interpreter = python();
  if (interpreter.empty()) {
    report_skipped("nc_py_api", "no Python environment with it");
    return;
  }
  auto programs = tunnel_programs();
  temp_dir dir;
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  nextcloud.put("pyapp", record());
  node_options options;
  options.nextcloud = nextcloud.url();
  options.tunnel_tls = true;
  node harp{options};
  CAF_REQUIRE(harp.start());
  auto exapp = start_exapp(interpreter, dir, nextcloud.url());
  report_ran("nc_py_api ExApp behind " + programs.front().name);
  tunnel_settings settings;
  settings.proxy = "pyapp";
  settings.to = "unix:" + (dir / "exapp.sock");
  settings.token = harp.key();
  settings.certs = harp.certs() + "/frp";
  tunnel_client client{programs.front(), harp.frp(), settings};

  auto with_signature = harp.signed_headers("pyapp", record());
  auto ask = [&harp](const std::string& target, const header_list& headers = {}) {
    return get(harp.exapps(), "/exapps/pyapp" + target, headers);
  };
  bool alive = until(40s, [&] { return ask("/heartbeat", with_signature).status == 200; });
  if (!alive)
    CAF_MESSAGE(read_file(dir / "exapp.log"));
  CAF_REQUIRE(alive);
  CAF_CHECK(ask("/heartbeat", with_signature).body.find("ok") != std::string::npos);
  CAF_CHECK_EQUAL(request(harp.exapps(), "POST", "/exapps/pyapp/init", with_signature).status, 200);
  auto enabled = request(harp.exapps(), "PUT", "/exapps/pyapp/enabled?enabled=1", with_signature);
  CAF_CHECK_EQUAL(enabled.status, 200);
  CAF_CHECK(enabled.body.find("\"error\":\"\"") != std::string::npos);
  CAF_CHECK(ask("/public").body.find("\"enabled\":[true]") != std::string::npos);

  auto levels = [&ask](const header_list& headers) {
    return std::vector<int>{ask("/public", headers).status, ask("/user", headers).status,
                            ask("/admin", headers).status};
  };
  CAF_CHECK_EQUAL(levels({}), (std::vector<int>{200, 403, 403}));
  CAF_CHECK_EQUAL(levels(session("alice")), (std::vector<int>{200, 200, 403}));
  CAF_CHECK_EQUAL(levels(basic_auth("admin", "admin-pw")), (std::vector<int>{200, 200, 200}));
  CAF_CHECK(ask("/user", session("alice")).body.find("\"user\":\"alice\"") != std::string::npos);
  header_list forged{{"EX-APP-ID", "pyapp"},
                     {"EX-APP-VERSION", "1.2.3"},
                     {"AA-VERSION", "32"},
                     {"AUTHORIZATION-APP-API", base64("admin:guess")}};
  CAF_CHECK_EQUAL(ask("/admin", forged).status, 403);
  CAF_CHECK(ask("/public", forged).body.find("admin") == std::string::npos); // replaced, not passed
  CAF_CHECK_EQUAL(get("unix:" + (dir / "exapp.sock"), "/public", forged).status,
                  401); // the app's own check
  ws_client socket{harp.exapps(), "/exapps/pyapp/ws", session("alice")};
  CAF_CHECK(socket.echoes("hello"));
  CAF_CHECK_EQUAL(
      request(harp.exapps(), "PUT", "/exapps/pyapp/enabled?enabled=0", with_signature).status, 200);
  CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{});
}
