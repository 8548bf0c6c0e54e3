#include "web/admin_socket.hpp"

#include "storage/types.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace harp::web {

namespace {

using steady = std::chrono::steady_clock;

class owned_socket {
public:
  explicit owned_socket(int fd) : fd_(fd) {}
  owned_socket(const owned_socket&) = delete;
  owned_socket& operator=(const owned_socket&) = delete;
  ~owned_socket() {
    if (fd_ >= 0)
      close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

private:
  int fd_;
};

struct target {
  sockaddr_storage address{};
  socklen_t bytes = 0;
};

std::optional<target> parse_target(const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == text.npos)
    return std::nullopt;
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  auto ip = ip_address::parse(host);
  uint16_t port = 0;
  auto [end, failure] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (!ip || failure != std::errc{} || end != text.data() + text.size() || port == 0)
    return std::nullopt;
  target result;
  if (ip->is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    auto where = ip->is_unspecified() ? *ip_address::parse("127.0.0.1") : *ip;
    std::memcpy(&v4.sin_addr, where.bytes().data() + 12, 4);
    std::memcpy(&result.address, &v4, sizeof v4);
    result.bytes = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    auto where = ip->is_unspecified() ? *ip_address::parse("::1") : *ip;
    std::memcpy(&v6.sin6_addr, where.bytes().data(), 16);
    std::memcpy(&result.address, &v6, sizeof v6);
    result.bytes = sizeof v6;
  }
  return result;
}

std::string words(int error) {
  return std::error_code{error, std::generic_category()}.message();
}

/// Waits until the socket is ready for `events`; an errno, 0 when it is.
int wait_for(int fd, short events, steady::time_point until) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady::now()).count();
    if (left <= 0)
      return ETIMEDOUT;
    pollfd entry{fd, events, 0};
    int ready = poll(&entry, 1, static_cast<int>(left));
    if (ready > 0)
      return 0;
    if (ready < 0 && errno != EINTR)
      return errno;
  }
}

int connect_to(int fd, const target& where, steady::time_point until) {
  // the sockets API passes every family as a sockaddr
  if (connect(fd, reinterpret_cast<const sockaddr*>(&where.address), where.bytes) == 0)
    return 0;
  if (errno != EINPROGRESS)
    return errno;
  if (int error = wait_for(fd, POLLOUT, until); error != 0)
    return error;
  int error = 0;
  socklen_t bytes = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
  return error;
}

int send_all(int fd, std::string_view data, steady::time_point until) {
  while (!data.empty()) {
    auto sent = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0)
      data.remove_prefix(static_cast<size_t>(sent));
    else if (errno != EAGAIN && errno != EINTR)
      return errno;
    else if (int error = wait_for(fd, POLLOUT, until); error != 0)
      return error;
  }
  return 0;
}

int receive_all(int fd, std::string& into, size_t bytes_max, steady::time_point until) {
  std::array<char, 16 * 1024> part;
  for (;;) {
    auto got = recv(fd, part.data(), part.size(), 0);
    if (got == 0)
      return 0;
    if (got > 0 && into.size() + static_cast<size_t>(got) > bytes_max)
      return EMSGSIZE;
    if (got > 0)
      into.append(part.data(), static_cast<size_t>(got));
    else if (errno != EAGAIN && errno != EINTR)
      return errno;
    else if (int error = wait_for(fd, POLLIN, until); error != 0)
      return error;
  }
}

} // namespace

exchange_result exchange(const std::string& address, const std::string& request,
                         size_t received_bytes_max, std::chrono::milliseconds limit) {
  auto until = steady::now() + limit;
  auto where = parse_target(address);
  if (!where)
    return {{}, "no usable address: " + address};
  owned_socket socket{
      ::socket(where->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  int error = socket.fd() < 0 ? errno : connect_to(socket.fd(), *where, until);
  if (error != 0)
    return {{}, "cannot connect to " + address + ": " + words(error)};
  exchange_result result;
  error = send_all(socket.fd(), request, until);
  if (error == 0)
    error = receive_all(socket.fd(), result.received, received_bytes_max, until);
  if (error != 0)
    result = {{}, "no answer from " + address + ": " + words(error)};
  return result;
}

} // namespace harp::web
