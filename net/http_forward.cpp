#include "net/http_forward.hpp"

#include "net/log.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>

namespace harp::net {

namespace {

constexpr milliseconds probe_after{1'000};   // waiting longer than this, the client is looked at on each tick
constexpr seconds ended_client_linger{30};   // a client that only ended its direction may still want the answer
constexpr uint64_t bulk_after_bytes = 128 * 1024;

/// Fields that carry identity or secrets between Nextcloud, Harp and an ExApp: never the client's copy.
bool is_reserved(const http_field& field) {
  switch (field.id) {
    case field_id::authorization_app_api:
    case field_id::aa_version:
    case field_id::ex_app_id:
    case field_id::ex_app_version:
    case field_id::ex_app_host:
    case field_id::ex_app_port:
    case field_id::harp_shared_key:
      return true;
    case field_id::other:
      break;
    default:
      return false;
  }
  if (field.name.find('_') == field.name.npos)
    return false;
  // CGI-like servers read '_' and '-' as one: no second identity through `ex_app_id`.
  static constexpr std::string_view names[] = {"authorization-app-api", "aa-version", "ex-app-id", "ex-app-version",
                                               "ex-app-host", "ex-app-port", "harp-shared-key"};
  return std::any_of(std::begin(names), std::end(names), [&](std::string_view name) {
    return std::equal(name.begin(), name.end(), field.name.begin(), field.name.end(),
                      [](char a, char b) { return a == b || (a == '-' && b == '_'); });
  });
}

void append_field(std::string& to, std::string_view name, std::string_view value) {
  to += name;
  to += ": ";
  to += value;
  to += "\r\n";
}

} // namespace

http_forward::http_forward(http_session& session)
  : session_(session),
    exchange_(*session.exchange_),
    limit_(session.lane_.on, [this] { upstream_late(); }),
    write_limit_(session.lane_.on, [this] { session_.client_late(); }) {
  limit_.on_tick = [this] { look_around(); };
}

milliseconds http_forward::answer_limit() const {
  auto own = exchange_.decision.response_limit;
  return own.count() > 0 ? own : session_.lane_.front.limits().server;
}

bool http_forward::repeatable() const {
  const auto& head = exchange_.head;
  return head.body == body_kind::none
         && (head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS");
}

void http_forward::upstream_late() {
  late_ = true;
  if (upstream_)
    upstream_->cancel();
}

/// While the upstream is silent: has the client left meanwhile?
void http_forward::look_around() {
  auto now = session_.lane_.on.coarse_now();
  if (waits_since_ == clock::time_point::max() || now - waits_since_ < probe_after || !upstream_)
    return;
  if (session_.client_->peer_finished() && client_ended_ == clock::time_point::max())
    client_ended_ = now;
  bool lingered = client_ended_ != clock::time_point::max() && now - client_ended_ >= ended_client_linger;
  if (session_.client_->peer_gone() || lingered) {
    client_gone_ = true;
    upstream_->cancel();
  }
}

// -- the request ---------------------------------------------------------------------------------------------------------

void http_forward::write_request_head() {
  const auto& head = exchange_.head;
  const auto& decision = exchange_.decision;
  auto& out = exchange_.out;
  bool upgrade = decision.allow_upgrade && head.upgrade_websocket;
  out = head.method;
  out += ' ';
  out += decision.target;
  out += " HTTP/1.1\r\n";
  if (decision.pass_fields) {
    for (size_t i = 0; i < head.fields.size(); ++i) {
      const auto& field = head.fields[i];
      if (!head.hop[i] && field.id != field_id::content_length && !is_reserved(field))
        append_field(out, field.name, field.value);
    }
  }
  out += decision.set_fields;
  if (head.body == body_kind::length)
    append_field(out, "content-length", std::to_string(head.content_length));
  else if (head.body == body_kind::chunked)
    out += "transfer-encoding: chunked\r\n";
  if (upgrade)
    out += "connection: upgrade\r\nupgrade: websocket\r\n";
  out += "\r\n";
}

asio::awaitable<upstream_error> http_forward::connect(bool may_reuse) {
  auto& pool = session_.lane_.pool;
  const auto& decision = exchange_.decision;
  reused_ = false;
  if (may_reuse && !exchange_.head.upgrade_websocket) {
    upstream_ = pool.take(*decision.to);
    if (upstream_) {
      reused_ = true;
      co_return upstream_error::none;
    }
  }
  work_user user;
  user.src_address = session_.from_.peer.to_string();
  user.src_port = session_.from_.peer_port;
  user.dst_port = decision.to->port;
  auto opened = co_await pool.connect(decision.to, std::move(user), session_.lane_.front.limits().connect);
  upstream_ = std::move(opened.stream);
  co_return opened.error;
}

asio::awaitable<bool> http_forward::run() {
  write_request_head();
  upload_due_ = exchange_.head.body != body_kind::none;
  for (bool may_reuse : {true, false}) {
    auto error = co_await connect(may_reuse);
    if (error != upstream_error::none || !upstream_)
      co_return co_await explain_connect(error);
    auto end = co_await attempt();
    if (end == outcome::stale && may_reuse)
      continue;
    if (end != outcome::done && end != outcome::upgraded)
      co_return co_await explain(end);
    session_.finished(status_, body_bytes_);
    if (end == outcome::upgraded)
      co_return false;
    if (keep_upstream_)
      session_.lane_.pool.keep(*exchange_.decision.to, std::move(upstream_));
    if (!keep_client_)
      session_.client_->shutdown_write();
    co_return keep_client_;
  }
  co_return false; // not reached: the second round never continues
}

asio::awaitable<http_forward::outcome> http_forward::attempt() {
  using namespace asio::experimental::awaitable_operators;
  late_ = false;
  outcome_ = outcome::no_answer;
  limit_.in(answer_limit());
  if (!co_await send_request())
    co_return reused_ && repeatable() ? outcome::stale : outcome::no_answer;
  if (upload_due_)
    co_await (upload() && download());
  else
    outcome_ = co_await receive();
  limit_.off();
  waits_since_ = clock::time_point::max();
  co_return outcome_;
}

/// Sends the head, with the body when all of it is here already.
asio::awaitable<bool> http_forward::send_request() {
  const auto& head = exchange_.head;
  std::string_view body;
  if (head.body == body_kind::length && exchange_.behind_head().size() >= head.content_length) {
    body = exchange_.behind_head().substr(0, static_cast<size_t>(head.content_length));
    upload_due_ = false;
    session_.early_.assign(exchange_.behind_head().substr(body.size()));
    exchange_.in_bytes = exchange_.head_bytes + body.size();
  }
  auto sent = upstream_->try_write(exchange_.out, body);
  if (sent.status == io_status::failed)
    co_return false;
  size_t bytes = sent.status == io_status::ok ? sent.bytes : 0;
  if (bytes < exchange_.out.size() + body.size()) {
    size_t of_head = std::min(bytes, exchange_.out.size());
    bool written = co_await write_all(*upstream_, std::string_view{exchange_.out}.substr(of_head),
                                      body.substr(bytes - of_head));
    if (!written)
      co_return false;
  }
  if (!upload_due_ && !body.empty())
    exchange_.in_bytes = exchange_.head_bytes;
  co_return true;
}

/// Less than body_rate_min over a whole window, while nobody but the client was waited for.
bool http_forward::too_slow() {
  auto now = session_.lane_.on.coarse_now();
  if (now - rate_since_ < body_rate_window)
    return false;
  bool slow = rate_bytes_ < body_rate_min * static_cast<uint64_t>(body_rate_window.count());
  rate_since_ = now;
  rate_bytes_ = 0;
  return slow;
}

/// Moves what is there. False: the upload is over, well or not.
asio::awaitable<bool> http_forward::upload_piece(body_reader& reader, body_writer& writer, std::span<char> space) {
  std::string_view piece;
  auto step = reader.try_next(space, piece);
  rate_bytes_ += piece.size();
  bool sent = true;
  if (step == body_reader::result::data)
    sent = writer.put(piece);
  else if (step == body_reader::result::end)
    sent = writer.end();
  else if (step == body_reader::result::again)
    sent = writer.flush();
  else
    upload_failed_ = true;
  if (!sent) {
    session_.limit_.off();
    sent = co_await writer.finish_write();
  }
  limit_.in(answer_limit()); // the upstream's silence counts from here
  if (!sent || upload_failed_ || step == body_reader::result::end)
    co_return false;
  if (step != body_reader::result::again)
    co_return true;
  session_.limit_.in(session_.lane_.front.limits().client);
  bool readable = co_await session_.client_->wait_readable();
  session_.limit_.off();
  if (!readable || too_slow()) {
    upload_failed_ = true;
    co_return false;
  }
  co_return true;
}

asio::awaitable<void> http_forward::upload() {
  upload_open_ = true;
  rate_since_ = session_.lane_.on.coarse_now();
  body_reader reader{*session_.client_, exchange_.head.body, exchange_.head.content_length, exchange_.behind_head()};
  std::string pending;
  body_writer writer{*upstream_, exchange_.head.body, pending};
  {
    buffer space{session_.lane_.on, large_buffer_bytes};
    for (bool more = true; more;)
      more = co_await upload_piece(reader, writer, {space.data(), space.size()});
    session_.early_.assign(reader.rest());
  }
  exchange_.in_bytes = exchange_.head_bytes;
  upload_open_ = false;
  if (!reader.ended())
    keep_client_ = false;
  if (upload_failed_)
    upstream_->cancel(); // nobody will finish this request: do not wait for its answer
}

// -- the answer ----------------------------------------------------------------------------------------------------------

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
    session_.lane_.front.gate().response_counted(decision);
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
  auto token = answer.value(field_id::upgrade);
  static constexpr std::string_view websocket = "websocket";
  bool named = std::equal(token.begin(), token.end(), websocket.begin(), websocket.end(),
                          [](char a, char b) { return (a | 0x20) == b; });
  return named && answer.value(field_id::sec_websocket_accept) == websocket_accept(head.value(field_id::sec_websocket_key));
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
  bool sent = co_await write_all(*session_.client_, reply, early)
              && co_await write_all(*upstream_, exchange_.behind_head());
  write_limit_.off();
  if (!sent)
    co_return outcome::broken;
  exchange_.in_bytes = exchange_.head_bytes;
  session_.upgraded_ = std::move(upstream_);
  co_return outcome::upgraded;
}

// -- when it went wrong ----------------------------------------------------------------------------------------------------

asio::awaitable<bool> http_forward::explain_connect(upstream_error error) {
  struct words {
    const char* label;
    int status;
    const char* cause;
    const char* next;
  };
  static constexpr words table[] = {
    {"none", 502, "no connection", "try again"},
    {"no_tunnel", 503, "no tunnel of this app is connected", "see that the ExApp runs and its frpc can reach the tunnel port"},
    {"no_stream", 504, "the tunnel gave no stream in time", "see that the ExApp's frpc runs and its machine is not overloaded"},
    {"refused", 503, "nothing listens at the app's address", "start the ExApp or its frpc"},
    {"timeout", 503, "the app's address did not answer the connect", "look at the network between Harp and the ExApp"},
    {"unresolvable", 404, "the app's host name cannot be resolved", "look at the ExApp's host in Nextcloud and at DNS"},
    {"failed", 503, "the connection to the app failed", "look at the ExApp and the network"},
  };
  const auto& entry = table[static_cast<size_t>(error)];
  count(session_.lane_.front.numbers().upstream_failures.at(entry.label));
  log(log_level::warn, "HARP-F202", "front", "upstream not reachable",
      {{"app", exchange_.decision.app}, {"cause", entry.cause}, {"next", entry.next}});
  bool keep = exchange_.head.body == body_kind::none;
  if (entry.status == 404) {
    auto& decision = exchange_.decision;
    decision.status = 404;
    decision.body = "404 Not Found";
    decision.content_type = "text/plain";
    decision.fields.clear();
    co_return co_await session_.respond();
  }
  co_return co_await session_.answer_error(entry.status, entry.cause,
                                           entry.status == 503 ? "retry-after: 1\r\n" : "", !keep);
}

asio::awaitable<bool> http_forward::explain(outcome end) {
  auto& numbers = session_.lane_.front.numbers();
  upstream_->close(true);
  if (end == outcome::broken || answer_begun_) {
    count(numbers.upstream_failures.at("cut"));
    session_.finished(answer_begun_ ? status_ : 0, body_bytes_);
    co_return false;
  }
  if (end == outcome::client_late)
    co_return co_await session_.refuse_head(session_.late_ ? 408 : 400, "the request body did not arrive whole");
  const char* cause = "the app closed the connection without an answer";
  const char* label = "closed";
  int status = 502;
  if (end == outcome::silent) {
    cause = "the app did not answer in time";
    label = "timeout";
    status = 504;
  } else if (end == outcome::bad_answer) {
    cause = "the app's answer was not sound HTTP";
    label = "malformed";
  } else if (end == outcome::refused_upgrade) {
    cause = "the app answered the upgrade wrongly";
    label = "upgrade";
  }
  count(numbers.upstream_failures.at(label));
  log(log_level::warn, "HARP-F203", "front", "no answer from the upstream",
      {{"app", exchange_.decision.app}, {"cause", cause}, {"next", "look at the ExApp's log"}});
  bool close = exchange_.head.body != body_kind::none || end == outcome::refused_upgrade || end == outcome::bad_answer;
  co_return co_await session_.answer_error(status, cause, {}, close);
}

} // namespace harp::net
