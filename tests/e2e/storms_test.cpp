// Many tunnel clients coming, going and coming back: T01, T02, T03, T07, X06, 24 storms.
#define CAF_SUITE e2e_storms
#include "tests/e2e/site.hpp"
#include "tests/e2e/tunnel_client.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>

using namespace harp::e2e;

namespace {

constexpr int first_port = 23300;

struct fixture {
  temp_dir dir;
  nextcloud_stand_in nextcloud{"shared-key of the test"};
  sample_app sample{"unix:" + (dir / "app.sock")};
  std::unique_ptr<node> harp;
  std::vector<std::unique_ptr<tunnel_client>> clients;

  void begin(settings environment = {}) {
    node_options options;
    options.nextcloud = nextcloud.url();
    environment.emplace("HP_BLACKLIST_COUNT", "10000");
    options.environment = std::move(environment);
    harp = std::make_unique<node>(std::move(options));
    CAF_REQUIRE(harp->start());
  }
  ~fixture() {
    clients.clear();
    if (harp)
      CAF_CHECK_EQUAL(harp->error_lines(), std::vector<std::string>{});
  }
  void add(const tunnel_program& program, int index) {
    std::string name = "app" + std::to_string(index);
    nextcloud.put(name, sample_record(first_port + index));
    tunnel_settings settings;
    settings.proxy = name;
    settings.port = first_port + index;
    settings.to = "unix:" + (dir / "app.sock");
    settings.token = harp->key();
    clients.push_back(std::make_unique<tunnel_client>(program, harp->frp(), settings));
  }
  double sessions() { return harp->metric("harp_tunnel_sessions"); }
  bool all_back(size_t count, milliseconds limit) {
    return until(limit * patience(), [&] { return sessions() >= static_cast<double>(count); });
  }
  bool serves(int index) {
    return get(harp->exapps(), "/exapps/app" + std::to_string(index) + "/public", {}, 1s).status
           == 200;
  }
  /// How many of the first `count` apps answer; each gets a few tries, as nfrp-client needs them with every server.
  int served(int count) {
    int right = 0;
    for (int i = 0; i < count; ++i)
      right += serves(i) || serves(i) || serves(i);
    return right;
  }
};

/// Foreign clients if there are any (they are what must return), else our own.
std::vector<tunnel_program> returning() {
  auto all = foreign_tunnel_programs();
  return all.empty() ? tunnel_programs() : all;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(storms, fixture)

CAF_TEST(t07_two_hundred_clients_survive_a_restart) {
  constexpr int count = 200;
  begin();
  auto programs = returning();
  for (int i = 0; i < count; ++i)
    add(programs[static_cast<size_t>(i) % programs.size()], i);
  CAF_REQUIRE(all_back(count, 60s));
  CAF_CHECK(until(30s, [&] { return served(count) == count; }));
  auto began = clock::now();
  CAF_REQUIRE(harp->restart(true));
  bool back = all_back(count, 60s);
  CAF_MESSAGE("sessions back after " << std::chrono::duration<double>(clock::now() - began).count()
                                     << " s: " << sessions());
  CAF_CHECK(back);
  CAF_CHECK(until(30s, [&] { return served(count) == count; })); // no port lost to a race
}

CAF_TEST(twenty_four_storms_leave_nothing_behind) {
  constexpr int count = 12;
  constexpr int rounds = 24;
  begin();
  auto programs = returning();
  for (int i = 0; i < count; ++i)
    add(programs[static_cast<size_t>(i) % programs.size()], i);
  CAF_REQUIRE(all_back(count, 30s));
  size_t memory = 0;
  size_t descriptors = 0;
  for (int round = 0; round < rounds; ++round) {
    for (auto& client : clients) {
      client->program().kill();
      client->start();
    }
    CAF_CHECK(until(30s, [&] { return served(count) == count; }));
    if (round == 3) { // warm by now
      memory = harp->program().resident_bytes();
      descriptors = harp->program().descriptors();
    }
  }
  CAF_CHECK(until(15s, [&] { return sessions() == count; }));
  CAF_MESSAGE("memory " << memory << " -> " << harp->program().resident_bytes());
  CAF_CHECK(harp->program().resident_bytes() < memory + 12 * 1024 * 1024);
  CAF_CHECK(until(15s, [&] { return harp->program().descriptors() <= descriptors + 6; }));
}

CAF_TEST(x06_usable_again_each_time) {
  begin();
  for (const auto& program : returning()) {
    CAF_MESSAGE(program.name);
    clients.clear();
    add(program, 0);
    CAF_REQUIRE(until(15s, [&] { return served(1) == 1; }));
    for (int i = 0; i < 50; ++i) {
      clients[0]->program().kill();
      clients[0]->start();
      bool logged_in = until(10s, [&] {
        return clients[0]->log().find("login to server success") != std::string::npos
               || served(1) == 1;
      });
      CAF_CHECK(logged_in);
      CAF_CHECK(until(2s * patience(), [&] { return served(1) == 1; }));
    }
  }
}

CAF_TEST(t01_the_newest_login_wins) {
  begin();
  for (const auto& program : returning()) {
    CAF_MESSAGE(program.name);
    clients.clear();
    add(program, 0);
    CAF_REQUIRE(until(15s, [&] { return served(1) == 1; }));
    size_t descriptors = harp->program().descriptors();
    for (int i = 0; i < 3; ++i) {
      clients.back()->program().signal(SIGSTOP); // as if its path were black-holed
      add(program, 0);
      auto began = clock::now();
      CAF_CHECK(until(10s * patience(), [&] { return served(1) == 1; }));
      CAF_MESSAGE("taken over after " << std::chrono::duration<double>(clock::now() - began).count()
                                      << " s");
    }
    for (size_t i = 0; i + 1 < clients.size(); ++i)
      clients[i]->program().kill();
    CAF_CHECK(until(15s, [&] { return harp->program().descriptors() <= descriptors + 4; }));
    CAF_CHECK_EQUAL(served(1), 1);
  }
}

CAF_TEST(t02_only_the_offender_is_refused) {
  begin({{"HP_BLACKLIST_COUNT", "3"}});
  auto program = tunnel_programs().back();
  tunnel_settings wrong;
  wrong.to = "unix:" + (dir / "app.sock");
  wrong.token = "wrong";
  tunnel_client offender{program, harp->frp(), wrong};
  CAF_CHECK(until(60s, [&] {
    return harp->command({"bans", "ls", "--json"}).output.find("127.0.0.1") != std::string::npos;
  }));
  offender.program().kill();
  add(program, 1); // the right key from the same address
  CAF_CHECK(all_back(1, 15s));
  CAF_CHECK(!serves(1)); // HTTP shares the list, and this request has no key
  CAF_CHECK_EQUAL(harp->command({"bans", "lift", "127.0.0.1"}).status, 0);
  CAF_CHECK(until(15s, [&] { return serves(1); }));
  CAF_CHECK(harp->command({"bans", "ls", "--json"}).output.find("127.0.0.1") == std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()
