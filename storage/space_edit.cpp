#include "storage/space_edit.hpp"

#include "storage/byte_codec.hpp"
#include "storage/operation_codec.hpp"

#include <algorithm>

namespace harp {

namespace {

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

size_t bytes_of(const operation& op) {
  byte_writer out;
  encode_operation(out, op);
  return out.bytes().size();
}

} // namespace

std::string_view to_string(edit_refusal why) {
  switch (why) {
  case edit_refusal::no_such_node:
    return "there is nothing of that name";
  case edit_refusal::not_a_dir:
    return "that is not a folder";
  case edit_refusal::not_a_file:
    return "that is not a file";
  case edit_refusal::name_taken:
    return "the name is taken";
  case edit_refusal::bad_name:
    return "the name cannot be used";
  case edit_refusal::into_itself:
    return "a folder cannot be moved into itself";
  case edit_refusal::is_root:
    return "the root of a space stays where it is";
  case edit_refusal::no_such_version:
    return "there is no such version";
  case edit_refusal::changed:
    return "it was changed since";
  }
  return "refused";
}

space_edit::space_edit(space_rows& rows, dot next, uint64_t hlc, apply_options options)
    : rows_(rows), tree_(rows), next_(next), hlc_(hlc), options_(options) {}

// -- drafts ---------------------------------------------------------------------------------------

void space_edit::flush() {
  if (open_.ops.empty())
    return;
  drafts_.push_back({next_, hlc_, std::move(open_.ops)});
  open_ = {};
  open_bytes_ = 0;
  ++next_.seq;
  ++hlc_;
}

void space_edit::push(operation op) {
  auto bytes = bytes_of(op);
  if (open_.ops.size() >= bundle_ops_max || open_bytes_ + bytes > draft_bytes_max)
    flush();
  open_bytes_ += bytes;
  open_.rid = next_.rid;
  open_.seq = next_.seq;
  open_.hlc = hlc_;
  open_.ops.push_back(std::move(op));
  auto applied = apply_draft(rows_, open_, open_.ops.size() - 1, options_);
  append(result_.touched, applied.touched);
  append(result_.moved_dirs, applied.moved_dirs);
  append(result_.notices, applied.notices);
  append(result_.voided, applied.voided);
  result_.checkpoint_applied |= applied.checkpoint_applied;
  result_.checkpoint_refused |= applied.checkpoint_refused;
}

std::vector<draft_bundle> space_edit::take() {
  flush();
  for (auto* lids : {&result_.touched, &result_.moved_dirs}) {
    std::sort(lids->begin(), lids->end());
    lids->erase(std::unique(lids->begin(), lids->end()), lids->end());
  }
  if (!drafts_.empty())
    --hlc_; // flush() went one tick ahead
  return std::move(drafts_);
}

stamp space_edit::next_stamp() {
  return {hlc_, next_.rid, static_cast<uint16_t>(open_.ops.size() - 1)};
}

node_id space_edit::nid_of(local_id lid) {
  if (lid == root_lid)
    return root_node_id();
  return rows_.node(lid).value_or(node_row{}).nid;
}

/// Makes `parent` the canonical member and says why nothing new may be put there under `name`.
std::optional<edit_refusal> space_edit::check_place(local_id& parent, std::string_view name) {
  auto dir = tree_.resolve(parent);
  if (!dir)
    return edit_refusal::no_such_node;
  if (dir->entry.vid != stamp{})
    return edit_refusal::not_a_dir;
  if (!is_lawful_name(name))
    return edit_refusal::bad_name;
  parent = dir->entry.lid;
  return std::nullopt;
}

// -- files and dirs -------------------------------------------------------------------------------

edit_outcome space_edit::make_file(local_id parent, std::string_view name, node_kind kind,
                                   const node_meta& meta, const content_ref& content) {
  if (auto why = check_place(parent, name))
    return *why;
  if (tree_.resolve_in(parent, name))
    return edit_refusal::name_taken;
  push(op_make_file{nid_of(parent), std::string(name), kind, meta, content});
  auto at = next_stamp();
  return edit_done{rows_.find(made_node_id(next_, at.idx)), at};
}

edit_outcome space_edit::adopt_file(local_id parent, std::string_view name, const node_meta& meta,
                                    const content_ref& content) {
  if (auto why = check_place(parent, name))
    return *why;
  auto nid = adopted_node_id(nid_of(parent), name);
  auto there = tree_.resolve_in(parent, name);
  auto known = rows_.find(nid);
  if (there && there->entry.lid != known)
    return edit_refusal::name_taken;
  push(op_adopt{nid_of(parent), std::string(name), meta, content});
  return edit_done{rows_.find(nid), next_stamp()};
}

edit_outcome space_edit::make_dir(local_id parent, std::string_view name) {
  if (auto why = check_place(parent, name))
    return *why;
  if (auto there = tree_.resolve_in(parent, name)) {
    if (there->entry.vid != stamp{})
      return edit_refusal::name_taken;
    return edit_done{there->entry.lid, {}};
  }
  auto above = nid_of(parent);
  stamp salt;
  for (;;) { // the id of this place may belong to a dir that lives elsewhere by now
    auto row = rows_.node(rows_.find(dir_node_id(above, name, salt)));
    if (!row || row->moved.is_zero() || (row->parent == parent && row->name == name))
      break;
    salt = row->moved;
  }
  push(op_make_dir{above, std::string(name), salt});
  return edit_done{rows_.find(dir_node_id(above, name, salt)), {}};
}

edit_outcome space_edit::edit(local_id lid, const stamp& base, const node_meta& meta,
                              const content_ref& content) {
  auto shown = tree_.resolve(lid);
  auto owner = shown ? shown->entry.owner : lid; // not shown: an edit brings a deleted file back
  auto row = rows_.node(owner);
  if (!row)
    return edit_refusal::no_such_node;
  if (row->is_dir())
    return edit_refusal::not_a_file;
  push(op_edit{row->nid, base.is_zero() ? row->head : base, meta, content});
  return edit_done{shown ? shown->entry.lid : lid, next_stamp()};
}

edit_outcome space_edit::put_file(local_id parent, std::string_view name, const node_meta& meta,
                                  const content_ref& content) {
  if (auto why = check_place(parent, name))
    return *why;
  auto there = tree_.resolve_in(parent, name);
  if (!there)
    return make_file(parent, name, node_kind::file, meta, content);
  if (there->entry.vid.is_zero())
    return edit_refusal::not_a_file;
  return edit(there->entry.lid, {}, meta, content);
}

edit_outcome space_edit::edit_or_make(local_id lid, const stamp& base, const tree_place& place,
                                      const node_meta& meta, const content_ref& content) {
  auto row = lid == 0 ? std::nullopt : rows_.node(lid);
  if (row && (row->flags & node_void) == 0)
    return edit(lid, base, meta, content);
  auto parent = tree_.resolve(place.parent) ? place.parent : root_lid;
  auto name = tree_.resolve_in(parent, place.name)
                  ? free_name(tree_, parent, place.name, "restored")
                  : place.name;
  return make_file(parent, name, node_kind::file, meta, content);
}

edit_outcome space_edit::set_meta(local_id lid, const node_meta& meta) {
  auto shown = tree_.resolve(lid);
  if (!shown)
    return edit_refusal::no_such_node;
  if (lid == root_lid)
    return edit_refusal::is_root;
  if (shown->entry.meta != meta)
    push(op_set_meta{nid_of(shown->entry.owner), meta});
  return edit_done{shown->entry.lid, {}};
}

// -- places ---------------------------------------------------------------------------------------

void space_edit::push_moves(const std::vector<local_id>& members, local_id parent,
                            std::string_view name) {
  for (size_t i = 0; i < members.size(); i += move_nodes_max) {
    op_move op{{}, nid_of(parent), std::string(name)};
    for (size_t j = i; j < std::min(members.size(), i + move_nodes_max); ++j)
      op.nodes.push_back(nid_of(members[j]));
    push(std::move(op));
  }
}

edit_outcome space_edit::move(local_id lid, local_id parent, std::string_view name) {
  auto shown = tree_.resolve(lid);
  if (!shown)
    return edit_refusal::no_such_node;
  if (shown->entry.lid == root_lid)
    return edit_refusal::is_root;
  if (auto why = check_place(parent, name))
    return *why;
  if (shown->entry.parent == parent && shown->entry.name == name)
    return edit_done{shown->entry.lid, {}};
  if (tree_.resolve_in(parent, name))
    return edit_refusal::name_taken;
  for (auto above = tree_.entry_of(parent); above;
       above = above->parent == 0 ? std::nullopt : tree_.entry_of(above->parent))
    if (above->lid == shown->entry.lid)
      return edit_refusal::into_itself;
  // The owner of a slot arrives last, so that what is current stays current.
  auto others = shown->members;
  if (!shown->entry.vid.is_zero() && others.size() > 1) {
    std::erase(others, shown->entry.owner);
    push_moves(others, parent, name);
    others = {shown->entry.owner};
  }
  push_moves(others, parent, name);
  return edit_done{shown->entry.lid, {}};
}

// -- deletes --------------------------------------------------------------------------------------

void space_edit::push_deletes(const std::vector<local_id>& lids) {
  op_delete op;
  bool own_draft = false;
  for (auto lid : lids) {
    auto row = rows_.node(lid);
    if (!row || row->life.empty())
      continue; // shown only for what is below it
    for (const auto& life : row->life)
      own_draft |= life == draft_dot();
    op.items.push_back({row->nid, row->life});
  }
  if (own_draft)
    flush(); // create and delete of one node never share a bundle
  op_delete part;
  size_t bytes = 0;
  auto send = [&] {
    if (!part.items.empty())
      push(std::move(part));
    part = {};
    bytes = 0;
  };
  for (auto& item : op.items) {
    bytes += node_id::size + 16 * item.seen.size() + 4;
    part.items.push_back(std::move(item));
    if (part.items.size() == delete_items_max || bytes > draft_bytes_max / 2)
      send();
  }
  send();
}

void space_edit::collect_tree(local_id lid, std::vector<local_id>& files,
                              std::vector<local_id>& dirs) {
  std::vector<local_id> open{lid};
  while (!open.empty()) {
    auto next = open.back();
    open.pop_back();
    auto row = rows_.node(next);
    if (!row)
      continue;
    if (!row->is_dir()) {
      files.push_back(next);
      continue;
    }
    dirs.push_back(next);
    rows_.each_entry(next, {}, [&](std::string_view, local_id child) {
      open.push_back(child);
      return true;
    });
  }
}

edit_outcome space_edit::remove(local_id lid) {
  auto shown = tree_.resolve(lid);
  if (!shown)
    return edit_refusal::no_such_node;
  if (shown->entry.lid == root_lid)
    return edit_refusal::is_root;
  std::vector<local_id> all;
  std::vector<local_id> dirs;
  for (auto member : shown->members)
    collect_tree(member, all, dirs);
  all.insert(all.end(), dirs.rbegin(), dirs.rend()); // parents after what is in them
  push_deletes(all);
  return edit_done{shown->entry.lid, {}};
}

std::vector<local_id> space_edit::remove_seen(std::span<const seen_item> items) {
  std::vector<local_id> changed;
  std::vector<local_id> all;
  for (const auto& item : items) {
    auto shown = tree_.resolve(item.lid);
    if (!shown || item.lid == root_lid)
      continue;
    if (shown->entry.vid != item.seen_version && !item.seen_version.is_zero())
      changed.push_back(item.lid);
    else
      all.insert(all.end(), shown->members.begin(), shown->members.end());
  }
  push_deletes(all);
  return changed;
}

// -- the rest -------------------------------------------------------------------------------------

edit_outcome space_edit::graft(local_id dir, const space_id& target) {
  auto shown = tree_.resolve(dir);
  if (!shown)
    return edit_refusal::no_such_node;
  if (shown->entry.lid == root_lid)
    return edit_refusal::is_root;
  if (!shown->entry.vid.is_zero())
    return edit_refusal::not_a_dir;
  push(op_graft{nid_of(shown->entry.lid), target});
  return edit_done{shown->entry.lid, {}};
}

void space_edit::policy(std::vector<std::pair<std::string, uint64_t>> values) {
  push(op_policy{std::move(values)});
}

void space_edit::add(operation op) {
  push(std::move(op));
}

} // namespace harp
