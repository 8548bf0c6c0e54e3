// Guards against mass deletion that count and remember (storage.md 7.3: G3), and back-off of failed actions. Pure: time is an
// argument. G1 is space_marker, G2 and G5 are the planner's, G4 is that selection only reaches want_tree.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr int64_t burst_window_ms = 10 * 60'000;
inline constexpr size_t burst_files_min = 500; // fewer are never a burst
inline constexpr size_t burst_percent = 20;    // of the space's files

/// Removals and rewrites of files within ten minutes: more than 500 and more than 20 % of the space are held until
/// somebody answers.
class burst_guard {
public:
  /// How many more may go at this time without asking (plan_guards::losses_left).
  [[nodiscard]] size_t left(int64_t now_ms, size_t files) const;
  /// These went.
  void note(int64_t now_ms, size_t losses);
  /// So many wait (plan_result::losses_held); true when that is news: make a notice.
  bool held(size_t losses);
  [[nodiscard]] size_t waiting() const { return waiting_; }
  /// The answer "yes": what waits may go, once.
  void confirm();

private:
  [[nodiscard]] size_t recent(int64_t now_ms) const;
  struct piece {
    int64_t at_ms = 0;
    size_t losses = 0;
  };
  std::deque<piece> pieces_; // one per second at most
  size_t waiting_ = 0;
  size_t allowance_ = 0;
};

/// The same for what other devices ask of this disk, by author (0: several or unknown).
class incoming_guard {
public:
  /// True: hold it. Otherwise it is counted as gone, once per node and version.
  bool hold(int64_t now_ms, size_t files, replica_id author, local_id lid, const stamp& lost);
  /// The answer "yes", or its history is settled (storage.md 4.6).
  void confirm(replica_id author);
  [[nodiscard]] std::vector<replica_id> held() const;

private:
  struct author_state {
    burst_guard burst;
    std::map<local_id, stamp> seen; // decided lately, so that a node counts once
    bool held = false;
  };
  std::map<replica_id, author_state> authors_;
};

inline constexpr int64_t action_retry_ms_min = 1000;
inline constexpr int64_t action_retry_ms_max = 300'000;
inline constexpr size_t action_retries_max = 65'536; // above, the oldest due are forgotten

/// Nodes whose last action failed: 1 s, 2 s .. 5 min.
class action_backoff {
public:
  void failed(int64_t now_ms, local_id lid);
  void worked(local_id lid) { states_.erase(lid); }
  [[nodiscard]] bool waiting(int64_t now_ms, local_id lid) const;
  /// When the next one is due.
  [[nodiscard]] std::optional<int64_t> next_ms() const;

private:
  struct delay_state {
    int64_t due_ms = 0;
    int64_t delay_ms = 0;
  };
  std::unordered_map<local_id, delay_state> states_;
};

} // namespace harp
