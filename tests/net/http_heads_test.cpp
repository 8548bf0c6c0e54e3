// What heads say about their connection, and heads of answers (quality.md H07, W03).
#define CAF_SUITE http_heads
#include "tests/net/http_heads.hpp"

#include <map>

using namespace http_heads;

CAF_TEST(connection_decides_about_keeping) {
  CAF_CHECK(!get("Connection: Close\r\n")->head.keep_alive);
  CAF_CHECK(!get("Connection: keep-alive, close\r\n")->head.keep_alive);
  CAF_CHECK(!get("Connection: keep-alive\r\nConnection: close\r\n")->head.keep_alive);
  CAF_CHECK(get("Connection: closed, ,\r\n")->head.keep_alive);
  CAF_CHECK(!request("GET / HTTP/1.0\r\n\r\n")->head.keep_alive);
  CAF_CHECK(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->head.keep_alive);
  for (const char* value : {"a b", "a;b", "clo\"se", "close, (x)"})
    CAF_CHECK_EQUAL(get("Connection: " + std::string{value} + "\r\n")->refused_with(), 400);
  std::string many = "a";
  for (int i = 0; i < 40; ++i)
    many += ", a";
  CAF_CHECK_EQUAL(get("Connection: " + many + "\r\n")->refused_with(), 400);
}

CAF_TEST(nominated_fields_are_hop_by_hop_but_not_those_harp_decides_by) {
  auto got = get(
      "Connection: close, X-Private, te, authorization-app-api, ex-app-id, EX-APP-NEW, "
      "x-forwarded-for\r\n"
      "Connection: cookie, authorization, host, content-length, origin, sec-websocket-key, "
      "accept-encoding\r\n"
      "x-private: 1\r\nX-Public: 2\r\nAuthorization-App-Api: c\r\nEx-App-Id: i\r\nEx-App-New: n\r\n"
      "X-Forwarded-For: 1.2.3.4\r\nCookie: c\r\nAuthorization: a\r\nContent-Length: 0\r\nOrigin: "
      "o\r\n"
      "Sec-WebSocket-Key: k\r\nAccept-Encoding: br\r\nTE: trailers\r\n");
  CAF_REQUIRE(got->done());
  for (const char* name : {"connection", "x-private", "accept-encoding"})
    CAF_CHECK_EQUAL(got->hop(name), 1);
  for (const char* name :
       {"host", "x-public", "authorization-app-api", "ex-app-id", "ex-app-new", "x-forwarded-for",
        "cookie", "authorization", "content-length", "origin", "sec-websocket-key", "te"})
    CAF_CHECK_EQUAL(got->hop(name), 0);
}

CAF_TEST(hop_by_hop_fields_never_pass) {
  auto got = get("Keep-Alive: 5\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\nTE: "
                 "gzip\r\nTrailer: x\r\n"
                 "Upgrade: h2c\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nExpect: "
                 "100-continue\r\n");
  CAF_REQUIRE(got->done());
  for (size_t i = 1; i + 1 < got->head.fields.size(); ++i)
    CAF_CHECK(got->head.hop[i]);
  CAF_CHECK_EQUAL(got->hop("expect"), 0);
  CAF_CHECK(got->head.expect_continue);
}

CAF_TEST(lookalikes_of_identity_fields_never_pass) {
  auto got = get(
      "EX_APP_ID: 1\r\nauthorization_app-api: 2\r\nX_Forwarded_For: 3\r\nContent_Length: 4\r\n"
      "my_own: 5\r\n_: 6\r\na_very_long_name_with_many_underscores: 7\r\n");
  CAF_REQUIRE(got->done());
  for (const char* name :
       {"ex_app_id", "authorization_app-api", "x_forwarded_for", "content_length"})
    CAF_CHECK_EQUAL(got->hop(name), 1);
  for (const char* name : {"my_own", "_", "a_very_long_name_with_many_underscores"})
    CAF_CHECK_EQUAL(got->hop(name), 0);
  CAF_CHECK(!got->head.has(field_id::ex_app_id));
  CAF_CHECK(got->head.body == body_kind::none);
}

CAF_TEST(upgrades_to_websocket_only) {
  auto good = get(websocket_lines);
  CAF_REQUIRE(good->done());
  CAF_CHECK(good->head.upgrade);
  CAF_CHECK(good->head.upgrade_websocket);
  CAF_CHECK_EQUAL(good->hop("upgrade"), 1);
  CAF_CHECK_EQUAL(good->hop("sec-websocket-key"), 0);
  const std::vector<std::pair<const char*, const char*>> spoiled = {
      {"WebSocket\r\n", "h2c\r\n"},
      {"WebSocket\r\n", "foo\r\n"},
      {"WebSocket\r\n", "websocket, h2c\r\n"},
      {"WebSocket\r\n", "websocket\r\nUpgrade: websocket\r\n"},
      {"Version: 13", "Version: 8"},
      {"Version: 13", "Version: 13, 8"},
      {"ZQ==", "ZQ=A"},
      {"dGhl", "dG,l"},
      {"dGhl", "dGhldGhl"},
      {"Sec-WebSocket-Key", "X-Key"},
      {"keep-alive, Upgrade", "keep-alive"},
      {"Connection", "Content-Length: 3\r\nConnection"},
  };
  for (const auto& [from, to] : spoiled) {
    auto got = get(replaced(websocket_lines, from, to));
    CAF_CHECK(got->done());
    CAF_CHECK(!got->head.upgrade_websocket);
  }
  CAF_CHECK(!request("POST /x HTTP/1.1\r\nHost: h\r\n" + websocket_lines + "\r\n")
                 ->head.upgrade_websocket);
  auto old = request("GET /x HTTP/1.0\r\nHost: h\r\n" + websocket_lines + "\r\n");
  CAF_CHECK(old->done());
  CAF_CHECK(!old->head.upgrade);
}

CAF_TEST(reads_a_response) {
  auto got = response("HTTP/1.1 404 Not \xc3\xa4 Found\r\nContent-Length: 9\r\nServer: x\r\n\r\n");
  CAF_REQUIRE(got->done());
  CAF_CHECK_EQUAL(got->head.status, 404);
  CAF_CHECK_EQUAL(got->head.reason, "Not \xc3\xa4 Found");
  CAF_CHECK(got->head.body == body_kind::length);
  CAF_CHECK_EQUAL(got->head.content_length, 9u);
  CAF_CHECK(got->head.keep_alive);
  auto wordless = response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
  CAF_REQUIRE(wordless->done());
  CAF_CHECK_EQUAL(wordless->head.reason, "");
  auto chunked = response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  CAF_CHECK(chunked->head.body == body_kind::chunked);
  auto closed = response("HTTP/1.1 200 OK\r\n\r\n");
  CAF_CHECK(closed->head.body == body_kind::until_close);
  CAF_CHECK(!closed->head.keep_alive);
  CAF_CHECK(!response("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n")->head.keep_alive);
}

CAF_TEST(knows_answers_without_body) {
  CAF_CHECK(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD")->head.body
            == body_kind::none);
  CAF_CHECK(response("HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n")->head.body == body_kind::none);
  CAF_CHECK(response("HTTP/1.1 100 Continue\r\n\r\n")->head.body == body_kind::none);
  auto empty = response("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
  CAF_REQUIRE(empty->done());
  CAF_CHECK(empty->head.body == body_kind::none);
  CAF_CHECK_EQUAL(empty->hop("content-length"), 1);
  CAF_CHECK(empty->head.keep_alive);
  CAF_CHECK_EQUAL(response("HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\n")->refused_with(), 502);
  CAF_CHECK_EQUAL(response("HTTP/1.1 101 X\r\nContent-Length: 1\r\n\r\n")->refused_with(), 502);
  CAF_CHECK_EQUAL(response("HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n")->refused_with(),
                  502);
}

CAF_TEST(refuses_doubtful_responses) {
  for (std::string start :
       {"HTTP/1.2 200 OK", "HTTP/2 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 2x0 OK", "http/1.1 200 OK", "ICY 200 OK",
        "HTTP/1.1", "HTTP/1.1 200\tOK", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\x7fK",
        " HTTP/1.1 200 OK", ""})
    CAF_CHECK_EQUAL(response(start + "\r\nContent-Length: 0\r\n\r\n")->refused_with(), 502);
  for (std::string lines :
       {"Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Content-Length: +1\r\n",
        "Transfer-Encoding: gzip\r\n", "X : y\r\n", "X: a\r\n b\r\n", "X: a\n", "X: \x01\r\n"})
    CAF_CHECK_EQUAL(response("HTTP/1.1 200 OK\r\n" + lines + "\r\n")->refused_with(), 502);
  CAF_CHECK_EQUAL(response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")->refused_with(),
                  502);
  CAF_CHECK_EQUAL(response("SSH-2.0")->refused_with(), 502);
  CAF_CHECK(response("HTTP/1")->result.status == parse_status::need_more);
}

CAF_TEST(shows_the_upgrade_of_a_response) {
  const std::string start = "HTTP/1.1 101 Switching Protocols\r\n";
  auto good = response(
      start + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n");
  CAF_REQUIRE(good->done());
  CAF_CHECK(good->head.upgrade_websocket);
  CAF_CHECK(good->head.body == body_kind::none);
  CAF_CHECK_EQUAL(good->head.value(field_id::sec_websocket_accept), "a");
  CAF_CHECK(!response(start + "Upgrade: websocket\r\n\r\n")->head.upgrade_websocket);
  CAF_CHECK(
      !response(start + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")->head.upgrade_websocket);
  CAF_CHECK(!response(start + "Connection: Upgrade\r\n\r\n")->head.upgrade_websocket);
}

CAF_TEST(answers_the_websocket_key_of_the_rfc) {
  CAF_CHECK_EQUAL(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

CAF_TEST(has_words_for_its_own_statuses) {
  for (int status : {400, 401, 403, 404, 408, 413, 431, 500, 501, 502, 503, 504, 505})
    CAF_CHECK(!reason_phrase(status).empty());
  CAF_CHECK_EQUAL(reason_phrase(299), "");
}
