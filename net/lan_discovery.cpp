// The LAN multicast: one IPv4 socket, announced on every interface that is up.
#include "net/lan_discovery.hpp"

#include "net/log.hpp"

#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <cstring>
#include <ifaddrs.h>
#include <net/if.h>
#include <set>
#include <utility>
#include <vector>

namespace harp::net {

namespace {

using asio::ip::udp;

constexpr std::string_view magic{"HARP\x01\x00", 6};
constexpr size_t interfaces_max = 64;
constexpr unsigned reads_at_once_max = 16; // then other work of the loop has its turn

ip_address plain(const asio::ip::address& address) {
  return ip_address::parse(address.to_string()).value_or(ip_address{});
}

/// IPv4 addresses of the interfaces that can multicast, with the one wanted or all.
std::vector<asio::ip::address_v4> interface_addresses(const std::string& wanted) {
  std::vector<asio::ip::address_v4> out;
  if (!wanted.empty()) {
    error_code wrong;
    auto only = asio::ip::make_address_v4(wanted, wrong);
    if (!wrong)
      out.push_back(only);
    return out;
  }
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0)
    return out;
  for (auto* each = all; each != nullptr && out.size() < interfaces_max; each = each->ifa_next) {
    bool usable = each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET
                  && (each->ifa_flags & IFF_UP) != 0 && (each->ifa_flags & IFF_MULTICAST) != 0
                  && (each->ifa_flags & IFF_LOOPBACK) == 0;
    if (!usable)
      continue;
    sockaddr_in address{};
    std::memcpy(&address, each->ifa_addr, sizeof address);
    out.emplace_back(ntohl(address.sin_addr.s_addr));
  }
  ::freeifaddrs(all);
  return out;
}

class lan_socket final : public lan_discovery {
public:
  lan_socket(loop& on, lan_settings settings, handler heard)
      : loop_(on), settings_(std::move(settings)), heard_(std::move(heard)), socket_(on.io()),
        timer_(on.io()) {}

  std::string bind();
  void start();
  void announce(std::optional<lan_hello> hello) override;
  void announce_again() override { due(clock::now()); }
  void stop() override;
  [[nodiscard]] uint64_t dropped() const override { return dropped_; }

private:
  struct row {
    lan_hello hello;
    clock::time_point told;
  };
  static asio::awaitable<void> read_all(std::shared_ptr<lan_socket> self);
  static asio::awaitable<void> announce_all(std::shared_ptr<lan_socket> self);
  void due(clock::time_point at);
  void send_everywhere();
  void take(const udp::endpoint& from, std::string_view bytes);
  [[nodiscard]] bool is_news(const ip_address& from, const lan_hello& hello);

  loop& loop_;
  const lan_settings settings_;
  const handler heard_;
  udp::socket socket_;
  asio::steady_timer timer_;
  udp::endpoint group_;
  std::optional<lan_hello> hello_;
  std::set<asio::ip::address_v4> joined_;
  std::vector<asio::ip::address_v4> own_;
  std::multimap<ip_address, row> known_;
  clock::time_point sent_at_;
  clock::time_point second_began_;
  size_t heard_this_second_ = 0;
  std::atomic<uint64_t> dropped_{0};
  bool stopped_ = false;
};

std::string lan_socket::bind() {
  error_code wrong;
  auto group = asio::ip::make_address_v4(settings_.group, wrong);
  if (wrong || !group.is_multicast())
    return "not an IPv4 multicast group: " + settings_.group;
  group_ = udp::endpoint{group, settings_.port};
  socket_.open(udp::v4(), wrong);
  if (!wrong)
    socket_.set_option(udp::socket::reuse_address{true}, wrong);
  // Bound to the group's own address, so that nothing but the group arrives.
  if (!wrong)
    socket_.bind(group_, wrong);
  if (!wrong)
    socket_.non_blocking(true, wrong);
  if (!wrong)
    socket_.set_option(asio::ip::multicast::hops{1}, wrong);
  if (!wrong)
    socket_.set_option(asio::ip::multicast::enable_loopback{true}, wrong);
  if (wrong)
    return "cannot open UDP " + settings_.group + " port " + std::to_string(settings_.port) + ": "
           + wrong.message();
  group_ = socket_.local_endpoint(wrong);
  group_.address(group);
  return {};
}

void lan_socket::start() {
  auto self = std::static_pointer_cast<lan_socket>(shared_from_this());
  send_everywhere(); // joins the groups; there is nothing to say yet
  launch(loop_.executor(), read_all(self), "LAN discovery");
  launch(loop_.executor(), announce_all(self), "LAN announcement");
}

void lan_socket::stop() {
  if (std::exchange(stopped_, true))
    return;
  error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

// -- saying -----------------------------------------------------------------------------------------

void lan_socket::announce(std::optional<lan_hello> hello) {
  if (hello_ == hello)
    return;
  hello_ = hello;
  due(clock::now());
}

void lan_socket::due(clock::time_point at) {
  timer_.expires_at(std::max(at, sent_at_ + settings_.least_pause));
}

asio::awaitable<void> lan_socket::announce_all(std::shared_ptr<lan_socket> self) {
  while (!self->stopped_) {
    // A change moves the timer, which ends the wait: then it is waited for anew.
    if (self->timer_.expiry() <= clock::now()) {
      self->send_everywhere();
      self->timer_.expires_after(self->settings_.interval);
    }
    co_await self->timer_.async_wait(nothrow);
  }
}

/// Interfaces come and go: looked up each time, groups joined where they are not yet.
void lan_socket::send_everywhere() {
  own_ = interface_addresses(settings_.interface_address);
  std::erase_if(joined_, [this](const auto& each) {
    return std::find(own_.begin(), own_.end(), each) == own_.end();
  });
  error_code ignored; // an interface that cannot is left out
  for (const auto& from : own_)
    if (joined_.insert(from).second)
      socket_.set_option(asio::ip::multicast::join_group{group_.address().to_v4(), from}, ignored);
  if (!hello_)
    return;
  auto bytes = encode_lan_hello(*hello_);
  for (const auto& from : own_) {
    socket_.set_option(asio::ip::multicast::outbound_interface{from}, ignored);
    socket_.send_to(asio::buffer(bytes), group_, 0, ignored);
  }
  sent_at_ = clock::now();
}

// -- hearing ----------------------------------------------------------------------------------------

asio::awaitable<void> lan_socket::read_all(std::shared_ptr<lan_socket> self) {
  std::array<char, lan_hello_bytes + 1> space; // one more: what is too long must not look right
  while (!self->stopped_) {
    auto [wrong] = co_await self->socket_.async_wait(asio::socket_base::wait_read, nothrow);
    if (wrong)
      co_return;
    for (unsigned i = 0; i < reads_at_once_max && !self->stopped_; ++i) {
      udp::endpoint from;
      error_code failed;
      size_t got = self->socket_.receive_from(asio::buffer(space), from, 0, failed);
      if (failed)
        break;
      self->take(from, {space.data(), got});
    }
  }
}

void lan_socket::take(const udp::endpoint& from, std::string_view bytes) {
  auto now = clock::now();
  if (now - second_began_ >= seconds{1}) {
    second_began_ = now;
    heard_this_second_ = 0;
  }
  auto hello = decode_lan_hello(bytes);
  if (++heard_this_second_ > settings_.heard_per_second_max || !hello) {
    ++dropped_;
    return;
  }
  bool own_address = std::find(own_.begin(), own_.end(), from.address().to_v4()) != own_.end();
  ip_address address = plain(from.address());
  if ((own_address && hello == hello_) || !is_news(address, *hello))
    return;
  heard_(address, *hello);
}

bool lan_socket::is_news(const ip_address& from, const lan_hello& hello) {
  auto now = clock::now();
  auto [first, last] = known_.equal_range(from);
  for (auto at = first; at != last; ++at) {
    if (at->second.hello != hello)
      continue;
    if (now - at->second.told < settings_.repeat_after)
      return false;
    at->second.told = now;
    return true;
  }
  if (known_.size() >= settings_.known_max)
    std::erase_if(
        known_, [&](const auto& each) { return now - each.second.told >= settings_.repeat_after; });
  if (known_.size() >= settings_.known_max) {
    ++dropped_;
    return false;
  }
  known_.emplace(from, row{hello, now});
  return true;
}

} // namespace

std::array<char, lan_hello_bytes> encode_lan_hello(const lan_hello& hello) {
  std::array<char, lan_hello_bytes> out{};
  std::memcpy(out.data(), magic.data(), magic.size());
  out[magic.size()] = static_cast<char>(hello.port >> 8);
  out[magic.size() + 1] = static_cast<char>(hello.port & 0xff);
  std::memcpy(out.data() + magic.size() + 2, hello.tag.data(), hello.tag.size());
  return out;
}

std::optional<lan_hello> decode_lan_hello(std::string_view bytes) {
  if (bytes.size() != lan_hello_bytes || !bytes.starts_with(magic))
    return std::nullopt;
  lan_hello out;
  out.port = static_cast<uint16_t>(static_cast<uint8_t>(bytes[magic.size()]) << 8
                                   | static_cast<uint8_t>(bytes[magic.size() + 1]));
  std::memcpy(out.tag.data(), bytes.data() + magic.size() + 2, out.tag.size());
  if (out.port == 0)
    return std::nullopt;
  return out;
}

std::variant<std::shared_ptr<lan_discovery>, std::string>
lan_discovery::open(loop& on, lan_settings settings, handler heard) {
  auto out = std::make_shared<lan_socket>(on, std::move(settings), std::move(heard));
  std::string wrong = out->bind();
  if (!wrong.empty())
    return wrong;
  out->start();
  return std::static_pointer_cast<lan_discovery>(out);
}

} // namespace harp::net
