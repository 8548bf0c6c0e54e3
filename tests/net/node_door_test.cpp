// Who gets through the door of node links, and what those cost who do not (quality.md N01, J02, S7).
#define CAF_SUITE node_door
#include "net/dialer.hpp"
#include "tests/net/node_world.hpp"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <random>

using namespace node_world;
namespace fs = std::filesystem;

namespace {

/// A joiner's or stranger's TLS connection with any protocol and key.
tls_result knock(world& w, node& to, uint8_t number, const std::string& alpn) {
  std::vector<tls_key_row> rows{{alpn, identity(number)}};
  auto made = tls_context::client(rows);
  dialer connect{w.on};
  auto reached = w.run(connect.tcp("127.0.0.1", to.port(), 5s));
  CAF_REQUIRE(reached.stream != nullptr);
  auto anybody = [](std::string_view, std::string_view) { return true; };
  return w.run(tls_connect(w.on, std::move(reached.stream),
                           std::get<std::shared_ptr<tls_context>>(made), anybody, 5s));
}

/// Is the door still good for members?
void check_members(world& w, node& at) {
  auto& fresh = w.add(3);
  auto out = w.dial(fresh, at, 2);
  CAF_CHECK_EQUAL(out.words, "");
  CAF_CHECK(out.link != nullptr);
}

/// Runs a shell command while the world goes on; its output.
std::string shell(world& w, const std::string& command) {
  std::FILE* pipe = ::popen(("( " + command + " ) 2>&1 </dev/null").c_str(), "r");
  CAF_REQUIRE(pipe != nullptr);
  int fd = ::fileno(pipe);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string out;
  bool ended = w.until([&] {
    char part[4096];
    ssize_t got = ::read(fd, part, sizeof part);
    if (got > 0)
      out.append(part, static_cast<size_t>(got));
    return got == 0;
  });
  ::pclose(pipe);
  CAF_CHECK(ended);
  return out;
}

struct openssl_files {
  openssl_files() {
    std::string form = (fs::temp_directory_path() / "harp-door-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(form.data()) != nullptr);
    dir = form;
  }
  ~openssl_files() { fs::remove_all(dir); }
  openssl_files(const openssl_files&) = delete;
  openssl_files& operator=(const openssl_files&) = delete;
  std::string dir;
};

} // namespace

// -- strangers ----------------------------------------------------------------------------------------

CAF_TEST(unknown_device_is_refused_inside_the_handshake) {
  world t;
  auto& a = t.add(9); // nobody knows 9
  auto& b = t.add(2);
  auto out = t.dial(a, b, 2);
  CAF_CHECK(out.link == nullptr);
  CAF_CHECK(out.error == link_error::refused);
  CAF_CHECK(out.words.find("unknown ca") != std::string::npos);
  CAF_CHECK_EQUAL(b.end->counts().unknown_key, 1u);
  CAF_CHECK_EQUAL(b.end->counts().accepted, 0u);
  CAF_CHECK(b.gate.links.empty());
  CAF_CHECK(a.gate.links.empty());
  CAF_CHECK(b.gate.frames.empty());
}

CAF_TEST(other_node_at_the_address_is_named_and_learns_nothing) {
  world t;
  auto& a = t.add(1);
  auto& impostor = t.add(3);
  auto out = t.dial(a, impostor, 2);
  CAF_CHECK(out.error == link_error::wrong_key);
  CAF_CHECK(out.words.find(fingerprint_text(key(3))) != std::string::npos);
  CAF_REQUIRE(t.until([&] { return impostor.end->counts().bad_handshake == 1; }));
  CAF_CHECK_EQUAL(impostor.end->counts().unknown_key, 0u); // our certificate was not shown
}

CAF_TEST(noise_of_a_mebibyte_is_dropped_unread) {
  world t;
  auto& b = t.add(2);
  unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int first : {0x00, 0x15, 0x16, 0x80, 0x50}) {
    std::string noise(1u << 20, '\0');
    for (auto& each : noise)
      each = static_cast<char>(random());
    noise[0] = static_cast<char>(first);
    int fd = t.connect(b);
    uint64_t before = b.end->counts().bad_handshake;
    bool over = t.until([&] {
      if (!noise.empty()) {
        ssize_t sent = ::send(fd, noise.data(), noise.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
          noise.erase(0, static_cast<size_t>(sent));
      }
      return b.end->counts().bad_handshake > before;
    });
    CAF_CHECK(over);
    CAF_CHECK(t.until([&] { return t.is_closed(fd); }));
  }
  CAF_CHECK(b.gate.links.empty());
  check_members(t, b);
}

CAF_TEST(silent_connection_is_closed_after_ten_seconds) {
  world t;
  auto& b = t.add(2);
  int silent = t.connect(b);
  int half = t.connect(b);
  CAF_REQUIRE_EQUAL(::send(half, "\x16\x03", 2, MSG_NOSIGNAL), 2);
  CAF_REQUIRE(t.until([&] { return b.end->half_open_count() == 2; }));
  t.settle();
  t.pass(9s);
  CAF_CHECK(!t.is_closed(silent));
  CAF_CHECK(!t.is_closed(half));
  t.pass(2s);
  CAF_CHECK(t.until([&] { return t.is_closed(silent) && t.is_closed(half); }));
  CAF_CHECK_EQUAL(b.end->half_open_count(), 0u);
}

CAF_TEST(stop_ends_listening_handshakes_and_links) {
  world t;
  auto& b = t.add(2);
  auto& a = t.add(1);
  auto up = t.dial(a, b, 2);
  CAF_REQUIRE(up.link != nullptr);
  int half = t.connect(b);
  CAF_REQUIRE(t.until([&] { return b.end->half_open_count() == 1; }));
  b.end->stop("going away");
  CAF_CHECK(t.until([&] { return t.is_closed(half) && !up.link->is_open(); }));
  CAF_CHECK_EQUAL(b.gate.ended.size(), 1u);
  CAF_CHECK_EQUAL(b.gate.ended[0].second, "going away");
  CAF_CHECK(t.dial(a, b, 2).link == nullptr);
  CAF_CHECK(!b.end->listen("127.0.0.1", 0).empty());
}

CAF_TEST(one_address_gets_sixteen_handshakes) {
  world t;
  auto& b = t.add(2);
  std::vector<int> all;
  for (int i = 0; i < 20; ++i)
    all.push_back(t.connect(b, 7));
  CAF_REQUIRE(t.until([&] { return b.end->counts().shed == 4; }));
  CAF_CHECK_EQUAL(b.end->half_open_count(), 16u);
  CAF_CHECK(t.until([&] { return t.is_closed(all[19]); }));
  CAF_CHECK(!t.is_closed(all[0]));
  check_members(t, b); // from another address
}

CAF_TEST(thousand_half_handshakes_do_not_keep_members_out) {
  world t;
  auto& b = t.add(2);
  auto& a = t.add(1);
  auto before = t.dial(a, b, 2);
  CAF_REQUIRE(before.link != nullptr);
  for (int i = 0; i < 1000; ++i) {
    int fd = t.connect(b, 2 + i / 15);
    if (i % 2 == 0)
      CAF_REQUIRE_EQUAL(::send(fd, "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), 4);
    t.settle();
  }
  CAF_REQUIRE(t.until([&] { return b.end->counts().shed == 1000 - 256; }));
  CAF_CHECK_EQUAL(b.end->half_open_count(), 256u);
  check_members(t, b);
  CAF_CHECK(before.link->is_open());
  CAF_CHECK(before.link->send_control(4, 0, "still here"));
  CAF_CHECK(t.until([&] { return b.gate.frames.size() == 1; }));
}

// -- foreign TLS clients ------------------------------------------------------------------------------

CAF_TEST(openssl_clients_without_the_right_key_are_refused) {
  world t;
  auto& b = t.add(2);
  openssl_files files;
  std::string make = "cd " + files.dir + " && openssl req -x509 -nodes -days 9 -subj /CN=x ";
  shell(t, make + "-newkey rsa:2048 -keyout rsa.key -out rsa.crt");
  shell(t, make + "-newkey ed25519 -keyout ed.key -out ed.crt");
  shell(t, make + "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout ec.key -out ec.crt");
  std::string client = "cd " + files.dir + " && timeout 10 openssl s_client -connect " + b.address
                       + " -alpn harp/1 ";
  struct attempt {
    const char* options;
    const char* answer; // part of what s_client says of the alert
    bool key_seen;
  };
  const attempt attempts[] = {
      {"", "alert certificate required", false},
      {"-cert rsa.crt -key rsa.key", "alert certificate required", false},
      {"-cert ec.crt -key ec.key", "alert certificate required", false},
      {"-cert ed.crt -key ed.key", "alert unknown ca", true},
      {"-cert ed.crt -key ed.key -cert_chain rsa.crt", "alert", false},
      {"-cert ed.crt -key ed.key -tls1_2", "alert protocol version", false},
  };
  for (const auto& each : attempts) {
    uint64_t unknown = b.end->counts().unknown_key;
    uint64_t bad = b.end->counts().bad_handshake;
    std::string said = shell(t, client + "-ign_eof " + each.options);
    CAF_CHECK(said.find(each.answer) != std::string::npos);
    if (said.find(each.answer) == std::string::npos)
      CAF_MESSAGE(each.options << ": " << said);
    bool counted = t.until([&] {
      return b.end->counts().unknown_key + b.end->counts().bad_handshake == unknown + bad + 1;
    });
    CAF_CHECK(counted);
    CAF_CHECK_EQUAL(b.end->counts().unknown_key - unknown, each.key_seen ? 1u : 0u);
  }
  CAF_CHECK(b.gate.links.empty());
}

CAF_TEST(tls_is_1_3_with_an_ed25519_certificate_that_never_ends) {
  world t;
  auto& b = t.add(2);
  std::string said = shell(t, "timeout 10 openssl s_client -connect " + b.address
                                  + " -alpn harp/1 -showcerts | tee /dev/stderr | openssl x509 "
                                    "-noout -enddate -text");
  CAF_CHECK(said.find("TLSv1.3") != std::string::npos);
  CAF_CHECK(said.find("notAfter=Dec 31 23:59:59 9999 GMT") != std::string::npos);
  CAF_CHECK(said.find("ED25519") != std::string::npos);
}

CAF_TEST(protocols_that_are_not_ours_are_refused) {
  world t;
  auto& b = t.add(2);
  for (const char* alpn : {"h2", "http/1.1", "harp/2", "harp-join/1"}) { // 2 is no governor
    auto out = knock(t, b, 1, alpn);
    CAF_CHECK(out.stream == nullptr);
  }
  CAF_CHECK(knock(t, b, 1, "harp/1").stream != nullptr);
}

// -- joiners ------------------------------------------------------------------------------------------

namespace {

enrol_outcome enrol(world& w, node& from, node& at, const device_key& governor,
                    const std::string& payload) {
  std::vector<std::string> addresses{at.address};
  auto right = [governor](const device_key& seen) { return seen == governor; };
  return w.run(from.end->enrol(w.on, addresses, right, payload));
}

} // namespace

CAF_TEST(joiner_sends_one_frame_to_the_governor_key_and_gets_its_answer) {
  world t;
  auto& governor = t.add(2, identity(100));
  auto& joiner = t.add(9);
  governor.gate.answer = std::string(200'000, 'a');
  auto out = enrol(t, joiner, governor, key(100), "secret");
  CAF_CHECK_EQUAL(out.words, "");
  CAF_CHECK_EQUAL(out.answer, governor.gate.answer);
  CAF_CHECK(out.governor == key(100));
  CAF_REQUIRE_EQUAL(governor.gate.enrolled.size(), 1u);
  CAF_CHECK(governor.gate.enrolled[0].joiner == key(9));
  CAF_CHECK_EQUAL(governor.gate.enrolled[0].payload, "secret");
  CAF_CHECK_EQUAL(governor.gate.enrolled[0].from.to_string(), "127.0.0.1");
  CAF_CHECK(governor.gate.links.empty());
  // Members still see the device key there.
  CAF_CHECK(t.dial(t.add(1), governor, 2).link != nullptr);
}

CAF_TEST(impostor_never_gets_the_secret) {
  world t;
  auto& impostor = t.add(2, identity(66));
  auto& joiner = t.add(9);
  auto out = enrol(t, joiner, impostor, key(100), "secret");
  CAF_CHECK(out.error == link_error::wrong_key);
  CAF_CHECK(out.governor == key(66));
  CAF_CHECK(out.words.find(fingerprint_text(key(66))) != std::string::npos);
  CAF_CHECK(out.answer.empty());
  CAF_CHECK(impostor.gate.enrolled.empty());
  auto& plain = t.add(3); // no governor at all
  CAF_CHECK(!enrol(t, joiner, plain, key(100), "secret").words.empty());
  CAF_CHECK(plain.gate.enrolled.empty());
}

CAF_TEST(joiner_may_say_nothing_but_one_small_enrol_frame) {
  world t;
  auto& governor = t.add(2, identity(100));
  const std::string refused[] = {
      encode_peer_frame(22, 0, std::string(1025, 'x')),
      encode_peer_frame(22, peer_flag::answer, "an answer"),
      encode_peer_frame(1, 0, "hello"),
      std::string(12, '\0'),
      "GET / HTTP/1.1\r\n\r\n",
  };
  for (const auto& bytes : refused) {
    auto out = knock(t, governor, 9, "harp-join/1");
    CAF_REQUIRE(out.stream != nullptr);
    out.stream->try_write(bytes);
    CAF_CHECK_EQUAL(t.run(read_to_end(*out.stream)), "");
  }
  CAF_CHECK(governor.gate.enrolled.empty());
  auto out = knock(t, governor, 9, "harp-join/1");
  std::string both = encode_peer_frame(22, 0, std::string(1024, 'x'));
  out.stream->try_write(both + both);
  CAF_CHECK_EQUAL(t.run(read_to_end(*out.stream)),
                  encode_peer_frame(22, peer_flag::answer, "welcome"));
  CAF_CHECK_EQUAL(governor.gate.enrolled.size(), 1u);
}

CAF_TEST(silent_joiner_is_let_go_and_their_number_is_limited) {
  world t;
  node_limits limits;
  limits.joiners_max = 3;
  auto& governor = t.add(2, identity(100), limits);
  std::vector<tls_result> waiting;
  for (int i = 0; i < 3; ++i)
    waiting.push_back(knock(t, governor, 9, "harp-join/1"));
  t.settle();
  auto fourth = knock(t, governor, 10, "harp-join/1");
  CAF_REQUIRE(fourth.stream != nullptr);
  CAF_CHECK_EQUAL(t.run(read_to_end(*fourth.stream)), "");
  CAF_CHECK_EQUAL(governor.end->counts().joins_refused, 1u);
  t.pass(11s);
  for (auto& each : waiting)
    CAF_CHECK_EQUAL(t.run(read_to_end(*each.stream)), "");
  CAF_CHECK_EQUAL(governor.end->counts().joins_refused, 4u);
  auto& joiner = t.add(9);
  CAF_CHECK_EQUAL(enrol(t, joiner, governor, key(100), "s").answer, "welcome");
}

CAF_TEST(fifty_joiners_at_once_are_all_answered) {
  world t;
  node_limits limits;
  limits.half_open_per_address_max = 64;
  auto& governor = t.add(2, identity(100), limits);
  auto& joiner = t.add(9);
  governor.gate.holds_enrolment = true;
  size_t answered = 0;
  struct ask {
    static asio::awaitable<void> one(world& w, node& from, std::string to, size_t& count) {
      std::vector<std::string> addresses{to};
      auto any = [](const device_key&) { return true; };
      auto out = co_await from.end->enrol(w.on, addresses, any, "secret");
      count += out.answer == "welcome" ? 1 : 0;
    }
  };
  for (int i = 0; i < 50; ++i)
    launch(t.on.executor(), ask::one(t, joiner, governor.address, answered), "joiner");
  CAF_REQUIRE(t.until([&] { return governor.gate.enrolled.size() == 50; }));
  governor.gate.holds_enrolment = false;
  CAF_REQUIRE(t.until([&] { return answered == 50; }));
}

CAF_TEST(known_device_gets_no_link_under_the_joiners_protocol) {
  world t;
  auto& governor = t.add(2, identity(100));
  auto out = knock(t, governor, 1, "harp-join/1");
  CAF_REQUIRE(out.stream != nullptr);
  CAF_CHECK(out.peer_key == key(100).view());
  out.stream->try_write(std::string("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00", 12));
  CAF_CHECK_EQUAL(t.run(read_to_end(*out.stream)), "");
  CAF_CHECK(governor.gate.links.empty());
}
