// Threads of the data plane: one event loop per core, deadlines checked by a coarse tick, buffers borrowed per loop.
#pragma once

#include "net/asio.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace harp::net {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr milliseconds tick_interval{250};
inline constexpr size_t buffer_bytes = 16 * 1024;      // a borrowed relay buffer
inline constexpr size_t large_buffer_bytes = 64 * 1024; // for bulk: chosen after full reads
inline constexpr size_t spare_buffers_max = 64;        // kept per loop; more are freed

class loop;

/// Something with a time limit, or that wants to look around on every tick. Lives and dies on its loop's thread.
class deadline {
public:
  /// `expired` runs on the loop when the time is over; it may destroy the deadline's owner only through a post.
  deadline(loop& on, std::function<void()> expired);
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;
  ~deadline();
  /// Sets the limit, counted from the last tick; zero or less means none. Cheap: a store.
  void in(clock::duration limit);
  void off() { at_ = clock::time_point::max(); }
  [[nodiscard]] bool armed() const { return at_ != clock::time_point::max(); }
  /// Called on each tick (for probes). Empty = none.
  std::function<void()> on_tick;

private:
  friend class loop;
  loop& loop_;
  std::function<void()> expired_;
  clock::time_point at_ = clock::time_point::max();
  deadline* previous_ = nullptr;
  deadline* next_ = nullptr;
};

/// A buffer borrowed from a loop; returns by itself. Lives and dies on its loop's thread.
class buffer {
public:
  buffer() = default;
  buffer(loop& from, size_t bytes);
  buffer(buffer&& other) noexcept;
  buffer& operator=(buffer&& other) noexcept;
  ~buffer();
  [[nodiscard]] char* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

private:
  loop* loop_ = nullptr;
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

/// One event loop and its thread.
class loop {
public:
  explicit loop(unsigned index);
  ~loop();
  asio::io_context& io() { return io_; }
  [[nodiscard]] unsigned index() const { return index_; }
  asio::any_io_executor executor() { return io_.get_executor(); }
  /// Time of the last tick: exact to tick_interval, free to read.
  [[nodiscard]] clock::time_point coarse_now() const { return coarse_now_; }
  /// Milliseconds since the tick last ran, readable from every thread: the liveness probe.
  [[nodiscard]] milliseconds silent_for() const;
  /// Runs deadlines as if it were `now`; the tick calls it, tests with their own time do too.
  void check_deadlines(clock::time_point now);

private:
  friend class deadline;
  friend class buffer;
  friend class runtime;
  /// Destroys the handlers that wait, before any loop is gone: they may refer to other loops.
  struct context : asio::io_context {
    using asio::io_context::io_context;
    void drop_handlers() { shutdown(); }
  };
  asio::awaitable<void> tick();

  unsigned index_;
  deadline* first_ = nullptr;
  deadline* cursor_ = nullptr; // next to visit in check_deadlines, so that entries may leave meanwhile
  clock::time_point coarse_now_ = clock::now();
  std::atomic<int64_t> ticked_at_ms_{0};
  bool ticking_ = false;
  std::vector<std::unique_ptr<char[]>> spare_;
  std::vector<std::unique_ptr<char[]>> spare_large_;
  context io_; // last, so first to go: coroutines in it give back buffers and deadlines
};

/// All loops. start() runs them, stop() ends them and joins.
class runtime {
public:
  explicit runtime(unsigned threads);
  ~runtime();
  void start();
  void stop();
  /// Destroys every coroutine that still waits. After stop(), while what they refer to still lives.
  void drop_handlers();
  [[nodiscard]] size_t size() const { return loops_.size(); }
  loop& at(size_t index) { return *loops_[index % loops_.size()]; }
  /// The loop whose thread is calling, or the first one.
  loop& here();

private:
  std::vector<std::unique_ptr<loop>> loops_;
  std::vector<std::thread> threads_;
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> guards_;
};

/// Starts a coroutine on `ex`; an exception that leaves it is logged under `what` (HARP-N001) instead of vanishing.
void launch(const asio::any_io_executor& ex, asio::awaitable<void> work, std::string what);

} // namespace harp::net
