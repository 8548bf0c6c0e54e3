// One login of a frp client: Login, proxies, work streams spliced to local services (frp.md 8).
#include "net/frp_client_session.hpp"

#include "net/frp_transform.hpp"
#include "net/log.hpp"
#include "net/relay.hpp"

#include <chrono>

namespace harp::net {

namespace {

int64_t unix_now_s() {
  return std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

} // namespace

frp_client_session::frp_client_session(frp_client& of)
    : client_(of.shared_from_this()), settings_(of.settings_), on_(of.on_),
      key_(frp::derive_key(of.settings_.auth_token)) {
  for (const exposed& each : settings_.proxies) {
    proxy_state state;
    state.name = settings_.user.empty() ? each.name : settings_.user + '.' + each.name;
    proxies_.push_back(std::move(state));
  }
}

asio::awaitable<std::string> frp_client_session::run() {
  const auto self = shared_from_this();
  frp_client::connected carrier = co_await client_->connect();
  if (!carrier.stream || !closed_.empty())
    co_return closed_.empty() ? carrier.error : closed_;
  if (settings_.mux) {
    // Our FIN is the only way to say that a service has ended, and the server takes it for the end
    // of both directions.
    mux_ = mux_session::make(on_, std::move(carrier.stream), mux_role::client, settings_.mux_limit,
                             nullptr, true);
    mux_->set_trusted();
    launch(on_.executor(), run_mux(self, mux_), "frp client mux");
    carrier.stream = mux_->open();
  }
  std::string reason = "the mux session ended";
  if (carrier.stream) {
    control_ = std::make_shared<frp::channel>(on_, std::move(carrier.stream));
    reason = co_await log_in();
    if (reason.empty())
      reason = co_await converse();
  }
  close(reason);
  co_return closed_;
}

asio::awaitable<void> frp_client_session::run_mux(std::shared_ptr<frp_client_session> self,
                                                  std::shared_ptr<mux_session> mux) {
  const std::string reason = co_await mux->run();
  self->close(reason);
}

void frp_client_session::close(std::string reason) {
  if (closed_.empty())
    closed_ = std::move(reason);
  if (control_)
    control_->close();
  for (const auto& one : std::exchange(parked_, {}))
    one->close();
  if (mux_)
    mux_->close(closed_);
}

asio::awaitable<std::string> frp_client_session::log_in() {
  frp::login hello;
  hello.version = settings_.version;
  hello.os = "linux";
  hello.arch = "amd64";
  hello.user = settings_.user;
  hello.timestamp = unix_now_s();
  hello.privilege_key = frp::privilege_key(settings_.auth_token, hello.timestamp);
  hello.run_id = client_->run_id_;
  if (!settings_.token.empty())
    hello.metas["token"] = settings_.token;
  hello.pool_count = settings_.pool_count;
  if (!control_->send(hello))
    co_return "the login could not be sent";
  frp::received got;
  {
    deadline limit{on_, [this] { close("no answer to the login"); }};
    limit.in(settings_.login_limit);
    got = co_await control_->receive();
  }
  if (!got.end.empty())
    co_return got.end;
  const auto* answer = std::get_if<frp::login_resp>(&got.value);
  if (answer == nullptr)
    co_return "the server does not speak frp";
  if (!answer->error.empty())
    co_return "login refused: " + answer->error;
  client_->run_id_ = answer->run_id;
  control_->encipher(key_);
  log(log_level::info, "HARP-T020", "tunnel", "logged in to the tunnel server",
      {{"peer", settings_.host}, {"version", answer->version}});
  co_return std::string{};
}

asio::awaitable<std::string> frp_client_session::converse() {
  heard_at_ = on_.coarse_now();
  deadline clockwork{on_, {}};
  clockwork.on_tick = [this] { tick(); };
  for (size_t i = 0; i < proxies_.size(); ++i)
    ask_for(i);
  for (;;) {
    const frp::received got = co_await control_->receive();
    if (!got.end.empty())
      co_return got.end;
    handle(got.value);
  }
}

void frp_client_session::handle(const frp::message& what) {
  if (std::holds_alternative<frp::req_work_conn>(what)) {
    if (works_ < settings_.work_streams_max)
      launch(on_.executor(), work(), "frp client work");
  } else if (const auto* answer = std::get_if<frp::new_proxy_resp>(&what)) {
    answered(*answer);
  } else if (const auto* beat = std::get_if<frp::pong>(&what)) {
    heard_at_ = on_.coarse_now();
    if (!beat->error.empty())
      close("the server refuses our heartbeat: " + beat->error);
  }
}

void frp_client_session::answered(const frp::new_proxy_resp& answer) {
  for (proxy_state& each : proxies_) {
    if (each.name != answer.name || each.at != phase::asked)
      continue;
    each.since = on_.coarse_now();
    each.at = answer.error.empty() ? phase::running : phase::refused;
    if (each.at == phase::running)
      log(log_level::info, "HARP-T021", "tunnel", "service exposed",
          {{"app", each.name}, {"address", answer.remote_addr}});
    else
      log(log_level::warn, "HARP-T022", "tunnel", "the tunnel server refuses a service",
          {{"app", each.name},
           {"cause", answer.error},
           {"next", "Harp asks again by itself; choose another name or port if it stays"}});
  }
}

void frp_client_session::ask_for(size_t index) {
  const exposed& what = settings_.proxies[index];
  frp::new_proxy asked;
  asked.name = proxies_[index].name;
  asked.type = "tcp";
  asked.use_encryption = what.use_encryption;
  asked.use_compression = what.use_compression;
  asked.remote_port = what.remote_port;
  proxies_[index].at = phase::asked;
  proxies_[index].since = on_.coarse_now();
  send(asked);
}

void frp_client_session::tick() {
  const auto now = on_.coarse_now();
  for (size_t i = 0; i < proxies_.size(); ++i) {
    const auto waited = now - proxies_[i].since;
    const bool again = (proxies_[i].at == phase::asked && waited >= settings_.answer_limit)
                       || (proxies_[i].at == phase::refused && waited >= settings_.refused_pause);
    if (again)
      ask_for(i);
  }
  if (mux_)
    return; // its own pings watch the connection
  if (now - heard_at_ >= settings_.heartbeat_limit)
    close("no heartbeat from the server");
  else if (now - pinged_at_ >= settings_.heartbeat_interval) {
    pinged_at_ = now;
    send(frp::ping{});
  }
}

void frp_client_session::send(const frp::message& what) {
  if (!control_->send(what))
    close("the server does not read its control stream");
}

asio::awaitable<void> frp_client_session::work() {
  const auto self = shared_from_this();
  ++works_;
  stream_ptr raw;
  if (mux_) {
    raw = mux_->open();
  } else {
    frp_client::connected own = co_await client_->connect();
    raw = std::move(own.stream);
  }
  if (raw && closed_.empty()) {
    const auto first = std::make_shared<frp::channel>(on_, std::move(raw));
    frp::new_work_conn hello;
    hello.run_id = client_->run_id_;
    first->send(hello);
    parked_.insert(first);
    frp::received got = co_await first->receive(); // until the server has a user
    parked_.erase(first);
    auto* start = std::get_if<frp::start_work_conn>(&got.value);
    if (got.end.empty() && start && start->error.empty())
      co_await serve_user(first->release(), std::move(*start));
  }
  --works_;
}

const exposed* frp_client_session::find(const std::string& name) const {
  for (size_t i = 0; i < proxies_.size(); ++i)
    if (proxies_[i].name == name && proxies_[i].at == phase::running)
      return &settings_.proxies[i];
  return nullptr;
}

asio::awaitable<void> frp_client_session::serve_user(stream_ptr raw, frp::start_work_conn start) {
  const exposed* what = find(start.name);
  if (what == nullptr)
    co_return; // closing the stream says so
  dial_result local = co_await client_->dial_local(what->local);
  if (!local.stream) {
    log(log_level::warn, "HARP-T024", "tunnel", "the local service cannot be reached",
        {{"app", start.name},
         {"address", what->local},
         {"cause", local.error == dial_error::refused ? "refused" : "no connection"},
         {"next", "start the service, or correct its address"}});
    co_return;
  }
  const std::string header = proxy_header(what->proxy_protocol, start);
  const bool told = co_await write_all(*local.stream, header);
  if (!told)
    co_return;
  const stream_ptr remote
      = frp::wrap_transform(std::move(raw), what->use_encryption, what->use_compression, key_);
  co_await relay(on_, *local.stream, *remote, relay_options{});
}

} // namespace harp::net
