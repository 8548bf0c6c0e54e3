// The HTTP upgrade in front of a WebSocket (RFC 6455 4), either side, with nothing beyond it.
#include "net/http_codec.hpp"
#include "net/websocket_stream.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

namespace harp::net {

namespace {

constexpr size_t upgrade_head_bytes_max = 8 * 1024;
constexpr size_t key_bytes = 16;

/// Reads until `parse` has a whole head; the words of what went wrong, or nothing. What came behind
/// the head stays in `bytes`, the head is removed.
template <class Parse>
asio::awaitable<std::string> read_head(stream& from, std::string& bytes, size_t& head_bytes,
                                       Parse parse) {
  std::array<char, 2048> piece;
  size_t searched = 0;
  for (;;) {
    io_result got = co_await read_some(from, {piece.data(), piece.size()});
    if (got.status != io_status::ok)
      co_return "the connection ended during the WebSocket upgrade";
    bytes.append(piece.data(), got.bytes);
    parse_result parsed = parse(bytes, searched);
    if (parsed.status == parse_status::bad)
      co_return std::string{"not an HTTP head: "} + parsed.reason;
    head_bytes = parsed.bytes;
    if (parsed.status == parse_status::done)
      co_return "";
    if (bytes.size() > upgrade_head_bytes_max)
      co_return "the head of the WebSocket upgrade is too long";
  }
}

asio::awaitable<std::string> refuse(stream& to, const char* status, std::string why) {
  std::string answer
      = std::string{"HTTP/1.1 "} + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  co_await write_all(to, answer);
  to.shutdown_write();
  co_return why;
}

asio::awaitable<std::string> answer_upgrade(stream& on, const std::string& path) {
  std::string bytes;
  size_t head_bytes = 0;
  request_head head;
  auto parse = [&head](std::string& all, size_t& searched) {
    return parse_request_head(all.data(), all.size(), searched, head);
  };
  std::string wrong = co_await read_head(on, bytes, head_bytes, parse);
  if (!wrong.empty())
    co_return co_await refuse(on, "400 Bad Request", wrong);
  if (head.path != path || head.has_query)
    co_return co_await refuse(on, "404 Not Found", "a request for another path");
  if (!head.upgrade_websocket)
    co_return co_await refuse(on, "426 Upgrade Required\r\nUpgrade: websocket",
                              "not a WebSocket upgrade");
  // A client that speaks before the answer does not wait for it, so it is not one of ours.
  if (bytes.size() != head_bytes || head.body != body_kind::none)
    co_return co_await refuse(on, "400 Bad Request", "bytes behind the WebSocket upgrade");
  std::string answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: "
                       + websocket_accept(head.value(field_id::sec_websocket_key)) + "\r\n\r\n";
  bool sent = co_await write_all(on, answer);
  co_return sent ? "" : "the connection was lost";
}

std::string random_key() {
  std::array<unsigned char, key_bytes> raw{};
  std::array<unsigned char, 4 * ((key_bytes + 2) / 3) + 1> text{};
  if (RAND_bytes(raw.data(), static_cast<int>(raw.size())) != 1)
    return {};
  int size = EVP_EncodeBlock(text.data(), raw.data(), static_cast<int>(raw.size()));
  return {reinterpret_cast<const char*>(text.data()), static_cast<size_t>(size)};
}

asio::awaitable<std::string> ask_upgrade(stream& on, std::string host, std::string path,
                                         std::string& early) {
  std::string key = random_key();
  if (key.empty())
    co_return "no random numbers";
  std::string ask = "GET " + path + " HTTP/1.1\r\nHost: " + host
                    + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + key
                    + "\r\nSec-WebSocket-Version: 13\r\nUser-Agent: harp\r\n\r\n";
  bool sent = co_await write_all(on, ask);
  if (!sent)
    co_return "the connection was lost";
  size_t head_bytes = 0;
  response_head head;
  auto parse = [&head](std::string& all, size_t& searched) {
    return parse_response_head(all.data(), all.size(), searched, "GET", head);
  };
  std::string wrong = co_await read_head(on, early, head_bytes, parse);
  if (!wrong.empty())
    co_return wrong;
  if (head.status != 101)
    co_return "the server answered " + std::to_string(head.status) + " to the WebSocket upgrade";
  if (!head.upgrade_websocket
      || head.value(field_id::sec_websocket_accept) != websocket_accept(key))
    co_return "the server's answer to the WebSocket upgrade is not one";
  early.erase(0, head_bytes);
  co_return "";
}

/// Words for a handshake that a time limit may have cut short.
std::string in_time(bool late, std::string wrong, milliseconds limit) {
  return late ? "no WebSocket upgrade within " + std::to_string(limit.count()) + " ms" : wrong;
}

} // namespace

asio::awaitable<ws_result> websocket_accept(loop& on, stream_ptr inner, std::string path,
                                            milliseconds limit) {
  ws_result out;
  bool late = false;
  {
    deadline timer{on, [&late, &inner] {
                     late = true;
                     inner->cancel();
                   }};
    timer.in(limit);
    out.error = co_await answer_upgrade(*inner, path);
  }
  out.error = in_time(late, out.error, limit);
  if (out.error.empty())
    out.stream = make_websocket_stream(on, std::move(inner), ws_role::server);
  co_return out;
}

asio::awaitable<ws_result> websocket_connect(loop& on, stream_ptr inner, std::string host,
                                             std::string path, milliseconds limit) {
  ws_result out;
  bool late = false;
  std::string early;
  {
    deadline timer{on, [&late, &inner] {
                     late = true;
                     inner->cancel();
                   }};
    timer.in(limit);
    out.error = co_await ask_upgrade(*inner, std::move(host), std::move(path), early);
  }
  out.error = in_time(late, out.error, limit);
  if (out.error.empty())
    out.stream = make_websocket_stream(on, std::move(inner), ws_role::client, std::move(early));
  co_return out;
}

} // namespace harp::net
