// Carries one request to its upstream and the answer back, both ways streaming; turns into a relay
// after an upgrade.
#pragma once

#include "net/http_session.hpp"

#include <memory>
#include <string>

namespace harp::net {

/// Appends `name: value` and CRLF.
inline void append_field(std::string& to, std::string_view name, std::string_view value) {
  to += name;
  to += ": ";
  to += value;
  to += "\r\n";
}

/// Lives for one request, in the frame of http_session::carry_out().
class http_forward {
public:
  explicit http_forward(http_session& session);
  /// True: the client connection can serve another request.
  asio::awaitable<bool> run();

private:
  enum class outcome : uint8_t {
    done,        // answered in full
    stale,       // a reused connection was dead: nothing was sent to the client, try a new one
    no_answer,   // the upstream closed or broke before its head
    bad_answer,  // its head was malformed
    silent,      // nothing within the limit
    broken,      // failed after the answer had begun, or the client is gone: close
    client_late, // the request's body did not come in time or was malformed, nothing was answered
                 // yet
    upgraded,    // the session relays from here on
    refused_upgrade // answered 101 wrongly
  };

  void write_request_head();
  asio::awaitable<upstream_error> connect(bool may_reuse);
  /// A stream for this request alone: what answers at its far end judges the client that is told.
  asio::awaitable<upstream_error> connect_node();
  asio::awaitable<bool> explain_connect(upstream_error error);
  asio::awaitable<outcome> attempt();
  asio::awaitable<bool> send_request();
  /// Sends the body while the answer may already come.
  asio::awaitable<void> upload();
  asio::awaitable<bool> upload_piece(body_reader& reader, body_writer& writer,
                                     std::span<char> space);
  [[nodiscard]] bool too_slow();
  asio::awaitable<void> download();
  asio::awaitable<outcome> receive();
  asio::awaitable<outcome> read_answer_head();
  asio::awaitable<outcome> pass_body();
  /// False: the wait was cancelled, or the upload has failed and nobody will answer.
  asio::awaitable<bool> wait_for_upstream();
  asio::awaitable<bool> pass_interim();
  asio::awaitable<outcome> pass_upgrade();
  [[nodiscard]] bool upgrade_is_sound() const;
  void write_answer_head(body_kind framing);
  asio::awaitable<bool> explain(outcome end);
  void look_around();
  void upstream_late();
  [[nodiscard]] milliseconds answer_limit() const;
  [[nodiscard]] bool repeatable() const;

  http_session& session_;
  http_exchange& exchange_;
  stream_ptr upstream_;
  deadline limit_;       // what the upstream owes us
  deadline write_limit_; // how long the client may leave an answer unread
  clock::time_point waits_since_ = clock::time_point::max();
  clock::time_point client_ended_ = clock::time_point::max();
  clock::time_point rate_since_{}; // of the upload's current window
  uint64_t rate_bytes_ = 0;
  outcome outcome_ = outcome::no_answer;
  bool reused_ = false;
  bool late_ = false;
  bool client_gone_ = false;
  bool upload_failed_ = false; // the client's body was malformed, late or cut
  bool upload_due_ = false;    // a body must still be sent
  bool upload_open_ = false;   // upload() still runs
  bool keep_client_ = true;
  bool keep_upstream_ = false;
  bool answer_begun_ = false;
  size_t answer_head_bytes_ = 0;
  int status_ = 0;
  uint64_t body_bytes_ = 0;
};

} // namespace harp::net
