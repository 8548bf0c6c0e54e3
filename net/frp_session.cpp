// The tunnel server: one connection from its first byte to its login, and what refuses it on the
// way.
#include "net/frp_session.hpp"

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

struct frp_server::waiting_room {
  std::mutex mutex;
  std::map<ip_address, size_t> per_peer;
  size_t total = 0;
};

class frp_server::place {
public:
  place(std::shared_ptr<waiting_room> in, ip_address key) : in_(std::move(in)), key_(key) {}
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    const std::lock_guard lock{in_->mutex};
    --in_->total;
    if (auto found = in_->per_peer.find(key_); --found->second == 0)
      in_->per_peer.erase(found);
  }

private:
  std::shared_ptr<waiting_room> in_;
  ip_address key_;
};

/// One TCP connection: a whole session with mux, a control or work connection without.
class frp_connection : public std::enable_shared_from_this<frp_connection> {
public:
  frp_connection(frp_server& of, loop& on, ip_address peer, uint16_t port)
      : server_(of), limits_(of.settings_.limits), on_(on), peer_(peer), port_(port) {}

  asio::awaitable<void> run(asio::generic::stream_protocol::socket socket);

private:
  asio::awaitable<stream_ptr> secure(asio::generic::stream_protocol::socket socket);
  asio::awaitable<void> run_mux(stream_ptr carrier);
  asio::awaitable<void> run_plain(stream_ptr carrier);
  void incoming(stream_ptr opened);
  asio::awaitable<void> classify(stream_ptr opened);
  asio::awaitable<void> log_in(std::shared_ptr<frp::channel> control, frp::login asked);
  asio::awaitable<frp_login_answer> judge(uint64_t id, const frp::login& asked);
  asio::awaitable<void> refuse(std::shared_ptr<frp::channel> control, std::string error);
  stream_ptr for_any_thread(stream_ptr secured);
  static asio::awaitable<void> carry(loop& on, stream_ptr a, stream_ptr b);
  void accept_work(std::shared_ptr<frp::channel> from, const frp::new_work_conn& said);
  void log_refusal(std::string_view cause) const;

  frp_server& server_;
  const frp_limits& limits_;
  loop& on_;
  const ip_address peer_;
  const uint16_t port_;
  std::unique_ptr<frp_server::place> place_;
  bool tls_ = false;
  bool login_seen_ = false;
  deadline* login_limit_ = nullptr;
  size_t unclassified_ = 0;
  std::shared_ptr<mux_session> mux_;   // null without mux
  std::shared_ptr<frp_tunnel> tunnel_; // after login
};

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
  frp_tunnel::identity who{
      id, peer_, port_, tls_, asked.version, asked.hostname, answer.run_id, asked.pool_count, asked.drops_early_data};
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
  launch(on_.executor(), carry(on_, std::move(secured), make_socket_stream(std::move(near))), "work connection");
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

frp_server::frp_server(frp_server_settings settings, frp_gate& gate, tunnel_table& table)
    : settings_(std::move(settings)), key_(frp::derive_key(settings_.auth_token)), gate_(gate),
      table_(table), room_(std::make_shared<waiting_room>()), tls_(settings_.tls) {}

asio::awaitable<void> frp_server::serve(loop& on, asio::generic::stream_protocol::socket socket,
                                        ip_address peer, uint16_t port) {
  const auto connection = std::make_shared<frp_connection>(*this, on, peer, port);
  co_await connection->run(std::move(socket));
}

void frp_server::use_tls(std::shared_ptr<tls_context> context) {
  const std::lock_guard lock{mutex_};
  tls_ = std::move(context);
}

void frp_server::ended(uint64_t id, const tunnel_facts& last) {
  const std::lock_guard lock{mutex_};
  table_.remove(id);
  past_.in += last.bytes_in;
  past_.out += last.bytes_out;
}

frp_server::traffic frp_server::carried() const {
  const std::lock_guard lock{mutex_}; // no session moves from the table into the past meanwhile
  traffic sum = past_;
  for (const auto& session : table_.all()) {
    const tunnel_facts now = session->facts();
    sum.in += now.bytes_in;
    sum.out += now.bytes_out;
  }
  return sum;
}

std::shared_ptr<tls_context> frp_server::tls() const {
  const std::lock_guard lock{mutex_};
  return tls_;
}

std::unique_ptr<frp_server::place> frp_server::enter(const ip_address& peer) {
  const ip_address key = peer.ban_key();
  const std::lock_guard lock{room_->mutex};
  const auto found = room_->per_peer.find(key);
  const size_t known = found == room_->per_peer.end() ? 0 : found->second;
  if (room_->total >= settings_.limits.pending_max
      || known >= settings_.limits.pending_per_peer_max)
    return nullptr;
  ++room_->total;
  ++room_->per_peer[key];
  return std::make_unique<place>(room_, key);
}

std::shared_ptr<frp_tunnel> frp_server::without_mux(const std::string& run_id) const {
  const std::lock_guard lock{mutex_};
  auto found = without_mux_.find(run_id);
  return found == without_mux_.end() ? nullptr : found->second.lock();
}

void frp_server::remember(const std::shared_ptr<frp_tunnel>& session) {
  const std::lock_guard lock{mutex_};
  without_mux_[session->run_id()] = session;
}

void frp_server::forget(const frp_tunnel& session) {
  const std::lock_guard lock{mutex_};
  auto found = without_mux_.find(session.run_id());
  if (found == without_mux_.end())
    return;
  const auto known = found->second.lock(); // a newer login may have taken the id over
  if (!known || known.get() == &session)
    without_mux_.erase(found);
}

} // namespace harp::net
