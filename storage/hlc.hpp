// The hybrid logical clock and the correction of this machine's clock (storage.md 4.1). Time is an argument, never read.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

namespace harp {

/// How far a bundle may lie ahead of the physical clock before it is parked.
inline constexpr uint64_t clock_ahead_ms_max = 5 * 60 * 1000;
/// Offsets up to this are noise of the network and are not applied.
inline constexpr int64_t clock_offset_ms_min = 1000;

/// Unix milliseconds of a stamp's clock, and the first clock value of a millisecond.
[[nodiscard]] constexpr uint64_t ms_of_hlc(uint64_t hlc) {
  return hlc >> 16;
}
[[nodiscard]] constexpr uint64_t hlc_of_ms(uint64_t ms) {
  return ms << 16;
}
/// More than five minutes ahead of `physical_ms`: must wait.
[[nodiscard]] constexpr bool is_hlc_ahead(uint64_t hlc, uint64_t physical_ms) {
  return ms_of_hlc(hlc) > physical_ms + clock_ahead_ms_max;
}

enum class clock_verdict : uint8_t { ok, ahead };

/// One per space. `physical_ms` is the system clock plus clock_offset.
class hybrid_clock {
public:
  hybrid_clock() = default;
  /// Goes on behind the greatest value of before, from the store.
  explicit hybrid_clock(uint64_t last) : last_(last) {}

  /// A value for an own bundle: greater than every value given or received before.
  uint64_t now(uint64_t physical_ms) {
    last_ = std::max(hlc_of_ms(physical_ms), last_ + 1);
    return last_;
  }
  /// A value of somebody else's bundle, before it is applied. `ahead` changes nothing.
  clock_verdict receive(uint64_t remote, uint64_t physical_ms) {
    if (is_hlc_ahead(remote, physical_ms))
      return clock_verdict::ahead;
    last_ = std::max(last_, remote);
    return clock_verdict::ok;
  }
  [[nodiscard]] uint64_t last() const { return last_; }

private:
  uint64_t last_ = 0;
};

/// The median of the newest four-stamp exchanges with connected keepers.
class clock_offset {
public:
  static constexpr size_t samples_max = 15;

  /// t1 sent here, t2 received there, t3 answered there, t4 received here, all Unix milliseconds of their own clocks.
  void add(int64_t t1, int64_t t2, int64_t t3, int64_t t4) {
    samples_[next_ % samples_max] = ((t2 - t1) + (t3 - t4)) / 2;
    ++next_;
  }
  /// What to add to the system clock; zero while the median is below a second.
  [[nodiscard]] int64_t value_ms() const {
    size_t count = std::min(next_, samples_max);
    if (count == 0)
      return 0;
    auto sorted = samples_;
    auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return std::abs(*middle) > clock_offset_ms_min ? *middle : 0;
  }

private:
  std::array<int64_t, samples_max> samples_{};
  size_t next_ = 0;
};

} // namespace harp
