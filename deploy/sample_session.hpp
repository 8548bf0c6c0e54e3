// One connection to the sample ExApp: requests in, answers out, until either side is done.
#pragma once

#include "deploy/sample_pages.hpp"
#include "net/asio.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace harp::sample {

namespace asio = boost::asio;
using net::nothrow;
using socket_type = asio::generic::stream_protocol::socket;

inline constexpr size_t head_bytes_max = 64 * 1024;
inline constexpr uint64_t discarded_body_bytes_max = 1024 * 1024; // of requests that need no body
inline constexpr size_t message_bytes_max = 64 * 1024 * 1024;     // of one WebSocket message
inline constexpr uint64_t silence_s_max = 3600;

/// Serves one connection on the thread of its socket. Keep alive through the coroutine's frame.
class session {
public:
  explicit session(socket_type socket) : socket_(std::move(socket)) {}
  asio::awaitable<void> run();

private:
  enum class after : uint8_t { keep, close };
  using parser_type = http::request_parser<http::buffer_body>;

  asio::awaitable<after> answer();
  asio::awaitable<after> answer_slow(target_parts target);
  asio::awaitable<after> say(int status, std::string_view type, std::string_view body);
  asio::awaitable<after> send_bytes(uint64_t count, bool chunked);
  asio::awaitable<after> send_some_and_cut(uint64_t count);
  asio::awaitable<after> send_chunks();
  asio::awaitable<after> send_events(uint64_t count, uint64_t interval_ms);
  asio::awaitable<after> sink(bool hash);
  asio::awaitable<after> echo_messages();
  asio::awaitable<bool> pause(uint64_t ms);
  asio::awaitable<bool> invite_body();
  asio::awaitable<bool> discard_body();
  asio::awaitable<bool> send(std::string_view text);

  socket_type socket_;
  boost::beast::flat_buffer buffer_{head_bytes_max};
  std::optional<parser_type> parser_;
  std::string out_; // reused from answer to answer
};

} // namespace harp::sample
