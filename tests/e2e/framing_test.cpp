// Messages that could be read in two ways are refused, in both directions: H01, H02, H04, H07, W03
// of quality.md.
#define CAF_SUITE e2e_framing
#include "tests/e2e/site.hpp"
#include "tests/e2e/ws_client.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp::e2e;

namespace {

/// A node whose `app` is a scripted server, so that every byte that reaches an upstream is known.
struct fixture : site {
  std::string answer = response_text(200, "fine", "text/plain");
  scripted_server upstream{[this](const received_request&) { return answer; }};

  fixture() {
    CAF_REQUIRE(started());
    app.port = upstream.port();
    app.routes = {{".*", 0, {}}};
    nextcloud.put("raw", app);
  }
  ~fixture() { CAF_CHECK_EQUAL(harp.error_lines(), std::vector<std::string>{}); }

  /// Sends bytes behind a head, then a lawful request; whatever comes back until the end.
  std::string hostile(const std::string& head, const std::string& body = {}) {
    std::string bytes = "POST /exapps/raw/first HTTP/1.1\r\nHost: x\r\n" + head + "\r\n" + body
                        + request_text("GET", "/exapps/raw/second");
    return exchange(harp.exapps(), bytes, 3s);
  }
  static size_t answers(const std::string& text) {
    size_t count = 0;
    for (size_t at = text.find("HTTP/1.1 "); at != std::string::npos;
         at = text.find("HTTP/1.1 ", at + 1))
      ++count;
    return count;
  }
  void refused(const std::string& head, const std::string& body = {}) {
    CAF_MESSAGE(head);
    auto text = hostile(head, body);
    CAF_CHECK(text.starts_with("HTTP/1.1 400") || text.starts_with("HTTP/1.1 501"));
    CAF_CHECK_EQUAL(answers(text), 1u);
    CAF_CHECK_EQUAL(upstream.received().size(), 0u);
  }
  response raw_get() { return get(harp.exapps(), "/exapps/raw/x"); }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(framing, fixture)

CAF_TEST(h01_length_together_with_chunked) {
  refused("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
  refused("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n");
  refused("transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n", "0\r\n\r\n");
  refused("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n");
  refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n");
  refused("Transfer-Encoding:\x0b"
          "chunked\r\n",
          "0\r\n\r\n");
  CAF_CHECK_EQUAL(raw_get().body, "fine"); // others are not harmed
}

CAF_TEST(h02_lengths_that_are_none) {
  for (std::string value : {"", "+5", "-1", "0x10", "1_0", "5 6", "5, 6", "99999999999999999999",
                            "5;", "5.0", "\x35\x0c"})
    refused("Content-Length: " + value + "\r\n", "12345");
  refused("Content-Length: 5\r\nContent-Length: 6\r\n", "12345");
}

CAF_TEST(h04_chunks_that_are_none) {
  for (std::string body :
       {"0x5\r\nabcde\r\n0\r\n\r\n", "5_0\r\nabcde\r\n0\r\n\r\n", " 5\r\nabcde\r\n0\r\n\r\n",
        "\r\nabcde\r\n0\r\n\r\n", "10000000000000005\r\nabcde\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n", "5;a=\rb\r\nabcde\r\n0\r\n\r\n", "5\r\nabcdeX0\r\n\r\n"}) {
    CAF_MESSAGE(body);
    auto text = hostile("Transfer-Encoding: chunked\r\n", body);
    CAF_CHECK(text.empty() || text.starts_with("HTTP/1.1 400"));
    CAF_CHECK(answers(text) <= 1);
    for (const auto& request : upstream.received())
      CAF_CHECK_NOT_EQUAL(request.target, "/second");
  }
  CAF_CHECK_EQUAL(raw_get().body, "fine"); // on a fresh upstream connection
}

CAF_TEST(odd_heads_are_refused) {
  for (std::string head : {"Na me: x\r\n", "Name : x\r\n", "Name: a\r\n b\r\n",
                           "Name: a\nOther: b\r\n", ": x\r\n", "Host: second\r\n"})
    refused(head);
  auto text = exchange(harp.exapps(), "GET /exapps/raw/x HTTP/1.1\nHost: x\n\n", 3s);
  CAF_CHECK(text.starts_with("HTTP/1.1 400"));
  for (std::string line :
       {"GET /exapps/raw/x", "GET  /exapps/raw/x HTTP/1.1", "CONNECT x:1 HTTP/1.1",
        "GET /exapps/raw/x#y HTTP/1.1", "GET /exapps/raw/\xc3\xa4 HTTP/1.1"}) {
    text = exchange(harp.exapps(), line + "\r\nHost: x\r\n\r\n", 3s);
    CAF_MESSAGE(line);
    CAF_CHECK(text.starts_with("HTTP/1.1 4"));
  }
  CAF_CHECK_EQUAL(upstream.received().size(), 0u);
}

CAF_TEST(large_heads_pass_to_a_limit) {
  std::string fields;
  for (int i = 0; i < 150; ++i)
    fields += "X-Field-" + std::to_string(i) + ": " + std::string(300, 'v') + "\r\n";
  auto text
      = exchange(harp.exapps(), "GET /exapps/raw/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                    + fields + "\r\n");
  CAF_CHECK(text.starts_with("HTTP/1.1 200"));
  text = exchange(harp.exapps(), "GET /exapps/raw/x HTTP/1.1\r\nHost: x\r\nX: "
                                     + std::string(70'000, 'v') + "\r\n\r\n");
  CAF_CHECK(text.empty() || text.starts_with("HTTP/1.1 4"));
  CAF_CHECK_EQUAL(upstream.received().size(), 1u);
}

CAF_TEST(h07_hop_rules_cannot_remove_identity) {
  auto answered
      = get(harp.exapps(), "/exapps/raw/x",
            {{"Connection", "close, authorization-app-api, ex-app-id, x-forwarded-for, cookie"},
             {"Cookie", "a=b"},
             {"X-Forwarded-For", "198.51.100.1"},
             {"Keep-Alive", "timeout=5"}});
  if (answered.status == 400)
    return; // also allowed
  CAF_CHECK_EQUAL(answered.status, 200);
  auto received = upstream.received();
  CAF_REQUIRE_EQUAL(received.size(), 1u);
  for (auto name : {"ex-app-id", "ex-app-version", "authorization-app-api", "aa-version"})
    CAF_CHECK_EQUAL(received[0].count(name), 1u);
  CAF_CHECK_EQUAL(received[0].count("keep-alive"), 0u);
}

CAF_TEST(fields_arrive_in_harps_own_words) {
  auto answered
      = get(harp.exapps(), "/exapps/raw/x",
            {{"X-Mixed-Case", "V"}, {"X-Bytes", "gr\xc3\xbc\xc3\x9f"}, {"TE", "trailers"}});
  CAF_CHECK_EQUAL(answered.status, 200);
  auto received = upstream.received();
  CAF_REQUIRE_EQUAL(received.size(), 1u);
  CAF_CHECK(received[0].head.find("x-mixed-case: V\r\n") != std::string::npos);
  CAF_CHECK_EQUAL(received[0].header("x-bytes"), "gr\xc3\xbc\xc3\x9f");
  CAF_CHECK_EQUAL(received[0].count("host"), 1u);
  CAF_CHECK_EQUAL(received[0].header("host"), "cloud.example");
}

CAF_TEST(answers_that_can_be_read_in_two_ways) {
  for (std::string bad :
       {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine!",
        "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nfine",
        "HTTP/1.1 200 OK\nContent-Length: 4\n\nfine", "HTTP/1.1 20 OK\r\n\r\n", "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"}) {
    answer = bad;
    CAF_MESSAGE(bad);
    auto got = raw_get();
    CAF_CHECK_EQUAL(got.status, 502);
    CAF_CHECK(got.body.find("fine") == std::string::npos);
  }
  int connections = upstream.connections();
  answer = response_text(200, "fine", "text/plain");
  CAF_CHECK_EQUAL(raw_get().body, "fine");
  CAF_CHECK_EQUAL(upstream.connections(), connections + 1); // none of the doubtful ones was reused
}

CAF_TEST(broken_chunks_of_an_app_end_the_answer) {
  answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
           "chunked\r\n\r\n5\r\nabcde\r\n0x3\r\nabc\r\n0\r\n\r\n";
  auto got = raw_get();
  CAF_CHECK(got.status == 502 || (got.status == 200 && !got.complete));
}

CAF_TEST(w03_only_a_right_101_upgrades) {
  for (std::string bad : {"Upgrade: websocket\r\nConnection: Upgrade\r\n",
                          "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                          "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
                          "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                          "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"}) {
    answer = "HTTP/1.1 101 Switching Protocols\r\n" + bad + "\r\n";
    ws_client socket{harp.exapps(), "/exapps/raw/ws"};
    CAF_CHECK(!socket.open());
    CAF_CHECK_EQUAL(socket.refusal().status, 502);
  }
  answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  CAF_CHECK_EQUAL(raw_get().status, 502); // to a plain GET
  ws_client right{harp.exapps(), "/exapps/raw/ws"};
  CAF_CHECK(right.open());
}

CAF_TEST(w03_only_websocket_is_offered) {
  for (std::string token : {"h2c", "foo", "websocket, h2c"}) {
    auto got = get(harp.exapps(), "/exapps/raw/x", {{"Connection", "Upgrade"}, {"Upgrade", token}});
    CAF_CHECK_NOT_EQUAL(got.status, 101);
  }
  for (const auto& request : upstream.received()) {
    std::string offered = request.header("upgrade");
    CAF_CHECK(offered.empty() || offered == "websocket");
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
