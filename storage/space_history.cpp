// Histories and Trash of the tree people see.
#include "storage/checkpoint.hpp"
#include "storage/fold.hpp"
#include "storage/space_tree.hpp"

#include <algorithm>
#include <map>

namespace harp {

// -- history and trash ----------------------------------------------------------------------------

std::vector<history_entry> space_tree::history(local_id lid, uint64_t settled_hlc) {
  auto shown = resolve(lid);
  std::vector<std::pair<version_row, local_id>> all;
  std::map<std::pair<local_id, stamp>, stamp> overtaken_by;
  for (auto member : shown ? shown->members : std::vector{lid}) {
    auto versions = rows_.versions(member);
    std::sort(versions.begin(), versions.end(), is_before);
    for (size_t i = 0; i < versions.size(); ++i) {
      if ((versions[i].flags & version_overtaken) != 0 && i + 1 < versions.size())
        overtaken_by[{member, versions[i].at}] = versions[i + 1].at;
      all.emplace_back(versions[i], member);
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return is_before(a.first, b.first); });
  auto row = rows_.node(lid);
  auto owner = shown ? shown->entry.owner : lid;
  auto current = shown ? shown->entry.vid : row ? row->head : stamp{};
  std::vector<history_entry> out;
  for (const auto& [version, member] : all) {
    history_entry entry{member,
                        version.at,
                        version.cid,
                        version.size,
                        {version.mtime_ns, version.executable, version.acting_user},
                        version.flags,
                        {},
                        version.at.hlc <= settled_hlc,
                        member == owner && version.at == current};
    if (auto by = overtaken_by.find({member, version.at}); by != overtaken_by.end())
      entry.overtaken_by = by->second;
    if (out.empty() || out.back().cid != entry.cid)
      out.push_back(std::move(entry));
    else if (!out.back().current)
      out.back() = std::move(entry);
  }
  return out;
}

std::optional<trash_entry> space_tree::trash_of(local_id lid) {
  auto row = rows_.node(lid);
  if (!row || row->alive() || row->died.is_zero())
    return std::nullopt;
  trash_entry out;
  out.lid = lid;
  out.path = path_of(lid).value_or("");
  out.kind = row->kind;
  out.died = row->died;
  out.vid = row->head;
  if (auto head = rows_.version(lid, row->head)) {
    out.cid = head->cid;
    out.size = head->size;
  } else if (!row->is_dir()) {
    return std::nullopt; // a tombstone: its content is purged
  }
  return out;
}

std::vector<trash_entry> space_tree::trash(uint64_t before_hlc, size_t limit) {
  std::vector<trash_entry> out;
  auto oldest = purged_before(rows_);
  rows_.each_dead(before_hlc, [&](uint64_t hlc, local_id lid) {
    if (hlc < oldest || out.size() >= limit)
      return false;
    if (auto entry = trash_of(lid))
      out.push_back(std::move(*entry));
    return true;
  });
  return out;
}

std::vector<trash_entry> space_tree::trash_below(local_id dir, size_t limit) {
  std::vector<trash_entry> out;
  auto oldest = purged_before(rows_);
  rows_.each_dead(UINT64_MAX, [&](uint64_t hlc, local_id lid) {
    if (hlc < oldest || out.size() >= limit)
      return false;
    if (is_below(lid, dir))
      if (auto entry = trash_of(lid))
        out.push_back(std::move(*entry));
    return true;
  });
  return out;
}

std::optional<trash_entry> space_tree::in_trash(std::string_view path) {
  if (!path.empty() && path.front() == '/')
    path.remove_prefix(1);
  auto name = path.substr(path.rfind('/') + 1);
  std::optional<trash_entry> out;
  rows_.each_dead(UINT64_MAX, [&](uint64_t, local_id lid) {
    if (auto row = rows_.node(lid); row && row->name == name && path_of(lid) == path)
      out = trash_of(lid);
    return !out;
  });
  return out;
}

} // namespace harp
