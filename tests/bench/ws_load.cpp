// A WebSocket load: many connections in lock-step echo, or many idle ones. Prints one JSON line; used by tests/bench/proxy.
// Usage: bench_ws_load --to HOST:PORT --path /x [--cookie TEXT] [--connections 64] [--seconds 5] [--idle]
// With --idle every connection echoes once, "ready" is printed, and all stay open until standard input ends.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr size_t payload_bytes = 32;
constexpr int events_max = 256;

struct options {
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  std::string path = "/";
  std::string cookie;
  int connections = 64;
  int seconds = 5;
  bool idle = false;
};

struct connection {
  int descriptor = -1;
  bool upgraded = false;
  std::string input;
  clock_type::time_point sent;
};

struct totals {
  uint64_t messages = 0;
  int open = 0;
  int failed = 0;
  std::vector<uint32_t> latency_us;
};

/// Always the same masked text frame; the echo comes back unmasked, two bytes of head before it.
std::string frame() {
  std::string out{'\x81', static_cast<char>(0x80 | payload_bytes), '\x01', '\x02', '\x03', '\x04'};
  for (size_t i = 0; i < payload_bytes; ++i)
    out += static_cast<char>('x' ^ (1 + i % 4));
  return out;
}

bool send_all(int descriptor, std::string_view bytes) {
  return ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL)
         == static_cast<ssize_t>(bytes.size());
}

bool open_connection(const options& how, connection& out) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(how.port);
  inet_pton(AF_INET, how.host.c_str(), &to.sin_addr);
  out.descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(out.descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(out.descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return false;
  std::string head = "GET " + how.path
                     + " HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  if (!how.cookie.empty())
    head += "Cookie: " + how.cookie + "\r\n";
  return send_all(out.descriptor, head + "\r\n");
}

void send_message(connection& on) {
  static const std::string bytes = frame();
  on.sent = clock_type::now();
  send_all(on.descriptor, bytes);
}

/// Takes what arrived; false when the connection is over.
bool advance(connection& on, totals& sum, bool again) {
  std::array<char, 4096> bytes;
  ssize_t got = ::recv(on.descriptor, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got <= 0)
    return got < 0 && errno == EAGAIN;
  on.input.append(bytes.data(), static_cast<size_t>(got));
  if (!on.upgraded) {
    size_t end = on.input.find("\r\n\r\n");
    if (end == std::string::npos)
      return true;
    if (!on.input.starts_with("HTTP/1.1 101"))
      return false;
    on.input.erase(0, end + 4);
    on.upgraded = true;
    send_message(on);
  }
  while (on.input.size() >= payload_bytes + 2) {
    on.input.erase(0, payload_bytes + 2);
    ++sum.messages;
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock_type::now() - on.sent);
    sum.latency_us.push_back(static_cast<uint32_t>(took.count()));
    if (again)
      send_message(on);
  }
  return true;
}

/// Runs until `end`, or with `idle` until every connection has echoed once.
void drive(const options& how, int epoll, std::map<int, connection>& all, totals& sum,
           clock_type::time_point end) {
  std::array<epoll_event, events_max> events;
  while (clock_type::now() < end && sum.failed < how.connections) {
    if (how.idle
        && sum.messages + static_cast<uint64_t>(sum.failed)
               >= static_cast<uint64_t>(how.connections))
      return;
    int count = epoll_wait(epoll, events.data(), events_max, 100);
    for (int i = 0; i < count; ++i) {
      auto found = all.find(events[static_cast<size_t>(i)].data.fd);
      if (found != all.end() && !advance(found->second, sum, !how.idle)) {
        ++sum.failed;
        ::close(found->first);
        all.erase(found);
      }
    }
  }
}

uint32_t percentile(std::vector<uint32_t>& values, size_t percent) {
  if (values.empty())
    return 0;
  auto at = values.begin() + static_cast<long>(values.size() * percent / 100);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

bool parse(int argc, char** argv, options& out) {
  for (int i = 1; i < argc; ++i) {
    std::string_view name = argv[i];
    if (name == "--idle") {
      out.idle = true;
      continue;
    }
    if (i + 1 == argc)
      return false;
    std::string value = argv[++i];
    if (name == "--to") {
      out.host = value.substr(0, value.rfind(':'));
      out.port = static_cast<uint16_t>(std::atoi(value.c_str() + value.rfind(':') + 1));
    } else if (name == "--path") {
      out.path = value;
    } else if (name == "--cookie") {
      out.cookie = value;
    } else if (name == "--connections") {
      out.connections = std::atoi(value.c_str());
    } else if (name == "--seconds") {
      out.seconds = std::atoi(value.c_str());
    } else {
      return false;
    }
  }
  return out.port != 0 && out.connections > 0;
}

} // namespace

int main(int argc, char** argv) {
  options how;
  if (!parse(argc, argv, how)) {
    std::fputs("usage: bench_ws_load --to HOST:PORT --path /x [--cookie TEXT] [--connections N] "
               "[--seconds N] [--idle]\n",
               stderr);
    return 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::map<int, connection> all;
  totals sum;
  for (int i = 0; i < how.connections; ++i) {
    connection one;
    if (!open_connection(how, one)) {
      ++sum.failed;
      continue;
    }
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = one.descriptor;
    epoll_ctl(epoll, EPOLL_CTL_ADD, one.descriptor, &interest);
    all.emplace(one.descriptor, std::move(one));
  }
  auto began = clock_type::now();
  drive(how, epoll, all, sum, began + std::chrono::seconds{how.idle ? 60 : how.seconds});
  double seconds = std::chrono::duration<double>(clock_type::now() - began).count();
  if (how.idle) {
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF)
      ;
  }
  std::printf("{\"messages\":%llu,\"seconds\":%.3f,\"failed\":%d,\"p50_us\":%u,\"p99_us\":%u}\n",
              static_cast<unsigned long long>(sum.messages), seconds, sum.failed,
              percentile(sum.latency_us, 50), percentile(sum.latency_us, 99));
  return sum.failed == 0 ? 0 : 1;
}
