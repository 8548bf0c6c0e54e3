#include "actors/supervisor.hpp"

#include "net/log.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace harp {

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self, proxy_parts parts) {
  return self->state.start(std::move(parts));
}

supervisor_state::~supervisor_state() {
  // They hold nobody's only handle but are held by the seam: end them by name.
  for (const auto& handle : {caf::actor_cast<caf::actor>(handles_.gatekeeper), caf::actor_cast<caf::actor>(handles_.registry)})
    if (handle)
      caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
}

supervisor_actor::behavior_type supervisor_state::start(proxy_parts parts) {
  parts_ = std::move(parts);
  self_->set_down_handler([this](const caf::down_msg& down) {
    bool was_registry = down.source == handles_.registry.address();
    net::log(net::log_level::error, "HARP-A001", "front", "an actor fell and is started again",
             {{"actor", was_registry ? "registry" : "gatekeeper"},
              {"cause", caf::to_string(down.reason)},
              {"next", "report this line: it is a defect of Harp"}});
    self_->delayed_send(self_, pause_, caf::tick_atom_v, was_registry);
    pause_ = std::min(pause_ * 2, restart_pause_max);
  });
  spawn_gatekeeper();
  spawn_registry();
  parts_.adopt(handles_);
  return {[this](caf::tick_atom, bool was_registry) { restart(was_registry); }};
}

void supervisor_state::spawn_gatekeeper() {
  handles_.gatekeeper = self_->spawn(gatekeeper, parts_.gatekeeper, parts_.credentials, parts_.answers, parts_.port);
  self_->monitor(handles_.gatekeeper);
}

void supervisor_state::spawn_registry() {
  handles_.registry = self_->spawn(registry, parts_.registry, parts_.answers, parts_.port);
  self_->monitor(handles_.registry);
}

void supervisor_state::restart(bool was_registry) {
  if (was_registry) {
    spawn_registry();
    parts_.end_all_tunnels();
  } else {
    spawn_gatekeeper();
  }
  parts_.adopt(handles_);
}

} // namespace harp
