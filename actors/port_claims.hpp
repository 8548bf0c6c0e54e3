// Who may serve which frp proxy name on which port: pure rules (appapi-harp.md 5.1, FS5,
// quality.md 3.4, T03).
#pragma once

#include "actors/tunnel_credential.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr uint16_t exapp_port_first = 23000;
inline constexpr uint16_t exapp_port_last = 23999;
inline constexpr uint16_t engine_port_first = 24000; // this one is the local engine's
inline constexpr uint16_t engine_port_last = 24099;
inline constexpr unsigned ports_per_session_max = 1;

constexpr bool is_exapp_port(unsigned port) {
  return port >= exapp_port_first && port <= exapp_port_last;
}
constexpr bool is_engine_port(unsigned port) {
  return port >= engine_port_first && port <= engine_port_last;
}

/// What is so at the moment of a claim. The holder of the tables fills it.
struct claim_situation {
  bool legacy_key_ports = true; // config: holders of the shared key may claim any documented port
  bool local_engine = false;    // port 24000 is served by Harp itself
  unsigned session_ports = 0;   // ports this session already serves
  uint16_t session_name_port
      = 0; // the port on which this same session already serves that name; 0 = it does not
  bool name_taken = false; // by another session
  bool port_taken = false; // by another session
  std::optional<uint16_t>
      record_port; // of the ExApp record with that name; nothing when there is none
  uint16_t free_port
      = 0; // for a claim of port 0 by a key holder: any free ExApp port; 0 = none left
};

enum class claim_outcome : uint8_t {
  granted,
  refused,
  conflict, // only another session stands in the way: ping it, free what is dead, judge again
};

struct claim_answer {
  claim_outcome outcome = claim_outcome::refused;
  uint16_t port = 0; // granted, or the one in conflict
  std::string error; // for the client, when not granted: frps' words, then the reason
};

/// Which port a claim is about before anything is judged: the one asked for, or what 0 stands for.
/// 0 when nothing is left.
uint16_t claimed_port(const std::optional<tunnel_grant>& grant, uint16_t asked_port,
                      const claim_situation& now);

/// Judges a claim of `name` on `asked_port` (0 = any). `grant` is what the session's credential
/// allows; nothing means that it holds the shared key. A repeated claim of the same session is
/// granted again (frpc asks twice after 20 s).
claim_answer judge_claim(const std::optional<tunnel_grant>& grant, std::string_view name,
                         uint16_t asked_port, const claim_situation& now);

} // namespace harp
