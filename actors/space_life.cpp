// The long life of one space among its members: checkpoints, who has them, snapshots instead of old bundles (storage.md 5.4).
#include "actors/space.hpp"

#include "net/log.hpp"
#include "storage/node_store.hpp"

#include <algorithm>
#include <fstream>

namespace harp {

using net::log_level;

namespace {

/// Pieces of a fetched snapshot, from the start when asked.
piece_source pieces_in(const std::string& file) {
  auto in = std::make_shared<std::ifstream>();
  return [in, file](bool first, std::string& piece) {
    if (first)
      *in = std::ifstream{file, std::ios::binary};
    uint32_t size = 0;
    if (!in->read(reinterpret_cast<char*>(&size), sizeof size) || size > data_payload_bytes_max)
      return false;
    piece.resize(size);
    return static_cast<bool>(in->read(piece.data(), size));
  };
}

struct import_outcome {
  std::string words; // why it was not taken
  std::shared_ptr<space_change> change;
  std::shared_ptr<replicator_start> start;
};

} // namespace

/// What a transaction led to beside the operations themselves.
void space_state::settle_change(const applied_result& after, const space_change& change) {
  checkpoint_ = after.checkpoint;
  for (const auto& [rid, seq] : change.cuts)
    run(core_->checkpoint_cut(plane_->now_ms(), rid, seq));
  if (!change.made.empty())
    made({std::make_shared<const std::vector<bundle_ptr>>(change.made), after.state_root, after.checkpoint});
  if (settings_.changed && (!change.touched.empty() || change.look_anew))
    settings_.changed(std::make_shared<const std::vector<local_id>>(change.touched), change.look_anew);
  if (change.checkpoint_refused)
    alert(notice_code::state_differs, "a checkpoint does not say what this device computes; it was not followed; run `harp repair` here and on the keeper, and report this line");
  if (change.checkpoint_applied) {
    net::log(log_level::info, "HARP-O004", "ops", "history was agreed up to a checkpoint", {{"space", settings_.id.to_string()}, {"rid", static_cast<uint64_t>(checkpoint_.rid)}, {"seq", checkpoint_.seq}, {"cut", change.cuts.size()}});
    check_acks();
    bool own = settings_.rules && std::any_of(change.cuts.begin(), change.cuts.end(), [this](const auto& one) {
      auto rules = plane_->rosters->of(settings_.id);
      return rules && rules->rid_of(plane_->self) == one.first;
    });
    if (own && settings_.left_behind)
      settings_.left_behind();
  }
}

// -- checkpoints -------------------------------------------------------------------------------------------------------------

/// Heads name what changed: together they say how a member stands.
void space_state::note_head(const device_key& from, replica_id rid, const head_message& head) {
  auto found = linked_.find(from);
  if (found == linked_.end())
    return;
  auto& known = found->second;
  if (rid != 0)
    known.rid = rid;
  auto vv = head.complete ? version_vector{} : std::move(known.head.vv);
  for (const auto& [author, seq] : head.vv)
    vv[author] = seq;
  known.head = head;
  known.head.vv = std::move(vv);
  known.head.complete = true;
  known.head.state_root = {}; // of then, not of now
  known.told = true;
  check_acks();
}

/// Once everybody who counts has the newest checkpoint, the log behind it goes.
void space_state::check_acks() {
  if (checkpoint_.rid == 0)
    return;
  std::vector<replica_id> fresh;
  auto note = [&](replica_id rid) {
    if (rid != 0 && acked_[rid] != checkpoint_) {
      acked_[rid] = checkpoint_;
      fresh.push_back(rid);
    }
  };
  for (const auto& [device, member] : linked_)
    if (member.told && member.head.checkpoint == checkpoint_)
      note(member.rid);
  if (auto rules = plane_->rosters->of(settings_.id))
    note(rules->rid_of(plane_->self));
  if (fresh.empty())
    return;
  auto id = settings_.id;
  in_store(
    self_, plane_->store,
    [id, fresh, at = checkpoint_](node_store& all) {
      auto* space = all.find(id);
      bool all_have = false;
      for (auto rid : fresh)
        all_have = space != nullptr && space->note_ack(rid, at);
      return all_have ? space->drop_log() : size_t{0};
    },
    [id](size_t gone) {
      if (gone > 0)
        net::log(log_level::info, "HARP-O005", "ops", "segments of the log were dropped behind a checkpoint", {{"space", id.to_string()}, {"segments", gone}});
    },
    [](caf::error&) {});
}

void space_state::check_checkpoint() {
  auto now = plane_->now_ms();
  if (settings_.checkpoint_every.count() <= 0 || issuing_ || now < checkpoint_at_ms_)
    return;
  auto rules = plane_->rosters->of(settings_.id);
  if (!rules || rules->checkpointer() == 0 || rules->checkpointer() != rules->rid_of(plane_->self) || !core_->has_own_chain())
    return;
  checkpoint_at_ms_ = now + static_cast<uint64_t>(settings_.checkpoint_every.count());
  issuing_ = true;
  std::vector<replica_id> linked;
  for (const auto& [device, member] : linked_)
    linked.push_back(member.rid);
  auto id = settings_.id;
  auto active_ms = static_cast<uint64_t>(settings_.active_for.count());
  in_store(
    self_, plane_->store,
    [id, now, linked, active_ms](node_store& all) {
      std::shared_ptr<space_change> change;
      applied_result after;
      if (auto* space = all.find(id)) {
        if (auto done = space->issue_checkpoint(now, linked, active_ms))
          change = std::make_shared<space_change>(std::move(*done));
        after.state_root = space->state_root();
        after.checkpoint = space->checkpoint();
      }
      return std::pair{after, change};
    },
    [this](std::pair<applied_result, std::shared_ptr<space_change>>& done) {
      issuing_ = false;
      if (done.second && !importing_)
        settle_change(done.first, *done.second);
    },
    [this](caf::error&) { issuing_ = false; });
}

// -- snapshots ---------------------------------------------------------------------------------------------------------------

/// A member's log does not reach back to what this node lacks.
void space_state::ask_snapshot(const device_key& from) {
  auto now = plane_->now_ms();
  if (!settings_.fetch_snapshot || now < snapshot_again_ms_ || importing_)
    return;
  snapshot_again_ms_ = now + snapshot_every_ms_min;
  settings_.fetch_snapshot(from);
}

void space_state::snapshot(const snapshot_here& what) {
  snapshot_again_ms_ = plane_->now_ms() + snapshot_every_ms_min;
  if (what.file.empty()) {
    net::log(log_level::warn, "HARP-O006", "ops", "a snapshot did not come", {{"peer", what.from.to_string().substr(0, 16)}, {"cause", what.words}, {"next", "nothing: it is asked for again"}});
    return;
  }
  importing_ = true;
  auto id = settings_.id;
  auto now = plane_->now_ms();
  auto self = plane_->self;
  auto quota = settings_.start.enforce_quota;
  in_store(
    self_, plane_->store,
    [id, now, self, quota, what](node_store& all) {
      import_outcome out;
      auto* space = all.find(id);
      auto decoded = decode_bundle(what.checkpoint);
      auto* sealed = std::get_if<sealed_bundle>(&decoded);
      auto members = space != nullptr ? space->members() : nullptr;
      const auto* author = members && sealed != nullptr ? members->member(sealed->content.rid) : nullptr;
      if (author == nullptr || sealed->content.space != id || !verify_bundle(*sealed, author->device)) {
        out.words = "its checkpoint is not signed by a member that is known here";
        return out;
      }
      auto taken = space->take_snapshot(*sealed, pieces_in(what.file), now);
      if (auto* why = std::get_if<std::string>(&taken)) {
        out.words = *why;
        return out;
      }
      out.change = std::make_shared<space_change>(std::move(std::get<space_change>(taken)));
      out.start = std::make_shared<replicator_start>(start_of(*space, self, quota));
      return out;
    },
    [this, what](import_outcome& done) {
      importing_ = false;
      std::remove(what.file.c_str());
      if (!done.words.empty()) {
        net::log(log_level::warn, "HARP-O006", "ops", "a snapshot was not taken", {{"peer", what.from.to_string().substr(0, 16)}, {"cause", done.words}, {"next", "nothing: another is asked for when it is needed"}});
        run(core_->tick(plane_->now_ms()));
        return;
      }
      auto after = applied_result{true, done.start->state_root, done.start->checkpoint};
      net::log(log_level::info, "HARP-O008", "ops", "a snapshot was taken instead of old operations", {{"space", settings_.id.to_string()}, {"peer", what.from.to_string().substr(0, 16)}});
      begin_anew(std::move(*done.start));
      auto change = *done.change;
      change.made.clear(); // the new core began with them
      settle_change(after, change);
    },
    [this, what](caf::error&) {
      importing_ = false;
      std::remove(what.file.c_str());
    });
}

/// Behind the lease and its grace only the same user's devices are served (storage.md 5.3); whose time is over is not.
void space_state::check_served() {
  auto now = plane_->now_ms();
  for (auto& [device, member] : linked_) {
    bool serves = plane_->serves(settings_.id, device);
    if (serves == member.served)
      continue;
    member.served = serves;
    net::log(log_level::warn, "HARP-O007", "ops", serves ? "a member is served again" : "a member is no longer served",
             {{"peer", device.to_string().substr(0, 16)}, {"cause", serves ? "the governor vouched for the members" : "the governor has not vouched for the members for too long, or its entry has ended"}, {"next", serves ? "" : "bring the governor's node back"}});
    run(serves ? core_->peer_up(now, device) : core_->peer_down(now, device));
    if (serves && member.told)
      run(core_->head(now, device, member.head));
  }
}

/// Another core, that starts where the store stands now and knows of the members what they told the one before.
void space_state::begin_anew(replicator_start start) {
  auto rules = plane_->rosters->of(settings_.id);
  core_ = std::make_unique<replicator>(rules ? rules : settings_.rules, std::move(start));
  auto now = plane_->now_ms();
  for (const auto& [device, member] : linked_) {
    if (member.served)
      run(core_->peer_up(now, device));
    if (member.served && member.told)
      run(core_->head(now, device, member.head));
  }
}

replicator_start start_of(const space_store& rows, const device_key& self, bool enforce_quota) {
  replicator_start out;
  out.device = self;
  out.applied = rows.heads();
  out.state_root = rows.state_root();
  out.checkpoint = rows.checkpoint();
  out.beats = rows.beats();
  out.enforce_quota = enforce_quota;
  out.cuts = rows.cuts();
  return out;
}

} // namespace harp
