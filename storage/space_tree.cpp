#include "storage/space_tree.hpp"

#include "storage/digest.hpp"
#include "storage/fold.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace harp {

namespace {

constexpr size_t alias_digits = 6;

using event_time = std::tuple<bool, int64_t, stamp, stamp, node_id>;

/// When something last happened to a file: its newest version, or its arrival. Adopted versions come first. Of files that
/// one Move brought together it is the one with the newest version.
event_time event_key(const node_row& row, const version_row& head) {
  bool adopted = (head.flags & version_adopted) != 0;
  if (adopted && row.moved.is_zero())
    return {false, head.mtime_ns, head.at, head.at, row.nid};
  return {true, 0, adopted ? row.moved : std::max(head.at, row.moved), head.at, row.nid};
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (auto it = parts.rbegin(); it != parts.rend(); ++it)
    out += (out.empty() ? "" : "/") + *it;
  return out;
}

std::string hex_of(const node_id& nid) {
  return blake2b("harp.name", nid.view()).to_string();
}

} // namespace

std::string alias_name(std::string_view name, const node_id& nid, size_t digits) {
  return std::string(name) + "~" + hex_of(nid).substr(0, digits);
}

std::string recovered_name(const node_id& nid) {
  return alias_name("recovered", nid);
}

// -- members --------------------------------------------------------------------------------------

bool space_tree::is_sharing() {
  sharing_ = sharing_ || !rows_.setting("shared_places").empty(); // never becomes false again
  return sharing_;
}

void space_tree::sort_by_nid(std::vector<local_id>& lids) {
  if (lids.size() < 2)
    return;
  std::vector<std::pair<node_id, local_id>> keyed;
  for (auto lid : lids)
    keyed.emplace_back(rows_.node(lid)->nid, lid);
  std::sort(keyed.begin(), keyed.end());
  for (size_t i = 0; i < lids.size(); ++i)
    lids[i] = keyed[i].second;
}

space_tree::place_members space_tree::members_at(const std::vector<local_id>& parents,
                                                 std::string_view name) {
  place_members out;
  for (auto parent : parents)
    for (auto lid : rows_.entry(parent, name)) {
      auto row = rows_.node(lid);
      if (row)
        (row->is_dir() ? out.dirs : out.files).push_back(lid);
    }
  sort_by_nid(out.dirs);
  sort_by_nid(out.files);
  return out;
}

std::vector<local_id> space_tree::group_of(local_id dir) {
  if (dir == root_lid || !is_sharing())
    return {dir};
  std::vector<std::string> names;
  std::vector<local_id> group{dir};
  auto row = rows_.node(dir);
  if (!row || !row->shown() || !row->is_dir())
    return group;
  for (auto at = dir; at != root_lid && row && names.size() < path_depth_max;) {
    names.push_back(row->name);
    at = row->parent;
    row = rows_.node(at);
  }
  group = {root_lid};
  for (auto it = names.rbegin(); it != names.rend(); ++it)
    group = members_at(group, *it).dirs;
  return group.empty() ? std::vector{dir} : group;
}

// -- entries --------------------------------------------------------------------------------------

std::optional<resolved_entry> space_tree::dir_entry(local_id parent, std::string_view name,
                                                    std::vector<local_id> members) {
  auto row = rows_.node(members.front());
  if (!row)
    return std::nullopt;
  resolved_entry out;
  out.own_name = name;
  auto& entry = out.entry;
  entry.lid = entry.owner = members.front();
  entry.parent = parent;
  entry.name = name;
  entry.kind = row->kind;
  entry.meta = row->meta;
  entry.graft = row->graft;
  out.members = std::move(members);
  return out;
}

std::string space_tree::free_alias(const std::vector<local_id>& parents, std::string_view name,
                                   const node_id& nid) {
  for (size_t digits = alias_digits;; digits += 2) {
    auto alias = alias_name(name, nid, digits);
    bool taken = std::any_of(parents.begin(), parents.end(),
                             [&](local_id parent) { return !rows_.entry(parent, alias).empty(); });
    if (!taken || digits >= 2 * digest256::size)
      return alias;
  }
}

std::optional<resolved_entry> space_tree::file_entry(const std::vector<local_id>& parents,
                                                     std::string_view name,
                                                     std::vector<local_id> members,
                                                     bool beside_dir) {
  resolved_entry out;
  auto& entry = out.entry;
  event_time newest;
  node_id first;
  for (auto lid : members) {
    auto row = rows_.node(lid);
    auto head = row ? rows_.version(lid, row->head) : std::nullopt;
    if (!head)
      continue;
    if (lid == members.front())
      first = row->nid;
    auto key = event_key(*row, *head);
    if (entry.owner != 0 && key < newest)
      continue;
    newest = key;
    entry.owner = lid;
    entry.kind = row->kind;
    entry.vid = head->at;
    entry.cid = head->cid;
    entry.size = head->size;
    entry.meta = row->meta;
  }
  if (entry.owner == 0)
    return std::nullopt;
  entry.lid = members.front();
  entry.parent = parents.front();
  out.own_name = name;
  entry.name = beside_dir ? free_alias(parents, name, first) : std::string(name);
  out.members = std::move(members);
  return out;
}

std::optional<resolved_entry> space_tree::resolve(local_id lid) {
  if (lid == root_lid) { // there from the start, with or without a row
    resolved_entry root;
    root.entry.lid = root.entry.owner = root_lid;
    root.entry.kind = node_kind::dir;
    root.members = {root_lid};
    return root;
  }
  auto row = rows_.node(lid);
  if (!row || !row->shown())
    return std::nullopt;
  auto parents = group_of(row->parent);
  if (!is_sharing())
    return row->is_dir() ? dir_entry(parents.front(), row->name, {lid})
                         : file_entry(parents, row->name, {lid}, false);
  auto at = members_at(parents, row->name);
  return row->is_dir() ? dir_entry(parents.front(), row->name, std::move(at.dirs))
                       : file_entry(parents, row->name, std::move(at.files), !at.dirs.empty());
}

std::optional<shown_entry> space_tree::entry_of(local_id lid) {
  auto found = resolve(lid);
  return found ? std::optional{std::move(found->entry)} : std::nullopt;
}

std::optional<resolved_entry> space_tree::resolve_in(local_id dir, std::string_view shown_name) {
  auto parents = group_of(dir);
  auto at = members_at(parents, shown_name);
  if (!at.dirs.empty())
    return dir_entry(parents.front(), shown_name, std::move(at.dirs));
  if (!at.files.empty())
    return file_entry(parents, shown_name, std::move(at.files), false);
  auto tilde = shown_name.rfind('~');
  if (tilde == std::string_view::npos || tilde == 0 || !is_sharing())
    return std::nullopt;
  auto name = shown_name.substr(0, tilde);
  at = members_at(parents, name);
  if (at.dirs.empty() || at.files.empty())
    return std::nullopt;
  auto found = file_entry(parents, name, std::move(at.files), true);
  return found && found->entry.name == shown_name ? found : std::nullopt;
}

local_id space_tree::at(local_id dir, std::string_view shown_name) {
  auto found = resolve_in(dir, shown_name);
  return found ? found->entry.lid : 0;
}

// -- paths ----------------------------------------------------------------------------------------

std::optional<resolved_entry> space_tree::resolve(std::string_view path) {
  if (!path.empty() && path.front() == '/')
    path.remove_prefix(1);
  auto found = resolve(root_lid);
  for (size_t depth = 0; !path.empty() && found; ++depth) {
    auto slash = path.find('/');
    auto name = path.substr(0, slash);
    bool is_dir = found->entry.kind == node_kind::dir || found->entry.kind == node_kind::graft;
    if (name.empty() || !is_dir || depth >= path_depth_max)
      return std::nullopt;
    found = resolve_in(found->entry.lid, name);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    if (slash != std::string_view::npos && path.empty())
      return std::nullopt; // a slash at the end
  }
  return found;
}

std::optional<tree_place> space_tree::place_of(std::string_view path) {
  if (!path.empty() && path.front() == '/')
    path.remove_prefix(1);
  auto slash = path.rfind('/');
  auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  auto dir = resolve(slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash));
  if (name.empty() || !dir || dir->entry.vid != stamp{})
    return std::nullopt;
  return tree_place{dir->entry.lid, std::string(name)};
}

std::optional<std::string> space_tree::path_of(local_id lid) {
  std::vector<std::string> parts;
  while (lid != root_lid) {
    auto row = rows_.node(lid);
    if (!row || parts.size() > path_depth_max)
      return std::nullopt;
    auto shown = row->shown() && is_sharing() ? resolve(lid) : std::nullopt;
    parts.push_back(shown ? shown->entry.name : row->name);
    lid = shown ? shown->entry.parent : row->parent;
  }
  return join(parts);
}

bool space_tree::is_below(local_id lid, local_id dir) {
  for (; lid != 0 && lid != dir; lid = rows_.node(lid).value_or(node_row{}).parent) {
  }
  return lid == dir && dir != 0;
}

// -- listings -------------------------------------------------------------------------------------

void space_tree::add_place(listing& out, const std::vector<local_id>& parents,
                           std::string_view name, const std::vector<local_id>& lids) {
  place_members at;
  for (auto lid : lids)
    if (auto row = rows_.node(lid))
      (row->is_dir() ? at.dirs : at.files).push_back(lid);
  sort_by_nid(at.dirs);
  sort_by_nid(at.files);
  bool beside_dir = !at.dirs.empty();
  if (beside_dir)
    if (auto found = dir_entry(parents.front(), name, std::move(at.dirs)))
      out.entries.push_back(std::move(found->entry));
  if (!at.files.empty())
    if (auto found = file_entry(parents, name, std::move(at.files), beside_dir))
      out.entries.push_back(std::move(found->entry));
}

listing space_tree::list(local_id dir, std::string_view after, size_t limit) {
  auto parents = group_of(dir);
  std::map<std::string, std::vector<local_id>, std::less<>> places;
  std::optional<std::string> end; // names behind it may lack members
  for (auto parent : parents) {
    std::string last;
    size_t names = 0;
    rows_.each_entry(parent, after, [&](std::string_view name, local_id lid) {
      if (names == 0 || name != last) {
        if (names == limit) {
          end = end ? std::min(*end, last) : last;
          return false;
        }
        ++names;
        last = name;
      }
      places[last].push_back(lid);
      return true;
    });
  }
  listing out;
  for (const auto& [name, lids] : places) {
    if (end && name > *end)
      break;
    add_place(out, parents, name, lids);
    out.next = name;
  }
  out.more = end.has_value();
  return out;
}

} // namespace harp
