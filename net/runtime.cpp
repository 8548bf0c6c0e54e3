// Event loops: threads, the coarse tick with its deadlines, spare buffers.
#include "net/runtime.hpp"

#include "net/heap_trim.hpp"
#include "net/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace harp::net {

namespace {

thread_local loop* loop_of_thread = nullptr;

/// Rounds in which handlers destroyed by one loop may leave new ones on another (unwinding
/// coroutines post).
constexpr int unwind_rounds = 4;

int64_t to_ms(clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

void log_exception(const std::string& what, std::exception_ptr thrown) {
  try {
    std::rethrow_exception(std::move(thrown));
  } catch (const std::exception& error) {
    log(log_level::error, "HARP-N001", "front", "a task ended by an exception",
        {{"task", what}, {"cause", error.what()}, {"next", "report this as a defect"}});
  } catch (...) {
    log(log_level::error, "HARP-N001", "front", "a task ended by an exception",
        {{"task", what}, {"cause", "unknown"}, {"next", "report this as a defect"}});
  }
}

} // namespace

// -- deadline
// ----------------------------------------------------------------------------------------------------------

deadline::deadline(loop& on, std::function<void()> expired)
    : loop_(on), expired_(std::move(expired)), next_(on.first_) {
  if (next_ != nullptr)
    next_->previous_ = this;
  loop_.first_ = this;
}

deadline::~deadline() {
  if (loop_.cursor_ == this)
    loop_.cursor_ = next_;
  if (next_ != nullptr)
    next_->previous_ = previous_;
  if (previous_ != nullptr)
    previous_->next_ = next_;
  else
    loop_.first_ = next_;
}

void deadline::in(clock::duration limit) {
  at_ = limit > clock::duration::zero() ? loop_.coarse_now_ + limit : clock::time_point::max();
}

// -- buffer
// ------------------------------------------------------------------------------------------------------------

buffer::buffer(loop& from, size_t bytes) : loop_(&from), size_(bytes) {
  auto& spare = bytes == large_buffer_bytes ? from.spare_large_ : from.spare_;
  bool pooled = bytes == buffer_bytes || bytes == large_buffer_bytes;
  if (pooled && !spare.empty()) {
    data_ = std::move(spare.back());
    spare.pop_back();
  } else {
    data_ = std::make_unique_for_overwrite<char[]>(bytes);
  }
}

buffer::buffer(buffer&& other) noexcept
    : loop_(other.loop_), data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

buffer& buffer::operator=(buffer&& other) noexcept {
  if (this == &other)
    return *this;
  buffer old{std::move(*this)}; // gives its memory back when it goes out of scope
  loop_ = other.loop_;
  data_ = std::move(other.data_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

buffer::~buffer() {
  if (data_ == nullptr || (size_ != buffer_bytes && size_ != large_buffer_bytes))
    return;
  auto& spare = size_ == large_buffer_bytes ? loop_->spare_large_ : loop_->spare_;
  if (spare.size() < spare_buffers_max) // capacity was reserved: no throw
    spare.push_back(std::move(data_));
}

// -- loop
// --------------------------------------------------------------------------------------------------------------

loop::loop(unsigned index) : index_(index), ticked_at_ms_(to_ms(clock::now())), io_(1) {
  spare_.reserve(spare_buffers_max);
  spare_large_.reserve(spare_buffers_max);
}

loop::~loop() {
  for (int round = 0; round < unwind_rounds; ++round)
    io_.drop_handlers();
}

milliseconds loop::silent_for() const {
  return milliseconds{to_ms(clock::now()) - ticked_at_ms_.load(std::memory_order_relaxed)};
}

void loop::check_deadlines(clock::time_point now) {
  coarse_now_ = now;
  cursor_ = first_;
  while (cursor_ != nullptr) {
    deadline* visited = std::exchange(cursor_, cursor_->next_);
    bool over = visited->at_ <= now;
    if (over)
      visited->off();
    if (over && visited->expired_)
      visited->expired_(); // may destroy other deadlines, and this one by a post only
    else if (visited->on_tick)
      visited->on_tick();
  }
}

asio::awaitable<void> loop::tick() {
  asio::steady_timer timer{io_};
  std::optional<heap_trimmer> trimmer;
  if (index_ == 0) // one for the process
    trimmer.emplace();
  while (ticking_) {
    auto now = clock::now();
    ticked_at_ms_.store(to_ms(now), std::memory_order_relaxed);
    check_deadlines(now);
    if (trimmer)
      trimmer->look();
    timer.expires_after(tick_interval);
    auto [error] = co_await timer.async_wait(nothrow);
    if (error)
      co_return;
  }
}

// -- runtime
// -----------------------------------------------------------------------------------------------------------

runtime::runtime(unsigned threads) {
  for (unsigned i = 0; i < std::max(threads, 1u); ++i)
    loops_.push_back(std::make_unique<loop>(i));
}

runtime::~runtime() {
  stop();
  drop_handlers();
}

void runtime::drop_handlers() {
  // What waits on one loop may own sockets of another: empty all before the first is destroyed.
  for (int round = 0; round < unwind_rounds; ++round)
    for (auto& each : loops_)
      each->io_.drop_handlers();
}

void runtime::start() {
  if (!threads_.empty())
    return;
  for (auto& each : loops_) {
    guards_.emplace_back(each->io_.get_executor());
    each->io_.restart();
    if (!std::exchange(each->ticking_, true))
      launch(each->executor(), each->tick(), "tick");
    threads_.emplace_back([on = each.get()] {
      loop_of_thread = on;
      on->io_.run();
      loop_of_thread = nullptr;
    });
  }
}

void runtime::stop() {
  guards_.clear();
  for (auto& each : loops_)
    each->io_.stop();
  for (auto& thread : threads_)
    thread.join();
  threads_.clear();
}

loop& runtime::here() {
  return loop_of_thread != nullptr ? *loop_of_thread : *loops_.front();
}

void launch(const asio::any_io_executor& ex, asio::awaitable<void> work, std::string what) {
  asio::co_spawn(ex, std::move(work), [what = std::move(what)](std::exception_ptr thrown) {
    if (thrown)
      log_exception(what, std::move(thrown));
  });
}

} // namespace harp::net
