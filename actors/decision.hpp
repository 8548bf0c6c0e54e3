// What happens to a request on the ExApp listener: one pure function, asked again as answers come
// in (appapi-harp.md 2.3 with its replacements). And the fields that follow from it, towards the
// app and towards Nextcloud.
#pragma once

#include "actors/exapp_record.hpp"
#include "net/http_codec.hpp"
#include "storage/types.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harp {

inline constexpr unsigned expired_session_tenths_default
    = 5; // FB3: a logged-out browser that goes on polling
inline constexpr std::string_view aa_version = "32";

/// What is known of a request before anything is asked. Everything it refers to outlives the
/// decision.
struct decision_facts {
  const net::request_head& head;
  ip_address client;           // see client_address()
  std::string_view shared_key; // secret; empty: no key is ever right
  bool client_banned = false;
  unsigned expired_session_tenths = expired_session_tenths_default;
};

enum class record_state : uint8_t { unknown, absent, failed, present };
enum class user_state : uint8_t { unknown, anonymous, failed, present };

/// What has been learnt so far.
struct decision_answers {
  record_state record = record_state::unknown;
  /// With `present` the record to use (a stale one while Nextcloud is away); with `failed` perhaps
  /// the last known one.
  std::shared_ptr<const exapp_record> known;
  /// Nextcloud deleted the record and has not pushed one since (FS14): unsigned requests are closed
  /// out, whatever is known.
  bool closed = false;
  user_state user = user_state::unknown;
  std::shared_ptr<const user_info> who; // with `present`; null: nobody
};

enum class next_step : uint8_t {
  drop,             // send nothing, reset
  unauthorized_401, // bodies and fields: appapi-harp.md 2.4
  forbidden_403,
  not_found_404,
  unavailable_503, // with Retry-After
  need_record,     // look up lower_app_id(app_id), decide again
  need_user,       // ask for user info, decide again
  control,         // the key is right: `target` is a control call
  forward,
};

/// The outcome. Views point into the request head, the record and the answers.
struct decision {
  next_step step = next_step::unavailable_503;
  unsigned failure_tenths = 0; // to count for the client; 0 = nothing
  bool is_signed = false;
  bool is_fallback = false; // the signed call itself named the upstream: never cache it
  std::string_view app_id;  // as written; empty when there is none
  std::string_view target;  // path for the app or the control plane, byte for byte, without query
  const char* reason = "";  // static words for the log
  // forward only
  const exapp_route* route = nullptr; // that allowed an unsigned request; with need_user the one that matches
  std::string_view credential;        // signed: as received
  std::string_view user_id, token;    // unsigned: the credential's parts; token is secret
  std::string_view version;
  std::string_view host; // IP literal or name
  uint16_t port = 0;
};

/// Decides. No I/O, no clock; no allocation on the way to `forward` for a plain target.
decision decide(const decision_facts& facts, const decision_answers& answers);

/// True for what dials this machine: loopback literals and `localhost`.
bool is_loopback_host(std::string_view host);

/// The fields that only Harp may set, as complete lines appended to `out`. False, with `out`
/// unchanged, when a value cannot be carried (control bytes, a colon in the user id, more than
/// credential_bytes_max).
bool append_app_fields(const decision& allowed, std::string& out);
inline constexpr size_t credential_bytes_max = 2048;

/// The value of the last oc_sessionPassphrase cookie over all Cookie fields, or empty.
std::string_view session_passphrase(const net::request_head& head);

/// True when the request says who is asking: a session cookie or an Authorization field.
bool has_user_credentials(const net::request_head& head);

using user_cache_key = std::array<unsigned char, 16>;

/// What user info is cached under: BLAKE2b over the app id and every Cookie and Authorization
/// value, each with its length.
user_cache_key user_info_key(const net::request_head& head, std::string_view app_id);

/// The fields of a user-info request (3.2): who asks, from where, in which language; the key is the
/// caller's to add. `pass_forwarding` is false when proxies are named and the peer is none of them:
/// its forwarding fields are not believed.
std::vector<std::pair<std::string, std::string>> user_info_fields(const net::request_head& head,
                                                                  bool pass_forwarding);

} // namespace harp
