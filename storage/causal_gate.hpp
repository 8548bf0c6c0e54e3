// The causal gate of one space (storage.md 4.2, 5.1): bundles in any order go in, bundles whose context is there come out.
// Pure: time is an argument. Parking is bounded; what does not fit is dropped and fetched again.
#pragma once

#include "storage/bundle_codec.hpp"
#include "storage/peer_messages.hpp"
#include "storage/roster.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace harp {

inline constexpr size_t parked_bytes_per_peer_max = 8u << 20;
inline constexpr size_t parked_bytes_max = 64u << 20;
inline constexpr double quota_ops_per_minute = 6'000;
/// A first import is one burst: the sustained rate is what a flood is held to.
inline constexpr double quota_ops_burst = 500'000;
inline constexpr size_t recent_hashes_per_replica_max = 64;

/// The newest bundle of one replica.
struct replica_head {
  uint64_t seq = 0;
  digest256 hash;
  uint64_t hlc = 0;
  uint64_t roster_version = 0;
  bool operator==(const replica_head&) const = default;
};
using replica_heads = std::map<replica_id, replica_head>;

/// What the gate found about one bundle beside letting it pass or parking it.
struct gate_event {
  enum class kind : uint8_t {
    nack,     // `code` goes to `from`
    conflict, // one author, two chains: `found` against `other`, or (null) against what the store has at its number or the
              // number before
    compare, // an old number whose hash is not at hand: look it up; if it differs, report conflict()
  };
  kind what = kind::nack;
  nack_code code = nack_code::parse;
  device_key from;
  bundle_ptr found;
  bundle_ptr other;
};

class causal_gate {
public:
  /// `applied` is what the store holds. Quotas are a keeper's duty; `self` has none.
  /// `cuts`: what checkpoints cut; what the roster cuts it says itself.
  causal_gate(std::shared_ptr<const roster> rules, replica_id self, replica_heads applied,
              version_vector cuts, bool enforce_quota);

  /// A decoded bundle whose signature was verified. False: no room, fetch it again later.
  bool offer(const bundle_ptr& found, const device_key& from, uint64_t now_ms);
  /// An own bundle that the store applied already: wakes what waits for it.
  void pass_own(const bundle_ptr& made, uint64_t now_ms);
  /// Looks again at what waits for time or for the roster, and drops what the roster cut meanwhile.
  void look_again(uint64_t now_ms);
  void roster_changed(std::shared_ptr<const roster> rules, replica_id self, uint64_t now_ms);
  /// Bundles of `rid` above `seq` are void: storage.md 5.4.
  void cut(replica_id rid, uint64_t seq);
  /// The replica signed two bundles with one number: nothing more of it until the roster cuts it.
  void freeze(replica_id rid, uint64_t seq);
  /// Forgets what passed but was not applied.
  void roll_back(const replica_heads& applied);

  /// Bundles that passed, in causal order, up to `ops_max` operations but at least one bundle.
  std::vector<bundle_ptr> take_ready(size_t ops_max);
  [[nodiscard]] bool has_ready() const { return !ready_.empty(); }
  /// Bytes of bundles that passed and were not taken: the owner asks for no more while this is high.
  [[nodiscard]] size_t ready_bytes() const { return ready_bytes_; }
  std::vector<gate_event> take_events() { return std::exchange(events_, {}); }

  /// Heads of what passed, applied or not.
  [[nodiscard]] const replica_heads& heads() const { return heads_; }
  [[nodiscard]] uint64_t passed(replica_id rid) const;
  /// Bundles of `rid` above are void, by the roster or a checkpoint; UINT64_MAX: no cut.
  [[nodiscard]] uint64_t cut_of(replica_id rid) const;
  /// The greatest number of `rid` that may still pass as things stand: cuts, refusals and freezes.
  [[nodiscard]] uint64_t may_reach(replica_id rid) const;
  /// The numbers of `rid` up to `there` that are neither passed nor parked, at most `ranges_max` ranges.
  [[nodiscard]] std::vector<op_range> missing(replica_id rid, uint64_t there,
                                              size_t ranges_max) const;
  [[nodiscard]] std::optional<uint64_t> frozen_at(replica_id rid) const;
  /// When the first parked bundle becomes due; Unix ms.
  [[nodiscard]] std::optional<uint64_t> due() const;
  [[nodiscard]] size_t parked_bytes() const { return parked_bytes_; }
  [[nodiscard]] size_t parked_count() const { return parked_.size(); }

private:
  struct parked {
    bundle_ptr held;
    device_key from;
    std::vector<dot> needs;
    dot waits_for;       // zero: not for a bundle
    uint64_t due_ms = 0; // zero: not for time
  };
  struct bucket {
    double tokens = quota_ops_burst;
    uint64_t at_ms = 0;
  };
  struct verdict {
    enum class kind : uint8_t { pass, wait_bundle, wait_time, wait_roster, refuse, conflict } what = kind::pass;
    dot waits_for{};
    uint64_t due_ms = 0;
    nack_code code = nack_code::parse;
  };

  void offer_known(const bundle_ptr& found, const device_key& from);
  [[nodiscard]] verdict examine(const parked& p, uint64_t now_ms);
  [[nodiscard]] verdict examine_chain(const bundle& b) const;
  [[nodiscard]] uint64_t quota_due(const bundle& b, uint64_t now_ms);
  [[nodiscard]] bool is_met(const dot& need) const;
  void settle(std::vector<dot> open, uint64_t now_ms);
  void advance(const bundle_ptr& b, std::vector<dot>& woken);
  bool park(dot at, parked p);
  void wait(dot at, const verdict& v);
  void stop_waiting(dot at);
  void unpark(dot at);
  void drop_from(replica_id rid, uint64_t seq);
  void conflict(const bundle_ptr& found, const bundle_ptr& other, const device_key& from);

  std::shared_ptr<const roster> rules_;
  replica_id self_;
  bool enforce_quota_;
  replica_heads heads_;
  std::map<replica_id, std::deque<std::pair<uint64_t, digest256>>> recent_;
  std::map<dot, parked> parked_;
  std::set<std::pair<dot, dot>> blocked_;  // (waits for, parked)
  std::set<std::pair<uint64_t, dot>> due_; // (Unix ms, parked)
  std::set<dot> waits_for_roster_;
  std::map<device_key, size_t> bytes_of_;
  size_t parked_bytes_ = 0;
  std::map<replica_id, uint64_t> refused_; // first number that may not pass under this roster
  std::map<replica_id, uint64_t> frozen_;
  std::map<replica_id, bucket> quotas_;
  version_vector cuts_; // of checkpoints
  std::deque<bundle_ptr> ready_;
  size_t ready_bytes_ = 0;
  std::vector<gate_event> events_;
};

/// What the next bundle of its author is measured by.
[[nodiscard]] replica_head head_of(const sealed_bundle& newest);

/// Everything the bundle names and so must come after: its context and the life dots its Deletes list; per rid the greatest.
std::vector<dot> needs_of(const bundle& b);

} // namespace harp
