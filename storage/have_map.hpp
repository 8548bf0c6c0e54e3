// Which chunks of a content someone has: bitmaps, runs, and the gains that are announced (storage.md 9.1; 11: Have, HaveDelta).
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace harp {

/// Most chunks one content may have; a larger count from a peer is refused before anything is allocated.
inline constexpr uint32_t content_chunks_max = 1u << 24;

/// A set of chunk numbers below `size()`, one bit each: 5.4 KB for the 43 k chunks of 50 GB.
class chunk_set {
public:
  /// Empty set over `chunks` numbers (at most content_chunks_max).
  explicit chunk_set(uint32_t chunks = 0) : words_((size_t{chunks} + 63) / 64), size_(chunks) {}

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] bool all() const { return count_ == size_; }
  [[nodiscard]] bool none() const { return count_ == 0; }
  [[nodiscard]] bool has(uint32_t no) const {
    return no < size_ && (words_[no / 64] >> (no % 64) & 1) != 0;
  }
  /// True when the set changed. Numbers outside are ignored.
  bool add(uint32_t no);
  bool remove(uint32_t no);
  void add_all();
  /// Adds the runs; false (and nothing changed) when one leaves the range, is empty or wraps around.
  bool add(std::span<const chunk_run> runs);
  /// Removes the runs; parts outside the range are ignored.
  void remove(std::span<const chunk_run> runs);
  /// The smallest number >= `from` that is in (not in) the set; size() when there is none.
  [[nodiscard]] uint32_t next(uint32_t from) const;
  [[nodiscard]] uint32_t next_absent(uint32_t from) const;
  /// The set as runs in ascending order, at most `runs_max` of them.
  [[nodiscard]] std::vector<chunk_run> runs(size_t runs_max = SIZE_MAX) const;
  /// Bitmap of the wire: bit i of byte j is chunk 8 j + i.
  [[nodiscard]] std::string to_bitmap() const;
  /// Nothing when the length does not fit `chunks` or a bit beyond the last chunk is set.
  static std::optional<chunk_set> from_bitmap(uint32_t chunks, std::string_view bitmap);

  bool operator==(const chunk_set&) const = default;

private:
  std::vector<uint64_t> words_;
  uint32_t size_ = 0;
  uint32_t count_ = 0;
};

/// What a node tells of one content: all of it, or the chunks it has (Have) or gained (HaveDelta).
struct have_delta {
  content_id cid;
  bool complete = false;
  std::vector<chunk_run> runs;
  bool operator==(const have_delta&) const = default;
};

inline constexpr uint64_t have_interval_ms = 100;      // <= 10 announcements/s per content
inline constexpr uint64_t have_bytes_max = 8ull << 20; // ... or at once for this many bytes
inline constexpr size_t have_pending_max = 65'536;     // contents with gains not told yet

/// Gathers gains so that each content is announced at most every 100 ms or 8 MiB. One owner, no clock of its own.
class have_announcer {
public:
  void gained(uint64_t now_ms, const content_id& cid, uint32_t no, uint64_t bytes);
  void completed(uint64_t now_ms, const content_id& cid);
  void forget(const content_id& cid) { pending_.erase(cid); }
  /// What is to be told now; at most `contents_max` of them, in the order of content ids.
  std::vector<have_delta> due(uint64_t now_ms, size_t contents_max = 1024);
  /// When `due` will next have something.
  [[nodiscard]] std::optional<uint64_t> next_ms() const;

private:
  struct pending {
    uint64_t due_ms = 0;
    uint64_t told_ms = 0;
    uint64_t bytes = 0;
    bool complete = false;
    bool waiting = false; // something to tell
    std::vector<chunk_run> runs;
  };
  void add(pending& entry, uint32_t no);

  std::map<content_id, pending> pending_;
};

} // namespace harp
