// A mux session on its loop: carrier in, carrier out, pings, time limits, the end.
#include "net/mux_core.hpp"

#include <boost/asio/post.hpp>

#include <limits>

namespace harp::net {

namespace {

using guard = std::lock_guard<std::mutex>;

constexpr unsigned flush_rounds_max = 8;            // then other work of the loop has its turn
constexpr size_t read_burst_bytes_max = 256 * 1024; // likewise
constexpr size_t writers_woken_at_once = 8; // when there is some space; all when the queue is empty
constexpr seconds closing_scan_interval{5};
constexpr size_t idle_queue_bytes_max = 4 * 1024; // an idle session keeps no larger queue

} // namespace

std::shared_ptr<mux_session> mux_session::make(loop& on, stream_ptr carrier, mux_role role,
                                               mux_limits limits, stream_handler incoming,
                                               bool streams_half_close) {
  return std::make_shared<mux_core>(on, std::move(carrier), role, limits, std::move(incoming),
                                    streams_half_close);
}

mux_core::mux_core(loop& on, stream_ptr carrier, mux_role role, mux_limits limits,
                   stream_handler incoming, bool streams_half_close)
    : loop_(on), carrier_(std::move(carrier)), role_(role), limits_(limits),
      incoming_(std::move(incoming)), streams_half_close_(streams_half_close),
      progress_at_(on.coarse_now()), next_ping_(on.coarse_now() + limits.ping_interval),
      ping_limit_(on.coarse_now()), next_scan_(on.coarse_now() + closing_scan_interval),
      second_began_(on.coarse_now()), now_(on.coarse_now()),
      next_id_(role == mux_role::client ? 1 : 2) {}

// -- the public calls
// --------------------------------------------------------------------------------------------------

asio::awaitable<std::string> mux_core::run() {
  auto self = std::static_pointer_cast<mux_core>(shared_from_this());
  struct at_exit {
    mux_core& session;
    ~at_exit() {
      session.end("stopped", true);
    } // the loop is torn down under us: let all waiters go
  } last{*self};
  deadline ticker{loop_, {}};
  ticker.on_tick = [this] { tick(); };
  launch(loop_.executor(), write_loop(self), "mux writer");
  co_await read_loop();
  shut_carrier(true);
  guard held{mutex_};
  co_return reason_;
}

stream_ptr mux_core::open() {
  auto self = std::static_pointer_cast<mux_core>(shared_from_this());
  auto opened = std::make_shared<mux_stream_state>();
  waiter kick;
  {
    guard held{mutex_};
    if (ended_ || peer_takes_no_more_ || streams_.size() >= limits_.streams_max
        || unacked_opens_ >= limits_.unacked_opens_max
        || next_id_ > std::numeric_limits<uint32_t>::max() - 2)
      return nullptr;
    opened->id = std::exchange(next_id_, next_id_ + 2);
    opened->active_at = opened->credited_at = now_;
    ++unacked_opens_;
    streams_.insert(opened);
    locked_frame(mux_type::window_update, mux_flag::syn, opened->id, 0);
    kick = std::move(idle_writer_);
  }
  kick.resume(true);
  return make_mux_stream(std::move(self), std::move(opened));
}

asio::awaitable<bool> mux_core::ping(std::chrono::milliseconds limit) {
  auto self = shared_from_this();
  auto store = [this, limit](waiter whom) { start_ping(limit, std::move(whom)); };
  co_return co_await suspend(store);
}

void mux_core::start_ping(std::chrono::milliseconds limit, waiter whom) {
  auto exact_now = clock::now();
  waiter kick;
  {
    guard held{mutex_};
    if (!ended_ && pings_.size() < mux_pings_waiting_max) {
      // Those asked for within one tick share a frame: the peer answers only so many per second.
      bool shared = !pings_.empty() && pings_.back().sent == now_;
      uint32_t id = shared ? pings_.back().id : next_ping_id_++;
      if (!shared)
        locked_frame(mux_type::ping, mux_flag::syn, 0, id);
      pings_.push_back({id, now_, exact_now + limit, std::move(whom)});
      kick = std::move(idle_writer_);
    }
  }
  whom.resume(false); // unless it was kept
  kick.resume(true);
}

void mux_core::set_trusted() {
  waiter kick;
  {
    guard held{mutex_};
    trusted_ = true;
    for (const auto& each : streams_)
      if (each->attached && !each->fin_received)
        locked_credit(*each);
    if (!out_.empty())
      kick = std::move(idle_writer_);
  }
  kick.resume(true);
}

size_t mux_core::stream_count() const {
  guard held{mutex_};
  return streams_.size();
}

size_t mux_core::unread_bytes() const {
  guard held{mutex_};
  return unread_;
}

// -- the end
// -----------------------------------------------------------------------------------------------------------

void mux_core::end(std::string reason, bool unwinding) {
  wake_list wakes;
  bool first = false;
  {
    guard held{mutex_};
    first = !std::exchange(ended_, true);
    if (first) {
      reason_ = std::move(reason);
      locked_end(wakes);
    }
  }
  wakes.wake();
  if (unwinding)
    shut_carrier(false);
  else if (first)
    asio::post(loop_.io(), [self = std::static_pointer_cast<mux_core>(shared_from_this())] {
      self->shut_carrier(true);
    });
}

void mux_core::locked_end(wake_list& wakes) {
  receiving_.reset();
  for (auto& each : streams_.take_all()) {
    each->in_table = false;
    wakes.add(each->reader);
    wakes.add(each->writer);
  }
  space_waiters_.clear();
  for (auto& each : pings_)
    wakes.add(each.whom, false);
  pings_.clear();
  wakes.add(idle_writer_, false);
}

void mux_core::shut_carrier(bool send_rest) {
  if (std::exchange(shut_, true))
    return;
  if (send_rest && !blocked_)
    flush(); // what fits: a last answer, a go-away
  carrier_->close();
}

// -- carrier in
// --------------------------------------------------------------------------------------------------------

asio::awaitable<void> mux_core::read_loop() {
  buffer space;
  size_t burst = 0;
  while (!shut_) {
    if (!space)
      space = buffer{loop_, large_buffer_bytes};
    io_result got = carrier_->try_read({space.data(), space.size()});
    if (got.status == io_status::again) {
      space = buffer{};
      burst = 0;
      bool readable = co_await carrier_->wait_readable();
      if (!readable)
        co_return end("the connection was closed");
      continue;
    }
    if (got.status == io_status::eof)
      co_return end("the peer closed the connection");
    if (got.status == io_status::failed)
      co_return end("the connection failed: " + carrier_->failure());
    if (!receive({space.data(), got.bytes}))
      co_return;
    burst += got.bytes;
    if (burst >= read_burst_bytes_max) {
      burst = 0;
      co_await asio::post(loop_.executor(), nothrow);
    }
  }
}

// -- carrier out
// -------------------------------------------------------------------------------------------------------

asio::awaitable<void> mux_core::write_loop(std::shared_ptr<mux_core> self) {
  while (!shut_) {
    flushed result = flush();
    if (result == flushed::failed)
      co_return self->end("the connection failed: " + carrier_->failure());
    if (result == flushed::idle) {
      bool more = co_await next_output();
      if (!more)
        co_return;
    } else if (result == flushed::blocked) {
      bool writable = co_await carrier_->wait_writable();
      if (!writable)
        co_return self->end("the connection was closed");
      blocked_ = false;
    } else {
      co_await asio::post(loop_.executor(), nothrow);
    }
  }
}

asio::awaitable<bool> mux_core::next_output() {
  auto store = [this](waiter whom) {
    {
      guard held{mutex_};
      if (!ended_ && out_.empty()) {
        idle_writer_ = std::move(whom);
        return;
      }
    }
    whom.resume(true);
  };
  co_return co_await suspend(store);
}

bool mux_core::fill_outgoing() {
  guard held{mutex_};
  answers_going_ = std::exchange(answers_queued_, 0);
  outgoing_.clear();
  sent_ = 0;
  if (out_.empty())
    return false;
  outgoing_.swap(out_);
  return true;
}

mux_core::flushed mux_core::flush() {
  for (unsigned round = 0; round < flush_rounds_max; ++round) {
    if (sent_ == outgoing_.size()) {
      if (!fill_outgoing())
        return flushed::idle;
      progress_at_ = loop_.coarse_now();
    }
    if (blocked_)
      return flushed::blocked;
    io_result done = carrier_->try_write(std::string_view{outgoing_}.substr(sent_));
    if (done.status == io_status::again) {
      blocked_ = true;
      return flushed::blocked;
    }
    if (done.status != io_status::ok)
      return flushed::failed;
    progress_at_ = loop_.coarse_now();
    sent_ += done.bytes;
    account_sent(done.bytes);
  }
  return flushed::more;
}

void mux_core::account_sent(size_t bytes) {
  wake_list wakes;
  {
    guard held{mutex_};
    unsent_ -= bytes;
    active_ = true;
    if (unsent_ == 0) // nobody is left to wake the rest later
      locked_wake_writers(space_waiters_.size(), wakes);
    else if (unsent_ <= bulk_unsent_max() / 2)
      locked_wake_writers(writers_woken_at_once, wakes);
  }
  wakes.wake();
}

// -- time
// --------------------------------------------------------------------------------------------------------------

void mux_core::tick() {
  auto now = loop_.coarse_now();
  wake_list wakes;
  bool answered = true;
  {
    guard held{mutex_};
    if (ended_)
      return;
    now_ = now;
    if (now - second_began_ >= seconds{1}) {
      second_began_ = now;
      opens_this_second_ = pings_this_second_ = 0;
    }
    answered = tick_pings(now, wakes);
    if (now >= next_scan_) {
      next_scan_ = now + closing_scan_interval;
      tick_closing(now, wakes);
    }
    if (!std::exchange(active_, false))
      locked_release_memory();
    if (!out_.empty())
      wakes.add(idle_writer_);
  }
  wakes.wake();
  if (!answered)
    end("the peer does not answer pings");
  else if (blocked_ && now - progress_at_ > limits_.write_stall_max)
    end("the peer does not read");
}

bool mux_core::tick_pings(clock::time_point now, wake_list& wakes) {
  std::erase_if(pings_, [&](waiting_ping& each) {
    if (each.expires > now)
      return false;
    wakes.add(each.whom, false);
    return true;
  });
  if (own_ping_pending_ && now >= ping_limit_) {
    // The answer may stand in line behind bulk data; whatever comes shows that the peer lives.
    if (!std::exchange(heard_, false))
      return false;
    ping_limit_ = now + limits_.ping_timeout;
  }
  if (!own_ping_pending_ && limits_.ping_interval > seconds{0} && now >= next_ping_) {
    own_ping_pending_ = true;
    own_ping_id_ = next_ping_id_++;
    heard_ = false;
    ping_limit_ = now + limits_.ping_timeout;
    next_ping_ = now + limits_.ping_interval;
    locked_frame(mux_type::ping, mux_flag::syn, 0, own_ping_id_);
  }
  return true;
}

void mux_core::tick_closing(clock::time_point now, wake_list& wakes) {
  std::vector<mux_stream_ptr> late;
  for (const auto& each : streams_) {
    bool only_awaits_fin = each->fin_sent && (!each->attached || !streams_half_close_);
    if (only_awaits_fin && now - each->active_at >= limits_.close_timeout)
      late.push_back(each);
  }
  for (auto& each : late)
    locked_reset(*each, true, wakes);
}

void mux_core::locked_release_memory() {
  spare_.clear();
  if (out_.empty() && out_.capacity() > idle_queue_bytes_max)
    std::string{}.swap(out_);
  if (sent_ == outgoing_.size() && outgoing_.capacity() > idle_queue_bytes_max) {
    std::string{}.swap(outgoing_);
    sent_ = 0;
  }
}

} // namespace harp::net
