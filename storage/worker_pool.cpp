#include "storage/worker_pool.hpp"

#include <utility>

namespace harp {

worker_pool::worker_pool(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i)
    threads_.emplace_back([this] { run(); });
}

worker_pool::~worker_pool() {
  stop();
}

bool worker_pool::submit(std::function<void()> job) {
  std::unique_lock lock{mutex_};
  room_.wait(lock, [this] { return ending_ || jobs_.size() < pool_jobs_max; });
  if (ending_)
    return false;
  jobs_.push_back(std::move(job));
  wake_.notify_one();
  return true;
}

void worker_pool::stop() {
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard lock{mutex_};
    ending_ = true;
    dropped.swap(jobs_);
  }
  wake_.notify_all();
  room_.notify_all();
  for (auto& thread : threads_)
    if (thread.joinable())
      thread.join();
}

void worker_pool::run() {
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (ending_)
        return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    room_.notify_one();
    job();
  }
}

} // namespace harp
