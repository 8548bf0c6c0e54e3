// How often somebody may be asked: a token bucket with its own clock values. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace harp {

class call_budget {
public:
  call_budget(unsigned per_second, unsigned burst)
    : per_second_(per_second), burst_ms_(int64_t{burst} * 1000), left_ms_(burst_ms_) {}

  /// Takes one call if there is one left. `now_ms` never goes back.
  bool take(int64_t now_ms) {
    if (last_ms_ != 0)
      left_ms_ = std::min(burst_ms_, left_ms_ + (now_ms - last_ms_) * per_second_);
    last_ms_ = now_ms;
    if (left_ms_ < 1000)
      return false;
    left_ms_ -= 1000;
    return true;
  }

private:
  int64_t per_second_;
  int64_t burst_ms_; // in thousandths of a call
  int64_t left_ms_;
  int64_t last_ms_ = 0;
};

} // namespace harp
