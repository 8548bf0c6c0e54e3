#include "net/dialer.hpp"

#include "net/socket_stream.hpp"
#include "storage/types.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <algorithm>

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

std::string without_brackets(std::string host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return host.substr(1, host.size() - 2);
  return host;
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
  asio::ip::tcp::resolver resolver{loop_.io()};
  deadline timer{loop_, [&resolver] { resolver.cancel(); }};
  timer.in(resolve_limit);
  auto [error, found] = co_await resolver.async_resolve(host, "", nothrow);
  std::vector<std::string> addresses;
  if (!error)
    for (const auto& entry : found)
      addresses.push_back(entry.endpoint().address().to_string());
  std::stable_partition(addresses.begin(), addresses.end(),
                        [](const std::string& text) { return text.find(':') == text.npos; });
  addresses.resize(std::min(addresses.size(), addresses_per_name_max));
  names_[host] = known_name{addresses, loop_.coarse_now() + resolved_life};
  co_return addresses;
}

asio::awaitable<dial_result> dialer::tcp(std::string host, uint16_t port, milliseconds limit) {
  dial_result result;
  result.error = dial_error::unresolvable;
  host = without_brackets(std::move(host));
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
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    result.error = dial_error::failed;
    co_return result;
  }
  asio::local::stream_protocol::endpoint to{path};
  co_return co_await connect_one(loop_, asio::generic::stream_protocol::endpoint{to}, limit);
}

} // namespace harp::net
