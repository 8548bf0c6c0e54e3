// Base rows in memory, and paths over base rows of any kind.
#include "storage/folder_rows.hpp"

namespace harp {

std::optional<std::string> base_path(folder_rows& rows, local_id lid) {
  std::vector<std::string> parts;
  for (; lid != root_lid;) {
    auto row = rows.base(lid);
    if (!row || parts.size() >= base_depth_max)
      return std::nullopt;
    parts.push_back(std::move(row->disk_name));
    lid = row->parent;
  }
  std::string out;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!out.empty())
      out.push_back('/');
    out += *part;
  }
  return out;
}

local_id base_at_path(folder_rows& rows, std::string_view path) {
  local_id at = root_lid;
  while (!path.empty() && at != 0) {
    auto cut = path.find('/');
    at = rows.base_at(at, path.substr(0, cut));
    path = cut == path.npos ? std::string_view{} : path.substr(cut + 1);
  }
  return at;
}

std::optional<base_row> folder_rows_memory::base(local_id lid) {
  auto found = rows_.find(lid);
  return found == rows_.end() ? std::nullopt : std::optional{found->second};
}

void folder_rows_memory::put_base(local_id lid, const base_row& row) {
  erase_base(lid);
  rows_[lid] = row;
  kids_[row.parent][row.disk_name] = lid;
  if (row.seen.inode != 0)
    inodes_[{row.seen.device, row.seen.inode}] = lid;
  if (on_disk(row.kind) != disk_kind::dir)
    ++files_;
}

void folder_rows_memory::erase_base(local_id lid) {
  auto found = rows_.find(lid);
  if (found == rows_.end())
    return;
  const base_row& row = found->second;
  if (auto kids = kids_.find(row.parent); kids != kids_.end()) {
    if (auto kid = kids->second.find(row.disk_name);
        kid != kids->second.end() && kid->second == lid)
      kids->second.erase(kid);
    if (kids->second.empty())
      kids_.erase(kids);
  }
  if (auto ino = inodes_.find({row.seen.device, row.seen.inode});
      ino != inodes_.end() && ino->second == lid)
    inodes_.erase(ino);
  if (on_disk(row.kind) != disk_kind::dir)
    --files_;
  rows_.erase(found);
}

local_id folder_rows_memory::base_at(local_id parent, std::string_view disk_name) {
  auto kids = kids_.find(parent);
  if (kids == kids_.end())
    return 0;
  auto kid = kids->second.find(disk_name);
  return kid == kids->second.end() ? 0 : kid->second;
}

local_id folder_rows_memory::by_inode(uint64_t device, uint64_t inode) {
  auto found = inodes_.find({device, inode});
  return found == inodes_.end() ? 0 : found->second;
}

void folder_rows_memory::each_base(local_id parent, std::string_view after,
                                   const std::function<bool(std::string_view, local_id)>& visit) {
  auto kids = kids_.find(parent);
  if (kids == kids_.end())
    return;
  auto at = after.empty() ? kids->second.begin() : kids->second.upper_bound(after);
  for (; at != kids->second.end(); ++at)
    if (!visit(at->first, at->second))
      return;
}

std::optional<selection_row> folder_rows_memory::selection(local_id dir) {
  auto found = selections_.find(dir);
  return found == selections_.end() ? std::nullopt : std::optional{found->second};
}

std::vector<local_id> folder_rows_memory::dirty_lids(local_id after, size_t limit) {
  std::vector<local_id> out;
  for (auto at = dirty_.upper_bound(after); at != dirty_.end() && out.size() < limit; ++at)
    out.push_back(at->first);
  return out;
}

void folder_rows_memory::erase_placing(std::string_view dir_path, std::string_view temp) {
  placings_.erase({std::string(dir_path), std::string(temp)});
}

std::vector<placing_row> folder_rows_memory::placings() {
  std::vector<placing_row> out;
  for (const auto& [key, row] : placings_)
    if (out.size() < placings_max)
      out.push_back(row);
  return out;
}

} // namespace harp
