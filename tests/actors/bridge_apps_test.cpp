// ExApps across nodes: who announces what, whom a stream is believed, what never crosses.
#define CAF_SUITE bridge_apps
#include "actors/bridge_apps.hpp"
#include "actors/path_check.hpp"
#include "tests/actors/decision_request.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

signing_key key(char fill) {
  return signing_key::from_seed(std::string(32, fill));
}

/// One node of a cluster without actors or listeners: what is attached and announced is written down by the test.
struct cluster_of_three {
  net::runtime loops{1};
  net::tunnel_table tunnels;
  net::metrics numbers;
  std::shared_ptr<hot_answers> answers = std::make_shared<hot_answers>();
  bridge seam{loops, tunnels, numbers, answers};
  std::shared_ptr<storage_plane> plane = std::make_shared<storage_plane>();
  std::shared_ptr<hot_nodes> nodes = std::make_shared<hot_nodes>();
  signing_key governor = key('g'), self = key('s'), other = key('o');
  space_id cluster;
  bridge_apps apps{seam};
  test::request sample{"/exapps/talk/x"};

  /// Announces only when it has a front to serve with.
  struct no_gate final : net::http_gate {
    bool decide_now(const net::request_head&, const net::connection_facts&,
                    net::verdict& out) override {
      ++asked;
      out.status = 200;
      return true;
    }
    int asked = 0;
  } gate;
  net::http_front front{loops, gate, tunnels, numbers, {}};
  std::unique_ptr<bridge_links> links;

  explicit cluster_of_three(member_role own) {
    cluster.bytes.fill(7);
    auto list = std::make_shared<roster>(cluster, governor.public_key());
    auto add = [&](const signing_key& who, member_role role, replica_id rid) {
      roster_add_device change;
      change.rid = rid;
      change.device = who.public_key();
      change.role = role;
      change.name = "n";
      auto made = list->append_change(change, 1, governor);
      CAF_REQUIRE(std::holds_alternative<sealed_entry>(made));
    };
    add(governor, member_role::admin, 1);
    add(self, own, 2);
    add(other, member_role::keeper, 3);
    hot_rosters::table table;
    table[cluster] = list;
    plane->rosters->publish(std::make_shared<const hot_rosters::table>(std::move(table)));
    plane->self = self.public_key();
    links = std::make_unique<bridge_links>(seam, plane, cluster);
    apps.serve_with(front);
    apps.enter({links.get(), plane, nodes, cluster});
  }
  ~cluster_of_three() {
    front.clear_pools();
    loops.drop_handlers();
  }

  void record(const std::string& app_id, const std::string& host, uint16_t port,
              bool closed = false, bool reached = false) {
    auto table = *answers->records.read();
    auto of = std::make_shared<exapp_record>();
    of->app_id = app_id;
    of->host = host;
    of->port = port;
    auto direct = std::make_shared<net::upstream>();
    direct->host = host;
    direct->port = port;
    direct->reached = std::make_shared<std::atomic<bool>>(reached);
    table[app_id] = known_app{of, direct, closed};
    answers->records.write(std::move(table));
  }
  void tunnel(uint16_t port) {
    auto table = *answers->tunnels.read();
    auto to = std::make_shared<net::upstream>();
    to->where = net::upstream::kind::tunnel;
    table[port] = to;
    answers->tunnels.write(std::move(table));
  }
  void announced(std::vector<hot_nodes::entry> entries) {
    nodes->publish(std::make_shared<const std::vector<hot_nodes::entry>>(std::move(entries)));
  }
  std::string attached() {
    std::string out;
    for (const auto& app : apps.attached())
      out += app.id + ":" + std::to_string(app.port) + " ";
    return out;
  }
};

net::node_origin origin(const std::string& app_id, int refusal = 0) {
  return {app_id, true, refusal};
}

} // namespace

CAF_TEST(a_keeper_announces_live_tunnels_and_addresses_that_it_reached) {
  cluster_of_three t{member_role::keeper};
  CAF_CHECK_EQUAL(t.attached(), "");
  t.record("talk", "127.0.0.1", 23001);
  t.record("asleep", "127.0.0.1", 23002);
  t.record("closed", "127.0.0.1", 23003, true);
  t.record("direct", "10.0.0.9", 9000, false, true);
  t.record("never", "10.0.0.9", 9001);
  t.record("engine", "127.0.0.1", 24001, false, true);
  t.record("app_api", "127.0.0.1", 23004);
  t.record("elsewhere", "10.0.0.9", 23001); // the number of a tunnel's port, on another machine
  for (uint16_t port : {23001, 23003, 23004, 24001})
    t.tunnel(port);
  CAF_CHECK_EQUAL(t.attached(), "direct:9000 talk:23001 ");
}

CAF_TEST(who_is_no_keeper_announces_nothing) {
  cluster_of_three t{member_role::writer};
  t.record("talk", "127.0.0.1", 23001);
  t.tunnel(23001);
  CAF_CHECK_EQUAL(t.attached(), "");
}

CAF_TEST(apps_of_others_are_found_by_id_in_any_case) {
  cluster_of_three t{member_role::writer};
  CAF_CHECK(t.apps.find("talk") == nullptr);
  t.announced({{t.other.public_key(), {{"talk", 23001}}, false}});
  auto way = t.apps.find("TALK");
  CAF_REQUIRE(way != nullptr);
  CAF_CHECK(way->where == net::upstream::kind::node);
  CAF_CHECK_EQUAL(way->host, "talk");
  CAF_CHECK(t.apps.find("talk") == way); // made once per announcement
  CAF_CHECK(t.apps.find("talk", true) == nullptr);
  CAF_CHECK(t.apps.find("other") == nullptr);
  t.announced({{t.other.public_key(), {{"talk", 23001}}, true}});
  CAF_CHECK(t.apps.find("talk", true) != nullptr);
  t.announced({});
  CAF_CHECK(t.apps.find("talk") == nullptr);
}

CAF_TEST(an_entry_node_forwards_what_is_announced_and_answers_404_for_all_else) {
  cluster_of_three t{member_role::writer};
  t.announced({{t.other.public_key(), {{"talk", 23001}, {"app_api", 23002}}, true}});
  entry_gate gate{t.apps, {*ip_network::parse("192.0.2.0/24")}};
  net::connection_facts from;
  from.peer = *ip_address::parse("192.0.2.1");
  auto decide = [&](const test::request& of) {
    net::verdict out;
    CAF_CHECK(gate.decide_now(of.head, from, out));
    return out;
  };
  auto out = decide(test::request{"/exapps/Talk/a%2fb?q=1",
                                  {"x-forwarded-for: 198.51.100.1, 203.0.113.5", "cookie: c=1"}});
  CAF_CHECK(out.what == net::verdict::action::forward);
  CAF_CHECK_EQUAL(out.target, "/exapps/Talk/a%2fb?q=1");
  CAF_CHECK_EQUAL(out.client.to_string(), "203.0.113.5");
  CAF_CHECK_EQUAL(out.set_fields, "x-forwarded-for: 203.0.113.5\r\n");
  // that node judges, and counts, a bad path of its app
  CAF_CHECK(decide(test::request{"/exapps/talk/../x"}).what == net::verdict::action::forward);
  for (const char* target : {"/exapps/app_api/heartbeat", "/exapps/APP_API/heartbeat",
                             "/exapps/unknown/x", "/", "/exapps/", "/exapps"}) {
    auto refused = decide(test::request{target, {"harp-shared-key: key canary!"}});
    CAF_CHECK(refused.what == net::verdict::action::respond);
    CAF_CHECK_EQUAL(refused.status, 404);
  }
  CAF_CHECK(decide(test::request{"/x/../y"}).what == net::verdict::action::drop);
}

CAF_TEST(a_stream_serves_its_own_app_and_no_control_call_and_no_engine) {
  auto refused = [](std::string_view target, const test::lines& fields = {},
                    const net::node_origin& of = origin("talk")) {
    return refusal_on_stream(test::request{target, fields}.head, of);
  };
  CAF_CHECK_EQUAL(refused("/exapps/talk/x"), 0);
  CAF_CHECK_EQUAL(refused("/exapps/TALK"), 0);
  CAF_CHECK_EQUAL(refused("/exapps/other/x"), 404);
  CAF_CHECK_EQUAL(refused("/exapps/app_api/heartbeat"), 404);
  CAF_CHECK_EQUAL(refused("/exapps/App_Api/heartbeat"), 404);
  CAF_CHECK_EQUAL(refused("/exapps/app_api/exapp_storage/talk", {"harp-shared-key: key canary!"}),
                  404);
  CAF_CHECK_EQUAL(refused("/exapps/talk/x", {"docker-engine-port: 24000"}), 404);
  CAF_CHECK_EQUAL(refused("/exapps/talk/x", {}, origin("talk", 503)), 503);
  CAF_CHECK_EQUAL(refused("/no/app"), 0); // judged and counted like any client's
}

CAF_TEST(what_is_refused_on_a_stream_is_not_even_asked_about) {
  cluster_of_three t{member_role::keeper};
  stream_gate gate{t.gate};
  net::connection_facts from;
  from.origin = std::make_shared<const net::node_origin>(origin("talk"));
  net::verdict out;
  CAF_CHECK(gate.decide_now(
      test::request{"/exapps/app_api/info", {"harp-shared-key: key canary!"}}.head, from, out));
  CAF_CHECK_EQUAL(out.status, 404);
  CAF_CHECK_EQUAL(t.gate.asked, 0);
  CAF_CHECK(gate.decide_now(test::request{"/exapps/talk/x"}.head, from, out));
  CAF_CHECK_EQUAL(t.gate.asked, 1);
}

CAF_TEST(a_ban_of_a_node_names_that_node_alone) {
  auto one = address_of_node(key('a').public_key());
  auto two = address_of_node(key('b').public_key());
  CAF_CHECK(one == address_of_node(key('a').public_key()));
  CAF_CHECK(one.ban_key() != two.ban_key());
  CAF_CHECK(one.in_prefix(*ip_address::parse("fc00::"), 8));
  CAF_CHECK(!one.is_loopback());
}
