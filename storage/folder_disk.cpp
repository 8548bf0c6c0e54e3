// Opening and checking the directory of a space, and what a crash left in it.
#include "storage/folder_round.hpp"

#include "storage/folder_rows_lmdb.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr std::string_view root_key = "folder_root";

} // namespace

std::string read_text(const safe_root& root, const std::string& path) {
  auto opened = root.open_file(path, O_RDONLY);
  std::string out(path_bytes_max, '\0');
  auto* fd = std::get_if<unique_fd>(&opened);
  auto got = fd != nullptr ? read_at(fd->get(), out.data(), out.size(), 0) : -1;
  out.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return out;
}

std::variant<std::shared_ptr<folder_disk>, std::string> open_folder(const std::string& dir, const space_id& id, space_store& rows,
                                                                     file_writer::intents intents) {
  auto opened = safe_root::open(dir);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return "the folder " + dir + " cannot be opened: " + failure->what;
  auto out = std::make_shared<folder_disk>();
  out->root = std::make_shared<const safe_root>(std::move(std::get<safe_root>(opened)));
  std::string known; // what the root was when it was added
  rows.read([&](const read_txn& txn, space_rows&) {
    if (auto row = txn.get(table::conf, root_key))
      known = *row;
  });
  if (known.size() == 16) {
    out->identity = {id, key_number(known, 0, 8), key_number(known, 8, 8)};
    if (auto trouble = root_trouble(dir, out->identity, true))
      return *trouble;
    out->identity.device = out->root->device();
  } else {
    auto marked = mark_root(*out->root, id);
    if (auto* why = std::get_if<std::string>(&marked))
      return *why;
    out->identity = std::get<root_identity>(marked);
  }
  rows.write([&](write_txn& txn, space_rows&) { txn.put(table::conf, root_key, row_key{}.u64(out->identity.device).u64(out->identity.inode)); });
  out->writer = std::make_unique<file_writer>(*out->root, std::move(intents));
  out->host = probe_host(*out->root);
  return out;
}

std::string check_folder(const folder_disk& disk, const std::string& dir) {
  return root_trouble(dir, disk.identity).value_or(std::string{});
}

void store_placings(space_store& rows, const std::vector<placing_row>& group) {
  rows.write([&](write_txn& txn, space_rows&) {
    folder_rows_lmdb base{txn};
    for (const auto& row : group)
      base.put_placing(row);
  });
}

void recover_placings(space_store& rows, folder_disk& disk) {
  std::vector<placing_row> open;
  rows.read([&](const read_txn& txn, space_rows&) { open = folder_rows_lmdb{txn}.placings(); });
  if (open.empty())
    return;
  std::vector<placed_file> done;
  for (const auto& row : open)
    if (auto placed = disk.writer->recover(row))
      done.push_back(std::move(*placed));
  rows.write([&](write_txn& txn, space_rows& all) {
    folder_rows_lmdb base{txn};
    for (const auto& row : open) {
      base.erase_placing(row.dir_path, row.temp);
      base.mark_dirty(row.lid, dirty_content);
    }
    for (const auto& placed : done) {
      auto node = all.node(placed.row.lid);
      auto dir = placed.row.dir_path.empty() ? root_lid : base_at_path(base, placed.row.dir_path);
      if (!placed.placed || !node || dir == 0)
        continue;
      base_row row;
      row.parent = dir;
      row.name = node->name;
      row.disk_name = placed.row.name;
      row.kind = node->kind;
      row.vid = placed.row.vid;
      row.content = placed.row.content;
      row.meta = placed.row.meta;
      row.seen = placed.seen;
      row.seen.mtime_ns = placed.row.meta.mtime_ns; // as it was placed: an edit made since then must show
      base.put_base(placed.row.lid, row);
    }
  });
}

void forget_base(space_store& rows, const std::vector<local_id>& lids, const std::vector<disk_place>& places) {
  rows.write([&](write_txn& txn, space_rows&) {
    folder_rows_lmdb base{txn};
    auto forget = [&](local_id lid) {
      base.erase_base(lid);
      base.mark_dirty(lid, dirty_life);
    };
    for (auto lid : lids)
      forget(lid);
    for (const auto& place : places)
      if (auto lid = base.base_at(place.parent, place.name); lid != 0)
        forget(lid);
  });
}

} // namespace harp
