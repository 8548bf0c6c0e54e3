// What replicas at play show, in the words of the reference, and whether their rows keep their promises.
#include "storage/state_root.hpp"
#include "tests/storage/space_play.hpp"

#include <algorithm>

namespace harp::play {

namespace {

std::string text(const stamp& s) {
  return std::to_string(s.hlc) + "." + std::to_string(s.rid) + "." + std::to_string(s.idx);
}
std::string text(const node_meta& m) {
  return std::to_string(m.mtime_ns) + (m.executable ? "x" : "-") + m.acting_user;
}

std::string line_of(space_rows& rows, space_tree& tree, const shown_entry& entry) {
  auto all = tree.resolve(entry.lid);
  if (!all || all->entry != entry)
    return "BROKEN: listed but not resolved alike";
  std::string out = entry.kind == node_kind::graft     ? "graft"
                    : entry.kind == node_kind::dir     ? "dir"
                    : entry.kind == node_kind::symlink ? "link"
                                                       : "file";
  for (auto member : all->members)
    out += " " + (member == root_lid ? root_node_id() : rows.node(member)->nid).to_string();
  if (entry.vid.is_zero())
    return out + " " + text(entry.meta);
  out += " " + entry.cid.to_string().substr(0, 12) + " " + text(entry.meta);
  for (const auto& h : tree.history(entry.lid))
    out += "\n  " + text(h.vid) + " " + h.cid.to_string().substr(0, 12)
           + ((h.flags & version_overtaken) != 0 ? " overtaken" : "")
           + (h.current ? " current" : "");
  return out;
}

} // namespace

content_ref content(uint64_t n) {
  content_ref out;
  out.size = n;
  for (size_t i = 0; i < 8; ++i)
    out.cid.bytes[i] = static_cast<uint8_t>(n >> (8 * i));
  out.cid.bytes[31] = 1;
  return out;
}

reference::view view_of(space_rows& rows) {
  reference::view out;
  space_tree tree(rows);
  auto root = tree.entry_of(root_lid);
  if (!root)
    return {{"", "BROKEN: no root"}};
  std::vector<std::pair<shown_entry, std::string>> open{{*root, ""}};
  while (!open.empty()) {
    auto [entry, path] = open.back();
    open.pop_back();
    auto line = line_of(rows, tree, entry);
    if (!out.emplace(path, line).second)
      out[path] += "\nBROKEN: two entries on one path";
    if (tree.path_of(entry.lid) != (path.empty() ? path : path.substr(1)))
      out[path] += "\nBROKEN: path_of says " + tree.path_of(entry.lid).value_or("nothing");
    auto back = tree.resolve(path);
    if (!back || back->entry != entry)
      out[path] += "\nBROKEN: does not resolve back";
    if (!entry.vid.is_zero())
      continue;
    std::string after;
    for (bool more = true; more;) { // small pieces: continuation is tried as well
      auto piece = tree.list(entry.lid, after, 2);
      for (auto& child : piece.entries) {
        auto below = path + "/" + child.name;
        open.emplace_back(std::move(child), std::move(below));
      }
      after = piece.next;
      more = piece.more;
    }
  }
  for (const auto& entry : tree.trash(UINT64_MAX, SIZE_MAX))
    out["trash:" + rows.node(entry.lid)->nid.to_string()] = text(entry.died);
  return out;
}

std::string check_rows(space_rows& rows) {
  std::map<local_id, uint64_t> kids;
  std::map<std::pair<local_id, std::string>, std::set<local_id>> entries;
  std::string out;
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    if (lid != root_lid && row.shown()) {
      ++kids[row.parent];
      entries[{row.parent, row.name}].insert(lid);
    }
    return true;
  });
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    if (row.shown_kids != kids[lid])
      out += "shown_kids of " + std::to_string(lid) + " differ from a recount; ";
    if (lid != root_lid && row.shown() != (row.alive() || kids[lid] > 0))
      out += "shown of " + std::to_string(lid) + " is wrong; ";
    if (lid != root_lid && !rows.node(row.parent))
      out += "no parent; ";
    size_t listed = 0;
    rows.each_entry(lid, {}, [&](std::string_view name, local_id child) {
      ++listed;
      if (!entries[{lid, std::string(name)}].contains(child))
        out += "an entry too many; ";
      return true;
    });
    if (listed != kids[lid])
      out += "entries differ from a recount; ";
    return true;
  });
  if (rows.node(root_lid) && recount_state_root(rows) != state_root(rows))
    out += "the state root differs from a recount; ";
  if (auto mark = newest_checkpoint(rows); !mark.covered.empty())
    if (recount_floor_root(rows) != mark.root)
      out += "the floor root differs from a recount; ";
  return out;
}

} // namespace harp::play
