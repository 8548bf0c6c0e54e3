// Decides which log lines are repeats. Pure: time is passed in, nothing is written here.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harp::net {

inline constexpr std::chrono::seconds fold_window{10};
inline constexpr size_t folds_max
    = 256; // different (code, msg) pairs watched at once; more are written unfolded

/// The line that stands for repeats that were not written.
struct folded_line {
  std::string line;   // what the first of them said, as given to admit()
  uint64_t count = 0; // how many were left out
};

/// Watches (code, msg) pairs for fold_window after their first line. Not thread-safe: the log
/// locks.
class log_fold {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// True: write this line. False: it repeats one of the last 10 s and is counted instead.
  bool admit(std::string_view code, std::string_view msg, time_point now);
  /// Remembers how to write the repeats of the line that admit() has just let through.
  void remember(std::string_view code, std::string_view msg, std::string line);
  /// Takes out what is older than the window and returns those that were repeated.
  std::vector<folded_line> expired(time_point now);
  /// Takes out everything: at the end of the process.
  std::vector<folded_line> all();

private:
  struct entry {
    time_point since;
    uint64_t left_out = 0;
    std::string line;
  };
  /// Finds by views, so that asking allocates nothing.
  struct by_text {
    using is_transparent = void;
    template <class L, class R>
    bool operator()(const L& left, const R& right) const {
      int order = std::string_view{left.first}.compare(right.first);
      return order != 0 ? order < 0
                        : std::string_view{left.second} < std::string_view{right.second};
    }
  };
  std::map<std::pair<std::string, std::string>, entry, by_text> entries_;
  time_point oldest_ = time_point::max(); // nothing expires before oldest_ + fold_window
};

} // namespace harp::net
