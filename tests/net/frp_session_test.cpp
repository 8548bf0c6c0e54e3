// The tunnel server without mux: admission, login, proxies, work connections, limits.
#define CAF_SUITE frp_session
#include "tests/net/frp_world.hpp"

#include <random>

using namespace frp_world;

CAF_TEST(logs_in_and_asks_for_the_pool) {
  world in;
  plain_client client{in};
  const auto answer = client.log_in(plain_client::hello("secret", 3));
  CAF_CHECK_EQUAL(answer.run_id, "0123456789abcdef");
  for (int i = 0; i < 3; ++i)
    client.must<frp::req_work_conn>();
  CAF_CHECK(client.quiet());
  CAF_REQUIRE_EQUAL(in.gate.logins.size(), 1u);
  CAF_CHECK(in.gate.logins[0].has_token);
  CAF_CHECK(!in.gate.logins[0].mux);
  CAF_CHECK(in.gate.logins[0].peer == in.peer);
  CAF_CHECK_EQUAL(in.gate.logins[0].peer_port, 4711);
  CAF_CHECK_EQUAL(in.table.all().size(), 1u);
}

CAF_TEST(clamps_the_pool_count) {
  for (int64_t sent : {int64_t{-5}, INT64_MIN, int64_t{0}, int64_t{6}, INT64_MAX}) {
    world in;
    plain_client client{in};
    CAF_CHECK_EQUAL(client.log_in(plain_client::hello("secret", sent)).error, "");
    for (int i = 0; i < (sent > 0 ? 5 : 0); ++i)
      client.must<frp::req_work_conn>();
    CAF_CHECK(client.quiet());
    CAF_CHECK_EQUAL(in.gate.logins[0].pool_count, sent);
  }
}

CAF_TEST(refuses_a_wrong_token_with_words_and_an_end) {
  world in;
  plain_client client{in};
  CAF_CHECK_EQUAL(client.log_in(plain_client::hello("wrong")).error, "wrong token");
  CAF_CHECK(client.ends());
  ::close(client.fd);
  in.fds.clear();
  CAF_CHECK(in.until([&] { return !in.gate.ends.empty(); }));
  CAF_CHECK_EQUAL(in.gate.ends.size(), 1u);
  CAF_CHECK(in.table.all().empty());
}

CAF_TEST(tells_the_gate_when_no_token_was_sent) {
  world in;
  plain_client client{in};
  auto hello = plain_client::hello();
  hello.metas.clear();
  CAF_CHECK(!client.log_in(hello).error.empty());
  CAF_CHECK(!in.gate.logins[0].has_token);
}

CAF_TEST(checks_its_own_auth_token) {
  auto settings = quick_settings();
  settings.auth_token = "12345678";
  world in{settings};
  plain_client wrong{in, "12345678"};
  CAF_CHECK(!wrong.log_in().error.empty());
  plain_client right{in, "12345678"};
  auto hello = plain_client::hello();
  hello.privilege_key = "3d8aac6cc09d79da303be74c311e5808";
  CAF_CHECK_EQUAL(right.log_in(hello).error, "");
  right.must<frp::req_work_conn>(); // deciphered with the key of that token
}

CAF_TEST(takes_a_sane_run_id_and_drops_a_bad_one) {
  for (const auto& [sent, seen] : std::vector<std::pair<std::string, std::string>>{
           {"abc", "abc"}, {"a\nb", ""}, {std::string(65, 'x'), ""}, {"\xc3\xa9", ""}}) {
    world in;
    plain_client client{in};
    auto hello = plain_client::hello();
    hello.run_id = sent;
    client.log_in(hello);
    CAF_CHECK_EQUAL(in.gate.logins[0].run_id, seen);
  }
}

CAF_TEST(closes_strangers_silently) {
  for (const std::string& first :
       {std::string{"GET / HTTP/1.1\r\n\r\n"}, std::string{"FRP\0\2\r\n", 7},
        std::string{"\x16\x03\x01"}, std::string{"\x17\x16\x03"},
        std::string{"r\0\0\0\0\0\0\0\2{}", 11}, frp::v1_frame(frp::ping{}),
        std::string{"o\xff\xff\xff\xff\xff\xff\xff\xff"},
        std::string{"o\0\0\0\0\0\0\x28\x01", 9}}) {
    world in;
    const int fd = in.connect();
    put(fd, first);
    std::string got;
    CAF_CHECK(in.until([&] { return !drain(fd, got); }));
    CAF_CHECK_EQUAL(got, "");
    CAF_CHECK(in.gate.logins.empty());
  }
}

CAF_TEST(closes_plain_clients_when_tls_is_required) {
  auto settings = quick_settings();
  settings.tls_required = true;
  world in{settings};
  plain_client client{in};
  client.send(plain_client::hello());
  CAF_CHECK(!client.next());
  CAF_CHECK(!client.open);
  CAF_CHECK(in.gate.logins.empty());
}

CAF_TEST(closes_silent_connections_in_every_phase) {
  world in;
  const int mute = in.connect();
  const int slow = in.connect();
  put(slow, frp::v1_frame(plain_client::hello()).substr(0, 30));
  in.settle();
  in.pass(9s);
  CAF_CHECK(stays(in, mute));
  CAF_CHECK(stays(in, slow));
  in.pass(2s);
  CAF_CHECK(closes(in, mute));
  CAF_CHECK(closes(in, slow));
  CAF_CHECK(in.gate.logins.empty());
}

CAF_TEST(admits_only_whom_the_gate_admits) {
  world in;
  in.gate.admits = false;
  CAF_CHECK(closes(in, in.connect()));
}

CAF_TEST(caps_connections_before_login_per_peer_and_in_all) {
  auto settings = quick_settings();
  settings.limits.pending_per_peer_max = 3;
  settings.limits.pending_max = 5;
  world in{settings};
  std::vector<int> held;
  for (int i = 0; i < 3; ++i)
    held.push_back(in.connect());
  in.settle();
  CAF_CHECK(closes(in, in.connect()));
  in.peer = *harp::ip_address::parse("192.0.2.10");
  held.push_back(in.connect());
  held.push_back(in.connect());
  in.settle();
  in.peer = *harp::ip_address::parse("192.0.2.11");
  CAF_CHECK(closes(in, in.connect()));
  for (int fd : held)
    CAF_CHECK(stays(in, fd));
  in.pass(11s); // the silent ones go
  plain_client client{in};
  CAF_CHECK_EQUAL(client.log_in().error, "");
}

CAF_TEST(logged_in_sessions_do_not_count_as_pending) {
  auto settings = quick_settings();
  settings.limits.pending_per_peer_max = 1;
  world in{settings};
  plain_client first{in};
  CAF_CHECK_EQUAL(first.log_in().error, "");
  plain_client second{in};
  auto hello = plain_client::hello();
  hello.run_id = "second";
  CAF_CHECK_EQUAL(second.log_in(hello).error, "");
  CAF_CHECK_EQUAL(in.table.all().size(), 2u);
}

CAF_TEST(answers_proxies) {
  world in;
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  const auto good = client.expose("app", 23'001);
  CAF_CHECK_EQUAL(good.error, "");
  CAF_CHECK_EQUAL(good.name, "app");
  CAF_CHECK_EQUAL(good.remote_addr, ":23001");
  CAF_CHECK(in.gate.ran.contains("app"));
  CAF_CHECK_EQUAL(client.expose("low", 80).error, "port not allowed");
  CAF_CHECK(!in.gate.ran.contains("low"));
  const auto again = client.expose("app", 23'001); // missed the answer
  CAF_CHECK_EQUAL(again.error, "");
  CAF_CHECK_EQUAL(again.remote_addr, ":23001");
  CAF_CHECK(!client.expose("app", 23'002).error.empty());
  CAF_CHECK_EQUAL(in.gate.claims.size(), 2u);
}

CAF_TEST(refuses_what_it_does_not_serve) {
  world in;
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  for (const char* type : {"udp", "http", "https", "stcp", "sudp", "xtcp", "tcpmux", "\x01"}) {
    frp::new_proxy asked;
    asked.name = "x";
    asked.type = type;
    client.send(asked);
    CAF_CHECK(!client.must<frp::new_proxy_resp>().error.empty());
  }
  frp::new_proxy grouped;
  grouped.name = "x";
  grouped.group = "g";
  client.send(grouped);
  CAF_CHECK(!client.must<frp::new_proxy_resp>().error.empty());
  for (const std::string& name : {std::string{}, std::string(129, 'n'), std::string{"a\nb"}})
    CAF_CHECK_EQUAL(client.expose(name, 23'001).error, "invalid proxy name");
  CAF_CHECK_EQUAL(client.expose(std::string(9'000, '\x01').substr(0, 1'600), 23'001).name, "");
  CAF_CHECK(in.gate.claims.empty());
  frp::new_proxy untyped; // an empty type means tcp
  untyped.name = "y";
  untyped.remote_port = 23'003;
  client.send(untyped);
  CAF_CHECK_EQUAL(client.must<frp::new_proxy_resp>().error, "");
}

CAF_TEST(caps_running_proxies) {
  auto settings = quick_settings();
  settings.limits.proxies_max = 2;
  world in{settings};
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  CAF_CHECK_EQUAL(client.expose("a", 23'001).error, "");
  CAF_CHECK_EQUAL(client.expose("b", 23'002).error, "");
  CAF_CHECK_EQUAL(client.expose("c", 23'003).error, "too many proxies");
  client.send(frp::close_proxy{"a"});
  CAF_CHECK_EQUAL(client.expose("c", 23'003).error, "");
  CAF_CHECK(in.gate.released.contains("a"));
}

CAF_TEST(ignores_closing_of_unknown_names) {
  world in;
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  client.send(frp::close_proxy{"nobody"});
  CAF_CHECK(client.quiet());
  CAF_CHECK(in.gate.released.empty());
}

CAF_TEST(ignores_other_known_messages_and_ends_at_unknown_ones) {
  world in;
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  client.send(frp::start_work_conn{});
  client.send(plain_client::hello());
  client.send(frp::ping{});
  client.must<frp::pong>();
  CAF_CHECK_EQUAL(in.gate.logins.size(), 1u);
  put(client.fd, "garbage that deciphers to garbage");
  CAF_CHECK(client.ends());
  CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
  CAF_CHECK(in.table.all().empty());
}

CAF_TEST(answers_pings_up_to_a_rate) {
  world in;
  plain_client client{in};
  client.log_in(plain_client::hello("secret", 0));
  for (int i = 0; i < 50; ++i)
    client.send(frp::ping{});
  in.settle();
  int pongs = 0;
  while (client.open && !client.quiet() && pongs < 50) {
    client.must<frp::pong>();
    ++pongs;
  }
  CAF_CHECK_EQUAL(pongs, 10);
  in.pass(1s);
  client.send(frp::ping{});
  client.must<frp::pong>();
}

CAF_TEST(ends_a_session_without_heartbeat) {
  ready in;
  for (int i = 0; i < 3; ++i) {
    in.pass(60s);
    in.client.send(frp::ping{});
    in.settle();
  }
  CAF_CHECK_EQUAL(in.gate.ends.size(), 0u);
  in.pass(91s);
  CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
  CAF_CHECK_EQUAL(in.gate.ends[0], "no heartbeat");
}

CAF_TEST(is_alive_while_heard_of) {
  ready in;
  auto ask = [](world& where, int& out) -> asio::awaitable<void> {
    const auto session = where.table.find(where.gate.last_session);
    const bool alive = co_await session->alive(1'000ms);
    out = alive ? 1 : 0;
  };
  int answer = -1;
  launch(in.on.executor(), ask(in, answer), "alive");
  CAF_REQUIRE(in.until([&] { return answer >= 0; }));
  CAF_CHECK_EQUAL(answer, 1);
}

CAF_TEST(survives_random_bytes_at_every_point) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 100; ++round) {
    world in;
    const int fd = in.connect();
    std::string bytes = frp::v1_frame(plain_client::hello());
    if (round % 2 == 0)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    std::string noise(random() % 200 + 1, '\0');
    for (auto& c : noise)
      c = static_cast<char>(random());
    put(fd, bytes + noise);
    in.settle();
    in.pass(100s);
    CAF_CHECK(closes(in, fd));
    in.pass(100s); // a refused login is told as ended after the linger
    CAF_CHECK_EQUAL(in.gate.logins.size(), in.gate.ends.size());
  }
}
