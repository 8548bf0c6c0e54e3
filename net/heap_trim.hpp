// Gives free memory back to the system once the process has become calm: a burst leaves pages behind that malloc keeps.
#pragma once

#include <chrono>
#include <thread>

namespace harp::net {

inline constexpr std::chrono::milliseconds trim_worth_cpu{
    20}; // less work than this leaves nothing to give back
inline constexpr std::chrono::milliseconds trim_calm_cpu{
    5}; // of the whole process between two looks
inline constexpr unsigned trim_calm_looks = 2;

/// Decides when. Pure: fed with the CPU time that the process has used so far, at regular intervals.
class calm_watch {
public:
  /// True once after each burst of work, when it is over.
  bool look(std::chrono::microseconds cpu_so_far);

private:
  std::chrono::microseconds last_{0};
  std::chrono::microseconds trimmed_at_{0};
  unsigned calm_ = 0;
};

/// Looks when told and trims on a thread of its own, which lives only meanwhile: a large heap takes milliseconds.
class heap_trimmer {
public:
  heap_trimmer() = default;
  heap_trimmer(const heap_trimmer&) = delete;
  heap_trimmer& operator=(const heap_trimmer&) = delete;
  ~heap_trimmer();
  /// Cheap: one system call. Always from the same thread.
  void look();

private:
  calm_watch watch_;
  std::thread worker_;
};

} // namespace harp::net
