// The tunnel server: what its connections share.
#include "net/frp_connection.hpp"

namespace harp::net {

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
