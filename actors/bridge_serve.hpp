// Contents for other members on data streams: what they asked, in the order of storage/serve_queue.
#pragma once

#include "actors/bridge_links.hpp"
#include "net/waiter.hpp"
#include "storage/serve_queue.hpp"
#include "storage/space_content.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace harp {

inline constexpr size_t frame_piece_bytes = 256 * 1024; // of a chunk, per Data frame: small enough to show progress
inline constexpr size_t serve_batch_items_max = 64;      // pieces read in one go
inline constexpr uint64_t serve_batch_bytes_max = 512 * 1024;
inline constexpr std::chrono::milliseconds serve_pump_interval{50}; // while something waits for its turn

/// Number on the wire of a piece, and back (storage.md 11).
[[nodiscard]] uint32_t wire_number(piece_kind kind, uint32_t no);
[[nodiscard]] piece_run piece_of(const content_id& cid, uint32_t wire);

/// One per node: fair between all who ask. Every function may be called from any thread.
class bridge_serve {
public:
  using content_finder = std::function<std::shared_ptr<space_content>(const space_id&)>;
  bridge_serve(std::shared_ptr<storage_plane> plane, content_finder contents) : plane_(std::move(plane)), contents_(std::move(contents)) {}
  /// Answers one Want until all of it was sent, cancelled, or the stream ended.
  net::asio::awaitable<void> serve(opened_stream opened);
  /// Ends all: their coroutines go on and see that.
  void stop();

private:
  struct job {
    uint64_t id = 0;
    replica_id requester = 0;
    opened_stream opened;
    std::shared_ptr<space_content> content;
    std::deque<serve_item> ready; // their turn has come; guarded by mutex_, like what follows
    size_t left = 0;              // queued or ready
    bool ended = false;
    net::waiter waiting;
  };
  using job_ptr = std::shared_ptr<job>;
  struct answer {
    std::vector<serve_item> items;
    std::vector<missing_message> lacks;
  };

  [[nodiscard]] static answer plan(const space_content& content, const want_message& want, uint64_t request, replica_id requester);
  net::asio::awaitable<void> run(job_ptr what);
  net::asio::awaitable<bool> next_turn(job_ptr what);
  std::vector<serve_item> take_batch(job& what);
  net::asio::awaitable<bool> send(job_ptr what, std::shared_ptr<const std::vector<serve_item>> batch);
  net::asio::awaitable<void> watch(job_ptr what);
  net::asio::awaitable<void> tick(net::loop& on);
  void cancel(job& what, const cancel_message& told);
  void leave(job& what);
  void pump();

  std::shared_ptr<storage_plane> plane_;
  content_finder contents_;
  std::mutex mutex_;
  serve_queue queue_;                                       // guarded by it
  std::map<std::pair<replica_id, uint64_t>, job_ptr> jobs_; // guarded by it
  uint64_t next_request_ = 1;                               // guarded by it
  bool ticking_ = false;                                    // guarded by it
  bool stopped_ = false;                                    // guarded by it
};

} // namespace harp
