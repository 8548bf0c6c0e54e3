// Nodes on one thread, the test's: real sockets on loopback, a gate that remembers.
#pragma once

#include "net/node_endpoint.hpp"

#include <boost/asio/post.hpp>
#include <caf/test/unit_test.hpp>

#include <deque>
#include <functional>
#include <set>
#include <sys/socket.h>
#include <unistd.h>

namespace node_world {

using namespace harp;
using namespace harp::net;
using namespace std::chrono_literals;

inline node_identity_ptr identity(uint8_t number) {
  std::array<uint8_t, key_seed_bytes> seed{};
  seed.fill(number);
  return node_identity::from_seed(seed);
}

inline device_key key(uint8_t number) {
  return identity(number)->key();
}

class recording_gate final : public node_gate {
public:
  bool admits(const device_key& device) override { return members.contains(device); }
  void on_link(node_link_ptr link) override {
    links.push_back(link);
    if (reads)
      launch(link->home().executor(), read(*this, link), "test reader");
  }
  void on_data(node_link_ptr, stream_ptr stream) override { streams.push_back(std::move(stream)); }
  void on_end(node_link_ptr link, std::string reason) override {
    ended.emplace_back(link->facts().id, std::move(reason));
  }
  asio::awaitable<std::string> enrol(device_key joiner, std::string payload,
                                     ip_address from) override {
    enrolled.push_back({joiner, payload, from});
    while (holds_enrolment)
      co_await asio::post(co_await asio::this_coro::executor, nothrow);
    co_return answer;
  }

  struct enrolment {
    device_key joiner;
    std::string payload;
    ip_address from;
  };
  std::set<device_key> members;
  bool reads = true;
  std::vector<node_link_ptr> links;
  std::vector<peer_frame> frames;
  std::vector<stream_ptr> streams;
  std::vector<std::pair<uint64_t, std::string>> ended;
  std::vector<enrolment> enrolled;
  std::string answer = "welcome";
  bool holds_enrolment = false;

private:
  static asio::awaitable<void> read(recording_gate& self, node_link_ptr link) {
    for (;;) {
      auto frame = co_await link->next_frame();
      if (!frame)
        co_return;
      self.frames.push_back(std::move(*frame));
    }
  }
};

/// One node: its gate knows 1, 2 and 3.
struct node {
  node(runtime& loops, uint8_t number, node_identity_ptr governor = nullptr,
       node_limits limits = {}) {
    gate.members = {key(1), key(2), key(3)};
    auto made = node_endpoint::make(loops, gate, identity(number), std::move(governor), limits);
    CAF_REQUIRE(std::holds_alternative<std::shared_ptr<node_endpoint>>(made));
    end = std::get<std::shared_ptr<node_endpoint>>(made);
    CAF_REQUIRE_EQUAL(end->listen("127.0.0.1", 0), "");
    address = end->listening().front();
  }
  recording_gate gate;
  std::shared_ptr<node_endpoint> end;
  std::string address;
  [[nodiscard]] uint16_t port() const {
    return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
};

struct world {
  world() { loops.at(0).check_deadlines(net::clock::now()); }
  ~world() {
    for (auto& each : nodes)
      each->end->stop("test over");
    settle();
    for (auto& each : nodes) {
      each->gate.streams.clear();
      each->gate.links.clear();
    }
    settle();
    for (int fd : fds)
      ::close(fd);
    loops.drop_handlers();
  }

  node& add(uint8_t number, node_identity_ptr governor = nullptr, node_limits limits = {}) {
    nodes.push_back(std::make_unique<node>(loops, number, std::move(governor), limits));
    return *nodes.back();
  }
  void settle() {
    on.io().restart();
    while (on.io().poll() > 0)
      on.io().restart();
  }
  /// Runs until `done`; at most twenty real seconds.
  bool until(const std::function<bool()>& done) {
    auto give_up = net::clock::now() + 20s;
    while (!done()) {
      if (net::clock::now() > give_up)
        return false;
      on.io().restart();
      on.io().run_one_for(1ms);
    }
    return true;
  }
  /// Moves the clock of deadlines and lets consequences happen.
  void pass(net::clock::duration time) {
    on.check_deadlines(on.coarse_now() + time);
    settle();
  }
  template <class T>
  T run(asio::awaitable<T> work) {
    auto out = std::make_shared<std::optional<T>>();
    launch(on.executor(), keep(std::move(work), out), "test");
    CAF_REQUIRE(until([&out] { return out->has_value(); }));
    return std::move(**out);
  }
  dial_outcome dial(node& from, node& to, uint8_t number, const std::string& prefix = {},
                    const std::string& suffix = {}) {
    std::vector<std::string> addresses{prefix + to.address + suffix};
    return run(from.end->dial(on, addresses, key(number)));
  }
  /// A bare TCP connection from 127.0.0.`last`; -1 when refused.
  int connect(const node& to, int last = 1) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7f000000u + static_cast<uint32_t>(last));
    const auto* from = reinterpret_cast<const sockaddr*>(&address);
    bool good = ::bind(fd, from, sizeof address) == 0;
    address.sin_addr.s_addr = htonl(0x7f000001u);
    address.sin_port = htons(to.port());
    const auto* there = reinterpret_cast<const sockaddr*>(&address);
    good = good && ::connect(fd, there, sizeof address) == 0;
    fds.push_back(fd);
    CAF_REQUIRE(good);
    return fd;
  }
  /// True once the other side has ended the connection; what it said before goes into `said`.
  bool is_closed(int fd, std::string* said = nullptr) {
    char part[4096];
    for (;;) {
      ssize_t got = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
      if (got <= 0)
        return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      if (said != nullptr)
        said->append(part, static_cast<size_t>(got));
    }
  }

  runtime loops{1};
  loop& on = loops.at(0);
  std::vector<std::unique_ptr<node>> nodes;
  std::vector<int> fds;

private:
  template <class T>
  static asio::awaitable<void> keep(asio::awaitable<T> work,
                                    std::shared_ptr<std::optional<T>> into) {
    T got = co_await std::move(work);
    into->emplace(std::move(got));
  }
};

/// Reads everything that comes until the stream ends.
inline asio::awaitable<std::string> read_to_end(stream& from) {
  std::string out;
  std::array<char, 16 * 1024> piece;
  for (;;) {
    io_result got = co_await read_some(from, {piece.data(), piece.size()});
    if (got.status != io_status::ok)
      co_return out;
    out.append(piece.data(), got.bytes);
  }
}

} // namespace node_world
