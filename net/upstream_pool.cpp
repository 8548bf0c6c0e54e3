#include "net/upstream_pool.hpp"

#include <algorithm>

namespace harp::net {

namespace {

constexpr milliseconds work_stream_limit{9'500}; // answered as 504 within the 10 s of quality.md R2

upstream_error from_dial(dial_error error) {
  switch (error) {
    case dial_error::none:
      return upstream_error::none;
    case dial_error::unresolvable:
      return upstream_error::unresolvable;
    case dial_error::refused:
      return upstream_error::refused;
    case dial_error::timeout:
      return upstream_error::timeout;
    case dial_error::failed:
      break;
  }
  return upstream_error::failed;
}

} // namespace

upstream_pool::upstream_pool(loop& on, tunnel_table& tunnels)
  : loop_(on), tunnels_(tunnels), dialer_(on), sweeper_(on, [] {}) {
  sweeper_.on_tick = [this] { expire(); };
}

upstream_pool::target* upstream_pool::find(const upstream& to) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i].to == to) {
      if (i > 0)
        std::swap(targets_[0], targets_[i]);
      return &targets_[0];
    }
  }
  return nullptr;
}

stream_ptr upstream_pool::take(const upstream& to) {
  auto* known = find(to);
  while (known != nullptr && !known->idle.empty()) {
    auto connection = std::move(known->idle.back().connection);
    known->idle.pop_back();
    --idle_count_;
    if (connection->is_silent()) // bytes or an end mean that it must not be used again
      return connection;
  }
  return nullptr;
}

asio::awaitable<upstream_result> upstream_pool::connect(std::shared_ptr<const upstream> to,
                                                        work_user user, milliseconds limit) {
  upstream_result result;
  if (to->where == upstream::kind::tunnel) {
    auto session = tunnels_.find(to->tunnel);
    if (!session) {
      result.error = upstream_error::no_tunnel;
      co_return result;
    }
    auto opened = co_await session->open(to->proxy_name, std::move(user), std::min(limit, work_stream_limit));
    result.stream = std::move(opened.stream);
    if (opened.error == work_error::no_tunnel)
      result.error = upstream_error::no_tunnel;
    else if (opened.error == work_error::no_stream)
      result.error = upstream_error::no_stream;
    co_return result;
  }
  dial_result dialled;
  if (to->where == upstream::kind::unix_socket)
    dialled = co_await dialer_.unix_socket(to->host, limit);
  else
    dialled = co_await dialer_.tcp(to->host, to->port, limit);
  result.stream = std::move(dialled.stream);
  result.error = from_dial(dialled.error);
  if (to->reached)
    to->reached->store(result.error == upstream_error::none, std::memory_order_relaxed);
  co_return result;
}

void upstream_pool::keep(const upstream& to, stream_ptr connection) {
  if (idle_count_ >= idle_upstreams_max)
    return;
  auto* known = find(to);
  if (known == nullptr) {
    targets_.insert(targets_.begin(), target{to, {}});
    known = &targets_.front();
  }
  if (known->idle.size() >= idle_per_upstream_max)
    return;
  known->idle.push_back({std::move(connection), loop_.coarse_now() + idle_upstream_life});
  ++idle_count_;
}

void upstream_pool::expire() {
  auto now = loop_.coarse_now();
  for (auto& known : targets_)
    idle_count_ -= std::erase_if(known.idle, [now](const idle_connection& one) { return one.until <= now; });
  std::erase_if(targets_, [](const target& known) { return known.idle.empty(); });
}

void upstream_pool::clear() {
  targets_.clear();
  idle_count_ = 0;
}

} // namespace harp::net
