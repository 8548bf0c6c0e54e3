// Harp as a frp client: connecting, and coming back after every end.
#include "net/frp_client.hpp"

#include "net/frp_client_session.hpp"
#include "net/log.hpp"
#include "storage/types.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <charconv>
#include <random>

namespace harp::net {

namespace {

constexpr milliseconds quick_pause_min{200};
constexpr milliseconds quick_pause_spread{300};
constexpr unsigned quick_attempts = 4;
constexpr milliseconds pause_max{20'000};
constexpr milliseconds local_dial_limit{10'000};

void append_u16(std::string& out, uint16_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

void append_address(std::string& out, const ip_address& address) {
  const auto& bytes = address.bytes();
  out.append(bytes.begin() + (address.is_v4() ? 12 : 0), bytes.end());
}

} // namespace

milliseconds reconnect_pause(unsigned failures, uint32_t random) {
  if (failures <= quick_attempts)
    return quick_pause_min + milliseconds{random % (quick_pause_spread.count() + 1)};
  const unsigned doublings = std::min(failures - quick_attempts - 1, 5u);
  const milliseconds base = std::min(milliseconds{1'000} * (1 << doublings), pause_max);
  const auto jitter = base.count() / 10; // plus or minus
  return base - milliseconds{jitter} + milliseconds{random % static_cast<uint32_t>(2 * jitter + 1)};
}

std::string proxy_header(unsigned version, const frp::start_work_conn& from) {
  const auto src = ip_address::parse(from.src_addr);
  const auto dst = ip_address::parse(from.dst_addr);
  if (version == 0 || !src || !dst || from.src_port == 0)
    return {};
  const bool v4 = src->is_v4() && dst->is_v4();
  if (version == 1)
    return std::string{"PROXY "} + (v4 ? "TCP4 " : "TCP6 ") + src->to_string() + ' '
           + dst->to_string() + ' ' + std::to_string(from.src_port) + ' '
           + std::to_string(from.dst_port) + "\r\n";
  std::string out{"\r\n\r\n\0\r\nQUIT\n\x21", 13};
  out += v4 ? '\x11' : '\x21';
  std::string addresses;
  for (const auto& address : {*src, *dst}) {
    if (v4)
      append_address(addresses, address);
    else
      addresses.append(address.bytes().begin(), address.bytes().end());
  }
  append_u16(addresses, from.src_port);
  append_u16(addresses, from.dst_port);
  append_u16(out, static_cast<uint16_t>(addresses.size()));
  return out + addresses;
}

frp_client::frp_client(loop& on, frp_client_settings settings)
    : on_(on), settings_(std::move(settings)), dialer_(on), pause_(on.io()) {}

asio::awaitable<void> frp_client::run() {
  const auto self = shared_from_this();
  unsigned failures = 0;
  while (!stopped_) {
    const auto begun = clock::now();
    session_ = std::make_shared<frp_client_session>(*this);
    const std::string cause = co_await session_->run();
    session_.reset();
    if (stopped_)
      break;
    failures = clock::now() - begun >= settings_.steady_after ? 1 : failures + 1;
    const milliseconds pause = reconnect_pause(failures, std::random_device{}());
    log(log_level::warn, "HARP-T023", "tunnel", "not connected to the tunnel server",
        {{"peer", settings_.host},
         {"cause", cause},
         {"next", "Harp tries again by itself; check address, certificates and key if it stays"},
         {"dur_s", static_cast<double>(pause.count()) / 1000}});
    pause_.expires_after(pause);
    co_await pause_.async_wait(nothrow);
  }
}

void frp_client::stop() {
  asio::post(on_.io(), [self = shared_from_this()] {
    self->stopped_ = true;
    self->pause_.cancel();
    if (self->session_)
      self->session_->close("stopped");
  });
}

asio::awaitable<frp_client::connected> frp_client::connect() {
  connected out;
  dial_result dialled
      = co_await dialer_.tcp(settings_.host, settings_.port, settings_.connect_limit);
  if (!dialled.stream) {
    switch (dialled.error) {
    case dial_error::unresolvable:
      out.error = "the server's name cannot be resolved";
      break;
    case dial_error::refused:
      out.error = "the server refuses connections";
      break;
    case dial_error::timeout:
      out.error = "the server does not answer";
      break;
    case dial_error::none:
    case dial_error::failed:
      out.error = "the server cannot be reached";
      break;
    }
    co_return out;
  }
  out.stream = std::move(dialled.stream);
  if (!settings_.tls)
    co_return out;
  const std::string name = settings_.server_name.empty() ? settings_.host : settings_.server_name;
  tls_result secured = co_await tls_connect(on_, std::move(out.stream), settings_.tls, name,
                                            settings_.handshake_limit);
  out.stream = std::move(secured.stream);
  out.error = std::move(secured.error);
  co_return out;
}

asio::awaitable<dial_result> frp_client::dial_local(std::string where) {
  constexpr std::string_view unix_prefix{"unix:"};
  if (where.starts_with(unix_prefix))
    co_return co_await dialer_.unix_socket(where.substr(unix_prefix.size()), local_dial_limit);
  const size_t colon = where.rfind(':');
  uint16_t port = 0;
  dial_result bad;
  bad.error = dial_error::failed;
  if (colon == where.npos)
    co_return bad;
  const auto [end, ec]
      = std::from_chars(where.data() + colon + 1, where.data() + where.size(), port);
  if (ec != std::errc{} || end != where.data() + where.size())
    co_return bad;
  co_return co_await dialer_.tcp(where.substr(0, colon), port, local_dial_limit);
}

} // namespace harp::net
