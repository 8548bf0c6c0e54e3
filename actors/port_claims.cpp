#include "actors/port_claims.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr size_t name_bytes_max = 128;

bool is_proxy_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max
         && std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

claim_answer refuse(std::string error) {
  return {claim_outcome::refused, 0, std::move(error)};
}

/// Why the claimant may not have this port under this name, or "" when it may.
std::string forbidden(const std::optional<tunnel_grant>& grant, std::string_view name,
                      uint16_t port, const claim_situation& now) {
  if (grant) {
    if (name != grant->app_id)
      return "proxy name not allowed: this credential is for another one";
    return port == grant->port ? "" : "port not allowed: this credential is for another one";
  }
  if (is_engine_port(port))
    return port == engine_port_first && now.local_engine ? "port already used: by the local engine"
                                                         : "";
  if (!is_exapp_port(port))
    return "port not allowed: ExApps have 23000-23999, engines 24000-24099";
  if (!now.legacy_key_ports && now.record_port != port)
    return "port not allowed: Nextcloud knows no such app on this port";
  return "";
}

} // namespace

uint16_t claimed_port(const std::optional<tunnel_grant>& grant, uint16_t asked_port,
                      const claim_situation& now) {
  if (asked_port != 0)
    return asked_port;
  if (grant)
    return grant->port;
  return now.legacy_key_ports ? now.free_port : now.record_port.value_or(0);
}

claim_answer judge_claim(const std::optional<tunnel_grant>& grant, std::string_view name,
                         uint16_t asked_port, const claim_situation& now) {
  if (!is_proxy_name(name))
    return refuse("proxy name not allowed: 1 to 128 printable characters");
  if (now.session_name_port != 0 && (asked_port == 0 || asked_port == now.session_name_port))
    return {claim_outcome::granted, now.session_name_port, ""};
  if (now.session_ports >= ports_per_session_max)
    return refuse("exceed the max_ports_per_client");
  uint16_t port = claimed_port(grant, asked_port, now);
  if (port == 0)
    return refuse("port unavailable");
  if (auto error = forbidden(grant, name, port, now); !error.empty())
    return refuse(std::move(error));
  if (now.name_taken)
    return {claim_outcome::conflict, port, "proxy [" + std::string(name) + "] already exists"};
  if (now.port_taken)
    return {claim_outcome::conflict, port, "port already used"};
  return {claim_outcome::granted, port, ""};
}

} // namespace harp
