#include "actors/space.hpp"

#include "net/log.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

std::string shown(const device_key& device) {
  return device.to_string().substr(0, 16);
}

} // namespace

space_actor::behavior_type space(space_actor::stateful_pointer<space_state> self, std::shared_ptr<storage_plane> plane, space_settings settings) {
  return self->state.start(std::move(plane), std::move(settings));
}

space_actor::behavior_type space_state::start(std::shared_ptr<storage_plane> plane, space_settings settings) {
  plane_ = std::move(plane);
  settings_ = std::move(settings);
  checkpoint_ = settings_.start.checkpoint;
  checkpoint_at_ms_ = settings_.checkpoint_at_ms;
  core_ = std::make_unique<replicator>(settings_.rules, std::move(settings_.start));
  arm();
  return {
    [this](const member_link& fact) { member(fact); },
    [this](const peer_note& note) { return message(note); },
    [this](const made_bundles& fresh) { made(fresh); },
    [this](const snapshot_here& what) { snapshot(what); },
    [this](report_atom) { return report(); },
    [this](roster_atom) { rules_changed(); },
    [this](caf::tick_atom, uint64_t generation) {
      if (generation == tick_generation_)
        tick();
    },
  };
}

void space_state::member(const member_link& fact) {
  auto now = plane_->now_ms();
  linked_.erase(fact.device); // a new link begins from nothing
  bool served = fact.up && plane_->serves(settings_.id, fact.device);
  if (fact.up) {
    auto& known = linked_[fact.device];
    known.rid = fact.rid;
    known.served = served;
  }
  if (importing_)
    return;
  run(served ? core_->peer_up(now, fact.device) : core_->peer_down(now, fact.device));
}

bool space_state::message(const peer_note& note) {
  auto now = plane_->now_ms();
  auto* head = std::get_if<head_message>(note.what.get());
  if (head != nullptr)
    note_head(note.from, note.rid, *head);
  if (importing_)
    return true; // what matters is asked for again afterwards
  if (head != nullptr)
    run(core_->head(now, note.from, *head));
  else if (auto* want = std::get_if<want_ops_message>(note.what.get()))
    run(core_->want_ops(now, note.from, *want));
  else if (auto* nack = std::get_if<nack_message>(note.what.get()))
    run(core_->nack(now, note.from, *nack));
  else if (auto* beat = std::get_if<beat_message>(note.what.get()))
    run(core_->beat(now, note.from, beat->beat));
  else if (auto* ops = std::get_if<ops_message>(note.what.get())) {
    size_t bytes = 0;
    for (const auto& raw : ops->bundles)
      bytes += raw.size();
    run(core_->ops(now, note.from, *note.bundles, bytes, ops->answer));
  }
  return true;
}

void space_state::made(const made_bundles& fresh) {
  if (importing_)
    return; // they are in the log: the new core knows them
  applied_result after;
  after.state_root = fresh.state_root;
  after.checkpoint = fresh.checkpoint;
  count(*fresh.list);
  run(core_->local(plane_->now_ms(), *fresh.list, after));
}

void space_state::rules_changed() {
  if (auto rules = plane_->rosters->of(settings_.id); rules && !importing_)
    run(core_->roster_changed(plane_->now_ms(), std::move(rules)));
}

space_report space_state::report() const {
  space_report out;
  out.behind = core_->behind();
  out.idle = core_->is_idle();
  out.peers = std::make_shared<const std::vector<device_key>>(core_->peers());
  uint64_t settled = UINT64_MAX;
  for (const auto& [rid, beat] : core_->covered_beats())
    settled = std::min(settled, beat.hlc);
  out.settled = settled == UINT64_MAX ? 0 : settled;
  return out;
}

void space_state::tick() {
  if (importing_)
    return arm();
  check_served();
  check_checkpoint();
  run(core_->tick(plane_->now_ms()));
  auto behind = static_cast<int64_t>(core_->behind());
  plane_->counts.ops_pending += behind - std::exchange(behind_counted_, behind);
}

space_state::~space_state() {
  if (plane_)
    plane_->counts.ops_pending -= behind_counted_;
}

void space_state::count(const std::vector<bundle_ptr>& bundles) {
  for (const auto& one : bundles)
    plane_->counts.ops += one->content.ops.size();
}

/// The next tick when the core has something to do then; never later than the idle interval, as peers may have moved the clock.
void space_state::arm() {
  auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(space_idle_tick_interval);
  if (auto due = core_->due()) {
    auto now = plane_->now_ms();
    auto left = std::chrono::milliseconds{*due > now ? *due - now : 0};
    wait = std::clamp(left, std::chrono::milliseconds{1}, wait);
  }
  if (settings_.checkpoint_every.count() > 0)
    wait = std::min(wait, std::max(settings_.checkpoint_every, std::chrono::milliseconds{100}));
  self_->delayed_send(self_, wait, caf::tick_atom_v, ++tick_generation_);
}

// -- effects ---------------------------------------------------------------------------------------------------------------

void space_state::run(replicator_effects effects) {
  for (const auto& effect : effects)
    std::visit([this](const auto& one) { carry_out(one); }, effect);
  arm();
}

void space_state::carry_out(const send_effect& effect) {
  plane_->links->send(effect.to, effect.message);
}

void space_state::carry_out(const apply_effect& effect) {
  auto id = settings_.id;
  auto now = plane_->now_ms();
  in_store(
    self_, plane_->store,
    [id, now, bundles = effect.bundles](node_store& all) {
      applied_result result;
      auto* space = all.find(id);
      if (space == nullptr)
        throw storage_failure{ENOENT, "the space is not held any more"};
      auto change = std::make_shared<space_change>(space->apply(bundles, now));
      result.done = change->taken.size() == bundles.size();
      result.state_root = space->state_root();
      result.checkpoint = space->checkpoint();
      return std::pair{result, change};
    },
    [this](std::pair<applied_result, std::shared_ptr<space_change>>& done) {
      count(done.second->taken);
      run(core_->applied(plane_->now_ms(), done.first));
      settle_change(done.first, *done.second);
    },
    [this](caf::error&) {
      applied_result result;
      result.done = false;
      run(core_->applied(plane_->now_ms(), result));
    });
}

void space_state::carry_out(const load_effect& effect) {
  auto id = settings_.id;
  in_store(
    self_, plane_->store,
    [id, effect](node_store& all) {
      std::vector<std::string> raws;
      auto* space = all.find(id);
      bool gap = false;
      size_t bytes = 0;
      for (const auto& range : effect.ranges) {
        if (space == nullptr || bytes >= effect.bytes_max)
          break;
        for (auto& raw : space->load(range, effect.bytes_max - bytes)) {
          bytes += raw.size();
          raws.push_back(std::move(raw));
        }
      }
      if (space != nullptr && raws.empty())
        gap = std::any_of(effect.ranges.begin(), effect.ranges.end(), [space](const op_range& range) { return space->has_gap(range); });
      return std::pair{std::move(raws), gap};
    },
    [this, effect](std::pair<std::vector<std::string>, bool>& found) { run(core_->loaded(plane_->now_ms(), effect, std::move(found.first), found.second)); },
    [this, effect](caf::error&) { run(core_->loaded(plane_->now_ms(), effect, {})); });
}

void space_state::carry_out(const compare_effect& effect) {
  auto id = settings_.id;
  in_store(
    self_, plane_->store,
    [id, effect](node_store& all) {
      auto* space = all.find(id);
      auto known = space != nullptr ? space->find_bundle(effect.found->content.id()) : nullptr;
      return known && known->hash != effect.found->hash;
    },
    [this, effect](bool differs) {
      if (differs)
        run(core_->equivocated(plane_->now_ms(), effect));
    },
    [](caf::error&) {});
}

void space_state::carry_out(const equivocation_effect& effect) {
  alert(notice_code::equivocation, "replica " + std::to_string(effect.found->content.rid) + " signed two bundles with number "
                                     + std::to_string(effect.found->content.seq) + "; it is frozen until the governor revokes or clears it");
}

void space_state::carry_out(const refused_effect& effect) {
  if (effect.code == nack_code::rebase)
    return ask_snapshot(effect.by);
  net::log(log_level::warn, "HARP-O001", "ops", "a peer did not take bundles of this device",
           {{"peer", shown(effect.by)}, {"code", static_cast<int>(effect.code)}, {"cause", "its rules differ: role, quota or clock"}, {"next", "compare `harp member ls` and the clocks of both nodes"}});
}

void space_state::carry_out(const clock_ahead_effect& effect) {
  alert(notice_code::clock_ahead, "changes of replica " + std::to_string(effect.at.rid) + " are stamped more than five minutes ahead; they are held back until then");
}

void space_state::carry_out(const state_differs_effect& effect) {
  alert(notice_code::state_differs, "equal operations led to another state than on " + shown(effect.peer) + "; run `harp repair` on both and report this line");
  net::log(log_level::error, "HARP-O002", "ops", "two nodes with equal operations differ",
           {{"peer", shown(effect.peer)}, {"here", effect.here.to_string()}, {"there", effect.there.to_string()}, {"cause", "a defect of Harp"}, {"next", "run `harp repair` on both and report this line"}});
}

void space_state::carry_out(const beat_effect&) {
  auto id = settings_.id;
  auto now = plane_->now_ms();
  in_store(
    self_, plane_->store,
    [id, now](node_store& all) -> std::optional<signed_beat> {
      auto* space = all.find(id);
      return space != nullptr ? space->make_beat(now) : std::nullopt;
    },
    [this](std::optional<signed_beat>& beat) {
      if (beat)
        run(core_->own_beat(plane_->now_ms(), *beat));
    },
    [](caf::error&) {});
}

void space_state::carry_out(const keep_beat_effect& effect) {
  auto id = settings_.id;
  in_store(
    self_, plane_->store,
    [id, beat = effect.beat](node_store& all) {
      if (auto* space = all.find(id))
        space->keep_beat(beat);
      return true;
    },
    [](bool) {}, [](caf::error&) {});
}

void space_state::alert(notice_code code, const std::string& words) const {
  net::log(log_level::warn, "HARP-O003", "ops", words, {{"cause", "see the message"}, {"next", "see `harp notices`"}});
  if (settings_.alert)
    settings_.alert(code, words);
}

} // namespace harp
