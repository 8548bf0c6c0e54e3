// A byte stream in WebSocket messages: bytes there and back, whatever the cuts; strict on heads.
#define CAF_SUITE websocket_stream
#include "net/websocket_stream.hpp"
#include "tests/net/pipe_stream.hpp"

#include <caf/test/unit_test.hpp>

#include <functional>
#include <random>

using namespace harp::net;
using namespace std::chrono_literals;

namespace {

std::string frame_of(ws_opcode code, std::string payload, bool masked, bool fin = true) {
  ws_head head;
  head.opcode = code;
  head.fin = fin;
  head.masked = masked;
  head.mask = {0x11, 0x22, 0x33, 0x44};
  head.length = payload.size();
  std::array<char, ws_head_bytes_max> bytes{};
  size_t used = encode_ws_head(head, bytes.data());
  if (masked)
    apply_ws_mask(payload.data(), payload.size(), head.mask, 0);
  return std::string{bytes.data(), used} + payload;
}

struct fixture {
  ~fixture() { settle(); }
  void settle() {
    on.io().restart();
    while (on.io().poll() > 0)
      on.io().restart();
  }
  template <class T>
  static asio::awaitable<void> keep(asio::awaitable<T> work, std::optional<T>& into) {
    T got = co_await std::move(work);
    into.emplace(std::move(got));
  }
  /// What a server's stream gives for raw frames of a client.
  std::string received(std::string_view raw, io_status& last, size_t piece = SIZE_MAX,
                       ws_role role = ws_role::server, std::string* answers = nullptr) {
    auto [near, far] = pipe_stream::make_pair(1u << 20);
    auto stream = make_websocket_stream(on, std::move(near), role);
    std::string out;
    last = io_status::again;
    for (size_t at = 0; at < raw.size() && last == io_status::again; at += piece) {
      far->try_write(raw.substr(at, piece));
      take(*stream, out, last);
      piece = std::min(piece, raw.size());
    }
    if (answers != nullptr) {
      io_status ignored{};
      take(*far, *answers, ignored);
    }
    return out;
  }
  void take(stream& from, std::string& into, io_status& last) {
    std::array<char, 1000> space;
    for (;;) {
      io_result got = from.try_read({space.data(), space.size()});
      settle();
      last = got.status;
      if (got.status != io_status::ok)
        return;
      into.append(space.data(), got.bytes);
    }
  }
  loop on{0};
};

} // namespace

CAF_TEST(heads_survive_and_take_the_shortest_form) {
  for (uint64_t length : {0ull, 1ull, 125ull, 126ull, 65535ull, 65536ull, 1ull << 40})
    for (bool masked : {false, true}) {
      ws_head head, back;
      head.length = length;
      head.masked = masked;
      head.mask = {1, 2, 3, 4};
      std::array<char, ws_head_bytes_max> bytes{};
      size_t size = encode_ws_head(head, bytes.data()), used = 0;
      auto reader = masked ? ws_role::server : ws_role::client;
      auto wrong = masked ? ws_role::client : ws_role::server;
      std::string_view all{bytes.data(), size};
      for (size_t cut = 0; cut < size; ++cut)
        CAF_CHECK(parse_ws_head(all.substr(0, cut), reader, back, used) == ws_parse::more);
      CAF_CHECK(parse_ws_head(all, reader, back, used) == ws_parse::done);
      CAF_CHECK_EQUAL(used, size);
      CAF_CHECK_EQUAL(back.length, length);
      CAF_CHECK(parse_ws_head(all, wrong, back, used) == ws_parse::bad);
    }
}

CAF_TEST(heads_that_could_be_read_in_two_ways_are_refused) {
  const std::string bad[] = {
      std::string("\x7e\x00", 2) + "x",                            // reserved bits
      std::string("\x83\x00", 2),                                  // unknown opcode
      std::string("\x8b\x00", 2),                                  // unknown control opcode
      std::string("\x09\x00", 2),                                  // ping in pieces
      std::string("\x89\x7e\x00\x7e", 4),                          // long ping
      std::string("\x82\x7e\x00\x7d", 4),                          // longer form than needed
      std::string("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10), // likewise
      std::string("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10), // negative
  };
  for (const auto& bytes : bad) {
    ws_head head;
    size_t used = 0;
    CAF_CHECK(parse_ws_head(bytes, ws_role::client, head, used) == ws_parse::bad);
  }
}

CAF_TEST(mask_is_applied_from_any_offset) {
  std::array<uint8_t, 4> mask{0xa1, 0xb2, 0xc3, 0xd4};
  std::string plain(100, '\0');
  for (size_t at = 0; at < 9; ++at)
    for (size_t size = 0; size < 40; ++size) {
      std::string bytes = plain.substr(0, size);
      apply_ws_mask(bytes.data(), size, mask, at);
      bool good = true;
      for (size_t i = 0; i < size; ++i)
        good = good && static_cast<uint8_t>(bytes[i]) == mask[(at + i) % 4];
      CAF_CHECK(good);
    }
}

CAF_TEST(messages_and_their_pieces_are_one_byte_stream) {
  fixture t;
  io_status last{};
  std::string raw = frame_of(ws_opcode::binary, "one ", true)
                    + frame_of(ws_opcode::binary, "two ", true, false)
                    + frame_of(ws_opcode::ping, "are you there", true)
                    + frame_of(ws_opcode::continuation, "", true, false)
                    + frame_of(ws_opcode::continuation, "three ", true)
                    + frame_of(ws_opcode::pong, std::string(125, 'p'), true)
                    + frame_of(ws_opcode::binary, std::string(70'000, 'x'), true);
  std::string wanted = "one two three " + std::string(70'000, 'x');
  for (size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{13}, size_t{14}, size_t{15},
                       size_t{100}, size_t{4096}, SIZE_MAX}) {
    std::string answers;
    CAF_CHECK(t.received(raw, last, piece, ws_role::server, &answers) == wanted);
    CAF_CHECK(last == io_status::again);
    CAF_CHECK_EQUAL(answers, frame_of(ws_opcode::pong, "are you there", false));
  }
}

CAF_TEST(close_is_answered_and_reads_as_the_end) {
  fixture t;
  io_status last{};
  std::string answers;
  std::string code("\x03\xe8", 2);
  auto got = t.received(frame_of(ws_opcode::binary, "last", true)
                            + frame_of(ws_opcode::close, code + "bye", true)
                            + frame_of(ws_opcode::binary, "ghost", true),
                        last, SIZE_MAX, ws_role::server, &answers);
  CAF_CHECK_EQUAL(got, "last");
  CAF_CHECK(last == io_status::eof);
  CAF_CHECK_EQUAL(answers, frame_of(ws_opcode::close, code, false));
}

CAF_TEST(what_is_no_binary_message_fails_the_stream) {
  fixture t;
  const std::string bad[] = {
      frame_of(ws_opcode::text, "text", true),
      frame_of(ws_opcode::continuation, "nothing to go on", true),
      frame_of(ws_opcode::binary, "a", true, false) + frame_of(ws_opcode::binary, "b", true),
      frame_of(ws_opcode::binary, "not masked", false),
      "GET / HTTP/1.1\r\n\r\n",
  };
  for (const auto& raw : bad) {
    io_status last{};
    t.received(raw, last);
    CAF_CHECK(last == io_status::failed);
  }
  io_status last{};
  t.received(frame_of(ws_opcode::binary, "masked by a server", true), last, SIZE_MAX,
             ws_role::client);
  CAF_CHECK(last == io_status::failed);
}

CAF_TEST(flood_of_empty_frames_fails_the_stream) {
  fixture t;
  for (auto code : {ws_opcode::binary, ws_opcode::ping}) {
    std::string raw;
    for (unsigned i = 0; i <= ws_idle_frames_max; ++i)
      raw += frame_of(code, "", true);
    io_status last{};
    t.received(raw, last);
    CAF_CHECK(last == io_status::failed);
    std::string spread = raw.substr(0, raw.size() / (ws_idle_frames_max + 1) * 128);
    t.received(spread + frame_of(ws_opcode::binary, "x", true) + spread, last);
    CAF_CHECK(last == io_status::again);
  }
}

CAF_TEST(bare_end_is_not_taken_for_a_close) {
  fixture t;
  for (std::string raw : {std::string{}, frame_of(ws_opcode::binary, "half", true).substr(0, 8)}) {
    auto [near, far] = pipe_stream::make_pair(4096);
    auto stream = make_websocket_stream(t.on, std::move(near), ws_role::server);
    far->try_write(raw);
    far->shutdown_write();
    std::string got;
    io_status last{};
    t.take(*stream, got, last);
    CAF_CHECK(last == io_status::failed);
    CAF_CHECK(!stream->failure().empty());
  }
}

CAF_TEST(client_and_server_carry_a_mebibyte_through_a_narrow_pipe) {
  fixture t;
  unsigned seed = std::random_device{}();
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (bool client_sends : {true, false}) {
    auto [near, far] = pipe_stream::make_pair(1 + random() % 5000);
    auto client = make_websocket_stream(t.on, std::move(near), ws_role::client);
    auto server = make_websocket_stream(t.on, std::move(far), ws_role::server);
    stream& from = client_sends ? *client : *server;
    stream& to = client_sends ? *server : *client;
    std::string sent(1u << 20, '\0');
    for (auto& each : sent)
      each = static_cast<char>(random());
    std::optional<bool> done;
    launch(t.on.executor(),
           fixture::keep(write_all(from, std::string_view{sent}.substr(0, 77),
                                   std::string_view{sent}.substr(77)),
                         done),
           "send");
    std::string got;
    io_status last{};
    for (int i = 0; i < 200'000 && got.size() < sent.size(); ++i) {
      t.take(to, got, last);
      t.settle();
    }
    CAF_CHECK(got == sent);
    CAF_CHECK(done == true);
    from.shutdown_write();
    t.settle();
    t.take(to, got, last);
    CAF_CHECK(last == io_status::eof);
  }
}

// -- the upgrade ------------------------------------------------------------------------------------

namespace {

struct upgrade {
  ws_result server, client;
  explicit upgrade(fixture& t, std::string path = "/harp") {
    auto [near, far] = pipe_stream::make_pair(1u << 16);
    std::optional<ws_result> a, b;
    launch(t.on.executor(), fixture::keep(websocket_accept(t.on, std::move(far), "/harp", 5s), a),
           "server");
    launch(t.on.executor(),
           fixture::keep(websocket_connect(t.on, std::move(near), "host:1", path, 5s), b),
           "client");
    t.settle();
    CAF_REQUIRE(a && b);
    server = std::move(*a);
    client = std::move(*b);
  }
};

/// What the server says to raw bytes of a client.
std::string answer_to(fixture& t, std::string_view raw, ws_result& out) {
  auto [near, far] = pipe_stream::make_pair(1u << 16);
  std::optional<ws_result> done;
  near->try_write(raw);
  launch(t.on.executor(), fixture::keep(websocket_accept(t.on, std::move(far), "/harp", 5s), done),
         "server");
  t.settle();
  std::string said;
  io_status last{};
  t.take(*near, said, last);
  if (done)
    out = std::move(*done);
  return said;
}

std::string request(const std::string& path, const std::string& extra) {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + extra
         + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
}

} // namespace

CAF_TEST(upgrade_is_asked_for_and_granted) {
  fixture t;
  upgrade both{t};
  CAF_REQUIRE(both.server.stream != nullptr && both.client.stream != nullptr);
  both.client.stream->try_write("ping");
  t.settle();
  std::string got;
  io_status last{};
  t.take(*both.server.stream, got, last);
  CAF_CHECK_EQUAL(got, "ping");
  ws_result out;
  auto said = answer_to(t, request("/harp", "Upgrade: websocket\r\nConnection: Upgrade\r\n"), out);
  CAF_CHECK(said.starts_with("HTTP/1.1 101 "));
  CAF_CHECK(said.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string::npos); // RFC 6455 1.3
  CAF_CHECK(out.stream != nullptr);
}

CAF_TEST(other_requests_get_an_http_answer) {
  fixture t;
  ws_result out;
  std::string up = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  CAF_CHECK(answer_to(t, request("/", up), out).starts_with("HTTP/1.1 404 "));
  CAF_CHECK(answer_to(t, request("/harp?x", up), out).starts_with("HTTP/1.1 404 "));
  CAF_CHECK(answer_to(t, request("/harp", ""), out).starts_with("HTTP/1.1 426 "));
  CAF_CHECK(answer_to(t, request("/harp", up) + "early", out).starts_with("HTTP/1.1 400 "));
  CAF_CHECK(answer_to(t, "GET nonsense\r\n\r\n", out).starts_with("HTTP/1.1 400 "));
  CAF_CHECK(answer_to(t, "GET /harp HTTP/1.1\r\nX: " + std::string(20'000, 'x'), out)
                .starts_with("HTTP/1.1 400 "));
  CAF_CHECK(out.stream == nullptr);
  upgrade wrong{t, "/other"};
  CAF_CHECK(wrong.client.stream == nullptr);
  CAF_CHECK(wrong.client.error.find("404") != std::string::npos);
}

CAF_TEST(client_checks_the_accept_of_the_server) {
  fixture t;
  for (const char* accept : {"", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"}) {
    auto [near, far] = pipe_stream::make_pair(1u << 16);
    std::optional<ws_result> done;
    launch(t.on.executor(),
           fixture::keep(websocket_connect(t.on, std::move(near), "h", "/harp", 5s), done),
           "client");
    t.settle();
    far->try_write(std::string{"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"}
                   + accept + "\r\n");
    t.settle();
    CAF_REQUIRE(done.has_value());
    CAF_CHECK(done->stream == nullptr);
  }
}

CAF_TEST(silent_upgrade_ends_in_time) {
  fixture t;
  auto [near, far] = pipe_stream::make_pair(1u << 16);
  std::optional<ws_result> done;
  launch(t.on.executor(), fixture::keep(websocket_accept(t.on, std::move(far), "/harp", 5s), done),
         "server");
  near->try_write("GET /harp HTTP");
  t.settle();
  t.on.check_deadlines(t.on.coarse_now() + 4s);
  t.settle();
  CAF_CHECK(!done);
  t.on.check_deadlines(t.on.coarse_now() + 2s);
  t.settle();
  CAF_REQUIRE(done.has_value());
  CAF_CHECK_EQUAL(done->error, "no WebSocket upgrade within 5000 ms");
}
