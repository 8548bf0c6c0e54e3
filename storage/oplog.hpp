// The log of raw bundles of one space: append-only segments of 64 MiB, and the `bundle` rows that point into them
// (storage.md 4.2, 8).
#pragma once

#include "storage/local_file.hpp"
#include "storage/metadata_db.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint32_t oplog_segment_bytes_max = 64u << 20;
inline constexpr size_t oplog_batch_bundles_max = 4096;

/// One bundle to be logged. `raw` ends with its 64-byte signature; `hash` is that of decode_bundle.
struct logged_bundle {
  dot id;
  uint64_t hlc = 0;
  digest256 hash;
  std::string_view raw;
};

/// Where a bundle lies.
struct bundle_row {
  uint32_t segment = 0;
  uint32_t offset = 0;
  uint32_t length = 0;
  std::array<uint8_t, 16> hash{};
  uint64_t hlc = 0;
  bool operator==(const bundle_row&) const = default;
};
std::string encode(const bundle_row& row);
std::optional<bundle_row> decode_bundle_row(std::string_view bytes);
/// The row of a bundle; nothing when it is not logged here (any more).
std::optional<bundle_row> find_bundle(const read_txn& txn, const dot& id);

/// Writing: one owner (`store`), one thread. Reading: any thread, through the free functions of a snapshot.
class oplog {
public:
  /// Opens the log in `dir` and cuts the tail that no committed row points to.
  static std::variant<oplog, storage_failure> open(const std::filesystem::path& dir,
                                                   metadata_db& db);

  /// One batch: appends all bundles, one fdatasync, then ONE transaction of `db` with their rows and whatever `work` does.
  /// Nothing of the batch exists when it fails or `work` returns false. As with metadata_db::write, `work` may be called
  /// again. At most oplog_batch_bundles_max bundles; an empty batch is only the transaction.
  std::optional<storage_failure> commit(metadata_db& db, std::span<const logged_bundle> batch,
                                        const std::function<bool(write_txn&)>& work);

  /// The same for bundles that are made inside the transaction, out of its rows: `make` returns them, with bytes that live
  /// until this returns, or nothing to abort. Their fdatasync comes before the commit.
  std::optional<storage_failure>
  commit_made(metadata_db& db,
              const std::function<std::optional<std::vector<logged_bundle>>(write_txn&)>& make);

  /// The bytes of one bundle, checked against their hash.
  [[nodiscard]] std::variant<std::string, storage_failure> read(const bundle_row& row) const;

  /// Bundles of `rid` with from <= seq <= to in order, until `bytes_max` are read (at least one), `visit` returns false or
  /// one is missing. Fails on bytes that do not fit their hash.
  std::optional<storage_failure>
  each(const metadata_db& db, replica_id rid, uint64_t from, uint64_t to, size_t bytes_max,
       const std::function<bool(uint64_t seq, std::string raw)>& visit) const;

  /// What comes next goes into a fresh segment, so that what is here can be dropped as a whole.
  std::optional<storage_failure> start_segment(metadata_db& db);
  /// Drops segments in which every bundle is covered by `covered`, and their rows; returns how many segments went.
  std::variant<size_t, storage_failure> drop_covered(metadata_db& db,
                                                     const version_vector& covered);

  [[nodiscard]] uint64_t bytes_on_disk() const;

private:
  oplog() = default;
  [[nodiscard]] std::filesystem::path path_of(uint32_t segment) const;
  [[nodiscard]] std::vector<uint32_t> segments() const;
  std::optional<storage_failure> open_tail();
  std::optional<storage_failure> cut_tail();
  std::optional<storage_failure> append(std::span<const logged_bundle> batch,
                                        std::vector<bundle_row>& rows);
  std::optional<storage_failure> flush(std::string& buffer);
  void put_rows(write_txn& txn, std::span<const logged_bundle> batch,
                const std::vector<bundle_row>& rows) const;

  std::filesystem::path dir_;
  unique_fd tail_;
  uint32_t segment_ = 1;
  uint32_t end_ = 0;          // where the next bundle goes
  uint32_t kept_segment_ = 1; // end of what committed rows point to
  uint32_t kept_end_ = 0;
};

} // namespace harp
