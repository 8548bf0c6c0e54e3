// A whole HTTP front in memory: a client pipe on one side, a fake tunnel with pipes as upstreams on the other.
#pragma once

#include "net/http_front.hpp"
#include "tests/net/pipe_stream.hpp"

#include <caf/test/unit_test.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace harp::net {

/// Hands out pipes as work streams and keeps their far ends.
class fake_tunnel : public tunnel {
public:
  asio::awaitable<work_stream> open(std::string, work_user, milliseconds) override {
    ++opened;
    work_stream result;
    if (refuse != work_error::none) {
      result.error = refuse;
      co_return result;
    }
    auto [near, far] = pipe_stream::make_pair(capacity);
    far_ends.push_back(std::move(far));
    result.stream = std::move(near);
    co_return result;
  }
  asio::awaitable<bool> alive(milliseconds) override { co_return true; }
  void close(std::string) override {}
  tunnel_facts facts() const override { return {}; }

  work_error refuse = work_error::none;
  size_t capacity = 1 << 20;
  int opened = 0;
  std::vector<std::unique_ptr<pipe_stream>> far_ends;
};

/// Does with each request what the test says.
class fake_gate : public http_gate {
public:
  bool decide_now(const request_head& head, const connection_facts&, verdict& out) override {
    if (decides)
      decides(head, out);
    return true;
  }
  asio::awaitable<void> decide(const request_head&, const connection_facts&, verdict&) override { co_return; }
  asio::awaitable<void> complete(const request_head&, const connection_facts&, std::string body, verdict& out) override {
    out.what = verdict::action::respond;
    out.status = 200;
    out.body = "got " + body;
    co_return;
  }
  asio::awaitable<void> response_counted(const verdict&) override {
    ++counted;
    co_return;
  }
  void malformed(const connection_facts&, std::string_view) override { ++bad; }

  std::function<void(const request_head&, verdict&)> decides;
  int counted = 0;
  int bad = 0;
};

struct http_world {
  runtime loops{1};
  tunnel_table tunnels;
  metrics numbers;
  fake_gate gate;
  std::shared_ptr<fake_tunnel> app = std::make_shared<fake_tunnel>();
  std::unique_ptr<http_front> front;
  std::unique_ptr<pipe_stream> client;

  http_world() {
    tunnels.add(1, app);
    gate.decides = [](const request_head& head, verdict& out) { forward(head, out); };
    make_front({});
  }
  ~http_world() {
    client.reset();
    for (int round = 0; round < 3; ++round) { // a repeatable request is tried once more
      app->far_ends.clear();
      poll();
    }
    front->clear_pools();
    loops.drop_handlers();
  }

  static void forward(const request_head& head, verdict& out) {
    out.what = verdict::action::forward;
    auto to = std::make_shared<upstream>();
    to->where = upstream::kind::tunnel;
    to->tunnel = 1;
    to->proxy_name = "app";
    out.to = to;
    out.target = head.target;
    out.set_fields = "ex-app-id: app\r\n";
  }
  void make_front(http_limits limits) { front = std::make_unique<http_front>(loops, gate, tunnels, numbers, limits); }
  void connect(size_t capacity = 1 << 20) {
    auto [near, far] = pipe_stream::make_pair(capacity);
    client = std::move(near);
    connection_facts facts;
    facts.peer = *ip_address::parse("192.0.2.1");
    launch(loops.at(0).executor(), front->serve(loops.at(0), std::move(far), facts), "test");
    poll();
  }
  void poll() {
    loops.at(0).io().restart();
    loops.at(0).io().poll();
  }
  void pass(clock::duration time) {
    later += time;
    loops.at(0).check_deadlines(clock::now() + later);
    poll();
  }
  void send(std::string_view bytes) {
    CAF_REQUIRE_EQUAL(client->try_write(bytes).bytes, bytes.size());
    poll();
  }
  pipe_stream& up(size_t index = 0) {
    CAF_REQUIRE(app->far_ends.size() > index);
    return *app->far_ends[index];
  }
  void reply(std::string_view bytes, size_t index = 0) {
    up(index).try_write(bytes);
    poll();
  }
  std::string got() { return client->take_all(); }

  clock::duration later{};
};

} // namespace harp::net
