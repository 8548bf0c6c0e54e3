// Every value and atom that travels between actors. No sockets; secrets only inside payloads that CAF cannot print.
#pragma once

#include "actors/ban_list.hpp"
#include "actors/decision.hpp"
#include "actors/error.hpp"
#include "actors/exapp_record.hpp"
#include "actors/tunnel_credential.hpp"
#include "net/control.hpp"
#include "net/http_client.hpp"
#include "storage/types.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/type_id.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harp {

using credential_hash = user_cache_key; // of the app id, every Cookie and every Authorization value

/// Who is this? Asked of Nextcloud once per `key` at a time.
struct user_question {
  struct content {
    credential_hash key{};
    bool may_keep = false; // a cookie came: the answer may be reused
    std::string app_id;    // lower case
    ip_address client;     // whose look-up it is: one client gets a share only
    std::vector<std::pair<std::string, std::string>> fields; // for Nextcloud; secret
  };
  std::shared_ptr<const content> data;
};

struct user_answer {
  std::shared_ptr<const user_info> user; // null: anonymous
};

/// An ExApp as Nextcloud describes it; null: Nextcloud does not know it.
struct record_answer {
  std::shared_ptr<const exapp_record> record;
};

/// Somebody did what only attackers and broken clients do.
struct failure {
  ip_address client;
  unsigned tenths = failure_whole_tenths;
  const char* reason = ""; // static text
};

struct ban_report {
  std::vector<ban_entry> entries;
};

/// A frp Login, for judging its secret.
struct login_question {
  std::shared_ptr<const net::frp_login> login;
};

/// What a login may do.
struct login_grant {
  std::optional<tunnel_grant> credential; // nothing: it holds the shared key
};

/// A session that passed; the registry gives it its run id.
struct session_opening {
  std::shared_ptr<const net::frp_login> login;
  login_grant grant;
};

struct claim_question {
  uint64_t session = 0;
  std::shared_ptr<const net::frp_proxy> proxy;
};

struct claim_result {
  std::string error; // empty: granted
  uint16_t port = 0;
};

/// An answer of net/ to a call an actor asked for under `token`.
struct fetched {
  uint64_t token = 0;
  std::shared_ptr<const net::fetch_answer> answer;
};

struct probed {
  uint64_t token = 0;
  bool alive = false;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, claim_result& x) {
  return f(caf::meta::type_name("harp::claim_result"), x.error, x.port);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, probed& x) {
  return f(caf::meta::type_name("harp::probed"), x.token, x.alive);
}

} // namespace harp

CAF_BEGIN_TYPE_ID_BLOCK(harp, caf::first_custom_type_id)

  CAF_ADD_TYPE_ID(harp, (harp::ec))
  CAF_ADD_TYPE_ID(harp, (harp::user_question))
  CAF_ADD_TYPE_ID(harp, (harp::user_answer))
  CAF_ADD_TYPE_ID(harp, (harp::record_answer))
  CAF_ADD_TYPE_ID(harp, (harp::failure))
  CAF_ADD_TYPE_ID(harp, (harp::ban_report))
  CAF_ADD_TYPE_ID(harp, (harp::login_question))
  CAF_ADD_TYPE_ID(harp, (harp::login_grant))
  CAF_ADD_TYPE_ID(harp, (harp::session_opening))
  CAF_ADD_TYPE_ID(harp, (harp::claim_question))
  CAF_ADD_TYPE_ID(harp, (harp::claim_result))
  CAF_ADD_TYPE_ID(harp, (harp::fetched))
  CAF_ADD_TYPE_ID(harp, (harp::probed))

  CAF_ADD_ATOM(harp, harp, user_atom, "user")         // who is this?
  CAF_ADD_ATOM(harp, harp, record_atom, "record")     // what is this app?
  CAF_ADD_ATOM(harp, harp, login_atom, "login")       // may this client tunnel?
  CAF_ADD_ATOM(harp, harp, fail_atom, "fail")         // a failure to count
  CAF_ADD_ATOM(harp, harp, vouch_atom, "vouch")       // this peer delivers valid signed calls
  CAF_ADD_ATOM(harp, harp, bans_atom, "bans")         // who is banned?
  CAF_ADD_ATOM(harp, harp, lift_atom, "lift")         // lift a ban
  CAF_ADD_ATOM(harp, harp, open_atom, "open")         // a session begins
  CAF_ADD_ATOM(harp, harp, claim_atom, "claim")       // a name and port for a tunnel
  CAF_ADD_ATOM(harp, harp, running_atom, "running")   // users may come
  CAF_ADD_ATOM(harp, harp, release_atom, "release")   // a proxy ended
  CAF_ADD_ATOM(harp, harp, closed_atom, "closed")     // a session ended
  CAF_ADD_ATOM(harp, harp, alive_atom, "alive")       // does the client still answer?
  CAF_ADD_ATOM(harp, harp, end_atom, "end")           // end a session

CAF_END_TYPE_ID_BLOCK(harp)

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::user_question)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::user_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::record_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::failure)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::ban_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::login_question)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::login_grant)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::session_opening)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::claim_question)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::fetched)
