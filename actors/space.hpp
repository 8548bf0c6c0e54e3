// One space among its members: what they have, what is asked, what is applied. A thin shell over storage/replicator.
#pragma once

#include "actors/storage_plane.hpp"
#include "storage/replicator.hpp"
#include "storage/rows.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <memory>

namespace harp {

inline constexpr std::chrono::milliseconds space_tick_interval{100};
inline constexpr std::chrono::seconds space_idle_tick_interval{5};

struct space_settings {
  space_id id;
  replicator_start start;
  std::shared_ptr<const roster> rules;
  /// Told of nodes whose rows changed by others' bundles; may be empty.
  std::function<void(std::shared_ptr<const std::vector<local_id>>)> changed;
  /// Told of what people should know; may be empty.
  std::function<void(notice_code, std::string)> alert;
};

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
  void alert(notice_code code, const std::string& words) const;

  space_actor::pointer self_;
  std::shared_ptr<storage_plane> plane_;
  space_settings settings_;
  std::unique_ptr<replicator> core_;
  uint64_t tick_generation_ = 0;
  int64_t behind_counted_ = 0;
};

space_actor::behavior_type space(space_actor::stateful_pointer<space_state> self, std::shared_ptr<storage_plane> plane, space_settings settings);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::space_settings)
