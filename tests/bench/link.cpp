// CPU seconds per GiB over one node link on loopback, each end a process of its own: the measure of
// design.md 7 for the transport alone (curl over HTTPS is the rival, tests/bench/files).
// bench_link [GiB] [streams] [frame KiB] [tcp|ws]
#include "net/node_endpoint.hpp"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace harp;
using namespace harp::net;

namespace {

struct options {
  uint64_t bytes = 1ull << 30;
  unsigned streams = 1;
  size_t frame_bytes = 1u << 20;
  bool websocket = false;
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  auto of = [](const timeval& t) { return static_cast<double>(t.tv_sec) + t.tv_usec / 1e6; };
  return of(used.ru_utime) + of(used.ru_stime);
}

node_identity_ptr identity(uint8_t number) {
  std::array<uint8_t, key_seed_bytes> seed{};
  seed[0] = number;
  return node_identity::from_seed(seed);
}

/// The receiver reads every data stream to its end; the sender writes.
class bench_gate final : public node_gate {
public:
  bool admits(const device_key&) override { return true; }
  void on_link(node_link_ptr link) override {
    launch(link->home().executor(), drain_control(link), "control");
  }
  void on_data(node_link_ptr link, stream_ptr stream) override {
    launch(link->home().executor(), drain(*this, std::move(stream)), "data");
  }
  void on_end(node_link_ptr, std::string reason) override {
    if (received < 1)
      std::fprintf(stderr, "link ended: %s\n", reason.c_str());
    ended = true;
  }
  asio::awaitable<std::string> enrol(device_key, std::string, ip_address) override { co_return ""; }

  std::atomic<uint64_t> received{0};
  std::atomic<bool> ended{false};

private:
  static asio::awaitable<void> drain_control(node_link_ptr link) {
    for (;;) {
      auto frame = co_await link->next_frame();
      if (!frame)
        co_return;
    }
  }
  static asio::awaitable<void> drain(bench_gate& self, stream_ptr stream) {
    peer_frame frame;
    for (;;) {
      frame_status status = co_await read_frame(*stream, frame);
      if (status != frame_status::ok)
        break;
      self.received += frame.payload.size();
    }
    co_await write_frame(*stream, 16, 0, "done");
    stream->shutdown_write();
  }
};

asio::awaitable<void> send_one(node_link_ptr link, uint64_t bytes, size_t frame_bytes,
                               std::atomic<unsigned>& left) {
  stream_ptr stream = link->open_data();
  std::string body(frame_bytes, 'x');
  std::string head(45, 'h');
  for (uint64_t sent = 0; stream && sent < bytes; sent += body.size()) {
    bool good = co_await write_frame(*stream, 12, 0, head, body);
    if (!good) {
      std::fprintf(stderr, "send failed: %s\n", stream->failure().c_str());
      std::exit(1);
    }
  }
  stream->shutdown_write();
  peer_frame done;
  frame_status status = co_await read_frame(*stream, done);
  if (status != frame_status::ok)
    std::exit(1);
  --left;
}

asio::awaitable<void> send_all(std::shared_ptr<node_endpoint> end, loop& on, options asked,
                               uint16_t port, std::atomic<bool>& over) {
  std::string address = "127.0.0.1:" + std::to_string(port);
  if (asked.websocket)
    address = "ws://" + address + "/harp";
  std::vector<std::string> addresses{address};
  dial_outcome out = co_await end->dial(on, addresses, identity(1)->key());
  if (!out.link) {
    std::fprintf(stderr, "%s\n", out.words.c_str());
    std::exit(1);
  }
  double cpu = cpu_seconds();
  auto began = clock::now();
  std::atomic<unsigned> left{asked.streams};
  for (unsigned i = 0; i < asked.streams; ++i)
    launch(on.executor(), send_one(out.link, asked.bytes / asked.streams, asked.frame_bytes, left),
           "send");
  asio::steady_timer pause{on.io()};
  while (left > 0) {
    pause.expires_after(milliseconds{5});
    co_await pause.async_wait(nothrow);
  }
  double wall = std::chrono::duration<double>(clock::now() - began).count();
  double gib = static_cast<double>(asked.bytes) / (1u << 30);
  std::printf("sender   %.3f CPU s per GiB, %.0f MB/s\n", (cpu_seconds() - cpu) / gib,
              static_cast<double>(asked.bytes) / 1e6 / wall);
  std::fflush(stdout);
  out.link->close("done");
  over = true;
}

void receiver(int port_to, const options& asked) {
  runtime loops{1};
  bench_gate gate;
  auto made = node_endpoint::make(loops, gate, identity(1));
  auto end = std::get<std::shared_ptr<node_endpoint>>(made);
  std::string wrong = end->listen("127.0.0.1", 0);
  if (!wrong.empty())
    std::exit(1);
  loops.start();
  std::string address = end->listening().front();
  std::string port = address.substr(address.rfind(':') + 1) + "\n";
  if (::write(port_to, port.data(), port.size()) < 0)
    std::exit(1);
  double cpu = cpu_seconds();
  while (!gate.ended)
    ::usleep(20'000);
  std::printf("receiver %.3f CPU s per GiB\n",
              (cpu_seconds() - cpu) / (static_cast<double>(asked.bytes) / (1u << 30)));
  std::fflush(stdout);
  end->stop("done");
  loops.stop();
  loops.drop_handlers();
}

void sender(uint16_t port, const options& asked) {
  runtime loops{1};
  bench_gate gate;
  auto made = node_endpoint::make(loops, gate, identity(2));
  auto end = std::get<std::shared_ptr<node_endpoint>>(made);
  loops.start();
  std::atomic<bool> over{false};
  launch(loops.at(0).executor(), send_all(end, loops.at(0), asked, port, over), "bench");
  while (!over)
    ::usleep(20'000);
  ::usleep(100'000);
  end->stop("done");
  loops.stop();
  loops.drop_handlers();
}

} // namespace

int main(int count, char** words) {
  options asked;
  if (count > 1)
    asked.bytes = static_cast<uint64_t>(std::atof(words[1]) * (1u << 30));
  if (count > 2)
    asked.streams = static_cast<unsigned>(std::max(1, std::atoi(words[2])));
  if (count > 3)
    asked.frame_bytes = static_cast<size_t>(std::max(1, std::atoi(words[3]))) * 1024;
  if (count > 4)
    asked.websocket = std::strcmp(words[4], "ws") == 0;
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0)
    return 1;
  pid_t child = ::fork();
  if (child == 0) {
    receiver(pipe_ends[1], asked);
    return 0;
  }
  ::close(pipe_ends[1]);
  std::FILE* said = ::fdopen(pipe_ends[0], "r");
  unsigned port = 0;
  if (said == nullptr || std::fscanf(said, "%u", &port) != 1)
    return 1;
  sender(static_cast<uint16_t>(port), asked);
  int status = 0;
  ::waitpid(child, &status, 0);
  std::fclose(said);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
