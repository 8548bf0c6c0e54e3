// One space among its members: what they have, what is asked, what is applied. A thin shell over storage/replicator.
#pragma once

#include "actors/storage_plane.hpp"
#include "storage/replicator.hpp"
#include "storage/rows.hpp"
#include "storage/space_store.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>

namespace harp {

inline constexpr std::chrono::milliseconds space_tick_interval{100};
inline constexpr std::chrono::seconds space_idle_tick_interval{5};
inline constexpr uint64_t snapshot_every_ms_min = 2'000; // how often one is asked for

struct space_settings {
  space_id id;
  replicator_start start;
  std::shared_ptr<const roster> rules;
  std::chrono::milliseconds checkpoint_every{24 * 3600'000};  // zero: never
  uint64_t checkpoint_at_ms = 0;                              // the first one is not due before
  std::chrono::milliseconds active_for{static_cast<int64_t>(active_ms_default)};
  /// Told of nodes whose rows changed by others' bundles; `look`: the folder has to be scanned. May be empty.
  std::function<void(std::shared_ptr<const std::vector<local_id>>, bool look)> changed;
  /// Fetches a snapshot from this member; snapshot_here tells. May be empty.
  std::function<void(const device_key& from)> fetch_snapshot;
  /// A checkpoint cut this device's number: it has to enrol again. May be empty.
  std::function<void()> left_behind;
  /// Told of what people should know; may be empty.
  std::function<void(notice_code, std::string)> alert;
};

/// Where a replicator begins, as the store stands. The store's thread.
replicator_start start_of(const space_store& rows, const device_key& self, bool enforce_quota);

class space_state {
public:
  static inline const char* name = "harp.space";
  explicit space_state(space_actor::pointer self) : self_(self) {}
  ~space_state();
  space_actor::behavior_type start(std::shared_ptr<storage_plane> plane, space_settings settings);

private:
  void member(const member_link& fact);
  bool message(const peer_note& note);
  void made(const made_bundles& fresh);
  void snapshot(const snapshot_here& what);
  void rules_changed();
  space_report report() const;
  void tick();

  void run(replicator_effects effects);
  void carry_out(const send_effect& effect);
  void carry_out(const apply_effect& effect);
  void carry_out(const load_effect& effect);
  void carry_out(const compare_effect& effect);
  void carry_out(const equivocation_effect& effect);
  void carry_out(const refused_effect& effect);
  void carry_out(const clock_ahead_effect& effect);
  void carry_out(const state_differs_effect& effect);
  void carry_out(const beat_effect& effect);
  void carry_out(const keep_beat_effect& effect);
  void arm();
  void count(const std::vector<bundle_ptr>& bundles);
  // space_life.cpp
  void settle_change(const applied_result& after, const space_change& change);
  void note_head(const device_key& from, replica_id rid, const head_message& head);
  void check_acks();
  void check_checkpoint();
  void ask_snapshot(const device_key& from);
  void begin_anew(replicator_start start);
  void check_served();
  void alert(notice_code code, const std::string& words) const;

  space_actor::pointer self_;
  std::shared_ptr<storage_plane> plane_;
  space_settings settings_;
  std::unique_ptr<replicator> core_;
  uint64_t tick_generation_ = 0;
  int64_t behind_counted_ = 0;
  struct member_state {
    replica_id rid = 0;
    head_message head; // as told so far
    bool told = false;
    bool served = false; // the core knows of it: lease and time of its entry allow that
  };
  std::map<device_key, member_state> linked_;
  dot checkpoint_;                    // newest applied here
  std::map<replica_id, dot> acked_;   // told the store
  uint64_t checkpoint_at_ms_ = 0;     // when the next one is due
  bool issuing_ = false;
  bool importing_ = false;            // nothing reaches the core meanwhile
  uint64_t snapshot_again_ms_ = 0;
};

space_actor::behavior_type space(space_actor::stateful_pointer<space_state> self, std::shared_ptr<storage_plane> plane, space_settings settings);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::space_settings)
