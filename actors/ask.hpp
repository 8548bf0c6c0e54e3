// A coroutine asks an actor: the answer resumes it on its own executor; a timeout, a dead actor and an error all come back
// as an error. About 5 us of CPU each: one ask per request or login, never per read.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/expected.hpp>

#include <memory>
#include <utility>

namespace harp {

namespace asio = boost::asio;

template <class Reply, class Handle, class... Ts>
asio::awaitable<caf::expected<Reply>> ask(caf::actor_system& system, Handle whom, caf::timespan limit, Ts... values) {
  auto start = [&system, whom, limit](auto handler, auto... parts) {
    auto executor = asio::get_associated_executor(handler);
    auto keep = asio::make_work_guard(executor);
    auto kept = std::make_shared<decltype(handler)>(std::move(handler));
    auto resume = [kept, executor, keep](caf::expected<Reply> reply) {
      asio::post(executor, [kept, keep, reply = std::move(reply)]() mutable { std::move(*kept)(std::move(reply)); });
    };
    system.spawn([=](caf::event_based_actor* self) { // lives for one question
      self->request(whom, limit, parts...)
        .then([resume](Reply& reply) { resume(std::move(reply)); },
              [resume](caf::error& error) { resume(std::move(error)); });
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(caf::expected<Reply>)>(
    start, asio::use_awaitable, std::move(values)...);
}

} // namespace harp
