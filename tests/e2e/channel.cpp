// Blocking sockets with deadlines, by poll.
#include "tests/e2e/channel.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace harp::e2e {

namespace {

struct any_address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

any_address unix_address(const std::string& path) {
  any_address out;
  sockaddr_un raw{};
  raw.sun_family = AF_UNIX;
  std::strncpy(raw.sun_path, path.c_str(), sizeof raw.sun_path - 1);
  std::memcpy(&out.storage, &raw, sizeof raw);
  out.size = sizeof raw;
  return out;
}

any_address ip_address(std::string host, uint16_t port) {
  any_address out;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (host.starts_with("["))
    host = host.substr(1, host.size() - 2);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.size = sizeof v6;
  }
  return out;
}

any_address parsed(const std::string& address) {
  if (address.starts_with("unix:"))
    return unix_address(address.substr(5));
  size_t colon = address.rfind(':');
  uint16_t port = 0;
  if (colon != std::string::npos)
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  return ip_address(address.substr(0, colon), port);
}

bool wait_for(int descriptor, short events, milliseconds limit) {
  pollfd one{descriptor, events, 0};
  return ::poll(&one, 1, static_cast<int>(limit.count())) == 1;
}

} // namespace

channel& channel::operator=(channel&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

channel channel::connect(const std::string& address, milliseconds limit, const std::string& from) {
  auto to = parsed(address);
  if (to.size == 0)
    return {};
  channel out{::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!from.empty()) {
    auto own = ip_address(from, 0);
    if (::bind(out.descriptor_, own.get(), own.size) != 0)
      return {};
  }
  int one = 1;
  ::setsockopt(out.descriptor_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(out.descriptor_, to.get(), to.size) == 0)
    return out;
  int error = errno;
  socklen_t size = sizeof error;
  if (error != EINPROGRESS || !wait_for(out.descriptor_, POLLOUT, limit)
      || ::getsockopt(out.descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return {};
  return out;
}

bool channel::send(std::string_view bytes, milliseconds limit) const {
  while (!bytes.empty()) {
    ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0)
      bytes.remove_prefix(static_cast<size_t>(sent));
    else if ((errno != EAGAIN && errno != EINTR) || !wait_for(descriptor_, POLLOUT, limit))
      return false;
  }
  return true;
}

heard channel::receive(std::string& into, milliseconds limit, size_t bytes_max) const {
  size_t before = into.size();
  into.resize(before + bytes_max);
  for (;;) {
    ssize_t got = ::recv(descriptor_, into.data() + before, bytes_max, 0);
    if (got < 0 && errno == EAGAIN && wait_for(descriptor_, POLLIN, limit))
      continue;
    int error = errno;
    into.resize(before + static_cast<size_t>(got > 0 ? got : 0));
    if (got > 0)
      return heard::data;
    if (got == 0)
      return heard::end;
    return error == EAGAIN ? heard::silence : heard::reset;
  }
}

heard channel::receive_all(std::string& into, milliseconds limit) const {
  auto end = clock::now() + limit;
  for (;;) {
    auto left = std::chrono::duration_cast<milliseconds>(end - clock::now());
    auto how = receive(into, std::max(left, 0ms));
    if (how != heard::data)
      return how;
  }
}

void channel::end_sending() const {
  ::shutdown(descriptor_, SHUT_WR);
}

void channel::shrink_receive_buffer(int bytes) const {
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

void channel::close() {
  if (descriptor_ >= 0)
    ::close(std::exchange(descriptor_, -1));
}

void channel::reset() {
  linger now{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

listener::listener(const std::string& address) : address_(address) {
  auto where = parsed(address);
  if (address.starts_with("unix:"))
    ::unlink(address.c_str() + 5);
  descriptor_ = ::socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int one = 1;
  ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(descriptor_, where.get(), where.size) != 0 || ::listen(descriptor_, 4096) != 0) {
    ::close(std::exchange(descriptor_, -1));
    return;
  }
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  if (where.storage.ss_family == AF_INET
      && ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&bound), &size) == 0)
    address_ = "127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
}

listener::~listener() {
  if (descriptor_ >= 0)
    ::close(descriptor_);
}

int listener::port() const {
  size_t colon = address_.rfind(':');
  int port = 0;
  std::from_chars(address_.data() + colon + 1, address_.data() + address_.size(), port);
  return port;
}

channel listener::accept(milliseconds limit) const {
  if (!wait_for(descriptor_, POLLIN, limit))
    return {};
  return channel{::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
}

int free_port() {
  return listener{}.port();
}

int free_exapp_port() {
  int port = 23100 + getpid() % 700; // tests run side by side
  while (port < 23990 && !listener{"127.0.0.1:" + std::to_string(port)}.open())
    ++port;
  return port;
}

} // namespace harp::e2e
