// What a mux session knows of each of its streams, and the table of them.
#pragma once

#include "net/mux_chunks.hpp"
#include "net/mux_codec.hpp"
#include "net/waiter.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

namespace harp::net {

/// One stream. Everything but `cancels` is guarded by the session's mutex.
struct mux_stream_state {
  uint32_t id = 0;
  bool peer_opened = false;
  bool acked = false;   // our SYN was answered, or there was none
  bool attached = true; // somebody holds the stream; otherwise only the peer's FIN is awaited
  bool in_table = true; // the session still routes frames here
  bool fin_sent = false;
  bool fin_received = false;
  bool reset = false; // by either side: both directions are dead
  bool waits_for_space = false;
  uint64_t send_window = mux_initial_window_bytes;   // what we may send
  uint64_t credit = mux_initial_window_bytes;        // what the peer may send
  uint64_t window = mux_initial_window_bytes;        // what credit + unread is filled up to
  uint64_t unread = 0;                               // received, and not settled by the reader
  std::chrono::steady_clock::time_point credited_at; // when credit was last given
  std::chrono::steady_clock::time_point active_at; // when something of it last came or we ended it
  mux_chunks inbox;
  waiter reader;
  waiter writer;
  std::atomic<uint32_t> cancels{0}; // a wait that saw this change was cancelled
};

using mux_stream_ptr = std::shared_ptr<mux_stream_state>;

/// Streams by id: a sorted vector, because ids mostly come in order and a frame mostly belongs to
/// the stream of the frame before it.
class mux_stream_table {
public:
  [[nodiscard]] size_t size() const { return rows_.size(); }
  [[nodiscard]] auto begin() const { return rows_.begin(); }
  [[nodiscard]] auto end() const { return rows_.end(); }

  [[nodiscard]] mux_stream_ptr* find(uint32_t id) {
    if (last_ < rows_.size() && rows_[last_]->id == id)
      return &rows_[last_];
    auto found = lower_bound(id);
    if (found == rows_.end() || (*found)->id != id)
      return nullptr;
    last_ = static_cast<size_t>(found - rows_.begin());
    return &*found;
  }
  void insert(mux_stream_ptr stream) {
    auto where = lower_bound(stream->id);
    rows_.insert(where, std::move(stream));
  }
  void erase(uint32_t id) {
    auto found = lower_bound(id);
    if (found != rows_.end() && (*found)->id == id)
      rows_.erase(found);
  }
  std::vector<mux_stream_ptr> take_all() { return std::exchange(rows_, {}); }

private:
  std::vector<mux_stream_ptr>::iterator lower_bound(uint32_t id) {
    return std::lower_bound(rows_.begin(), rows_.end(), id,
                            [](const mux_stream_ptr& row, uint32_t key) { return row->id < key; });
  }

  std::vector<mux_stream_ptr> rows_;
  size_t last_ = 0;
};

} // namespace harp::net
