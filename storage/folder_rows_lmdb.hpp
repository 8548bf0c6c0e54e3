// Base rows in LMDB: table `disk` by lid, the indexes of place and inode and the placing rows in `ino` (storage.md 8).
#pragma once

#include "storage/folder_rows.hpp"
#include "storage/metadata_db.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

/// Keys of table `ino` begin with a letter: 'i' device u64 inode u64 -> lid; 'p' parent u64 disk name -> lid;
/// 't' temp name NUL directory path -> placing row; 'n' -> number of file rows. Dirty marks are in the table of
/// space_rows_lmdb: in one transaction use these rows before its work or after its flush().
class folder_rows_lmdb final : public folder_rows {
public:
  explicit folder_rows_lmdb(write_txn& txn) : read_(txn), write_(&txn) {}
  /// Every change throws storage_failure (EROFS).
  explicit folder_rows_lmdb(const read_txn& txn) : read_(txn) {}

  std::optional<base_row> base(local_id lid) override;
  void put_base(local_id lid, const base_row& row) override;
  void erase_base(local_id lid) override;
  local_id base_at(local_id parent, std::string_view disk_name) override;
  local_id by_inode(uint64_t device, uint64_t inode) override;
  void each_base(local_id parent, std::string_view after,
                 const std::function<bool(std::string_view, local_id)>& visit) override;
  uint64_t base_files() override;
  std::optional<selection_row> selection(local_id dir) override;
  void put_selection(local_id dir, const selection_row& row) override;
  void erase_selection(local_id dir) override;
  void mark_dirty(local_id lid, uint8_t reason) override;
  std::vector<local_id> dirty_lids(local_id after, size_t limit) override;
  void clear_dirty(local_id lid) override;
  void put_placing(const placing_row& row) override;
  void erase_placing(std::string_view dir_path, std::string_view temp) override;
  std::vector<placing_row> placings() override;

private:
  write_txn& writer();
  void add_files(int64_t count);

  const read_txn& read_;
  write_txn* write_ = nullptr;
};

/// A base row as bytes: about 90 for a file of an ordinary name.
std::string encode(const base_row& row);
std::optional<base_row> decode_base(std::string_view bytes);
std::string encode(const placing_row& row);
std::optional<placing_row> decode_placing(std::string_view bytes);

} // namespace harp
