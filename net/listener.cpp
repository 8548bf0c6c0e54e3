#include "net/listener.hpp"

#include "net/log.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>

#include <netinet/tcp.h>

namespace harp::net {

using asio::ip::tcp;

namespace {

/// A client that vanished without a word is noticed after about 90 s.
void watch_for_silence(int fd) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  int idle_s = 45;
  int interval_s = 15;
  int probes = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

ip_address plain(const asio::ip::address& address) {
  if (address.is_v6())
    return ip_address::from_bytes(address.to_v6().to_bytes());
  auto v6 = asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4());
  return ip_address::from_bytes(v6.to_bytes());
}

/// One slot, free again when this is gone.
class held_slot {
public:
  explicit held_slot(std::shared_ptr<connection_slots> of) : of_(std::move(of)) { ++of_->used; }
  held_slot(held_slot&&) = default;
  held_slot& operator=(held_slot&&) = delete;
  ~held_slot() {
    if (of_)
      --of_->used;
  }

private:
  std::shared_ptr<connection_slots> of_;
};

asio::awaitable<void> in_slot([[maybe_unused]] held_slot slot, asio::awaitable<void> work) {
  co_await std::move(work);
}

} // namespace

listener::listener(runtime& loops, tcp::acceptor acceptor) : loops_(loops), acceptor_(std::move(acceptor)) {}

std::variant<std::shared_ptr<listener>, std::string> listener::open(runtime& loops, const std::string& host,
                                                                    uint16_t port, bool v6_only) {
  error_code error;
  auto address = asio::ip::make_address(host, error);
  if (error)
    return "not an IP address: " + host;
  tcp::endpoint endpoint{address, port};
  tcp::acceptor acceptor{loops.at(0).io()};
  acceptor.open(endpoint.protocol(), error);
  if (!error)
    acceptor.set_option(asio::socket_base::reuse_address{true}, error);
  if (!error && address.is_v6())
    acceptor.set_option(asio::ip::v6_only{v6_only}, error);
  if (!error)
    acceptor.bind(endpoint, error);
  if (!error)
    acceptor.listen(listen_backlog, error);
  if (error)
    return "cannot listen on " + host + " port " + std::to_string(port) + ": " + error.message();
  return std::shared_ptr<listener>{new listener{loops, std::move(acceptor)}};
}

void listener::start(connection_handler handler, std::shared_ptr<connection_slots> slots, std::string what) {
  handler_ = std::move(handler);
  slots_ = std::move(slots);
  what_ = std::move(what);
  launch(loops_.at(0).executor(), accept_all(shared_from_this()), "accept " + what_);
}

asio::awaitable<void> listener::accept_all(std::shared_ptr<listener> self) {
  asio::steady_timer pause{self->loops_.at(0).io()};
  size_t next = 0;
  while (!self->stopped_) {
    if (self->slots_->used >= self->slots_->max) {
      log(log_level::warn, "HARP-F010", "front", "not accepting for now: all connection slots are in use",
          {{"listener", self->what_},
           {"cause", "too many open connections for the descriptor limit"},
           {"next", "raise the limit of open files (LimitNOFILE, ulimit -n)"}});
      pause.expires_after(accept_pause);
      co_await pause.async_wait(nothrow);
      continue;
    }
    auto& on = self->loops_.at(next++);
    auto [error, socket] = co_await self->acceptor_.async_accept(on.io(), nothrow);
    if (error == asio::error::operation_aborted || self->stopped_)
      break;
    if (error) {
      log(log_level::warn, "HARP-F011", "front", "accept failed",
          {{"listener", self->what_}, {"cause", error.message()}, {"next", "raise the limit of open files"}});
      pause.expires_after(accept_pause);
      co_await pause.async_wait(nothrow);
      continue;
    }
    error_code gone;
    auto peer = socket.remote_endpoint(gone);
    if (gone)
      continue;
    watch_for_silence(socket.native_handle());
    auto work = self->handler_(on, generic_socket{std::move(socket)}, plain(peer.address()), peer.port());
    launch(on.executor(), in_slot(held_slot{self->slots_}, std::move(work)), self->what_);
  }
}

void listener::stop() {
  if (stopped_.exchange(true))
    return;
  asio::post(loops_.at(0).io(), [self = shared_from_this()] {
    error_code ignored;
    self->acceptor_.close(ignored);
  });
}

std::string listener::address() const {
  error_code ignored;
  auto endpoint = acceptor_.local_endpoint(ignored);
  auto text = endpoint.address().to_string();
  if (endpoint.address().is_v6())
    text = "[" + text + "]";
  return text + ":" + std::to_string(endpoint.port());
}

uint16_t listener::port() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

} // namespace harp::net
