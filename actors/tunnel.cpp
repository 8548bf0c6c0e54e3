#include "actors/tunnel.hpp"

namespace harp {

tunnel_actor::behavior_type tunnel(tunnel_actor::stateful_pointer<tunnel_state> self, uint64_t session, net_port* port) {
  return self->state.start(session, port);
}

tunnel_actor::behavior_type tunnel_state::start(uint64_t session, net_port* port) {
  session_ = session;
  port_ = port;
  return {
    [this](alive_atom) { return alive(); },
    [this](end_atom, const std::string& reason) { end(reason); },
    [this](const probed& got) { finish(got); },
  };
}

caf::result<bool> tunnel_state::alive() {
  auto promise = self_->make_response_promise<bool>();
  waiting_.push_back(promise);
  if (waiting_.size() == 1)
    port_->probe_tunnel(session_, alive_limit, ++probe_, caf::actor_cast<caf::actor>(self_));
  return promise;
}

void tunnel_state::finish(const probed& got) {
  if (got.token != probe_)
    return;
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& promise : waiting)
    promise.deliver(got.alive);
}

void tunnel_state::end(const std::string& reason) {
  port_->end_tunnel(session_, reason);
  for (auto& promise : waiting_)
    promise.deliver(false);
  waiting_.clear();
  self_->quit();
}

} // namespace harp
