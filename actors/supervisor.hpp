// Starts the actors in order, watches them, starts a fallen one again with growing pauses.
#pragma once

#include "actors/engines.hpp"
#include "actors/gatekeeper.hpp"
#include "actors/registry.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <memory>

namespace harp {

inline constexpr std::chrono::milliseconds restart_pause_first{100};
inline constexpr std::chrono::milliseconds restart_pause_max{10'000};

/// The handles that the seam asks; replaced as a whole after a restart.
struct actor_handles {
  gatekeeper_actor gatekeeper;
  registry_actor registry;
  engines_actor engines;
};

/// What every actor of the proxy plane is made of.
struct proxy_parts {
  std::shared_ptr<const gatekeeper_settings> gatekeeper;
  std::shared_ptr<const registry_settings> registry;
  std::shared_ptr<const tunnel_credentials> credentials;
  std::shared_ptr<hot_answers> answers;
  net_port* port = nullptr;
  std::shared_ptr<const engine_identity> identity; // whom containers belong to
  std::shared_ptr<engine_board> board;
  engine_port* engines = nullptr;
  std::function<void(actor_handles)> adopt;  // told the handles at the start and after each restart
  std::function<void()> end_all_tunnels;     // a new registry knows none of the live sessions: they log in again
};

/// The actors of the proxy plane, by name.
enum class proxy_actor : uint8_t { gatekeeper, registry, engines };

using supervisor_actor = caf::typed_actor<caf::reacts_to<caf::tick_atom, uint8_t>>; // Start this proxy_actor again.

class supervisor_state {
public:
  static inline const char* name = "harp.supervisor";
  explicit supervisor_state(supervisor_actor::pointer self) : self_(self) {}
  ~supervisor_state();
  supervisor_actor::behavior_type start(proxy_parts parts);

private:
  void spawn_gatekeeper();
  void spawn_registry();
  void spawn_engines();
  void restart(proxy_actor fallen);

  supervisor_actor::pointer self_;
  proxy_parts parts_;
  actor_handles handles_;
  std::chrono::milliseconds pause_ = restart_pause_first;
};

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self, proxy_parts parts);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::proxy_parts)
