// Request heads: what is understood, what is refused (quality.md S1, H01, H02).
#define CAF_SUITE http_codec
#include "tests/net/http_heads.hpp"

#include <map>

using namespace http_heads;

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
