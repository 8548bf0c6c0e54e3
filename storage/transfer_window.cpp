#include "storage/transfer_window.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint64_t round_ms_min = 100; // shorter rounds measure single packets, not the path
constexpr double growth_min = 1.1;     // the doubling ends when a round is not 10 % faster
constexpr double rate_weight = 0.3;    // of the newest round

} // namespace

transfer_window::transfer_window(uint32_t rtt_ms, double rate_guess, bool between_keepers)
    : rtt_ms_(rtt_ms), max_(between_keepers ? window_bytes_max_keepers : window_bytes_max),
      rate_(rate_guess) {
  // nop
}

uint64_t transfer_window::expected_ms(uint64_t ahead, uint64_t bytes) const {
  const double ms = static_cast<double>(ahead + bytes) * 1000.0 / std::max(rate_, 1.0);
  return rtt_ms_ + static_cast<uint64_t>(std::min(ms, 1e12));
}

uint64_t transfer_window::wait_p95_ms() const {
  const size_t filled = std::min(waits_count_, waits_.size());
  if (filled == 0)
    return 0;
  auto sorted = waits_;
  const size_t at = filled * 95 / 100;
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(filled);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(at), end);
  return sorted[at];
}

void transfer_window::asked(uint64_t now_ms, uint64_t bytes) {
  if (outstanding_ == 0) { // idle time is not slowness
    round_start_ms_ = now_ms;
    round_bytes_ = 0;
    was_full_ = false;
  }
  outstanding_ += bytes;
  was_full_ = was_full_ || outstanding_ >= window_;
}

void transfer_window::arrived(uint64_t now_ms, uint64_t bytes) {
  arrived_total_ += bytes;
  round_bytes_ += bytes;
  if (now_ms >= round_start_ms_ + std::max<uint64_t>(rtt_ms_, round_ms_min))
    end_round(now_ms);
}

void transfer_window::end_round(uint64_t now_ms) {
  const double rate
      = static_cast<double>(round_bytes_) * 1000.0 / static_cast<double>(now_ms - round_start_ms_);
  rate_ = measured_ ? rate_ + rate_weight * (rate - rate_) : rate;
  measured_ = true;
  if (growing_ && was_full_) {
    growing_ = rate >= growth_min * best_round_;
    best_round_ = std::max(best_round_, rate);
    if (growing_)
      window_ = std::min(window_ * 2, max_);
  }
  if (!growing_) {
    const double wanted = 1.5 * rate_ * static_cast<double>(rtt_ms_ + window_slack_ms) / 1000.0;
    window_ = std::clamp(static_cast<uint64_t>(std::min(wanted, 1e15)), window_bytes_min, max_);
  }
  round_start_ms_ = now_ms;
  round_bytes_ = 0;
  was_full_ = outstanding_ >= window_;
}

void transfer_window::waited(uint64_t waited_ms) {
  waits_[waits_count_++ % waits_.size()]
      = static_cast<uint32_t>(std::min<uint64_t>(waited_ms, UINT32_MAX));
}

void transfer_window::halve() {
  window_ = std::max(window_ / 2, window_bytes_min);
  growing_ = false;
}

} // namespace harp
