#include "net/frp_connection.hpp"

#include "net/frp_layer.hpp"
#include "net/log.hpp"
#include "net/relay.hpp"
#include "net/socket_stream.hpp"

#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include <optional>
#include <sys/socket.h>

namespace harp::net {

namespace {

constexpr char tls_marker = 0x17;       // frp's own byte in front of a ClientHello (frp.md 1)
constexpr char tls_client_hello = 0x16; // a TLS handshake record
constexpr char mux_version = 0x00;      // first byte of a mux frame
constexpr char wire_v2 = 'F';
constexpr std::string_view plain_types{"owv"}; // first bytes of v1 without mux

asio::awaitable<std::optional<char>>
peek_byte(loop& on, asio::generic::stream_protocol::socket& from, milliseconds limit) {
  deadline timer{on, [&from] {
                   error_code ignored;
                   from.cancel(ignored);
                 }};
  timer.in(limit);
  for (;;) {
    char first = 0;
    const ssize_t got = ::recv(from.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 1)
      co_return first;
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
      co_return std::nullopt;
    const auto [error] = co_await from.async_wait(asio::socket_base::wait_read, nothrow);
    if (error)
      co_return std::nullopt;
  }
}

} // namespace

void frp_connection::log_refusal(std::string_view cause) const {
  log(log_level::debug, "HARP-T004", "tunnel", "tunnel connection refused",
      {{"client", peer_.to_string()}, {"cause", cause}});
}

asio::awaitable<void> frp_connection::run(asio::generic::stream_protocol::socket socket) {
  const auto self = shared_from_this();
  if (!server_.gate_.admit(peer_))
    co_return;
  place_ = server_.enter(peer_);
  if (!place_) {
    log_refusal("too many connections before login");
    co_return;
  }
  stream_ptr carrier = co_await secure(std::move(socket));
  if (!carrier)
    co_return;
  char first = 0;
  io_result got;
  {
    deadline limit{on_, [&carrier] { carrier->cancel(); }};
    limit.in(limits_.login);
    const std::span<char> into{&first, 1};
    got = co_await read_some(*carrier, into);
  }
  if (got.status != io_status::ok) {
    log_refusal("no first message");
    co_return;
  }
  carrier = std::make_unique<frp::replay>(std::move(carrier), std::string(1, first));
  if (first == mux_version)
    co_await run_mux(std::move(carrier));
  else if (plain_types.find(first) != plain_types.npos)
    co_await run_plain(std::move(carrier));
  else
    log_refusal(first == wire_v2 ? "wire protocol v2" : "not frp");
}

asio::awaitable<stream_ptr> frp_connection::secure(asio::generic::stream_protocol::socket socket) {
  std::optional<char> first = co_await peek_byte(on_, socket, limits_.first_byte);
  if (first == tls_marker) {
    char dropped = 0;
    if (::recv(socket.native_handle(), &dropped, 1, MSG_DONTWAIT) == 1)
      first = tls_client_hello;
  }
  const auto context = server_.tls();
  if (!first || (first == tls_client_hello && !context)
      || (first != tls_client_hello && server_.settings_.tls_required)) {
    log_refusal(!first ? "silent" : first == tls_client_hello ? "TLS is off" : "TLS is required");
    co_return stream_ptr{};
  }
  stream_ptr raw = make_socket_stream(std::move(socket));
  if (first != tls_client_hello)
    co_return raw;
  tls_result secured = co_await tls_accept(on_, std::move(raw), context, limits_.handshake);
  if (!secured.stream)
    log_refusal(secured.error);
  tls_ = true;
  co_return std::move(secured.stream);
}

asio::awaitable<void> frp_connection::run_mux(stream_ptr carrier) {
  auto handler = [weak = weak_from_this()](stream_ptr opened) {
    if (auto self = weak.lock())
      self->incoming(std::move(opened));
  };
  mux_ = mux_session::make(on_, std::move(carrier), mux_role::server, server_.settings_.mux,
                           std::move(handler), false);
  deadline limit{on_, [this] { mux_->close("no login in time"); }};
  limit.in(limits_.login);
  login_limit_ = &limit;
  const std::string reason = co_await mux_->run();
  login_limit_ = nullptr;
  if (!login_seen_)
    log_refusal(reason);
}

void frp_connection::incoming(stream_ptr opened) {
  if (unclassified_ >= limits_.unclassified_max) {
    opened->close(true);
    return;
  }
  ++unclassified_;
  launch(on_.executor(), classify(std::move(opened)), "frp stream");
}

asio::awaitable<void> frp_connection::run_plain(stream_ptr carrier) {
  ++unclassified_;
  return classify(std::move(carrier));
}

asio::awaitable<void> frp_connection::classify(stream_ptr opened) {
  const auto self = shared_from_this();
  const auto from = std::make_shared<frp::channel>(on_, std::move(opened));
  frp::received got;
  {
    deadline limit{on_, [&from] { from->close(true); }};
    limit.in(limits_.first_message);
    got = co_await from->receive();
  }
  --unclassified_;
  auto* asked = std::get_if<frp::login>(&got.value);
  auto* work = std::get_if<frp::new_work_conn>(&got.value);
  if (got.end.empty() && asked && !login_seen_)
    co_await log_in(from, std::move(*asked));
  else if (got.end.empty() && work)
    accept_work(from, *work);
  else {
    if (!login_seen_ && got.end.find("unknown message type") != std::string::npos)
      log_refusal("not frp wire v1 (transport.wireProtocol must be \"v1\")");
    from->close(true);
  }
}

asio::awaitable<frp_login_answer> frp_connection::judge(uint64_t id, const frp::login& said) {
  frp_login asked;
  asked.session = id;
  asked.peer = peer_;
  asked.peer_port = port_;
  asked.tls = tls_;
  asked.mux = mux_ != nullptr;
  asked.version = said.version;
  asked.hostname = said.hostname;
  asked.os = said.os;
  asked.arch = said.arch;
  asked.user = said.user;
  asked.client_id = said.client_id;
  if (frp::is_run_id(said.run_id))
    asked.run_id = said.run_id;
  asked.privilege_key = said.privilege_key;
  asked.timestamp = said.timestamp;
  asked.pool_count = said.pool_count;
  if (auto token = said.metas.find("token"); token != said.metas.end()) {
    asked.has_token = true;
    asked.token = token->second;
  }
  frp_login_answer answer = co_await server_.gate_.login(std::move(asked));
  const std::string& secret = server_.settings_.auth_token;
  if (answer.error.empty() && !secret.empty()
      && !frp::equal_in_constant_time(said.privilege_key,
                                      frp::privilege_key(secret, said.timestamp)))
    answer.error = "token in login doesn't match token from configuration";
  co_return answer;
}

asio::awaitable<void> frp_connection::log_in(std::shared_ptr<frp::channel> control,
                                             frp::login asked) {
  login_seen_ = true;
  if (login_limit_ != nullptr)
    login_limit_->off();
  const uint64_t id = server_.table_.next_id();
  const frp_login_answer answer = co_await judge(id, asked);
  if (!answer.error.empty()) {
    co_await refuse(std::move(control), answer.error);
    server_.gate_.closed(id, "login refused");
    co_return;
  }
  frp_tunnel::identity who{id,
                           peer_,
                           port_,
                           tls_,
                           asked.version,
                           asked.hostname,
                           answer.run_id,
                           asked.pool_count,
                           asked.drops_early_data};
  tunnel_ = std::make_shared<frp_tunnel>(on_, server_.gate_, limits_, server_.key_, who, mux_);
  server_.table_.add(id, tunnel_);
  if (mux_)
    mux_->set_trusted();
  else
    server_.remember(tunnel_);
  place_.reset();
  control->send(frp::login_resp{server_.settings_.version, answer.run_id, {}});
  control->encipher(server_.key_);
  const std::string reason = co_await tunnel_->converse(control);
  control->close();
  if (mux_)
    mux_->close(reason);
  else
    server_.forget(*tunnel_);
  server_.ended(id, tunnel_->facts());
  server_.gate_.closed(id, reason);
  log(log_level::info, "HARP-T002", "tunnel", "tunnel ended",
      {{"client", peer_.to_string()}, {"cause", reason}, {"session", id}});
}

asio::awaitable<void> frp_connection::refuse(std::shared_ptr<frp::channel> control,
                                             std::string error) {
  asio::steady_timer slow_down{on_.io(), limits_.login_error_delay};
  co_await slow_down.async_wait(nothrow);
  control->send(frp::login_resp{{}, {}, std::move(error)});
  control->finish();
  {
    deadline limit{on_, [&control] { control->close(); }};
    limit.in(limits_.linger);
    co_await control->receive(); // the client's end, so that our words are not lost to a reset
  }
  control->close();
  if (mux_)
    mux_->close("login refused");
}

/// A TLS stream belongs to its loop's thread, but its user may sit on another: it gets one end of a socket pair, which any
/// thread may use, and this loop relays.
stream_ptr frp_connection::for_any_thread(stream_ptr secured) {
  asio::local::stream_protocol::socket near{on_.io()};
  asio::local::stream_protocol::socket far{on_.io()};
  error_code failure;
  asio::local::connect_pair(near, far, failure);
  if (failure)
    return secured; // out of descriptors: the next read or write of it says so
  launch(on_.executor(), carry(on_, std::move(secured), make_socket_stream(std::move(near))),
         "work connection");
  return make_socket_stream(std::move(far));
}

asio::awaitable<void> frp_connection::carry(loop& on, stream_ptr a, stream_ptr b) {
  co_await relay(on, *a, *b, {});
}

void frp_connection::accept_work(std::shared_ptr<frp::channel> from,
                                 const frp::new_work_conn& said) {
  const auto of = mux_ ? tunnel_ : server_.without_mux(said.run_id);
  if (of && frp::equal_in_constant_time(of->run_id(), said.run_id)) {
    of->park(mux_ || !tls_ ? from->release() : for_any_thread(from->release()));
    return;
  }
  frp::start_work_conn no;
  no.error = "invalid run id";
  from->send(no);
  from->finish();
}

} // namespace harp::net
