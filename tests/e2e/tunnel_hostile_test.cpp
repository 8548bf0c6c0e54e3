// Check 15 of frp.md 11: a hostile client against a live node, row by row of frp.md 6, while a good client goes on.
#define CAF_SUITE e2e_tunnel_hostile
#include "tests/e2e/raw_frp.hpp"
#include "tests/e2e/tunnel_site.hpp"

#include <random>

using namespace harp::e2e;
using namespace harp::net;

namespace {

constexpr uint32_t first_work_stream = 3;
constexpr size_t descriptors_slack = 8;

struct fixture : tunnel_fixture {
  std::unique_ptr<tunnel_client> good;
  size_t memory = 0, descriptors = 0;

  /// A node with a good client that is served.
  fixture() {
    begin();
    good = std::make_unique<tunnel_client>(every_tunnel_program().back(), node_->frp(), lawful());
    CAF_REQUIRE(reachable());
    memory = node_->program().resident_bytes();
    descriptors = node_->program().descriptors();
  }
  /// The good client never noticed, and nothing stays behind.
  ~fixture() {
    CAF_CHECK(node_->program().running());
    CAF_CHECK_EQUAL(through("/public").status, 200);
    CAF_CHECK_EQUAL(sessions_ended(), 0);
    CAF_CHECK(until(15s * patience(), [&] { return sessions() == 1; }));
    CAF_CHECK(until(15s * patience(), [&] {
      return node_->program().descriptors() <= descriptors + descriptors_slack;
    }));
    CAF_CHECK(node_->program().resident_bytes() < memory + 24 * mib);
  }
  int sessions_ended() {
    int out = 0; // of the good client
    std::string log = good->log();
    for (size_t at = log.find("tunnel ended"); at != std::string::npos;
         at = log.find("tunnel ended", at + 1))
      ++out;
    return out;
  }
  raw_frp enemy() { return raw_frp{node_->frp()}; }
  /// An enemy who knows the key.
  raw_frp insider() {
    raw_frp out{node_->frp()};
    run_id = out.log_in(node_->key()).value_or("");
    CAF_REQUIRE(!run_id.empty());
    return out;
  }
  std::string run_id;
};

std::string v1(char type, int64_t length, const std::string& body) {
  std::string out(1, type);
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<uint64_t>(length) >> shift & 0xff);
  return out + body;
}
std::string v1(char type, const std::string& body) {
  return v1(type, static_cast<int64_t>(body.size()), body);
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(tunnel_hostile, fixture)

CAF_TEST(silent_connections_are_capped_and_closed) {
  std::vector<channel> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(channel::connect(node_->frp(), 5s, "127.0.0.9"));
    if (i % 3 == 1)
      crowd.back().send(std::string_view{"\0", 1}); // the first byte of a mux frame, and no more
    if (i % 3 == 2)
      crowd.back().send("\x16\x03\x01"); // of a ClientHello
  }
  size_t at_once = 0; // above 64 before their login, per address
  auto ended = [](const channel& one, milliseconds limit) {
    std::string bytes;
    auto got = one.receive(bytes, limit);
    return got == heard::end || got == heard::reset;
  };
  CAF_CHECK(until(3s * patience(), [&] {
    at_once = 0;
    for (const auto& one : crowd)
      at_once += ended(one, 0ms);
    return at_once >= 36;
  }));
  CAF_CHECK(at_once < 80); // the others have their ten seconds
  raw_frp elsewhere{node_->frp(), "127.0.0.10"};
  CAF_CHECK(elsewhere.log_in(node_->key()).has_value());
  for (const auto& one : crowd)
    CAF_CHECK(ended(one, 12s * patience()));
}

CAF_TEST(before_login_there_are_two_streams_and_no_credit) {
  auto client = enemy();
  for (uint32_t id : {1u, 3u, 5u, 7u})
    client.open_stream(id);
  CAF_CHECK(client.read_until([&] { return client.stream(5).reset && client.stream(7).reset; }));
  CAF_CHECK(!client.stream(1).reset);
  auto flood = enemy();
  flood.open_stream(1);
  for (int i = 0; i < 5; ++i)
    flood.data(1, std::string(64 * 1024, 'x')); // more than the first window
  CAF_CHECK(flood.read_until([&] { return flood.stream(1).reset || flood.stream(1).finished; }));
  CAF_CHECK_EQUAL(flood.stream(1).credit, 0u);
  CAF_CHECK(flood.ends(12s * patience())); // no login in time
}

CAF_TEST(after_login_surplus_streams_are_reset) {
  auto client = insider();
  for (uint32_t i = 0; i < 6000; ++i)
    client.open_stream(first_work_stream + 2 * i);
  CAF_CHECK(client.read_until([&] { return client.resets() >= 1500; }) || client.ends());
}

CAF_TEST(who_speaks_before_start_is_reset) {
  auto client = insider();
  client.open_stream(first_work_stream);
  frp::new_work_conn mine;
  mine.run_id = run_id;
  client.data(first_work_stream, frp::v1_frame(mine) + "not asked for");
  CAF_CHECK(client.read_until([&] { return client.stream(first_work_stream).reset; }));
  client.open_stream(first_work_stream + 2); // and a first message that is none
  client.data(first_work_stream + 2, std::string(20'000, 'w'));
  CAF_CHECK(client.read_until([&] { return client.stream(first_work_stream + 2).reset; }));
}

CAF_TEST(a_huge_length_allocates_nothing) {
  for (uint32_t length : {0xffffffffu, 0x7fffffffu, 256u * 1024 + 1}) {
    auto client = insider();
    client.frame(mux_type::data, 0, 1, length, "x");
    CAF_CHECK(client.ends());
  }
  auto credit = insider(); // more than 32 bits of it
  for (int i = 0; i < 3; ++i)
    credit.frame(mux_type::window_update, 0, 1, 0xffffffffu);
  CAF_CHECK(credit.ends());
}

CAF_TEST(broken_frames_end_the_session) {
  for (std::string bytes : {std::string(12, '\xff'), std::string("\0\x04\0\0\0\0\0\1\0\0\0\0", 12),
                            std::string("\1\0\0\0\0\0\0\1\0\0\0\0", 12)}) {
    auto client = insider();
    client.send(bytes);
    CAF_CHECK(client.ends());
  }
  auto twice = insider();
  twice.open_stream(1); // lives already
  CAF_CHECK(twice.ends());
}

CAF_TEST(malformed_logins_are_refused) {
  const std::string deep = std::string(9, '[') + std::string(9, ']');
  std::vector<std::string> logins{v1('o', 10'241, std::string(10'241, ' ')),
                                  v1('o', -1, "{}"),
                                  v1('o', INT64_MAX, "{}"),
                                  v1('o', "[]"),
                                  v1('o', "\"x\""),
                                  v1('o', ""),
                                  v1('o', "{"),
                                  v1('o', "{}x"),
                                  v1('o', R"({"x":)" + deep + "}"),
                                  v1('o', R"({"user":"a","user":"b"})"),
                                  v1('o', R"({"timestamp":9223372036854775808})"),
                                  v1('z', "{}"),
                                  v1('\xff', "{}")};
  for (std::string text :
       {"version", "hostname", "os", "arch", "user", "privilege_key", "run_id", "client_id"})
    for (std::string wrong : {"1", "true", "[]", "{}", "1.5"})
      logins.push_back(v1('o', "{\"" + text + "\":" + wrong + "}"));
  for (std::string number : {"timestamp", "pool_count"})
    for (std::string wrong : {"\"1\"", "true", "[]", "{}", "1e99"})
      logins.push_back(v1('o', "{\"" + number + "\":" + wrong + "}"));
  for (std::string wrong : {"1", "\"\"", "[]", R"({"token":1})", R"({"token":{}})"})
    logins.push_back(v1('o', "{\"metas\":" + wrong + "}"));
  const double before = node_->metric("harp_tunnel_logins_total{result=\"ok\"}");
  for (const auto& login : logins) {
    std::string heard_bytes;
    auto plain = channel::connect(node_->frp()); // without mux
    plain.send(login);
    plain.end_sending();
    CAF_CHECK_NOT_EQUAL(plain.receive_all(heard_bytes, 5s), heard::silence);
    CAF_CHECK(heard_bytes.empty() || heard_bytes.find("\"error\"") != std::string::npos);
    auto client = enemy();
    client.open_stream(1);
    client.data(1, login);
    CAF_CHECK(client.read_until([&] { return client.stream(1).reset || client.stream(1).finished; })
              || client.ends());
  }
  CAF_CHECK_EQUAL(node_->metric("harp_tunnel_logins_total{result=\"ok\"}"), before);
}

CAF_TEST(malformed_control_messages_end_only_their_session) {
  std::vector<std::string> bodies;
  for (std::string text : {"proxy_name", "proxy_type", "bandwidth_limit", "bandwidth_limit_mode",
                           "group", "group_key"})
    for (std::string wrong : {"1", "[]", "{}", "true"})
      bodies.push_back(v1('p', "{\"" + text + "\":" + wrong + "}"));
  for (std::string wrong : {"\"1\"", "-1", "65536", "1.5", "[]"})
    bodies.push_back(v1('p', "{\"proxy_name\":\"a\",\"remote_port\":" + wrong + "}"));
  for (std::string wrong : {"1", "\"x\"", "[]"})
    bodies.push_back(v1('p', "{\"proxy_name\":\"a\",\"use_encryption\":" + wrong + "}"));
  bodies.push_back(v1('c', R"({"proxy_name":1})"));
  bodies.push_back(v1('h', R"({"timestamp":"x"})"));
  bodies.push_back(v1('p', 10'241, std::string(10'241, ' ')));
  bodies.push_back(v1('!', "{}"));
  for (const auto& body : bodies) {
    auto client = insider();
    client.say(body);
    CAF_CHECK(client.ends());
  }
}

CAF_TEST(odd_names_are_refused_in_words) {
  auto client = insider();
  for (std::string name :
       {std::string{}, std::string(129, 'n'), std::string{"a\nb"}, std::string{"a\x1b[31m"}}) {
    frp::new_proxy wanted;
    wanted.name = name;
    wanted.type = "tcp";
    wanted.remote_port = static_cast<uint16_t>(port + 1);
    client.say(wanted);
    std::optional<frp::message> heard_one;
    do
      heard_one = client.hear();
    while (heard_one && !std::holds_alternative<frp::new_proxy_resp>(*heard_one));
    CAF_REQUIRE(heard_one.has_value());
    CAF_CHECK(!std::get<frp::new_proxy_resp>(*heard_one).error.empty());
  }
  CAF_CHECK(node_->log().find('\x1b') == std::string::npos);
}

CAF_TEST(floods_of_pings_are_not_all_answered) {
  auto client = insider();
  for (uint32_t i = 0; i < 2000; ++i)
    client.frame(mux_type::ping, mux_flag::syn, 0, i);
  client.read_until([] { return false; }, 1s); // what comes within a second is the figure
  CAF_CHECK(client.pongs() <= 40);
  auto talker = insider();
  for (int i = 0; i < 2000; ++i)
    talker.say(frp::ping{});
  int pongs = 0;
  for (auto one = talker.hear(1s); one; one = talker.hear(1s))
    pongs += std::holds_alternative<frp::pong>(*one);
  CAF_CHECK(pongs <= 40);
}

CAF_TEST(who_does_not_read_is_closed) {
  auto client = insider();
  frp::new_proxy refused;
  refused.name = "backlog";
  refused.type = "udp";
  bool sent = true;
  for (int i = 0; sent && i < 50'000;
       ++i) // the answers outgrow the stream's window, then the queue
    sent = client.say(refused);
  CAF_CHECK(!sent || client.ends(15s));
}

CAF_TEST(a_run_id_opens_nothing_from_elsewhere) {
  auto victim = insider();
  const std::string stolen = run_id;
  auto thief = insider();
  CAF_CHECK_NOT_EQUAL(run_id, stolen);
  frp::new_work_conn work;
  work.run_id = stolen;
  thief.open_stream(first_work_stream);
  thief.data(first_work_stream, frp::v1_frame(work));
  CAF_CHECK(thief.read_until([&] { return thief.stream(first_work_stream).finished; }));
  CAF_CHECK(thief.stream(first_work_stream).data.find("invalid run id") != std::string::npos);
  auto plain = channel::connect(node_->frp()); // and without mux
  plain.send(frp::v1_frame(work));
  std::string answer;
  CAF_CHECK_EQUAL(plain.receive_all(answer, 5s), heard::end);
  CAF_CHECK(answer.find("invalid run id") != std::string::npos);
}

CAF_TEST(noise_and_cut_logins_harm_nobody) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 200; ++round) {
    std::string noise(1 + random() % 4096, '\0');
    for (char& byte : noise)
      byte = static_cast<char>(random());
    if (round % 2 == 0)
      noise[0] = '\0'; // a mux frame by its first byte
    auto one = channel::connect(node_->frp());
    one.send(noise, 1s);
  }
  const auto head = encode_mux_header({mux_type::window_update, mux_flag::syn, 1, 0});
  std::string whole{head.data(), head.size()};
  const std::string login = frp::v1_frame(usual_login(node_->key()));
  const auto data = encode_mux_header({mux_type::data, 0, 1, static_cast<uint32_t>(login.size())});
  whole.append(data.data(), data.size());
  whole += login;
  for (size_t cut = 1; cut < whole.size(); ++cut) {
    auto one = channel::connect(node_->frp());
    one.send(std::string_view{whole}.substr(0, cut));
  }
  // Whole it is a login; refused while those before it still count against the limit of their address.
  CAF_CHECK(until(5s * patience(), [&] {
    auto last = channel::connect(node_->frp());
    last.send(whole);
    std::string answer;
    return last.receive(answer, 5s) == heard::data;
  }));
}

CAF_TEST_FIXTURE_SCOPE_END()
