// A stream that passes everything on to another one: the base of frp's layers.
#pragma once

#include "net/stream.hpp"

#include <algorithm>
#include <cstring>

namespace harp::net::frp {

/// Forwards all calls; a layer overrides what it changes. Same threads as the stream below.
class layer : public stream {
public:
  explicit layer(stream_ptr inner) : inner_(std::move(inner)) {}
  using stream::try_write;
  io_result try_read(std::span<char> into) override { return inner_->try_read(into); }
  io_result try_write(std::string_view head, std::string_view body) override {
    return inner_->try_write(head, body);
  }
  asio::awaitable<bool> wait_readable() override { return inner_->wait_readable(); }
  asio::awaitable<bool> wait_writable() override { return inner_->wait_writable(); }
  void shutdown_write() override { inner_->shutdown_write(); }
  [[nodiscard]] bool half_closes() const override { return inner_->half_closes(); }
  void cancel() override { inner_->cancel(); }
  void close(bool reset = false) override { inner_->close(reset); }
  [[nodiscard]] bool peer_gone() override { return inner_->peer_gone(); }
  [[nodiscard]] bool peer_finished() override { return inner_->peer_finished(); }
  [[nodiscard]] bool is_silent() override { return inner_->is_silent(); }
  [[nodiscard]] std::string failure() const override { return inner_->failure(); }

protected:
  stream_ptr inner_;
};

/// Gives back bytes that were read to find out what a connection speaks.
class replay final : public layer {
public:
  replay(stream_ptr inner, std::string first) : layer(std::move(inner)), first_(std::move(first)) {}
  io_result try_read(std::span<char> into) override {
    if (first_.empty())
      return inner_->try_read(into);
    const size_t bytes = std::min(into.size(), first_.size());
    std::memcpy(into.data(), first_.data(), bytes);
    first_.erase(0, bytes);
    return {io_status::ok, bytes};
  }
  asio::awaitable<bool> wait_readable() override {
    return first_.empty() ? inner_->wait_readable() : at_once();
  }

  [[nodiscard]] bool is_silent() override { return first_.empty() && inner_->is_silent(); }

private:
  static asio::awaitable<bool> at_once() { co_return true; }
  std::string first_;
};

} // namespace harp::net::frp
