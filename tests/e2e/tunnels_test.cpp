// The acceptance checks of frp.md 11 about bytes and lives, with every tunnel client there is, and with harp expose.
#define CAF_SUITE e2e_tunnels
#include "tests/e2e/tunnel_site.hpp"

#include <thread>

using namespace harp::e2e;

CAF_TEST_FIXTURE_SCOPE(tunnels, tunnel_fixture)

CAF_TEST(check_01_usual_configuration_with_mutual_tls) {
  begin(true);
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful()};
    CAF_CHECK(reachable());
    CAF_CHECK(round_trip(program, mib));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(check_06_two_hundred_users_at_once) {
  begin();
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
    CAF_MESSAGE(program.name);
    auto settings = lawful();
    settings.to = "unix:" + (dir / "nobody.sock");
    tunnel_client client{program, node_->frp(), settings};
    CAF_CHECK(until(10s, [&] { return sessions() == 1; }));
    auto ask = [&] {
      int status = through("/public").status;
      return status == 502 || status == 504;
    };
    CAF_CHECK(until(20s, ask)); // 503 until it is registered
    auto began = clock::now();
    CAF_CHECK(ask());
    CAF_CHECK(clock::now() - began < 12s);
    if (clock::now() - began
        < 500ms) { // frpc before 0.68 never answers: each try takes the whole limit
      size_t before = node_->program().resident_bytes();
      for (int i = 0; i < 300; ++i)
        ask();
      CAF_CHECK(node_->program().resident_bytes() < before + 4 * mib);
    }
    client.program().stop();
    CAF_CHECK(until(5s, [&] { return sessions() == 0; }));
  }
}

CAF_TEST(check_10_a_killed_client_returns) {
  begin(true);
  for (const auto& program : every_tunnel_program()) {
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
  for (const auto& program : every_tunnel_program()) {
    CAF_MESSAGE(program.name);
    tunnel_client client{program, node_->frp(), lawful(true)};
    CAF_REQUIRE(reachable());
    CAF_REQUIRE(node_->restart());
    CAF_CHECK(reachable("app", 60s));
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST(tunnels_open_no_port) {
  begin();
  tunnel_client client{every_tunnel_program().back(), node_->frp(), lawful()};
  CAF_REQUIRE(reachable());
  CAF_CHECK(!channel::connect("127.0.0.1:" + std::to_string(port)).open());
}

CAF_TEST_FIXTURE_SCOPE_END()
