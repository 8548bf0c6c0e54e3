// Things kept for the next user; what nobody used for a while is let go.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace harp::net {

/// A bounded stack of spare things. Not thread-safe.
template <class T>
class spare_list {
public:
  /// Reserves its room at once: give() never throws.
  explicit spare_list(size_t most) : most_(most) { rows_.reserve(most); }
  [[nodiscard]] size_t size() const { return rows_.size(); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// The one given last. Not when empty.
  T take() {
    T out = std::move(rows_.back());
    rows_.pop_back();
    unused_ = std::min(unused_, rows_.size());
    return out;
  }
  /// Keeps it, or drops it when there are enough.
  void give(T used) {
    if (rows_.size() < most_)
      rows_.push_back(std::move(used));
  }
  /// Called at intervals: drops half of what was not used since the last call, rounded up. A pause between two bursts
  /// costs little, and a quiet process soon holds nothing.
  void shrink() {
    size_t drop = std::min(unused_, rows_.size());
    drop -= drop / 2;
    rows_.erase(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(drop));
    unused_ = rows_.size();
  }

private:
  std::vector<T> rows_;
  size_t most_;
  size_t unused_ = 0; // fewest that were here since the last shrink()
};

} // namespace harp::net
