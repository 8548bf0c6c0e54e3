// One client connection: reads heads, asks the gate, answers or hands over to the forwarder, keeps alive or closes.
#pragma once

#include "net/http_front.hpp"

#include <memory>
#include <string>

namespace harp::net {

/// Lives in the frame of http_front::serve(), on one loop.
class http_session {
public:
  http_session(http_lane& lane, stream_ptr client, connection_facts from);
  asio::awaitable<void> run();

private:
  friend class http_forward;
  enum class phase : uint8_t { idle, head, busy };

  /// Serves one request. False: the connection is over.
  asio::awaitable<bool> one_request();
  /// Reads until a head is complete. False: the connection is over (answered if there was something to answer).
  asio::awaitable<bool> read_head();
  parse_result parse_more();
  /// Gives the buffer back while waiting for the rest of a head.
  asio::awaitable<bool> wait_for_more();
  asio::awaitable<bool> refuse_head(int status, std::string_view reason);
  asio::awaitable<bool> collect_body();
  asio::awaitable<bool> carry_out();
  asio::awaitable<bool> respond();
  /// Reads and drops the body of a request that was answered without it. False: too much, close.
  asio::awaitable<bool> discard_body();
  /// A short HTML answer made by Harp. False when the connection cannot be kept.
  asio::awaitable<bool> answer_error(int status, std::string_view cause, std::string_view fields, bool close);
  void finished(int status, uint64_t bytes);
  void client_late();
  asio::awaitable<void> relay_upgraded();
  void take_early();
  void end_answers();
  asio::awaitable<void> let_client_read();

  http_lane& lane_;
  stream_ptr client_;
  connection_facts from_;
  std::unique_ptr<http_exchange> exchange_;
  std::string early_;      // start of the next head, while no exchange is borrowed
  size_t searched_ = 0;    // of it
  clock::time_point head_began_{};
  clock::time_point began_{};
  deadline limit_;         // what the client owes us
  ip_address upgraded_for_; // the client behind trusted proxies
  stream_ptr upgraded_;    // the upstream after a WebSocket upgrade
  phase phase_ = phase::idle;
  bool late_ = false;
  bool reset_ = false;
  bool ended_by_us_ = false; // an answer said that it is the last one
};

} // namespace harp::net
