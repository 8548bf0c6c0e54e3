// The inside of a mux session: what the session's loop (mux_session.cpp, mux_receive.cpp) and the
// users of its streams (mux_stream.cpp, on other threads) share. Nobody else includes this.
#pragma once

#include "net/mux_session.hpp"
#include "net/mux_streams.hpp"

#include <boost/container/small_vector.hpp>

#include <deque>
#include <mutex>

namespace harp::net {

inline constexpr size_t mux_payload_bytes_max = 64 * 1024; // of a frame we send
inline constexpr size_t mux_small_write_bytes_max
    = 4 * 1024; // may use all of the queue: bulk does not shut it out
inline constexpr size_t mux_lean_window_bytes
    = 64 * 1024; // of streams while the session holds too much unread
inline constexpr size_t mux_settle_bytes
    = 64 * 1024; // a reader accounts for what it read at least so often
inline constexpr size_t mux_pings_waiting_max = 64;
inline constexpr size_t mux_untrusted_streams_max = 2;

/// Coroutines to wake once the mutex is free.
class wake_list {
public:
  void add(waiter& whom, bool answer = true) {
    if (whom)
      rows_.push_back({std::move(whom), answer});
  }
  void wake() {
    for (auto& row : rows_)
      row.whom.resume(row.answer);
    rows_.clear();
  }

private:
  struct entry {
    waiter whom;
    bool answer;
  };
  boost::container::small_vector<entry, 4> rows_;
};

/// See mux_session. Members named `locked_*` and all that take a wake_list expect the mutex to be
/// held.
class mux_core final : public mux_session {
public:
  mux_core(loop& on, stream_ptr carrier, mux_role role, mux_limits limits, stream_handler incoming,
           bool streams_half_close);

  asio::awaitable<std::string> run() override;
  stream_ptr open() override;
  asio::awaitable<bool> ping(std::chrono::milliseconds limit) override;
  void close(std::string reason) override { end(std::move(reason)); }
  void set_trusted() override;
  [[nodiscard]] size_t stream_count() const override;
  [[nodiscard]] size_t unread_bytes() const override;

  // -- for the streams, from any thread (mux_stream.cpp) --
  io_result write(mux_stream_state& to, std::string_view head, std::string_view body);
  /// Accounts for `consumed` bytes, takes back `spent` chunks and, when `local` is empty, moves
  /// into it what has come since. `ok` when `local` has bytes then.
  io_status exchange(mux_stream_state& from, size_t consumed, mux_chunk*& spent, mux_chunks& local);
  static asio::awaitable<bool> wait(std::shared_ptr<mux_core> session, mux_stream_ptr on,
                                    bool reading);
  void shutdown_write(mux_stream_state& of);
  void cancel(mux_stream_state& of);
  /// The user lets go of a stream, by a reset or by an ordinary end.
  void release(mux_stream_state& of, bool reset, mux_chunk*& spent, mux_chunks& local);
  [[nodiscard]] bool gone(const mux_stream_state& of) const;
  [[nodiscard]] std::string failure_of(const mux_stream_state& of) const;
  [[nodiscard]] bool streams_half_close() const { return streams_half_close_; }

private:
  enum class flushed : uint8_t { idle, blocked, more, failed };
  struct waiting_ping {
    uint32_t id;
    clock::time_point sent;
    clock::time_point expires;
    waiter whom;
  };

  // -- the session's loop (mux_session.cpp) --
  asio::awaitable<void> read_loop();
  asio::awaitable<void> write_loop(std::shared_ptr<mux_core> self);
  asio::awaitable<bool> next_output();
  flushed flush();
  bool fill_outgoing();
  void account_sent(size_t bytes);
  void tick();
  bool tick_pings(clock::time_point now, wake_list& wakes);
  void tick_closing(clock::time_point now, wake_list& wakes);
  void locked_release_memory();
  void end(std::string reason, bool unwinding = false);
  void locked_end(wake_list& wakes);
  void shut_carrier(bool send_rest);
  void start_ping(std::chrono::milliseconds limit, waiter whom);

  // -- frames from the peer (mux_receive.cpp), on the session's loop --
  bool receive(std::string_view bytes);
  void hand_out_new_streams();
  void on_header(const mux_header& header, wake_list& wakes);
  void on_stream_header(const mux_stream_ptr& to, const mux_header& header, wake_list& wakes);
  void on_payload(std::string_view piece, wake_list& wakes);
  void on_ping(const mux_header& header, wake_list& wakes);
  void on_go_away(uint32_t code);
  mux_stream_ptr* accept(uint32_t id, wake_list& wakes);
  bool may_accept(wake_list& wakes);
  bool on_data(const mux_stream_ptr& to, uint32_t length, wake_list& wakes);
  void on_credit(const mux_stream_ptr& to, uint32_t delta, wake_list& wakes);
  void on_fin(mux_stream_state& of, wake_list& wakes);
  void violated(std::string_view what);

  // -- the state shared with users (mux_state.cpp) --
  void locked_frame(mux_type type, uint16_t flags, uint32_t id, uint32_t length);
  /// An answer that the peer can provoke at will: counted.
  void locked_answer(mux_type type, uint16_t flags, uint32_t id, uint32_t length);
  /// Forgets a stream. The table's reference goes away: `of` needs another holder if it is used
  /// afterwards.
  void locked_drop(mux_stream_state& of, wake_list& wakes);
  void locked_reset(mux_stream_state& of, bool tell_peer, wake_list& wakes);
  void locked_credit(mux_stream_state& to);
  void locked_grow(mux_stream_state& of);
  void locked_consume(mux_stream_state& of, size_t bytes);
  [[nodiscard]] size_t locked_space(size_t wanted) const;
  [[nodiscard]] bool locked_writable(const mux_stream_state& of) const;
  [[nodiscard]] bool locked_readable(const mux_stream_state& of) const;
  void locked_wait_for_space(const mux_stream_ptr& whom);
  void locked_wake_writers(size_t count, wake_list& wakes);
  void store_waiter(const mux_stream_ptr& on, bool reading, waiter whom);
  [[nodiscard]] size_t bulk_unsent_max() const { return limits_.unsent_bytes_max / 4; }

  loop& loop_;
  const stream_ptr carrier_; // touched on the session's loop only
  const mux_role role_;
  const mux_limits limits_;
  const stream_handler incoming_;
  const bool streams_half_close_;

  // Of the session's loop alone.
  mux_reader reader_;
  std::string outgoing_; // being written; out_ collects meanwhile
  size_t sent_ = 0;      // of outgoing_
  bool blocked_ = false; // the carrier takes nothing now
  bool shut_ = false;
  bool heard_ = false; // something came since the last ping
  clock::time_point progress_at_;
  clock::time_point next_ping_;
  clock::time_point ping_limit_;
  clock::time_point next_scan_;
  clock::time_point second_began_;
  std::vector<mux_stream_ptr> fresh_; // opened by the peer, not yet handed to incoming_
  std::string ending_;                // why the frames just read end the session

  mutable std::mutex mutex_;
  // Everything below is guarded by it.
  clock::time_point now_; // of the last tick
  bool ended_ = false;
  bool trusted_ = false;
  bool peer_takes_no_more_ = false;
  bool flooded_ = false; // more answers were due than may be queued
  bool active_ = false;  // since the last tick
  std::string reason_;
  std::string out_;
  size_t unsent_ = 0;         // in out_ and outgoing_
  size_t answers_queued_ = 0; // in out_
  size_t answers_going_ = 0;  // in outgoing_
  waiter idle_writer_;
  std::deque<mux_stream_ptr> space_waiters_;
  mux_stream_table streams_;
  mux_stream_ptr receiving_; // whose payload comes now; null: skipped
  bool fin_after_payload_ = false;
  mux_chunk_pool spare_;
  size_t peer_streams_ = 0;
  size_t unacked_opens_ = 0;
  size_t unread_ = 0;
  size_t grown_ = 0; // sum of window growth over all streams
  unsigned opens_this_second_ = 0;
  unsigned pings_this_second_ = 0;
  uint32_t next_id_;
  uint32_t next_ping_id_ = 1;
  uint32_t own_ping_id_ = 0;
  bool own_ping_pending_ = false;
  std::vector<waiting_ping> pings_;
};

/// The stream object for a state.
stream_ptr make_mux_stream(std::shared_ptr<mux_core> session, mux_stream_ptr state);

} // namespace harp::net
