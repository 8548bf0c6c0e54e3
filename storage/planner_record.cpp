// What an executed action leaves in the base rows (storage.md 7.2): the base becomes what disk and metadata now agree on.
#include "storage/planner.hpp"

namespace harp {

namespace {

/// One action's writing.
class recorder {
public:
  recorder(const action_result& result, folder_rows& base, plan_again& again)
      : result_(result), base_(base), again_(again) {}

  void operator()(const emit_create& a) {
    if (result_.lid == 0)
      return;
    auto old = base_.base(result_.lid);
    if (old && (old->parent != a.place.parent || old->disk_name != a.place.name) && !leave(a, *old))
      return;
    settle(result_.lid, {a.place.parent, a.name, a.place.name, a.kind, result_.vid, result_.content,
                         result_.meta, result_.seen, 0});
    if (a.kind == node_kind::dir) {
      again_.list_dirs.push_back(result_.lid);
      again_.new_dirs.push_back(result_.lid);
    }
  }
  void operator()(const emit_edit& a) {
    auto row = base_.base(a.lid);
    if (!row)
      return again(a.lid);
    row->vid = result_.vid;
    row->content = result_.content;
    row->meta = result_.meta;
    row->seen = result_.seen;
    settle(a.lid, *row);
  }
  void operator()(const emit_meta& a) {
    auto row = base_.base(a.lid);
    if (!row)
      return again(a.lid);
    row->meta = a.meta;
    row->seen = result_.seen;
    settle(a.lid, *row);
  }
  void operator()(const emit_move& a) {
    auto row = base_.base(a.lid);
    if (!row)
      return again(a.lid);
    row->parent = a.place.parent;
    row->name = a.name;
    row->disk_name = a.place.name;
    row->flags = 0;
    keep_or_take(*row, a.seen);
    settle(a.lid, *row);
    if (on_disk(row->kind) == disk_kind::dir)
      again_.list_dirs.push_back(a.lid); // changes below were told under a path nobody knew
  }
  void operator()(const emit_remove& a) {
    for (const auto& item : a.items)
      drop(item.lid);
  }
  void operator()(const do_make_dir& a) {
    settle(a.lid,
           {a.place.parent, a.name, a.place.name, node_kind::dir, {}, {}, {}, result_.seen, 0});
    again_.list_dirs.push_back(a.lid); // people may have been quicker
    again_.new_dirs.push_back(a.lid);
  }
  void operator()(const do_place& a) {
    if (a.displaced != 0 && a.displaced != a.lid)
      drop(a.displaced);
    settle(a.lid, {a.place.parent, a.name, a.place.name, a.kind, a.vid, prefix_of(a.content),
                   a.meta, result_.seen, 0});
  }
  void operator()(const do_rename& a) {
    if (a.lid == 0) {
      again_.places.push_back(a.to);
      emptier(a.from_parent);
      return;
    }
    moved(a.lid, a.to, a.name, 0, result_.seen);
  }
  void operator()(const do_exchange& a) {
    auto first = base_.base(a.lid);
    auto second = base_.base(a.other);
    if (!first || !second) {
      again(a.lid);
      return again(a.other);
    }
    std::string name = first->name;
    base_.erase_base(a.lid);
    base_.erase_base(a.other);
    base_.put_base(a.lid, *first); // both places are taken again below, one after the other
    moved(a.lid, a.other_place, a.name, 0, result_.seen);
    second->parent = a.place.parent;
    second->disk_name = a.place.name;
    second->name = name;
    second->flags &= static_cast<uint8_t>(~base_stepped);
    keep_or_take(*second, result_.other_seen);
    settle(a.other, *second);
  }
  void operator()(const do_set_meta& a) {
    auto row = base_.base(a.lid);
    if (!row)
      return again(a.lid);
    row->vid = a.vid;
    row->meta = a.meta;
    row->seen = result_.seen;
    settle(a.lid, *row);
  }
  void operator()(const do_remove_file& a) {
    drop(a.lid);
    emptier(a.place.parent);
  }
  void operator()(const do_remove_dir& a) {
    auto row = base_.base(a.lid);
    if (!result_.not_empty || !row)
      return drop(a.lid);
    row->flags |= (row->flags & base_leftover) != 0 ? base_blocked : base_leftover;
    settle(a.lid, *row);
    again_.list_dirs.push_back(a.lid);
  }
  void operator()(const do_step_aside& a) {
    moved(a.lid, {root_lid, a.temp}, a.temp, base_stepped, result_.seen);
  }
  void operator()(const row_agree& a) {
    settle(a.lid, a.row);
    if (a.list) {
      again_.list_dirs.push_back(a.lid);
      again_.new_dirs.push_back(a.lid);
    }
  }
  void operator()(const row_relabel& a) {
    auto row = base_.base(a.from);
    if (!row)
      return again(a.to);
    drop(a.from);
    settle(a.to, *row);
    again_.new_dirs.push_back(a.to);
    // in pages: the directory may be large, and the index changes under the walk
    std::vector<local_id> kids;
    do {
      kids.clear();
      base_.each_base(a.from, {}, [&](std::string_view, local_id kid) {
        kids.push_back(kid);
        return kids.size() < 1024;
      });
      for (local_id kid : kids) {
        auto moved_row = base_.base(kid);
        if (!moved_row)
          continue;
        moved_row->parent = a.to;
        settle(kid, *moved_row);
      }
    } while (!kids.empty());
  }
  void operator()(const row_forget& a) {
    for (local_id lid : a.lids)
      drop(lid);
  }

private:
  void again(local_id lid) {
    base_.mark_dirty(lid, 1);
    again_.lids.push_back(lid);
  }
  void drop(local_id lid) {
    std::vector<local_id> orphans; // whose own action failed
    base_.each_base(lid, {}, [&](std::string_view, local_id kid) {
      orphans.push_back(kid);
      return true;
    });
    base_.erase_base(lid);
    again(lid);
    for (local_id kid : orphans)
      again(kid);
  }
  /// The node stood elsewhere on disk. A file there goes (its version is in the history); a directory is looked at as new.
  /// False: the new place was in that directory and comes again with it.
  bool leave(const emit_create& a, const base_row& old) {
    if (on_disk(old.kind) == disk_kind::dir) {
      again_.places.push_back({old.parent, old.disk_name});
      forget_tree(result_.lid, 0);
      return a.place.parent == root_lid || base_.base(a.place.parent).has_value();
    }
    base_.erase_base(result_.lid);
    settle(result_.lid | ghost_bit, old);
    return true;
  }
  void forget_tree(local_id lid, unsigned depth) {
    std::vector<local_id> kids;
    base_.each_base(lid, {}, [&](std::string_view, local_id kid) {
      kids.push_back(kid);
      return true;
    });
    for (local_id kid : kids)
      if (depth < base_depth_max)
        forget_tree(kid, depth + 1);
    drop(lid);
  }
  /// Something left this directory: if it stayed only for that, it may go now.
  void emptier(local_id dir) {
    auto row = base_.base(dir);
    if (!row || (row->flags & base_leftover) == 0)
      return;
    row->flags &= static_cast<uint8_t>(~base_leftover);
    settle(dir, *row);
  }
  /// One row per place: whoever stood there is looked at again.
  void settle(local_id lid, const base_row& row) {
    if (local_id other = base_.base_at(row.parent, row.disk_name); other != 0 && other != lid)
      forget_tree(other, 0);
    base_.put_base(lid, row);
    again(lid);
  }
  /// A rename changes ctime only; when more changed, the old stat stays, so that the edit is still seen.
  static void keep_or_take(base_row& row, const file_stat& seen) {
    if (seen.kind == disk_kind::dir || same_bytes(row.seen, seen))
      row.seen = seen;
  }
  void moved(local_id lid, const disk_place& to, const std::string& name, uint8_t flags,
             const file_stat& seen) {
    auto row = base_.base(lid);
    if (!row)
      return again(lid);
    local_id left = row->parent;
    row->parent = to.parent;
    row->disk_name = to.name;
    row->name = name;
    row->flags = static_cast<uint8_t>((row->flags & ~base_stepped) | flags);
    keep_or_take(*row, seen);
    settle(lid, *row);
    emptier(left);
  }

  const action_result& result_;
  folder_rows& base_;
  plan_again& again_;
};

} // namespace

void record(const plan_action& action, const action_result& result, folder_rows& base,
            plan_again& again) {
  if (result.done)
    std::visit(recorder{result, base, again}, action);
}

} // namespace harp
