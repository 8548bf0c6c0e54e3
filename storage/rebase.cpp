#include "storage/rebase.hpp"

#include "storage/space_apply.hpp"
#include "storage/space_tree.hpp"

#include <algorithm>
#include <map>

namespace harp {

namespace {

class base_rebase {
public:
  base_rebase(space_rows& rows, folder_rows& base, replica_id own, std::span<const bundle> lost) : rows_(rows), base_(base), tree_(rows), own_(own) {
    for (const auto& b : lost)
      for (const auto& op : b.ops)
        std::visit([this](const auto& one) { note(one); }, op);
  }

  void run(std::span<const local_id> lids) {
    for (auto lid : lids)
      if (lid != root_lid && !is_ghost(lid))
        set_back(lid);
    for (const auto& [lid, name] : moved_)
      move_back(lid);
    for (const auto& item : deleted_)
      bring_back(item);
  }
  std::set<content_prefix> on_disk;

private:
  template <class Op>
  void note(const Op&) {}
  void note(const op_edit& op) {
    if (auto lid = rows_.find(op.node); lid != 0)
      bases_.try_emplace(lid, op.base);
  }
  void note(const op_move& op) {
    for (const auto& nid : op.nodes)
      if (auto lid = rows_.find(nid); lid != 0)
        moved_.emplace(lid, op.name);
  }
  void note(const op_delete& op) { deleted_.insert(deleted_.end(), op.items.begin(), op.items.end()); }

  std::optional<version_row> version_of(local_id lid, const stamp& vid) {
    if (auto version = rows_.version(lid, vid))
      return version;
    if (auto shown = tree_.resolve(lid)) // the file of a slot stands under its first member
      for (auto member : shown->members)
        if (auto version = rows_.version(member, vid))
          return version;
    return std::nullopt;
  }

  void set_back(local_id lid) {
    auto row = base_.base(lid);
    if (!row)
      return;
    auto node = rows_.node(lid);
    bool is_dir = row->kind == node_kind::dir;
    if (!node || (node->flags & node_void) != 0) {
      if (!is_dir && row->vid.rid != own_)
        return; // somebody else's: it goes as metadata say
      on_disk.insert(row->content);
      base_.erase_base(lid);
      return;
    }
    if (is_dir || row->vid.rid != own_ || version_of(lid, row->vid))
      return;
    on_disk.insert(row->content);
    auto seen = bases_.find(lid);
    auto before = seen == bases_.end() ? std::nullopt : version_of(lid, seen->second);
    row->vid = before ? before->at : stamp{};
    row->content = before ? prefix_of(before->cid) : content_prefix{};
    row->seen.mtime_ns -= 1; // so that it counts as changed since
    row->seen.ctime_ns = 0;
    base_.put_base(lid, *row);
    base_.mark_dirty(lid, dirty_content);
  }

  /// Metadata have it where it was: what stands elsewhere on disk is then seen as moved.
  void move_back(local_id lid) {
    auto row = base_.base(lid);
    auto node = rows_.node(lid);
    if (!row || !node || !node->shown() || (row->parent == node->parent && row->name == node->name))
      return;
    if (base_.base_at(node->parent, node->name) != 0 || (node->parent != root_lid && !base_.base(node->parent)))
      return;
    row->parent = node->parent;
    row->name = node->name;
    row->disk_name = node->name;
    base_.put_base(lid, *row);
    base_.mark_dirty(lid, dirty_place);
  }

  /// What the author of the deletion had seen is as it was: its absence on disk says so again.
  void bring_back(const delete_item& item) {
    auto lid = rows_.find(item.node);
    auto node = lid != 0 ? rows_.node(lid) : std::nullopt;
    if (!node || !node->alive() || !node->shown() || base_.base(lid) || base_.base_at(node->parent, node->name) != 0)
      return;
    auto had_seen = [&](const dot& by) { return std::any_of(item.seen.begin(), item.seen.end(), [&](const dot& d) { return d.rid == by.rid && d.seq >= by.seq; }); };
    if (!std::all_of(node->life.begin(), node->life.end(), had_seen))
      return;
    base_row row;
    row.parent = node->parent;
    row.name = node->name;
    row.disk_name = node->name;
    row.kind = node->kind;
    row.seen.kind = node->kind == node_kind::dir ? disk_kind::dir : node->kind == node_kind::symlink ? disk_kind::symlink : disk_kind::file;
    if (auto version = node->is_dir() ? std::nullopt : rows_.version(lid, node->head)) {
      row.vid = version->at;
      row.content = prefix_of(version->cid);
    }
    base_.put_base(lid, row);
    base_.mark_dirty(lid, dirty_life);
  }

  space_rows& rows_;
  folder_rows& base_;
  space_tree tree_;
  replica_id own_;
  std::map<local_id, stamp> bases_; // of the first void edit
  std::map<local_id, std::string> moved_;
  std::vector<delete_item> deleted_;
};

} // namespace

std::set<content_prefix> set_back_base(space_rows& rows, folder_rows& base, std::span<const local_id> lids, replica_id own, std::span<const bundle> lost) {
  base_rebase work{rows, base, own, lost};
  work.run(lids);
  return std::move(work.on_disk);
}

} // namespace harp
