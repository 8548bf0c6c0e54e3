// Requests that go on to another node: what is passed, what comes back, and how its ends are told apart.
#define CAF_SUITE node_upstream
#include "net/node_upstream.hpp"
#include "tests/net/http_world.hpp"
#include "tests/net/node_world.hpp"

using namespace harp;
using namespace harp::net;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

/// A pipe that says why it ended as the streams of a link do.
class told_stream final : public stream {
public:
  told_stream(std::unique_ptr<pipe_stream> inner, std::shared_ptr<std::string> words)
      : inner_(std::move(inner)), words_(std::move(words)) {}
  io_result try_read(std::span<char> into) override { return inner_->try_read(into); }
  io_result try_write(std::string_view head, std::string_view body) override {
    return inner_->try_write(head, body);
  }
  asio::awaitable<bool> wait_readable() override { return inner_->wait_readable(); }
  asio::awaitable<bool> wait_writable() override { return inner_->wait_writable(); }
  void shutdown_write() override { inner_->shutdown_write(); }
  void cancel() override { inner_->cancel(); }
  void close(bool reset) override { inner_->close(reset); }
  bool peer_gone() override { return inner_->peer_gone(); }
  std::string failure() const override { return *words_; }

private:
  std::unique_ptr<pipe_stream> inner_;
  std::shared_ptr<std::string> words_;
};

class fake_route final : public node_route {
public:
  asio::awaitable<stream_ptr> open(ip_address client) override {
    clients.push_back(client.to_string());
    if (!linked)
      co_return nullptr;
    auto [near, far] = pipe_stream::make_pair(1 << 20);
    far_ends.push_back(std::move(far));
    co_return std::make_unique<told_stream>(std::move(near), words);
  }
  bool linked = true;
  std::shared_ptr<std::string> words = std::make_shared<std::string>();
  std::vector<std::string> clients;
  std::vector<std::unique_ptr<pipe_stream>> far_ends;
};

struct entry_world : http_world {
  std::shared_ptr<fake_route> route = std::make_shared<fake_route>();

  entry_world() {
    gate.decides = [this](const request_head& head, verdict& out) {
      out.what = verdict::action::forward;
      auto to = std::make_shared<upstream>();
      to->where = upstream::kind::node;
      to->host = "talk";
      to->node = route;
      out.to = to;
      out.target = head.target;
      out.client = *ip_address::parse("203.0.113.5");
      out.set_fields = "x-forwarded-for: 203.0.113.5\r\n";
    };
  }
  ~entry_world() {
    client.reset();
    route->far_ends.clear();
    poll();
  }
  pipe_stream& node(size_t index = 0) {
    CAF_REQUIRE(route->far_ends.size() > index);
    return *route->far_ends[index];
  }
  void node_says(std::string_view bytes, size_t index = 0) {
    node(index).try_write(bytes);
    poll();
  }
};

constexpr const char* hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr const char* hello_out = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

} // namespace

CAF_TEST_FIXTURE_SCOPE(entry, entry_world)

CAF_TEST(a_node_gets_the_request_as_it_came_but_for_the_clients_address) {
  connect();
  send("GET /exapps/talk/a%2fb?q=1 HTTP/1.1\r\nHost: h\r\nCookie: c=1\r\nAuthorization: Basic "
       "eDp5\r\n"
       "X-Forwarded-For: 198.51.100.1\r\nX-Real-IP: 198.51.100.2\r\nForwarded: "
       "for=198.51.100.3\r\nX-Forwarded-Proto: https\r\n"
       "harp-shared-key: k\r\nEX-APP-ID: talk\r\nEX-APP-VERSION: 1\r\nex-app-host: "
       "h\r\nex-app-port: 1\r\n"
       "AUTHORIZATION-APP-API: Ong=\r\nAA-VERSION: 32\r\nConnection: keep-alive\r\n\r\n");
  CAF_CHECK_EQUAL(
      node().take_all(),
      "GET /exapps/talk/a%2fb?q=1 HTTP/1.1\r\nhost: h\r\ncookie: c=1\r\nauthorization: Basic "
      "eDp5\r\n"
      "x-forwarded-proto: https\r\nharp-shared-key: k\r\nex-app-id: talk\r\nex-app-version: "
      "1\r\nex-app-host: h\r\nex-app-port: 1\r\n"
      "authorization-app-api: Ong=\r\naa-version: 32\r\nx-forwarded-for: 203.0.113.5\r\n\r\n");
  CAF_CHECK_EQUAL(route->clients, std::vector<std::string>{"203.0.113.5"});
  node_says("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n403 "
            "Forbidden");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: "
                         "13\r\n\r\n403 Forbidden");
}

CAF_TEST(every_request_has_a_stream_of_its_own) {
  connect();
  for (size_t i = 0; i < 3; ++i) {
    send("GET /exapps/talk/ HTTP/1.1\r\nHost: h\r\n\r\n");
    CAF_CHECK(node(i).take_all().starts_with("GET /exapps/talk/ "));
    node_says(hello, i);
    CAF_CHECK_EQUAL(got(), hello_out);
    CAF_CHECK(node(i).ended());
  }
  CAF_CHECK_EQUAL(route->clients.size(), 3u);
}

CAF_TEST(bodies_stream_and_websockets_pass) {
  connect();
  send("POST /exapps/talk/ HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234");
  CAF_CHECK(node().take_all().ends_with("content-length: 10\r\n\r\n01234"));
  send("56789");
  CAF_CHECK_EQUAL(node().take_all(), "56789");
  node_says(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
  send("GET /exapps/talk/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
       "websocket\r\nSec-WebSocket-Version: 13\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  CAF_CHECK(node(1).take_all().find("connection: upgrade\r\nupgrade: websocket\r\n")
            != std::string::npos);
  node_says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst",
            1);
  CAF_CHECK(got().ends_with("\r\n\r\nfirst"));
  send("up");
  CAF_CHECK_EQUAL(node(1).take_all(), "up");
  node_says("down", 1);
  CAF_CHECK_EQUAL(got(), "down");
}

CAF_TEST(without_a_linked_node_there_is_a_503_at_once) {
  route->linked = false;
  connect();
  send("GET /exapps/talk/ HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = got();
  CAF_CHECK(answer.starts_with("HTTP/1.1 503 "));
  CAF_CHECK(answer.find("retry-after: 1\r\n") != std::string::npos);
  CAF_CHECK(!client->ended());
}

CAF_TEST(a_drop_there_is_a_drop_here) {
  connect();
  send("GET /exapps/talk/../x HTTP/1.1\r\nHost: h\r\n\r\n");
  *route->words = "stream reset";
  node().close(true);
  poll();
  CAF_CHECK_EQUAL(got(), "");
  CAF_CHECK(client->ended());
}

CAF_TEST(a_lost_link_is_a_503_and_no_drop) {
  connect();
  send("GET /exapps/talk/ HTTP/1.1\r\nHost: h\r\n\r\n");
  *route->words = "session ended: the peer is gone";
  node().close(true);
  poll();
  CAF_CHECK(got().starts_with("HTTP/1.1 503 "));
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(a_reset_by_the_peer_and_the_end_of_a_link_are_told_apart) {
  node_world::world t;
  auto& a = t.add(1);
  auto& b = t.add(2);
  auto link = t.dial(a, b, 2).link;
  CAF_REQUIRE(link != nullptr);
  auto one = link->open_data();
  auto two = link->open_data();
  CAF_CHECK(t.run(write_frame(*one, 24, 0, "1")));
  CAF_CHECK(t.run(write_frame(*two, 24, 0, "2")));
  CAF_REQUIRE(t.until([&] { return b.gate.streams.size() == 2; }));
  CAF_CHECK(!is_reset_by_node(*one));
  b.gate.streams[0]->close(true);
  CAF_REQUIRE(t.until([&] { return one->peer_gone(); }));
  CAF_CHECK(is_reset_by_node(*one));
  CAF_CHECK(!is_reset_by_node(*two));
  b.end->stop("gone");
  CAF_REQUIRE(t.until([&] { return two->peer_gone(); }));
  CAF_CHECK(!is_reset_by_node(*two));
}
