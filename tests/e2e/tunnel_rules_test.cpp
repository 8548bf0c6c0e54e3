// The acceptance checks of frp.md 11 about who may do what, with every tunnel client there is: X04, X05, T03.
#define CAF_SUITE e2e_tunnel_rules
#include "actors/tunnel_credential.hpp"
#include "tests/e2e/tunnel_site.hpp"

#include <arpa/inet.h>
#include <functional>
#include <mutex>
#include <sys/socket.h>

using namespace harp::e2e;

CAF_TEST_FIXTURE_SCOPE(tunnel_rules, tunnel_fixture)

CAF_TEST(check_04_wrong_tokens_are_told_and_banned) {
  begin(false, {{"HP_BLACKLIST_COUNT", "5"}, {"HP_BLACKLIST_WINDOW", "300"}});
  for (const auto& program : every_tunnel_program()) {
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
  auto stock = every_tunnel_program().front();
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
  for (const auto& program : every_tunnel_program())
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

CAF_TEST(check_13_the_service_is_told_who_connects) {
  begin();
  std::mutex guard;
  std::string heard_first;
  connection_server service{[&](channel& client) {
    std::string bytes;
    while (bytes.find("\r\n\r\n") == std::string::npos && client.receive(bytes, 5s) == heard::data)
      ;
    client.send(response_text(200, "here", "text/plain", "Connection: close\r\n"));
    std::lock_guard lock{guard};
    heard_first = bytes.substr(0, bytes.find("GET "));
  }};
  for (const auto& program : foreign_tunnel_programs()) {
    if (program.what != tunnel_program::kind::frpc)
      continue; // only frpc has the switch
    for (std::string version : {"v1", "v2"}) {
      CAF_MESSAGE(program.name << ": " << version);
      auto settings = lawful();
      settings.to = service.address();
      settings.proxy_protocol = version;
      tunnel_client client{program, node_->frp(), settings};
      CAF_REQUIRE(reachable());
      http_client user{node_->exapps(), "127.1.2.3"};
      CAF_CHECK_EQUAL(user.ask("GET", "/exapps/app/public").body, "here");
      sockaddr_in own{};
      socklen_t size = sizeof own;
      CAF_REQUIRE_EQUAL(
          ::getsockname(user.raw().descriptor(), reinterpret_cast<sockaddr*>(&own), &size), 0);
      std::lock_guard lock{guard};
      if (version == "v1") {
        CAF_CHECK(heard_first.starts_with("PROXY TCP4 127.1.2.3 "));
        CAF_CHECK(heard_first.find(" " + std::to_string(ntohs(own.sin_port)) + " "
                                   + std::to_string(port) + "\r\n")
                  != std::string::npos);
      } else { // signature, PROXY over TCP4, 12 bytes: addresses, then ports (frp.md 5)
        char ports[9];
        std::snprintf(ports, sizeof ports, "%04x%04x", ntohs(own.sin_port),
                      static_cast<unsigned>(port));
        CAF_CHECK(hex(heard_first).starts_with("0d0a0d0a000d0a515549540a2111000c7f010203"));
        CAF_CHECK(hex(heard_first).ends_with(ports));
      }
      client.program().stop();
      CAF_CHECK(unreachable());
    }
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
