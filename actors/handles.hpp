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
  caf::replies_to<renew_atom, std::string>::with<record_answer>,   // The same, asked of Nextcloud now: its place has changed.
  caf::replies_to<caf::put_atom, record_answer>::with<bool>,       // Nextcloud pushed a record; true: kept.
  caf::replies_to<caf::delete_atom, std::string>::with<bool>,      // Nextcloud withdrew one; was it there?
  caf::reacts_to<caf::update_atom, std::string, bool>,             // Ask Nextcloud anew about a known app; true: it is open again.
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

/// Docker and Kubernetes engines: typed, allow-listed calls.
using engines_actor = caf::typed_actor<
  caf::replies_to<carry_atom, engine_order>::with<engine_verdict>, // Carry out a call; within engine_call_limit().
  caf::reacts_to<engine_told>,                                     // Net's answer to a request.
  caf::reacts_to<pause_atom, uint64_t>,                            // A conversation's pause is over.
  caf::reacts_to<limit_atom, uint64_t>>;                           // A call's time is over.

// -- storage plane ---------------------------------------------------------------------------------------------------------

/// Sole writer of every LMDB environment and pack of this node. Detached.
using store_actor = caf::typed_actor<
  caf::replies_to<store_job>::with<bool>,                          // Run it; an error is ec::store_failed with words.
  caf::reacts_to<caf::tick_atom>>;                                 // Copies, scrub, collection of garbage.

/// Cluster roster, links, node records: who is a member, who is reached, and where.
using cluster_actor = caf::typed_actor<
  caf::reacts_to<link_note>,                                       // A link came up or ended.
  caf::reacts_to<dial_note>,                                       // How dialling went.
  caf::reacts_to<lan_note>,                                        // Somebody was heard on the LAN.
  caf::replies_to<peer_note>::with<bool>,                          // Hello, HelloAck, Roster, Node, Recheck of a linked node.
  caf::reacts_to<roster_atom>,                                     // Rosters were changed here: tell everybody.
  caf::replies_to<peers_atom>::with<peer_report>,                  // Which nodes are there, and how are they reached?
  caf::reacts_to<caf::tick_atom>>;                                 // Dial, gossip, forget.

/// One per space: gate, heads, anti-entropy; a thin shell over storage/replicator.
using space_actor = caf::typed_actor<
  caf::reacts_to<member_link>,                                     // A member is linked, or gone.
  caf::replies_to<peer_note>::with<bool>,                          // Head, WantOps, Ops, Nack, Beat.
  caf::reacts_to<made_bundles>,                                    // The store committed bundles of this device.
  caf::reacts_to<snapshot_here>,                                   // A snapshot was fetched, or not.
  caf::replies_to<report_atom>::with<space_report>,                // How far is it?
  caf::reacts_to<roster_atom>,                                     // The roster of the space changed.
  caf::reacts_to<caf::tick_atom, uint64_t>>;                       // Time passed; the generation tells old ticks.

/// One per synced directory: watcher events in, planner out.
using folder_actor = caf::typed_actor<
  caf::reacts_to<wake_atom>,                                       // The watcher has something.
  caf::reacts_to<changed_nodes>,                                   // The fold changed rows.
  caf::reacts_to<content_here>,                                    // A wanted content is complete.
  caf::reacts_to<actor_step>,                                      // The pool has done its part.
  caf::reacts_to<scan_atom>,                                       // Scan all of it now.
  caf::replies_to<report_atom>::with<folder_report>,               // What is pending?
  caf::replies_to<release_atom, bool>::with<bool>,                 // Answer to a held burst: true lets it happen, false takes it back.
  caf::reacts_to<caf::tick_atom>>;

/// One per space: wants, sources, windows; drives storage/picker.
using swarm_actor = caf::typed_actor<
  caf::reacts_to<member_link>,                                     // A member is linked, or gone.
  caf::replies_to<peer_note>::with<bool>,                          // Have, HaveDelta, Safe.
  caf::reacts_to<content_wish>,                                    // What the folder wants brought.
  caf::reacts_to<content_held>,                                    // The folder placed contents: others may have them from here.
  caf::reacts_to<fetch_news>,                                      // What became of a request.
  caf::reacts_to<actor_step>,                                      // The rest of work that the pool did.
  caf::replies_to<report_atom>::with<swarm_report>,                // What is waited for?
  caf::reacts_to<caf::tick_atom, uint64_t>>;                       // Time passed; the generation tells old ticks.

} // namespace harp
