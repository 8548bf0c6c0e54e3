// Which bundles are asked of whom, and which are being answered (storage.md 5.1): the book-keeping of WantOps and credit.
// Pure; one object of each per peer or space, owned by the replicator.
#pragma once

#include "storage/peer_messages.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

namespace harp {

inline constexpr int64_t ops_credit_bytes_max = 8 << 20;
inline constexpr size_t ops_answer_bytes_max
    = 192 * 1024; // of one Ops frame, unless one bundle is larger
inline constexpr uint64_t want_silence_ms_max = 10'000;
inline constexpr size_t serve_ranges_max = 2 * want_ranges_max;

/// What this node asked of one peer and has not got yet.
class op_wants {
public:
  /// Adds a range of a replica that is not asked for here yet.
  void add(const op_range& range) { open_[range.rid] = range; }
  /// Credit to send along: fills up to the maximum once half is spent. Zero: nothing to send.
  int64_t top_up(uint64_t now_ms) {
    if (open_.empty() || credit_ > ops_credit_bytes_max / 2)
      return 0;
    auto more = ops_credit_bytes_max - credit_;
    credit_ = ops_credit_bytes_max;
    heard_at_ms_ = now_ms;
    return more;
  }
  void spent(size_t bytes, uint64_t now_ms) {
    credit_ -= static_cast<int64_t>(bytes);
    heard_at_ms_ = now_ms;
  }
  /// A bundle came. An answer tells that what lies before it in its range will not come any more; a push only fills the
  /// range when it is its next one. True: the range is done.
  bool came(dot at, bool answer) {
    auto found = open_.find(at.rid);
    if (found == open_.end() || at.seq < found->second.from
        || (!answer && at.seq > found->second.from))
      return false;
    found->second.from = at.seq + 1;
    if (found->second.from <= found->second.to)
      return false;
    open_.erase(found);
    return true;
  }
  [[nodiscard]] size_t count() const { return open_.size(); }
  /// When the peer, which owes something and may send it, was silent for too long; Unix ms.
  [[nodiscard]] std::optional<uint64_t> late_at() const {
    return open_.empty() || credit_ <= 0 ? std::nullopt
                                         : std::optional(heard_at_ms_ + want_silence_ms_max);
  }
  /// Takes everything back, to ask it of somebody else.
  void give_up() {
    open_.clear();
    credit_ = 0; // the peer caps what it is granted, so granting anew cannot add up
  }

private:
  std::map<replica_id, op_range> open_;
  int64_t credit_ = 0; // granted and not yet answered
  uint64_t heard_at_ms_ = 0;
};

/// What one peer asked of this node and has not been sent yet. One load from the store at a time.
class op_debts {
public:
  /// False: more ranges than a peer may leave open.
  bool add(const want_ops_message& want) {
    if (open_.size() + want.ranges.size() > serve_ranges_max)
      return false;
    std::copy_if(want.ranges.begin(), want.ranges.end(), std::back_inserter(open_),
                 [](const op_range& range) { return range.from != 0 && range.from <= range.to; });
    auto more = static_cast<int64_t>(std::min<uint64_t>(want.credit_bytes, ops_credit_bytes_max));
    credit_ = std::min(credit_ + more, ops_credit_bytes_max);
    return true;
  }
  /// The ranges to load next; empty when none, when one load is under way, or when the credit is spent.
  std::vector<op_range> next_load() {
    if (loading_ || credit_ <= 0 || open_.empty())
      return {};
    loading_ = true;
    return {open_.begin(),
            open_.begin() + static_cast<std::ptrdiff_t>(std::min(open_.size(), want_ranges_max))};
  }
  /// The store gave bundle `at`.
  void sent(dot at, size_t bytes) {
    credit_ -= static_cast<int64_t>(bytes);
    for (auto& range : open_) {
      if (range.rid == at.rid && range.from <= at.seq && at.seq <= range.to)
        range.from = at.seq + 1;
    }
    std::erase_if(open_, [](const op_range& range) { return range.from > range.to; });
  }
  /// The load ended. When it gave nothing, what it asked for is not here: forgotten.
  void loaded(size_t asked, bool gave_nothing) {
    loading_ = false;
    if (gave_nothing)
      open_.erase(open_.begin(),
                  open_.begin() + static_cast<std::ptrdiff_t>(std::min(asked, open_.size())));
  }

private:
  std::vector<op_range> open_;
  int64_t credit_ = 0;
  bool loading_ = false;
};

} // namespace harp
