// One bundle waits for at most one thing at a time; what passes wakes those that waited for it.
#include "storage/causal_gate.hpp"

#include "storage/hlc.hpp"

#include <algorithm>
#include <cmath>

namespace harp {

replica_head head_of(const sealed_bundle& newest) {
  const auto& c = newest.content;
  return {c.seq, newest.hash, c.hlc, c.roster_version};
}

std::vector<dot> needs_of(const bundle& b) {
  version_vector needs;
  auto add = [&](const dot& d) {
    if (d.rid != b.rid)
      needs[d.rid] = std::max(needs[d.rid], d.seq);
  };
  for (const auto& d : b.context_delta)
    add(d);
  // A Delete that lists what its author never saw would hit differently on every node; so listing is depending.
  for (const auto& op : b.ops) {
    if (const auto* removed = std::get_if<op_delete>(&op)) {
      for (const auto& item : removed->items)
        std::for_each(item.seen.begin(), item.seen.end(), add);
    }
  }
  std::vector<dot> out;
  out.reserve(needs.size());
  for (const auto& [rid, seq] : needs)
    out.push_back({rid, seq});
  return out;
}

causal_gate::causal_gate(std::shared_ptr<const roster> rules, replica_id self,
                         replica_heads applied, version_vector cuts, bool enforce_quota)
    : rules_(std::move(rules)), self_(self), enforce_quota_(enforce_quota),
      heads_(std::move(applied)), cuts_(std::move(cuts)) {}

uint64_t causal_gate::passed(replica_id rid) const {
  auto found = heads_.find(rid);
  return found == heads_.end() ? 0 : found->second.seq;
}

uint64_t causal_gate::cut_of(replica_id rid) const {
  auto own = cuts_.find(rid);
  return std::min(rules_->cut_of(rid).value_or(UINT64_MAX),
                  own == cuts_.end() ? UINT64_MAX : own->second);
}

uint64_t causal_gate::may_reach(replica_id rid) const {
  if (frozen_.contains(rid))
    return passed(rid);
  auto refused = refused_.find(rid);
  return std::min(cut_of(rid), refused == refused_.end() ? UINT64_MAX : refused->second - 1);
}

bool causal_gate::offer(const bundle_ptr& found, const device_key& from, uint64_t now_ms) {
  const auto& b = found->content;
  if (b.seq <= passed(b.rid)) {
    offer_known(found, from);
    return true;
  }
  if (frozen_.contains(b.rid))
    return true; // nothing to do with it until the roster decides
  auto refused = refused_.find(b.rid);
  if (refused != refused_.end() && b.seq >= refused->second)
    return true;
  auto known = parked_.find(b.id());
  if (known != parked_.end()) {
    if (known->second.held->hash != found->hash)
      conflict(found, known->second.held, from);
    return true;
  }
  if (is_hlc_ahead(b.hlc, now_ms))
    events_.push_back({gate_event::kind::nack, nack_code::clock, from, found, nullptr});
  if (!park(b.id(), {found, from, needs_of(b), {}, 0}))
    return false;
  settle({b.id()}, now_ms);
  return true;
}

void causal_gate::offer_known(const bundle_ptr& found, const device_key& from) {
  const auto& b = found->content;
  if (b.seq > cut_of(b.rid))
    return; // void whatever it says
  const auto& head = heads_[b.rid];
  if (head.seq == b.seq && !head.hash.is_zero()) {
    if (head.hash != found->hash)
      conflict(found, nullptr, from);
    return;
  }
  for (const auto& [seq, hash] : recent_[b.rid]) {
    if (seq == b.seq) {
      if (hash != found->hash)
        conflict(found, nullptr, from);
      return;
    }
  }
  events_.push_back({gate_event::kind::compare, nack_code::parse, from, found, nullptr});
}

void causal_gate::conflict(const bundle_ptr& found, const bundle_ptr& other,
                           const device_key& from) {
  if (frozen_.contains(found->content.rid))
    return; // one proof is enough
  events_.push_back({gate_event::kind::conflict, nack_code::parse, from, found, other});
  freeze(found->content.rid, found->content.seq);
}

void causal_gate::freeze(replica_id rid, uint64_t seq) {
  auto [at, is_new] = frozen_.try_emplace(rid, seq);
  if (!is_new)
    at->second = std::min(at->second, seq);
  drop_from(rid, 0);
}

void causal_gate::pass_own(const bundle_ptr& made, uint64_t now_ms) {
  std::vector<dot> woken;
  advance(made, woken);
  settle(std::move(woken), now_ms);
}

void causal_gate::advance(const bundle_ptr& b, std::vector<dot>& woken) {
  const auto& c = b->content;
  heads_[c.rid] = head_of(*b);
  auto& recent = recent_[c.rid];
  recent.emplace_back(c.seq, b->hash);
  if (recent.size() > recent_hashes_per_replica_max)
    recent.pop_front();
  auto end = blocked_.upper_bound({c.id(), {UINT32_MAX, UINT64_MAX}});
  for (auto at = blocked_.lower_bound({{c.rid, 0}, {}}); at != end; ++at)
    woken.push_back(at->second);
}

/// Examines, passes, parks or drops each open bundle and those it wakes.
void causal_gate::settle(std::vector<dot> open, uint64_t now_ms) {
  while (!open.empty()) {
    auto at = open.back();
    open.pop_back();
    auto found = parked_.find(at);
    if (found == parked_.end())
      continue;
    stop_waiting(at);
    auto v = examine(found->second, now_ms);
    auto p = found->second;
    switch (v.what) {
    case verdict::kind::pass:
      unpark(at);
      ready_bytes_ += p.held->raw.size();
      ready_.push_back(p.held);
      advance(p.held, open);
      break;
    case verdict::kind::refuse:
      events_.push_back({gate_event::kind::nack, v.code, p.from, p.held, nullptr});
      refused_[at.rid] = at.seq;
      drop_from(at.rid, at.seq);
      break;
    case verdict::kind::conflict:
      conflict(p.held, nullptr, p.from);
      freeze(at.rid, at.seq - 1);
      break;
    default:
      wait(at, v);
    }
  }
}

causal_gate::verdict causal_gate::examine_chain(const bundle& b) const {
  auto found = heads_.find(b.rid);
  const auto head = found == heads_.end() ? replica_head{} : found->second;
  using kind = verdict::kind;
  if (b.seq != head.seq + 1)
    return {kind::wait_bundle, {b.rid, b.seq - 1}, 0, {}};
  if (b.seq > cut_of(b.rid))
    return {kind::refuse, {}, 0, nack_code::rebase};
  bool known = b.seq == 1 || !head.hash.is_zero(); // a snapshot tells how far a chain goes, not how it looks
  if (known && b.previous != head.hash)
    return {kind::conflict, {}, 0, {}};
  if (b.hlc <= head.hlc || b.roster_version < head.roster_version)
    return {kind::refuse, {}, 0, nack_code::parse};
  return {};
}

causal_gate::verdict causal_gate::examine(const parked& p, uint64_t now_ms) {
  using kind = verdict::kind;
  const auto& b = p.held->content;
  auto chain = examine_chain(b);
  if (chain.what != kind::pass)
    return chain;
  switch (rules_->judge(b)) {
  case bundle_verdict::valid:
    break;
  case bundle_verdict::roster_missing:
    return {kind::wait_roster, {}, 0, {}};
  case bundle_verdict::role_missing:
  case bundle_verdict::cut:
    return {kind::refuse, {}, 0, nack_code::role};
  }
  for (const auto& need : p.needs) {
    if (!is_met(need))
      return {kind::wait_bundle, need, 0, {}};
  }
  if (is_hlc_ahead(b.hlc, now_ms))
    return {kind::wait_time, {}, ms_of_hlc(b.hlc) - clock_ahead_ms_max, {}};
  if (auto due = quota_due(b, now_ms)) {
    events_.push_back({gate_event::kind::nack, nack_code::quota, p.from, p.held, nullptr});
    return {kind::wait_time, {}, due, {}};
  }
  return {};
}

bool causal_gate::is_met(const dot& need) const {
  // What the roster cut away will never come: an entry above the cut counts as the cut (storage.md 4.2).
  return passed(need.rid) >= std::min(need.seq, cut_of(need.rid));
}

/// Zero when the author may spend these operations now, else when it may.
uint64_t causal_gate::quota_due(const bundle& b, uint64_t now_ms) {
  if (!enforce_quota_ || b.rid == self_)
    return 0;
  auto& q = quotas_[b.rid];
  if (q.at_ms != 0 && now_ms > q.at_ms)
    q.tokens = std::min(
        quota_ops_burst,
        q.tokens + static_cast<double>(now_ms - q.at_ms) * quota_ops_per_minute / 60'000);
  q.at_ms = now_ms;
  auto cost = static_cast<double>(b.ops.size());
  if (q.tokens < cost)
    return now_ms
           + static_cast<uint64_t>(std::ceil((cost - q.tokens) * 60'000 / quota_ops_per_minute));
  q.tokens -= cost;
  return 0;
}

bool causal_gate::park(dot at, parked p) {
  size_t bytes = p.held->raw.size();
  auto& of_peer = bytes_of_[p.from];
  // What passes at once is never refused for lack of room, or a full park could not drain.
  bool next = at.seq == passed(at.rid) + 1
              && std::all_of(p.needs.begin(), p.needs.end(),
                             [&](const dot& need) { return is_met(need); });
  if (!next
      && (of_peer + bytes > parked_bytes_per_peer_max || parked_bytes_ + bytes > parked_bytes_max))
    return false;
  of_peer += bytes;
  parked_bytes_ += bytes;
  parked_.emplace(at, std::move(p));
  return true;
}

void causal_gate::wait(dot at, const verdict& v) {
  auto& p = parked_.at(at);
  p.waits_for = v.waits_for;
  p.due_ms = v.due_ms;
  if (v.what == verdict::kind::wait_bundle)
    blocked_.insert({v.waits_for, at});
  else if (v.what == verdict::kind::wait_time)
    due_.insert({v.due_ms, at});
  else
    waits_for_roster_.insert(at);
}

void causal_gate::stop_waiting(dot at) {
  const auto& p = parked_.at(at);
  blocked_.erase({p.waits_for, at});
  due_.erase({p.due_ms, at});
  waits_for_roster_.erase(at);
}

void causal_gate::unpark(dot at) {
  stop_waiting(at);
  auto found = parked_.find(at);
  size_t bytes = found->second.held->raw.size();
  auto of_peer = bytes_of_.find(found->second.from);
  of_peer->second -= bytes;
  if (of_peer->second == 0)
    bytes_of_.erase(of_peer);
  parked_bytes_ -= bytes;
  parked_.erase(found);
}

void causal_gate::drop_from(replica_id rid, uint64_t seq) {
  for (auto at = parked_.lower_bound({rid, seq}); at != parked_.end() && at->first.rid == rid;) {
    auto gone = at->first;
    ++at;
    unpark(gone);
  }
}

void causal_gate::look_again(uint64_t now_ms) {
  std::vector<dot> open;
  for (const auto& [due, at] : due_) {
    if (due > now_ms)
      break;
    open.push_back(at);
  }
  settle(std::move(open), now_ms);
}

void causal_gate::roster_changed(std::shared_ptr<const roster> rules, replica_id self,
                                 uint64_t now_ms) {
  rules_ = std::move(rules);
  self_ = self;
  refused_.clear();
  for (const auto& member : rules_->members()) {
    if (member.cut)
      cut(member.rid, *member.cut);
  }
  std::vector<dot> open;
  for (const auto& [at, p] : parked_)
    open.push_back(at);
  settle(std::move(open), now_ms);
}

void causal_gate::cut(replica_id rid, uint64_t seq) {
  drop_from(rid, seq + 1);
  frozen_.erase(rid); // whoever cuts has decided between the two chains
  auto& lowest = cuts_.try_emplace(rid, seq).first->second;
  lowest = std::min(lowest, seq);
  std::erase_if(ready_, [&](const bundle_ptr& b) {
    bool gone = b->content.rid == rid && b->content.seq > seq;
    ready_bytes_ -= gone ? b->raw.size() : 0;
    return gone;
  });
  auto head = heads_.find(rid);
  if (head != heads_.end() && head->second.seq > seq)
    head->second = {seq, {}, 0, 0}; // nothing follows it, so its hash is never asked for
}

void causal_gate::roll_back(const replica_heads& applied) {
  heads_ = applied;
  ready_.clear();
  ready_bytes_ = 0;
  recent_.clear();
}

std::vector<bundle_ptr> causal_gate::take_ready(size_t ops_max) {
  std::vector<bundle_ptr> out;
  size_t ops = 0;
  while (!ready_.empty()) {
    size_t more = ready_.front()->content.ops.size();
    if (!out.empty() && ops + more > ops_max)
      break;
    ops += more;
    ready_bytes_ -= ready_.front()->raw.size();
    out.push_back(std::move(ready_.front()));
    ready_.pop_front();
  }
  return out;
}

std::vector<op_range> causal_gate::missing(replica_id rid, uint64_t there,
                                           size_t ranges_max) const {
  std::vector<op_range> out;
  there = std::min(there, may_reach(rid));
  uint64_t next = passed(rid) + 1;
  for (auto at = parked_.lower_bound({rid, next}); at != parked_.end() && at->first.rid == rid;
       ++at) {
    if (next > there || out.size() == ranges_max)
      return out;
    if (at->first.seq > next)
      out.push_back({rid, next, std::min(at->first.seq - 1, there)});
    next = at->first.seq + 1;
  }
  if (next <= there && out.size() < ranges_max)
    out.push_back({rid, next, there});
  return out;
}

std::optional<uint64_t> causal_gate::frozen_at(replica_id rid) const {
  auto found = frozen_.find(rid);
  return found == frozen_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<uint64_t> causal_gate::due() const {
  return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
}

} // namespace harp
