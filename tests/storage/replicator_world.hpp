// Replicas of one space on virtual time: real replicators, toy stores, a network that delays, reorders, repeats and breaks.
#pragma once

#include "storage/digest.hpp"
#include "storage/peer_codec.hpp"
#include "storage/replicator.hpp"

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace harp::test {

inline constexpr uint64_t world_start_ms = 1'700'000'000'000;

/// A key that is the same in every run.
inline signing_key fixed_key(uint8_t number) {
  return signing_key::from_seed(std::string(32, static_cast<char>(number)));
}

inline space_id fixed_space() {
  space_id out;
  out.bytes.fill(0x5a);
  return out;
}

inline std::shared_ptr<roster> make_roster(const signing_key& governor,
                                           const std::vector<member_role>& roles) {
  auto out = std::make_shared<roster>(fixed_space(), governor.public_key());
  for (size_t i = 0; i < roles.size(); ++i) {
    roster_add_device add;
    add.rid = static_cast<replica_id>(i + 1);
    add.device = fixed_key(static_cast<uint8_t>(i + 1)).public_key();
    add.role = roles[i];
    add.user = "u";
    if (std::holds_alternative<std::string>(out->append_change(add, world_start_ms, governor)))
      std::abort();
  }
  return out;
}

/// One bundle with `ops` operations whose bytes do not compress when `heavy`.
inline bundle_ptr make_bundle(const signing_key& key, replica_id rid, const replica_head& after,
                              uint64_t hlc, uint64_t roster_version, std::vector<dot> context,
                              size_t ops = 1, bool heavy = false) {
  bundle b;
  b.space = fixed_space();
  b.rid = rid;
  b.seq = after.seq + 1;
  b.hlc = std::max(hlc, after.hlc + 1);
  b.roster_version = roster_version;
  b.previous = after.hash;
  b.context_delta = std::move(context);
  for (size_t i = 0; i < ops; ++i) {
    op_make_file op;
    op.parent = root_node_id();
    op.name = "f" + std::to_string(i);
    op.content.size = hlc;
    if (heavy) {
      auto noise = blake2b("test", op.name + std::to_string(b.seq) + ":" + std::to_string(rid));
      op.content.cid.bytes = noise.bytes;
      op.meta.acting_user
          = std::string(blake2b("more", noise.view()).view()) + std::string(noise.view());
    }
    b.ops.emplace_back(op);
  }
  auto sealed = seal_bundle(std::move(b), key);
  return std::make_shared<sealed_bundle>(std::get<sealed_bundle>(std::move(sealed)));
}

struct world_options {
  uint64_t seed = 1;
  size_t replicas = 4;
  size_t bundles = 60;
  bool may_fail_to_apply = true;
};

class replicator_world {
public:
  explicit replicator_world(const world_options& options)
      : options_(options), random_(options.seed), trace_("test.trace") {
    std::vector<member_role> roles;
    for (size_t i = 0; i < options_.replicas; ++i)
      roles.push_back(i == 0                                       ? member_role::keeper
                      : i + 1 == options_.replicas && pick(3) == 0 ? member_role::reader
                                                                   : member_role::writer);
    rules_ = make_roster(governor_, roles);
    for (size_t i = 0; i < options_.replicas; ++i)
      nodes_.push_back(std::make_unique<node>(static_cast<uint8_t>(i + 1), rules_, i == 0));
  }

  /// Random edits and broken links, then quiet; true when everybody holds everything.
  bool run() {
    for (size_t a = 0; a < nodes_.size(); ++a) {
      at(0, [this, a] { tick(a); });
      for (size_t b = a + 1; b < nodes_.size(); ++b)
        at(pick(2000), [this, a, b] { link_up(a, b); });
    }
    for (size_t i = 0; i < options_.bundles; ++i)
      at(pick(60'000), [this] { edit(pick(nodes_.size())); });
    for (size_t i = 0; i < 20; ++i)
      at(pick(60'000), [this] { break_link(); });
    at(60'000, [this] { heal(); });
    while (!queue_.empty() && queue_.top().at_ms < 400'000) {
      auto next = queue_.top();
      queue_.pop();
      now_ = next.at_ms;
      next.what();
    }
    return all_equal();
  }

  [[nodiscard]] bool all_equal() const {
    for (const auto& one : nodes_) {
      if (one->core->vv() != nodes_[0]->core->vv() || one->root != nodes_[0]->root
          || !one->core->is_idle() || one->core->behind() != 0)
        return false;
    }
    return made_ == nodes_[0]->log.size();
  }
  digest256 trace() { return trace_.finish(); }
  std::string fault; // what must never happen, when it did
  size_t made() const { return made_; }
  size_t repeats = 0; // bundles that came in an answer although they were there

private:
  struct node {
    node(uint8_t number, const std::shared_ptr<roster>& rules, bool keeper)
        : key(fixed_key(number)), rid(number) {
      replicator_start start;
      start.device = key.public_key();
      start.enforce_quota = keeper;
      core = std::make_unique<replicator>(rules, std::move(start));
    }
    signing_key key;
    replica_id rid;
    std::unique_ptr<replicator> core;
    std::map<dot, bundle_ptr> log; // the toy store
    version_vector applied;
    digest256 root;
    replica_head own;
    version_vector told;
    uint64_t tick_at = 0;
    uint64_t store_busy_until = 0;
  };
  struct event {
    uint64_t at_ms;
    uint64_t number;
    std::function<void()> what;
    bool operator<(const event& other) const {
      return std::pair{at_ms, number} > std::pair{other.at_ms, other.number};
    }
  };

  uint64_t pick(uint64_t below) { return random_() % below; }
  uint64_t clock() const { return world_start_ms + now_; }
  void at(uint64_t ms, std::function<void()> what) {
    queue_.push({ms, ++events_, std::move(what)});
  }
  static std::pair<size_t, size_t> pair_of(size_t a, size_t b) { return std::minmax(a, b); }
  size_t index_of(const device_key& key) const {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i]->key.public_key() == key)
        return i;
    }
    std::abort();
  }

  void link_up(size_t a, size_t b) {
    if (!links_.emplace(pair_of(a, b), ++link_number_).second)
      return;
    carry_out(a, nodes_[a]->core->peer_up(clock(), nodes_[b]->key.public_key()));
    carry_out(b, nodes_[b]->core->peer_up(clock(), nodes_[a]->key.public_key()));
  }
  void link_down(size_t a, size_t b) {
    if (links_.erase(pair_of(a, b)) == 0)
      return;
    carry_out(a, nodes_[a]->core->peer_down(clock(), nodes_[b]->key.public_key()));
    carry_out(b, nodes_[b]->core->peer_down(clock(), nodes_[a]->key.public_key()));
  }
  void break_link() {
    size_t a = pick(nodes_.size());
    size_t b = pick(nodes_.size());
    if (a == b)
      return;
    link_down(a, b);
    at(now_ + pick(15'000), [this, a, b] { link_up(a, b); });
  }
  /// At the end a chain of links is enough: everything must travel through others.
  void heal() {
    for (size_t a = 0; a < nodes_.size(); ++a) {
      for (size_t b = a + 2; b < nodes_.size(); ++b)
        link_down(a, b);
    }
    for (size_t a = 0; a + 1 < nodes_.size(); ++a)
      link_up(a, a + 1);
  }

  void edit(size_t who) {
    auto& me = *nodes_[who];
    if (!may_write(rules_->role_of(me.rid)))
      return;
    std::vector<dot> context;
    for (const auto& [rid, seq] : me.applied) {
      if (rid != me.rid && me.told[rid] != seq)
        context.push_back({rid, seq});
    }
    uint64_t hlc = hlc_of_ms(clock());
    for (const auto& [at, known] : me.log)
      hlc = std::max(hlc, known->content.hlc + 1);
    auto made = make_bundle(me.key, me.rid, me.own, hlc, rules_->version(), context, 1 + pick(5));
    for (const auto& d : context)
      me.told[d.rid] = d.seq;
    me.own = head_of(*made);
    ++made_;
    store(me, made);
    carry_out(who, me.core->local(clock(), {made}, {true, me.root, {}}));
  }

  /// What the store would do, with the promise of the gate as assertion.
  void store(node& me, const bundle_ptr& b) {
    const auto& c = b->content;
    if (me.applied[c.rid] + 1 != c.seq)
      fault = "applied out of chain order";
    for (const auto& d : c.context_delta) {
      if (me.applied[d.rid] < d.seq)
        fault = "applied before its context";
    }
    me.applied[c.rid] = c.seq;
    me.log[c.id()] = b;
    for (size_t i = 0; i < digest256::size; ++i)
      me.root.bytes[i] ^= b->hash.bytes[i];
  }

  void tick(size_t who) { carry_out(who, nodes_[who]->core->tick(clock())); }
  void arm(size_t who) {
    auto due = nodes_[who]->core->due();
    uint64_t when = std::max(due.value_or(UINT64_MAX), clock() + 1);
    when = std::min(when, clock() + 5'000) - world_start_ms;
    auto& armed = nodes_[who]->tick_at;
    if (armed > now_ && armed <= when)
      return;
    armed = when;
    at(when, [this, who, when] {
      if (nodes_[who]->tick_at == when)
        tick(who);
    });
  }

  void carry_out(size_t who, const replicator_effects& effects) {
    for (const auto& effect : effects) {
      trace_.update(std::string(1, static_cast<char>(effect.index())));
      std::visit([&](const auto& one) { carry_out(who, one); }, effect);
    }
    arm(who);
  }
  void carry_out(size_t who, const send_effect& e) {
    auto to = index_of(e.to);
    auto payload = std::make_shared<std::string>(encode_payload(e.message));
    trace_.update(*payload);
    auto found = links_.find(pair_of(who, to));
    if (found == links_.end()) {
      fault = "sent to a peer that is not connected";
      return;
    }
    auto type = type_of(e.message);
    auto link = found->second;
    bool free
        = type == message_type::ops; // data streams overtake each other; control keeps its order
    auto& last = control_[{who, to}];
    uint64_t when = now_ + 1 + pick(free ? 300 : 50);
    if (!free)
      last = when = std::max(when, last);
    auto bring = [this, who, to, payload, link, type] { deliver(who, to, link, type, *payload); };
    at(when, bring);
    if (free && pick(10) == 0)
      at(when + pick(500), bring);
  }
  void deliver(size_t from, size_t to, uint64_t link, message_type type,
               const std::string& payload) {
    auto found = links_.find(pair_of(from, to));
    if (found == links_.end() || found->second != link)
      return; // lost with its link
    auto decoded = decode_payload(static_cast<uint8_t>(type), payload);
    auto& me = *nodes_[to];
    auto& core = *me.core;
    const auto& peer = nodes_[from]->key.public_key();
    auto& message = std::get<peer_message>(decoded);
    if (auto* head = std::get_if<head_message>(&message))
      carry_out(to, core.head(clock(), peer, *head));
    else if (auto* want = std::get_if<want_ops_message>(&message))
      carry_out(to, core.want_ops(clock(), peer, *want));
    else if (auto* nack = std::get_if<nack_message>(&message))
      carry_out(to, core.nack(clock(), peer, *nack));
    else if (auto* beat = std::get_if<beat_message>(&message))
      carry_out(to, core.beat(clock(), peer, beat->beat));
    else if (auto* ops = std::get_if<ops_message>(&message))
      take_ops(to, peer, *ops, payload.size());
  }
  void take_ops(size_t to, const device_key& peer, const ops_message& m, size_t bytes) {
    std::vector<bundle_ptr> bundles;
    for (const auto& raw : m.bundles) {
      auto decoded = decode_bundle(raw);
      bundles.push_back(
          std::make_shared<sealed_bundle>(std::get<sealed_bundle>(std::move(decoded))));
      repeats += m.answer && nodes_[to]->log.contains(bundles.back()->content.id()) ? 1 : 0;
    }
    carry_out(to, nodes_[to]->core->ops(clock(), peer, bundles, bytes, m.answer));
  }
  void carry_out(size_t who, const apply_effect& e) {
    if (e.bundles.empty())
      fault = "an empty batch";
    bool fails = options_.may_fail_to_apply && now_ < 60'000 && pick(20) == 0;
    auto& busy = nodes_[who]->store_busy_until;
    busy = std::max(busy, now_) + 1 + pick(30);
    at(busy, [this, who, e, fails] {
      auto& me = *nodes_[who];
      if (!fails) {
        for (const auto& b : e.bundles)
          store(me, b);
      }
      carry_out(who, me.core->applied(clock(), {!fails, me.root, {}}));
    });
  }
  void carry_out(size_t who, const load_effect& e) {
    at(now_ + 1 + pick(20), [this, who, e] {
      std::vector<bundle_ptr> found;
      auto& me = *nodes_[who];
      for (const auto& range : e.ranges) {
        for (auto seq = range.from; seq <= range.to && me.log.contains({range.rid, seq}); ++seq)
          found.push_back(me.log[{range.rid, seq}]);
      }
      std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return a->content.hlc < b->content.hlc;
      });
      std::vector<std::string> raws;
      for (const auto& b : found)
        raws.push_back(b->raw);
      carry_out(who, me.core->loaded(clock(), e, std::move(raws)));
    });
  }
  void carry_out(size_t who, const beat_effect&) {
    auto& me = *nodes_[who];
    auto beat = signed_beat::make(fixed_space(), {me.rid, me.own.seq},
                                  std::max(hlc_of_ms(clock()), me.own.hlc), me.key);
    carry_out(who, me.core->own_beat(clock(), beat));
  }
  void carry_out(size_t, const keep_beat_effect&) {}
  void carry_out(size_t, const compare_effect&) {
  } // an old number again: the same bytes, as nobody equivocates here
  void carry_out(size_t, const equivocation_effect&) {
    fault = "equivocation seen where there is none";
  }
  void carry_out(size_t, const state_differs_effect&) { fault = "equal numbers, other state"; }
  void carry_out(size_t, const refused_effect&) { fault = "own bundles refused"; }
  void carry_out(size_t, const clock_ahead_effect&) { fault = "ahead of a shared clock"; }

  world_options options_;
  std::mt19937_64 random_;
  blake2b_hasher trace_;
  signing_key governor_ = fixed_key(99);
  std::shared_ptr<roster> rules_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::map<std::pair<size_t, size_t>, uint64_t> links_;
  std::map<std::pair<size_t, size_t>, uint64_t> control_;
  std::priority_queue<event> queue_;
  uint64_t events_ = 0;
  uint64_t link_number_ = 0;
  uint64_t now_ = 0;
  size_t made_ = 0;
};

} // namespace harp::test
