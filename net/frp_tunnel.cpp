// One logged-in frp client: the control conversation and what it asks of the gate.
#include "net/frp_tunnel.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace harp::net {

static_assert(frp::run_id_bytes_longest == run_id_bytes_max);

namespace {

constexpr size_t echoed_name_bytes_max = 1024; // a longer bad name is not sent back
constexpr size_t echoed_type_bytes_max = 16;
constexpr size_t parked_check_ticks = 4; // one second

int64_t now_ms() {
  return std::chrono::duration_cast<milliseconds>(clock::now().time_since_epoch()).count();
}

unsigned clamp_pool(int64_t asked, unsigned most) {
  return static_cast<unsigned>(std::clamp<int64_t>(asked, 0, most));
}

} // namespace

frp_tunnel::frp_tunnel(loop& on, frp_gate& gate, const frp_limits& limits,
                       const frp::cipher_key& key, identity who, std::shared_ptr<mux_session> mux)
    : on_(on), gate_(gate), limits_(limits), key_(key), who_(std::move(who)), mux_(std::move(mux)),
      pool_base_(clamp_pool(who_.pool_count, limits.pool_asked_max)),
      since_unix_s_(
          std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch())
              .count()),
      wish_(pool_base_), heard_ms_(now_ms()) {}

asio::awaitable<std::string> frp_tunnel::converse(std::shared_ptr<frp::channel> control) {
  const auto self = shared_from_this();
  control_ = std::move(control);
  deadline silence{on_, [this] { close("no heartbeat"); }};
  size_t ticks = 0;
  silence.on_tick = [this, &ticks] {
    if (++ticks % parked_check_ticks == 0)
      look_around();
  };
  if (!mux_)
    silence.in(limits_.heartbeat);
  ask(0);
  std::string reason;
  for (;;) {
    frp::received got = co_await control_->receive();
    reason = std::move(got.end);
    if (!reason.empty())
      break;
    heard_ms_.store(now_ms(), std::memory_order_relaxed);
    if (!mux_)
      silence.in(limits_.heartbeat);
    co_await handle(std::move(got.value));
  }
  end(reason);
  co_return end_reason_;
}

asio::awaitable<void> frp_tunnel::handle(frp::message what) {
  if (auto* asked = std::get_if<frp::new_proxy>(&what))
    co_await claim(std::move(*asked));
  else if (auto* gone = std::get_if<frp::close_proxy>(&what))
    release(gone->name);
  else if (std::holds_alternative<frp::ping>(what))
    answer_ping();
  // Any other known type is not meant for a server's control stream: ignored, as in stock.
}

std::string frp_tunnel::form_error(const frp::new_proxy& asked) const {
  if (!frp::is_printable(asked.name, proxy_name_bytes_max))
    return "invalid proxy name";
  if (!asked.type.empty() && asked.type != "tcp") {
    const bool shown = frp::is_printable(asked.type, echoed_type_bytes_max);
    return "proxy type [" + (shown ? asked.type : std::string{"?"}) + "] is not supported, use tcp";
  }
  if (!asked.group.empty())
    return "load balancing groups are not supported";
  return {};
}

bool frp_tunnel::answered_by_us(const frp_proxy& wanted, frp::new_proxy_resp& answer) const {
  const std::lock_guard lock{mutex_};
  auto found = proxies_.find(wanted.name);
  if (found == proxies_.end()) {
    if (proxies_.size() >= limits_.proxies_max)
      answer.error = "too many proxies";
    return !answer.error.empty();
  }
  const proxy& known = found->second;
  const bool same = known.asked_port == wanted.remote_port
                    && known.use_encryption == wanted.use_encryption
                    && known.use_compression == wanted.use_compression
                    && known.server_limit == wanted.server_limit;
  if (same) // the client missed the first answer (frp.md 4.1)
    answer.remote_addr = ":" + std::to_string(known.port);
  else
    answer.error = "proxy [" + wanted.name + "] already exists";
  return true;
}

asio::awaitable<void> frp_tunnel::claim(frp::new_proxy asked) {
  frp::new_proxy_resp answer;
  if (asked.name.size() <= echoed_name_bytes_max)
    answer.name = asked.name;
  answer.error = form_error(asked);
  if (!answer.error.empty()) {
    tell(answer);
    co_return;
  }
  frp_proxy wanted;
  wanted.name = asked.name;
  wanted.remote_port = asked.remote_port;
  wanted.use_encryption = asked.use_encryption;
  wanted.use_compression = asked.use_compression;
  if (asked.bandwidth_limit_mode == "server")
    wanted.server_limit = frp::parse_bandwidth(asked.bandwidth_limit).value_or(0);
  if (answered_by_us(wanted, answer)) {
    tell(answer);
    co_return;
  }
  frp_proxy question = wanted;
  const frp_claim_answer granted = co_await gate_.claim(who_.id, std::move(question));
  answer.error = granted.error;
  if (granted.error.empty())
    answer.remote_addr = ":" + std::to_string(granted.port);
  tell(answer);
  if (granted.error.empty())
    start(wanted, granted.port);
}

void frp_tunnel::start(const frp_proxy& wanted, uint16_t port) {
  proxy made;
  made.port = port;
  made.asked_port = wanted.remote_port;
  made.use_encryption = wanted.use_encryption;
  made.use_compression = wanted.use_compression;
  made.server_limit = wanted.server_limit;
  if (wanted.server_limit > 0)
    made.bucket = std::make_shared<frp::rate_bucket>(wanted.server_limit, clock::now());
  {
    const std::lock_guard lock{mutex_};
    if (ended_)
      return; // closed() told the gate already, or will
    proxies_[wanted.name] = std::move(made);
  }
  gate_.running(who_.id, wanted.name);
}

void frp_tunnel::release(const std::string& name) {
  {
    const std::lock_guard lock{mutex_};
    if (proxies_.erase(name) == 0)
      return;
  }
  gate_.release(who_.id, name);
}

void frp_tunnel::answer_ping() {
  const auto now = on_.coarse_now();
  if (now - ping_window_ >= seconds{1}) {
    ping_window_ = now;
    pings_ = 0;
  }
  if (++pings_ <= limits_.pings_per_second_max)
    tell(frp::pong{});
}

void frp_tunnel::tell(const frp::message& what) {
  if (!control_->send(what))
    close("the client does not read its control stream");
}

asio::awaitable<bool> frp_tunnel::alive(milliseconds limit) {
  const auto self = shared_from_this();
  if (mux_)
    co_return co_await mux_->ping(limit);
  const int64_t silent = now_ms() - heard_ms_.load(std::memory_order_relaxed);
  const std::lock_guard lock{mutex_};
  co_return !ended_ && silent < limits_.heard_within.count();
}

void frp_tunnel::close(std::string reason) {
  {
    const std::lock_guard lock{mutex_};
    if (end_reason_.empty())
      end_reason_ = reason;
    ended_ = true;
    proxies_.clear();
  }
  if (mux_)
    mux_->close(std::move(reason)); // fails the control stream, which ends converse()
  else
    asio::post(on_.io(), [self = shared_from_this()] {
      if (self->control_)
        self->control_->close();
    });
}

tunnel_facts frp_tunnel::facts() const {
  tunnel_facts out;
  out.session = who_.id;
  out.peer = who_.peer.to_string();
  out.version = who_.version;
  out.hostname = who_.hostname;
  out.run_id = who_.run_id;
  out.tls = who_.tls;
  out.mux = mux_ != nullptr;
  out.bytes_in = bytes_in_.load(std::memory_order_relaxed);
  out.bytes_out = bytes_out_.load(std::memory_order_relaxed);
  out.streams = streams_.load(std::memory_order_relaxed);
  out.since_unix_s = since_unix_s_;
  const std::lock_guard lock{mutex_};
  for (const auto& [name, about] : proxies_)
    out.proxies.push_back(name);
  return out;
}

} // namespace harp::net
