#include "storage/op_events.hpp"

#include "storage/byte_codec.hpp"
#include "storage/space_tree.hpp"

#include <algorithm>

namespace harp {

namespace {

template <class... Ts>
struct overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
overloaded(Ts...) -> overloaded<Ts...>;

constexpr std::string_view policy_names_setting = "policy_names";
constexpr uint16_t made_tag = 1;
constexpr uint16_t dir_tag = 2;

version_row version_of(const stamp& at, dot by, const node_meta& meta, const content_ref& content) {
  version_row out;
  out.at = at;
  out.by = by;
  out.cid = content.cid;
  out.size = content.size;
  out.mtime_ns = meta.mtime_ns;
  out.executable = meta.executable;
  out.acting_user = meta.acting_user;
  return out;
}

event_row event_of(event_row::kind what, const stamp& at, dot by) {
  event_row out;
  out.what = what;
  out.at = at;
  out.by = by;
  return out;
}

std::vector<dot> by_rid(std::vector<dot> seen) {
  std::sort(seen.begin(), seen.end());
  return seen;
}

std::string policy_key(std::string_view name) {
  return "policy/" + std::string(name);
}

} // namespace

std::vector<policy_entry> policy_entries(space_rows& rows, std::string_view name) {
  auto stored = rows.setting(policy_key(name));
  byte_reader in(stored);
  std::vector<policy_entry> out;
  while (in.ok() && in.left() > 0) {
    policy_entry entry;
    entry.at = in.id<stamp>();
    entry.by = in.id<dot>();
    entry.value = in.varint();
    if (in.ok())
      out.push_back(entry);
  }
  return out;
}

std::vector<std::string> policy_names(space_rows& rows) {
  std::vector<std::string> out;
  auto stored = rows.setting(policy_names_setting);
  for (std::string_view rest = stored; !rest.empty();) {
    auto end = rest.find('\n');
    out.emplace_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return out;
}

void save_policy(space_rows& rows, std::string_view name, std::vector<policy_entry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.at < b.at; });
  size_t first = entries.size() > policy_entries_max ? entries.size() - policy_entries_max : 0;
  byte_writer out;
  for (size_t i = first; i < entries.size(); ++i) {
    out.id(entries[i].at);
    out.id(entries[i].by);
    out.varint(entries[i].value);
  }
  rows.put_setting(policy_key(name), out.bytes());
  auto known = policy_names(rows);
  if (std::find(known.begin(), known.end(), name) == known.end())
    rows.put_setting(policy_names_setting,
                     rows.setting(policy_names_setting) + std::string(name) + '\n');
}

node_row base_of(space_rows& rows, local_id lid, const node_row& row) {
  if (auto floor = rows.floor(lid))
    return *floor;
  return (row.flags & node_folded) != 0 ? row : seed_of(row);
}

std::vector<node_id> nodes_of(const bundle& b, size_t idx) {
  return std::visit(
      overloaded{
          [&](const op_make_file&) {
            return std::vector{made_node_id(b.id(), static_cast<uint16_t>(idx))};
          },
          [](const op_make_dir& op) {
            return std::vector{dir_node_id(op.parent, op.name, op.salt)};
          },
          [](const op_adopt& op) { return std::vector{adopted_node_id(op.parent, op.name)}; },
          [](const op_move& op) { return op.nodes; },
          [](const op_delete& op) {
            std::vector<node_id> out;
            for (const auto& item : op.items)
              out.push_back(item.node);
            return out;
          },
          [](const op_checkpoint&) { return std::vector<node_id>{}; },
          [](const op_policy&) { return std::vector<node_id>{}; },
          [](const auto& op) { return std::vector{op.node}; },
      },
      b.ops[idx]);
}

op_events::op_events(row_batch& batch, collision_watch& watch, version_vector covered,
                     apply_result& result, replica_id self)
    : batch_(batch), rows_(batch.rows()), watch_(watch), covered_(std::move(covered)),
      result_(result), self_(self) {}

// -- nodes ----------------------------------------------------------------------------------------

/// A directory that must be there, if only as a name for what is below it.
local_id op_events::dir_for(const node_id& nid) {
  if (auto known = rows_.find(nid))
    return known;
  auto lid = rows_.make_alias(nid);
  node_row row;
  row.nid = nid;
  row.kind = node_kind::dir;
  row.flags = node_void;
  row.parent = root_lid;
  row.name = recovered_name(nid);
  batch_.make(lid, row);
  open_[lid].fresh = true;
  return lid;
}

/// The node an operation is about. 0: a file that does not exist (purged, or its creation cut): the operation is void.
local_id op_events::target(const node_id& nid) {
  if (auto known = rows_.find(nid))
    return known;
  auto tag = node_tag_of(nid);
  if (tag == made_tag)
    return 0;
  if (tag == dir_tag)
    return dir_for(nid);
  auto lid = rows_.make_alias(nid);
  node_row row;
  row.nid = nid;
  row.flags = node_void;
  row.parent = root_lid;
  batch_.make(lid, row);
  open_[lid].fresh = true;
  return lid;
}

/// Before a row departs from its base: a folded one by any event, a seed by a move.
void op_events::keep_base(local_id lid, bool for_move) {
  open_[lid];
  auto* row = batch_.find(lid);
  bool folded = row->before && (row->before->flags & node_folded) != 0;
  if (!folded && (!for_move || row->row.is_dir()))
    return; // the place of a dir is kept by the log of its moves
  if (rows_.floor(lid))
    return;
  auto base = folded ? *row->before : seed_of(row->row);
  base.flags &= static_cast<uint8_t>(~node_shown);
  base.shown_kids = 0;
  rows_.put_floor(lid, base);
}

void op_events::add_event(local_id lid, event_row event) {
  keep_base(lid, event.what == event_row::kind::move);
  watch_.note(lid, event.what, event.at);
  if (!rows_.put_event(lid, event))
    return;
  auto& node = open_[lid];
  if (node.fresh)
    node.events.push_back(std::move(event));
}

void op_events::add_version(local_id lid, version_row version, const content_ref& content) {
  keep_base(lid, false);
  watch_.note(lid, event_row::kind::make, version.at);
  if (!content.root.empty())
    rows_.put_root_record(content.cid, content.root);
  auto& node = open_[lid];
  batch_.put_version(lid, batch_.find(lid)->row.nid, version);
  if (node.fresh)
    node.versions.push_back(std::move(version));
}

// -- operations -----------------------------------------------------------------------------------

void op_events::make_file(const op_make_file& op, const stamp& at, dot by) {
  if (node_tag_of(op.parent) != dir_tag)
    return;
  auto nid = made_node_id(by, at.idx);
  if (rows_.find(nid) != 0)
    return;
  node_row row;
  row.nid = nid;
  row.kind = op.kind == node_kind::symlink ? node_kind::symlink : node_kind::file;
  row.parent = dir_for(op.parent);
  row.name = op.name;
  row.moved = at;
  auto lid = rows_.make_alias(nid);
  batch_.make(lid, row);
  open_[lid].fresh = true;
  add_version(lid, version_of(at, by, op.meta, op.content), op.content);
}

void op_events::make_dir(const op_make_dir& op, const stamp& at, dot by) {
  if (node_tag_of(op.parent) != dir_tag)
    return;
  auto nid = dir_node_id(op.parent, op.name, op.salt);
  auto parent = dir_for(op.parent);
  auto lid = rows_.find(nid);
  if (lid == 0) {
    lid = rows_.make_alias(nid);
    node_row row;
    row.nid = nid;
    row.kind = node_kind::dir;
    row.parent = parent;
    row.name = op.name;
    batch_.make(lid, row);
    open_[lid].fresh = true;
  }
  auto event = event_of(event_row::kind::make, at, by);
  event.parent = parent;
  event.name = op.name;
  add_event(lid, std::move(event));
}

void op_events::adopt(const op_adopt& op, const stamp& at, dot by) {
  if (node_tag_of(op.parent) != dir_tag)
    return;
  auto lid = target(adopted_node_id(op.parent, op.name));
  auto parent = dir_for(op.parent);
  // The first place is part of the id; a node known only by other events learns it here.
  auto* row = batch_.find(lid);
  if (auto floor = rows_.floor(lid)) {
    if ((floor->flags & node_folded) == 0 && floor->name.empty()) {
      floor->parent = parent;
      floor->name = op.name;
      rows_.put_floor(lid, *floor);
    }
  } else if ((row->row.flags & node_folded) == 0 && row->row.name.empty()) {
    row->row.parent = parent;
    row->row.name = op.name;
  }
  auto version = version_of(at, by, op.meta, op.content);
  version.flags = version_adopted;
  add_version(lid, std::move(version), op.content);
}

void op_events::edit(const op_edit& op, const stamp& at, dot by) {
  auto lid = node_tag_of(op.node) == dir_tag ? 0 : target(op.node);
  if (lid == 0)
    return;
  auto version = version_of(at, by, op.meta, op.content);
  version.base = op.base;
  add_version(lid, std::move(version), op.content);
}

void op_events::move(const op_move& op, const stamp& at, dot by) {
  if (node_tag_of(op.parent) != dir_tag)
    return;
  auto parent = dir_for(op.parent);
  for (const auto& nid : op.nodes) {
    auto lid = nid == root_node_id() ? 0 : target(nid);
    if (lid == 0)
      continue;
    auto event = event_of(event_row::kind::move, at, by);
    event.parent = parent;
    event.name = op.name;
    add_event(lid, std::move(event));
    if (node_tag_of(nid) != dir_tag)
      continue;
    dir_move_row entry;
    entry.at = at;
    entry.by = by;
    entry.node = lid;
    entry.parent = parent;
    entry.name = op.name;
    moves_.push_back(std::move(entry));
  }
}

void op_events::put_policy(const op_policy& op, const stamp& at, dot by) {
  for (const auto& [name, value] : op.values) {
    auto entries = policy_entries(rows_, name);
    entries.push_back({at, by, value});
    save_policy(rows_, name, std::move(entries));
  }
}

void op_events::add(const bundle& b, size_t idx) {
  stamp at{b.hlc, b.rid, static_cast<uint16_t>(idx)};
  dot by = b.id();
  auto simple = [&](const node_id& nid, event_row event) {
    auto lid = nid == root_node_id() ? 0 : target(nid);
    if (lid != 0)
      add_event(lid, std::move(event));
  };
  std::visit(overloaded{
                 [&](const op_make_file& op) { make_file(op, at, by); },
                 [&](const op_make_dir& op) { make_dir(op, at, by); },
                 [&](const op_adopt& op) { adopt(op, at, by); },
                 [&](const op_edit& op) { edit(op, at, by); },
                 [&](const op_set_meta& op) {
                   auto event = event_of(event_row::kind::set_meta, at, by);
                   event.meta = op.meta;
                   simple(op.node, std::move(event));
                 },
                 [&](const op_move& op) { move(op, at, by); },
                 [&](const op_delete& op) {
                   for (const auto& item : op.items) {
                     auto event = event_of(event_row::kind::remove, at, by);
                     event.seen = by_rid(item.seen);
                     simple(item.node, std::move(event));
                   }
                 },
                 [&](const op_restore& op) {
                   auto event = event_of(event_row::kind::restore, at, by);
                   event.version = node_tag_of(op.node) == dir_tag ? stamp{} : op.version;
                   simple(op.node, std::move(event));
                 },
                 [&](const op_graft& op) {
                   auto event = event_of(event_row::kind::graft, at, by);
                   event.target = op.target;
                   if (node_tag_of(op.node) == dir_tag)
                     simple(op.node, std::move(event));
                 },
                 [](const op_checkpoint&) {},
                 [&](const op_policy& op) { put_policy(op, at, by); },
             },
             b.ops[idx]);
}

} // namespace harp
