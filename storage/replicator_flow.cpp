// What a replicator does after every input: heads, questions, answers, batches for the store.
#include "storage/replicator.hpp"

#include <algorithm>

namespace harp {

/// Every input ends here: whatever has become possible is done at once.
replicator_effects replicator::done(uint64_t now_ms) {
  take_gate_events();
  submit(now_ms);
  ask(now_ms);
  tell_heads(now_ms);
  return std::exchange(out_, {});
}

void replicator::send(const device_key& to, peer_message message) {
  out_.push_back(send_effect{to, std::move(message)});
}

// -- heads and rosters ---------------------------------------------------------------------------

bool replicator::wants_head(const peer_state& p) const {
  return p.told_change != changes_;
}

void replicator::tell_heads(uint64_t now_ms) {
  for (auto& [to, p] : peers_) {
    if (now_ms >= p.head_at_ms + head_every_ms_min && wants_head(p))
      tell_head(now_ms, to, p, false);
  }
}

/// The first Head of a link, and one with the state root, is complete; others name what changed.
void replicator::tell_head(uint64_t now_ms, const device_key& to, peer_state& p, bool with_root) {
  head_message m;
  m.space = rules_->space();
  m.complete = with_root && vv_.size() <= head_replicas_max;
  m.roster_version = rules_->version();
  m.checkpoint = checkpoint_;
  for (const auto& [rid, head] : applied_)
    m.hlc = std::max(m.hlc, head.hlc);
  if (m.complete) {
    m.vv = vv_;
    m.state_root = in_apply_.empty() ? state_root_ : digest256{};
  } else {
    for (const auto& [rid, head] : applied_) {
      auto told = p.told.find(rid);
      if (head.seq != (told == p.told.end() ? 0 : told->second) && m.vv.size() < head_replicas_max)
        m.vv[rid] = head.seq;
    }
  }
  for (const auto& [rid, seq] : m.vv)
    p.told[rid] = seq;
  // What did not fit is still untold, so the next Head brings it.
  p.told_change = m.vv.size() < head_replicas_max ? changes_ : 0;
  if (m.complete)
    p.told = vv_;
  if (with_root)
    p.root_at_ms = now_ms;
  p.head_at_ms = now_ms;
  send(to, std::move(m));
}

/// A complete Head (a new link, an actor that has just started) tells what the peer did not hear of ours: it is told again.
void replicator::retell(peer_state& p, const head_message& m) {
  auto heard = [&](replica_id rid) {
    auto found = m.vv.find(rid);
    return found == m.vv.end() ? 0 : found->second;
  };
  bool missed = m.roster_version > rules_->version(); // it sends entries to those whose version it knows
  for (auto& [rid, seq] : p.told) {
    missed |= heard(rid) < seq;
    seq = std::min(seq, heard(rid));
  }
  if (missed)
    p.told_change = 0;
}

/// Entries the peer lacks, by what its Head said; it asks on with its next Head.
void replicator::tell_roster(const device_key& to, peer_state& p) {
  bool lacks
      = p.told_us && p.roster_version < rules_->version() && p.roster_sent <= p.roster_version;
  bool renew = p.told_us && p.lease_sent < rules_->leased_until();
  if (!lacks && !renew)
    return;
  roster_message m;
  m.space = rules_->space();
  m.entries = rules_->entries_from((lacks ? p.roster_version : rules_->version()) + 1,
                                   roster_message_bytes_max);
  if (m.entries.size() > roster_message_entries_max)
    m.entries.resize(roster_message_entries_max);
  if (lacks)
    p.roster_sent = std::min<uint64_t>(p.roster_version + m.entries.size(), rules_->version());
  p.lease_sent = rules_->leased_until();
  if (!m.entries.empty())
    send(to, std::move(m));
}

/// Only a complete Head carries a root. It says something only when both sides stand at the same set of bundles.
void replicator::compare_root(const device_key& peer, const head_message& m) {
  if (!m.complete || m.state_root.is_zero() || state_root_.is_zero()
      || m.roster_version != rules_->version() || m.vv != vv_ || m.checkpoint != checkpoint_
      || !in_apply_.empty())
    return;
  if (m.state_root != state_root_)
    out_.push_back(state_differs_effect{peer, state_root_, m.state_root});
}

// -- asking --------------------------------------------------------------------------------------

void replicator::ask(uint64_t now_ms) {
  if (!ask_again_ || gate_.ready_bytes() > ready_bytes_max)
    return;
  ask_again_ = false;
  std::map<device_key, std::vector<op_range>> questions;
  std::map<replica_id, std::vector<device_key>> sources;
  for (const auto& [peer, p] : peers_) {
    if (p.no_room_until_ms != 0)
      continue;
    for (const auto& [rid, seq] : p.there) {
      if (seq > gate_.passed(rid) && !asked_of_.contains(rid) && p.wants.count() < want_ranges_max)
        sources[rid].push_back(peer);
    }
  }
  for (const auto& [rid, who] : sources)
    ask_for(rid, who, questions);
  for (auto& [peer, p] : peers_) {
    auto ranges = questions.find(peer);
    auto credit = p.wants.top_up(now_ms);
    if (ranges == questions.end() && credit == 0)
      continue;
    want_ops_message m;
    m.space = rules_->space();
    m.credit_bytes = static_cast<uint64_t>(credit);
    if (ranges != questions.end())
      m.ranges = std::move(ranges->second);
    send(peer, std::move(m));
  }
}

/// The source that owes least is asked, slow ones last.
void replicator::ask_for(replica_id rid, const std::vector<device_key>& who,
                         std::map<device_key, std::vector<op_range>>& questions) {
  auto rank = [&](const device_key& peer) {
    const auto& p = peers_.at(peer);
    return std::pair{p.is_slow, p.wants.count()};
  };
  auto best = *std::min_element(who.begin(), who.end(),
                                [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  auto& p = peers_.at(best);
  // One range at a time: what lies behind a parked bundle is asked for when the gap before it is closed.
  auto ranges = gate_.missing(rid, p.there.at(rid), 1);
  if (ranges.empty())
    return;
  p.wants.add(ranges.front());
  asked_of_[rid] = best;
  questions[best].push_back(ranges.front());
}

void replicator::give_up_late(uint64_t now_ms) {
  for (auto& [peer, p] : peers_) {
    if (now_ms < p.wants.late_at().value_or(UINT64_MAX))
      continue;
    ask_again_ = true;
    p.wants.give_up();
    p.is_slow = true;
    std::erase_if(asked_of_, [&](const auto& asked) { return asked.second == peer; });
  }
}

// -- answering -----------------------------------------------------------------------------------

void replicator::serve(const device_key& to, peer_state& p) {
  auto ranges = p.debts.next_load();
  if (!ranges.empty())
    out_.push_back(load_effect{to, std::move(ranges), load_bytes_max});
}

/// Own bundles go to everybody who has, or was just sent, the one before.
void replicator::push_own(const std::vector<bundle_ptr>& bundles) {
  for (auto& [to, p] : peers_) {
    ops_message m{rules_->space(), false, {}};
    size_t bytes = 0;
    for (const auto& b : bundles) {
      auto at = b->content.id();
      size_t size = b->raw.size();
      auto known = p.there.find(at.rid);
      auto has = known == p.there.end() ? 0 : known->second;
      bool follows = p.told_us && std::max(p.pushed_up_to, has) + 1 == at.seq;
      if (!follows || p.pushed_bytes + size > pushed_bytes_max)
        continue; // its Head and ours bring it in time
      if (!m.bundles.empty() && bytes + size > ops_answer_bytes_max) {
        send(to, std::exchange(m, {rules_->space(), false, {}}));
        bytes = 0;
      }
      m.bundles.push_back(b->raw);
      bytes += size;
      p.pushed.emplace_back(at, size);
      p.pushed_bytes += size;
      p.pushed_up_to = at.seq;
    }
    if (!m.bundles.empty())
      send(to, std::move(m));
  }
}

// -- applying ------------------------------------------------------------------------------------

void replicator::submit(uint64_t now_ms) {
  if (!in_apply_.empty() || now_ms < apply_again_at_ms_)
    return;
  in_apply_ = gate_.take_ready(submit_ops_max);
  if (!in_apply_.empty())
    out_.push_back(apply_effect{in_apply_});
}

void replicator::take_gate_events() {
  for (auto& event : gate_.take_events()) {
    auto at = event.found->content.id();
    switch (event.what) {
    case gate_event::kind::nack:
      if (event.code == nack_code::clock)
        out_.push_back(clock_ahead_effect{at, event.found->content.hlc});
      if (peers_.contains(event.from))
        send(event.from, nack_message{rules_->space(), at.rid, at.seq, event.code});
      break;
    case gate_event::kind::compare:
      out_.push_back(compare_effect{event.from, event.found});
      break;
    case gate_event::kind::conflict:
      report_conflict(event.found, event.other, event.from);
    }
  }
}

/// Tells the owner, and shows everybody the bundle that the other chain does not have, so that all find out.
void replicator::report_conflict(const bundle_ptr& found, const bundle_ptr& other,
                                 const device_key& from) {
  out_.push_back(equivocation_effect{found, other});
  for (const auto& [to, p] : peers_) {
    ops_message proof{rules_->space(), false, {}};
    if (to != from)
      proof.bundles.push_back(found->raw);
    if (other != nullptr)
      proof.bundles.push_back(other->raw);
    if (!proof.bundles.empty())
      send(to, std::move(proof));
  }
}

// -- time ----------------------------------------------------------------------------------------

void replicator::promote_beats() {
  for (const auto& [rid, beat] : beats_) {
    bool covered = beat.seq <= applied_seq(rid);
    auto known = covered_beats_.find(rid);
    if (!covered || (known != covered_beats_.end() && known->second.hlc >= beat.hlc))
      continue;
    covered_beats_[rid] = beat;
    out_.push_back(keep_beat_effect{beat});
  }
}

std::optional<uint64_t> replicator::due() const {
  std::optional<uint64_t> out = gate_.due();
  auto at = [&](uint64_t ms) { out = std::min(out.value_or(UINT64_MAX), ms); };
  if (self_ != 0 && has_own_chain())
    at(beat_at_ms_ + beat_every_ms);
  if (gate_.has_ready() && in_apply_.empty())
    at(apply_again_at_ms_);
  for (const auto& [peer, p] : peers_) {
    if (wants_head(p))
      at(p.head_at_ms + head_every_ms_min);
    if (auto late = p.wants.late_at())
      at(*late);
    if (p.no_room_until_ms != 0)
      at(p.no_room_until_ms);
    if (stands_equal(p))
      at(p.root_at_ms + root_compare_every_ms);
  }
  return out;
}

} // namespace harp
