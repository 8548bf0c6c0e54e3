// Failures per client address in a sliding window, and who is banned because of them
// (appapi-harp.md 2.7, quality.md S5).
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t ban_keys_max = 65'536;
inline constexpr size_t ban_stamps_max = 1'048'576; // over all keys: a large COUNT means fewer keys
inline constexpr unsigned ban_count_max = 10'000;
inline constexpr unsigned failure_whole_tenths = 10;

/// When failures become a ban: `count` within `window_ms`. A count of 0 bans everybody, as HaRP
/// does.
struct ban_rule {
  unsigned count = 10; // at most ban_count_max
  int64_t window_ms = 300'000;
};

/// A banned key as people see it.
struct ban_entry {
  ip_address key;
  int64_t until_ms = 0;    // milliseconds since the epoch
  const char* reason = ""; // of the failure that led to it; static text
};

/// The table. Keys are ip_address::ban_key(): every function takes any address of the /64. Time is
/// milliseconds since the epoch and comes from the caller. Not thread-safe. At ban_keys_max the
/// longest silent key that is not banned is forgotten, and only among nothing but banned ones the
/// one banned first.
class ban_list {
public:
  explicit ban_list(ban_rule rule);

  /// Notes a failure of `tenths` (10 = a whole one, at most one whole). Tells whether this one
  /// began a ban; a banned address collects nothing, so its ban ends. `reason` must be static text.
  bool fail(const ip_address& client, int64_t now_ms, unsigned tenths, const char* reason);
  /// The end of the ban, or nothing.
  [[nodiscard]] std::optional<int64_t> banned(const ip_address& client, int64_t now_ms) const;
  /// Forgets the address' failures. False when there were none.
  bool lift(const ip_address& client);
  /// Forgets everything; returns how many keys were banned.
  size_t lift_all(int64_t now_ms);
  /// Who is banned, the soonest free first.
  [[nodiscard]] std::vector<ban_entry> list(int64_t now_ms) const;
  /// Keys with failures, banned or not.
  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t keys_max() const { return keys_max_; }

private:
  /// Every stamp stands for a whole failure, only the last one may be partial: so COUNT stamps
  /// always suffice.
  struct entry {
    std::vector<int64_t> stamps_ms; // oldest first
    unsigned last_tenths = failure_whole_tenths;
    const char* reason = "";
    bool was_banned = false; // which list it stands in
    std::list<ip_address>::iterator place;
  };
  using table = std::unordered_map<ip_address, entry>;

  [[nodiscard]] bool is_fresh(int64_t stamp_ms, int64_t now_ms) const;
  [[nodiscard]] bool is_banned(const entry& one, int64_t now_ms) const;
  std::list<ip_address>& list_of(const entry& one) { return one.was_banned ? banned_ : failing_; }
  entry& touch(const ip_address& key, int64_t now_ms);
  void add(entry& one, int64_t now_ms, unsigned tenths) const;
  void make_room(int64_t now_ms);
  void forget(table::iterator one);

  ban_rule rule_;
  size_t keys_max_;
  table entries_;
  std::list<ip_address> failing_; // longest silent first
  std::list<ip_address> banned_;  // banned first first; ended bans stay here until touched or swept
};

} // namespace harp
