#include "net/dialer.hpp"

#include "net/passed_socket.hpp"

#include "net/socket_stream.hpp"
#include "net/waiter.hpp"
#include "storage/types.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <netdb.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace harp::net {

namespace {

using socket_type = asio::generic::stream_protocol::socket;

/// One connect attempt, cancelled when `limit` is over.
asio::awaitable<dial_result> connect_one(loop& on, asio::generic::stream_protocol::endpoint to,
                                         milliseconds limit) {
  socket_type socket{on.io()};
  bool late = false;
  deadline timer{on, [&socket, &late] {
                   late = true;
                   error_code ignored;
                   socket.close(ignored);
                 }};
  timer.in(limit);
  auto [error] = co_await socket.async_connect(to, nothrow);
  timer.off();
  dial_result result;
  if (late)
    result.error = dial_error::timeout;
  else if (error == asio::error::connection_refused
           || error == boost::system::errc::no_such_file_or_directory)
    result.error = dial_error::refused;
  else if (error)
    result.error = dial_error::failed;
  else
    result.stream = make_socket_stream(std::move(socket));
  co_return result;
}

/// getaddrinfo() blocks and cannot be interrupted: a few threads, so that one silent name server does not hold up all names.
/// Never joined: a look-up that hangs must not hold up the end of the process.
asio::thread_pool& resolver_threads() {
  static auto* const threads = new asio::thread_pool{resolver_threads_max};
  return *threads;
}

/// One look-up, shared by the thread that makes it and the coroutine that waits for it.
class lookup {
public:
  void run(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    std::vector<std::string> addresses;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0) {
      for (auto* entry = found; entry != nullptr; entry = entry->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
          addresses.emplace_back(text);
      }
      freeaddrinfo(found);
    }
    finish(std::move(addresses));
  }
  void finish(std::vector<std::string> addresses) {
    std::lock_guard lock{mutex_};
    if (std::exchange(done_, true))
      return;
    addresses_ = std::move(addresses);
    whom_.resume(true);
  }
  void wait(waiter whom) {
    std::lock_guard lock{mutex_};
    whom_ = std::move(whom);
    if (done_)
      whom_.resume(true);
  }
  std::vector<std::string> take() {
    std::lock_guard lock{mutex_};
    return std::move(addresses_);
  }

private:
  std::mutex mutex_;
  bool done_ = false;
  std::vector<std::string> addresses_;
  waiter whom_;
};

void drop_brackets(std::string& host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host.pop_back();
    host.erase(0, 1);
  }
}

} // namespace

asio::awaitable<std::vector<std::string>> dialer::resolve(std::string host) {
  if (auto literal = ip_address::parse(host))
    co_return std::vector<std::string>(1, literal->to_string());
  auto now = loop_.coarse_now();
  if (auto found = names_.find(host); found != names_.end() && found->second.until > now)
    co_return found->second.addresses;
  if (names_.size() >= resolved_names_max)
    names_.clear();
  auto asked = std::make_shared<lookup>();
  auto name = std::make_shared<const std::string>(host);
  asio::post(resolver_threads(), [asked, name] { asked->run(*name); });
  deadline timer{loop_, [asked] { asked->finish({}); }};
  timer.in(resolve_limit);
  co_await suspend([asked](waiter whom) { asked->wait(std::move(whom)); });
  auto addresses = asked->take();
  std::stable_partition(addresses.begin(), addresses.end(),
                        [](const std::string& text) { return text.find(':') == text.npos; });
  addresses.resize(std::min(addresses.size(), addresses_per_name_max));
  names_[host] = known_name{addresses, loop_.coarse_now() + resolved_life};
  co_return addresses;
}

asio::awaitable<dial_result> dialer::tcp(std::string host, uint16_t port, milliseconds limit) {
  dial_result result;
  result.error = dial_error::unresolvable;
  drop_brackets(host);
  auto addresses = co_await resolve(host);
  for (const auto& address : addresses) {
    asio::ip::tcp::endpoint to{asio::ip::make_address(address), port};
    result = co_await connect_one(loop_, asio::generic::stream_protocol::endpoint{to}, limit);
    if (result.error == dial_error::none)
      co_return result;
  }
  if (!addresses.empty())
    names_.erase(host); // whoever moved is looked for again at once (appapi-harp.md FR3)
  co_return result;
}

asio::awaitable<dial_result> dialer::unix_socket(std::string path, milliseconds limit) {
  dial_result result;
  if (auto passed = passed_connection(path)) {
    result.error = passed->open() ? dial_error::none : dial_error::refused;
    if (passed->open()) {
      socket_type socket{loop_.io()};
      socket.assign(asio::generic::stream_protocol{AF_UNIX, 0}, passed->release());
      result.stream = make_socket_stream(std::move(socket));
    }
    co_return result;
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    result.error = dial_error::failed;
    co_return result;
  }
  asio::local::stream_protocol::endpoint to{path};
  co_return co_await connect_one(loop_, asio::generic::stream_protocol::endpoint{to}, limit);
}

} // namespace harp::net
