// Node links used from other threads than their loops', as actors do.
#define CAF_SUITE node_threads
#include "tests/net/node_world.hpp"

#include <atomic>
#include <thread>

using namespace node_world;

namespace {

/// Counts; every call may come on any loop's thread.
class counting_gate final : public node_gate {
public:
  bool admits(const device_key&) override { return true; }
  void on_link(node_link_ptr link) override {
    launch(link->home().executor(), read(*this, link), "test reader");
    std::lock_guard held{mutex_};
    links_.push_back(std::move(link));
  }
  void on_data(node_link_ptr link, stream_ptr stream) override {
    launch(link->home().executor(), drain(*this, std::move(stream)), "test drain");
  }
  void on_end(node_link_ptr, std::string) override { ++ended; }
  asio::awaitable<std::string> enrol(device_key, std::string, ip_address) override { co_return ""; }
  std::vector<node_link_ptr> links() {
    std::lock_guard held{mutex_};
    return links_;
  }
  void forget_links() {
    std::lock_guard held{mutex_};
    links_.clear();
  }

  std::atomic<size_t> frames{0};
  std::atomic<size_t> bytes{0};
  std::atomic<size_t> ended{0};

private:
  static asio::awaitable<void> read(counting_gate& self, node_link_ptr link) {
    for (;;) {
      auto frame = co_await link->next_frame();
      if (!frame)
        co_return;
      ++self.frames;
    }
  }
  static asio::awaitable<void> drain(counting_gate& self, stream_ptr stream) {
    peer_frame frame;
    for (;;) {
      auto status = co_await read_frame(*stream, frame);
      if (status != frame_status::ok)
        co_return;
      self.bytes += frame.payload.size();
    }
  }
  std::mutex mutex_;
  std::vector<node_link_ptr> links_;
};

bool eventually(const std::function<bool()>& done) {
  auto give_up = net::clock::now() + 60s;
  while (!done()) {
    if (net::clock::now() > give_up)
      return false;
    std::this_thread::yield();
  }
  return true;
}

asio::awaitable<void> dial_many(std::shared_ptr<node_endpoint> from, loop& on, std::string to,
                                int links, std::atomic<int>& up) {
  for (int i = 0; i < links; ++i) {
    std::vector<std::string> addresses{to};
    auto out = co_await from->dial(on, addresses, key(2));
    up += out.link ? 1 : 0;
  }
}

asio::awaitable<void> send_stream(node_link_ptr link) {
  stream_ptr stream = link->open_data();
  if (!stream)
    co_return;
  std::string body(100'000, 'b');
  for (int i = 0; i < 20; ++i)
    co_await write_frame(*stream, 12, 0, "head", body);
  stream->shutdown_write();
}

} // namespace

CAF_TEST(links_may_be_used_and_ended_from_any_thread) {
  runtime loops{2};
  counting_gate near, far;
  auto a = std::get<std::shared_ptr<node_endpoint>>(node_endpoint::make(loops, near, identity(1)));
  auto b = std::get<std::shared_ptr<node_endpoint>>(node_endpoint::make(loops, far, identity(2)));
  CAF_REQUIRE_EQUAL(b->listen("127.0.0.1", 0), "");
  loops.start();
  std::atomic<int> up{0};
  for (size_t i = 0; i < 2; ++i)
    launch(loops.at(i).executor(), dial_many(a, loops.at(i), b->listening().front(), 2, up),
           "dial");
  CAF_REQUIRE(eventually([&] { return up == 4 && far.links().size() == 4; }));
  std::vector<std::thread> senders;
  std::atomic<size_t> sent{0};
  for (const auto& link : near.links()) {
    launch(link->home().executor(), send_stream(link), "send");
    senders.emplace_back([&sent, link] {
      for (int i = 0; i < 2000; ++i)
        sent += link->send_control(4, 0, "from elsewhere") ? 1 : 0;
      static_cast<void>(link->counts());
      stream_ptr unused = link->open_data();
    });
  }
  for (auto& each : senders)
    each.join();
  CAF_CHECK(eventually([&] { return far.frames == sent && far.bytes == 4u * 20 * 100'004; }));
  CAF_CHECK_EQUAL(sent, 8000u);
  for (const auto& link : far.links())
    link->close("from the test's thread");
  CAF_CHECK(eventually([&] { return near.ended == 4 && far.ended == 4; }));
  a->stop("over");
  b->stop("over");
  near.forget_links();
  far.forget_links();
  loops.stop();
  loops.drop_handlers();
}
