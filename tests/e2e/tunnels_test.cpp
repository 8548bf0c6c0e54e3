// The acceptance checks of frp.md 11 with every tunnel client there is, and with harp expose: X03 to X05.
#define CAF_SUITE e2e_tunnels
#include "actors/tunnel_credential.hpp"
#include "tests/e2e/site.hpp"
#include "tests/e2e/tunnel_client.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

#include <thread>

using namespace harp::e2e;

namespace {

constexpr uint64_t mib = 1024 * 1024;

/// A node with tunnels, an ExApp on a unix socket, and its record on port 23000.
struct fixture {
  temp_dir dir;
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample{"unix:" + (dir / "app.sock")};
  std::unique_ptr<node> node_;

  void begin(bool tls = false, settings environment = {}) {
    node_options options;
    options.nextcloud = nextcloud.url();
    options.tunnel_tls = tls;
    environment.emplace("HP_BLACKLIST_COUNT", "10000");
    options.environment = std::move(environment);
    nextcloud.put("app", sample_record(23000));
    node_ = std::make_unique<node>(std::move(options));
    CAF_REQUIRE(node_->start());
  }
  ~fixture() {
    if (node_)
      CAF_CHECK_EQUAL(node_->error_lines(), std::vector<std::string>{});
  }
  [[nodiscard]] tunnel_settings lawful(bool tls = false) const {
    tunnel_settings out;
    out.to = "unix:" + (dir / "app.sock");
    out.token = node_->key();
    if (tls)
      out.certs = node_->certs() + "/frp";
    return out;
  }
  response through(const std::string& target, const std::string& app = "app",
                   milliseconds limit = 12s) {
    return get(node_->exapps(), "/exapps/" + app + target, {}, limit);
  }
  bool reachable(const std::string& app = "app", milliseconds limit = 15s) {
    return until(limit * patience(), [&] { return through("/public", app, 2s).status == 200; });
  }
  bool unreachable(milliseconds limit = 5s) {
    return until(limit * patience(), [&] { return through("/public").status == 503; });
  }
  /// Down, up and a WebSocket. nfrp-client leaves some connections hanging with every server, frps included, so that
  /// with it each part may be tried again.
  bool round_trip(const tunnel_program& program, uint64_t bytes = 3 * mib) {
    int tries = program.what == tunnel_program::kind::nfrp ? 5 : 1;
    while (tries-- > 0)
      if (round_trip_once(bytes))
        return true;
    return false;
  }
  bool round_trip_once(uint64_t bytes) {
    auto limit = milliseconds{10'000 + bytes / 10'000} * patience();
    auto down
        = download(node_->exapps(), "/exapps/app/bytes?n=" + std::to_string(bytes), {}, limit);
    auto up = upload(node_->exapps(), "/exapps/app/sink", bytes, true, {}, limit);
    ws_client socket{node_->exapps(), "/exapps/app/ws"};
    return down.bytes == bytes && down.pattern_right
           && up.body.find(pattern_sha256(bytes)) != std::string::npos && socket.echoes("hello");
  }
  double sessions() { return node_->metric("harp_tunnel_sessions"); }
};

const std::vector<tunnel_program>& programs() {
  static const auto all = tunnel_programs();
  return all;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(tunnels, fixture)

CAF_TEST(check_01_usual_configuration_with_mutual_tls) {
  begin(true);
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful(true)};
    CAF_CHECK(reachable());
    CAF_CHECK(round_trip(program));
    if (program.what == tunnel_program::kind::frpc)
      CAF_CHECK(client.says("start proxy success"));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_02_marker_byte_and_plain) {
  begin(true);
  for (const auto& program : programs()) {
    if (program.what != tunnel_program::kind::frpc)
      continue; // only frpc has the switch
    auto settings = lawful(true);
    settings.marker_byte = true;
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(reachable());
    client.program().stop();
    CAF_CHECK(unreachable());
  }
  node_.reset();
  begin(false);
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful()};
    CAF_CHECK(reachable());
    CAF_CHECK(round_trip(program, mib));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_03_tls_is_demanded) {
  begin(true);
  temp_dir foreign;
  for (const char* command : {"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=evil "
                              "-keyout client.key -out client.crt",
                              "cp client.crt ca.crt"})
    CAF_REQUIRE_EQUAL(run({"sh", "-c", "cd " + foreign.path() + " && " + command}).status, 0);
  write_file(foreign / "ca.crt", read_file(node_->certs() + "/frp/ca.crt"));
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    auto plain = lawful();
    auto bare = lawful(true);
    bare.send_certificate = false;
    auto wrong = lawful(true);
    wrong.certs = foreign.path();
    for (auto* settings : {&plain, &bare, &wrong}) {
      if (settings == &bare && program.what == tunnel_program::kind::expose)
        continue; // it always sends one
      settings->exit_on_failed_login = true;
      double logins = node_->metric("harp_tunnel_logins_total{result=\"ok\"}");
      tunnel_client client{program, node_->frp(), *settings};
      CAF_CHECK(until(8s, [&] {
        return !client.program().running() || client.log().find("rror") != std::string::npos
               || client.log().find("EOF") != std::string::npos
               || client.log().find("\"warn\"") != std::string::npos || client.log().size() > 400;
      }));
      CAF_CHECK_EQUAL(through("/public").status, 503);
      CAF_CHECK_EQUAL(node_->metric("harp_tunnel_logins_total{result=\"ok\"}"), logins);
    }
  }
  tunnel_client good{programs().back(), node_->frp(), lawful(true)};
  CAF_CHECK(reachable()); // unharmed
}

CAF_TEST(check_04_wrong_tokens_are_told_and_banned) {
  begin(false, {{"HP_BLACKLIST_COUNT", "5"}, {"HP_BLACKLIST_WINDOW", "300"}});
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    for (std::string token : {"wrong", "-"}) {
      if (token == "-" && program.what == tunnel_program::kind::expose)
        continue;
      auto settings = lawful();
      settings.token = token;
      settings.exit_on_failed_login = true;
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(
          until(10s, [&] { return !client.program().running() || client.log().size() > 200; }));
      CAF_CHECK_EQUAL(through("/public").status, 503);
    }
  }
  auto stock = programs().front();
  if (stock.what == tunnel_program::kind::frpc) {
    auto settings = lawful();
    settings.token = "wrong";
    settings.exit_on_failed_login = true;
    bool told = until(30s, [&] {
      tunnel_client client{stock, node_->frp(), settings};
      client.program().wait(5s);
      return client.log().find("banned") != std::string::npos;
    });
    CAF_CHECK(told); // X04
  }
  tunnel_client good{stock, node_->frp(), lawful()};
  CAF_CHECK(until(10s, [&] { return sessions() >= 1; })); // the right key opens all the same
  CAF_CHECK_EQUAL(node_->command({"bans", "lift", "127.0.0.1"}).status, 0); // HTTP shares the list
  CAF_CHECK(reachable());
}

CAF_TEST(check_05_ports_and_names) {
  begin();
  for (const auto& program : foreign_tunnel_programs()) {
    CAF_MESSAGE(program.name);
    for (int port : {22999, 24100, 8780, 1}) {
      auto settings = lawful();
      settings.port = port;
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(client.says("port not allowed"));
      CAF_CHECK(client.program().running()); // the session stays
    }
    nextcloud.put("edge", sample_record(24099));
    for (int port : {23000, 24099}) {
      auto settings = lawful();
      settings.port = port;
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(until(10s, [&] { return node_->metric("harp_tunnel_sessions") == 1; }));
      CAF_CHECK(!until(1s, [&] { return client.log().find("not allowed") != std::string::npos; }));
      client.program().stop();
      CAF_CHECK(until(5s, [&] { return node_->metric("harp_tunnel_sessions") == 0; }));
    }
    auto two = lawful();
    two.second_port = 23001;
    {
      tunnel_client greedy{program, node_->frp(),
                           two}; // which of its two comes first is the client's choice
      CAF_CHECK(greedy.says("exceed the max_ports_per_client"));
      CAF_CHECK(greedy.program().running());
    }
    tunnel_client owner{program, node_->frp(), lawful()};
    CAF_CHECK(reachable());
    auto thief = lawful();
    thief.proxy = "thief"; // the port of a live owner
    tunnel_client second{program, node_->frp(), thief};
    CAF_CHECK(second.says("port already used"));
    auto twin = lawful();
    twin.port = 23005; // the name of a live owner
    tunnel_client third{program, node_->frp(), twin};
    CAF_CHECK(third.says("already exists"));
    CAF_CHECK(reachable()); // undisturbed
  }
}

CAF_TEST(check_06_two_hundred_users_at_once) {
  begin();
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful()};
    CAF_REQUIRE(reachable());
    std::vector<http_client> all;
    for (int i = 0; i < 200; ++i) {
      all.emplace_back(node_->exapps());
      CAF_CHECK(all.back().send(request_text("GET", "/exapps/app/stream?count=2&interval_ms=300")));
    }
    int complete = 0;
    for (auto& one : all)
      complete += one.receive(20s).complete;
    CAF_CHECK(complete >= (program.what == tunnel_program::kind::nfrp ? 160 : 200));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_07_large_bodies_and_a_lively_neighbour) {
  begin(true);
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful(true)};
    CAF_REQUIRE(reachable());
    http_client lazy{node_->exapps()};
    lazy.raw().shrink_receive_buffer(4096);
    CAF_CHECK(lazy.send(request_text("GET", "/exapps/app/bytes?n=" + std::to_string(64 * mib))));
    int answered = 0;
    std::thread beside{[this, &answered] {
      int right = 0;
      for (int i = 0; i < 50; ++i)
        right += through("/public", "app", 2s).status == 200;
      answered = right; // no head-of-line stop
    }};
    CAF_CHECK(round_trip(program, 192 * mib));
    beside.join();
    CAF_CHECK(answered >= (program.what == tunnel_program::kind::nfrp ? 35 : 50));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_08_sudden_ends_free_everything) {
  begin();
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful()};
    CAF_REQUIRE(reachable());
    size_t before = node_->program().descriptors();
    for (int i = 0; i < 30; ++i) {
      http_client user{node_->exapps()};
      user.send(request_text("GET", "/exapps/app/bytes?n=50000000"));
      user.receive_head();
      if (i % 2 == 0)
        user.raw().reset();
      if (program.what == tunnel_program::kind::nfrp)
        continue;
      CAF_CHECK(!through("/cut?n=1000").complete);
      CAF_CHECK_EQUAL(through("/close").status, 502);
    }
    CAF_CHECK(until(10s, [&] { return sample.program().descriptors() < 30; }));
    CAF_CHECK(until(10s, [&] { return node_->program().descriptors() <= before + 8; }));
    CAF_CHECK(reachable());
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_09_an_absent_service_is_an_error_in_bounded_time) {
  begin(false, {{"HP_TIMEOUT_SERVER", "3s"}});
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.to = "unix:" + (dir / "nobody.sock");
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(until(10s, [&] { return sessions() == 1; }));
    CAF_CHECK(until(10s, [&] { return through("/public").status != 503; })
              || through("/public").status == 503);
    auto began = clock::now();
    int status = through("/public").status;
    CAF_CHECK(status == 502 || status == 503 || status == 504);
    CAF_CHECK(clock::now() - began < 12s);
    client.program().stop();
    CAF_CHECK(until(5s, [&] { return sessions() == 0; }));
  }
}

CAF_TEST(check_10_a_killed_client_returns) {
  begin(true);
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful(true)};
    for (int i = 0; i < 5; ++i) {
      CAF_CHECK(reachable("app", 10s));
      client.program().kill();
      client.start();
    }
    CAF_CHECK(reachable());
    // half-open: stopped, it answers no ping; another one with the same name and port must win
    client.program().signal(SIGSTOP);
    tunnel_client heir{program, node_->frp(), lawful(true)};
    CAF_CHECK(reachable("app", 10s));
    heir.program().stop();
  }
}

CAF_TEST(check_11_the_server_restarts) {
  begin(true);
  for (const auto& program : programs()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful(true)};
    CAF_REQUIRE(reachable());
    CAF_REQUIRE(node_->restart());
    CAF_CHECK(reachable("app", 60s));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_13_options_work_or_are_refused_in_words) {
  begin();
  sample_app by_tcp;
  std::vector<std::pair<std::string, std::function<void(tunnel_settings&)>>> variations{
      {"useEncryption", [](auto& s) { s.encryption = true; }},
      {"useCompression", [](auto& s) { s.compression = true; }},
      {"both", [](auto& s) { s.encryption = s.compression = true; }},
      {"no tcpMux", [](auto& s) { s.mux = false; }},
      {"pool 0", [](auto& s) { s.pool = 0; }},
      {"pool 5", [](auto& s) { s.pool = 5; }},
      {"client limit",
       [](auto& s) {
         s.bandwidth_limit = "50MB";
         s.bandwidth_mode = "client";
       }},
      {"server limit",
       [](auto& s) {
         s.bandwidth_limit = "50MB";
         s.bandwidth_mode = "server";
       }},
  };
  for (const auto& program : programs())
    for (const auto& [name, vary] : variations) {
      CAF_MESSAGE(program.name << ": " << name);
      auto settings = lawful();
      vary(settings);
      if (program.what == tunnel_program::kind::nfrp
          && (settings.encryption || settings.compression))
        settings.to = by_tcp.address(); // its unix socket plugin does neither, with frps as well
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(reachable());
      CAF_CHECK(round_trip(program, mib));
      client.program().stop();
      CAF_CHECK(unreachable());
    }
}

CAF_TEST(check_13_a_user_prefix_is_part_of_the_name) {
  begin();
  for (const auto& program : foreign_tunnel_programs()) {
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.user = "x";
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(reachable()); // dispatch is by port, as the record says
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(t03_a_credential_opens_one_tunnel_only) {
  begin();
  std::string credential = harp::tunnel_credentials{node_->key()}.make("app", 23000).value_or("");
  CAF_REQUIRE(!credential.empty());
  for (const auto& program : foreign_tunnel_programs()) {
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.token = credential;
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(reachable());
    auto refused = [&](const std::string& name, int port) {
      auto wrong = settings;
      wrong.proxy = name;
      wrong.port = port;
      tunnel_client thief{program, node_->frp(), wrong};
      bool told = thief.says("not allowed");
      CAF_CHECK(told || thief.says("credential", 1s));
    };
    refused("app", 23001);
    refused("other", 23000);
    refused("other", 23001);
    refused("engine", 24001);
    auto greedy = settings;
    greedy.second_port = 23001;
    client.program().stop();
    CAF_CHECK(unreachable());
    tunnel_client two{program, node_->frp(), greedy};
    CAF_CHECK(reachable());
    CAF_CHECK(two.says("not allowed") || two.says("max_ports", 1s) || two.says("credential", 1s));
  }
  // it opens no control plane
  CAF_CHECK_EQUAL(
      get(node_->exapps(), "/exapps/app_api/info", {{"harp-shared-key", credential}}).status, 401);
}

CAF_TEST(tunnels_open_no_port) {
  begin();
  tunnel_client client{programs().back(), node_->frp(), lawful()};
  CAF_REQUIRE(reachable());
  CAF_CHECK(!channel::connect("127.0.0.1:23000").open());
}

CAF_TEST_FIXTURE_SCOPE_END()
