// All packs of one volume: put, get, which one is written, what a restart has to look at (storage.md 6.3).
#pragma once

#include "storage/chunk_index.hpp"
#include "storage/pack_file.hpp"

#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t packs_open_max = 64;
inline constexpr size_t pack_buffer_bytes_max = 1u << 20;

/// Chunks, segments and root records by their SHA-256. `put`, `sync` and everything that changes packs: the owner
/// (`store`); `get` and `has`: any thread.
class pack_store {
public:
  /// Opens `dir`; records behind the mark of the index are read and indexed, a torn tail of the last pack is cut. Without a
  /// mark (index lost) all packs are indexed again.
  static std::variant<std::unique_ptr<pack_store>, storage_failure>
  open(const std::filesystem::path& dir, chunk_index& index, uint32_t pack_bytes = pack_bytes_max);

  ~pack_store();
  pack_store(const pack_store&) = delete;
  pack_store& operator=(const pack_store&) = delete;

  /// Stores the bytes; nothing happens when they are here already (then they count as referenced again). Durable after
  /// the next sync(). At most pack_data_bytes_max bytes. The caller has checked that `id` is their hash.
  std::optional<storage_failure> put(const chunk_id& id, std::string_view data);
  /// Makes all puts durable. chunk_index::flush does it too, so that no row points to bytes that are not on the disk.
  std::optional<storage_failure> sync();

  [[nodiscard]] bool has(const chunk_id& id) const;
  /// True, and collection starts counting anew, when the bytes are here: call it before relying on them for new work.
  bool keep(const chunk_id& id);
  /// The bytes, checked. ENOENT: not here. EBADMSG: damaged; marked so that `has` is false and a put replaces them.
  std::variant<std::string, storage_failure> get(const chunk_id& id);

  /// Numbers of all packs, and of the one being written (never collected).
  [[nodiscard]] std::vector<uint32_t> packs() const;
  [[nodiscard]] uint32_t current() const;
  /// Records of a pack by its index, else by walking it.
  [[nodiscard]] std::variant<std::vector<pack_entry>, storage_failure> entries(uint32_t pack) const;
  /// One record of a pack by place, checked; also of a place the index does not name any more.
  [[nodiscard]] std::variant<std::string, storage_failure> read(uint32_t pack,
                                                                const pack_entry& entry) const;
  /// Bytes of a pack on disk; 0 when it is absent.
  [[nodiscard]] uint64_t bytes_of(uint32_t pack) const;
  /// Appends a copy of a record that lies in another pack, and points the index to it.
  std::optional<storage_failure> move_here(const chunk_id& id, std::string_view data);
  /// Removes the file of a pack that nothing points into.
  std::optional<storage_failure> remove(uint32_t pack);
  /// Remembers that these bytes are damaged where they lie.
  void mark_damaged(const chunk_id& id);
  [[nodiscard]] chunk_index& index() const { return index_; }

private:
  pack_store(std::filesystem::path dir, chunk_index& index, uint32_t pack_bytes)
      : dir_(std::move(dir)), index_(index), pack_bytes_(pack_bytes) {}
  void take_row(uint32_t pack, const pack_entry& entry);
  [[nodiscard]] std::filesystem::path path_of(uint32_t pack) const;
  std::optional<storage_failure> recover();
  std::optional<storage_failure> recover_pack(uint32_t pack, uint32_t from, bool last);
  std::optional<storage_failure> start_pack(uint32_t pack);
  std::optional<storage_failure> append(const chunk_id& id, std::string_view data);
  [[nodiscard]] std::variant<std::shared_ptr<const pack_file>, storage_failure>
  opened(uint32_t pack) const;

  std::filesystem::path dir_;
  chunk_index& index_;
  uint32_t pack_bytes_;      // a pack that would exceed it is sealed
  mutable std::mutex mutex_; // guards what follows
  mutable std::list<std::pair<uint32_t, std::shared_ptr<const pack_file>>> open_; // latest first
  mutable std::optional<pack_file> writing_; // readers flush its buffer
  uint32_t current_ = 0;
};

} // namespace harp
