// Every value and atom that travels between actors. No sockets; secrets only inside payloads that CAF cannot print.
#pragma once

#include "actors/ban_list.hpp"
#include "actors/decision.hpp"
#include "actors/engine_docker.hpp"
#include "actors/error.hpp"
#include "actors/exapp_record.hpp"
#include "actors/tunnel_credential.hpp"
#include "net/control.hpp"
#include "net/http_client.hpp"
#include "storage/op.hpp"
#include "storage/peer_messages.hpp"
#include "storage/types.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/type_id.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harp {

class node_store;
struct sealed_bundle;
struct content_want;
struct fetch_report;
struct wait_line;

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

/// A call about an ExApp's container on the engine behind a control port.
struct engine_order {
  uint16_t engine = 0;
  std::shared_ptr<const exapp_call> call;
  std::shared_ptr<const frp_files> files;            // install_certificates; may be null
  std::shared_ptr<const std::string> app_secret;     // of Nextcloud's record; may be null
};

struct engine_verdict {
  std::shared_ptr<const exapp_answer> answer;
};

/// An engine's reply to what was asked under `token`.
struct engine_told {
  uint64_t token = 0;
  std::shared_ptr<const engine_reply> reply;
};

struct probed {
  uint64_t token = 0;
  bool alive = false;
};

// -- storage plane ---------------------------------------------------------------------------------------------------------

/// Work for the store: runs on its thread, against every database of this node. Throwing storage_failure is its failure.
struct store_job {
  std::shared_ptr<const std::function<void(node_store&)>> work;
};

/// The rest of something an actor began elsewhere: runs in the actor, or never when it is gone.
struct actor_step {
  std::shared_ptr<const std::function<void()>> rest;
};

/// A member of a space got linked, changed its role, or is gone.
struct member_link {
  space_id space;
  device_key device;
  replica_id rid = 0;
  member_role role = member_role::none;
  bool up = false;
  bool keeper = false; // serves others: a keeper or admin of the cluster space
  uint8_t reach = 1;   // peer_reach
  uint32_t rtt_ms = 0;
};

/// A link to a node came up or ended.
struct link_note {
  device_key device;
  uint64_t link = 0;
  bool up = false;
  bool dialled = false; // by us
  uint8_t path = 0;     // net::link_path
  std::string address;  // of the other end
};

/// How dialling a node went.
struct dial_note {
  device_key device;
  bool linked = false;
  std::string words;
};

/// Somebody of this cluster was heard on the LAN.
struct lan_note {
  std::string address;
};

/// One other node, for `harp status` and `harp member ls`.
struct peer_line {
  device_key device;
  bool linked = false;
  std::string path, address, waiting; // waiting: why there is no link
  uint64_t seen_ms = 0;               // Unix; 0 never
  std::vector<std::pair<std::string, uint16_t>> apps;
};
struct peer_report {
  std::shared_ptr<const std::vector<peer_line>> lines;
};

/// A message of a linked member about one space: decoded, its lengths checked, its sender entitled to send it.
struct peer_note {
  device_key from;
  space_id space;     // zero: about the cluster
  replica_id rid = 0; // of the sender in that space
  std::shared_ptr<const peer_message> what; // bundles in an Ops are in `bundles`, decoded and verified
  std::shared_ptr<const std::vector<std::shared_ptr<const sealed_bundle>>> bundles;
};

/// Bundles of this device: applied and durable here, to be handed to the others; and the state they led to.
struct made_bundles {
  std::shared_ptr<const std::vector<std::shared_ptr<const sealed_bundle>>> list;
  digest256 state_root;
  dot checkpoint;
};

/// How far a space is, for `harp status`.
struct space_report {
  uint64_t behind = 0; // bundles that others announced and that are not here
  bool idle = true;    // nothing waits to be applied
  uint64_t settled = 0; // hlc (storage.md 4.6)
  std::shared_ptr<const std::vector<device_key>> peers;
};

/// Nodes whose rows a commit changed.
struct changed_nodes {
  std::shared_ptr<const std::vector<local_id>> lids;
};

/// What a folder wants brought, and what it no longer wants.
struct content_wish {
  std::shared_ptr<const std::vector<content_want>> wants;
  std::shared_ptr<const std::vector<content_id>> unwants;
};

/// A content is complete on this device, or (`room`) more may be wished for again.
struct content_here {
  content_id cid;
  bool room = false;
};

/// A snapshot of a space that was fetched from a member, or why it was not.
struct snapshot_here {
  device_key from;
  std::string file;       // its pieces, each behind a u32 length; empty: it did not come
  std::string checkpoint; // raw bundle
  std::string words;      // why not
};

/// Versions whose content this device holds durably now.
struct content_held {
  struct version {
    node_id node;
    stamp vid;
    content_id cid;
  };
  std::shared_ptr<const std::vector<version>> versions;
};

/// What a folder has left to do, for `harp status`.
struct folder_report {
  struct item {
    std::string path;
    std::string waits_for;
  };
  uint64_t pending = 0;
  bool offline = false; // G1: the folder is not there
  bool held = false;    // G3: a burst waits for an answer
  std::shared_ptr<const std::vector<item>> items; // the first ones
  std::vector<std::string> unwatched;
};

/// What a space's swarm is doing, for `harp status`.
struct swarm_report {
  std::shared_ptr<const std::vector<wait_line>> waits;
  size_t wanted = 0;
  uint64_t received_bytes = 0;
};

/// What became of (a part of) a request of the swarm: pieces that came and were verified, or its end.
struct fetch_news {
  std::shared_ptr<const fetch_report> report;
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
  CAF_ADD_TYPE_ID(harp, (harp::engine_order))
  CAF_ADD_TYPE_ID(harp, (harp::engine_verdict))
  CAF_ADD_TYPE_ID(harp, (harp::engine_told))
  CAF_ADD_TYPE_ID(harp, (harp::store_job))
  CAF_ADD_TYPE_ID(harp, (harp::actor_step))
  CAF_ADD_TYPE_ID(harp, (harp::member_link))
  CAF_ADD_TYPE_ID(harp, (harp::peer_note))
  CAF_ADD_TYPE_ID(harp, (harp::link_note))
  CAF_ADD_TYPE_ID(harp, (harp::dial_note))
  CAF_ADD_TYPE_ID(harp, (harp::lan_note))
  CAF_ADD_TYPE_ID(harp, (harp::peer_report))
  CAF_ADD_TYPE_ID(harp, (harp::made_bundles))
  CAF_ADD_TYPE_ID(harp, (harp::space_report))
  CAF_ADD_TYPE_ID(harp, (harp::changed_nodes))
  CAF_ADD_TYPE_ID(harp, (harp::content_wish))
  CAF_ADD_TYPE_ID(harp, (harp::content_here))
  CAF_ADD_TYPE_ID(harp, (harp::content_held))
  CAF_ADD_TYPE_ID(harp, (harp::swarm_report))
  CAF_ADD_TYPE_ID(harp, (harp::folder_report))
  CAF_ADD_TYPE_ID(harp, (harp::fetch_news))
  CAF_ADD_TYPE_ID(harp, (harp::snapshot_here))

  CAF_ADD_ATOM(harp, harp, user_atom, "user")         // who is this?
  CAF_ADD_ATOM(harp, harp, record_atom, "record")     // what is this app?
  CAF_ADD_ATOM(harp, harp, renew_atom, "renew")       // ask Nextcloud about an app whatever is known
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
  CAF_ADD_ATOM(harp, harp, carry_atom, "carry")       // a call for a container engine
  CAF_ADD_ATOM(harp, harp, pause_atom, "pause")       // a pause is over
  CAF_ADD_ATOM(harp, harp, limit_atom, "limit")       // the time of a call is over
  CAF_ADD_ATOM(harp, harp, roster_atom, "roster")     // a roster changed
  CAF_ADD_ATOM(harp, harp, scan_atom, "scan")         // look at the disk again
  CAF_ADD_ATOM(harp, harp, wake_atom, "wake")         // something that was waited for happened
  CAF_ADD_ATOM(harp, harp, peers_atom, "peers")       // which nodes are linked?
  CAF_ADD_ATOM(harp, harp, report_atom, "report")     // how is it?

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
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::engine_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::engine_verdict)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::engine_told)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::store_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::member_link)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::peer_note)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::made_bundles)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::space_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::changed_nodes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::content_wish)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::content_here)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::fetch_news)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::link_note)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::dial_note)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::lan_note)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::peer_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::content_held)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::snapshot_here)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::swarm_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::folder_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::actor_step)
