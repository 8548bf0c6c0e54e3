// What users of streams and the session's loop do to their shared state, under the session's mutex.
#include "net/mux_core.hpp"

namespace harp::net {

namespace {

using guard = std::lock_guard<std::mutex>;

/// A stream whose reader took half a window within this time gets a larger one.
constexpr milliseconds growth_pause_max{500};

uint32_t as_length(size_t bytes) {
  return static_cast<uint32_t>(bytes);
}

} // namespace

// -- calls of the streams
// ----------------------------------------------------------------------------------------------

io_result mux_core::write(mux_stream_state& to, std::string_view head, std::string_view body) {
  waiter kick;
  size_t done = 0;
  {
    guard held{mutex_};
    if (ended_ || to.reset || to.fin_sent)
      return {io_status::failed, 0};
    size_t total = head.size() + body.size();
    size_t taken = std::min<size_t>({total, to.send_window, locked_space(total)});
    if (taken == 0)
      return {total == 0 ? io_status::ok : io_status::again, 0};
    while (done < taken) {
      size_t part = std::min(taken - done, mux_payload_bytes_max);
      locked_frame(mux_type::data, 0, to.id, as_length(part));
      size_t of_head = std::min(part, head.size());
      out_.append(head.substr(0, of_head));
      out_.append(body.substr(0, part - of_head));
      head.remove_prefix(of_head);
      body.remove_prefix(part - of_head);
      done += part;
    }
    unsent_ += taken;
    to.send_window -= taken;
    active_ = true;
    kick = std::move(idle_writer_);
  }
  kick.resume(true);
  return {io_status::ok, done};
}

io_status mux_core::exchange(mux_stream_state& from, size_t consumed, mux_chunk*& spent,
                             mux_chunks& local) {
  waiter kick;
  io_status status = io_status::again;
  {
    guard held{mutex_};
    spare_.give(std::exchange(spent, nullptr));
    if (consumed > 0)
      locked_consume(from, consumed);
    if (local.empty() && !from.inbox.empty())
      local.take(from.inbox);
    if (!local.empty())
      status = io_status::ok;
    else if (from.reset || (ended_ && !from.fin_received))
      status = io_status::failed;
    else if (from.fin_received)
      status = io_status::eof;
    if (!out_.empty())
      kick = std::move(idle_writer_);
  }
  kick.resume(true);
  return status;
}

void mux_core::store_waiter(const mux_stream_ptr& on, bool reading, waiter whom) {
  {
    guard held{mutex_};
    bool ready = reading ? locked_readable(*on) : locked_writable(*on);
    if (!ready) {
      waiter& slot = reading ? on->reader : on->writer;
      slot.resume(false); // a second waiter is a mistake of the caller: the first one must not hang
      slot = std::move(whom);
      if (!reading && on->send_window > 0)
        locked_wait_for_space(on);
      return;
    }
  }
  whom.resume(true);
}

asio::awaitable<bool> mux_core::wait(std::shared_ptr<mux_core> session, mux_stream_ptr on,
                                     bool reading) {
  uint32_t cancels = on->cancels.load();
  auto store = [core = session.get(), &on, reading](waiter whom) {
    core->store_waiter(on, reading, std::move(whom));
  };
  bool woken = co_await suspend(store);
  co_return woken && on->cancels.load() == cancels;
}

void mux_core::shutdown_write(mux_stream_state& of) {
  wake_list wakes;
  {
    guard held{mutex_};
    if (!of.in_table || of.fin_sent)
      return;
    locked_frame(mux_type::window_update, mux_flag::fin, of.id, 0);
    of.fin_sent = true;
    of.active_at = now_;
    wakes.add(of.writer);
    wakes.add(idle_writer_);
    if (of.fin_received)
      locked_drop(of, wakes);
  }
  wakes.wake();
}

void mux_core::cancel(mux_stream_state& of) {
  wake_list wakes;
  {
    guard held{mutex_};
    ++of.cancels;
    wakes.add(of.reader, false);
    wakes.add(of.writer, false);
  }
  wakes.wake();
}

void mux_core::release(mux_stream_state& of, bool reset, mux_chunk*& spent, mux_chunks& local) {
  wake_list wakes;
  {
    guard held{mutex_};
    ++of.cancels;
    wakes.add(of.reader, false);
    wakes.add(of.writer, false);
    spare_.give(std::exchange(spent, nullptr));
    local.clear(spare_);
    of.inbox.clear(spare_);
    unread_ -= std::exchange(of.unread, 0);
    of.attached = false;
    of.active_at = now_;
    if (of.in_table && reset) {
      locked_reset(of, true, wakes);
    } else if (of.in_table) {
      if (!std::exchange(of.fin_sent, true))
        locked_frame(mux_type::window_update, mux_flag::fin, of.id, 0);
      if (of.fin_received)
        locked_drop(of, wakes);
    }
    if (!out_.empty())
      wakes.add(idle_writer_);
  }
  wakes.wake();
}

bool mux_core::gone(const mux_stream_state& of) const {
  guard held{mutex_};
  bool more_to_read = of.fin_received && of.unread > 0;
  return of.reset || (ended_ && !more_to_read);
}

std::string mux_core::failure_of(const mux_stream_state& of) const {
  guard held{mutex_};
  if (of.reset)
    return "stream reset";
  return ended_ ? "session ended: " + reason_ : std::string{};
}

// -- under the mutex
// ---------------------------------------------------------------------------------------------------

void mux_core::locked_frame(mux_type type, uint16_t flags, uint32_t id, uint32_t length) {
  auto header = encode_mux_header({type, flags, id, length});
  out_.append(header.data(), header.size());
  unsent_ += header.size();
}

void mux_core::locked_answer(mux_type type, uint16_t flags, uint32_t id, uint32_t length) {
  if (answers_queued_ + answers_going_ >= limits_.control_frames_max) {
    flooded_ = true;
    return;
  }
  ++answers_queued_;
  locked_frame(type, flags, id, length);
}

void mux_core::locked_drop(mux_stream_state& of, wake_list& wakes) {
  if (!std::exchange(of.in_table, false))
    return;
  wakes.add(of.reader);
  wakes.add(of.writer);
  peer_streams_ -= of.peer_opened ? 1 : 0;
  unacked_opens_ -= std::exchange(of.acked, true) ? 0 : 1;
  grown_ -= of.window - mux_initial_window_bytes;
  if (receiving_.get() == &of)
    receiving_.reset();
  streams_.erase(of.id);
}

void mux_core::locked_reset(mux_stream_state& of, bool tell_peer, wake_list& wakes) {
  if (!of.in_table)
    return;
  if (tell_peer)
    locked_frame(mux_type::window_update, mux_flag::rst, of.id, 0);
  of.reset = true;
  of.unread -= of.inbox.size();
  unread_ -= of.inbox.size();
  of.inbox.clear(spare_);
  locked_drop(of, wakes);
}

void mux_core::locked_consume(mux_stream_state& of, size_t bytes) {
  of.unread -= bytes;
  unread_ -= bytes;
  if (of.in_table && !of.fin_received)
    locked_credit(of);
}

void mux_core::locked_credit(mux_stream_state& to) {
  if (to.peer_opened && !trusted_)
    return;
  bool full = unread_ > limits_.unread_bytes_max;
  uint64_t held = to.credit + to.unread;
  uint64_t target = full ? std::min<uint64_t>(to.window, mux_lean_window_bytes) : to.window;
  if (held >= target || target - held < target / 2)
    return;
  if (!full) {
    locked_grow(to);
    target = to.window;
  }
  to.credited_at = now_;
  to.credit += target - held;
  locked_frame(mux_type::window_update, 0, to.id, as_length(target - held));
}

void mux_core::locked_grow(mux_stream_state& of) {
  bool keeps_up = of.unread <= of.window / 4 && now_ - of.credited_at <= growth_pause_max;
  if (!keeps_up || of.window >= limits_.window_bytes_max)
    return;
  uint64_t more = std::min<uint64_t>(of.window, limits_.window_bytes_max - of.window);
  if (grown_ + more + unread_ > limits_.unread_bytes_max)
    return;
  of.window += more;
  grown_ += more;
}

size_t mux_core::locked_space(size_t wanted) const {
  size_t limit = wanted <= mux_small_write_bytes_max ? limits_.unsent_bytes_max : bulk_unsent_max();
  return limit > unsent_ ? limit - unsent_ : 0;
}

bool mux_core::locked_writable(const mux_stream_state& of) const {
  bool will_fail = ended_ || of.reset || of.fin_sent;
  return will_fail || (of.send_window > 0 && unsent_ < bulk_unsent_max());
}

bool mux_core::locked_readable(const mux_stream_state& of) const {
  return ended_ || of.reset || of.fin_received || !of.inbox.empty();
}

void mux_core::locked_wait_for_space(const mux_stream_ptr& whom) {
  if (!std::exchange(whom->waits_for_space, true))
    space_waiters_.push_back(whom);
}

void mux_core::locked_wake_writers(size_t count, wake_list& wakes) {
  while (!space_waiters_.empty() && count > 0) {
    mux_stream_ptr next = std::move(space_waiters_.front());
    space_waiters_.pop_front();
    next->waits_for_space = false;
    count -= next->writer ? 1 : 0;
    wakes.add(next->writer);
  }
}

} // namespace harp::net
