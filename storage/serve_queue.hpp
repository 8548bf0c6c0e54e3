// What peers asked of us and in which order it is read and sent: fair by class and requester, bounded (storage.md 9.5).
#pragma once

#include "storage/picker_events.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr uint64_t serve_reading_bytes_max = 8ull
                                                    << 20; // per requester, read and not yet sent
inline constexpr uint64_t serve_buffers_bytes_max
    = 128ull << 20; // of all requesters; a keeper is given 512 MiB
inline constexpr uint64_t serve_backlog_bytes_max
    = 256ull << 20;                                      // per requester: twice the largest window
inline constexpr size_t serve_items_max = 16'384;        // per requester
inline constexpr size_t serve_items_total_max = 131'072; // of all requesters
inline constexpr uint64_t serve_quantum_bytes = 256ull
                                                << 10; // times the weight of the class: 8, 4, 1
inline constexpr uint64_t serve_pressure_bytes
    = 256ull << 10; // backlog of two or more requesters from which order matters
inline constexpr size_t serve_memory_chunks_max
    = 65'536; // chunks whose having been sent is remembered (twice)
inline constexpr uint64_t serve_ahead_ms = 200;
inline constexpr uint64_t serve_ahead_bytes_min = 2ull << 20;
inline constexpr uint64_t serve_stuck_ms_min = 100,
                          serve_stuck_ms_max = 5'000; // slow takers do not hold up others
inline constexpr uint64_t serve_hold_ms_min = 20,
                          serve_hold_ms_max = 1'000; // a chunk just sent is left to travel on
inline constexpr uint64_t serve_pressure_ms = 100;
inline constexpr uint64_t serve_patience_ms
    = 30'000; // who waited so long may reach nobody else: its repeats count as fresh
inline constexpr double serve_rate_guess = 10e6;
inline constexpr uint64_t serve_retry_ms_min = 100, serve_retry_ms_max = 5'000;

inline constexpr size_t serve_look_max = 1024; // items of a lane looked at for one not sent yet
inline constexpr size_t serve_requesters_max = 1024; // beyond, Busy

/// One piece to read and send. `bytes` is what it costs; the caller knows where it lies.
struct serve_item {
  uint64_t request = 0;
  replica_id requester = 0;
  transfer_class cls = transfer_class::normal;
  content_id cid;
  piece_kind kind = piece_kind::chunk;
  uint32_t no = 0;
  uint64_t bytes = 0;
  uint64_t queued_ms = 0; // set by add
};

/// Deficit round robin over (class, requester) with weights 8 / 4 / 1. While two or more requesters wait for more than
/// serve_pressure_bytes, chunks not yet sent to anybody come first and who lacks most is given up to twice as much: what is
/// sent once travels on between the receivers. A requester with nothing but repeats keeps a quarter of its share, because it may
/// reach nobody else. Sans-I/O; one owner (per node: `requester` is the caller's number of a peer, `request` unique per requester).
class serve_queue {
public:
  explicit serve_queue(uint64_t buffers_bytes_max = serve_buffers_bytes_max)
      : buffers_max_(buffers_bytes_max) {}

  /// Queues all items (same requester, request and class) or none: then the answer is Busy with this many ms.
  std::optional<uint32_t> add(uint64_t now_ms, std::vector<serve_item> items);
  /// What to read next; nothing while enough is on its way (serve_ahead_ms of this node's measured rate: chunks that leave one
  /// after the other travel on between receivers sooner than chunks that leave side by side) or all who wait are at their limit.
  /// Counts as on its way until `sent`. Ask again after every `sent` and at the latest after serve_stuck_ms_max.
  std::optional<serve_item> next(uint64_t now_ms);
  /// An item of `next` has been written to its connection, or could not be read.
  void sent(uint64_t now_ms, const serve_item& item);
  /// Drops what is queued of a request: one piece, or all. What is being read already is the caller's to stop.
  size_t cancel(replica_id requester, uint64_t request);
  bool cancel(replica_id requester, uint64_t request, const content_id& cid, piece_kind kind,
              uint32_t no);
  void requester_gone(replica_id requester);
  /// How many bytes a requester lacks of what it is fetching, as far as its Have messages tell.
  void set_lack(replica_id requester, uint64_t bytes);
  /// Bytes per second that can leave this node: the fastest half second of late; a guess at first.
  [[nodiscard]] double rate() const { return rate_; }

  [[nodiscard]] uint64_t queued_bytes() const { return queued_bytes_; }
  [[nodiscard]] size_t queued_items() const { return queued_items_; }
  [[nodiscard]] uint64_t reading_bytes(replica_id requester) const;
  [[nodiscard]] bool under_pressure() const;

private:
  struct lane { // one (class, requester)
    std::list<serve_item> items;
    uint64_t deficit = 0;
  };
  struct requester_state {
    std::map<transfer_class, lane> lanes;
    uint64_t queued_bytes = 0;
    size_t queued_items = 0;
    uint64_t reading_bytes = 0;
    uint64_t lack_bytes = 0;
    uint64_t reading_since_ms
        = 0; // oldest moment from which something was on its way without any `sent`
  };
  enum class freshness : uint8_t { fresh, repeat, just_sent };
  using turn = std::pair<transfer_class, replica_id>;
  std::list<serve_item>::iterator pick(uint64_t now_ms, lane& from, bool pressed) const;
  [[nodiscard]] uint64_t quantum(const requester_state& who, const turn& at,
                                 uint64_t lack_max) const;
  [[nodiscard]] freshness freshness_of(uint64_t now_ms, const serve_item& item) const;
  void took(requester_state& who, const serve_item& item);
  bool advance(uint64_t now_ms, bool pressed, uint64_t lack_max, freshness up_to);
  [[nodiscard]] uint64_t hold_ms(uint64_t bytes) const;
  void hold(const serve_item& item, uint64_t until_ms);
  serve_item hand_out(uint64_t now_ms, const turn& at, std::list<serve_item>::iterator item);
  [[nodiscard]] uint64_t moving_bytes(uint64_t now_ms) const;
  void measure(uint64_t now_ms, uint64_t bytes);
  template <class Match>
  size_t drop(replica_id requester, Match match);

  uint64_t buffers_max_;
  uint64_t queued_bytes_ = 0;
  size_t queued_items_ = 0;
  uint64_t reading_bytes_ = 0;
  double rate_ = serve_rate_guess, smooth_rate_ = serve_rate_guess;
  uint64_t round_start_ms_ = 0;
  uint64_t round_bytes_ = 0;
  bool measured_ = false;
  double parallel_ = 1; // more is under way while receivers, not this node, are what is slow
  std::map<replica_id, requester_state> requesters_;
  std::deque<turn> turns_; // lanes that have something queued, in the order of the round
  bool visited_ = false;   // the lane at the front has had its quantum of this round
  std::unordered_map<uint64_t, uint64_t> sent_young_,
      sent_old_; // when it was first sent; // two generations bound the memory
};

} // namespace harp
