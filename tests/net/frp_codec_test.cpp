// frp messages: bodies, v1 framing, hostile JSON; vectors of frp.md 2 and 10.
#define CAF_SUITE frp_codec
#include "net/frp_codec.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

namespace frp = harp::net::frp;
using frp::kind;

namespace {

template <class T>
T must(const frp::decoded& from) {
  CAF_REQUIRE_EQUAL(from.error, "");
  CAF_REQUIRE(std::holds_alternative<T>(from.value));
  return std::get<T>(from.value);
}

frp::decoded read_frame(std::string_view frame) {
  const auto header = frp::v1_read_header(frame.substr(0, frp::v1_header_bytes));
  if (!header.error.empty())
    return {{}, header.error};
  return frp::v1_read_body(header, frame.substr(frp::v1_header_bytes));
}

std::string header_bytes(char type, int64_t length) {
  std::string out(1, type);
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(length >> shift);
  return out;
}

bool refused(kind what, std::string_view body) {
  return !frp::decode_body(what, body).error.empty();
}

constexpr std::string_view login_json
    = R"({"version":"0.61.1","os":"linux","arch":"amd64",)"
      R"("privilege_key":"24920decf83f6960b80f737a28eeafc1","timestamp":1700000000,)"
      R"("metas":{"token":"secret"},"client_spec":{},"pool_count":1})";

} // namespace

CAF_TEST(reads_and_writes_the_login_of_the_transcript) {
  const auto in = must<frp::login>(frp::decode_body(kind::login, login_json));
  CAF_CHECK_EQUAL(in.version, "0.61.1");
  CAF_CHECK_EQUAL(in.timestamp, 1'700'000'000);
  CAF_CHECK_EQUAL(in.metas.at("token"), "secret");
  CAF_CHECK_EQUAL(in.pool_count, 1);
  CAF_CHECK_EQUAL(frp::encode_body(in), login_json);
  CAF_CHECK_EQUAL(login_json.size(), 181u);
  CAF_CHECK_EQUAL(frp::v1_frame(in).substr(0, 9), header_bytes('o', 181));
}

CAF_TEST(writes_the_bodies_of_the_transcript) {
  CAF_CHECK_EQUAL(frp::encode_body(frp::login_resp{"0.61.1", "0123456789abcdef", ""}),
                  R"({"version":"0.61.1","run_id":"0123456789abcdef"})");
  CAF_CHECK_EQUAL(frp::v1_frame(frp::req_work_conn{}), header_bytes('r', 2) + "{}");
  CAF_CHECK_EQUAL(frp::encode_body(frp::new_work_conn{"0123456789abcdef", "", 0}),
                  R"({"run_id":"0123456789abcdef"})");
  frp::new_proxy proxy;
  proxy.name = "exapp1";
  proxy.type = "tcp";
  proxy.remote_port = 23001;
  CAF_CHECK_EQUAL(frp::encode_body(proxy),
                  R"({"proxy_name":"exapp1","proxy_type":"tcp","remote_port":23001})");
  CAF_CHECK_EQUAL(frp::encode_body(frp::new_proxy_resp{"exapp1", ":23001", ""}),
                  R"({"proxy_name":"exapp1","remote_addr":":23001"})");
  const frp::start_work_conn start{"exapp1", "127.0.0.1", "127.0.0.1", 40000, 23001, ""};
  CAF_CHECK_EQUAL(frp::encode_body(start),
                  R"({"proxy_name":"exapp1","src_addr":"127.0.0.1","dst_addr":"127.0.0.1",)"
                  R"("src_port":40000,"dst_port":23001})");
  CAF_CHECK_EQUAL(frp::v1_frame(start).size(), 0x70u);
}

CAF_TEST(round_trips_every_message) {
  frp::new_proxy proxy;
  proxy.name = "a.b\"\\<&>\xe2\x80\xa8\n\x01\xc3\xa9";
  proxy.use_encryption = proxy.use_compression = true;
  proxy.bandwidth_limit = "1MB";
  proxy.bandwidth_limit_mode = "server";
  proxy.group = "g";
  proxy.group_key = "k";
  proxy.remote_port = 65535;
  const auto again = must<frp::new_proxy>(read_frame(frp::v1_frame(proxy)));
  CAF_CHECK_EQUAL(again.name, proxy.name);
  CAF_CHECK(again.use_encryption && again.use_compression);
  CAF_CHECK_EQUAL(again.bandwidth_limit_mode, "server");
  CAF_CHECK_EQUAL(again.remote_port, 65535);
  CAF_CHECK_EQUAL(must<frp::pong>(read_frame(frp::v1_frame(frp::pong{"no"}))).error, "no");
  CAF_CHECK_EQUAL(must<frp::ping>(read_frame(frp::v1_frame(frp::ping{"k", -5}))).timestamp, -5);
  CAF_CHECK_EQUAL(must<frp::close_proxy>(read_frame(frp::v1_frame(frp::close_proxy{"x"}))).name,
                  "x");
  CAF_CHECK_EQUAL(must<frp::start_work_conn>(
                      read_frame(frp::v1_frame(frp::start_work_conn{"n", "s", "d", 1, 2, "e"})))
                      .error,
                  "e");
  must<frp::req_work_conn>(read_frame(frp::v1_frame(frp::req_work_conn{})));
}

CAF_TEST(escapes_as_go_does) {
  CAF_CHECK_EQUAL(frp::encode_body(frp::pong{"<>&\xe2\x80\xa9\"\\\t\x1f"}),
                  "{\"error\":\"\\u003c\\u003e\\u0026\\u2029\\\"\\\\\\t\\u001f\"}");
}

CAF_TEST(understands_escapes_and_surrogates) {
  const auto in
      = must<frp::pong>(frp::decode_body(kind::pong, R"({"error":"\u003c\ud83d\ude00"})"));
  CAF_CHECK_EQUAL(in.error, "<\xf0\x9f\x98\x80");
  CAF_CHECK(refused(kind::pong, R"({"error":"\ud83d"})"));
  CAF_CHECK(refused(kind::pong, "{\"error\":\"\xff\"}"));
}

CAF_TEST(ignores_unknown_keys_and_null) {
  const auto in = must<frp::new_proxy>(frp::decode_body(
      kind::new_proxy, R"({"proxy_name":"a","x":[{"y":[1,2.5,null]}],"group":null})"));
  CAF_CHECK_EQUAL(in.name, "a");
  CAF_CHECK_EQUAL(in.group, "");
}

CAF_TEST(refuses_every_field_of_wrong_type) {
  const std::pair<kind, std::vector<const char*>> texts[]
      = {{kind::login,
          {"version", "hostname", "os", "arch", "user", "privilege_key", "run_id", "client_id"}},
         {kind::login_resp, {"version", "run_id", "error"}},
         {kind::new_proxy,
          {"proxy_name", "proxy_type", "bandwidth_limit", "bandwidth_limit_mode", "group",
           "group_key"}},
         {kind::new_proxy_resp, {"proxy_name", "remote_addr", "error"}},
         {kind::close_proxy, {"proxy_name"}},
         {kind::new_work_conn, {"run_id", "privilege_key"}},
         {kind::start_work_conn, {"proxy_name", "src_addr", "dst_addr", "error"}},
         {kind::ping, {"privilege_key"}},
         {kind::pong, {"error"}}};
  for (const auto& [what, keys] : texts)
    for (const char* key : keys)
      for (const char* value : {"1", "true", "{}", "[]", "1.5"})
        CAF_CHECK(refused(what, std::string{"{\""} + key + "\":" + value + "}"));
  for (const char* value :
       {"\"1\"", "1.0", "1e3", "true", "{}", "9223372036854775808", "-9223372036854775809"}) {
    CAF_CHECK(refused(kind::login, std::string{"{\"timestamp\":"} + value + "}"));
    CAF_CHECK(refused(kind::login, std::string{"{\"pool_count\":"} + value + "}"));
    CAF_CHECK(refused(kind::ping, std::string{"{\"timestamp\":"} + value + "}"));
  }
  for (const char* value : {"-1", "65536", "\"80\"", "1.5"}) {
    CAF_CHECK(refused(kind::new_proxy, std::string{"{\"remote_port\":"} + value + "}"));
    CAF_CHECK(refused(kind::start_work_conn, std::string{"{\"src_port\":"} + value + "}"));
  }
  for (const char* body :
       {R"({"metas":[]})", R"({"metas":{"a":1}})", R"({"client_spec":1})",
        R"({"client_spec":{"type":1}})", R"({"client_spec":{"always_auth_pass":1}})"})
    CAF_CHECK(refused(kind::login, body));
  for (const char* body : {R"({"use_encryption":1})", R"({"use_compression":"true"})",
                           R"({"metas":{"a":1}})", R"({"annotations":"x"})"})
    CAF_CHECK(refused(kind::new_proxy, body));
}

CAF_TEST(refuses_what_is_no_strict_object) {
  for (const char* body :
       {"", "null", "[]", "1", "\"x\"", "{", "{}x", "{}{}", "{\"a\":1,}", "{'a':1}",
        R"({"error":"a","error":"b"})", R"({"x":{"y":1,"y":2}})", "{\"a\":NaN}", "\xef\xbb\xbf[]"})
    CAF_CHECK(refused(kind::pong, body));
  CAF_CHECK(!refused(kind::pong, " {} "));
}

CAF_TEST(limits_depth) {
  auto nested = [](size_t depth) {
    std::string out;
    for (size_t i = 0; i < depth; ++i)
      out += "{\"x\":";
    return out + "1" + std::string(depth, '}');
  };
  CAF_CHECK(!refused(kind::pong, nested(frp::json_depth_max)));
  CAF_CHECK(refused(kind::pong, nested(frp::json_depth_max + 1)));
  CAF_CHECK(refused(kind::pong, "{\"x\":" + std::string(9'000, '[')));
}

CAF_TEST(limits_length) {
  auto padded = [](size_t bytes) { return "{\"x\":\"" + std::string(bytes - 8, 'a') + "\"}"; };
  CAF_CHECK(read_frame(header_bytes('4', 10'240) + padded(10'240)).error.empty());
  CAF_CHECK(!read_frame(header_bytes('4', 10'241) + padded(10'241)).error.empty());
  CAF_CHECK(refused(kind::pong, padded(10'241)));
  CAF_CHECK(!frp::v1_read_header(header_bytes('4', -1)).error.empty());
  CAF_CHECK(!frp::v1_read_header(header_bytes('4', INT64_MIN)).error.empty());
  CAF_CHECK_EQUAL(frp::v1_frame(frp::pong{std::string(10'240, 'a')}), "");
  CAF_CHECK(!frp::v1_frame(frp::pong{std::string(10'228, 'a')}).empty());
}

CAF_TEST(knows_all_codes_and_no_other) {
  const std::string known = "o1p2cwrsh4v3uinm56";
  for (int c = 0; c < 256; ++c) {
    const auto header = frp::v1_read_header(header_bytes(static_cast<char>(c), 2));
    CAF_CHECK_EQUAL(header.error.empty(), known.find(static_cast<char>(c)) != std::string::npos);
  }
  const auto other = read_frame(header_bytes('u', 3) + "\x00\x01\x02");
  CAF_CHECK_EQUAL(must<frp::foreign>(other).code, 'u');
  CAF_CHECK_EQUAL(frp::v1_frame(frp::foreign{'u'}), "");
}

CAF_TEST(survives_truncation_at_every_byte) {
  for (size_t cut = 0; cut < login_json.size(); ++cut)
    CAF_CHECK(refused(kind::login, login_json.substr(0, cut)));
  for (size_t cut = 0; cut < frp::v1_header_bytes; ++cut)
    CAF_CHECK(!frp::v1_read_header(header_bytes('o', 181).substr(0, cut)).error.empty());
}

CAF_TEST(survives_random_bytes) {
  const unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 2'000; ++round) {
    std::string body{login_json};
    for (unsigned n = random() % 4 + 1; n > 0; --n)
      body[random() % body.size()] = static_cast<char>(random());
    const auto result = frp::decode_body(kind::login, body);
    CAF_CHECK(result.error.find("secret") == std::string::npos);
    if (result.error.empty())
      CAF_CHECK(frp::decode_body(kind::login, frp::encode_body(result.value)).error.empty());
  }
}

CAF_TEST(judges_names_and_run_ids) {
  CAF_CHECK(frp::is_printable("x.app_1", 128));
  CAF_CHECK(!frp::is_printable("", 128));
  CAF_CHECK(!frp::is_printable(std::string(129, 'a'), 128));
  CAF_CHECK(!frp::is_printable("a\nb", 128));
  CAF_CHECK(!frp::is_printable("a\x7f", 128));
  CAF_CHECK(frp::is_run_id(std::string(64, 'f')));
  CAF_CHECK(!frp::is_run_id(std::string(65, 'f')));
  CAF_CHECK(!frp::is_run_id("\xc3\xa9"));
}

CAF_TEST(parses_bandwidth) {
  CAF_CHECK(frp::parse_bandwidth("1MB") == 1'048'576u);
  CAF_CHECK(frp::parse_bandwidth("512KB") == 524'288u);
  CAF_CHECK(frp::parse_bandwidth("1.5MB") == 1'572'864u);
  for (const char* bad :
       {"", "MB", "1", "1GB", "-1MB", "1 MB", "nanMB", "infMB", "1e99MB", "0KB", "1mb"})
    CAF_CHECK(!frp::parse_bandwidth(bad));
}
