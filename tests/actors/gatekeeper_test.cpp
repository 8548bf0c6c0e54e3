#define CAF_SUITE gatekeeper
#include "actors/gatekeeper.hpp"

#include "tests/actors/actor_world.hpp"

using namespace harp;
using namespace std::chrono_literals;

namespace {

constexpr const char* alice_json = R"({"user_id":"alice","access_level":1})";

struct world : testing::actor_world {
  std::shared_ptr<const tunnel_credentials> credentials = std::make_shared<const tunnel_credentials>("right key");
  gatekeeper_actor tested;

  world() {
    gatekeeper_settings settings;
    settings.shared_key = "right key";
    settings.nextcloud_url = "http://nextcloud.test/sub";
    settings.bans = {3, 10'000};
    settings.trusted_proxies = {*ip_network::parse("10.0.0.0/8")};
    tested = sys.spawn(gatekeeper, std::make_shared<const gatekeeper_settings>(settings), credentials, answers, &port);
    drain();
  }
  ~world() {
    port.calls.clear();
    caf::anon_send_exit(tested, caf::exit_reason::kill);
    drain();
  }

  user_question question(unsigned char who, bool may_keep = true, const char* client = "10.0.0.1") {
    auto data = std::make_shared<user_question::content>();
    data->client = *ip_address::parse(client);
    data->key[0] = who;
    data->may_keep = may_keep;
    data->app_id = "talk";
    data->fields = {{"cookie", "oc_sessionPassphrase=x"}};
    return {data};
  }
  auto ask_user(const user_question& what) {
    auto pending = self->request(tested, caf::infinite, user_atom_v, what);
    drain();
    return pending;
  }
  template <class Pending>
  std::string name_of(Pending&& pending) {
    drain();
    std::string name;
    pending.receive([&](const user_answer& got) { name = got.user ? got.user->user_id : "anonymous"; },
                    [&](caf::error& error) { name = error == ec::unavailable ? "unavailable" : error == ec::busy ? "busy" : "error"; });
    return name;
  }
  template <class Value>
  caf::error login_error(Value token, const char* from = "192.0.2.1") {
    auto login = std::make_shared<net::frp_login>();
    login->peer = *ip_address::parse(from);
    login->has_token = true;
    login->token = token;
    auto pending = self->request(tested, caf::infinite, login_atom_v, login_question{login});
    drain();
    caf::error got;
    pending.receive([](const login_grant&) {}, [&](caf::error& error) { got = error; });
    return got;
  }
  void fail(const char* from) {
    caf::anon_send(tested, fail_atom_v, failure{*ip_address::parse(from), 10, "test"});
    drain();
  }
  bool banned(const char* who) { return answers->bans.read()->contains(ip_address::parse(who)->ban_key()); }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(gatekeeper_tests, world)

CAF_TEST(asks_nextcloud_once_for_one_session) {
  auto first = ask_user(question(1));
  auto second = ask_user(question(1));
  CAF_REQUIRE_EQUAL(port.calls.size(), 1u);
  const auto& request = *port.calls[0].request;
  CAF_CHECK_EQUAL(request.url.target, "/sub/index.php/apps/app_api/harp/user-info?appId=talk");
  CAF_CHECK(request.fields.back() == (std::pair<std::string, std::string>{"harp-shared-key", "right key"}));
  port.answer(200, alice_json);
  CAF_CHECK_EQUAL(name_of(first), "alice");
  CAF_CHECK_EQUAL(name_of(second), "alice");
}

CAF_TEST(reuses_an_answer_within_its_life_only) {
  auto first = ask_user(question(1));
  port.answer(200, alice_json);
  CAF_CHECK_EQUAL(name_of(first), "alice");
  CAF_CHECK_EQUAL(name_of(ask_user(question(1))), "alice");
  CAF_CHECK(port.calls.empty());
  pass(3001ms);
  auto later = ask_user(question(1));
  CAF_CHECK_EQUAL(port.calls.size(), 1u);
  port.answer(200, R"({"user_id":"","access_level":0})");
  name_of(later);
}

CAF_TEST(never_mixes_two_sessions) {
  auto alice = ask_user(question(1));
  auto bob = ask_user(question(2));
  CAF_REQUIRE_EQUAL(port.calls.size(), 2u);
  port.answer(200, alice_json);
  port.answer(200, R"({"user_id":"bob","access_level":1})");
  CAF_CHECK_EQUAL(name_of(alice), "alice");
  CAF_CHECK_EQUAL(name_of(bob), "bob");
}

CAF_TEST(refused_credentials_are_anonymous_and_not_kept) {
  auto first = ask_user(question(1));
  port.answer(401, "{}");
  CAF_CHECK_EQUAL(name_of(first), "anonymous");
  ask_user(question(1));
  CAF_CHECK_EQUAL(port.calls.size(), 1u);
}

CAF_TEST(trouble_at_nextcloud_is_not_a_verdict) {
  for (auto [status, body] : {std::pair{500, "x"}, {503, ""}, {0, ""}, {200, "<html>login</html>"}, {302, ""}}) {
    auto pending = ask_user(question(1));
    port.answer(status, body, "down");
    CAF_CHECK_EQUAL(name_of(pending), "unavailable");
    CAF_CHECK(!answers->nextcloud_answers);
  }
  CAF_CHECK_EQUAL(answers->users.size(), 0u);
}

CAF_TEST(look_ups_are_bounded_and_recover) {
  for (unsigned char who = 0; who < user_lookups_per_second; ++who)
    ask_user(question(who));
  CAF_CHECK_EQUAL(port.calls.size(), user_lookups_per_second);
  CAF_CHECK_EQUAL(name_of(ask_user(question(200))), "busy");
  while (!port.calls.empty())
    port.answer(401, "");
  pass(1s);
  ask_user(question(201));
  CAF_CHECK_EQUAL(port.calls.size(), 1u);
}

CAF_TEST(one_client_gets_a_share_of_the_look_ups) {
  for (unsigned char who = 0; who < user_lookups_per_client_burst; ++who)
    ask_user(question(who, true, "192.0.2.1"));
  CAF_CHECK_EQUAL(port.calls.size(), user_lookups_per_client_burst);
  CAF_CHECK_EQUAL(name_of(ask_user(question(100, true, "192.0.2.1"))), "busy");
  ask_user(question(101, true, "192.0.2.2"));
  CAF_CHECK_EQUAL(port.calls.size(), user_lookups_per_client_burst + 1);
}

CAF_TEST(key_and_credential_open_tunnels_everything_else_does_not) {
  CAF_CHECK(!login_error("right key"));
  CAF_CHECK(!login_error(*credentials->make("talk", 23001)));
  CAF_CHECK(login_error("wrong") == ec::bad_key);
  CAF_CHECK(login_error("") == ec::bad_key);
  CAF_CHECK(login_error(*credentials->make("talk", 23001) + "x") == ec::bad_key);
}

CAF_TEST(wrong_logins_ban_but_the_right_key_always_works) {
  for (int i = 0; i < 3; ++i)
    CAF_CHECK(login_error("wrong") == ec::bad_key);
  CAF_CHECK(login_error("wrong") == ec::banned);
  CAF_CHECK(!login_error("right key"));
  CAF_CHECK(login_error("wrong", "192.0.2.2") == ec::bad_key);
  pass(11s);
  CAF_CHECK(login_error("wrong") == ec::bad_key);
}

CAF_TEST(publishes_bans_and_their_end) {
  for (int i = 0; i < 3; ++i)
    fail("192.0.2.9");
  CAF_CHECK(banned("192.0.2.9"));
  CAF_CHECK(!banned("192.0.2.8"));
  CAF_CHECK(answers->bans.read()->at(*ip_address::parse("192.0.2.9")) <= now_ms() + 10'000);
}

CAF_TEST(never_bans_proxies_and_who_brings_signed_calls) {
  for (int i = 0; i < 30; ++i)
    fail("10.1.2.3");
  CAF_CHECK(!banned("10.1.2.3"));
  for (int i = 0; i < 3; ++i)
    fail("192.0.2.9");
  CAF_CHECK(banned("192.0.2.9"));
  caf::anon_send(tested, vouch_atom_v, failure{*ip_address::parse("192.0.2.9"), 0, "signed"});
  drain();
  CAF_CHECK(!banned("192.0.2.9"));
  for (int i = 0; i < 30; ++i)
    fail("192.0.2.9");
  CAF_CHECK(!banned("192.0.2.9"));
}

CAF_TEST(lifts_one_ban_or_all) {
  for (auto who : {"192.0.2.1", "192.0.2.2", "2001:db8::1"})
    for (int i = 0; i < 3; ++i)
      fail(who);
  auto lift = [this](const std::string& address) {
    auto pending = self->request(tested, caf::infinite, lift_atom_v, address);
    drain();
    uint64_t lifted = 99;
    pending.receive([&](uint64_t count) { lifted = count; }, [](caf::error&) {});
    return lifted;
  };
  CAF_CHECK_EQUAL(lift("192.0.2.1"), 1u);
  CAF_CHECK_EQUAL(lift("192.0.2.1"), 0u);
  CAF_CHECK(!banned("192.0.2.1"));
  CAF_CHECK_EQUAL(lift("2001:db8::/64"), 1u);
  CAF_CHECK_EQUAL(lift("not an address"), 0u);
  CAF_CHECK_EQUAL(lift(""), 1u);
  CAF_CHECK(answers->bans.read()->empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
