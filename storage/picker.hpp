// Which chunk is asked of whom, and when (storage.md 9): the sans-I/O core of one space's swarm.
#pragma once

#include "storage/have_map.hpp"
#include "storage/peer_strikes.hpp"
#include "storage/picker_content.hpp"
#include "storage/picker_events.hpp"
#include "storage/picker_flights.hpp"
#include "storage/picker_order.hpp"
#include "storage/transfer_window.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t wants_max = 65'536;      // wanted contents at once; beyond, `want` refuses
inline constexpr size_t open_contents_max = 64;  // of more than one chunk, being written
inline constexpr size_t picker_peers_max = 256;  // connected at once
inline constexpr size_t reads_max = 64;          // readers (DAV, `harp cat`) at once
inline constexpr size_t request_runs_max = 1024; // entries of one Want
inline constexpr uint64_t request_bytes_max = 4ull << 20;
inline constexpr uint64_t read_ahead_bytes_min = 8ull << 20;
inline constexpr uint64_t read_ahead_ms = 2'000;         // of consumption
inline constexpr uint64_t deadline_queue_ms_max = 2'000; // on the best peer
inline constexpr uint64_t hedge_wait_ms_min = 300;
inline constexpr int64_t hedge_bytes_start = 256ll << 10, hedge_bytes_max = 64ll << 20;
inline constexpr double hedge_share = 0.05;        // of received bytes
inline constexpr uint64_t sweep_ms = 100;          // how often late ones are looked for
inline constexpr uint64_t silence_ms_max = 20'000; // without any byte: its requests go to others
inline constexpr uint64_t overdue_ms_min
    = 30'000; // a chunk this late (and 10x expected) is taken back
inline constexpr uint64_t pause_ms_start = 1'000,
                          pause_ms_max = 300'000; // after a failure, doubled
inline constexpr size_t early_have_max
    = 16'384; // (peer, content) told before the content is wanted
inline constexpr size_t small_candidates_max = 1024; // small files looked at for one request

/// Settings of one picker.
struct picker_settings {
  replica_id own = 0;  // salts the order, so that receivers of one source start in different places
  bool keeper = false; // larger windows with other keepers
};

/// Counters for metrics and status.
struct picker_totals {
  uint64_t received_bytes = 0;  // in verified chunks, each counted once
  uint64_t duplicate_bytes = 0; // arrived a second time
  uint64_t bad_chunks = 0;
  uint64_t hedges = 0, moves = 0, end_game = 0;
};

/// One space's swarm. Events go in with the owner's clock (`now_ms`, never going back); `effects(now_ms)` decides what to ask and
/// returns everything to be done since the last call. Call it after each batch of events and when `next_ms()` is due.
/// Peers are named by the rid they have in this space now. Bytes are verified by the owner: the picker sees only numbers.
/// Not thread-safe; no clock, no I/O, no randomness: equal events give equal effects.
class picker {
public:
  explicit picker(picker_settings settings);
  picker(const picker&) = delete;
  picker& operator=(const picker&) = delete;

  // -- wants
  /// False when wants_max are held already (fetch_room tells when to come again). A second want of a cid may raise its class.
  bool want(uint64_t now_ms, content_want want);
  /// Forgets it; what is under way is cancelled.
  void unwant(uint64_t now_ms, const content_id& cid);
  /// Chunks that are here already: a resumed partial, or reuse of local data. False when out of range.
  bool chunks_held(uint64_t now_ms, const content_id& cid, std::span<const chunk_run> runs);
  /// Chunks that were lost again (a scrub, a failed write): they are fetched anew.
  void chunks_lost(uint64_t now_ms, const content_id& cid, std::span<const chunk_run> runs);

  // -- manifests
  /// False when it does not fit the want (size, counts): then it was not used. `peer` 0: from the own store.
  bool root_arrived(uint64_t now_ms, replica_id peer, const content_id& cid,
                    const content_shape& shape);
  void root_absent(uint64_t now_ms, const content_id& cid);
  bool segment_arrived(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t index,
                       std::span<const chunk_ref> chunks);
  void segment_absent(uint64_t now_ms, const content_id& cid, uint32_t index);

  // -- peers
  /// False when picker_peers_max are connected. A known peer comes back with its halved window.
  bool peer_up(uint64_t now_ms, replica_id peer, peer_reach reach, uint32_t rtt_ms, bool keeper);
  void peer_down(uint64_t now_ms, replica_id peer);
  void peer_rtt(replica_id peer, uint32_t rtt_ms);
  /// Have: all of it (also a keeper's Safe), or exactly these chunks (replaces what was known).
  void have(uint64_t now_ms, replica_id peer, const content_id& cid, bool complete,
            std::span<const chunk_run> runs);
  /// HaveDelta: these chunks more.
  void have_more(uint64_t now_ms, replica_id peer, const content_id& cid,
                 std::span<const chunk_run> runs);

  // -- answers
  /// Bytes of a chunk that is not complete yet; call at least every few seconds or 256 KiB. `bytes` is the increment.
  /// False: more came than the chunk has; it counts as bad and its request is cancelled.
  bool data_arrived(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no,
                    uint64_t bytes);
  /// A chunk is complete and its hash is right. `bytes` is its length, what data_arrived told of it included.
  /// False: not wanted any more, or had already (a duplicate).
  bool chunk_arrived(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no,
                     uint64_t bytes);
  /// A complete chunk with a wrong hash, or one of wrong length.
  void chunk_bad(uint64_t now_ms, replica_id peer, const content_id& cid, uint32_t no);
  /// A root or segment with a wrong hash or form.
  void manifest_bad(uint64_t now_ms, replica_id peer, const content_id& cid, piece_kind kind,
                    uint32_t no);
  /// Missing: the peer does not have these after all. `denied`: it refuses the whole content to us.
  void missing(uint64_t now_ms, replica_id peer, const piece_run& run, bool denied);
  /// Busy: the request is not served; nothing is asked of the peer for retry_ms (clamped to 50 ms .. 60 s).
  void busy(uint64_t now_ms, replica_id peer, uint64_t request, uint32_t retry_ms);
  /// The stream of a request broke or ended with pieces left.
  void request_failed(uint64_t now_ms, uint64_t request);

  // -- readers
  /// A reader stands at byte `offset` and consumes `bytes_per_s`: that content comes first from there. False: not wanted, or
  /// reads_max. Again with the same reader: it moved.
  bool read_at(uint64_t now_ms, uint64_t reader, const content_id& cid, uint64_t offset,
               uint64_t bytes_per_s);
  void read_end(uint64_t now_ms, uint64_t reader);

  // -- outcome
  std::vector<fetch_effect> effects(uint64_t now_ms);
  /// When `effects` has to be called at the latest although no event came; nothing when idle.
  [[nodiscard]] std::optional<uint64_t> next_ms() const;
  [[nodiscard]] wait_line waiting_for(const content_id& cid) const;
  /// Wanted contents in the order of their turn, at most `lines_max`.
  [[nodiscard]] std::vector<wait_line> waits(size_t lines_max) const;
  /// What we have of a content under way, for Have to a new peer; nothing when not under way.
  [[nodiscard]] const chunk_set* held(const content_id& cid) const;
  /// Chunk length as the loaded segments or the request tell; nothing when unknown. For checking Data before it is kept.
  [[nodiscard]] std::optional<uint64_t> chunk_bytes(const content_id& cid, uint32_t no) const;
  [[nodiscard]] const picker_totals& totals() const { return totals_; }
  [[nodiscard]] size_t wants() const { return contents_.size(); }
  [[nodiscard]] double peer_rate(replica_id peer) const;

private:
  struct peer_state {
    bool up = false;
    bool keeper = false;
    bool exhausted = false; // had room and found nothing to ask: until something changes
    peer_reach reach = peer_reach::direct;
    transfer_window window;
    uint64_t paused_until_ms = 0;
    uint32_t failures = 0; // in a row: each doubles the pause
    uint64_t last_byte_ms = 0;
    uint64_t picks = 0;
    uint64_t urgent_bytes = 0; // outstanding of class deadline: the others wait behind them
  };
  struct reader {
    content_id cid;
    uint64_t offset = 0;
    uint64_t bytes_per_s = 0;
  };
  struct early_have {
    bool complete = false;
    std::vector<chunk_run> runs;
  };
  using peer_entry = std::pair<const replica_id, peer_state>;

  // picker.cpp
  picker_content* find(const content_id& cid);
  void raise_class(picker_content& content, transfer_class cls);
  [[nodiscard]] const picker_content* find(const content_id& cid) const;
  void requeue(picker_content& content);
  void finish(uint64_t now_ms, picker_content& content);
  void stop_all(uint64_t now_ms, picker_content& content);
  void close(picker_content& content);
  void forget(picker_content& content);

  // picker_answers.cpp
  void manifest_came(uint64_t now_ms, replica_id peer, const piece_key& key);
  void chunk_came(uint64_t now_ms, const flight& what);
  void settle_twins(uint64_t now_ms, picker_content& content, uint32_t from,
                    const std::vector<uint32_t>& twins);

  // picker_peers.cpp
  [[nodiscard]] bool is_up(uint64_t now_ms, replica_id peer) const;
  [[nodiscard]] bool usable(uint64_t now_ms, const peer_entry& peer) const;
  void set_ups(replica_id peer, bool up);
  void wake(replica_id peer);
  void wake_sources(const picker_content& content);
  static void pause(uint64_t now_ms, peer_state& peer);
  void release(const piece_key& key, const flight& what);
  void give_up(const piece_key& key, replica_id peer, bool tell);
  void drop_copies(uint64_t now_ms, const piece_key& key);
  void give_up_request(uint64_t request, bool tell);
  void give_up_peer(uint64_t now_ms, replica_id peer, bool tell);
  void strike(uint64_t now_ms, replica_id peer);

  // picker_fill.cpp
  struct ask_item {
    piece_run run;
    uint64_t bytes = 0; // of each piece when the run is a root or segment, else unused
    uint8_t moves = 0;
  };
  void open_contents(uint64_t now_ms);
  void open(picker_content& content);
  void ask_manifests(uint64_t now_ms, picker_content& content);
  void ask_manifest(uint64_t now_ms, picker_content& content, piece_kind kind, uint32_t index);
  void fill(uint64_t now_ms);
  bool fill_peer(uint64_t now_ms, peer_entry& peer);
  bool ask_large(uint64_t now_ms, peer_entry& peer);
  bool ask_small(uint64_t now_ms, peer_entry& peer);
  bool ask_chunks(uint64_t now_ms, peer_entry& peer, picker_content& content);
  void ask(uint64_t now_ms, peer_entry& peer, transfer_class cls,
           const std::vector<ask_item>& items, uint32_t deadline_ms);
  using better_list = std::vector<const content_source*>;
  [[nodiscard]] better_list better_sources(uint64_t now_ms, const picker_content& content,
                                           const peer_entry& than) const;
  [[nodiscard]] std::vector<peer_entry*> peers_by_preference(uint64_t now_ms);

  // picker_late.cpp
  struct late_piece {
    piece_key key;
    flight slow;
    bool copy = false; // end game: a second copy, the first one goes on
  };
  void sweep(uint64_t now_ms);
  void sweep_peer(uint64_t now_ms, peer_entry& peer);
  static bool is_next(const peer_state& peer, const flight& what);
  void swap_for_rare(uint64_t now_ms, peer_entry& peer);
  void hedge(uint64_t now_ms, const piece_key& key, const flight& slow);
  bool take_over(uint64_t now_ms, peer_entry& peer);
  std::vector<late_piece> late_at(uint64_t now_ms, const peer_entry& slow, const peer_entry& fast);
  [[nodiscard]] uint64_t remaining_ms(uint64_t now_ms, const flight& what) const;
  [[nodiscard]] bool in_end_game(const picker_content& content) const;

  // picker_read.cpp
  void fill_readers(uint64_t now_ms);
  void fill_reader(uint64_t now_ms, const reader& who);
  bool ask_for_reader(uint64_t now_ms, picker_content& content, uint32_t no, uint64_t needed_ms);
  peer_entry* fastest_with(uint64_t now_ms, const picker_content& content, uint32_t no,
                           replica_id except, bool urgent);
  static void left(peer_state& peer, const flight& what);

  picker_settings settings_;
  std::unordered_map<content_id, std::unique_ptr<picker_content>> contents_;
  picker_order order_;
  std::map<turn_key, picker_content*> open_;
  std::map<replica_id, peer_state> peers_; // also some that left, for their rate
  picker_flights flights_;
  peer_strikes strikes_;
  have_announcer announcer_;
  std::map<std::pair<content_id, replica_id>, early_have> early_;
  std::map<uint64_t, reader> readers_;
  std::vector<fetch_effect> effects_;
  picker_totals totals_;
  std::set<replica_id> banned_;
  uint64_t ban_end_ms_ = 0; // of the first to end; 0: none
  size_t peers_up_ = 0;
  int64_t hedge_bytes_ = hedge_bytes_start; // below zero after bytes came in vain
  uint64_t next_sweep_ms_ = 0;
  bool was_full_ = false; // owner is owed a fetch_room
};

} // namespace harp
