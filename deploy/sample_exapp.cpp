// harp-sample-exapp: a small ExApp to look at, and the fast upstream of tests and benches.
// Usage: harp-sample-exapp --listen unix:/path|HOST:PORT [--threads N]
// With port 0 any free port is taken; the first line of output tells where it listens.
#include "deploy/sample_session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace harp::sample {
namespace {

using loops = std::vector<std::unique_ptr<asio::io_context>>;

constexpr unsigned threads_max = 64;

struct options {
  std::string listen;
  unsigned threads = 1;
};

std::string parse(int argc, char** argv, options& out) {
  for (int i = 1; i < argc; i += 2) {
    std::string_view name = argv[i];
    if (i + 1 == argc)
      return "a value is missing behind " + std::string{name};
    std::string_view value = argv[i + 1];
    if (name == "--listen") {
      out.listen = value;
    } else if (name == "--threads") {
      auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), out.threads);
      if (bad != std::errc{} || end != value.data() + value.size() || out.threads == 0
          || out.threads > threads_max)
        return "--threads takes 1 to 64";
    } else {
      return "unknown option " + std::string{name};
    }
  }
  return out.listen.empty() ? "--listen is required" : "";
}

asio::awaitable<void> serve(socket_type socket) {
  session one{std::move(socket)};
  try {
    co_await one.run();
  } catch (const std::exception& e) { // Beast throws on a failed allocation only
    std::cerr << "harp-sample-exapp: connection ended: " << e.what() << '\n';
  }
}

template <class Acceptor>
asio::awaitable<void> accept(Acceptor acceptor, loops& all) {
  for (size_t next = 0;; ++next) {
    auto& loop = *all[next % all.size()];
    socket_type socket{loop};
    auto [error] = co_await acceptor.async_accept(socket, nothrow);
    if (error == asio::error::operation_aborted)
      co_return;
    if (error) { // out of descriptors: let some close
      asio::steady_timer timer{acceptor.get_executor(), std::chrono::milliseconds{50}};
      co_await timer.async_wait(nothrow);
      continue;
    }
    net::error_code ignored; // a unix socket has no such option
    socket.set_option(asio::ip::tcp::no_delay{true}, ignored);
    asio::co_spawn(loop, serve(std::move(socket)), asio::detached);
  }
}

void listen_unix(const std::string& path, loops& all) {
  ::unlink(path.c_str());
  asio::local::stream_protocol::acceptor acceptor{*all[0], path};
  std::cout << "listening on unix:" << path << std::endl;
  asio::co_spawn(*all[0], accept(std::move(acceptor), all), asio::detached);
}

void listen_tcp(const std::string& where, loops& all) {
  using asio::ip::tcp;
  size_t colon = where.rfind(':');
  auto address = asio::ip::make_address(where.substr(0, colon));
  int port = std::stoi(where.substr(colon + 1));
  tcp::acceptor acceptor{*all[0], tcp::endpoint{address, static_cast<uint16_t>(port)}};
  std::cout << "listening on " << acceptor.local_endpoint() << std::endl;
  asio::co_spawn(*all[0], accept(std::move(acceptor), all), asio::detached);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int run(const options& options) {
  loops all;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.threads; ++i)
    all.push_back(std::make_unique<asio::io_context>(1));
  bool is_unix = options.listen.starts_with("unix:");
  if (is_unix)
    listen_unix(options.listen.substr(5), all);
  else
    listen_tcp(options.listen, all);
  asio::signal_set signals{*all[0], SIGTERM, SIGINT};
  signals.async_wait([&all](const net::error_code&, int) {
    for (auto& loop : all)
      loop->stop();
  });
  for (size_t i = 1; i < all.size(); ++i)
    threads.emplace_back([&loop = *all[i]] {
      auto guard = asio::make_work_guard(loop);
      loop.run();
    });
  all[0]->run();
  for (auto& thread : threads)
    thread.join();
  if (is_unix)
    ::unlink(options.listen.c_str() + 5);
  return 0;
}

} // namespace
} // namespace harp::sample

int main(int argc, char** argv) {
  harp::sample::options options;
  std::string wrong = harp::sample::parse(argc, argv, options);
  if (!wrong.empty()) {
    std::cerr << "harp-sample-exapp: " << wrong
              << "\nusage: harp-sample-exapp --listen unix:/path|HOST:PORT [--threads N]\n";
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  harp::sample::raise_descriptor_limit();
  try {
    return harp::sample::run(options);
  } catch (const std::exception& e) {
    std::cerr << "harp-sample-exapp: cannot listen on " << options.listen << ": " << e.what()
              << '\n';
    return 1;
  }
}
