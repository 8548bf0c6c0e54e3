// The acceptance checks of frp.md 11 about who may do what, with every tunnel client there is: X03 to X05, T03.
#define CAF_SUITE e2e_tunnel_rules
#include "actors/tunnel_credential.hpp"
#include "tests/e2e/tunnel_site.hpp"

#include <caf/test/unit_test.hpp>

#include <functional>

using namespace harp::e2e;

namespace {

struct fixture : tunnel_site {
  void begin(bool tls = false, settings environment = {}) {
    CAF_REQUIRE(begin_node(tls, std::move(environment)));
  }
  ~fixture() {
    if (node_)
      CAF_CHECK_EQUAL(node_->error_lines(), std::vector<std::string>{});
  }
};

const std::vector<tunnel_program>& programs() {
  static const auto all = tunnel_programs();
  return all;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(tunnel_rules, fixture)

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
    for (int wrong : {22999, 24100, 8780, 1}) {
      auto settings = lawful();
      settings.port = wrong;
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(client.says("port not allowed"));
      CAF_CHECK(client.program().running()); // the session stays
    }
    nextcloud.put("edge", sample_record(24099));
    for (int edge : {23000, 24099}) {
      auto settings = lawful();
      settings.port = edge;
      tunnel_client client{program, node_->frp(), settings};
      CAF_CHECK(until(10s, [&] { return node_->metric("harp_tunnel_sessions") == 1; }));
      CAF_CHECK(!until(1s, [&] { return client.log().find("not allowed") != std::string::npos; }));
      client.program().stop();
      CAF_CHECK(until(5s, [&] { return node_->metric("harp_tunnel_sessions") == 0; }));
    }
    auto two = lawful();
    two.second_port = port + 1;
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
    twin.port = port + 2; // the name of a live owner
    tunnel_client third{program, node_->frp(), twin};
    CAF_CHECK(third.says("already exists"));
    CAF_CHECK(reachable()); // undisturbed
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

CAF_TEST(check_14_wire_v2_works_or_fails_in_words) {
  begin();
  for (const auto& program : foreign_tunnel_programs()) {
    size_t dot = program.name.rfind("0.");
    if (program.what != tunnel_program::kind::frpc || dot == std::string::npos
        || std::stoi(program.name.substr(dot + 2)) < 69)
      continue;
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.wire = "v2";
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(reachable("app", 3s) || client.says("error", 5s));
    client.program().stop();
    tunnel_client v1{program, node_->frp(), lawful()};
    CAF_CHECK(reachable());
  }
}

CAF_TEST(t03_a_credential_opens_one_tunnel_only) {
  begin();
  std::string credential = harp::tunnel_credentials{node_->key()}
                               .make("app", static_cast<uint16_t>(port))
                               .value_or("");
  CAF_REQUIRE(!credential.empty());
  for (const auto& program : foreign_tunnel_programs()) {
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.token = credential;
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(reachable());
    auto refused = [&](const std::string& name, int asked) {
      auto wrong = settings;
      wrong.proxy = name;
      wrong.port = asked;
      tunnel_client thief{program, node_->frp(), wrong};
      bool told = thief.says("not allowed");
      CAF_CHECK(told || thief.says("credential", 1s));
    };
    refused("app", port + 1);
    refused("other", port);
    refused("other", port + 1);
    refused("engine", 24001);
    auto greedy = settings;
    greedy.second_port = port + 1;
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

CAF_TEST_FIXTURE_SCOPE_END()
