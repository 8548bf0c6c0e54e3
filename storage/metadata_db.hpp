// The one class that knows LMDB: tables as an enum, transactions as callbacks, schema by number (storage.md 8).
#pragma once

#include "storage/row_key.hpp"
#include "storage/rows.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

struct MDB_txn;
struct MDB_cursor;

namespace harp {

/// Every table of storage.md 8. Keys are built with row_key; "lid" means row_key::lid (INTEGERKEY), all else big-endian.
enum class table : uint8_t {
  conf,    // text -> bytes; the only table of both environments
  roster,  // version u64 -> signed entry
  replica, // rid u32 -> replica_row
  bundle,  // rid u32, seq u64 -> place in the oplog
  nid2lid, // nid 16 -> lid u64
  node,    // lid -> node_row
  ev,      // lid u64, stamp -> event_row
  ver,     // lid u64, stamp -> version_row
  cidref,  // cid 16 -> lid u64, stamp (several)
  floor,   // lid -> node_row
  root,    // cid 16 -> root record
  dirent,  // parent lid u64, name -> lid u64 (several: slot and group members)
  dlog,    // stamp, lid u64 -> dir_move_row
  disk,    // lid -> observed stat and base (folder_rows)
  ino,     // dev u64, ino u64 -> lid u64
  dirty,   // lid -> reason bits u8
  partial, // cid 16, block u16 -> bitmap; block 0xffff: where the temp file is
  dead,    // hlc u64, lid u64 -> nothing (Trash order)
  notice,  // hlc u64, n u32 -> notice_row
  sel,     // lid -> selection, pin
  remote,  // oc:id -> last state equal here and in Nextcloud
  loc,     // chunk id 16 -> space u32, lid u64, chunk u32 (several)
  pack,    // chunk id 16 -> pack u32, offset u32, length u32, rest of the id
  count_
};

/// Which tables an environment has: one `meta` per space, one `chunks` per volume.
enum class environment : uint8_t { meta, chunks };

inline constexpr uint32_t metadata_schema_version = 1;
inline constexpr size_t map_bytes_start = size_t{1} << 30;
inline constexpr size_t map_bytes_max = size_t{1} << 40;
inline constexpr std::chrono::milliseconds read_time_max{100};
inline constexpr int environments_open_max
    = 64; // one process; `store` closes the least recently used beyond it

class read_txn;
class write_txn;

/// A position in one table. Views die with the transaction, in a write transaction with the next write.
class row_cursor {
public:
  row_cursor(const read_txn& txn, table which);
  ~row_cursor();
  row_cursor(const row_cursor&) = delete;
  row_cursor& operator=(const row_cursor&) = delete;

  bool first();
  bool last();
  /// To the first row whose key is >= `key`.
  bool seek(std::string_view key);
  bool next(); // with several values per key: each one
  bool previous();
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view value() const { return value_; }

private:
  bool move(int op);
  MDB_cursor* raw_ = nullptr;
  std::string_view key_;
  std::string_view value_;
};

/// Reading inside one transaction. Throws storage_failure when the database broke; an absent row is no failure.
class read_txn {
public:
  [[nodiscard]] std::optional<std::string_view> get(table which, std::string_view key) const;
  [[nodiscard]] bool has(table which, std::string_view key) const {
    return get(which, key).has_value();
  }
  /// All values of one key (tables with several), in byte order; false from `visit` stops.
  void each_value(table which, std::string_view key,
                  const std::function<bool(std::string_view)>& visit) const;
  /// Rows with key >= `from`, in order; false from `visit` stops.
  void
  each_from(table which, std::string_view from,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  /// Rows whose key starts with `prefix`, in order (not for tables keyed by lid alone).
  void
  each_prefix(table which, std::string_view prefix,
              const std::function<bool(std::string_view key, std::string_view value)>& visit) const;
  [[nodiscard]] size_t count(table which) const;
  /// True once the transaction is older than read_time_max: long readers stop page reuse, so end it and come again.
  [[nodiscard]] bool overdue() const;

  struct inside; // what metadata_db gives a transaction
  explicit read_txn(inside& state) : state_(state) {}
  read_txn(const read_txn&) = delete;
  read_txn& operator=(const read_txn&) = delete;

protected:
  friend class row_cursor;
  inside& state_;
};

/// Reading and writing inside the one write transaction. Sees its own writes.
class write_txn : public read_txn {
public:
  using read_txn::read_txn;
  /// Sets the row; in tables with several values per key adds this one (again: no change).
  void put(table which, std::string_view key, std::string_view value);
  /// Sets the row only if absent; false: was there.
  bool insert(table which, std::string_view key, std::string_view value);
  /// Removes the row with all its values; false: was absent.
  bool erase(table which, std::string_view key);
  /// Removes one value of a key; false: was absent.
  bool erase_value(table which, std::string_view key, std::string_view value);
  /// Removes rows whose key starts with `prefix`, at most `limit`; returns how many.
  size_t erase_prefix(table which, std::string_view prefix, size_t limit = SIZE_MAX);
};

/// One migration from schema `from` to `from + 1`, in bounded pieces: called until it returns true, each call in its own
/// transaction. `resume` is its bookmark, empty at first, stored with every piece.
struct migration {
  uint32_t from = 0;
  std::function<bool(write_txn&, std::string& resume)> piece;
};
/// What a program expects of a database: its own version and how to get there from earlier ones.
struct metadata_schema {
  uint32_t version = metadata_schema_version;
  std::vector<migration> steps;
};

struct metadata_options {
  size_t map_start = map_bytes_start;
  size_t map_max = map_bytes_max;
  metadata_schema schema;
};

/// One LMDB environment in one directory. `read` may be called by any thread; `write` by one thread at a time (`store`).
/// Never call either from inside a callback of the same database.
class metadata_db {
public:
  /// Opens or creates it. Refuses: a second opener, a network file system, a schema newer than ours (left untouched).
  /// An older schema is migrated after a check of space and a backup in `<dir>/backup-<version>`; a killed migration resumes.
  static std::variant<metadata_db, storage_failure>
  open(const std::filesystem::path& dir, environment kind, metadata_options options = {});
  metadata_db(metadata_db&&) noexcept;
  metadata_db& operator=(metadata_db&&) noexcept;
  ~metadata_db();

  /// One write transaction, durable when it returns nothing. `work` returning false aborts it without failure. After
  /// MAP_FULL the map is doubled and `work` is CALLED AGAIN from the start: it must reset what it keeps outside.
  std::optional<storage_failure> write(const std::function<bool(write_txn&)>& work);
  /// One snapshot. Keep it under read_time_max (read_txn::overdue).
  std::optional<storage_failure> read(const std::function<void(const read_txn&)>& work) const;
  /// Walks a whole table in snapshots of at most read_time_max each, so rows may be of different moments.
  std::optional<storage_failure>
  walk(table which, std::string_view from,
       const std::function<bool(std::string_view key, std::string_view value)>& visit) const;

  /// Compacting copy into `<dir>/copies/1`, the former one becomes 2, older ones go. Slow; any thread.
  std::optional<storage_failure> keep_copy() const;
  /// Compacting copy into `target`, an absent or empty directory. Slow; any thread.
  std::optional<storage_failure> copy_to(const std::filesystem::path& target) const;

  [[nodiscard]] size_t map_bytes() const;
  [[nodiscard]] size_t used_bytes() const; // pages in use, free ones not counted
  [[nodiscard]] const std::filesystem::path& dir() const;

private:
  struct parts;
  explicit metadata_db(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

/// Opens `dir` with the tables of `kind` only to look at its schema version; nothing when there is no database.
std::optional<uint32_t> schema_version_of(const std::filesystem::path& dir);

} // namespace harp
