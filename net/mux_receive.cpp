// What the frames of the peer do to a mux session. Runs on the session's loop.
#include "net/mux_core.hpp"

namespace harp::net {

bool mux_core::receive(std::string_view bytes) {
  heard_ = true;
  wake_list wakes;
  waiter kick;
  bool flushed_here = false;
  std::unique_lock held{mutex_};
  active_ = true;
  while (!ended_ && !flooded_ && ending_.empty()) {
    auto step = reader_.next(bytes);
    if (step == mux_reader::step::more)
      break;
    if (step == mux_reader::step::header)
      on_header(reader_.header(), wakes);
    else if (step == mux_reader::step::payload)
      on_payload(reader_.payload(), wakes);
    else
      violated("not a frame");
    if (answers_queued_ >= limits_.control_frames_max / 2 && !blocked_) {
      // Many frames in one read may ask for many answers; a queue overflows only when the peer does
      // not take them.
      held.unlock();
      flush();
      flushed_here = true;
      held.lock();
    }
  }
  if (flooded_ && ending_.empty())
    ending_ = "too many answers wait for the peer to read";
  if (flushed_here || !out_.empty())
    kick = std::move(idle_writer_);
  held.unlock();
  wakes.wake();
  kick.resume(true);
  hand_out_new_streams();
  if (!ending_.empty())
    end(ending_);
  held.lock();
  return !ended_;
}

void mux_core::hand_out_new_streams() {
  auto self = std::static_pointer_cast<mux_core>(shared_from_this());
  for (auto& opened : std::exchange(fresh_, {})) {
    {
      std::lock_guard held{mutex_};
      if (ended_ || opened->reset)
        continue;
    }
    incoming_(make_mux_stream(self, std::move(opened)));
  }
}

void mux_core::violated(std::string_view what) {
  locked_frame(mux_type::go_away, 0, 0, mux_go_away::protocol_error);
  ending_ = "protocol error: ";
  ending_ += what;
}

void mux_core::on_header(const mux_header& header, wake_list& wakes) {
  receiving_.reset();
  fin_after_payload_ = false;
  if (header.type == mux_type::ping)
    return on_ping(header, wakes);
  if (header.type == mux_type::go_away)
    return on_go_away(header.length);
  mux_stream_ptr* row = streams_.find(header.stream);
  if (header.has(mux_flag::syn)) {
    if (row != nullptr)
      return violated("a stream id that is in use");
    row = accept(header.stream, wakes);
  }
  if (row != nullptr) { // others are finished or refused: skipped
    mux_stream_ptr to = *row;
    on_stream_header(to, header, wakes);
  }
}

void mux_core::on_stream_header(const mux_stream_ptr& to, const mux_header& header,
                                wake_list& wakes) {
  if (header.has(mux_flag::ack) && !std::exchange(to->acked, true))
    --unacked_opens_;
  if (header.has(mux_flag::rst))
    return locked_reset(*to, false, wakes);
  bool payload = header.type == mux_type::data && header.length > 0;
  if (header.type == mux_type::window_update)
    on_credit(to, header.length, wakes);
  else if (payload && !on_data(to, header.length, wakes))
    return;
  if (!header.has(mux_flag::fin))
    return;
  if (payload)
    fin_after_payload_ = true;
  else
    on_fin(*to, wakes);
}

void mux_core::on_ping(const mux_header& header, wake_list& wakes) {
  if (header.has(mux_flag::syn)) {
    if (pings_this_second_++ < limits_.pings_per_second_max)
      locked_answer(mux_type::ping, mux_flag::ack, 0, header.length);
    return;
  }
  if (own_ping_pending_ && header.length == own_ping_id_)
    own_ping_pending_ = false;
  std::erase_if(pings_, [&](waiting_ping& each) {
    if (each.id != header.length)
      return false;
    wakes.add(each.whom);
    return true;
  });
}

void mux_core::on_go_away(uint32_t code) {
  if (code == mux_go_away::normal)
    peer_takes_no_more_ = true;
  else
    ending_ = "the peer ended the session with code " + std::to_string(code);
}

mux_stream_ptr* mux_core::accept(uint32_t id, wake_list& wakes) {
  bool odd_is_ours = role_ == mux_role::client;
  if (id == 0 || (id % 2 == 1) == odd_is_ours) {
    violated("a stream id of the wrong side");
    return nullptr;
  }
  if (++opens_this_second_ > limits_.opens_per_second_max || !may_accept(wakes)) {
    locked_answer(mux_type::window_update, mux_flag::rst, id, 0);
    return nullptr;
  }
  auto opened = std::make_shared<mux_stream_state>();
  opened->id = id;
  opened->peer_opened = true;
  opened->acked = true;
  opened->active_at = opened->credited_at = now_;
  ++peer_streams_;
  fresh_.push_back(opened);
  streams_.insert(std::move(opened));
  locked_frame(mux_type::window_update, mux_flag::ack, id, 0);
  return streams_.find(id);
}

bool mux_core::may_accept(wake_list& wakes) {
  if (!incoming_ || (!trusted_ && peer_streams_ >= mux_untrusted_streams_max))
    return false;
  if (streams_.size() < limits_.streams_max)
    return true;
  // A stream that only waits for a FIN the peer may never send (frp.md 4.6) makes room first.
  for (const auto& each : streams_) {
    if (each->attached)
      continue;
    mux_stream_ptr left = each;
    locked_reset(*left, true, wakes);
    return true;
  }
  return false;
}

bool mux_core::on_data(const mux_stream_ptr& to, uint32_t length, wake_list& wakes) {
  if (length > to->credit) {
    violated("more data than the window allows");
    return false;
  }
  to->credit -= length;
  to->active_at = now_;
  bool unwanted = !to->attached || to->fin_received;
  bool too_early = !trusted_ && to->peer_opened && to->unread + length > preamble_bytes_max;
  bool overrun = unread_ + length > limits_.unread_bytes_max * mux_overrun_factor;
  if (unwanted || too_early || overrun) {
    locked_reset(*to, true, wakes);
    return false;
  }
  receiving_ = to;
  return true;
}

void mux_core::on_payload(std::string_view piece, wake_list& wakes) {
  if (!receiving_)
    return;
  auto& to = *receiving_;
  if (to.attached) { // else its user let go in the middle of the frame
    to.inbox.append(piece, spare_);
    to.unread += piece.size();
    unread_ += piece.size();
    wakes.add(to.reader);
  }
  if (reader_.remaining() > 0)
    return;
  auto done = std::exchange(receiving_, nullptr);
  if (std::exchange(fin_after_payload_, false))
    on_fin(*done, wakes);
}

void mux_core::on_credit(const mux_stream_ptr& to, uint32_t delta, wake_list& wakes) {
  to->send_window += delta;
  if (to->send_window > UINT32_MAX)
    return violated("a window beyond 32 bits");
  if (!to->writer || delta == 0)
    return;
  if (locked_writable(*to))
    wakes.add(to->writer);
  else
    locked_wait_for_space(to);
}

void mux_core::on_fin(mux_stream_state& of, wake_list& wakes) {
  if (std::exchange(of.fin_received, true))
    return violated("a second FIN");
  wakes.add(of.reader);
  if (of.fin_sent)
    locked_drop(of, wakes);
}

} // namespace harp::net
