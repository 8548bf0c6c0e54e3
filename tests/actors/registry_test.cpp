#define CAF_SUITE registry
#include "actors/registry.hpp"

#include "tests/actors/actor_world.hpp"

using namespace harp;
using namespace std::chrono_literals;

namespace {

constexpr const char* talk_json
  = R"({"exapp_token":"t","exapp_version":"1.0.0","host":"127.0.0.1","port":23001,"routes":[{"url":"^/x","access_level":0}]})";

struct world : testing::actor_world {
  registry_actor tested;
  std::function<engines_actor()> cluster; // the Kubernetes backend, or empty

  world() { begin(true); }
  ~world() { end(); }
  void begin(bool legacy) {
    registry_settings settings;
    settings.shared_key = "key";
    settings.nextcloud_url = "http://nextcloud.test";
    settings.legacy_key_ports = legacy;
    settings.local_engine = true;
    settings.engines = cluster;
    tested = sys.spawn(registry, std::make_shared<const registry_settings>(settings), answers, &port);
    drain();
  }
  void end() {
    port.calls.clear();
    port.probes.clear();
    caf::anon_send_exit(tested, caf::exit_reason::kill);
    drain();
  }

  auto ask_record(const std::string& app) {
    auto pending = self->request(tested, caf::infinite, record_atom_v, app);
    drain();
    return pending;
  }
  template <class Pending>
  std::string outcome(Pending&& pending) {
    drain();
    std::string result;
    pending.receive([&](const record_answer& got) { result = got.record ? got.record->version : "absent"; },
                    [&](caf::error&) { result = "unavailable"; });
    return result;
  }
  bool push(const std::string& app, const char* json = talk_json) {
    auto parsed = parse_exapp_record(app, json);
    record_answer pushed{std::make_shared<const exapp_record>(std::get<exapp_record>(std::move(parsed)))};
    auto pending = self->request(tested, caf::infinite, caf::put_atom_v, pushed);
    drain();
    bool kept = false;
    pending.receive([&](bool yes) { kept = yes; }, [](caf::error&) {});
    return kept;
  }
  bool withdraw(const std::string& app) {
    auto pending = self->request(tested, caf::infinite, caf::delete_atom_v, app);
    drain();
    bool was_there = false;
    pending.receive([&](bool yes) { was_there = yes; }, [](caf::error&) {});
    return was_there;
  }
  std::string open(uint64_t session, const std::string& run_id = {}, std::optional<tunnel_grant> credential = {}) {
    auto login = std::make_shared<net::frp_login>();
    login->session = session;
    login->run_id = run_id;
    auto pending = self->request(tested, caf::infinite, open_atom_v, session_opening{login, {std::move(credential)}});
    drain();
    std::string got;
    pending.receive([&](const std::string& id) { got = id; }, [](caf::error&) {});
    return got;
  }
  auto ask_claim(uint64_t session, const std::string& name, uint16_t remote_port) {
    auto proxy = std::make_shared<net::frp_proxy>();
    proxy->name = name;
    proxy->remote_port = remote_port;
    auto pending = self->request(tested, caf::infinite, claim_atom_v, claim_question{session, proxy});
    drain();
    return pending;
  }
  template <class Pending>
  claim_result result(Pending&& pending) {
    drain();
    claim_result got;
    pending.receive([&](const claim_result& value) { got = value; }, [&](caf::error&) { got.error = "actor error"; });
    return got;
  }
  claim_result claim(uint64_t session, const std::string& name, uint16_t remote_port) {
    return result(ask_claim(session, name, remote_port));
  }
  void run(uint64_t session, const std::string& name) {
    caf::anon_send(tested, running_atom_v, session, name);
    drain();
  }
  uint64_t served_by(uint16_t on) {
    auto table = answers->tunnels.read();
    auto found = table->find(on);
    return found == table->end() ? 0 : found->second->tunnel;
  }
};

/// A registry beside a Kubernetes backend that answers as told.
struct cluster_world : world {
  exapp_answer said = answer_of(200);
  std::vector<std::string> asked_for;
  engines_actor backend;

  static exapp_answer answer_of(int status, std::optional<app_place> place = {}) {
    exapp_answer out{status, {}, {}};
    out.place = std::move(place);
    return out;
  }
  cluster_world() {
    end();
    backend = sys.spawn([this](engines_actor::pointer) -> engines_actor::behavior_type {
      return {
        [this](carry_atom, const engine_order& order) -> caf::result<engine_verdict> {
          asked_for.push_back(order.call->name);
          return engine_verdict{std::make_shared<const exapp_answer>(said)};
        },
        [](const engine_told&) {},
        [](pause_atom, uint64_t) {},
        [](limit_atom, uint64_t) {},
      };
    });
    cluster = [this] { return backend; };
    begin(true);
  }
  std::string place_of(const std::string& app) {
    auto table = answers->records.read();
    auto known = table->find(app);
    if (known == table->end())
      return "unknown";
    return known->second.direct->host + ":" + std::to_string(known->second.direct->port);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(registry_in_kubernetes_tests, cluster_world)

CAF_TEST(x37_every_fresh_record_takes_the_place_that_the_cluster_names) {
  said = answer_of(200, app_place{"10.96.0.7", 80});
  auto asked = ask_record("talk");
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(asked), "1.0.0");
  CAF_CHECK_EQUAL(place_of("talk"), "10.96.0.7:80");
  CAF_CHECK(withdraw("talk"));
  said = answer_of(200, app_place{"10.96.0.8", 81});
  CAF_CHECK(push("talk"));
  CAF_CHECK_EQUAL(place_of("talk"), "10.96.0.8:81");
  CAF_CHECK_EQUAL(asked_for, (std::vector<std::string>{"talk", "talk"}));
}

CAF_TEST(an_app_that_is_not_exposed_is_where_nextcloud_says) {
  CAF_CHECK(push("talk"));
  CAF_CHECK_EQUAL(place_of("talk"), "127.0.0.1:23001");
}

CAF_TEST(a_cluster_that_cannot_be_asked_keeps_nothing) {
  said = answer_of(503);
  auto asked = ask_record("talk");
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(asked), "unavailable");
  CAF_CHECK(!push("talk"));
  CAF_CHECK_EQUAL(place_of("talk"), "unknown");
  backend = nullptr; // Harp starts or stops
  CAF_CHECK(!push("talk"));
}

CAF_TEST(renewing_asks_nextcloud_whatever_is_known) {
  said = answer_of(200, app_place{"10.96.0.7", 80});
  CAF_CHECK(push("talk"));
  said = answer_of(200, app_place{"10.96.0.9", 80});
  auto renewed = self->request(tested, caf::infinite, renew_atom_v, std::string{"talk"});
  drain();
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(renewed), "1.0.0");
  CAF_CHECK_EQUAL(place_of("talk"), "10.96.0.9:80");
  auto gone = self->request(tested, caf::infinite, renew_atom_v, std::string{"talk"});
  drain();
  port.answer(404, "");
  CAF_CHECK_EQUAL(outcome(gone), "absent");
}

CAF_TEST(an_older_question_never_replaces_a_newer_answer) {
  said = answer_of(200, app_place{"10.96.0.7", 80});
  auto older = ask_record("talk");
  CAF_CHECK(push("talk"));
  said = answer_of(200, app_place{"10.96.0.1", 80});
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(older), "1.0.0");
  CAF_CHECK_EQUAL(place_of("talk"), "10.96.0.7:80");
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST_FIXTURE_SCOPE(registry_tests, world)

CAF_TEST(asks_nextcloud_once_for_many_requests) {
  auto first = ask_record("talk");
  auto second = ask_record("talk");
  CAF_REQUIRE_EQUAL(port.calls.size(), 1u);
  CAF_CHECK_EQUAL(port.calls[0].request->url.target, "/index.php/apps/app_api/harp/exapp-meta?appId=talk");
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(first), "1.0.0");
  CAF_CHECK_EQUAL(outcome(second), "1.0.0");
  CAF_CHECK(answers->records.read()->contains("talk"));
  CAF_CHECK_EQUAL(answers->records.read()->at("talk").direct->port, 23001u);
}

CAF_TEST(absent_apps_are_asked_for_again_after_15_s) {
  auto first = ask_record("nope");
  port.answer(404, "{}");
  CAF_CHECK_EQUAL(outcome(first), "absent");
  CAF_CHECK_EQUAL(outcome(ask_record("nope")), "absent");
  CAF_CHECK(port.calls.empty());
  pass(16s);
  ask_record("nope");
  CAF_CHECK_EQUAL(port.calls.size(), 1u);
}

CAF_TEST(trouble_is_not_kept) {
  for (auto [status, body] : {std::pair{500, ""}, {0, ""}, {200, "<html>"}, {200, "{}"}}) {
    auto pending = ask_record("talk");
    port.answer(status, body, "down");
    CAF_CHECK_EQUAL(outcome(pending), "unavailable");
  }
  CAF_CHECK(answers->records.read()->empty());
  ask_record("talk");
  CAF_CHECK_EQUAL(port.calls.size(), 1u);
}

CAF_TEST(a_withdrawn_app_stays_closed_until_the_next_push) {
  CAF_CHECK(push("talk"));
  CAF_CHECK(withdraw("talk"));
  CAF_CHECK(!withdraw("talk"));
  CAF_CHECK(answers->records.read()->at("talk").closed);
  CAF_CHECK(!answers->records.read()->at("talk").record);
  auto pending = ask_record("talk"); // a signed request wants it
  port.answer(200, talk_json);
  CAF_CHECK_EQUAL(outcome(pending), "1.0.0");
  CAF_CHECK(answers->records.read()->at("talk").closed);
  CAF_CHECK(push("talk"));
  CAF_CHECK(!answers->records.read()->at("talk").closed);
}

CAF_TEST(revalidates_old_records_and_drops_unknown_ones) {
  push("talk");
  pass(299s);
  CAF_CHECK(port.calls.empty());
  pass(3s);
  CAF_REQUIRE_EQUAL(port.calls.size(), 1u);
  port.answer(0, "", "down");
  drain();
  CAF_CHECK(answers->records.read()->contains("talk")); // a silent Nextcloud closes nothing
  pass(302s);
  CAF_REQUIRE_EQUAL(port.calls.size(), 1u);
  port.answer(404, "");
  drain();
  CAF_CHECK(!answers->records.read()->contains("talk"));
}

CAF_TEST(asks_for_everything_again_once_contact_is_back) {
  push("talk");
  push("other");
  auto lost = ask_record("third");
  port.answer(0, "", "down");
  outcome(lost);
  auto back = ask_record("third");
  port.answer(404, "");
  outcome(back);
  pass(2s);
  CAF_CHECK_EQUAL(port.calls.size(), 2u);
}

CAF_TEST(serves_a_port_once_the_client_knows) {
  CAF_CHECK_EQUAL(open(1).size(), 16u);
  CAF_CHECK_EQUAL(claim(1, "talk", 23001).error, "");
  CAF_CHECK_EQUAL(served_by(23001), 0u);
  run(1, "talk");
  CAF_CHECK_EQUAL(served_by(23001), 1u);
  caf::anon_send(tested, release_atom_v, uint64_t{1}, std::string{"talk"});
  drain();
  CAF_CHECK_EQUAL(served_by(23001), 0u);
}

CAF_TEST(the_newest_login_of_a_run_id_wins_at_once) {
  auto run_id = open(1);
  claim(1, "talk", 23001);
  run(1, "talk");
  CAF_CHECK_EQUAL(open(2, run_id), run_id);
  CAF_REQUIRE_EQUAL(port.ended.size(), 1u);
  CAF_CHECK_EQUAL(port.ended[0].first, 1u);
  CAF_CHECK_EQUAL(served_by(23001), 0u);
  CAF_CHECK_EQUAL(claim(2, "talk", 23001).error, "");
  CAF_CHECK(port.probes.empty());
}

CAF_TEST(another_credential_does_not_take_a_run_id_over) {
  auto run_id = open(1);
  auto other = open(2, run_id, tunnel_grant{"talk", 23001});
  CAF_CHECK_NOT_EQUAL(other, run_id);
  CAF_CHECK(port.ended.empty());
  CAF_CHECK_EQUAL(open(3, "unknown-run-id"), "unknown-run-id");
}

CAF_TEST(a_port_of_a_dead_session_is_freed_one_of_a_live_session_is_not) {
  open(1);
  claim(1, "talk", 23001);
  open(2);
  auto refused = ask_claim(2, "talk", 23001);
  CAF_REQUIRE_EQUAL(port.probes.size(), 1u);
  port.answer_probe(true);
  CAF_CHECK_EQUAL(result(refused).error.substr(0, 27), "proxy [talk] already exists");
  CAF_CHECK(port.ended.empty());
  auto granted = ask_claim(2, "talk", 23001);
  CAF_REQUIRE_EQUAL(port.probes.size(), 1u);
  port.answer_probe(false);
  CAF_CHECK_EQUAL(result(granted).error, "");
  CAF_REQUIRE_EQUAL(port.ended.size(), 1u);
  CAF_CHECK_EQUAL(port.ended[0].first, 1u);
}

CAF_TEST(a_closed_session_frees_everything) {
  auto run_id = open(1);
  claim(1, "talk", 23001);
  run(1, "talk");
  caf::anon_send(tested, closed_atom_v, uint64_t{1}, std::string{"gone"});
  drain();
  CAF_CHECK_EQUAL(served_by(23001), 0u);
  open(2);
  CAF_CHECK_EQUAL(claim(2, "talk", 23001).error, "");
  CAF_CHECK(port.probes.empty());
  CAF_CHECK_EQUAL(claim(1, "late", 23002).error, "actor error");
}

CAF_TEST(credentials_claim_their_own_port_only) {
  open(1, {}, tunnel_grant{"talk", 23001});
  CAF_CHECK(!claim(1, "talk", 23002).error.empty());
  CAF_CHECK(!claim(1, "other", 23001).error.empty());
  CAF_CHECK(!claim(1, "talk", 24001).error.empty());
  CAF_CHECK_EQUAL(claim(1, "talk", 23001).error, "");
}

CAF_TEST(without_legacy_ports_a_key_holder_needs_the_record) {
  end();
  begin(false);
  open(1);
  auto pending = ask_claim(1, "talk", 23002);
  CAF_REQUIRE_EQUAL(port.calls.size(), 1u);
  port.answer(200, talk_json);
  CAF_CHECK(!result(pending).error.empty());
  CAF_CHECK_EQUAL(claim(1, "talk", 23001).error, "");
}

CAF_TEST(sessions_are_bounded) {
  for (uint64_t id = 1; id <= tunnel_sessions_max; ++id)
    CAF_REQUIRE(!open(id).empty());
  CAF_CHECK(open(tunnel_sessions_max + 1).empty());
  caf::anon_send(tested, closed_atom_v, uint64_t{7}, std::string{"gone"});
  drain();
  CAF_CHECK(!open(tunnel_sessions_max + 2).empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
