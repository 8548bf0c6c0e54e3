#include "net/http_forward.hpp"

#include "net/log.hpp"
#include "net/node_upstream.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>

namespace harp::net {

namespace {

constexpr milliseconds probe_after{1'000};   // waiting longer than this, the client is looked at on each tick
constexpr seconds ended_client_linger{30};   // a client that only ended its direction may still want the answer

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
    default:
      return false; // look-alikes such as `ex_app_id` were marked hop-by-hop by the codec
  }
}

/// Fields that say who the client is: towards another node they are replaced by what was found here.
bool is_client_address(const http_field& field) {
  return field.id == field_id::x_forwarded_for || field.id == field_id::x_real_ip || field.name == "forwarded";
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
    bool to_node = decision.to->where == upstream::kind::node;
    for (size_t i = 0; i < head.fields.size(); ++i) {
      const auto& field = head.fields[i];
      bool kept_back = to_node ? is_client_address(field) : is_reserved(field); // a node judges what Nextcloud signed
      if (!head.hop[i] && field.id != field_id::content_length && !kept_back)
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
  if (decision.to->where == upstream::kind::node)
    co_return co_await connect_node();
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

asio::awaitable<upstream_error> http_forward::connect_node() {
  const auto& decision = exchange_.decision;
  upstream_ = co_await decision.to->node->open(decision.client);
  co_return upstream_ ? upstream_error::none : upstream_error::no_node;
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
    if (keep_upstream_ && exchange_.decision.to->where != upstream::kind::node)
      session_.lane_.pool.keep(*exchange_.decision.to, std::move(upstream_));
    if (!keep_client_)
      session_.end_answers();
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

} // namespace harp::net
