// Decides about frp clients: carries logins and claims to the gatekeeper and the registry.
#pragma once

#include "actors/bridge.hpp"
#include "net/control.hpp"

#include <atomic>

namespace harp {

class bridge_tunnels : public net::frp_gate {
public:
  explicit bridge_tunnels(bridge& seam) : seam_(seam) {}
  bool admit(const ip_address& peer) override;
  net::asio::awaitable<net::frp_login_answer> login(net::frp_login asked) override;
  net::asio::awaitable<net::frp_claim_answer> claim(uint64_t session, net::frp_proxy asked) override;
  void running(uint64_t session, std::string name) override;
  void release(uint64_t session, std::string name) override;
  void closed(uint64_t session, std::string reason) override;

  /// False from now on: no new tunnels while stopping.
  void refuse() { refusing_ = true; }

private:
  bridge& seam_;
  std::atomic<bool> refusing_{false};
};

} // namespace harp
