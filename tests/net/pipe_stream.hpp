// Two connected streams in memory, for tests: bounded like a socket, on one loop, without a thread.
#pragma once

#include "net/stream.hpp"
#include "net/waiter.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace harp::net {

/// One end of a pipe. What one end writes, at most `capacity` bytes ahead, the other reads.
class pipe_stream final : public stream {
public:
  /// Two ends; `capacity` bytes fit in each direction.
  static std::pair<std::unique_ptr<pipe_stream>, std::unique_ptr<pipe_stream>>
  make_pair(size_t capacity) {
    auto there = std::make_shared<direction>(capacity);
    auto back = std::make_shared<direction>(capacity);
    return {std::make_unique<pipe_stream>(back, there), std::make_unique<pipe_stream>(there, back)};
  }

  struct direction {
    explicit direction(size_t bytes_max) : capacity(bytes_max) {}
    std::string bytes;
    size_t capacity;
    bool ended = false;  // by the writer
    bool broken = false; // closed by either side
    bool reset = false;
    waiter reader, writer;
    void wake() {
      reader.resume(true);
      writer.resume(true);
    }
  };

  pipe_stream(std::shared_ptr<direction> in, std::shared_ptr<direction> out)
      : in_(std::move(in)), out_(std::move(out)) {}
  ~pipe_stream() override { close(false); }

  io_result try_read(std::span<char> into) override {
    if (closed_ || in_->reset)
      return {io_status::failed, 0};
    size_t count = std::min(into.size(), in_->bytes.size());
    if (count == 0)
      return {in_->ended ? io_status::eof : io_status::again, 0};
    std::memcpy(into.data(), in_->bytes.data(), count);
    in_->bytes.erase(0, count);
    in_->writer.resume(true);
    return {io_status::ok, count};
  }

  using stream::try_write;
  io_result try_write(std::string_view head, std::string_view body) override {
    if (closed_ || out_->ended || out_->broken)
      return {io_status::failed, 0};
    size_t space = out_->capacity - std::min(out_->capacity, out_->bytes.size());
    size_t of_head = std::min(space, head.size());
    size_t of_body = std::min(space - of_head, body.size());
    if (space == 0)
      return {io_status::again, 0};
    out_->bytes.append(head.substr(0, of_head)).append(body.substr(0, of_body));
    out_->reader.resume(true);
    return {io_status::ok, of_head + of_body};
  }

  asio::awaitable<bool> wait_readable() override {
    auto way = in_;
    auto store = [way](waiter whom) {
      if (!way->bytes.empty() || way->ended || way->broken)
        whom.resume(true);
      else
        way->reader = std::move(whom);
    };
    return suspend(store);
  }

  asio::awaitable<bool> wait_writable() override {
    auto way = out_;
    auto store = [way](waiter whom) {
      if (way->bytes.size() < way->capacity || way->ended || way->broken)
        whom.resume(true);
      else
        way->writer = std::move(whom);
    };
    return suspend(store);
  }

  void shutdown_write() override {
    out_->ended = true;
    out_->wake();
  }

  void cancel() override {
    in_->reader.resume(false);
    out_->writer.resume(false);
  }

  void close(bool reset) override {
    if (std::exchange(closed_, true))
      return;
    cancel();
    out_->ended = out_->broken = in_->broken = true;
    out_->reset = reset;
    if (reset)
      out_->bytes.clear();
    in_->wake();
    out_->wake();
  }

  [[nodiscard]] bool peer_gone() override { return closed_ || (in_->ended && in_->broken); }
  [[nodiscard]] std::string failure() const override { return closed_ ? "pipe closed" : ""; }

  /// Everything that waits to be read here; the bytes are taken.
  std::string take_all() {
    in_->writer.resume(true);
    return std::exchange(in_->bytes, {});
  }
  /// Bytes that wait to be read here.
  [[nodiscard]] size_t waiting() const { return in_->bytes.size(); }
  /// True when the other end ended its direction or closed.
  [[nodiscard]] bool ended() const { return in_->ended; }

private:
  std::shared_ptr<direction> in_;
  std::shared_ptr<direction> out_;
  bool closed_ = false;
};

} // namespace harp::net
