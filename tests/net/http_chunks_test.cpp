// Chunked bodies: decoded in any split, refused when in doubt (quality.md H04).
#define CAF_SUITE http_chunks
#include "net/http_codec.hpp"

#include <caf/test/unit_test.hpp>

#include <array>
#include <cstdlib>
#include <random>

using namespace harp::net;

namespace {

struct outcome {
  std::string body;
  size_t consumed = 0;
  parse_status status = parse_status::need_more;
  std::string reason;
};

/// Feeds `input` in pieces of at most `piece` bytes.
outcome decode(std::string_view input, size_t piece = std::string_view::npos) {
  chunk_decoder decoder;
  outcome out;
  while (out.consumed < input.size() && out.status == parse_status::need_more) {
    auto step = decoder.next(input.substr(out.consumed, piece));
    CAF_REQUIRE(step.consumed > 0);
    out.body += step.data;
    out.consumed += step.consumed;
    out.status = step.status;
  }
  out.reason = decoder.reason();
  return out;
}

void refused(std::string_view input) {
  auto whole = decode(input);
  CAF_CHECK(whole.status == parse_status::bad);
  CAF_CHECK(!whole.reason.empty());
  CAF_CHECK(decode(input, 1).reason == whole.reason);
}

} // namespace

CAF_TEST(decodes_in_every_split) {
  const std::string wire = "5\r\nhello\r\n00A;name=\"v\";x\r\n, wide wor\r\n2\r\nld\r\n"
                           "0\r\nX-Sum: 1\r\nx-more:\r\n\r\nGET /next";
  const size_t end = wire.find("GET /next");
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    auto got = decode(wire, piece);
    CAF_CHECK(got.status == parse_status::done);
    CAF_CHECK_EQUAL(got.body, "hello, wide world");
    CAF_CHECK_EQUAL(got.consumed, end);
  }
}

CAF_TEST(every_cut_needs_more) {
  const std::string wire = "3;e\r\nabc\r\n0\r\nt: v\r\n\r\n";
  for (size_t size = 0; size < wire.size(); ++size)
    CAF_CHECK(decode(std::string_view{wire}.substr(0, size)).status == parse_status::need_more);
  CAF_CHECK(decode(wire).status == parse_status::done);
}

CAF_TEST(refuses_doubtful_sizes) {
  for (const char* size : {"0x5", "5_0", " 5", "", "12345678901234567", "00000000000000005", "-1",
                           "+5", "5 ", "g", "5\t", "5,5"})
    refused(std::string{size} + "\r\nhello\r\n0\r\n\r\n");
}

CAF_TEST(accepts_sixteen_digits) {
  chunk_decoder decoder;
  auto step = decoder.next("ffffffffffffffff\r\nabc");
  step.status = decoder.next("abc").status;
  CAF_CHECK(step.status == parse_status::need_more);
  CAF_CHECK_EQUAL(decode("0000000000000003\r\nabc\r\n0\r\n\r\n").body, "abc");
}

CAF_TEST(wants_crlf_everywhere) {
  for (const char* wire :
       {"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloX\r\n",
        "5\r\nhello\rX", "5\rhello\r\n0\r\n\r\n", "5;a\rb\r\nhello", "5;a\nhello",
        "5;a\x01\r\nhello", "5;\x7f\r\nhello", "0\n\n", "0\r\n\n", "0\r\n\rX", "0\r\nX: y\n\r\n",
        "0\r\nX: y\rZ: z\r\n\r\n", "5\r\nhello\r\n\r\n"})
    refused(wire);
}

CAF_TEST(refuses_framing_and_identity_in_trailers) {
  for (const char* name : {"Content-Length", "transfer-encoding", "Host", "Connection",
                           "Authorization", "EX-APP-ID", "ex_app_id", "ex-app-x", "harp-shared-key",
                           "cookie", "X-Forwarded-For", "Trailer", "content_length"})
    refused("0\r\n" + std::string{name} + ": 5\r\n\r\n");
  for (const char* line : {"noColon", "a b: c", " folded: x", ": empty"})
    refused("0\r\n" + std::string{line} + "\r\n\r\n");
  refused("0\r\nx: y\r\n fold\r\n\r\n");
}

CAF_TEST(limits_lines_and_trailers) {
  CAF_CHECK(decode("1;" + std::string(chunk_line_bytes_max - 1, 'e') + "\r\nx\r\n0\r\n\r\n").status
            == parse_status::done);
  refused("1;" + std::string(chunk_line_bytes_max, 'e'));
  std::string line(trailer_bytes_max / 2 - 2, 't');
  CAF_CHECK(decode("0\r\nx:" + line + "\r\ny:" + line + "\r\n\r\n").status == parse_status::done);
  refused("0\r\nx:" + line + "\r\ny:" + line + "z");
}

CAF_TEST(stays_bad_and_stays_done) {
  chunk_decoder decoder;
  CAF_CHECK(decoder.next("x").status == parse_status::bad);
  auto after = decoder.next("5\r\nhello");
  CAF_CHECK(after.status == parse_status::bad);
  CAF_CHECK(after.data.empty());
  decoder.reset();
  CAF_CHECK(decoder.next("0\r\n\r\n").status == parse_status::done);
  auto rest = decoder.next("5\r\n");
  CAF_CHECK(rest.status == parse_status::done);
  CAF_CHECK_EQUAL(rest.consumed, 0u);
}

CAF_TEST(reads_back_what_it_writes) {
  auto seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  std::string wire, body;
  for (int i = 0; i < 50; ++i) {
    std::string part(1 + random() % 70'000, static_cast<char>('a' + i % 26));
    std::array<char, 20> head{};
    wire.append(head.data(), chunk_head(part.size(), head.data()));
    wire.append(part).append(chunk_end);
    body += part;
  }
  wire += last_chunk;
  auto got = decode(wire, 1 + random() % 9'000);
  CAF_CHECK(got.status == parse_status::done);
  CAF_CHECK(got.body == body);
  std::array<char, 20> head{};
  CAF_CHECK_EQUAL(chunk_head(SIZE_MAX, head.data()), 18u);
  CAF_CHECK_EQUAL(std::string(head.data(), chunk_head(26, head.data())), "1a\r\n");
}
