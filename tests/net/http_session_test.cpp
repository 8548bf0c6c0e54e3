#define CAF_SUITE http_session
#include "tests/net/http_world.hpp"

using namespace harp::net;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

struct world : http_world {
  world() {
    gate.decides = [](const request_head&, verdict& out) {
      out.what = verdict::action::respond;
      out.status = 403;
      out.body = "403 Forbidden";
    };
  }
};

constexpr const char* refused = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\n403 Forbidden";

} // namespace

CAF_TEST_FIXTURE_SCOPE(http_session_tests, world)

CAF_TEST(a_refusal_keeps_the_connection) {
  connect();
  for (int i = 0; i < 3; ++i) {
    send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    CAF_CHECK_EQUAL(got(), refused);
  }
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_CHECK_EQUAL(got(), std::string{refused} + refused);
  CAF_CHECK(!client->ended());
}

CAF_TEST(a_refused_large_body_closes) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\nabc");
  CAF_CHECK(got().find("connection: close\r\n") != std::string::npos);
  CAF_CHECK(client->ended());
}

CAF_TEST(malformed_requests_get_400_and_nothing_behind_them_counts) {
  for (auto bad : {"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                   "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\n\r\n\r\n"}) {
    connect();
    send(std::string{bad} + "GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
    auto answer = got();
    CAF_CHECK_EQUAL(answer.substr(0, 13), "HTTP/1.1 400 ");
    CAF_CHECK(answer.find("403 Forbidden") == answer.npos);
    CAF_CHECK(client->ended());
  }
  CAF_CHECK_EQUAL(gate.bad, 5);
}

CAF_TEST(a_head_may_come_byte_by_byte_but_not_for_ever) {
  connect();
  for (char c : "GET / HTTP/1.1\r\nHost: h\r\n\r\n"s)
    send({&c, 1});
  CAF_CHECK_EQUAL(got(), refused);
  send("GET / HT");
  pass(29s);
  send("T");
  CAF_CHECK(!client->ended());
  pass(2s);
  CAF_CHECK_EQUAL(got().substr(0, 13), "HTTP/1.1 408 ");
  CAF_CHECK(client->ended());
}

CAF_TEST(an_idle_connection_ends_silently) {
  connect();
  send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  got();
  pass(31s);
  CAF_CHECK(client->ended());
  CAF_CHECK_EQUAL(got(), "");
}

CAF_TEST(heads_up_to_the_limit_pass_larger_ones_do_not) {
  connect();
  std::string fits = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
  fits += std::string(60'000, 'x') + "\r\n\r\n";
  send(fits);
  CAF_CHECK_EQUAL(got(), refused);
  send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n");
  CAF_CHECK_EQUAL(got().substr(0, 13), "HTTP/1.1 431 ");
}

CAF_TEST(a_drop_sends_nothing) {
  gate.decides = [](const request_head&, verdict& out) { out.what = verdict::action::drop; };
  connect();
  send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "");
  char byte;
  CAF_CHECK(client->try_read({&byte, 1}).status == io_status::failed); // a reset, not an end
}

CAF_TEST(bodies_for_the_gate_are_bounded) {
  gate.decides = [](const request_head&, verdict& out) {
    out.what = verdict::action::read_body;
    out.body_bytes_max = 5;
  };
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12");
  CAF_CHECK_EQUAL(got(), "");
  send("345");
  CAF_CHECK(got().ends_with("\r\n\r\ngot 12345"));
  send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n");
  CAF_CHECK(got().ends_with("\r\n\r\ngot 12345"));
  send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n");
  CAF_CHECK_EQUAL(got().substr(0, 13), "HTTP/1.1 413 ");
  CAF_CHECK(client->ended());
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n");
  CAF_CHECK_EQUAL(got().substr(0, 13), "HTTP/1.1 413 ");
}

CAF_TEST(draining_closes_after_the_answer) {
  connect();
  front->drain();
  send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_CHECK(got().find("connection: close\r\n") != std::string::npos);
  CAF_CHECK(client->ended());
}

CAF_TEST(old_clients_are_kept_only_when_they_ask) {
  connect();
  send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CAF_CHECK(got().find("connection: keep-alive\r\n") != std::string::npos);
  send("GET / HTTP/1.0\r\n\r\n");
  CAF_CHECK(got().find("connection: close\r\n") != std::string::npos);
  CAF_CHECK(client->ended());
}

CAF_TEST_FIXTURE_SCOPE_END()
