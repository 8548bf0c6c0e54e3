// A few threads for work that takes over a millisecond: hashing, scans, file writes (design.md 6).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace harp {

inline constexpr size_t pool_jobs_max = 4096; // waiting; above it submit() waits for room

/// First come, first served. Thread-safe. The destructor drops what has not begun and waits for what has.
class worker_pool {
public:
  explicit worker_pool(unsigned threads);
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool();
  /// Queues `job`; waits while pool_jobs_max are waiting. False, and the job dropped, when the pool is ending. A job
  /// must not throw and must not submit and wait for another.
  bool submit(std::function<void()> job);
  /// No further jobs; those waiting are dropped, those running are waited for. Idempotent.
  void stop();
  [[nodiscard]] size_t size() const { return threads_.size(); }

private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable room_;
  std::deque<std::function<void()>> jobs_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

} // namespace harp
