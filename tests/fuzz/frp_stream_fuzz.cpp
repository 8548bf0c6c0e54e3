// Fuzz target: bytes of a hostile client against the tunnel server, over a socketpair on one thread.
// The first byte: bit 0 the mux (its frames follow raw), bit 1 a login first, the rest the size of the pieces.
#include "net/frp_session.hpp"

#include <cstdint>
#include <cstdlib>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace harp::net;

/// Lets everybody in who has any token, grants every port.
class open_gate final : public frp_gate {
public:
  bool admit(const harp::ip_address&) override { return true; }
  asio::awaitable<frp_login_answer> login(frp_login asked) override {
    ++begun;
    frp_login_answer answer;
    answer.run_id = "0123456789abcdef";
    if (!asked.has_token)
      answer.error = "no token";
    co_return answer;
  }
  asio::awaitable<frp_claim_answer> claim(uint64_t, frp_proxy asked) override {
    frp_claim_answer answer;
    answer.port = asked.remote_port;
    co_return answer;
  }
  void running(uint64_t session, std::string name) override {
    last = session;
    last_name = std::move(name);
  }
  void release(uint64_t, std::string) override {}
  void closed(uint64_t, std::string) override { ++ended; }

  int begun = 0, ended = 0;
  uint64_t last = 0;
  std::string last_name;
};

void settle(loop& on) {
  on.io().restart();
  while (on.io().poll() > 0)
    on.io().restart();
}

asio::awaitable<void> use(tunnel_table& table, open_gate& gate) {
  const auto session = table.find(gate.last);
  if (!session)
    co_return;
  const work_user user; // named: g++ 12 mishandles braced temporaries in co_await
  work_stream got = co_await session->open(gate.last_name, user, std::chrono::milliseconds{0});
  if (got.stream)
    got.stream->try_write("hello");
}

std::string prologue(bool mux) {
  frp::login hello;
  hello.metas["token"] = "t";
  std::string message = frp::v1_frame(hello);
  if (!mux)
    return message;
  std::string syn{"\0\1\0\1\0\0\0\1\0\0\0\0", 12};
  std::string data{"\0\0\0\0\0\0\0\1\0\0\0", 11};
  data += static_cast<char>(message.size());
  return syn + data + message;
}

void send(loop& on, int fd, std::string_view bytes, size_t piece) {
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    if (::send(fd, part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
      return;
    bytes.remove_prefix(part.size());
    settle(on);
    char drained[65'536]; // answers go nowhere
    static_cast<void>(::recv(fd, drained, sizeof drained, MSG_DONTWAIT));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const std::string_view rest{static_cast<const char*>(static_cast<const void*>(data + 1)),
                              size - 1};
  loop on{0};
  open_gate gate;
  tunnel_table table;
  frp_server_settings settings;
  settings.tls_required = false;
  settings.limits.login_error_delay = std::chrono::milliseconds{0};
  frp_server server{settings, gate, table};
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
    std::abort();
  asio::generic::stream_protocol::socket socket{
      on.io(), asio::generic::stream_protocol{AF_UNIX, SOCK_STREAM}, pair[0]};
  launch(on.executor(), server.serve(on, std::move(socket), harp::ip_address{}, 1), "fuzz");
  if (data[0] & 2)
    send(on, pair[1], prologue(data[0] & 1), SIZE_MAX);
  send(on, pair[1], rest, data[0] / 4 + size_t{1});
  launch(on.executor(), use(table, gate), "fuzz user");
  settle(on);
  on.check_deadlines(on.coarse_now() + std::chrono::seconds{1});
  settle(on);
  ::close(pair[1]);
  for (const auto& session : table.all())
    session->close("over");
  for (int i = 0; i < 4; ++i) {
    on.check_deadlines(on.coarse_now() + std::chrono::seconds{60});
    settle(on);
  }
  if (gate.begun != gate.ended || !table.all().empty())
    std::abort(); // whoever was judged has ended, and nothing is left
  return 0;
}
