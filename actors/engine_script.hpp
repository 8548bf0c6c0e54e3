// A conversation with a container engine written as straight-line code: a coroutine that asks and
// pauses, driven by whoever owns the wires and the clock. No Asio, no CAF, no thread.
#pragma once

#include "actors/expose_call.hpp"

#include <chrono>
#include <coroutine>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace harp {

inline constexpr size_t engine_answer_bytes_max = 4 * 1024 * 1024;

/// A request in Harp's own words: nothing else goes to the engine. The body may hold secrets.
struct engine_request {
  std::string method, target;
  std::string content_type = "application/json";
  std::string body{};
  size_t answer_bytes_max = engine_answer_bytes_max;
};

enum class engine_trouble : uint8_t { none, unreachable, timeout, malformed };

struct engine_reply {
  int status = 0; // 0: no answer, see trouble
  engine_trouble trouble = engine_trouble::none;
  std::string body{};
  std::string api_version; // of the Api-Version field, "" when there was none
  std::string server;      // of the Server field
  std::string error;       // words for the log
};

/// What a finished conversation answers its asker.
struct exapp_answer {
  int status = 500;
  std::string body{};
  std::string content_type = "text/plain";
  std::optional<app_place> place{}; // expose and resolve: where the app is reached
};

/// What a script waits for next: an engine's reply, or time.
using engine_wish = std::variant<engine_request, std::chrono::milliseconds>;

/// The one place where a script stops and goes on.
class engine_talk {
public:
  struct reply_wait {
    engine_talk& talk;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> who) noexcept { talk.waiting_ = who; }
    engine_reply await_resume() { return std::move(talk.reply_); }
  };
  struct pause_wait {
    engine_talk& talk;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> who) noexcept { talk.waiting_ = who; }
    void await_resume() const noexcept {}
  };
  reply_wait ask(engine_request request) {
    wish_.emplace(std::move(request));
    return {*this};
  }
  pause_wait pause(std::chrono::milliseconds time) {
    wish_.emplace(time);
    return {*this};
  }

  std::optional<engine_wish> take_wish() { return std::exchange(wish_, std::nullopt); }
  void go_on(engine_reply reply) {
    reply_ = std::move(reply);
    std::exchange(waiting_, nullptr).resume();
  }

private:
  std::optional<engine_wish> wish_;
  engine_reply reply_;
  std::coroutine_handle<> waiting_;
};

/// A script or a part of one that another script awaits. Starts when awaited or begun.
template <class Result>
class script {
public:
  struct promise_type {
    std::optional<Result> value;
    std::exception_ptr failure;
    std::coroutine_handle<> continuation;

    script get_return_object() {
      return script{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct hand_back {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
        auto next = done.promise().continuation;
        return next ? next : std::noop_coroutine();
      }
      void await_resume() const noexcept {}
    };
    hand_back final_suspend() noexcept { return {}; }
    void return_value(Result result) { value = std::move(result); }
    void unhandled_exception() { failure = std::current_exception(); }
  };

  script() = default;
  script(script&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  script& operator=(script&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~script() {
    if (handle_)
      handle_.destroy();
  }

  void begin() { handle_.resume(); }
  [[nodiscard]] bool done() const { return handle_ && handle_.done(); }
  /// Rethrows what the script threw.
  Result take() {
    if (handle_.promise().failure)
      std::rethrow_exception(handle_.promise().failure);
    return std::move(*handle_.promise().value);
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> asker) noexcept {
    handle_.promise().continuation = asker;
    return handle_;
  }
  Result await_resume() { return take(); }

private:
  explicit script(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

} // namespace harp
