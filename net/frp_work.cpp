// Work streams of one frp client: parked, asked for, waited for, handed to users.
#include "net/frp_layer.hpp"
#include "net/frp_tunnel.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>

namespace harp::net {

namespace {

/// True while a parked stream is open and silent. One that ended, or spoke before it was told to
/// (frp.md 6), is closed.
bool quiet(stream& parked) {
  if (parked.is_silent())
    return true;
  char unexpected = 0;
  parked.close(parked.try_read({&unexpected, 1}).status != io_status::eof); // what spoke is reset
  return false;
}

} // namespace

/// Counts a work stream's bytes and keeps its session in memory. frp cannot end one direction alone
/// (frp.md 4.5).
class work_tap final : public frp::layer {
public:
  work_tap(stream_ptr inner, std::shared_ptr<frp_tunnel> of)
      : layer(std::move(inner)), of_(std::move(of)) {
    of_->streams_.fetch_add(1, std::memory_order_relaxed);
  }
  ~work_tap() override {
    inner_.reset(); // before the session it belongs to
    of_->streams_.fetch_sub(1, std::memory_order_relaxed);
  }
  io_result try_read(std::span<char> into) override {
    const io_result got = inner_->try_read(into);
    of_->bytes_in_.fetch_add(got.bytes, std::memory_order_relaxed);
    return got;
  }
  io_result try_write(std::string_view head, std::string_view body) override {
    const io_result done = inner_->try_write(head, body);
    of_->bytes_out_.fetch_add(done.bytes, std::memory_order_relaxed);
    return done;
  }
  [[nodiscard]] bool half_closes() const override { return false; }

private:
  std::shared_ptr<frp_tunnel> of_;
};

/// A user waiting for a stream, in the frame of wait_for_stream().
struct frp_tunnel::waiter {
  explicit waiter(const asio::any_io_executor& on) : timer(on) {}
  asio::steady_timer timer;
  stream_ptr got;
};

asio::awaitable<work_stream> frp_tunnel::open(std::string name, work_user user,
                                              milliseconds limit) {
  const auto self = shared_from_this();
  work_stream out;
  out.error = work_error::no_tunnel;
  proxy by;
  if (!find(name, by))
    co_return out;
  frp::start_work_conn start;
  start.name = std::move(name);
  start.src_addr = std::move(user.src_address);
  start.dst_addr = std::move(user.dst_address);
  start.src_port = user.src_port;
  start.dst_port = user.dst_port;
  const std::string frame = frp::v1_frame(start);
  for (int attempt = 0; attempt < 2; ++attempt) { // a second stream when the first broke at once
    stream_ptr work = take_parked();
    const bool pooled = work != nullptr;
    if (!pooled)
      work = co_await take_or_wait(limit);
    if (!work)
      break;
    const bool started = co_await write_all(*work, frame);
    if (pooled && !refill_posted_.exchange(true))
      asio::post(on_.io(), [self] {
        self->refill_posted_ = false;
        self->ask(0);
      });
    if (started && who_.drops_early_data)
      co_await let_start_arrive();
    if (started) {
      out.stream = wrap(std::move(work), by);
      out.error = work_error::none;
      co_return out;
    }
  }
  const std::lock_guard lock{mutex_};
  out.error = ended_ ? work_error::no_tunnel : work_error::no_stream;
  co_return out;
}

/// A round trip shows that StartWorkConn has reached the client, the pause lets it read it.
asio::awaitable<void> frp_tunnel::let_start_arrive() {
  if (mux_)
    co_await mux_->ping(limits_.handshake);
  asio::steady_timer pause{co_await asio::this_coro::executor, limits_.lone_start};
  co_await pause.async_wait(nothrow);
}

bool frp_tunnel::find(const std::string& name, proxy& out) const {
  const std::lock_guard lock{mutex_};
  auto found = proxies_.find(name);
  if (ended_ || found == proxies_.end())
    return false;
  out = found->second;
  return true;
}

stream_ptr frp_tunnel::wrap(stream_ptr raw, const proxy& by) {
  stream_ptr out = std::make_unique<work_tap>(std::move(raw), shared_from_this());
  if (by.bucket)
    out = frp::wrap_rate_limit(std::move(out), by.bucket);
  return frp::wrap_transform(std::move(out), by.use_encryption, by.use_compression, key_);
}

stream_ptr frp_tunnel::take_parked() {
  const std::lock_guard lock{mutex_};
  while (!parked_.empty()) {
    stream_ptr work = std::move(parked_.front());
    parked_.pop_front();
    if (quiet(*work))
      return work;
  }
  return nullptr;
}

asio::awaitable<stream_ptr> frp_tunnel::take_or_wait(milliseconds limit) {
  const auto here = co_await asio::this_coro::executor;
  if (here == on_.executor())
    co_return co_await wait_for_stream(limit);
  co_return co_await asio::co_spawn(on_.executor(), wait_for_stream(limit), asio::use_awaitable);
}

asio::awaitable<stream_ptr> frp_tunnel::wait_for_stream(milliseconds limit) {
  if (stream_ptr parked = take_parked()) // came while we changed threads
    co_return parked;
  {
    const std::lock_guard lock{mutex_};
    if (ended_ || waiters_.size() >= limits_.waiters_max)
      co_return stream_ptr{};
  }
  const auto executor = on_.executor();
  waiter here{executor};
  waiters_.push_back(&here);
  wish_ = std::min(wish_ + 1, pool_max());
  missed_at_ = on_.coarse_now();
  ask(1);
  here.timer.expires_after(limit);
  co_await here.timer.async_wait(nothrow);
  std::erase(waiters_, &here);
  co_return std::move(here.got);
}

void frp_tunnel::park(stream_ptr work) {
  // The loop's own thread delivers; a connection without mux may come from another one.
  asio::dispatch(on_.io(), [self = shared_from_this(), work = std::move(work)]() mutable {
    self->arrived(std::move(work));
  });
}

void frp_tunnel::arrived(stream_ptr work) {
  outstanding_ -= std::min<size_t>(outstanding_, 1);
  progress_at_ = on_.coarse_now();
  const std::lock_guard lock{mutex_};
  if (ended_)
    return;
  if (!waiters_.empty()) {
    waiter* first = waiters_.front();
    waiters_.pop_front();
    first->got = std::move(work);
    first->timer.cancel();
    return;
  }
  if (parked_.size() < pool_max())
    parked_.push_back(std::move(work));
  else
    work->shutdown_write(); // surplus, closed here as in stock
}

size_t frp_tunnel::pool_max() const {
  return pool_base_ + limits_.pool_extra;
}

void frp_tunnel::ask(size_t at_least) {
  size_t have = outstanding_;
  {
    const std::lock_guard lock{mutex_};
    if (ended_ || !control_)
      return;
    have += parked_.size();
  }
  // A request the client dropped would be counted as outstanding; `at_least` keeps a waiter from
  // relying on it.
  const size_t need = waiters_.size() + wish_;
  const size_t missing = std::max(need > have ? need - have : 0, at_least);
  for (size_t i = 0; i < missing; ++i)
    tell(frp::req_work_conn{});
  outstanding_ += missing;
  if (missing > 0)
    progress_at_ = std::max(progress_at_, on_.coarse_now());
}

void frp_tunnel::look_around() {
  const auto now = on_.coarse_now();
  drop_noisy_parked();
  if (wish_ > pool_base_ && now - missed_at_ >= limits_.wish_life) {
    --wish_;
    missed_at_ = now;
  }
  if (outstanding_ > 0 && now - progress_at_ >= limits_.ask_again)
    outstanding_ = 0;
  ask(0);
}

void frp_tunnel::drop_noisy_parked() {
  const std::lock_guard lock{mutex_};
  std::erase_if(parked_, [](stream_ptr& work) { return !quiet(*work); });
}

void frp_tunnel::end(const std::string& reason) {
  std::deque<stream_ptr> parked;
  {
    const std::lock_guard lock{mutex_};
    ended_ = true;
    if (end_reason_.empty())
      end_reason_ = reason;
    proxies_.clear();
    parked.swap(parked_);
  }
  for (waiter* one : waiters_)
    one->timer.cancel();
  waiters_.clear();
}

} // namespace harp::net
