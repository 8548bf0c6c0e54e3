// Inputs of the owner and of peers: what was applied, what others have, what they want.
#include "storage/replicator.hpp"

#include <algorithm>

namespace harp {

replicator::replicator(roster_ptr rules, replicator_start start)
    : rules_(std::move(rules)), device_(start.device), self_(rules_->rid_of(start.device)),
      gate_(rules_, self_, start.applied, start.cuts, start.enforce_quota),
      applied_(std::move(start.applied)), state_root_(start.state_root),
      checkpoint_(start.checkpoint) {
  for (const auto& [rid, head] : applied_)
    vv_[rid] = head.seq;
  for (const auto& b : start.beats)
    beats_[b.rid] = b;
  promote_beats();
}

// -- links ---------------------------------------------------------------------------------------

replicator_effects replicator::peer_up(uint64_t now_ms, const device_key& peer) {
  if (!is_member(peer) || peer == device_)
    return {};
  forget(peer); // a new link begins from nothing
  tell_head(now_ms, peer, peers_[peer], true);
  for (const auto& [rid, beat] : beats_)
    send(peer, beat_message{beat});
  return done(now_ms);
}

replicator_effects replicator::peer_down(uint64_t now_ms, const device_key& peer) {
  forget(peer);
  return done(now_ms);
}

void replicator::forget(const device_key& peer) {
  peers_.erase(peer);
  std::erase_if(asked_of_, [&](const auto& asked) { return asked.second == peer; });
  ask_again_ = true;
}

// -- messages of a peer --------------------------------------------------------------------------

replicator_effects replicator::head(uint64_t now_ms, const device_key& peer,
                                    const head_message& m) {
  auto* p = find(peer);
  if (p == nullptr)
    return {};
  if (m.complete) {
    p->there.clear();
    retell(*p, m);
  }
  for (const auto& [rid, seq] : m.vv)
    p->there[rid] = seq;
  std::erase_if(p->there, [](const auto& entry) { return entry.second == 0; });
  p->told_us = true;
  p->roster_version = m.roster_version;
  if (auto own = p->there.find(self_); own != p->there.end()) {
    for (; !p->pushed.empty() && p->pushed.front().first.seq <= own->second; p->pushed.pop_front())
      p->pushed_bytes -= p->pushed.front().second;
    p->pushed_up_to = std::max(p->pushed_up_to, own->second);
  }
  ask_again_ = true;
  tell_roster(peer, *p);
  compare_root(peer, m);
  return done(now_ms);
}

replicator_effects replicator::want_ops(uint64_t now_ms, const device_key& peer,
                                        const want_ops_message& m) {
  auto* p = find(peer);
  if (p == nullptr || !p->debts.add(m))
    return {};
  serve(peer, *p);
  return done(now_ms);
}

replicator_effects replicator::ops(uint64_t now_ms, const device_key& peer,
                                   const std::vector<bundle_ptr>& bundles, size_t bytes,
                                   bool answer) {
  auto* p = find(peer);
  if (p == nullptr)
    return {};
  p->is_slow = false;
  if (answer)
    p->wants.spent(bytes, now_ms);
  for (const auto& b : bundles) {
    auto at = b->content.id();
    if (p->wants.came(at, answer))
      asked_of_.erase(at.rid);
    p->there[at.rid] = std::max(p->there[at.rid], at.seq);
    if (!gate_.offer(b, peer, now_ms))
      p->no_room_until_ms = now_ms + no_room_wait_ms;
  }
  ask_again_ = true;
  return done(now_ms);
}

replicator_effects replicator::nack(uint64_t now_ms, const device_key& peer,
                                    const nack_message& m) {
  auto* p = find(peer);
  if (p == nullptr)
    return {};
  // Others' bundles are their authors' matter; rebase means that this node is too far behind for the log.
  if (m.code == nack_code::rebase || (self_ != 0 && m.rid == self_))
    out_.push_back(refused_effect{peer, {m.rid, m.seq}, m.code});
  return done(now_ms);
}

replicator_effects replicator::beat(uint64_t now_ms, const device_key& peer, const signed_beat& b) {
  const auto* author = rules_->member(b.rid);
  if (find(peer) == nullptr || author == nullptr || author->is_revoked()
      || b.space != rules_->space() || is_hlc_ahead(b.hlc, now_ms))
    return {};
  auto known = beats_.find(b.rid);
  bool is_fresh = known == beats_.end()
                  || ms_of_hlc(b.hlc) >= ms_of_hlc(known->second.hlc) + beat_gossip_every_ms_min;
  if (!is_fresh || !b.verify(author->device))
    return {};
  beats_[b.rid] = b;
  for (const auto& [to, p] : peers_) {
    if (to != peer)
      send(to, beat_message{b});
  }
  promote_beats();
  return done(now_ms);
}

// -- the owner -----------------------------------------------------------------------------------

replicator_effects replicator::local(uint64_t now_ms, const std::vector<bundle_ptr>& made,
                                     const applied_result& after) {
  for (const auto& b : made) {
    gate_.pass_own(b, now_ms);
    set_applied(b->content.rid, head_of(*b));
  }
  state_root_ = after.state_root;
  changes_ += checkpoint_ != after.checkpoint ? 1 : 0;
  checkpoint_ = after.checkpoint;
  push_own(made);
  return done(now_ms);
}

replicator_effects replicator::own_beat(uint64_t now_ms, const signed_beat& b) {
  beats_[b.rid] = b;
  for (const auto& [to, p] : peers_)
    send(to, beat_message{b});
  promote_beats();
  return done(now_ms);
}

replicator_effects replicator::applied(uint64_t now_ms, const applied_result& result) {
  auto batch = std::move(in_apply_);
  in_apply_.clear();
  if (!result.done) {
    gate_.roll_back(applied_);
    ask_again_ = true;
    apply_again_at_ms_ = now_ms + apply_retry_ms;
    return done(now_ms);
  }
  for (const auto& b : batch) {
    // A cut may have come while the store was busy.
    if (b->content.seq <= gate_.cut_of(b->content.rid))
      set_applied(b->content.rid, head_of(*b));
  }
  state_root_ = result.state_root;
  changes_ += checkpoint_ != result.checkpoint ? 1 : 0;
  checkpoint_ = result.checkpoint;
  ask_again_ = true; // room for more
  promote_beats();
  return done(now_ms);
}

replicator_effects replicator::loaded(uint64_t now_ms, const load_effect& asked,
                                      std::vector<std::string> raws, bool gap) {
  auto* p = find(asked.to);
  if (p == nullptr)
    return {};
  p->debts.loaded(asked.ranges.size(), raws.empty());
  for (const auto& range : asked.ranges) {
    // What was applied here and is not in the log any more only a snapshot can give (storage.md 5.4).
    if (gap && raws.empty() && range.from <= applied_seq(range.rid))
      send(asked.to, nack_message{rules_->space(), range.rid, range.from, nack_code::rebase});
  }
  ops_message answer{rules_->space(), true, {}};
  size_t bytes = 0;
  for (auto& raw : raws) {
    auto at = dot_of_bundle(raw);
    p->debts.sent(at, raw.size());
    if (at.seq >= gate_.frozen_at(at.rid).value_or(UINT64_MAX))
      continue; // two chains: which one counts is not decided
    if (!answer.bundles.empty() && bytes + raw.size() > ops_answer_bytes_max) {
      send(asked.to, std::exchange(answer, {rules_->space(), true, {}}));
      bytes = 0;
    }
    bytes += raw.size();
    answer.bundles.push_back(std::move(raw));
  }
  if (!answer.bundles.empty())
    send(asked.to, std::move(answer));
  serve(asked.to, *p);
  return done(now_ms);
}

replicator_effects replicator::equivocated(uint64_t now_ms, const compare_effect& asked) {
  const auto& at = asked.found->content;
  if (!gate_.frozen_at(at.rid))
    report_conflict(asked.found, nullptr, asked.from);
  gate_.freeze(at.rid, at.seq);
  return done(now_ms);
}

replicator_effects replicator::roster_changed(uint64_t now_ms, roster_ptr rules,
                                              const device_key* from) {
  rules_ = std::move(rules);
  self_ = rules_->rid_of(device_);
  ++changes_;
  ask_again_ = true;
  for (const auto& member : rules_->members()) {
    if (member.cut)
      lower(member.rid, *member.cut);
  }
  gate_.roster_changed(rules_, self_, now_ms);
  if (auto* teller = from == nullptr ? nullptr : find(*from)) {
    teller->roster_version = std::max(teller->roster_version, rules_->version());
    teller->lease_sent = rules_->leased_until();
  }
  std::vector<device_key> gone;
  for (auto& [to, p] : peers_) {
    if (!is_member(to))
      gone.push_back(to);
    else
      tell_roster(to, p);
  }
  for (const auto& peer : gone)
    forget(peer);
  return done(now_ms);
}

replicator_effects replicator::checkpoint_cut(uint64_t now_ms, replica_id rid, uint64_t seq) {
  gate_.cut(rid, seq);
  lower(rid, seq);
  return done(now_ms);
}

replicator_effects replicator::tick(uint64_t now_ms) {
  gate_.look_again(now_ms);
  give_up_late(now_ms);
  for (auto& [to, p] : peers_) {
    if (now_ms >= p.root_at_ms + root_compare_every_ms && stands_equal(p))
      tell_head(now_ms, to, p, true);
    if (p.no_room_until_ms != 0 && now_ms >= p.no_room_until_ms) {
      p.no_room_until_ms = 0;
      ask_again_ = true;
    }
  }
  // A Beat promises numbers: none while own bundles are under way between store and here.
  if (self_ != 0 && has_own_chain() && now_ms >= beat_at_ms_ + beat_every_ms) {
    beat_at_ms_ = now_ms;
    out_.push_back(beat_effect{});
  }
  return done(now_ms);
}

// -- what others ask -----------------------------------------------------------------------------

uint64_t replicator::applied_seq(replica_id rid) const {
  auto found = vv_.find(rid);
  return found == vv_.end() ? 0 : found->second;
}

void replicator::set_applied(replica_id rid, const replica_head& head) {
  applied_[rid] = head;
  if (head.seq == 0)
    vv_.erase(rid);
  else
    vv_[rid] = head.seq;
  ++changes_;
}

bool replicator::stands_equal(const peer_state& p) const {
  return p.told_us && p.roster_version == rules_->version() && p.there == vv_;
}

uint64_t replicator::behind() const {
  version_vector most;
  for (const auto& [peer, p] : peers_) {
    for (const auto& [rid, seq] : p.there)
      most[rid] = std::max(most[rid], std::min(seq, gate_.may_reach(rid)));
  }
  uint64_t out = 0;
  for (const auto& [rid, seq] : most)
    out += seq > applied_seq(rid) ? seq - applied_seq(rid) : 0;
  return out;
}

bool replicator::has_own_chain() const {
  // Only keepers are believed: anybody could keep this node from writing by naming a number.
  return std::all_of(peers_.begin(), peers_.end(), [&](const auto& peer) {
    auto there = peer.second.there.find(self_);
    return there == peer.second.there.end() || rules_->role_of(peer.first) < member_role::keeper
           || std::min(there->second, gate_.cut_of(self_)) <= applied_seq(self_);
  });
}

std::vector<device_key> replicator::peers() const {
  std::vector<device_key> out;
  for (const auto& [peer, p] : peers_)
    out.push_back(peer);
  return out;
}

bool replicator::is_member(const device_key& peer) const {
  return rules_->role_of(peer) != member_role::none;
}

replicator::peer_state* replicator::find(const device_key& peer) {
  auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : &found->second;
}

void replicator::lower(replica_id rid, uint64_t seq) {
  if (applied_seq(rid) > seq)
    set_applied(rid, {seq, {}, 0, 0}); // nothing follows it, so its hash is never asked for
}

} // namespace harp
