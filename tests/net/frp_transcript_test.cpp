// The worked transcript of frp.md 10 against the real server, byte by byte and in random splits; hostile mux clients.
#define CAF_SUITE frp_transcript
#include "tests/net/frp_world.hpp"

#include <random>

using namespace frp_world;

namespace {

const std::string syn_1 = unhex("0001000100000001005c0000");
const std::string login_1 = unhex("0000000000000001000000be"
                                  "6f00000000000000b57b2276657273696f6e223a22302e36312e31222c226f73"
                                  "223a226c696e7578222c2261726368223a22616d643634"
                                  "222c2270726976696c6567655f6b6579223a2232343932306465636638336636"
                                  "39363062383066373337613238656561666331222c2274"
                                  "696d657374616d70223a313730303030303030302c226d65746173223a7b2274"
                                  "6f6b656e223a22736563726574227d2c22636c69656e74"
                                  "5f73706563223a7b7d2c22706f6f6c5f636f756e74223a317d");
const std::string work_3
    = unhex("0001000100000003005c0000"
            "000000000000000300000026"
            "77000000000000001d7b2272756e5f6964223a2230313233343536373839616263646566227d");
const std::string proxy_1 = unhex("000000000000000100000010101112131415161718191a1b1c1d1e1f"
                                  "000000000000000100000047"
                                  "4d6bc19e410a086216c060cb5d17fcc3bcbac8ec4c4be0570540441ea174e8e8"
                                  "30d9ea9057cd815cce52225b4ed7e9e4b6fd7ba55fdec0"
                                  "2bc2f8e6ce11a6d62e83f05cb2778224");
const std::string echo_3 = unhex("00000000000000030000000a6563686f3a68656c6c6f");
const std::string ping = unhex("000200010000000000000000");

uint32_t u32(std::string_view bytes, size_t at) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i)
    out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

std::string frame(char type, char flags, uint32_t id, std::string_view data, uint32_t length) {
  std::string out{0, type, 0, flags};
  for (uint32_t value : {id, length})
    for (int shift = 24; shift >= 0; shift -= 8)
      out += static_cast<char>(value >> shift);
  return out + std::string{data};
}

std::string data_frame(uint32_t id, std::string_view data) {
  return frame(0, 0, id, data, static_cast<uint32_t>(data.size()));
}

/// What the server sent so far, by stream.
struct raw_client {
  explicit raw_client(world& of) : in(of), fd(of.connect()) {}

  void pull() {
    open = open && drain(fd, bytes);
    while (bytes.size() >= 12) {
      const uint32_t length = u32(bytes, 8), id = u32(bytes, 4);
      const char type = bytes[1], flags = bytes[3];
      const size_t body = type == 0 ? length : 0;
      if (bytes.size() < 12 + body)
        return;
      if (flags & 2 && type == 2)
        ++pongs;
      if (flags & 2 && type != 2)
        acked.insert(id);
      if (flags & 4)
        ended.insert(id);
      if (flags & 8)
        reset.insert(id);
      data[id] += bytes.substr(12, body);
      bytes.erase(0, 12 + body);
    }
  }
  bool until(const std::function<bool()>& done) {
    return in.until([&] {
      pull();
      return done();
    });
  }
  void log_in() {
    put(fd, syn_1 + login_1);
    CAF_REQUIRE(until([&] { return data[1].size() >= 57 + 16 + 11; }));
  }

  world& in;
  int fd;
  bool open = true;
  int pongs = 0;
  std::string bytes;
  std::set<uint32_t> acked, ended, reset;
  std::map<uint32_t, std::string> data;
};

using sender = std::function<void(int, world&, std::string_view)>;

void play(const sender& send) {
  world in;
  raw_client client{in};
  send(client.fd, in, syn_1 + login_1);
  CAF_REQUIRE(client.until([&] { return client.data[1].size() >= 57 + 16 + 11; }));
  CAF_CHECK(client.acked.contains(1));
  CAF_CHECK_EQUAL(client.data[1].substr(0, 57),
                  unhex("310000000000000030")
                      + R"({"version":"0.61.1","run_id":"0123456789abcdef"})");
  std::string sealed = client.data[1].substr(57);
  frp::cfb_reader reader{frp::derive_key("")};
  sealed.resize(static_cast<size_t>(reader.read(sealed.data(), sealed.size())));
  CAF_CHECK_EQUAL(sealed, unhex("7200000000000000027b7d"));

  send(client.fd, in, work_3);
  send(client.fd, in, proxy_1);
  const size_t before = 57 + 16 + 11;
  CAF_REQUIRE(client.until([&] { return client.data[1].size() >= before + 55; }));
  sealed = client.data[1].substr(before);
  sealed.resize(static_cast<size_t>(reader.read(sealed.data(), sealed.size())));
  CAF_CHECK_EQUAL(sealed, unhex("32000000000000002e")
                              + R"({"proxy_name":"exapp1","remote_addr":":23001"})");
  CAF_CHECK(client.acked.contains(3));
  CAF_CHECK(in.gate.logins.at(0).mux);

  const auto user = open_work(in, "exapp1");
  CAF_REQUIRE(client.until([&] { return user->done; }));
  CAF_REQUIRE(user->got.stream != nullptr);
  CAF_CHECK(!user->got.stream->half_closes());
  CAF_CHECK_EQUAL(user->got.stream->try_write("hello").bytes, 5u);
  CAF_REQUIRE(client.until([&] { return client.data[3].size() >= 0x70 + 5; }));
  CAF_CHECK_EQUAL(client.data[3],
                  unhex("730000000000000067")
                      + R"({"proxy_name":"exapp1","src_addr":"127.0.0.1","dst_addr":"127.0.0.1",)"
                        R"("src_port":40000,"dst_port":23001}hello)");
  CAF_REQUIRE(client.until([&] { return client.data[1].size() >= before + 55 + 11; }));
  sealed = client.data[1].substr(before + 55);
  sealed.resize(static_cast<size_t>(reader.read(sealed.data(), sealed.size())));
  CAF_CHECK_EQUAL(sealed, unhex("7200000000000000027b7d")); // the refill

  send(client.fd, in, echo_3);
  std::string got;
  CAF_REQUIRE(client.until([&] {
    std::array<char, 64> part;
    const auto read = user->got.stream->try_read(part);
    got.append(part.data(), read.bytes);
    return got.size() >= 10;
  }));
  CAF_CHECK_EQUAL(got, "echo:hello");
  user->got.stream->shutdown_write();
  CAF_REQUIRE(client.until([&] { return client.ended.contains(3); }));
  send(client.fd, in, frame(1, 4, 3, "", 0));
  send(client.fd, in, ping);
  CAF_REQUIRE(client.until([&] { return client.pongs == 1; }));
  CAF_CHECK(client.open);
  CAF_CHECK(client.reset.empty());
}

} // namespace

CAF_TEST(plays_the_transcript_at_once) {
  play([](int fd, world&, std::string_view bytes) { put(fd, bytes); });
}

CAF_TEST(plays_the_transcript_byte_by_byte) {
  play([](int fd, world& in, std::string_view bytes) {
    for (char c : bytes) {
      put(fd, {&c, 1});
      in.settle();
    }
  });
}

CAF_TEST(plays_the_transcript_in_random_splits) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 20; ++round)
    play([&random](int fd, world& in, std::string_view bytes) {
      while (!bytes.empty()) {
        const size_t part = std::min<size_t>(random() % 60 + 1, bytes.size());
        put(fd, bytes.substr(0, part));
        bytes.remove_prefix(part);
        in.settle();
      }
    });
}

CAF_TEST(opens_no_third_stream_before_login) {
  world in;
  raw_client client{in};
  put(client.fd, syn_1 + frame(1, 1, 3, "", 0) + frame(1, 1, 5, "", 0));
  CAF_CHECK(client.until([&] { return client.reset.contains(5); }));
  CAF_CHECK(!client.reset.contains(1));
  CAF_CHECK(in.gate.logins.empty());
}

CAF_TEST(ends_mux_sessions_without_login) {
  world in;
  raw_client client{in};
  put(client.fd, syn_1 + login_1.substr(0, 100));
  in.settle();
  in.pass(9s);
  client.pull();
  CAF_CHECK(client.open);
  in.pass(2s);
  CAF_CHECK(client.until([&] { return !client.open; }));
  CAF_CHECK(in.gate.logins.empty());
}

CAF_TEST(takes_one_login_per_session) {
  world in;
  raw_client client{in};
  client.log_in();
  std::string again = login_1.substr(12);
  put(client.fd, frame(1, 1, 3, "", 0) + data_frame(3, again));
  CAF_CHECK(client.until([&] { return client.reset.contains(3); }));
  CAF_CHECK_EQUAL(in.gate.logins.size(), 1u);
  CAF_CHECK(client.open);
}

CAF_TEST(takes_work_streams_of_its_own_run_id_only) {
  world in;
  raw_client owner{in}, thief{in};
  owner.log_in();
  in.settle();
  frp::login other = plain_client::hello();
  other.run_id = "fedcba9876543210";
  put(thief.fd, syn_1 + data_frame(1, frp::v1_frame(other)));
  CAF_REQUIRE(thief.until([&] { return thief.data[1].size() > 57; }));
  put(thief.fd, work_3); // a run id that lives, on another connection
  CAF_REQUIRE(thief.until([&] { return !thief.data[3].empty(); }));
  std::string said = thief.data[3];
  const auto refusal = take_message(said);
  CAF_REQUIRE(refusal.has_value());
  CAF_CHECK(!std::get<frp::start_work_conn>(*refusal).error.empty());
  CAF_CHECK(thief.open && owner.open);
}

CAF_TEST(resets_parked_streams_that_speak) {
  world in;
  raw_client client{in};
  client.log_in();
  put(client.fd, work_3 + data_frame(3, "x"));
  in.settle();
  for (int i = 0; i < 4; ++i)
    in.pass(250ms);
  CAF_CHECK(client.until([&] { return client.reset.contains(3); }));
  CAF_CHECK(client.open);
}

CAF_TEST(resets_streams_whose_first_message_is_wrong_or_late) {
  world in;
  raw_client client{in};
  client.log_in();
  put(client.fd, frame(1, 1, 3, "", 0) + data_frame(3, frp::v1_frame(frp::ping{})));
  put(client.fd, frame(1, 1, 5, "", 0) + data_frame(5, "FRP"));
  put(client.fd, frame(1, 1, 7, "", 0) + data_frame(7, std::string{"w\0\0\0\0\0\0\x28\x01", 9}));
  put(client.fd, frame(1, 1, 9, "", 0));
  CAF_CHECK(client.until([&] { return client.reset.contains(3) && client.reset.contains(7); }));
  for (int i = 0; i < 5; ++i)
    in.pass(2'500ms);
  CAF_CHECK(client.until([&] { return client.reset.contains(9) && client.reset.contains(5); }));
  CAF_CHECK(client.open);
}

CAF_TEST(session_ends_with_its_control_stream) {
  world in;
  raw_client client{in};
  client.log_in();
  put(client.fd, frame(1, 4, 1, "", 0));
  CAF_CHECK(client.until([&] { return !client.open; }));
  CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
  CAF_CHECK(in.table.all().empty());
}

CAF_TEST(refused_login_ends_the_session_after_its_words) {
  world in;
  raw_client client{in};
  put(client.fd, syn_1 + data_frame(1, frp::v1_frame(plain_client::hello("wrong"))));
  CAF_REQUIRE(client.until([&] { return client.ended.contains(1); }));
  std::string said = client.data[1];
  const auto answer = take_message(said);
  CAF_REQUIRE(answer.has_value());
  CAF_CHECK_EQUAL(std::get<frp::login_resp>(*answer).error, "wrong token");
  CAF_CHECK(in.until([&] {
    in.pass(250ms);
    client.pull();
    return !client.open;
  }));
  CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
}

CAF_TEST(survives_random_frames) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 60; ++round) {
    world in;
    raw_client client{in};
    client.log_in();
    std::string noise;
    for (int i = 0; i < 30; ++i) {
      std::string body(random() % 50, '\0');
      for (auto& c : body)
        c = static_cast<char>(random());
      noise += frame(static_cast<char>(random() % 4), static_cast<char>(random() % 16),
                     random() % 8, body, static_cast<uint32_t>(body.size()));
    }
    put(client.fd, noise);
    in.settle();
    ::shutdown(client.fd, SHUT_WR);
    CAF_CHECK(in.until([&] { return in.gate.ends.size() == 1; }));
    CAF_CHECK(in.table.all().empty());
  }
}
