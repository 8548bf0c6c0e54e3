// A stream of a mux session as its user holds it. May live on another thread than the session.
#include "net/mux_core.hpp"

namespace harp::net {

namespace {

/// Keeps a chain of received bytes of its own, so that most reads need the session's mutex once or
/// not at all.
class mux_stream final : public stream {
public:
  mux_stream(std::shared_ptr<mux_core> session, mux_stream_ptr state)
      : session_(std::move(session)), state_(std::move(state)) {}
  ~mux_stream() override { close(false); }

  io_result try_read(std::span<char> into) override {
    if (closed_)
      return {io_status::failed, 0};
    size_t done = local_.read(into, spent_);
    consumed_ += done;
    if (done == into.size() && consumed_ < mux_settle_bytes)
      return {io_status::ok, done};
    io_status more = session_->exchange(*state_, std::exchange(consumed_, 0), spent_, local_);
    if (done < into.size() && more == io_status::ok) {
      size_t rest = local_.read(into.subspan(done), spent_);
      consumed_ += rest;
      done += rest;
    }
    return done > 0 ? io_result{io_status::ok, done} : io_result{more, 0};
  }

  io_result try_write(std::string_view head, std::string_view body) override {
    return closed_ ? io_result{io_status::failed, 0} : session_->write(*state_, head, body);
  }

  asio::awaitable<bool> wait_readable() override {
    if (!closed_ && consumed_ > 0) // the peer may wait for just this credit
      session_->exchange(*state_, std::exchange(consumed_, 0), spent_, local_);
    return closed_ || !local_.empty() ? at_once(!closed_) : mux_core::wait(session_, state_, true);
  }

  asio::awaitable<bool> wait_writable() override {
    return closed_ ? at_once(false) : mux_core::wait(session_, state_, false);
  }

  void shutdown_write() override { session_->shutdown_write(*state_); }
  [[nodiscard]] bool half_closes() const override { return session_->streams_half_close(); }
  void cancel() override { session_->cancel(*state_); }

  void close(bool reset) override {
    if (!std::exchange(closed_, true))
      session_->release(*state_, reset, spent_, local_);
  }

  [[nodiscard]] bool peer_gone() override { return session_->gone(*state_); }
  [[nodiscard]] std::string failure() const override { return session_->failure_of(*state_); }

private:
  static asio::awaitable<bool> at_once(bool answer) { co_return answer; }

  const std::shared_ptr<mux_core> session_;
  const mux_stream_ptr state_;
  mux_chunks local_;
  mux_chunk* spent_ = nullptr; // emptied chunks on their way back
  size_t consumed_ = 0;        // read and not yet accounted for
  bool closed_ = false;
};

} // namespace

stream_ptr make_mux_stream(std::shared_ptr<mux_core> session, mux_stream_ptr state) {
  return std::make_unique<mux_stream>(std::move(session), std::move(state));
}

} // namespace harp::net
