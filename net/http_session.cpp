#include "net/http_session.hpp"

#include "net/http_forward.hpp"
#include "net/log.hpp"
#include "net/relay.hpp"

#include <algorithm>
#include <cstring>

namespace harp::net {

namespace {

/// Counts one request as in progress while it lives.
class busy_mark {
public:
  explicit busy_mark(std::atomic<size_t>& of) : of_(of) { of_.store(of_ + 1, std::memory_order_relaxed); }
  busy_mark(const busy_mark&) = delete;
  busy_mark& operator=(const busy_mark&) = delete;
  ~busy_mark() { of_.store(of_ - 1, std::memory_order_relaxed); }

private:
  std::atomic<size_t>& of_; // one writer: the lane's thread
};

} // namespace

http_session::http_session(http_lane& lane, stream_ptr client, connection_facts from)
  : lane_(lane), client_(std::move(client)), from_(from), limit_(lane.on, [this] { client_late(); }) {}

void http_session::client_late() {
  late_ = true;
  client_->cancel();
}

asio::awaitable<void> http_session::run() {
  for (bool more = true; more;) // g++ 12 lays the frame out wrongly for `while (co_await ...) {}`
    more = co_await one_request();
  if (exchange_)
    lane_.give_back(std::move(exchange_));
  limit_.off();
  if (upgraded_)
    co_await relay_upgraded();
  if (ended_by_us_)
    co_await let_client_read();
  client_->close(reset_);
}

/// After our end: a close with unread bytes of the client would take the answer away from it.
asio::awaitable<void> http_session::let_client_read() {
  limit_.in(lane_.front.limits().client);
  if (!co_await client_->wait_writable()) // TLS: until the last record is out
    co_return;
  limit_.in(linger_limit);
  size_t dropped = 0;
  while (dropped <= discarded_body_max) {
    bool readable = co_await client_->wait_readable();
    if (!readable)
      co_return;
    buffer space{lane_.on, buffer_bytes};
    auto got = client_->try_read({space.data(), space.size()});
    if (got.status != io_status::ok && got.status != io_status::again)
      co_return;
    dropped += got.bytes;
  }
}

asio::awaitable<void> http_session::relay_upgraded() {
  auto& numbers = lane_.front.numbers();
  count(numbers.ws_open);
  relay_options options;
  options.idle = lane_.front.limits().tunnel;
  auto end = co_await relay(lane_.on, *client_, *upgraded_, options);
  numbers.ws_open.fetch_sub(1, std::memory_order_relaxed);
  log(log_level::info, "HARP-W001", "ws", "upgraded connection ended",
      {{"client", upgraded_for_.to_string()},
       {"reason", end.reason},
       {"bytes_from_client", end.bytes_from_a},
       {"bytes_from_upstream", end.bytes_from_b},
       {"dur_s", std::chrono::duration<double>(clock::now() - began_).count()}});
  upgraded_->close();
}

asio::awaitable<bool> http_session::one_request() {
  if (!co_await read_head())
    co_return false;
  limit_.off();
  phase_ = phase::busy;
  began_ = clock::now();
  busy_mark busy{lane_.busy};
  auto& exchange = *exchange_;
  auto& gate = lane_.front.gate();
  if (!gate.decide_now(exchange.head, from_, exchange.decision))
    co_await gate.decide(exchange.head, from_, exchange.decision);
  if (exchange.decision.what == verdict::action::read_body && !co_await collect_body())
    co_return false;
  bool keep = co_await carry_out();
  if (keep && early_.empty()) {
    auto rest = exchange_->behind_head();
    early_.assign(rest.data(), rest.size());
  }
  lane_.give_back(std::move(exchange_));
  co_return keep && !lane_.front.draining();
}

// -- reading a head ----------------------------------------------------------------------------------------------------

parse_result http_session::parse_more() {
  auto& exchange = *exchange_;
  if (exchange.in_bytes == 0)
    return {};
  return parse_request_head(exchange.in.data(), exchange.in_bytes, searched_, exchange.head);
}

asio::awaitable<bool> http_session::read_head() {
  phase_ = phase::idle;
  searched_ = 0;
  late_ = false;
  limit_.in(lane_.front.limits().client);
  if (early_.empty() && !co_await client_->wait_readable())
    co_return false;
  take_early();
  for (;;) {
    auto parsed = parse_more();
    if (parsed.status == parse_status::done) {
      exchange_->head_bytes = parsed.bytes;
      co_return true;
    }
    if (parsed.status == parse_status::bad)
      co_return co_await refuse_head(parsed.http_status, parsed.reason);
    auto& in = exchange_->in;
    if (exchange_->in_bytes == in.size())
      in.resize(std::min(in.size() * 2, head_bytes_max + 1)); // one byte more: the parser says what is too long
    auto got = client_->try_read({in.data() + exchange_->in_bytes, in.size() - exchange_->in_bytes});
    if (got.status == io_status::ok) {
      if (phase_ == phase::idle) {
        phase_ = phase::head; // the whole head has one limit from its first byte on
        limit_.in(lane_.front.limits().client);
      }
      exchange_->in_bytes += got.bytes;
    } else if (got.status != io_status::again) {
      co_return false;
    } else if (!co_await wait_for_more()) {
      if (late_ && phase_ == phase::head)
        co_return co_await refuse_head(408, "the head did not arrive in time");
      co_return false;
    }
  }
}

asio::awaitable<bool> http_session::wait_for_more() {
  early_.assign(exchange_->in.data(), exchange_->in_bytes);
  lane_.give_back(std::move(exchange_));
  bool readable = co_await client_->wait_readable();
  take_early();
  co_return readable;
}

/// Borrows an exchange and puts into it what has arrived already.
void http_session::take_early() {
  exchange_ = lane_.borrow();
  auto& in = exchange_->in;
  if (in.size() < early_.size())
    in.resize(early_.size()); // a relay buffer's worth of pipelined bytes at most
  std::memcpy(in.data(), early_.data(), early_.size());
  exchange_->in_bytes = early_.size();
  early_ = std::string{};
}

asio::awaitable<bool> http_session::refuse_head(int status, std::string_view reason) {
  lane_.front.gate().malformed(from_, reason);
  count(lane_.front.numbers().rejects.at(status == 408 ? "timeout" : "malformed"));
  began_ = clock::now();
  exchange_->head.clear();
  co_await answer_error(status, reason, {}, true);
  co_return false;
}

// -- carrying out --------------------------------------------------------------------------------------------------------

asio::awaitable<bool> http_session::collect_body() {
  auto& exchange = *exchange_;
  size_t most = exchange.decision.body_bytes_max;
  if (exchange.head.body == body_kind::length && exchange.head.content_length > most) {
    co_await answer_error(413, "the body is larger than this call takes", {}, true);
    co_return false;
  }
  body_reader reader{*client_, exchange.head.body, exchange.head.content_length, exchange.behind_head()};
  std::string body;
  std::string_view piece;
  limit_.in(lane_.front.limits().client); // for all of it: such bodies are small
  for (;;) {
    auto step = reader.try_next(exchange.back, piece);
    if (step == body_reader::result::end)
      break;
    if (step == body_reader::result::again) {
      if (!co_await client_->wait_readable())
        co_return false;
    } else if (step == body_reader::result::failed) {
      co_return co_await refuse_head(400, reader.failure());
    } else if (body.size() + piece.size() > most) {
      co_await answer_error(413, "the body is larger than this call takes", {}, true);
      co_return false;
    } else {
      body += piece;
    }
  }
  limit_.off();
  early_.assign(reader.rest());
  exchange.in_bytes = exchange.head_bytes;
  exchange.head.body = body_kind::none; // it has been read
  co_await lane_.front.gate().complete(exchange.head, from_, std::move(body), exchange.decision);
  co_return true;
}

asio::awaitable<bool> http_session::carry_out() {
  switch (exchange_->decision.what) {
    case verdict::action::forward: {
      http_forward forward{*this};
      co_return co_await forward.run();
    }
    case verdict::action::respond:
      co_return co_await respond();
    case verdict::action::drop:
    case verdict::action::read_body: // asked twice: the gate is wrong, nothing sensible can be said
      break;
  }
  reset_ = true;
  finished(0, 0);
  co_return false;
}

asio::awaitable<bool> http_session::respond() {
  auto& exchange = *exchange_;
  auto& decision = exchange.decision;
  bool keep = exchange.head.keep_alive && !decision.close && !lane_.front.draining();
  bool expects = exchange.head.expect_continue;
  if (keep && exchange.head.body != body_kind::none)
    keep = !expects && co_await discard_body();
  auto& reply = exchange.reply;
  reply = "HTTP/1.1 ";
  reply += std::to_string(decision.status);
  reply += ' ';
  reply += reason_phrase(decision.status);
  reply += "\r\n";
  bool bodiless = decision.status == 204 || decision.status == 304;
  if (!bodiless) {
    reply += "content-type: ";
    reply += decision.content_type;
    reply += "\r\ncontent-length: ";
    reply += std::to_string(decision.body.size());
    reply += "\r\n";
  }
  reply += decision.fields;
  if (!keep)
    reply += "connection: close\r\n";
  else if (exchange.head.minor_version == 0)
    reply += "connection: keep-alive\r\n";
  reply += "\r\n";
  limit_.in(lane_.front.limits().client);
  bool head_only = bodiless || exchange.head.method == "HEAD";
  bool sent = co_await write_all(*client_, reply, head_only ? std::string_view{} : decision.body);
  limit_.off();
  finished(decision.status, decision.body.size());
  if (sent && !keep)
    end_answers();
  co_return sent && keep;
}

asio::awaitable<bool> http_session::discard_body() {
  auto& exchange = *exchange_;
  if (exchange.head.body == body_kind::length && exchange.head.content_length > discarded_body_max)
    co_return false;
  body_reader reader{*client_, exchange.head.body, exchange.head.content_length, exchange.behind_head()};
  std::string_view piece;
  size_t total = 0;
  limit_.in(lane_.front.limits().client);
  for (;;) {
    auto step = reader.try_next(exchange.back, piece);
    total += piece.size();
    if (step == body_reader::result::end)
      break;
    if (step == body_reader::result::failed || total > discarded_body_max)
      co_return false;
    if (step == body_reader::result::again && !co_await client_->wait_readable())
      co_return false;
  }
  early_.assign(reader.rest());
  exchange.in_bytes = exchange.head_bytes;
  co_return true;
}

asio::awaitable<bool> http_session::answer_error(int status, std::string_view cause, std::string_view fields,
                                                 bool close) {
  auto& decision = exchange_->decision;
  decision.clear();
  decision.status = status;
  decision.content_type = "text/html";
  decision.fields = "cache-control: no-cache\r\n";
  decision.fields += fields;
  decision.close = close;
  std::string title = std::to_string(status);
  title += ' ';
  title += reason_phrase(status);
  decision.body = "<html><body><h1>" + title + "</h1>\n";
  decision.body += cause;
  decision.body += "\n</body></html>\n";
  co_return co_await respond();
}

void http_session::end_answers() {
  client_->shutdown_write();
  ended_by_us_ = true;
}

void http_session::finished(int status, uint64_t bytes) {
  auto& numbers = lane_.front.numbers();
  double duration = std::chrono::duration<double>(clock::now() - began_).count();
  count(numbers.http_requests[static_cast<size_t>(std::clamp(status / 100, 0, 5))]);
  numbers.http_duration.observe(duration);
  if (!lane_.front.limits().access_log)
    return;
  const auto& head = exchange_->head;
  log(log_level::info, "HARP-F100", "front", "request",
      {{"client", exchange_->decision.client.is_unspecified() ? from_.peer.to_string()
                                                              : exchange_->decision.client.to_string()},
       {"app", exchange_->decision.app},
       {"method", head.method},
       {"path", head.path},
       {"status", status},
       {"bytes", bytes},
       {"dur_s", duration}});
}

} // namespace harp::net
