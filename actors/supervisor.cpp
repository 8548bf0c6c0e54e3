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
  for (const auto& handle : {caf::actor_cast<caf::actor>(handles_.gatekeeper), caf::actor_cast<caf::actor>(handles_.registry),
                             caf::actor_cast<caf::actor>(handles_.engines)})
    if (handle)
      caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
}

supervisor_actor::behavior_type supervisor_state::start(proxy_parts parts) {
  parts_ = std::move(parts);
  self_->set_down_handler([this](const caf::down_msg& down) {
    auto fallen = down.source == handles_.registry.address()  ? proxy_actor::registry
                  : down.source == handles_.engines.address() ? proxy_actor::engines
                                                              : proxy_actor::gatekeeper;
    net::log(net::log_level::error, "HARP-A001", "front", "an actor fell and is started again",
             {{"actor", fallen == proxy_actor::registry  ? "registry"
                         : fallen == proxy_actor::engines ? "engines"
                                                          : "gatekeeper"},
              {"cause", caf::to_string(down.reason)},
              {"next", "report this line: it is a defect of Harp"}});
    self_->delayed_send(self_, pause_, caf::tick_atom_v, static_cast<uint8_t>(fallen));
    pause_ = std::min(pause_ * 2, restart_pause_max);
  });
  spawn_gatekeeper();
  spawn_registry();
  spawn_engines();
  parts_.adopt(handles_);
  return {[this](caf::tick_atom, uint8_t fallen) { restart(static_cast<proxy_actor>(fallen)); }};
}

void supervisor_state::spawn_gatekeeper() {
  handles_.gatekeeper = self_->spawn(gatekeeper, parts_.gatekeeper, parts_.credentials, parts_.answers, parts_.port);
  self_->monitor(handles_.gatekeeper);
}

void supervisor_state::spawn_registry() {
  handles_.registry = self_->spawn(registry, parts_.registry, parts_.answers, parts_.port);
  self_->monitor(handles_.registry);
}

void supervisor_state::spawn_engines() {
  handles_.engines = self_->spawn(engines, parts_.identity, parts_.board, parts_.engines);
  self_->monitor(handles_.engines);
}

void supervisor_state::restart(proxy_actor fallen) {
  if (fallen == proxy_actor::engines) {
    spawn_engines();
  } else if (fallen == proxy_actor::registry) {
    spawn_registry();
    parts_.end_all_tunnels();
  } else {
    spawn_gatekeeper();
  }
  parts_.adopt(handles_);
}

} // namespace harp
