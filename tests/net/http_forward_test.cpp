// Requests on their way to an upstream and answers on their way back.
#define CAF_SUITE http_forward
#include "tests/net/http_world.hpp"

#include <random>

using namespace harp::net;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

constexpr const char* get = "GET /x?y=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr const char* hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
constexpr const char* hello_out = "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello";

bool starts(const std::string& text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(http_forward_tests, http_world)

CAF_TEST(forwards_in_its_own_words_and_keeps_both_connections) {
  connect();
  for (int i = 0; i < 3; ++i) {
    send("GET /x?y=1 HTTP/1.1\r\nHost: h\r\nCookie: c=1\r\nConnection: keep-alive, x-drop\r\nX-Drop: 1\r\n\r\n");
    CAF_CHECK_EQUAL(up().take_all(), "GET /x?y=1 HTTP/1.1\r\nhost: h\r\ncookie: c=1\r\nex-app-id: app\r\n\r\n");
    reply(hello);
    CAF_CHECK_EQUAL(got(), hello_out);
  }
  CAF_CHECK_EQUAL(app->opened, 1);
}

CAF_TEST(identity_fields_come_from_harp_only) {
  connect();
  send("GET / HTTP/1.1\r\nHost: h\r\nEX-APP-ID: forged\r\nEx_App_Id: forged\r\nAUTHORIZATION-APP-API: f\r\nAuthorization_App-Api: f\r\n"
       "harp-shared-key: k\r\nEx-App-Host: f\r\nEx-App-Port: 1\r\nAA-Version: 1\r\nEx-App-Version: 9\r\nx_other: stays\r\n"
       "Connection: ex-app-id, cookie\r\nCookie: a=b\r\n\r\n");
  CAF_CHECK_EQUAL(up().take_all(), "GET / HTTP/1.1\r\nhost: h\r\nx_other: stays\r\ncookie: a=b\r\nex-app-id: app\r\n\r\n");
}

CAF_TEST(pipelined_requests_are_answered_in_order) {
  connect();
  send(std::string{get} + "GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_CHECK(up().take_all().starts_with("GET /x?y=1 "));
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
  CAF_CHECK(up().take_all().starts_with("GET /second "));
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
}

CAF_TEST(a_body_with_length_streams_through) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234");
  CAF_CHECK(up().take_all().ends_with("content-length: 10\r\n\r\n01234"));
  send("56789GET /n HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_CHECK_EQUAL(up().take_all(), "56789");
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
  CAF_CHECK(up().take_all().starts_with("GET /n "));
}

CAF_TEST(a_chunked_body_is_framed_anew) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n");
  auto first = up().take_all();
  CAF_CHECK(first.ends_with("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"));
  send("2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n" + std::string{get});
  CAF_CHECK_EQUAL(up().take_all(), "2\r\nde\r\n0\r\n\r\n");
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
  CAF_CHECK(up().take_all().starts_with("GET /x"));
}

CAF_TEST(a_malformed_chunk_never_completes_the_request) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x5\r\n");
  auto sent = up().take_all();
  CAF_CHECK(sent.find("0\r\n\r\n") == sent.npos);
  CAF_CHECK(starts(got(), "HTTP/1.1 400 "));
  CAF_CHECK(up().ended());
  CAF_CHECK(client->ended());
}

CAF_TEST(chunked_answers_reach_old_clients_by_close) {
  connect();
  send("GET / HTTP/1.0\r\n\r\n");
  reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
  CAF_CHECK(client->ended());
}

CAF_TEST(chunked_answers_are_passed_at_once_and_whole) {
  connect();
  send(get);
  reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  reply("2\r\nde");
  CAF_CHECK_EQUAL(got(), "2\r\nde\r\n");
  reply("\r\n0\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "0\r\n\r\n");
  send(get);
  CAF_CHECK_EQUAL(app->opened, 1);
}

CAF_TEST(an_answer_until_close_becomes_chunked) {
  connect();
  send(get);
  reply("HTTP/1.1 200 OK\r\n\r\nabc");
  up().shutdown_write();
  poll();
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  send(get);
  CAF_CHECK_EQUAL(app->opened, 2);
}

CAF_TEST(answers_without_body_end_at_their_head) {
  connect();
  send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  reply("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n");
  send(get);
  reply("HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n");
  send(get);
  reply("HTTP/1.1 204 No Content\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 204 No Content\r\n\r\n");
  CAF_CHECK_EQUAL(app->opened, 1);
}

CAF_TEST(interim_answers_pass_before_the_body_is_sent) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  CAF_CHECK(up().take_all().find("expect: 100-continue\r\n") != std::string::npos);
  reply("HTTP/1.1 100 Continue\r\n\r\n");
  CAF_CHECK_EQUAL(got(), "HTTP/1.1 100 Continue\r\n\r\n");
  send("abc");
  CAF_CHECK_EQUAL(up().take_all(), "abc");
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
}

CAF_TEST(an_answer_before_the_end_of_the_body_closes) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
  reply("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  CAF_CHECK(starts(got(), "HTTP/1.1 413 "));
  CAF_CHECK(client->ended());
  CAF_CHECK(up().ended());
  CAF_CHECK_EQUAL(client->try_write("more of the body, nobody wants it").bytes, 33u); // and yet no reset for 2 s
  pass(1s);
  CAF_CHECK_EQUAL(front->connections(), 1u);
  pass(2s);
  CAF_CHECK_EQUAL(front->connections(), 0u);
}

CAF_TEST(a_dead_kept_connection_is_replaced_for_repeatable_requests) {
  connect();
  send(get);
  reply(hello);
  got();
  up().close(false);
  poll();
  send(get);
  CAF_CHECK_EQUAL(app->opened, 2);
  reply(hello, 1);
  CAF_CHECK_EQUAL(got(), hello_out);
}

CAF_TEST(unasked_bytes_on_a_kept_connection_are_never_an_answer) {
  connect();
  send(get);
  reply(hello);
  got();
  reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  send(get);
  CAF_CHECK_EQUAL(app->opened, 2);
  reply(hello, 1);
  CAF_CHECK_EQUAL(got(), hello_out);
}

CAF_TEST(bytes_behind_an_answer_end_the_reuse) {
  connect();
  send(get);
  reply(std::string{hello} + "HTTP/1.1 200 OK\r\n");
  CAF_CHECK_EQUAL(got(), hello_out);
  send(get);
  CAF_CHECK_EQUAL(app->opened, 2);
}

CAF_TEST(explains_what_went_wrong_upstream) {
  connect();
  send(get);
  up().close(false);
  poll();
  CAF_CHECK(starts(got(), "HTTP/1.1 502 "));
  send(get);
  reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 1);
  CAF_CHECK(starts(got(), "HTTP/1.1 502 "));
  CAF_CHECK(client->ended());
  connect();
  app->refuse = work_error::no_tunnel;
  send(get);
  auto answer = got();
  CAF_CHECK(starts(answer, "HTTP/1.1 503 "));
  CAF_CHECK(answer.find("\r\nretry-after: 1\r\n") != answer.npos);
  app->refuse = work_error::no_stream;
  send(get);
  CAF_CHECK(starts(got(), "HTTP/1.1 504 "));
}

CAF_TEST(a_silent_upstream_ends_in_504_a_silent_body_in_a_cut) {
  http_limits limits;
  limits.server = 60s;
  make_front(limits);
  connect();
  send(get);
  pass(59s);
  CAF_CHECK_EQUAL(got(), "");
  pass(2s);
  CAF_CHECK(starts(got(), "HTTP/1.1 504 "));
  send(get);
  reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 1);
  CAF_CHECK(got().ends_with("abc"));
  pass(61s);
  CAF_CHECK(client->ended());
  CAF_CHECK_EQUAL(got(), "");
}

CAF_TEST(a_truncated_answer_is_never_completed) {
  connect();
  send(get);
  reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  up().close(false);
  poll();
  auto all = got();
  CAF_CHECK(all.find("0\r\n\r\n") == all.npos);
  CAF_CHECK(client->ended());
}

CAF_TEST(counted_statuses_reach_the_gate) {
  gate.decides = [](const request_head& head, verdict& out) {
    forward(head, out);
    out.counted_statuses = std::make_shared<const std::vector<int>>(std::vector<int>{401, 404});
  };
  connect();
  send(get);
  reply("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  CAF_CHECK(starts(got(), "HTTP/1.1 404 "));
  CAF_CHECK_EQUAL(gate.counted, 1);
  send(get);
  reply(hello);
  CAF_CHECK_EQUAL(gate.counted, 1);
}

CAF_TEST(much_that_is_pipelined_behind_a_body_fits) {
  connect();
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
  up().take_all();
  send(std::string(20'000, 'b') + "GET /next HTTP/1.1\r\nHost: h\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n");
  CAF_CHECK_EQUAL(up().take_all().size(), 20'000u);
  reply(hello);
  CAF_CHECK_EQUAL(got(), hello_out);
  CAF_CHECK(up().take_all().starts_with("GET /next "));
}

CAF_TEST(random_bodies_arrive_byte_by_byte_equal) {
  auto seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  app->capacity = 3000; // back-pressure on both sides
  connect(3000);
  for (int round = 0; round < 20; ++round) {
    std::string body(random() % 60'000, '\0');
    for (auto& c : body)
      c = static_cast<char>(random());
    bool chunked = random() % 2 == 0;
    std::string request = "POST /r HTTP/1.1\r\nHost: h\r\n";
    if (chunked) {
      request += "Transfer-Encoding: chunked\r\n\r\n";
      for (size_t at = 0; at < body.size();) {
        size_t bytes = std::min<size_t>(1 + random() % 9000, body.size() - at);
        char line[20];
        request.append(line, chunk_head(bytes, line));
        request += body.substr(at, bytes) + "\r\n";
        at += bytes;
      }
      request += "0\r\n\r\n";
    } else {
      request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
    std::string arrived;
    for (size_t at = 0; at < request.size();) {
      auto sent = client->try_write(std::string_view{request}.substr(at, 1 + random() % 2000));
      at += sent.bytes;
      poll();
      if (!app->far_ends.empty())
        arrived += up().take_all();
      poll();
    }
    for (int more = 0; more < 100; ++more) {
      poll();
      arrived += up().take_all();
    }
    auto head_end = arrived.find("\r\n\r\n") + 4;
    auto payload = arrived.substr(head_end);
    if (chunked) {
      std::string decoded;
      chunk_decoder decoder;
      for (std::string_view left = payload; !left.empty();) {
        auto step = decoder.next(left);
        CAF_REQUIRE(step.status != parse_status::bad);
        decoded += step.data;
        left.remove_prefix(step.consumed);
        if (step.status == parse_status::done)
          break;
      }
      payload = decoded;
    }
    CAF_REQUIRE(payload == body);
    reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    CAF_REQUIRE(starts(got(), "HTTP/1.1 200 "));
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
