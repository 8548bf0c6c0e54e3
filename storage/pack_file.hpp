// One pack: an append-only file of records, each a chunk, segment or root record under its SHA-256, with an index and its
// checksum at the end once it is full (storage.md 6.3).
#pragma once

#include "storage/local_file.hpp"
#include "storage/types.hpp"

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

inline constexpr uint32_t pack_bytes_max = 256u << 20;
inline constexpr uint32_t pack_entries_max = 65'536;
inline constexpr uint32_t pack_data_bytes_max = 4u << 20; // one record, unpacked
inline constexpr uint32_t pack_start_bytes = 8;           // magic
inline constexpr uint32_t pack_head_bytes = 41;           // stored u32, raw u32, flags u8, id 32
inline constexpr uint32_t pack_end_bytes
    = 48; // count u32, start of the index u32, checksum 32, magic 8

/// One record of a pack: where it starts and how long it is with its head.
struct pack_entry {
  chunk_id id;
  uint32_t offset = 0;
  uint32_t length = 0;
  bool operator==(const pack_entry&) const = default;
};

/// Head and data of one record; packed with zstd level 1 if that saves 5 %.
std::string encode_pack_record(const chunk_id& id, std::string_view data);
/// The data of one whole record; fails with a text when it is not of this id.
std::variant<std::string, std::string> decode_pack_record(std::string_view record,
                                                          const chunk_id& id);
/// Id and length of the record that starts with these bytes; nothing when they cannot be a head.
std::optional<pack_entry> parse_pack_head(std::string_view bytes);
/// Index and end of a full pack, to be written at `index_start`.
std::string encode_pack_footer(std::span<const pack_entry> entries, uint32_t index_start);
/// Where the index starts and how many entries it has, from the last pack_end_bytes of a file of `file_size` bytes;
/// nothing when they are not the end of a full pack.
std::optional<std::pair<uint32_t, uint32_t>> parse_pack_end(std::string_view end,
                                                            uint64_t file_size);
/// The entries, checked against the checksum. `footer` is everything from the start of the index to the end of the file.
std::optional<std::vector<pack_entry>> parse_pack_footer(std::string_view footer,
                                                         uint64_t file_size);

/// How far a walk over records came.
struct pack_scan {
  uint32_t good_until = pack_start_bytes; // end of the last sound record
  bool whole = false;                     // nothing but sound records up to the end of the file
};

/// An open pack. Appending: one owner. Reading: any thread, `read` of what was flushed.
class pack_file {
public:
  static std::variant<pack_file, storage_failure> create(const std::filesystem::path& path);
  static std::variant<pack_file, storage_failure> open(const std::filesystem::path& path,
                                                       bool writable);

  /// Data of one record, checked against its id. A failure with code EBADMSG means damaged bytes.
  [[nodiscard]] std::variant<std::string, storage_failure> read(const pack_entry& entry) const;
  /// The index of a full pack; nothing when it has none or it is damaged.
  [[nodiscard]] std::optional<std::vector<pack_entry>> index() const;
  /// Walks records from `from` on; `verify` checks each id. Stops at the first unsound record.
  [[nodiscard]] pack_scan scan(uint32_t from, bool verify,
                               const std::function<void(const pack_entry&)>& visit) const;

  /// Appends to the buffer; the entry says where it will lie. Check `fits` before.
  pack_entry append(const chunk_id& id, std::string_view data);
  [[nodiscard]] bool fits(size_t data_bytes, uint32_t pack_bytes = pack_bytes_max) const;
  std::optional<storage_failure>
  flush(); // to the file; after a failure the buffer is kept for another try
  std::optional<storage_failure> sync(); // flush, then durable
  std::optional<storage_failure> seal(); // index, then sync
  /// Cuts everything behind `end` and appends from there. `entries` are the records before it.
  std::optional<storage_failure> resume(uint32_t end, std::vector<pack_entry> entries);

  [[nodiscard]] uint32_t end() const { return written_ + static_cast<uint32_t>(buffer_.size()); }
  [[nodiscard]] uint32_t written() const { return written_; }

private:
  explicit pack_file(std::filesystem::path path, unique_fd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}
  [[nodiscard]] storage_failure damaged(uint32_t offset, std::string_view why) const;

  std::filesystem::path path_;
  unique_fd fd_;
  std::string buffer_;
  uint32_t written_ = 0;
  std::vector<pack_entry> entries_; // of a pack being written, at most pack_entries_max
};

} // namespace harp
