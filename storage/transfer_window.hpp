// How much one peer may owe us at once, and how fast it is: window, rate, waiting times (storage.md 9.3, 9.4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace harp {

inline constexpr uint64_t window_bytes_min = 2ull << 20;
inline constexpr uint64_t window_bytes_start = 4ull << 20;
inline constexpr uint64_t window_bytes_max = 64ull << 20;
inline constexpr uint64_t window_bytes_max_keepers = 128ull << 20; // keeper to keeper
inline constexpr uint64_t window_slack_ms = 100;

/// What a peer's rate is taken for until it was measured, in bytes per second.
inline constexpr double rate_guess_lan = 50e6;
inline constexpr double rate_guess_direct = 4e6;
inline constexpr double rate_guess_relayed = 1e6;

/// The receiver's side of one peer: W = clamp(1.5 * rate * (srtt + 100 ms), 2 MiB, 64 MiB), start 4 MiB, doubled per round trip
/// until the rate grows by less than 10 %, halved on Busy and on loss of the connection. Times in ms, any origin.
class transfer_window {
public:
  transfer_window(uint32_t rtt_ms, double rate_guess, bool between_keepers);

  [[nodiscard]] uint64_t bytes() const { return window_; }
  [[nodiscard]] uint64_t outstanding() const { return outstanding_; }
  [[nodiscard]] uint64_t room() const {
    return outstanding_ < window_ ? window_ - outstanding_ : 0;
  }
  [[nodiscard]] uint32_t rtt_ms() const { return rtt_ms_; }
  [[nodiscard]] bool measured() const { return measured_; }
  /// Bytes per second; a guess until measured.
  [[nodiscard]] double rate() const { return rate_; }
  /// All bytes that ever came or were given up: with it a caller sees how far the peer's queue has moved.
  [[nodiscard]] uint64_t arrived_total() const { return arrived_total_; }
  /// How long until `bytes` more than `ahead` have come.
  [[nodiscard]] uint64_t expected_ms(uint64_t ahead, uint64_t bytes) const;
  /// 95th percentile of the last 64 waits for a chunk; 0 before the first.
  [[nodiscard]] uint64_t wait_p95_ms() const;

  void asked(uint64_t now_ms, uint64_t bytes);
  /// Bytes came in, of a chunk complete or not.
  void arrived(uint64_t now_ms, uint64_t bytes);
  /// A chunk of `bytes` is no longer awaited: it came (`waited_ms` since asked) or was given up.
  void settled(uint64_t bytes) { outstanding_ -= bytes < outstanding_ ? bytes : outstanding_; }
  /// Bytes that will not come any more: who was asked behind them is nearer.
  void gave_up(uint64_t bytes) { arrived_total_ += bytes; }
  void waited(uint64_t waited_ms);
  void halve();
  void set_rtt(uint32_t rtt_ms) { rtt_ms_ = rtt_ms; }

private:
  void end_round(uint64_t now_ms);

  uint32_t rtt_ms_;
  uint64_t max_;
  uint64_t window_ = window_bytes_start;
  uint64_t outstanding_ = 0;
  uint64_t arrived_total_ = 0;
  double rate_;
  bool measured_ = false;
  bool growing_ = true;   // doubling phase
  bool was_full_ = false; // the window limited this round
  double best_round_ = 0; // fastest round of the doubling phase
  uint64_t round_start_ms_ = 0;
  uint64_t round_bytes_ = 0;
  std::array<uint32_t, 64> waits_{};
  size_t waits_count_ = 0;
};

} // namespace harp
