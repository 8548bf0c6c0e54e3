// One wanted content inside the picker: what is had and asked, its loaded segments, who has which chunk (storage.md 9.2).
#pragma once

#include "storage/have_map.hpp"
#include "storage/picker_events.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace harp {

inline constexpr size_t loaded_segments_max = 2;
inline constexpr uint32_t segment_chunks_max = 4096;
inline constexpr uint32_t chunk_bytes_max = 4u << 20;
inline constexpr size_t early_runs_max = 4096; // of one source, told before the root is known

/// A member that has something of a content. `has` is used while not `complete` and the number of chunks is known.
struct content_source {
  replica_id peer = 0;
  bool complete = false;
  bool up = false; // connected and not banned: kept by the picker
  chunk_set has;
  std::vector<chunk_run> early; // told before the number of chunks was known
  [[nodiscard]] bool has_chunk(uint32_t no) const { return complete || has.has(no); }
};

/// State of a root or segment on its way: asked of the own store, to be fetched, asked of a peer.
enum class manifest_state : uint8_t { looked_up, absent, asked };
struct manifest_wait {
  uint32_t index = 0;
  manifest_state state = manifest_state::looked_up;
};

/// Chunks to ask for together.
struct chunk_choice {
  uint32_t first = 0;
  uint32_t count = 0;
  uint64_t bytes = 0;
};

/// Memory: a bitmap of `have` and one of `asked`, u16 per chunk for what partial sources have, two loaded segments of 8 B per
/// chunk; all of it only while the content is open. Belongs to one picker.
class picker_content {
public:
  explicit picker_content(content_want want, replica_id own);

  [[nodiscard]] const content_want& wanted() const { return want_; }
  void set_class(transfer_class cls) { want_.cls = cls; }
  [[nodiscard]] bool shaped() const { return shaped_; }
  [[nodiscard]] uint32_t chunks() const { return chunks_; }
  [[nodiscard]] bool is_small() const { return shaped_ && chunks_ <= 1; }
  [[nodiscard]] const std::vector<segment_ref>& segments() const { return segments_; }
  /// False when counts or sizes do not add up to the want; then nothing changed.
  bool shape(const content_shape& shape);
  /// False when it does not fit what the root says of it.
  bool load(uint32_t index, std::span<const chunk_ref> chunks);
  /// Lets go of bitmaps of sources and of segments: back to the queue.
  void close();
  void open();

  // -- chunks
  [[nodiscard]] const chunk_set& have() const { return have_; }
  [[nodiscard]] const chunk_set& asked() const { return asked_; }
  [[nodiscard]] bool complete() const { return shaped_ && have_.all(); }
  [[nodiscard]] uint64_t bytes_had() const { return bytes_had_; }
  /// Length of a chunk in a loaded segment.
  [[nodiscard]] std::optional<uint32_t> chunk_bytes(uint32_t no) const;
  /// Marks a chunk had; its twins in the same loaded segment become had too and are appended to `twins`.
  bool had(uint32_t no, uint64_t bytes, std::vector<uint32_t>& twins);
  void lost(uint32_t no);
  void set_asked(uint32_t no, bool asked) { asked ? asked_.add(no) : asked_.remove(no); }
  /// True while a chunk of a loaded segment is neither had nor asked.
  [[nodiscard]] bool has_pool() const;
  /// Bytes neither had nor asked, of the whole content (an estimate where segments are not loaded).
  [[nodiscard]] uint64_t pool_bytes() const;
  [[nodiscard]] uint64_t missing_bytes() const {
    return want_.size - std::min(bytes_had_, want_.size);
  }
  [[nodiscard]] bool in_pool(uint32_t no) const;

  // -- segments
  /// The segments to be loaded next, beside those under way: the lowest with chunks in the pool, `preferred` first.
  std::vector<uint32_t> to_load(std::span<const uint32_t> preferred);
  [[nodiscard]] std::optional<uint32_t> segment_of(uint32_t no) const;
  /// Segment that covers a byte offset, and the bytes before it.
  [[nodiscard]] std::optional<std::pair<uint32_t, uint64_t>> segment_at(uint64_t offset) const;
  [[nodiscard]] bool is_loaded(uint32_t segment) const { return find_loaded(segment) != nullptr; }
  [[nodiscard]] uint32_t segment_first(uint32_t segment) const { return firsts_[segment]; }
  std::vector<manifest_wait> manifests; // segments under way, at most loaded_segments_max
  std::optional<manifest_state> root;   // set while the root is under way

  // -- sources
  [[nodiscard]] const std::vector<content_source>& sources() const { return sources_; }
  [[nodiscard]] const content_source* source(replica_id peer) const;
  /// Adds or replaces what a peer has. `up` as in content_source. False when a run is out of range.
  bool set_source(replica_id peer, bool up, bool complete, std::span<const chunk_run> runs);
  bool source_gains(replica_id peer, bool up, std::span<const chunk_run> runs);
  void set_up(replica_id peer, bool up);
  void source_lacks(replica_id peer, std::span<const chunk_run> runs);
  void remove_source(replica_id peer);
  [[nodiscard]] uint32_t sources_up() const { return sources_up_; }
  /// How many connected sources have a chunk.
  [[nodiscard]] uint32_t rarity(uint32_t no) const {
    return complete_up_ + (no < partial_.size() ? partial_[no] : 0u);
  }

  /// The rarest chunk of the pool that `from` has and `skip` does not refuse (`ascending`: the first), extended to neighbours
  /// of equal rarity up to `bytes_max`.
  [[nodiscard]] std::optional<chunk_choice> choose(const content_source& from, bool ascending,
                                                   uint64_t bytes_max,
                                                   const std::function<bool(uint32_t)>& skip) const;

  bool is_open = false;   // being written: counts against open_contents_max
  bool is_queued = false; // in the order of turns
  uint32_t in_flight = 0; // pieces of it that are awaited
  uint32_t readers = 0;

private:
  struct loaded_segment {
    uint32_t index = 0;
    uint32_t first = 0;
    std::vector<uint32_t> bytes;
    std::vector<uint32_t> tie; // order among equals: hash of chunk id and own rid
    std::vector<uint32_t>
        twin; // for each chunk the first one with the same id; empty when there is no such pair
  };
  [[nodiscard]] const loaded_segment* find_loaded(uint32_t segment) const;
  [[nodiscard]] const loaded_segment* loaded_with(uint32_t no) const;
  void fill_loaded(loaded_segment& out, std::span<const chunk_ref> chunks) const;
  [[nodiscard]] bool in_pool(const loaded_segment& segment, uint32_t no) const;
  void recount();
  void count_source(const content_source& source, int sign);
  content_source* find_source(replica_id peer);
  content_source& make_source(replica_id peer, bool up);
  [[nodiscard]] uint32_t next_segment() const;
  [[nodiscard]] uint64_t mean_bytes() const;
  [[nodiscard]] bool segment_has_pool(uint32_t segment) const;

  content_want want_;
  replica_id own_;
  bool shaped_ = false;
  bool flat_ = false;
  uint32_t chunks_ = 0;
  std::vector<segment_ref> segments_; // a flat root is one segment that is always loaded
  std::vector<uint32_t> firsts_;
  std::vector<loaded_segment> loaded_;
  chunk_set have_, asked_;
  uint64_t bytes_had_ = 0;
  std::vector<content_source> sources_; // by peer
  std::vector<uint16_t> partial_;
  uint32_t complete_up_ = 0;
  uint32_t sources_up_ = 0;
};

} // namespace harp
