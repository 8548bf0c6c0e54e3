// Tunnels over paths that go dead, and who is refused when many clients come from many addresses: T01, T02.
#define CAF_SUITE e2e_tunnel_paths
#include "tests/e2e/confined.hpp"
#include "tests/e2e/cut_path.hpp"
#include "tests/e2e/tunnel_site.hpp"

#include <algorithm>

using namespace harp::e2e;

namespace {

constexpr int failures_max = 20;

struct fixture : tunnel_fixture {
  /// Wrong logins from `address` until the ban is `listed`.
  bool offend(const std::string& address, const std::string& listed) {
    cut_path path{node_->frp(), address};
    auto wrong = lawful();
    wrong.token = "wrong";
    std::vector<std::unique_ptr<tunnel_client>> many; // each waits between its tries
    for (int i = 0; i < failures_max; ++i)
      many.push_back(std::make_unique<tunnel_client>(ours(), path.address(), wrong));
    return until(30s * patience(), [&] { return banned(listed); });
  }
  /// A right login from `address` serves the app.
  bool served_from(const std::string& address) {
    cut_path path{node_->frp(), address};
    tunnel_client good{ours(), path.address(), lawful()};
    bool came = reachable();
    good.program().stop();
    return came && unreachable();
  }
  /// Every request is judged; a banned address gets not even an answer.
  bool answered(const std::string& from, const header_list& headers = {}) {
    http_client client{node_->exapps(), from};
    return client.open() && client.ask("GET", "/exapps/app/public", headers).status > 0;
  }
  bool banned(const std::string& address) {
    return node_->command({"bans", "ls", "--json"}).output.find("\"" + address)
           != std::string::npos;
  }
  bool lift(const std::string& address) {
    return node_->command({"bans", "lift", address}).status == 0;
  }
  static const tunnel_program& ours() { return every_tunnel_program().back(); }
};

/// Entered before anything listens. These tests come last: from then on this process lives in its own network.
struct own_network {
  bool entered = enter_own_network(
      {"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1", "2001:db8:2:2::1"},
      "T02 over IPv6");
};
struct ipv6_fixture : own_network, fixture {};

} // namespace

CAF_TEST_FIXTURE_SCOPE(tunnel_paths, fixture)

CAF_TEST(t01_a_client_whose_path_died_is_back_at_once) {
  begin();
  for (const auto& program : every_tunnel_program())
    for (bool mux : {true, false}) {
      if (!mux && program.what == tunnel_program::kind::nfrp)
        continue; // it forgets its run id: without a mux ping only 35 s of silence show that it is dead
      CAF_MESSAGE(program.name << (mux ? ", mux" : ", no mux"));
      cut_path path{node_->frp()};
      auto settings = lawful();
      settings.mux = mux;
      const size_t before = node_->program().descriptors();
      tunnel_client client{program, path.address(), settings};
      CAF_REQUIRE(reachable());
      size_t descriptors = 0;
      for (int i = 0; i < 3; ++i) {
        const size_t dead = path.dead();
        path.cut();
        CAF_CHECK(until(5s, [&] { return path.dead() > dead; }));
        auto began = clock::now();
        CAF_CHECK(reachable("app", 10s));
        CAF_MESSAGE("back after " << std::chrono::duration<double>(clock::now() - began).count()
                                  << " s");
        if (i == 0)
          descriptors = node_->program().descriptors();
      }
      CAF_CHECK(until(5s, [&] { return sessions() == 1; })); // the dead ones, though nobody said so
      CAF_CHECK(until(15s * patience(),
                      [&] { return node_->program().descriptors() <= descriptors + 4; }));
      client.program().stop();
      CAF_CHECK(unreachable());
      CAF_CHECK(
          until(15s * patience(), [&] { return node_->program().descriptors() <= before + 4; }));
    }
}

CAF_TEST(t02_neighbours_of_an_offender_go_on) {
  begin(false, {{"HP_BLACKLIST_COUNT", std::to_string(failures_max)}});
  CAF_REQUIRE(offend("127.1.2.3", "127.1.2.3"));
  CAF_CHECK(!answered("127.1.2.3"));
  for (std::string neighbour : {"127.1.2.4", "127.1.9.9"}) { // the same /24 and /16
    CAF_CHECK(!banned(neighbour));
    CAF_CHECK(answered(neighbour));
    CAF_CHECK(served_from(neighbour));
  }
  CAF_CHECK(lift("127.1.2.3"));
  CAF_CHECK(answered("127.1.2.3"));
}

CAF_TEST(t02_a_trusted_proxy_is_never_banned) {
  begin(false, {{"HP_BLACKLIST_COUNT", std::to_string(failures_max)},
                {"HP_TRUSTED_PROXY_IPS", "127.1.0.5"}});
  cut_path proxy{node_->frp(), "127.1.0.5"};
  auto wrong = lawful();
  wrong.token = "wrong";
  std::vector<std::unique_ptr<tunnel_client>> offenders;
  for (int i = 0; i < failures_max + 5; ++i)
    offenders.push_back(std::make_unique<tunnel_client>(ours(), proxy.address(), wrong));
  auto refused = [&] { return node_->metric("harp_tunnel_logins_total{result=\"refused\"}"); };
  CAF_CHECK(until(30s * patience(), [&] { return refused() >= failures_max + 5; }));
  tunnel_client good{ours(), proxy.address(), lawful()};
  CAF_CHECK(reachable());
  CAF_CHECK(!banned("127.1.0.5"));
  CAF_CHECK(answered("127.1.0.5", {{"X-Forwarded-For", "198.51.100.8"}}));
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST_FIXTURE_SCOPE(tunnel_paths_ipv6, ipv6_fixture)

CAF_TEST(t02_ipv6_is_refused_by_its_64) {
  if (!entered)
    return;
  begin(false, {{"HP_BLACKLIST_COUNT", std::to_string(failures_max)},
                {"HP_EXAPPS_ADDRESS", "[::]:0"},
                {"HP_FRP_ADDRESS", "[::]:0"}});
  CAF_REQUIRE(offend("2001:db8:1:2::1", "2001:db8:1:2::/64"));
  CAF_CHECK(!answered("2001:db8:1:2::1"));
  CAF_CHECK(!answered("2001:db8:1:2::2")); // whoever has a /64 has all of it
  for (std::string neighbour : {"2001:db8:1:3::1", "2001:db8:2:2::1", "::1"}) {
    CAF_MESSAGE(neighbour);
    CAF_CHECK(answered(neighbour));
    CAF_CHECK(served_from(neighbour));
  }
  CAF_CHECK(served_from("2001:db8:1:2::2")); // the right key opens all the same
  CAF_CHECK(lift("2001:db8:1:2::1"));
  CAF_CHECK(answered("2001:db8:1:2::2"));
}

CAF_TEST_FIXTURE_SCOPE_END()
