// A coroutine that waits for an event of another coroutine or thread: one word to keep, nothing to
// allocate.
#pragma once

#include "net/asio.hpp"

#include <boost/asio/post.hpp>

#include <optional>
#include <utility>

namespace harp::net {

/// A suspended coroutine, to be resumed at most once with an answer. Moves, does not copy.
class waiter {
public:
  using handler = asio::async_result<asio::use_awaitable_t<>, void(bool)>::handler_type;

  waiter() = default;
  explicit waiter(handler suspended) : handler_(std::move(suspended)) {}
  waiter(waiter&& other) noexcept : handler_(std::exchange(other.handler_, std::nullopt)) {}
  waiter& operator=(waiter&& other) noexcept {
    handler_.reset();
    if (other.handler_) {
      handler_.emplace(std::move(*other.handler_));
      other.handler_.reset();
    }
    return *this;
  }
  ~waiter() = default;

  explicit operator bool() const { return handler_.has_value(); }

  /// Posts the coroutine to its own executor; from any thread. Does nothing when empty.
  void resume(bool answer) {
    if (!handler_)
      return;
    auto ex = handler_->get_executor();
    auto run = [suspended = std::move(*handler_), answer]() mutable { suspended(answer); };
    handler_.reset();
    // The executor of a loop is nearly always what it is; asking it directly spares five virtual
    // calls.
    if (auto* direct = ex.target<asio::io_context::executor_type>())
      asio::post(*direct, std::move(run));
    else
      asio::post(ex, std::move(run));
  }

private:
  std::optional<handler> handler_;
};

/// Suspends the calling coroutine and gives it to `store(waiter)`, which keeps it or resumes it;
/// the answer is what it was resumed with.
template <class Store>
asio::awaitable<bool> suspend(Store store) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(bool)>(
      [](waiter::handler suspended, Store keep) { keep(waiter{std::move(suspended)}); },
      asio::use_awaitable, std::move(store));
}

} // namespace harp::net
