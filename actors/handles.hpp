// Every typed actor interface, one comment per handler: read this first.
#pragma once

#include "actors/messages.hpp"

#include <caf/typed_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace harp {

/// Shared key, user info asked of Nextcloud, failures and bans.
using gatekeeper_actor = caf::typed_actor<
  caf::replies_to<user_atom, user_question>::with<user_answer>,    // Who sends this cookie or password?
  caf::replies_to<login_atom, login_question>::with<login_grant>,  // May this frp client log in, and to do what?
  caf::replies_to<fail_atom, failure>::with<bool>,                 // Count a failure; true: it began a ban, which is published.
  caf::reacts_to<vouch_atom, failure>,                             // This peer brings valid signed calls: never ban it.
  caf::replies_to<bans_atom>::with<ban_report>,                    // Who is banned?
  caf::replies_to<lift_atom, std::string>::with<uint64_t>,         // Lift the ban of an address, or all (empty): how many?
  caf::reacts_to<fetched>,                                         // Nextcloud answered a look-up.
  caf::reacts_to<caf::tick_atom>>;                                 // Forget what is over.

/// Which app id and port is served by which tunnel or address; ExApp records.
using registry_actor = caf::typed_actor<
  caf::replies_to<record_atom, std::string>::with<record_answer>,  // What does Nextcloud say of this app?
  caf::replies_to<caf::put_atom, record_answer>::with<bool>,       // Nextcloud pushed a record; true: kept.
  caf::replies_to<caf::delete_atom, std::string>::with<bool>,      // Nextcloud withdrew one; was it there?
  caf::replies_to<open_atom, session_opening>::with<std::string>,  // A session logged in: its run id; an old one has ended.
  caf::replies_to<claim_atom, claim_question>::with<claim_result>, // A client wants a name and port.
  caf::reacts_to<running_atom, uint64_t, std::string>,             // The client knows: publish it.
  caf::reacts_to<release_atom, uint64_t, std::string>,             // CloseProxy.
  caf::reacts_to<closed_atom, uint64_t, std::string>,              // The session ended.
  caf::reacts_to<fetched>,                                         // Nextcloud answered a look-up.
  caf::reacts_to<caf::tick_atom>>;                                 // Revalidate records, forget negative answers.

/// One per logged-in frp client: is it alive, and its end.
using tunnel_actor = caf::typed_actor<
  caf::replies_to<alive_atom>::with<bool>,                         // Does the client answer within a second? If not it ends.
  caf::reacts_to<end_atom, std::string>,                           // End the session now.
  caf::reacts_to<probed>>;                                         // Net's answer to a probe.

} // namespace harp
