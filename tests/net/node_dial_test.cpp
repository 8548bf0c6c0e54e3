// Reaching a node: races of addresses, WebSockets, foreign proxies, links through a keeper.
#define CAF_SUITE node_dial
#include "tests/net/node_world.hpp"

#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/wait.h>

using namespace node_world;
namespace fs = std::filesystem;

namespace {

uint16_t free_port() {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  CAF_REQUIRE(::bind(fd, any, size) == 0 && ::getsockname(fd, any, &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

dial_outcome dial_all(world& w, node& from, std::vector<std::string> addresses, uint8_t number) {
  return w.run(from.end->dial(w.on, addresses, key(number)));
}

/// Frames and a stream of 3 MiB pass over a link.
void check_link(world& w, const node_link_ptr& link, node& far) {
  size_t before = far.gate.frames.size();
  size_t streams = far.gate.streams.size();
  CAF_CHECK(link->send_control(4, 0, "over there"));
  CAF_CHECK(w.until([&] { return far.gate.frames.size() == before + 1; }));
  auto stream = link->open_data();
  CAF_REQUIRE(stream != nullptr);
  struct sender {
    static asio::awaitable<void> run(stream_ptr to) {
      std::string body(1u << 20, 'b');
      for (int i = 0; i < 3; ++i)
        co_await write_frame(*to, 12, 0, "head", body);
      to->shutdown_write();
      peer_frame ignored;
      co_await read_frame(*to, ignored);
    }
  };
  launch(w.on.executor(), sender::run(std::move(stream)), "sender");
  CAF_REQUIRE(w.until([&] { return far.gate.streams.size() == streams + 1; }));
  peer_frame frame;
  for (int i = 0; i < 3; ++i) {
    CAF_REQUIRE(w.run(read_frame(*far.gate.streams.back(), frame)) == frame_status::ok);
    CAF_CHECK_EQUAL(frame.payload.size(), (1u << 20) + 4);
  }
  CAF_CHECK(w.run(read_frame(*far.gate.streams.back(), frame)) == frame_status::end);
  far.gate.streams.pop_back();
}

} // namespace

CAF_TEST(addresses_have_one_form) {
  const std::pair<const char*, const char*> good[] = {
      {"host", "host:8784"},
      {"10.0.0.1:99", "10.0.0.1:99"},
      {"[fd00::1]:99", "[fd00::1]:99"},
      {"fd00::1", "[fd00::1]:8784"},
      {"[fd00::1]", "[fd00::1]:8784"},
      {"wss://cloud.example/harp", "wss://cloud.example:443/harp"},
      {"wss://cloud.example", "wss://cloud.example:443/harp"},
      {"ws://[::1]:80/sub/harp", "ws://[::1]:80/sub/harp"},
  };
  for (const auto& [text, wanted] : good) {
    auto parsed = node_address::parse(text);
    CAF_REQUIRE(parsed.has_value());
    CAF_CHECK_EQUAL(parsed->to_string(), wanted);
    CAF_CHECK(node_address::parse(parsed->to_string()) == parsed);
  }
  for (const char* bad :
       {"", ":", "host:", "host:0", "host:65536", "host:8784x", "ho st", "host\r\nX: y", "[fd00::1",
        "[host]:1", "a:b:c", "https://x/harp", "wss://", "wss:///harp", "wss://h/a b",
        "wss://h/a?b", "wss://h/\r\nX", "user@host"})
    CAF_CHECK(!node_address::parse(bad));
  CAF_CHECK(!node_address::parse(std::string(600, 'h')));
}

CAF_TEST(right_key_among_many_addresses_wins) {
  world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  auto& other = t.add(3);
  std::string dead = "127.0.0.1:" + std::to_string(free_port());
  auto out = dial_all(t, a, {"no such host", dead, other.address, "", b.address}, 2);
  CAF_CHECK_EQUAL(out.words, "");
  CAF_REQUIRE(out.link != nullptr);
  CAF_CHECK(out.link->peer() == key(2));
  CAF_CHECK_EQUAL(out.address, b.address);
  t.settle();
  CAF_CHECK_EQUAL(b.gate.links.size(), 1u);
  CAF_CHECK(other.gate.links.empty());
}

CAF_TEST(mute_address_does_not_hold_up_the_next) {
  world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  int mute = ::socket(AF_INET, SOCK_STREAM, 0); // takes connections and says nothing
  t.fds.push_back(mute);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  CAF_REQUIRE(::bind(mute, any, size) == 0 && ::listen(mute, 8) == 0);
  CAF_REQUIRE(::getsockname(mute, any, &size) == 0);
  std::string first = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  auto began = net::clock::now();
  auto out = dial_all(t, a, {first, b.address}, 2);
  CAF_REQUIRE(out.link != nullptr);
  CAF_CHECK(net::clock::now() - began < 5s);
  struct ask {
    static asio::awaitable<void> run(world& w, node& from, std::string to,
                                     std::optional<dial_outcome>& into) {
      std::vector<std::string> addresses{to};
      into = co_await from.end->dial(w.on, addresses, key(2));
    }
  };
  std::optional<dial_outcome> alone;
  launch(t.on.executor(), ask::run(t, a, first, alone), "dial");
  t.settle();
  t.pass(9s);
  CAF_CHECK(!alone);
  t.pass(2s);
  CAF_REQUIRE(t.until([&] { return alone.has_value(); }));
  CAF_CHECK(alone->link == nullptr);
  CAF_CHECK(alone->error == link_error::unreachable);
}

CAF_TEST(failures_say_which_address_failed_why) {
  world t;
  auto& a = t.add(1);
  std::string dead = "127.0.0.1:" + std::to_string(free_port());
  auto out = dial_all(t, a, {dead}, 2);
  CAF_CHECK(out.error == link_error::unreachable);
  CAF_CHECK_EQUAL(out.words, dead + ": nobody listens there");
  CAF_CHECK(dial_all(t, a, {"???", ""}, 2).error == link_error::bad_address);
  CAF_CHECK(dial_all(t, a, {}, 2).error == link_error::bad_address);
  CAF_CHECK(dial_all(t, a, {dead}, 77).error == link_error::not_admitted);
  a.end->stop("over");
  CAF_CHECK(dial_all(t, a, {dead}, 2).link == nullptr);
}

// -- WebSocket ----------------------------------------------------------------------------------------

CAF_TEST(websocket_carries_the_same_link) {
  world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  auto out = t.dial(a, b, 2, "ws://", "/harp");
  CAF_CHECK_EQUAL(out.words, "");
  CAF_REQUIRE(out.link != nullptr);
  CAF_CHECK(out.link->facts().path == link_path::websocket);
  CAF_CHECK(b.gate.links.front()->facts().path == link_path::websocket);
  check_link(t, out.link, b);
  check_link(t, b.gate.links.front(), a);
  auto wrong = t.dial(a, b, 2, "ws://", "/other");
  CAF_CHECK(wrong.link == nullptr);
  CAF_CHECK(wrong.words.find("404") != std::string::npos);
  auto& stranger = t.add(9);
  CAF_CHECK(t.dial(stranger, b, 2, "ws://", "/harp").error == link_error::refused);
  out.link->close("over");
  CAF_CHECK(t.until([&] { return b.gate.ended.size() == 1; }));
}

namespace {

/// A foreign program until the end of the test.
class child {
public:
  explicit child(std::vector<std::string> words) {
    std::vector<char*> raw;
    for (auto& each : words)
      raw.push_back(each.data());
    raw.push_back(nullptr);
    if (::posix_spawn(&pid_, raw[0], nullptr, nullptr, raw.data(), environ) != 0)
      pid_ = -1;
  }
  ~child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;

private:
  pid_t pid_ = -1;
};

struct proxy_files {
  proxy_files() {
    std::string form = (fs::temp_directory_path() / "harp-dial-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(form.data()) != nullptr);
    dir = form;
    key_ptr made = make_rsa_key();
    auto certificate = make_certificate(
        made.get(), {"localhost", "", false, 9, random_serial_hex()}, nullptr, made.get());
    write("both.pem", to_pem(certificate.get()) + to_pem(made.get()));
  }
  ~proxy_files() { fs::remove_all(dir); }
  proxy_files(const proxy_files&) = delete;
  proxy_files& operator=(const proxy_files&) = delete;
  void write(const std::string& name, const std::string& text) const {
    std::ofstream{dir + "/" + name} << text;
  }
  std::string dir;
};

void check_through(world& t, node& a, node& b, uint16_t port) {
  std::string address = "wss://127.0.0.1:" + std::to_string(port) + "/harp";
  dial_outcome out;
  bool up = t.until([&] { // until the proxy listens
    out = dial_all(t, a, {address}, 2);
    return out.link != nullptr;
  });
  CAF_CHECK_EQUAL(out.words, "");
  CAF_REQUIRE(up);
  check_link(t, out.link, b);
  check_link(t, b.gate.links.front(), a);
  out.link->close("over");
  CAF_CHECK(t.until([&] { return b.gate.ended.size() == b.gate.links.size(); }));
}

} // namespace

CAF_TEST(real_haproxy_with_tls_passes_a_link) {
  if (!fs::exists("/usr/sbin/haproxy")) {
    CAF_MESSAGE("SKIPPED: haproxy is not installed");
    return;
  }
  world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  proxy_files files;
  uint16_t port = free_port();
  files.write("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n"
                             " timeout server 30s\n timeout tunnel 1h\nfrontend f\n bind 127.0.0.1:"
                                 + std::to_string(port) + " ssl crt " + files.dir
                                 + "/both.pem\n default_backend b\nbackend b\n server s "
                                 + b.address + "\n");
  child proxy{{"/usr/sbin/haproxy", "-db", "-q", "-f", files.dir + "/haproxy.cfg"}};
  check_through(t, a, b, port);
}

CAF_TEST(real_nginx_with_tls_passes_a_link) {
  if (!fs::exists("/usr/sbin/nginx")) {
    CAF_MESSAGE("SKIPPED: nginx is not installed");
    return;
  }
  world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  proxy_files files;
  uint16_t port = free_port();
  std::string d = files.dir;
  files.write("nginx.conf",
              "daemon off; master_process off; pid " + d + "/pid; error_log " + d
                  + "/error.log;\nevents {}\nhttp { access_log off; client_body_temp_path " + d
                  + "/1; proxy_temp_path " + d + "/2; fastcgi_temp_path " + d
                  + "/3; uwsgi_temp_path " + d + "/4; scgi_temp_path " + d
                  + "/5;\nserver { listen 127.0.0.1:" + std::to_string(port)
                  + " ssl; ssl_certificate " + d + "/both.pem; ssl_certificate_key " + d
                  + "/both.pem; location /harp { proxy_pass http://" + b.address
                  + "; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
                    " proxy_set_header Connection upgrade; proxy_set_header Host $host; } } }\n");
  child proxy{{"/usr/sbin/nginx", "-e", d + "/error.log", "-c", d + "/nginx.conf"}};
  check_through(t, a, b, port);
}

// -- through a keeper -----------------------------------------------------------------------------------

namespace {

/// a and c are linked to keeper b; a stream of each, spliced there.
struct relayed : world {
  relayed() : a(add(1)), keeper(add(2)), c(add(3)) {
    auto near = dial(a, keeper, 2);
    CAF_REQUIRE(near.link != nullptr);
    auto far = dial(c, keeper, 2);
    CAF_REQUIRE(far.link != nullptr);
    CAF_REQUIRE(until([this] { return keeper.gate.links.size() == 2; }));
    to_a = near.link;
    from_a = near.link->open_data();
    CAF_REQUIRE(from_a != nullptr);
    CAF_REQUIRE(until([this] { return keeper.gate.streams.size() == 1; }));
    at_keeper = std::move(keeper.gate.streams[0]);
    keeper.gate.streams.clear();
    towards_c = keeper.end->links_of(key(3)).front()->open_data();
    CAF_REQUIRE(until([this] { return c.gate.streams.size() == 1; }));
    at_c = std::move(c.gate.streams[0]);
    c.gate.streams.clear();
  }
  static asio::awaitable<void> carry(loop& on, stream_ptr x, stream_ptr y) {
    co_await splice(on, std::move(x), std::move(y), {});
  }
  static asio::awaitable<void> take(world& w, node& at, stream_ptr over,
                                    std::optional<device_key> expected,
                                    std::optional<dial_outcome>& into) {
    into = co_await at.end->accept_relayed(w.on, std::move(over), expected);
  }
  node& a;
  node& keeper;
  node& c;
  node_link_ptr to_a;
  stream_ptr from_a, at_keeper, towards_c, at_c;
};

} // namespace

CAF_TEST(link_through_a_keeper_is_end_to_end) {
  relayed t;
  std::optional<dial_outcome> accepted;
  launch(t.on.executor(), relayed::carry(t.on, std::move(t.at_keeper), std::move(t.towards_c)), "");
  launch(t.on.executor(), relayed::take(t, t.c, std::move(t.at_c), key(1), accepted), "");
  auto out = t.run(t.a.end->dial_relayed(t.on, std::move(t.from_a), key(3)));
  CAF_CHECK_EQUAL(out.words, "");
  CAF_REQUIRE(out.link != nullptr);
  CAF_REQUIRE(accepted && accepted->link != nullptr);
  CAF_CHECK(out.link->peer() == key(3));
  CAF_CHECK(accepted->link->peer() == key(1));
  CAF_CHECK(out.link->facts().path == link_path::relayed);
  check_link(t, out.link, t.c);
  check_link(t, accepted->link, t.a);
  // The keeper's end of it ends both.
  for (const auto& each : t.keeper.end->links())
    each->close("keeper goes");
  CAF_CHECK(t.until([&] { return !out.link->is_open() && !accepted->link->is_open(); }));
}

CAF_TEST(keeper_in_the_middle_is_found_out) {
  relayed t;
  std::optional<dial_outcome> accepted;
  launch(t.on.executor(),
         relayed::take(t, t.keeper, std::move(t.at_keeper), std::nullopt, accepted), "");
  auto out = t.run(t.a.end->dial_relayed(t.on, std::move(t.from_a), key(3)));
  CAF_CHECK(out.link == nullptr);
  CAF_CHECK(out.error == link_error::wrong_key);
  CAF_REQUIRE(t.until([&] { return accepted.has_value(); }));
  CAF_CHECK(accepted->link == nullptr);
  CAF_CHECK(t.to_a->is_open());
}

CAF_TEST(relayed_stranger_and_unexpected_member_are_refused) {
  for (bool stranger : {true, false}) {
    relayed t;
    if (stranger)
      t.c.gate.members.erase(key(1));
    std::optional<dial_outcome> accepted;
    launch(t.on.executor(), relayed::carry(t.on, std::move(t.at_keeper), std::move(t.towards_c)),
           "");
    std::optional<device_key> expected;
    if (!stranger)
      expected = key(2);
    launch(t.on.executor(), relayed::take(t, t.c, std::move(t.at_c), expected, accepted), "");
    auto out = t.run(t.a.end->dial_relayed(t.on, std::move(t.from_a), key(3)));
    CAF_CHECK(out.link == nullptr);
    CAF_CHECK(out.error == link_error::refused);
    CAF_REQUIRE(t.until([&] { return accepted.has_value(); }));
    CAF_CHECK(accepted->error == link_error::not_admitted);
    CAF_CHECK_EQUAL(t.c.gate.links.size(), 1u); // the one with the keeper
  }
}
