// A coroutine hands work that takes over a millisecond to the pool and goes on when it is done.
#pragma once

#include "net/asio.hpp"
#include "storage/worker_pool.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace harp {

/// Nothing when the pool is ending and the work was dropped. `work` must not throw.
template <class Work>
net::asio::awaitable<std::optional<std::invoke_result_t<Work>>> in_pool(std::shared_ptr<worker_pool> pool, Work work) {
  using result = std::optional<std::invoke_result_t<Work>>;
  auto start = [pool](auto handler, auto what) {
    auto executor = net::asio::get_associated_executor(handler);
    auto keep = net::asio::make_work_guard(executor);
    auto kept = std::make_shared<decltype(handler)>(std::move(handler));
    auto resume = [kept, executor, keep](result done) {
      net::asio::post(executor, [kept, keep, done = std::move(done)]() mutable { std::move (*kept)(std::move(done)); });
    };
    auto job = std::make_shared<decltype(what)>(std::move(what));
    if (!pool->submit([job, resume] { resume((*job)()); }))
      resume(std::nullopt);
  };
  co_return co_await net::asio::async_initiate<const net::asio::use_awaitable_t<>&, void(result)>(start, net::asio::use_awaitable, std::move(work));
}

} // namespace harp
