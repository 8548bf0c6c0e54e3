// Anti-entropy of one space (storage.md 5.1), sans I/O: inputs with the time in, effects out. Same inputs, same effects.
#pragma once

#include "storage/beat.hpp"
#include "storage/causal_gate.hpp"
#include "storage/hlc.hpp"
#include "storage/op_exchange.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint64_t head_every_ms_min = 200;
inline constexpr uint64_t root_compare_every_ms = 60'000;
inline constexpr uint64_t no_room_wait_ms = 1'000;
inline constexpr uint64_t apply_retry_ms = 5'000;
inline constexpr size_t submit_ops_max = 2'000; // of one apply_effect
inline constexpr size_t roster_message_bytes_max = 192 * 1024;
inline constexpr size_t pushed_bytes_max = 8u << 20; // per peer, not yet seen in its Head
inline constexpr size_t load_bytes_max = 1u << 20;   // of one load_effect
inline constexpr size_t ready_bytes_max
    = 16u << 20; // passed, waiting for the store: above, nothing is asked
inline constexpr uint64_t beat_gossip_every_ms_min = beat_every_ms / 2;

// -- effects: what the owner does --------------------------------------------------------------------------------------------

/// Send to that peer. Payloads over control_payload_bytes_max go on a data stream.
struct send_effect {
  device_key to;
  peer_message message;
};
/// Apply in this order in one transaction; then applied(). Only one is under way at a time.
struct apply_effect {
  std::vector<bundle_ptr> bundles; // causal order
};
/// Read raw bundles of these ranges, rising within a replica and by hlc over all, as far as here and up to `bytes_max`
/// (one bundle at least); then loaded().
struct load_effect {
  device_key to;
  std::vector<op_range> ranges;
  size_t bytes_max = 0;
};
/// Look up the hash of this number in the store; when it differs from `found`, tell equivocated().
struct compare_effect {
  device_key from;
  bundle_ptr found;
};
/// A replica signed two chains; it is frozen here. `other` may be null: the store has it, at found's number or the one
/// before. The governor's node decides the cut; everybody shows notice_code::equivocation.
struct equivocation_effect {
  bundle_ptr found;
  bundle_ptr other;
};
/// Own bundles were refused by that peer, or it dropped what this node lacks (rebase).
struct refused_effect {
  device_key by;
  dot at;
  nack_code code = nack_code::parse;
};
/// A bundle lies in the future (notice_code::clock_ahead), with its author.
struct clock_ahead_effect {
  dot at;
  uint64_t hlc = 0;
};
/// Equal vv and roster version, other state root: a bug. Alert, dump, refold.
struct state_differs_effect {
  device_key peer;
  digest256 here;
  digest256 there;
};
/// Make a Beat: own seq and a clock value of the store, which every later own bundle exceeds; then own_beat().
struct beat_effect {};
/// Keep the newest Beats: settled line and checkpoints need them after a restart.
struct keep_beat_effect {
  signed_beat beat;
};

using replicator_effect = std::variant<send_effect, apply_effect, load_effect, compare_effect,
                                       equivocation_effect, refused_effect, clock_ahead_effect,
                                       state_differs_effect, beat_effect, keep_beat_effect>;
using replicator_effects = std::vector<replicator_effect>;

// -- inputs ------------------------------------------------------------------------------------------------------------------

/// What the store knows at the start.
struct replicator_start {
  device_key device;
  replica_heads applied; // of the newest bundles: head_of()
  digest256 state_root;
  dot checkpoint;
  std::vector<signed_beat> beats; // what keep_beat_effect kept
  bool enforce_quota = false;     // keepers
  version_vector cuts;            // what checkpoints cut: checkpoint_cut() of before
};

/// What a transaction of the store led to.
struct applied_result {
  bool done = true;     // false: nothing of it was kept; tried again after apply_retry_ms
  digest256 state_root; // after it
  dot checkpoint;       // newest applied
};

using roster_ptr = std::shared_ptr<const roster>;

class replicator {
public:
  replicator(roster_ptr rules, replicator_start start);

  // links
  replicator_effects peer_up(uint64_t now_ms, const device_key& peer);
  replicator_effects peer_down(uint64_t now_ms, const device_key& peer);

  // messages of a peer, decoded
  replicator_effects head(uint64_t now_ms, const device_key& peer, const head_message& m);
  replicator_effects want_ops(uint64_t now_ms, const device_key& peer, const want_ops_message& m);
  /// Bundles whose signatures were verified by the author's key. Those that were not (author unknown here, signature bad)
  /// are left out, but `bytes` and `answer` are those of the whole message.
  replicator_effects ops(uint64_t now_ms, const device_key& peer,
                         const std::vector<bundle_ptr>& bundles, size_t bytes, bool answer);
  replicator_effects nack(uint64_t now_ms, const device_key& peer, const nack_message& m);
  replicator_effects beat(uint64_t now_ms, const device_key& peer, const signed_beat& b);

  // the owner
  /// Own bundles, applied and durable (storage.md 3.2), in order; `after` is the state they led to.
  replicator_effects local(uint64_t now_ms, const std::vector<bundle_ptr>& made,
                           const applied_result& after);
  replicator_effects own_beat(uint64_t now_ms, const signed_beat& b);
  replicator_effects applied(uint64_t now_ms, const applied_result& result);
  /// The store's answer to a load_effect. `gap`: it did answer, and its log does not reach back to the first range any
  /// more; what was applied here is then refused with Nack(rebase). Never say so after a mere failure.
  replicator_effects loaded(uint64_t now_ms, const load_effect& asked,
                            std::vector<std::string> raws, bool gap = false);
  replicator_effects equivocated(uint64_t now_ms, const compare_effect& asked);
  /// The roster has new entries or a newer lease. The store voids what the roster cuts, after every apply_effect before.
  /// `from`: the peer who told, if one did.
  replicator_effects roster_changed(uint64_t now_ms, roster_ptr rules,
                                    const device_key* from = nullptr);
  /// A checkpoint cut a replica (storage.md 5.4): bundles above are void here.
  replicator_effects checkpoint_cut(uint64_t now_ms, replica_id rid, uint64_t seq);
  replicator_effects tick(uint64_t now_ms);
  /// When tick() has something to do next, Unix ms; nothing: only after another input.
  [[nodiscard]] std::optional<uint64_t> due() const;

  // what others ask
  [[nodiscard]] const version_vector& vv() const { return vv_; }
  [[nodiscard]] const replica_heads& applied_heads() const { return applied_; }
  [[nodiscard]] bool is_idle() const {
    return in_apply_.empty() && !gate_.has_ready() && gate_.parked_count() == 0;
  }
  /// Bundles that peers announced and that are not applied here.
  [[nodiscard]] uint64_t behind() const;
  /// False: peers know own bundles that are not here, so the database is an old copy. Make none until they have come.
  [[nodiscard]] bool has_own_chain() const;
  /// Newest Beat per replica whose bundles are all applied here.
  [[nodiscard]] const std::map<replica_id, signed_beat>& covered_beats() const {
    return covered_beats_;
  }
  [[nodiscard]] size_t parked_bytes() const { return gate_.parked_bytes(); }
  [[nodiscard]] std::vector<device_key> peers() const;

private:
  struct peer_state {
    version_vector there;        // what it has, as told
    uint64_t roster_version = 0; // as told
    bool told_us = false;        // its first Head came
    version_vector told;         // what it was told
    uint64_t told_change = 0;    // changes_ when it was told
    uint64_t told_roster = 0;
    dot told_checkpoint;
    uint64_t head_at_ms = 0;
    uint64_t roster_sent = 0; // newest version sent
    uint64_t lease_sent = 0;  // newest lease sent or got
    uint64_t root_at_ms = 0;
    op_wants wants;
    op_debts debts;
    std::deque<std::pair<dot, size_t>> pushed; // not yet in its Head
    size_t pushed_bytes = 0;
    uint64_t pushed_up_to = 0; // own seq
    uint64_t no_room_until_ms = 0;
    bool is_slow = false; // gave no answer in time; asked again only when nobody else can
  };

  replicator_effects done(uint64_t now_ms);
  void send(const device_key& to, peer_message message);
  void tell_heads(uint64_t now_ms);
  void tell_head(uint64_t now_ms, const device_key& to, peer_state& p, bool with_root);
  void retell(peer_state& p, const head_message& m);
  void tell_roster(const device_key& to, peer_state& p);
  void ask(uint64_t now_ms);
  void ask_for(replica_id rid, const std::vector<device_key>& who,
               std::map<device_key, std::vector<op_range>>& questions);
  void serve(const device_key& to, peer_state& p);
  void submit(uint64_t now_ms);
  void take_gate_events();
  void push_own(const std::vector<bundle_ptr>& bundles);
  void compare_root(const device_key& peer, const head_message& m);
  void report_conflict(const bundle_ptr& found, const bundle_ptr& other, const device_key& from);
  void lower(replica_id rid, uint64_t seq);
  void promote_beats();
  void give_up_late(uint64_t now_ms);
  [[nodiscard]] bool is_member(const device_key& peer) const;
  [[nodiscard]] bool wants_head(const peer_state& p) const;
  void forget(const device_key& peer);
  void set_applied(replica_id rid, const replica_head& head);
  [[nodiscard]] uint64_t applied_seq(replica_id rid) const;
  [[nodiscard]] bool stands_equal(const peer_state& p) const;
  peer_state* find(const device_key& peer);

  roster_ptr rules_;
  device_key device_;
  replica_id self_; // 0: none
  causal_gate gate_;
  replica_heads applied_;
  version_vector vv_;    // of applied_
  uint64_t changes_ = 1; // of vv_, roster or checkpoint: who was told less is told
  bool ask_again_ = true;
  std::vector<bundle_ptr> in_apply_;
  uint64_t apply_again_at_ms_ = 0;
  digest256 state_root_;
  dot checkpoint_;
  std::map<device_key, peer_state> peers_;
  std::map<replica_id, device_key> asked_of_;
  std::map<replica_id, signed_beat> beats_; // newest seen
  std::map<replica_id, signed_beat> covered_beats_;
  uint64_t beat_at_ms_ = 0;
  replicator_effects out_;
};

} // namespace harp
