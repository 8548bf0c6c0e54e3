// LAN announcements: their form, who hears them, what a flood costs.
#define CAF_SUITE lan_discovery
#include "net/lan_discovery.hpp"

#include <boost/asio/ip/multicast.hpp>
#include <caf/test/unit_test.hpp>

#include <vector>

using namespace harp;
using namespace harp::net;
using namespace std::chrono_literals;

namespace {

lan_hello hello(uint16_t port, uint8_t tag) {
  lan_hello out;
  out.port = port;
  out.tag.fill(tag);
  return out;
}

/// Nodes on one loop that share a group on the loopback interface.
struct lan {
  lan() {
    settings.interface_address = "127.0.0.1";
    settings.port = free_port();
    settings.least_pause = 0s;
  }
  ~lan() {
    for (auto& each : nodes)
      each->stop();
    settle();
  }
  uint16_t free_port() {
    asio::ip::udp::socket probe{on.io(), {asio::ip::udp::v4(), 0}};
    return probe.local_endpoint().port();
  }
  lan_discovery& add() {
    heard.emplace_back(std::make_unique<std::vector<lan_hello>>());
    auto* into = heard.back().get();
    auto made = lan_discovery::open(on, settings,
                                    [into](ip_address, lan_hello said) { into->push_back(said); });
    if (auto* wrong = std::get_if<std::string>(&made))
      CAF_MESSAGE(*wrong);
    CAF_REQUIRE(std::holds_alternative<std::shared_ptr<lan_discovery>>(made));
    nodes.push_back(std::get<std::shared_ptr<lan_discovery>>(made));
    settle();
    return *nodes.back();
  }
  void settle() {
    on.io().restart();
    while (on.io().poll() > 0)
      on.io().restart();
  }
  bool until(const std::function<bool()>& done) {
    auto give_up = net::clock::now() + 10s;
    while (!done() && net::clock::now() < give_up) {
      on.io().restart();
      on.io().run_one_for(1ms);
    }
    return done();
  }
  /// Sends raw datagrams to the group.
  void send(std::string_view bytes, size_t times = 1) {
    asio::ip::udp::socket from{on.io(), {asio::ip::udp::v4(), 0}};
    from.set_option(
        asio::ip::multicast::outbound_interface{asio::ip::make_address_v4("127.0.0.1")});
    for (size_t i = 0; i < times; ++i)
      from.send_to(asio::buffer(bytes.data(), bytes.size()),
                   {asio::ip::make_address(settings.group), settings.port});
  }

  loop on{0};
  lan_settings settings;
  std::vector<std::unique_ptr<std::vector<lan_hello>>> heard;
  std::vector<std::shared_ptr<lan_discovery>> nodes;
};

std::string bytes_of(const lan_hello& said) {
  auto bytes = encode_lan_hello(said);
  return {bytes.data(), bytes.size()};
}

} // namespace

CAF_TEST(hello_has_one_form) {
  auto bytes = bytes_of(hello(8784, 7));
  CAF_CHECK_EQUAL(bytes.size(), lan_hello_bytes);
  CAF_CHECK(decode_lan_hello(bytes) == hello(8784, 7));
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    CAF_CHECK(!decode_lan_hello(std::string_view{bytes}.substr(0, cut)));
  CAF_CHECK(!decode_lan_hello(bytes + "x"));
  for (size_t at = 0; at < 6; ++at) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 1);
    CAF_CHECK(!decode_lan_hello(other));
  }
  CAF_CHECK(!decode_lan_hello(bytes_of(hello(0, 7))));
}

CAF_TEST(announcement_is_heard_by_others_and_not_by_oneself) {
  lan t;
  auto& a = t.add();
  auto& b = t.add();
  a.announce(hello(1000, 1));
  CAF_REQUIRE(t.until([&] { return !t.heard[1]->empty(); }));
  CAF_CHECK(t.heard[1]->front() == hello(1000, 1));
  b.announce(hello(2000, 2));
  CAF_REQUIRE(t.until([&] { return !t.heard[0]->empty(); }));
  CAF_CHECK(t.heard[0]->front() == hello(2000, 2));
  CAF_CHECK_EQUAL(t.heard[0]->size(), 1u);
  CAF_CHECK_EQUAL(t.heard[1]->size(), 1u);
}

CAF_TEST(change_is_said_at_once_and_repetition_is_not_told_twice) {
  lan t;
  auto& a = t.add();
  t.add();
  a.announce(hello(1000, 1));
  CAF_REQUIRE(t.until([&] { return t.heard[1]->size() == 1; }));
  a.announce_again();
  t.settle();
  a.announce(hello(1000, 9));
  CAF_REQUIRE(t.until([&] { return t.heard[1]->size() == 2; }));
  CAF_CHECK(t.heard[1]->at(1) == hello(1000, 9));
  a.announce(std::nullopt);
  a.announce_again();
  t.settle();
  CAF_CHECK_EQUAL(t.heard[1]->size(), 2u);
}

CAF_TEST(announcement_is_repeated_after_the_interval) {
  lan t;
  t.settings.interval = 1s;
  t.settings.repeat_after = 0s;
  auto& a = t.add();
  t.add();
  a.announce(hello(1000, 1));
  CAF_CHECK(t.until([&] { return t.heard[1]->size() >= 2; }));
}

CAF_TEST(noise_and_floods_are_dropped_and_counted) {
  lan t;
  t.settings.heard_per_second_max = 50;
  t.settings.known_max = 4;
  auto& a = t.add();
  for (size_t size : {size_t{1}, size_t{39}, size_t{41}, size_t{1400}})
    t.send(std::string(size, 'H'));
  CAF_REQUIRE(t.until([&] { return a.dropped() == 4; }));
  for (uint16_t port = 1; port <= 10; ++port)
    t.send(bytes_of(hello(port, 3)));
  CAF_REQUIRE(t.until([&] { return a.dropped() == 10; }));
  CAF_CHECK_EQUAL(t.heard[0]->size(), 4u);
  for (int i = 0; i < 20; ++i) {
    t.send(std::string(40, 'x'), 10);
    t.settle();
  }
  CAF_REQUIRE(t.until([&] { return a.dropped() == 210; }));
  CAF_CHECK_EQUAL(t.heard[0]->size(), 4u);
}

CAF_TEST(group_that_is_none_is_refused_in_words) {
  lan t;
  t.settings.group = "127.0.0.1";
  auto made = lan_discovery::open(t.on, t.settings, [](ip_address, lan_hello) {});
  CAF_REQUIRE(std::holds_alternative<std::string>(made));
  CAF_CHECK(std::get<std::string>(made).find("127.0.0.1") != std::string::npos);
}
