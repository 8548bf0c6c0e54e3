// HTTP heads: what is understood, what is refused (quality.md S1, H01, H02, H07, W03).
#define CAF_SUITE http_codec
#include "net/http_fields.hpp"

#include <caf/test/unit_test.hpp>

#include <map>
#include <memory>

using namespace harp::net;

namespace {

/// A parsed head together with the bytes that its views point into.
template <class Head>
struct parsed {
  std::string bytes;
  Head head;
  parse_result result;
  [[nodiscard]] bool done() const { return result.status == parse_status::done; }
  [[nodiscard]] int refused_with() const {
    return result.status == parse_status::bad ? result.http_status : 0;
  }
  /// Hop flag of the first field of that name; -1 when there is none.
  [[nodiscard]] int hop(std::string_view name) const {
    for (size_t i = 0; i < head.fields.size(); ++i)
      if (head.fields[i].name == name)
        return head.hop[i] ? 1 : 0;
    return -1;
  }
};

std::unique_ptr<parsed<request_head>> request(std::string bytes) {
  auto out = std::make_unique<parsed<request_head>>();
  out->bytes = std::move(bytes);
  size_t searched = 0;
  out->result = parse_request_head(out->bytes.data(), out->bytes.size(), searched, out->head);
  return out;
}

/// A GET with a Host and these lines (each with its CRLF).
std::unique_ptr<parsed<request_head>> get(const std::string& lines) {
  return request("GET /x HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n");
}

std::unique_ptr<parsed<request_head>> get_target(const std::string& target) {
  return request("GET " + target + " HTTP/1.1\r\nHost: h.example:8080\r\n\r\n");
}

std::unique_ptr<parsed<response_head>> response(std::string bytes,
                                                std::string_view method = "GET") {
  auto out = std::make_unique<parsed<response_head>>();
  out->bytes = std::move(bytes);
  size_t searched = 0;
  out->result
      = parse_response_head(out->bytes.data(), out->bytes.size(), searched, method, out->head);
  return out;
}

const std::string websocket_lines = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                                    "Sec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  CAF_REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

CAF_TEST(reads_a_request) {
  auto got = request("PROPFIND /exapps/talk/a%2Fb?x=1?y HTTP/1.1\r\nHost: Cloud.example:443\r\n"
                     "User-Agent:\t curl/8 \t\r\nCookie: a=\xc3\xa4\r\nX-Empty:\r\n"
                     "CONTENT-LENGTH: 0042\r\n\r\nbody");
  CAF_REQUIRE(got->done());
  const auto& head = got->head;
  CAF_CHECK_EQUAL(got->result.bytes, got->bytes.size() - 4);
  CAF_CHECK_EQUAL(head.method, "PROPFIND");
  CAF_CHECK_EQUAL(head.target, "/exapps/talk/a%2Fb?x=1?y");
  CAF_CHECK_EQUAL(head.path, "/exapps/talk/a%2Fb");
  CAF_CHECK_EQUAL(head.query, "x=1?y");
  CAF_CHECK(head.has_query);
  CAF_CHECK_EQUAL(head.host, "Cloud.example:443");
  CAF_CHECK(head.body == body_kind::length);
  CAF_CHECK_EQUAL(head.content_length, 42u);
  CAF_CHECK(head.keep_alive);
  CAF_CHECK(!head.upgrade);
  CAF_REQUIRE_EQUAL(head.fields.size(), 5u);
  CAF_CHECK_EQUAL(head.fields[1].name, "user-agent");
  CAF_CHECK_EQUAL(head.fields[1].value, "curl/8");
  CAF_CHECK_EQUAL(head.value(field_id::cookie), "a=\xc3\xa4");
  CAF_CHECK_EQUAL(head.fields[3].value, "");
  CAF_CHECK(head.has(field_id::content_length));
  CAF_CHECK(!head.has(field_id::origin));
  CAF_CHECK_EQUAL(head.hop.size(), head.fields.size());
}

CAF_TEST(gives_the_same_however_the_bytes_arrive) {
  const std::string whole = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";
  std::string buffer = whole;
  request_head head;
  size_t searched = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    auto got = parse_request_head(buffer.data(), size, searched, head);
    CAF_CHECK(got.status == parse_status::need_more);
    CAF_CHECK_EQUAL(searched, size);
  }
  auto got = parse_request_head(buffer.data(), whole.size(), searched, head);
  CAF_CHECK(got.status == parse_status::done);
  CAF_CHECK_EQUAL(got.bytes, whole.size());
  CAF_CHECK(head.body == body_kind::chunked);
}

CAF_TEST(a_head_is_reused_without_remains) {
  auto got = request("POST /a?q HTTP/1.0\r\nConnection: x\r\nX: y\r\nContent-Length: 9\r\n\r\n");
  CAF_REQUIRE(got->done());
  std::string second = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
  size_t searched = 0;
  CAF_CHECK(parse_request_head(second.data(), second.size(), searched, got->head).status
            == parse_status::done);
  CAF_CHECK_EQUAL(got->head.fields.size(), 1u);
  CAF_CHECK_EQUAL(got->head.hop.size(), 1u);
  CAF_CHECK(!got->head.has_query);
  CAF_CHECK(got->head.body == body_kind::none);
  CAF_CHECK_EQUAL(got->head.content_length, 0u);
  CAF_CHECK(got->head.keep_alive);
}

CAF_TEST(knows_every_field_name) {
  const std::map<std::string, field_id> names = {
      {"accept-encoding", field_id::accept_encoding},
      {"authorization", field_id::authorization},
      {"authorization-app-api", field_id::authorization_app_api},
      {"aa-version", field_id::aa_version},
      {"connection", field_id::connection},
      {"content-length", field_id::content_length},
      {"content-type", field_id::content_type},
      {"cookie", field_id::cookie},
      {"docker-engine-port", field_id::docker_engine_port},
      {"ex-app-host", field_id::ex_app_host},
      {"ex-app-id", field_id::ex_app_id},
      {"ex-app-port", field_id::ex_app_port},
      {"ex-app-version", field_id::ex_app_version},
      {"expect", field_id::expect},
      {"harp-shared-key", field_id::harp_shared_key},
      {"host", field_id::host},
      {"keep-alive", field_id::keep_alive},
      {"origin", field_id::origin},
      {"proxy-authenticate", field_id::proxy_authenticate},
      {"proxy-authorization", field_id::proxy_authorization},
      {"proxy-connection", field_id::proxy_connection},
      {"sec-websocket-accept", field_id::sec_websocket_accept},
      {"sec-websocket-key", field_id::sec_websocket_key},
      {"sec-websocket-version", field_id::sec_websocket_version},
      {"te", field_id::te},
      {"trailer", field_id::trailer},
      {"transfer-encoding", field_id::transfer_encoding},
      {"upgrade", field_id::upgrade},
      {"x-forwarded-for", field_id::x_forwarded_for},
      {"x-real-ip", field_id::x_real_ip},
  };
  CAF_CHECK_EQUAL(names.size(), static_cast<size_t>(field_id::x_real_ip));
  for (const auto& [name, id] : names) {
    CAF_CHECK(field_id_of(name) == id);
    std::string other = name;
    other.back() = other.back() == 'q' ? 'x' : 'q';
    CAF_CHECK(field_id_of(other) == field_id::other);
    CAF_CHECK(field_id_of(name + "s") == field_id::other);
  }
  CAF_CHECK(field_id_of("") == field_id::other);
}

CAF_TEST(refuses_doubtful_lengths) {
  for (std::string value : {"", "+5", "-1", "0x10", "1_0", "5 6", "5, 6", "5, 5", "5,", "0x", "5;",
                            "five", "12345678901234567890", "18446744073709551616", "\xd9\xa5"})
    CAF_CHECK_EQUAL(get("Content-Length: " + value + "\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(get("Content-Length: 5\r\nContent-Length: 6\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(get("Content-Length: 5\r\nContent-Length: 5\r\n")->refused_with(), 400);
  auto most = get("Content-Length: 9999999999999999999\r\n");
  CAF_REQUIRE(most->done());
  CAF_CHECK_EQUAL(most->head.content_length, 9'999'999'999'999'999'999u);
}

CAF_TEST(refuses_length_together_with_chunks) {
  for (std::string coding : {"chunked", "Chunked", "CHUNKED", "gzip"}) {
    CAF_CHECK_EQUAL(
        get("Content-Length: 5\r\nTransfer-Encoding: " + coding + "\r\n")->refused_with(), 400);
    CAF_CHECK_EQUAL(
        get("tRANSFER-eNCODING: " + coding + "\r\ncontent-length: 0\r\n")->refused_with(), 400);
  }
}

CAF_TEST(accepts_one_chunked_coding_only) {
  CAF_CHECK(get("Transfer-Encoding:\tchunked \r\n")->head.body == body_kind::chunked);
  for (std::string value : {"gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "x"})
    CAF_CHECK_EQUAL(get("Transfer-Encoding: " + value + "\r\n")->refused_with(), 501);
  for (std::string value :
       {"", "chunked, chunked", "chunked,", ", chunked", "chunked;q=1", "\"chunked\""})
    CAF_CHECK_EQUAL(get("Transfer-Encoding: " + value + "\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(
      get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")->refused_with(),
                  400);
}

CAF_TEST(refuses_malformed_lines) {
  for (std::string line :
       {"X : y\r\n", "X\t: y\r\n", ": y\r\n", "X\r\n", " X: y\r\n", "\tX: y\r\n", "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n", "X: a\n", "X: a\rb\r\n", "X: a\r\r\n", "X(: y\r\n", "X\x80: y\r\n",
        "X: a\nContent-Length: 5\r\n", "X: a\r\n\n", "\"X\": y\r\n"})
    CAF_CHECK_EQUAL(get(line)->refused_with(), 400);
  CAF_CHECK_EQUAL(request("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(request("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(request("GET / HTTP/1.1\nHost: h\n\n")->refused_with(), 400);
}

CAF_TEST(refuses_control_bytes_in_values_at_every_place) {
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t place = 0; place < 20; ++place) {
      std::string value(20, 'v');
      value[place] = static_cast<char>(byte);
      auto got = get("X: " + value + "\r\n");
      bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
      CAF_REQUIRE_EQUAL(got->refused_with(), control ? 400 : 0);
    }
  }
}

CAF_TEST(checks_every_byte_of_name_method_and_target) {
  for (int byte = 0; byte < 256; ++byte) {
    auto c = static_cast<char>(byte);
    bool token = token_lower[static_cast<size_t>(byte)] != 0;
    bool target = byte > 0x20 && byte < 0x7f && byte != '#';
    if (c != ':')
      CAF_CHECK_EQUAL(get(std::string{"Xa"} + c + "b: y\r\n")->done(), token);
    CAF_CHECK_EQUAL(request(std::string{"GE"} + c + "T /x HTTP/1.1\r\nHost: h\r\n\r\n")->done(),
                    token);
    CAF_CHECK_EQUAL(get_target(std::string{"/a"} + c + "b")->done(), target);
  }
}

CAF_TEST(refuses_a_first_byte_that_starts_no_method_at_once) {
  for (std::string start : {"\x16\x03\x01", "\x17", " GET", "\r\nGET", "(", "\x80"}) {
    auto got = request(start);
    CAF_CHECK_EQUAL(got->refused_with(), 400);
  }
}

CAF_TEST(judges_versions) {
  auto with = [](const std::string& version) {
    return request("GET / " + version + "\r\nHost: h\r\n\r\n")->refused_with();
  };
  CAF_CHECK_EQUAL(with("HTTP/1.1"), 0);
  CAF_CHECK_EQUAL(with("HTTP/1.0"), 0);
  for (const char* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.1"})
    CAF_CHECK_EQUAL(with(version), 505);
  for (const char* version : {"HTTP/1", "HTTP/1.10", "HTTP/01.1", "http/1.1", "HTTP/1.1 ",
                              "HTTP /1.1", "", "HTTP/1,1", "X"})
    CAF_CHECK_EQUAL(with(version), 400);
  CAF_CHECK_EQUAL(request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")->refused_with(), 505);
  CAF_CHECK_EQUAL(request("GET /\r\n\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(request("GET  / HTTP/1.1\r\nHost: h\r\n\r\n")->refused_with(), 400);
}

CAF_TEST(takes_the_path_of_an_absolute_target) {
  auto got = get_target("HTTP://H.example:8080/a%2f//b?q");
  CAF_REQUIRE(got->done());
  CAF_CHECK_EQUAL(got->head.target, "/a%2f//b?q");
  CAF_CHECK_EQUAL(got->head.path, "/a%2f//b");
  auto bare = get_target("https://h.example:8080");
  CAF_REQUIRE(bare->done());
  CAF_CHECK_EQUAL(bare->head.target, "/");
  auto query = get_target("http://h.example:8080?q=/z");
  CAF_REQUIRE(query->done());
  CAF_CHECK_EQUAL(query->head.target, "/?q=/z");
  CAF_CHECK_EQUAL(query->head.path, "/");
  CAF_CHECK_EQUAL(query->head.host, "h.example:8080");
}

CAF_TEST(refuses_other_target_forms) {
  for (const char* target : {"http://other/", "http://h.example/", "http://u@h.example:8080/",
                             "http:///x", "ftp://h.example:8080/", "h.example:8080", "x", "?q", "*",
                             "%2f", "http:/h.example:8080/", "\\x"})
    CAF_CHECK_EQUAL(get_target(target)->refused_with(), 400);
  CAF_CHECK_EQUAL(request("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")->refused_with(), 400);
  CAF_CHECK_EQUAL(request("CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n")->refused_with(), 400);
  auto all = request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
  CAF_REQUIRE(all->done());
  CAF_CHECK_EQUAL(all->head.target, "*");
}

CAF_TEST(wants_at_most_one_good_host) {
  CAF_CHECK(request("GET / HTTP/1.1\r\nX: y\r\n\r\n")->done());
  CAF_CHECK(request("GET / HTTP/1.0\r\n\r\n")->done());
  CAF_CHECK_EQUAL(get("Host: h\r\n")->refused_with(), 400);
  for (const char* host : {"", "a b", "a/b", "a,b", "a@b", "a#b", "a?b", "a\\b", "\xc3\xa4", "<x>"})
    CAF_CHECK_EQUAL(
        request("GET / HTTP/1.1\r\nHost: " + std::string{host} + "\r\n\r\n")->refused_with(), 400);
  CAF_CHECK(request("GET / HTTP/1.1\r\nHost: [::1]:8780\r\n\r\n")->done());
}

CAF_TEST(limits_size_and_number_of_fields) {
  std::string lines;
  for (size_t i = 0; i + 1 < head_fields_max; ++i)
    lines += "X: y\r\n";
  CAF_CHECK(get(lines)->done());
  CAF_CHECK_EQUAL(get(lines + "X: y\r\n")->refused_with(), 431);

  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
  std::string fits = start + std::string(head_bytes_max - start.size() - 4, 'v') + "\r\n\r\n";
  CAF_CHECK(request(fits)->done());
  CAF_CHECK_EQUAL(request(start + 'v' + fits.substr(start.size()))->refused_with(), 431);
  CAF_CHECK_EQUAL(request(std::string(head_bytes_max, 'G'))->refused_with(), 431);
  CAF_CHECK(request(std::string(head_bytes_max - 1, 'G'))->result.status
            == parse_status::need_more);
}

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
