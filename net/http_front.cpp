#include "net/http_front.hpp"

#include "net/http_session.hpp"

namespace harp::net {

std::unique_ptr<http_exchange> http_lane::borrow() {
  if (spare.empty())
    return std::make_unique<http_exchange>();
  return spare.take();
}

void http_lane::give_back(std::unique_ptr<http_exchange> used) {
  used->clear();
  spare.give(std::move(used));
}

http_front::http_front(runtime& loops, http_gate& gate, tunnel_table& tunnels, metrics& numbers,
                       http_limits limits)
  : gate_(gate), metrics_(numbers), limits_(limits) {
  for (size_t i = 0; i < loops.size(); ++i)
    lanes_.push_back(std::make_unique<http_lane>(loops.at(i), *this, tunnels));
}

http_front::~http_front() = default;

asio::awaitable<void> http_front::serve(loop& on, stream_ptr client, connection_facts from) {
  ++connections_;
  count(metrics_.http_connections);
  {
    http_session session{*lanes_[on.index()], std::move(client), from};
    co_await session.run();
  }
  metrics_.http_connections.fetch_sub(1, std::memory_order_relaxed);
  --connections_;
}

size_t http_front::busy() const {
  size_t total = 0;
  for (const auto& lane : lanes_)
    total += lane->busy.load(std::memory_order_relaxed);
  return total;
}

void http_front::clear_pools() {
  for (auto& lane : lanes_)
    lane->pool.clear();
}

} // namespace harp::net
