// One per logged-in frp client: answers whether it is alive, and ends it.
#pragma once

#include "actors/handles.hpp"
#include "actors/net_port.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::milliseconds alive_limit{1'000}; // quality.md R5

class tunnel_state {
public:
  static inline const char* name = "harp.tunnel";
  explicit tunnel_state(tunnel_actor::pointer self) : self_(self) {}
  tunnel_actor::behavior_type start(uint64_t session, net_port* port);

private:
  caf::result<bool> alive();
  void finish(const probed& got);
  void end(const std::string& reason);

  tunnel_actor::pointer self_;
  uint64_t session_ = 0;
  net_port* port_ = nullptr;
  uint64_t probe_ = 0;
  std::vector<caf::typed_response_promise<bool>> waiting_; // one probe answers all
};

tunnel_actor::behavior_type tunnel(tunnel_actor::stateful_pointer<tunnel_state> self, uint64_t session, net_port* port);

} // namespace harp
