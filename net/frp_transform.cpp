// Layers over work streams: snappy and AES-CFB in one, the rate limit as another.
#include "net/frp_transform.hpp"

#include "net/frp_layer.hpp"
#include "net/frp_snappy.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <array>
#include <cmath>
#include <optional>

namespace harp::net::frp {

namespace {

class transform final : public layer {
public:
  transform(stream_ptr inner, bool encryption, bool compression, const cipher_key& key)
      : layer(std::move(inner)) {
    if (encryption) {
      reader_.emplace(key);
      writer_.emplace(key);
    }
    if (compression) {
      unpack_.emplace();
      pack_.emplace();
    }
  }

  [[nodiscard]] bool is_silent() override { return stream::is_silent() && inner_->is_silent(); }
  io_result try_read(std::span<char> into) override {
    return unpack_ ? read_packed(into) : read_wire(into);
  }

  asio::awaitable<bool> wait_readable() override {
    return holds_bytes() ? at_once() : inner_->wait_readable();
  }

  /// Packs one piece and offers it below; while a rest of it waits, nothing is taken and the same
  /// bytes come again.
  io_result try_write(std::string_view head, std::string_view body) override {
    if (unsent_.empty() && !pack_next(head, body))
      return fail("cipher failed");
    while (sent_ < unsent_.size()) {
      const io_result done = inner_->try_write(std::string_view{unsent_}.substr(sent_));
      if (done.status != io_status::ok)
        return {done.status, 0};
      sent_ += done.bytes;
    }
    unsent_.clear();
    sent_ = 0;
    return {io_status::ok, promised_};
  }

  [[nodiscard]] std::string failure() const override {
    return error_ ? std::string{error_} : inner_->failure();
  }

private:
  static asio::awaitable<bool> at_once() { co_return true; }

  io_result fail(const char* why) {
    error_ = why;
    return {};
  }

  bool holds_bytes() const {
    return unpack_ && (!unpack_->plain().empty() || raw_used_ < raw_.size() || unpack_->failed());
  }

  /// Reads from below and deciphers in place.
  io_result read_wire(std::span<char> into) {
    for (;;) {
      const io_result got = inner_->try_read(into);
      if (got.status != io_status::ok || !reader_)
        return got;
      const auto plain = reader_->read(into.data(), got.bytes);
      if (plain < 0)
        return fail("cipher failed");
      if (plain > 0)
        return {io_status::ok, static_cast<size_t>(plain)};
    }
  }

  io_result read_packed(std::span<char> into) {
    for (;;) {
      if (const auto plain = unpack_->plain(); !plain.empty()) {
        const size_t bytes = std::min(into.size(), plain.size());
        std::memcpy(into.data(), plain.data(), bytes);
        unpack_->consume(bytes);
        return {io_status::ok, bytes};
      }
      if (unpack_->failed())
        return fail("bad snappy data");
      if (raw_used_ < raw_.size()) {
        raw_used_ += unpack_->feed(std::string_view{raw_}.substr(raw_used_));
        continue;
      }
      std::array<char, transform_read_bytes_max> wire;
      const io_result got = read_wire(wire);
      if (got.status == io_status::eof && !unpack_->between_chunks())
        return fail("cut inside a snappy chunk");
      if (got.status != io_status::ok)
        return got;
      raw_.assign(wire.data(), got.bytes);
      raw_used_ = 0;
    }
  }

  bool pack_next(std::string_view head, std::string_view body) {
    head = head.substr(0, transform_write_bytes_max);
    body = body.substr(0, transform_write_bytes_max - head.size());
    promised_ = head.size() + body.size();
    if (promised_ == 0)
      return true;
    if (!pack_) {
      unsent_.append(head).append(body);
    } else if (head.empty()) {
      pack_->append(unsent_, body);
    } else {
      pack_->append(unsent_, std::string{head}.append(body));
    }
    return !writer_ || writer_->seal(unsent_, 0);
  }

  std::optional<cfb_reader> reader_;
  std::optional<cfb_writer> writer_;
  std::optional<snappy_decoder> unpack_;
  std::optional<snappy_encoder> pack_;
  std::string raw_; // deciphered, not yet unpacked
  size_t raw_used_ = 0;
  std::string unsent_; // packed and enciphered, stands for promised_ user bytes
  size_t sent_ = 0;
  size_t promised_ = 0;
  const char* error_ = nullptr;
};

class rate_limited final : public layer {
public:
  rate_limited(stream_ptr inner, std::shared_ptr<rate_bucket> bucket)
      : layer(std::move(inner)), bucket_(std::move(bucket)) {}

  io_result try_read(std::span<char> into) override {
    const size_t allowed = bucket_->take(into.size(), now());
    if (allowed == 0)
      return {io_status::again, 0};
    const io_result got = inner_->try_read(into.first(allowed));
    bucket_->give_back(allowed - got.bytes);
    return got;
  }

  io_result try_write(std::string_view head, std::string_view body) override {
    if (head.empty() && body.empty())
      return {io_status::ok, 0};
    const size_t allowed = bucket_->take(head.size() + body.size(), now());
    if (allowed == 0)
      return {io_status::again, 0};
    head = head.substr(0, allowed);
    const io_result done = inner_->try_write(head, body.substr(0, allowed - head.size()));
    bucket_->give_back(allowed - done.bytes);
    return done;
  }

  asio::awaitable<bool> wait_readable() override {
    const bool readable = co_await inner_->wait_readable();
    if (!readable)
      co_return false;
    co_return co_await wait_for_tokens(reading_);
  }

  asio::awaitable<bool> wait_writable() override {
    const bool writable = co_await inner_->wait_writable();
    if (!writable)
      co_return false;
    co_return co_await wait_for_tokens(writing_);
  }

  void cancel() override {
    stop(reading_);
    stop(writing_);
    inner_->cancel();
  }

  void close(bool reset = false) override {
    stop(reading_);
    stop(writing_);
    inner_->close(reset);
  }

  ~rate_limited() override {
    stop(reading_);
    stop(writing_);
  }

private:
  /// Lives in the frame of a wait. The stream may be destroyed during it, and so may the frame when its loop ends.
  struct waiter {
    waiter(const asio::any_io_executor& on, waiter*& at) : timer(on), slot(&at) { at = this; }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter() {
      if (!cancelled) // else the slot may be gone
        *slot = nullptr;
    }
    asio::steady_timer timer;
    waiter** slot;
    bool cancelled = false;
  };

  static std::chrono::steady_clock::time_point now() { return std::chrono::steady_clock::now(); }

  asio::awaitable<bool> wait_for_tokens(waiter*& slot) {
    const auto delay = bucket_->delay(now());
    if (delay <= delay.zero())
      co_return true;
    const auto on = co_await asio::this_coro::executor;
    waiter here{on, slot};
    here.timer.expires_after(delay);
    co_await here.timer.async_wait(nothrow);
    co_return !here.cancelled;
  }

  static void stop(waiter*& slot) {
    if (waiter* waiting = std::exchange(slot, nullptr)) {
      waiting->cancelled = true;
      waiting->timer.cancel();
    }
  }

  std::shared_ptr<rate_bucket> bucket_;
  waiter* reading_ = nullptr;
  waiter* writing_ = nullptr;
};

} // namespace

stream_ptr wrap_transform(stream_ptr inner, bool encryption, bool compression,
                          const cipher_key& key) {
  if (!encryption && !compression)
    return inner;
  return std::make_unique<transform>(std::move(inner), encryption, compression, key);
}

rate_bucket::rate_bucket(uint64_t bytes_per_s, time_point now)
    : rate_(static_cast<double>(std::max<uint64_t>(bytes_per_s, 1))), tokens_(rate_),
      grant_(std::min(rate_, static_cast<double>(rate_grant_bytes))), filled_at_(now) {}

void rate_bucket::fill(time_point now) {
  if (now <= filled_at_)
    return;
  tokens_ += rate_ * std::chrono::duration<double>(now - filled_at_).count();
  tokens_ = std::min(tokens_, rate_);
  filled_at_ = now;
}

size_t rate_bucket::take(size_t want, time_point now) {
  const std::lock_guard lock{mutex_};
  fill(now);
  if (tokens_ < std::min(static_cast<double>(want), grant_))
    return 0;
  const size_t granted = std::min(want, static_cast<size_t>(tokens_));
  tokens_ -= static_cast<double>(granted);
  return granted;
}

void rate_bucket::give_back(size_t bytes) {
  const std::lock_guard lock{mutex_};
  tokens_ = std::min(tokens_ + static_cast<double>(bytes), rate_);
}

std::chrono::nanoseconds rate_bucket::delay(time_point now) {
  const std::lock_guard lock{mutex_};
  fill(now);
  if (tokens_ >= grant_)
    return std::chrono::nanoseconds{0};
  return std::chrono::nanoseconds{
      static_cast<int64_t>(std::ceil((grant_ - tokens_) / rate_ * 1e9))};
}

stream_ptr wrap_rate_limit(stream_ptr inner, std::shared_ptr<rate_bucket> bucket) {
  return std::make_unique<rate_limited>(std::move(inner), std::move(bucket));
}

} // namespace harp::net::frp
