// A download on its way: the temp file beside the target, and which of its chunks are surely on the disk
// (storage.md 6.4; tables `partial`).
#pragma once

#include "storage/content_root.hpp"
#include "storage/have_map.hpp"
#include "storage/local_file.hpp"
#include "storage/metadata_db.hpp"
#include "storage/safe_path.hpp"

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint64_t claim_bytes_max = 64ull << 20; // written but not claimed: what a crash costs
inline constexpr uint64_t claim_start_bytes = claim_bytes_max / 2; // then a claim is due; as much may come while it syncs
inline constexpr std::chrono::seconds claim_wait_max{2};
inline constexpr uint32_t claim_block_chunks = 8192; // one row of 1 KiB

/// What is downloaded, and where to.
struct partial_target {
  content_id cid;
  uint64_t size = 0;
  uint32_t chunks = 0;
  std::string dir_path;  // below the space's root; must exist
  std::string temp_name; // file_writer's temp_name(nid, vid)
};

/// Rows that may be stored now: the data they claim is on the disk.
struct partial_claim {
  content_id cid;
  std::vector<std::pair<uint16_t, std::string>> blocks; // block number, bitmap
};

/// Writing and claiming by one owner at a time; `has` and `read` by any thread. A chunk is written only after its hash was
/// checked. One content is downloaded once: other files with it are copied afterwards.
class partial_file {
public:
  /// Creates and preallocates the temp file, or goes on with the one the rows tell of: same place, size and inode, else
  /// the rows are void and it starts anew. The target row is stored in `db` (a write transaction of `store`).
  static std::variant<partial_file, storage_failure> open(const safe_root& root, metadata_db& db,
                                                          partial_target target);
  partial_file(partial_file&& other) noexcept;

  /// Writes a checked chunk. It counts as had at once, as claimed only after claim() was stored. Waits for a running claim()
  /// when claim_start_bytes came since that began.
  std::optional<storage_failure> write(const placed_chunk& chunk, std::string_view bytes);
  [[nodiscard]] bool has(uint32_t no) const;
  [[nodiscard]] uint32_t count() const; // chunks had
  [[nodiscard]] bool complete() const;
  [[nodiscard]] chunk_set chunks() const;
  /// A chunk that is had, re-hashed; nothing when its bytes are wrong or unreadable (drop() it then).
  [[nodiscard]] std::optional<std::string> read(const placed_chunk& chunk) const;

  /// True when claim() is due: claim_start_bytes or claim_wait_max behind the first write after the last claim.
  [[nodiscard]] bool due(std::chrono::steady_clock::time_point now) const;
  /// fdatasync, then the rows for what was written before it; to be stored by store_claim. Blocks: pool thread.
  std::variant<partial_claim, storage_failure> claim();

  /// The next chunk >= `from` that was claimed by an earlier process and not re-hashed yet; chunks() count when none.
  [[nodiscard]] uint32_t next_unchecked(uint32_t from) const;
  /// Re-hashes a claimed chunk: true when sound. Else it is no longer had and must be fetched again.
  bool check(const placed_chunk& chunk);
  /// No longer had (its bytes turned out wrong); the next claim says so.
  void drop(uint32_t no);

  /// Complete, every resumed chunk re-hashed, length right: ready for file_writer. Else says what is missing.
  [[nodiscard]] std::optional<std::string> unfinished() const;
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const partial_target& target() const { return target_; }

private:
  partial_file(partial_target target, unique_fd fd);
  std::optional<storage_failure> preallocate();
  void set_changed(uint32_t no);

  partial_target target_;
  unique_fd fd_;
  std::mutex syncing_;       // held by claim()
  mutable std::mutex mutex_; // guards what follows
  chunk_set had_;
  chunk_set unchecked_;
  std::vector<bool> changed_; // blocks whose row is not up to date
  uint64_t unclaimed_bytes_ = 0;
  std::optional<std::chrono::steady_clock::time_point> since_;
};

void store_claim(write_txn& txn, const partial_claim& claim);
/// Forgets a download: its file was renamed to its place, or is not wanted any more.
void erase_partial(write_txn& txn, const content_id& cid);
/// Downloads the rows tell of, in the order of their contents; at most `limit`. For resume, and to remove temp files that
/// no row names.
std::vector<partial_target> known_partials(const read_txn& txn, size_t limit);

} // namespace harp
