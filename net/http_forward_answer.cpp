// The way back of http_forward: the upstream's answer, its body, and the turn into a WebSocket.
#include "net/http_forward.hpp"

#include "net/log.hpp"

#include <algorithm>

namespace harp::net {

namespace {

constexpr uint64_t bulk_after_bytes = 128 * 1024;

} // namespace

/// receive() beside an upload.
asio::awaitable<void> http_forward::download() {
  outcome_ = co_await receive();
  if (!upload_open_)
    co_return;
  keep_client_ = keep_upstream_ = false; // answered before the body was read: nobody reads the rest
  session_.client_->cancel();
  upstream_->cancel();
}

asio::awaitable<http_forward::outcome> http_forward::receive() {
  for (;;) {
    auto end = co_await read_answer_head();
    if (end != outcome::done)
      co_return end;
    auto& answer = exchange_.answer;
    status_ = answer.status;
    if (status_ == 101)
      co_return co_await pass_upgrade();
    if (status_ >= 200)
      co_return co_await pass_body();
    if (!co_await pass_interim())
      co_return outcome::broken;
  }
}

asio::awaitable<http_forward::outcome> http_forward::read_answer_head() {
  auto& back = exchange_.back;
  size_t searched = 0;
  for (;;) {
    if (exchange_.back_bytes > 0) {
      auto parsed = parse_response_head(back.data(), exchange_.back_bytes, searched, exchange_.head.method,
                                        exchange_.answer);
      if (parsed.status == parse_status::bad) {
        log(log_level::warn, "HARP-F201", "front", "malformed answer from the upstream",
            {{"app", exchange_.decision.app},
             {"cause", parsed.reason},
             {"next", "look at the ExApp's HTTP server"}});
        co_return outcome::bad_answer;
      }
      if (parsed.status == parse_status::done) {
        exchange_.answer.keep_alive = exchange_.answer.keep_alive && !upload_failed_;
        answer_head_bytes_ = parsed.bytes;
        co_return outcome::done;
      }
    }
    if (exchange_.back_bytes == back.size())
      back.resize(std::min(back.size() * 2, head_bytes_max));
    if (!co_await wait_for_upstream()) {
      if (client_gone_)
        co_return outcome::broken;
      co_return upload_failed_ ? outcome::client_late : late_ ? outcome::silent : outcome::no_answer;
    }
    auto got = upstream_->try_read({back.data() + exchange_.back_bytes, back.size() - exchange_.back_bytes});
    if (got.status == io_status::ok)
      exchange_.back_bytes += got.bytes;
    else if (got.status != io_status::again)
      co_return reused_ && exchange_.back_bytes == 0 && repeatable() && !answer_begun_ ? outcome::stale
                                                                                       : outcome::no_answer;
  }
}

asio::awaitable<bool> http_forward::wait_for_upstream() {
  if (upload_failed_)
    co_return false; // it failed before there was a wait to cancel
  waits_since_ = session_.lane_.on.coarse_now();
  bool readable = co_await upstream_->wait_readable();
  waits_since_ = clock::time_point::max();
  co_return readable;
}

/// 100, 102, 103: passed on at once to clients that know them.
asio::awaitable<bool> http_forward::pass_interim() {
  bool sent = true;
  if (exchange_.head.minor_version >= 1) {
    exchange_.reply.clear();
    write_answer_head(body_kind::none);
    write_limit_.in(session_.lane_.front.limits().client);
    sent = co_await write_all(*session_.client_, exchange_.reply);
    write_limit_.off();
  }
  auto& back = exchange_.back;
  std::copy(back.begin() + static_cast<std::ptrdiff_t>(answer_head_bytes_),
            back.begin() + static_cast<std::ptrdiff_t>(exchange_.back_bytes), back.begin());
  exchange_.back_bytes -= answer_head_bytes_;
  co_return sent;
}

void http_forward::write_answer_head(body_kind framing) {
  const auto& answer = exchange_.answer;
  auto& reply = exchange_.reply;
  reply = "HTTP/1.1 ";
  reply += std::to_string(answer.status);
  reply += ' ';
  reply += answer.reason;
  reply += "\r\n";
  for (size_t i = 0; i < answer.fields.size(); ++i) {
    const auto& field = answer.fields[i];
    bool length_of_nothing = field.id == field_id::content_length && framing == body_kind::none && answer.status >= 200;
    if (!answer.hop[i] && (field.id != field_id::content_length || length_of_nothing))
      append_field(reply, field.name, field.value);
  }
  if (framing == body_kind::length)
    append_field(reply, "content-length", std::to_string(answer.content_length));
  else if (framing == body_kind::chunked)
    reply += "transfer-encoding: chunked\r\n";
  if (answer.status >= 200) {
    if (!keep_client_)
      reply += "connection: close\r\n";
    else if (exchange_.head.minor_version == 0)
      reply += "connection: keep-alive\r\n";
  }
  reply += "\r\n";
}

asio::awaitable<http_forward::outcome> http_forward::pass_body() {
  auto& answer = exchange_.answer;
  const auto& head = exchange_.head;
  const auto& decision = exchange_.decision;
  if (decision.counted_statuses && std::find(decision.counted_statuses->begin(), decision.counted_statuses->end(), status_) != decision.counted_statuses->end())
    co_await session_.lane_.front.gate().response_counted(decision);
  auto framing = answer.body;
  if (framing == body_kind::chunked || framing == body_kind::until_close)
    framing = head.minor_version >= 1 ? body_kind::chunked : body_kind::until_close;
  keep_client_ = keep_client_ && head.keep_alive && framing != body_kind::until_close
                 && !session_.lane_.front.draining();
  write_answer_head(framing);
  answer_begun_ = true;

  bool reusable = answer.keep_alive && answer.body != body_kind::until_close;
  body_reader reader{*upstream_, answer.body, answer.content_length,
                     {exchange_.back.data() + answer_head_bytes_, exchange_.back_bytes - answer_head_bytes_}};
  body_writer writer{*session_.client_, framing, exchange_.reply};
  std::span<char> space{exchange_.back};
  buffer bulk;
  for (;;) {
    std::string_view piece;
    auto step = reader.try_next(space, piece);
    bool sent = true;
    if (step == body_reader::result::data)
      sent = writer.put(piece);
    else if (step == body_reader::result::end)
      sent = writer.end();
    else
      sent = writer.flush();
    body_bytes_ += piece.size();
    if (!sent) {
      limit_.off();
      write_limit_.in(session_.lane_.front.limits().client);
      sent = co_await writer.finish_write();
      write_limit_.off();
      if (!sent)
        co_return outcome::broken;
    }
    if (step == body_reader::result::end)
      break;
    if (step == body_reader::result::failed) {
      session_.reset_ = framing == body_kind::until_close; // only a reset tells such a client that bytes are missing
      co_return outcome::broken;
    }
    if (step == body_reader::result::again) {
      limit_.in(answer_limit());
      if (!co_await wait_for_upstream())
        co_return outcome::broken;
    } else if (!bulk && body_bytes_ > bulk_after_bytes) {
      if (reader.rest().empty()) {
        bulk = buffer{session_.lane_.on, large_buffer_bytes};
        space = {bulk.data(), bulk.size()};
      }
    }
  }
  keep_upstream_ = reusable && reader.rest().empty() && !upload_open_;
  co_return outcome::done;
}

// -- upgrade -------------------------------------------------------------------------------------------------------------

bool http_forward::upgrade_is_sound() const {
  const auto& head = exchange_.head;
  const auto& answer = exchange_.answer;
  if (!head.upgrade_websocket || !exchange_.decision.allow_upgrade)
    return false;
  return answer.upgrade_websocket
         && answer.value(field_id::sec_websocket_accept) == websocket_accept(head.value(field_id::sec_websocket_key));
}

asio::awaitable<http_forward::outcome> http_forward::pass_upgrade() {
  if (!upgrade_is_sound())
    co_return outcome::refused_upgrade;
  write_answer_head(body_kind::none);
  auto& reply = exchange_.reply;
  reply.resize(reply.size() - 2);
  reply += "connection: upgrade\r\nupgrade: websocket\r\n\r\n";
  answer_begun_ = true;
  std::string_view early{exchange_.back.data() + answer_head_bytes_, exchange_.back_bytes - answer_head_bytes_};
  write_limit_.in(session_.lane_.front.limits().client);
  // Frames that came with the request: behind its head, or behind its (empty) body.
  bool sent = co_await write_all(*session_.client_, reply, early)
              && co_await write_all(*upstream_, exchange_.behind_head(), session_.early_);
  session_.early_.clear();
  write_limit_.off();
  if (!sent)
    co_return outcome::broken;
  exchange_.in_bytes = exchange_.head_bytes;
  session_.upgraded_for_ = exchange_.decision.client;
  session_.upgraded_ = std::move(upstream_);
  co_return outcome::upgraded;
}

} // namespace harp::net
