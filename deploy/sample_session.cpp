// The sample ExApp's answers on the wire.
#include "deploy/sample_session.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>

namespace harp::sample {

namespace beast = boost::beast;
using net::error_code;

namespace {

constexpr size_t block_periods = 1024; // one write of /bytes: 251 * 1024 bytes
constexpr size_t sink_buffer_bytes = 128 * 1024;

const std::string& pattern_block() {
  static const std::string block = [] {
    std::string bytes(pattern_period * block_periods, '\0');
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<char>(i % pattern_period);
    return bytes;
  }();
  return block;
}

std::string_view reason_of(int status) {
  auto reason = http::obsolete_reason(static_cast<http::status>(status));
  return {reason.data(), reason.size()};
}

void put_head(std::string& out, int status, std::string_view type) {
  out += "HTTP/1.1 ";
  out += std::to_string(status);
  out += ' ';
  out += reason_of(status);
  out += "\r\ncontent-type: ";
  out += type;
  out += "\r\n";
}

void put_length(std::string& out, uint64_t length) {
  out += "content-length: ";
  out += std::to_string(length);
  out += "\r\n\r\n";
}

struct digest_free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

std::string hex(const unsigned char* bytes, size_t count) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

} // namespace

asio::awaitable<void> session::run() {
  for (;;) {
    parser_.emplace();
    parser_->header_limit(head_bytes_max);
    parser_->body_limit(boost::none);
    auto [error, n] = co_await http::async_read_header(socket_, buffer_, *parser_, nothrow);
    if (error)
      break;
    after then = co_await answer();
    if (then == after::close)
      break;
    bool drained = co_await discard_body();
    if (!drained || !parser_->get().keep_alive())
      break;
  }
  error_code ignored; // the peer may be gone already
  socket_.shutdown(socket_type::shutdown_send, ignored);
}

asio::awaitable<session::after> session::answer() {
  const auto& head = parser_->get();
  auto target = split_target({head.target().data(), head.target().size()});
  if (target.path == "/")
    co_return co_await say(200, "text/html; charset=utf-8", hello_page(head));
  if (target.path == "/heartbeat")
    co_return co_await say(200, "application/json", R"({"status":"ok"})");
  if (target.path == "/public" || target.path == "/user" || target.path == "/admin"
      || target.path == "/whoami")
    co_return co_await say(200, "application/json", whoami(head));
  if (target.path == "/init")
    co_return co_await say(200, "application/json", "{}");
  if (target.path == "/enabled")
    co_return co_await say(200, "application/json", R"({"error":""})");
  if (target.path == "/echo-page")
    co_return co_await say(200, "text/html; charset=utf-8", echo_page());
  co_return co_await answer_slow(target);
}

asio::awaitable<session::after> session::answer_slow(target_parts target) {
  auto number = [&target](std::string_view name, uint64_t otherwise) {
    return query_number(target.query, name, otherwise);
  };
  if (target.path == "/ws")
    co_return co_await echo_messages();
  if (target.path == "/bytes")
    co_return co_await send_bytes(number("n", 1024), number("chunked", 0) != 0);
  if (target.path == "/cut")
    co_return co_await send_some_and_cut(number("n", 1024));
  if (target.path == "/stream")
    co_return co_await send_events(number("count", 0), number("interval_ms", 100));
  if (target.path == "/sink")
    co_return co_await sink(number("hash", 1) != 0);
  if (target.path == "/chunked")
    co_return co_await send_chunks();
  if (target.path == "/close")
    co_return after::close;
  if (target.path == "/silent") {
    bool waited = co_await pause(std::min(number("s", 1), silence_s_max) * 1000);
    if (!waited)
      co_return after::close;
    co_return co_await say(200, "text/plain", "spoken after the silence");
  }
  if (target.path == "/status") {
    uint64_t code = number("code", 200);
    int status = code >= 200 && code <= 599 ? static_cast<int>(code) : 200;
    co_return co_await say(status, "text/plain", "status as asked");
  }
  co_return co_await say(404, "application/json", whoami(parser_->get()));
}

asio::awaitable<session::after> session::say(int status, std::string_view type,
                                             std::string_view body) {
  out_.clear();
  put_head(out_, status, type);
  if (status == 204 || status == 304) {
    out_ += "\r\n";
  } else {
    put_length(out_, body.size());
    if (parser_->get().method() != http::verb::head)
      out_ += body;
  }
  bool sent = co_await send(out_);
  co_return sent ? after::keep : after::close;
}

asio::awaitable<bool> session::send(std::string_view text) {
  auto [error, n]
      = co_await asio::async_write(socket_, asio::buffer(text.data(), text.size()), nothrow);
  co_return !error;
}

asio::awaitable<session::after> session::send_bytes(uint64_t count, bool chunked) {
  out_.clear();
  put_head(out_, 200, "application/octet-stream");
  if (chunked)
    out_ += "transfer-encoding: chunked\r\n\r\n";
  else
    put_length(out_, count);
  bool sent = co_await send(out_);
  if (!sent || parser_->get().method() == http::verb::head)
    co_return sent ? after::keep : after::close;
  for (uint64_t left = count; left > 0;) {
    size_t now = static_cast<size_t>(std::min<uint64_t>(left, pattern_block().size()));
    std::array<char, 24> size{};
    int size_bytes = std::snprintf(size.data(), size.size(), "%zx\r\n", now);
    std::array<asio::const_buffer, 3> pieces{
        asio::buffer(size.data(), chunked ? static_cast<size_t>(size_bytes) : 0),
        asio::buffer(pattern_block().data(), now), asio::buffer("\r\n", chunked ? 2 : 0)};
    auto [error, n] = co_await asio::async_write(socket_, pieces, nothrow);
    if (error)
      co_return after::close;
    left -= now;
  }
  if (chunked)
    sent = co_await send("0\r\n\r\n");
  co_return sent ? after::keep : after::close;
}

asio::awaitable<session::after> session::send_some_and_cut(uint64_t count) {
  size_t now = static_cast<size_t>(std::min<uint64_t>(count, pattern_block().size()));
  out_.clear();
  put_head(out_, 200, "application/octet-stream");
  put_length(out_, count * 2 + 1);
  out_.append(pattern_block(), 0, now);
  co_await send(out_);
  co_return after::close;
}

asio::awaitable<session::after> session::send_chunks() {
  bool sent = co_await send("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
                            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  if (sent)
    sent = co_await send("7;note=x\r\n second\r\n6\r\n third\r\n0\r\nx-end: yes\r\n\r\n");
  co_return sent ? after::keep : after::close;
}

asio::awaitable<session::after> session::send_events(uint64_t count, uint64_t interval_ms) {
  bool sent = co_await send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                            "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
  for (uint64_t i = 1; sent && (count == 0 || i <= count); ++i) {
    std::string event = "data: " + std::to_string(i) + "\n\n";
    std::array<char, 24> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", event.size());
    out_ = size.data() + event + "\r\n";
    sent = co_await send(out_);
    if (sent && i != count)
      sent = co_await pause(std::min(interval_ms, silence_s_max * 1000));
  }
  if (sent)
    sent = co_await send("0\r\n\r\n");
  co_return sent ? after::keep : after::close;
}

asio::awaitable<session::after> session::sink(bool hash) {
  bool invited = co_await invite_body();
  if (!invited)
    co_return after::close;
  std::unique_ptr<EVP_MD_CTX, digest_free> digest{EVP_MD_CTX_new()};
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  auto bytes = std::make_unique<char[]>(sink_buffer_bytes);
  buffer_.max_size(sink_buffer_bytes);
  uint64_t total = 0;
  while (!parser_->is_done()) {
    auto& body = parser_->get().body();
    body.data = bytes.get();
    body.size = sink_buffer_bytes;
    auto [error, n] = co_await http::async_read(socket_, buffer_, *parser_, nothrow);
    if (error && error != http::error::need_buffer)
      co_return after::close;
    size_t got = sink_buffer_bytes - body.size;
    total += got;
    if (hash)
      EVP_DigestUpdate(digest.get(), bytes.get(), got);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned sum_bytes = 0;
  EVP_DigestFinal_ex(digest.get(), sum.data(), &sum_bytes);
  std::string answer = "{\"bytes\":" + std::to_string(total) + ",\"sha256\":\""
                       + (hash ? hex(sum.data(), sum_bytes) : std::string{}) + "\"}";
  co_return co_await say(200, "application/json", answer);
}

asio::awaitable<session::after> session::echo_messages() {
  const auto& request = parser_->get();
  if (!beast::websocket::is_upgrade(request))
    co_return co_await say(426, "text/plain", "a WebSocket lives here");
  beast::websocket::stream<socket_type&> socket{socket_};
  socket.read_message_max(message_bytes_max);
  socket.auto_fragment(false); // one frame per message, as it came
  auto [refused] = co_await socket.async_accept(request, nothrow);
  if (refused)
    co_return after::close;
  beast::flat_buffer message; // its memory is kept from message to message
  for (;;) {
    auto [read_error, n] = co_await socket.async_read(message, nothrow);
    if (read_error)
      co_return after::close;
    socket.text(socket.got_text());
    auto [write_error, written] = co_await socket.async_write(message.cdata(), nothrow);
    if (write_error)
      co_return after::close;
    message.consume(message.size());
  }
}

asio::awaitable<bool> session::pause(uint64_t ms) {
  asio::steady_timer timer{socket_.get_executor(), std::chrono::milliseconds{ms}};
  auto [error] = co_await timer.async_wait(nothrow);
  co_return !error;
}

asio::awaitable<bool> session::invite_body() {
  auto expect = parser_->get().find(http::field::expect);
  if (expect == parser_->get().end() || !beast::iequals(expect->value(), "100-continue"))
    co_return true;
  co_return co_await send("HTTP/1.1 100 Continue\r\n\r\n");
}

asio::awaitable<bool> session::discard_body() {
  std::array<char, 4096> bytes;
  uint64_t total = 0;
  while (!parser_->is_done() && total <= discarded_body_bytes_max) {
    auto& body = parser_->get().body();
    body.data = bytes.data();
    body.size = bytes.size();
    auto [error, n] = co_await http::async_read(socket_, buffer_, *parser_, nothrow);
    if (error && error != http::error::need_buffer)
      co_return false;
    total += bytes.size() - body.size;
  }
  co_return parser_->is_done();
}

} // namespace harp::sample
