// A tunnel server on one loop with a fake gate, and raw clients at the other end of socketpairs.
#pragma once

#include "net/frp_session.hpp"

#include <caf/test/unit_test.hpp>

#include <fcntl.h>
#include <functional>
#include <set>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace frp_world {

using namespace harp::net;
using namespace std::chrono_literals;

inline std::string unhex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string{text.substr(i, 2)}, nullptr, 16));
  return out;
}

/// Says yes to the token `secret`, hands out the asked ports, remembers everything.
class fake_gate final : public frp_gate {
public:
  bool admit(const harp::ip_address&) override { return admits; }
  asio::awaitable<frp_login_answer> login(frp_login asked) override {
    logins.push_back(asked);
    frp_login_answer answer;
    if (asked.token != "secret")
      answer.error = "wrong token";
    else
      answer.run_id = asked.run_id.empty() ? "0123456789abcdef" : asked.run_id;
    co_return answer;
  }
  asio::awaitable<frp_claim_answer> claim(uint64_t, frp_proxy asked) override {
    claims.push_back(asked);
    frp_claim_answer answer;
    if (asked.remote_port < 23'000)
      answer.error = "port not allowed";
    else
      answer.port = asked.remote_port;
    co_return answer;
  }
  void running(uint64_t session, std::string name) override {
    last_session = session;
    ran.insert(std::move(name));
  }
  void release(uint64_t, std::string name) override { released.insert(std::move(name)); }
  void closed(uint64_t, std::string reason) override { ends.push_back(std::move(reason)); }

  bool admits = true;
  uint64_t last_session = 0;
  std::vector<frp_login> logins;
  std::vector<frp_proxy> claims;
  std::set<std::string> ran, released;
  std::vector<std::string> ends;
};

inline frp_server_settings quick_settings() {
  frp_server_settings out;
  out.tls_required = false;
  out.limits.login_error_delay = 1ms;
  return out;
}

/// Everything on one thread: the test's. Time moves when pass() says so.
struct world {
  explicit world(frp_server_settings settings = quick_settings())
      : server(std::move(settings), gate, table) {}
  ~world() {
    for (int fd : fds)
      ::close(fd);
    for (const auto& session : table.all())
      session->close("test over");
    settle();
  }

  /// Our end of a new connection.
  int connect() {
    int pair[2];
    CAF_REQUIRE_EQUAL(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    asio::generic::stream_protocol::socket socket{
        on.io(), asio::generic::stream_protocol{AF_UNIX, SOCK_STREAM}, pair[0]};
    launch(on.executor(), server.serve(on, std::move(socket), peer, 4711), "test connection");
    fds.push_back(pair[1]);
    return pair[1];
  }

  /// Runs what is ready.
  void settle() {
    on.io().restart();
    while (on.io().poll() > 0)
      on.io().restart();
  }

  /// Runs until `done`; at most five real seconds.
  bool until(const std::function<bool()>& done) {
    const auto give_up = std::chrono::steady_clock::now() + 5s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up)
        return false;
      on.io().restart();
      on.io().run_one_for(1ms);
    }
    return true;
  }

  /// Moves the coarse clock and lets consequences happen.
  void pass(clock::duration time) {
    on.check_deadlines(on.coarse_now() + time);
    settle();
  }

  loop on{0};
  harp::ip_address peer = *harp::ip_address::parse("192.0.2.9");
  fake_gate gate;
  tunnel_table table;
  frp_server server;
  std::vector<int> fds;
};

/// Appends what can be read now; false at the end of the connection.
inline bool drain(int fd, std::string& into) {
  for (;;) {
    char part[4096];
    const ssize_t got = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (got <= 0)
      return got < 0 && errno == EAGAIN;
    into.append(part, static_cast<size_t>(got));
  }
}

inline void put(int fd, std::string_view bytes) {
  CAF_REQUIRE_EQUAL(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT),
                    static_cast<ssize_t>(bytes.size()));
}

/// Takes the first complete v1 message out of `bytes`, if there is one.
inline std::optional<frp::message> take_message(std::string& bytes) {
  if (bytes.size() < frp::v1_header_bytes)
    return std::nullopt;
  const auto header = frp::v1_read_header(std::string_view{bytes}.substr(0, frp::v1_header_bytes));
  CAF_REQUIRE_EQUAL(header.error, "");
  if (bytes.size() < frp::v1_header_bytes + header.length)
    return std::nullopt;
  const auto body = std::string_view{bytes}.substr(frp::v1_header_bytes, header.length);
  auto got = frp::v1_read_body(header, body);
  CAF_REQUIRE_EQUAL(got.error, "");
  bytes.erase(0, frp::v1_header_bytes + header.length);
  return std::move(got.value);
}

/// A control conversation as a client without mux has it.
class plain_client {
public:
  plain_client(world& in, std::string_view auth_token = "")
      : in_(in), fd(in.connect()), reader_(frp::derive_key(auth_token)),
        writer_(frp::derive_key(auth_token)) {}

  static frp::login hello(std::string token = "secret", int64_t pool_count = 1) {
    frp::login out;
    out.version = "0.61.1";
    out.timestamp = 1'700'000'000;
    out.metas["token"] = std::move(token);
    out.pool_count = pool_count;
    return out;
  }

  void send(const frp::message& what) {
    std::string frame = frp::v1_frame(what);
    if (sealed_)
      CAF_REQUIRE(writer_.seal(frame, 0));
    put(fd, frame);
  }

  /// The next message, or none when the connection ended or nothing came.
  std::optional<frp::message> next() {
    std::optional<frp::message> out;
    in_.until([&] {
      pull();
      out = take_message(bytes_);
      return out || !open;
    });
    return out;
  }

  void pull() {
    std::string fresh;
    open = open && drain(fd, fresh);
    if (sealed_ && !fresh.empty()) {
      const auto plain = reader_.read(fresh.data(), fresh.size());
      CAF_REQUIRE(plain >= 0);
      fresh.resize(static_cast<size_t>(plain));
    }
    bytes_ += fresh;
  }

  template <class T>
  T must() {
    const auto got = next();
    CAF_REQUIRE(got.has_value());
    CAF_REQUIRE(std::holds_alternative<T>(*got));
    return std::get<T>(*got);
  }

  /// True when nothing comes and the connection stays open.
  bool quiet() {
    in_.settle();
    pull();
    return open && bytes_.empty();
  }

  bool ends() {
    return in_.until([&] {
      pull();
      return !open;
    });
  }

  frp::login_resp log_in(const frp::login& asked = hello()) {
    send(asked);
    auto answer = must<frp::login_resp>();
    sealed_ = answer.error.empty();
    if (sealed_ && !bytes_.empty()) // what came along with the answer is enciphered already
      bytes_.resize(static_cast<size_t>(reader_.read(bytes_.data(), bytes_.size())));
    return answer;
  }

  frp::new_proxy_resp expose(std::string name, uint16_t port) {
    frp::new_proxy asked;
    asked.name = std::move(name);
    asked.type = "tcp";
    asked.remote_port = port;
    send(asked);
    return must<frp::new_proxy_resp>();
  }

private:
  world& in_;

public:
  int fd;
  bool open = true;

private:
  frp::cfb_reader reader_;
  frp::cfb_writer writer_;
  bool sealed_ = false;
  std::string bytes_;
};

/// What an open() came to.
struct opened {
  bool done = false;
  work_stream got;
};

inline std::shared_ptr<opened> open_work(world& in, std::string name,
                                         milliseconds limit = 5'000ms) {
  auto out = std::make_shared<opened>();
  auto run = [](world& where, std::shared_ptr<opened> into, std::string what,
                milliseconds most) -> asio::awaitable<void> {
    const auto session = where.table.find(where.gate.last_session);
    if (session) {
      work_user user;
      user.src_port = 40'000;
      user.dst_port = 23'001;
      into->got = co_await session->open(what, user, most);
    } else {
      into->got.error = work_error::no_tunnel;
    }
    into->done = true;
  };
  launch(in.on.executor(), run(in, out, std::move(name), limit), "test open");
  return out;
}

/// A logged-in client whose proxy `app` runs; its first ReqWorkConn is consumed.
struct ready : world {
  explicit ready(frp_server_settings settings = quick_settings(), int64_t pool_count = 1)
      : world(std::move(settings)), client(*this) {
    CAF_REQUIRE_EQUAL(client.log_in(plain_client::hello("secret", pool_count)).error, "");
    for (int64_t i = 0; i < pool_count; ++i)
      client.must<frp::req_work_conn>();
    CAF_REQUIRE_EQUAL(client.expose("app", 23'001).error, "");
    settle();
  }

  int work(std::string run_id = "0123456789abcdef") {
    const int fd = connect();
    frp::new_work_conn hello;
    hello.run_id = std::move(run_id);
    put(fd, frp::v1_frame(hello));
    settle();
    return fd;
  }

  plain_client client;
};

inline bool closes(world& in, int fd) {
  std::string ignored;
  return in.until([&] { return !drain(fd, ignored); });
}

inline bool stays(world& in, int fd) {
  in.settle();
  std::string ignored;
  return drain(fd, ignored);
}

inline frp::start_work_conn must_start(world& in, int fd, std::string& bytes) {
  std::optional<frp::message> got;
  CAF_REQUIRE(in.until([&] {
    drain(fd, bytes);
    got = take_message(bytes);
    return got.has_value();
  }));
  CAF_REQUIRE(std::holds_alternative<frp::start_work_conn>(*got));
  return std::get<frp::start_work_conn>(*got);
}

} // namespace frp_world
