// Where chunks of a volume lie, in files and in packs: tables `loc` and `pack`, written in sorted batches from memory
// (storage.md 6.3, 8).
#pragma once

#include "storage/metadata_db.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t index_pending_max = 65'536; // then a batch is due at once
inline constexpr std::chrono::seconds index_wait_max{5};

/// A chunk of a user's file.
struct chunk_location {
  uint32_t space = 0; // chunk_index::space_number
  local_id lid = 0;
  uint32_t no = 0;
  auto operator<=>(const chunk_location&) const = default;
};

enum pack_row_flag : uint8_t { pack_row_damaged = 1 };

/// A record in a pack.
struct pack_row {
  uint32_t pack = 0;
  uint32_t offset = 0;
  uint32_t length = 0;
  uint32_t unreferenced_s
      = 0; // Unix time when collection first found it unreferenced; 0: referenced
  uint8_t flags = 0;
  bool operator==(const pack_row&) const = default;
};

/// Up to where packs are known to the durable index.
struct pack_mark {
  uint32_t pack = 0;
  uint32_t end = 0;
};

/// Thread-safe; flush() by the owner of the environment (`store`) only. What is pending is seen by every reader here.
class chunk_index {
public:
  explicit chunk_index(metadata_db& chunks) : db_(chunks) {}

  /// The number of a space in this volume, made when new; nothing when the database broke.
  std::optional<uint32_t> space_number(const space_id& space);

  void add_location(const chunk_id& id, const chunk_location& at);
  void remove_location(const chunk_id& id, const chunk_location& at);
  /// Candidates only: half of the id is compared, and files change. At most `limit`.
  [[nodiscard]] std::vector<chunk_location> locations(const chunk_id& id, size_t limit) const;
  /// Removes the locations of a space that was dropped.
  std::optional<storage_failure> forget_space(uint32_t space);

  [[nodiscard]] std::optional<pack_row> pack_of(const chunk_id& id) const;
  void put_pack(const chunk_id& id, const pack_row& row);
  void erase_pack(const chunk_id& id);
  /// All rows in id order from `from` on, after flush(); false stops.
  std::optional<storage_failure>
  each_pack(const chunk_id& from,
            const std::function<bool(const chunk_id&, const pack_row&)>& visit) const;

  /// True when a batch is due: the owner calls flush().
  [[nodiscard]] bool due(std::chrono::steady_clock::time_point now) const;
  /// Writes what is pending, and the mark, in one transaction, after `before`; kept for another try when it fails.
  std::optional<storage_failure> flush();
  /// What must be durable before rows that point to it: the packs. Empty: nothing.
  void set_before(std::function<std::optional<storage_failure>()> before) {
    before_ = std::move(before);
  }
  void set_mark(const pack_mark& mark);
  [[nodiscard]] std::optional<pack_mark> mark() const;

  /// Small facts of the volume beside the tables (times of scrubs).
  [[nodiscard]] std::string note(std::string_view key) const;
  std::optional<storage_failure> put_note(std::string_view key, std::string_view value);

private:
  using location_key
      = std::array<uint8_t, 32>; // id 16, space 4, lid 8, chunk 4: key and value of `loc`
  static location_key key_of(const chunk_id& id, const chunk_location& at);
  void touch();

  struct batch {
    std::map<location_key, bool> places;                         // true: add, false: remove
    std::unordered_map<chunk_id, std::optional<pack_row>> packs; // nothing: remove
    std::optional<pack_mark> mark;
  };
  std::optional<storage_failure> write(const batch& rows);
  void give_back();

  metadata_db& db_;
  std::function<std::optional<storage_failure>()> before_;
  mutable std::mutex mutex_;
  batch pending_;
  batch writing_; // read beside pending_ while flush() writes it without holding the mutex
  std::optional<std::chrono::steady_clock::time_point> since_;
};

} // namespace harp
