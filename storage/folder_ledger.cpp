#include "storage/folder_ledger.hpp"

#include <cerrno>

namespace harp {

namespace {

/// Carries one batch into operations and rows.
class ledger {
public:
  ledger(const ledger_options& options, space_edit& edit, space_rows& rows, folder_rows& base)
    : options_(options), edit_(edit), rows_(rows), tree_(rows), base_(base) {}

  void take(finished_action& one) {
    one_ = &one;
    if (one.result.done || is_emission(one.action))
      std::visit([this](const auto& what) { emit(what); }, one.action);
  }

private:
  template <class Other>
  void emit(const Other&) {} // the disk's part is done, the row is all there is

  void emit(const emit_create& what) {
    if (!one_->read.error.empty())
      return refuse(one_->read.error);
    auto& result = one_->result;
    result.seen = one_->read.seen;
    result.meta.mtime_ns = one_->read.seen.mtime_ns;
    result.meta.executable = one_->read.seen.executable;
    if (what.kind == node_kind::dir)
      return accept(edit_.make_dir(what.place.parent, what.name));
    result.content = prefix_of(one_->read.content.cid);
    keep_root();
    auto there = tree_.resolve_in(what.place.parent, what.name);
    if (there && !there->entry.vid.is_zero()) {
      if (there->entry.cid == one_->read.content.cid) {
        result.lid = there->entry.lid;
        result.vid = there->entry.vid;
        result.done = true;
        return;
      }
      if (options_.pairing)
        return join(what, *there);
      // Made here without having seen the other: it joins that history as an overtaking edit (create || create).
      return accept(edit_.edit(there->entry.lid, unseen_base, result.meta, one_->read.content), there->entry.lid);
    }
    if (options_.pairing && what.kind == node_kind::file)
      return accept(edit_.adopt_file(what.place.parent, what.name, result.meta, one_->read.content));
    accept(edit_.make_file(what.place.parent, what.name, what.kind, result.meta, one_->read.content));
  }

  /// Two trees that existed apart meet in one file: the newer by mtime is current, the other is in its history.
  void join(const emit_create& what, const resolved_entry& there) {
    auto& result = one_->result;
    auto adopted = edit_.adopt_file(what.place.parent, what.name, result.meta, one_->read.content);
    if (std::holds_alternative<edit_done>(adopted))
      return accept(adopted);
    accept(edit_.edit(there.entry.lid, unseen_base, result.meta, one_->read.content), there.entry.lid);
    if (result.done && there.entry.meta.mtime_ns > result.meta.mtime_ns)
      edit_.restore_version(there.entry.lid, there.entry.vid);
  }

  void emit(const emit_edit& what) {
    if (!one_->read.error.empty())
      return refuse(one_->read.error);
    auto& result = one_->result;
    result.seen = one_->read.seen;
    result.meta.mtime_ns = one_->read.seen.mtime_ns;
    result.meta.executable = one_->read.seen.executable;
    result.content = prefix_of(one_->read.content.cid);
    result.lid = what.lid;
    auto entry = tree_.entry_of(what.lid);
    if (result.content == what.base_content) {
      result.vid = what.base;
      result.done = true;
      if (entry && entry->vid == what.base && !same_meta(entry->meta, result.meta))
        accept(edit_.set_meta(what.lid, result.meta), what.lid, what.base);
      return;
    }
    keep_root();
    if (entry && entry->cid == one_->read.content.cid) {
      result.vid = entry->vid;
      result.done = true;
      return;
    }
    accept(edit_.edit(what.lid, what.base, result.meta, one_->read.content), what.lid);
  }

  void emit(const emit_meta& what) {
    if (one_->result.done)
      accept(edit_.set_meta(what.lid, what.meta), what.lid);
  }

  void emit(const emit_move& what) {
    if (one_->result.done)
      accept(edit_.move(what.lid, what.place.parent, what.name), what.lid);
  }

  void emit(const emit_remove& what) {
    std::vector<seen_item> items;
    for (const auto& item : what.items)
      items.push_back({item.lid, item.seen_version});
    for (auto left : edit_.remove_seen(items)) // changed since: it stays, and the planner brings it back
      base_.mark_dirty(left, dirty_life);
    one_->result.done = true;
  }

  /// A local edit nobody had seen stood where this was placed: it is an edit of what was there before.
  void emit(const do_place& what) {
    if (!one_->slipped_in || !one_->read.error.empty())
      return;
    node_meta meta;
    meta.mtime_ns = one_->read.seen.mtime_ns;
    meta.executable = one_->read.seen.executable;
    keep_root();
    auto made = edit_.edit(what.lid, what.displaced_vid, meta, one_->read.content);
    one_->slipped_emitted = std::holds_alternative<edit_done>(made);
    base_.mark_dirty(what.lid, dirty_content);
  }

  static bool same_meta(const node_meta& a, const node_meta& b) { return a.mtime_ns == b.mtime_ns && a.executable == b.executable; }

  void keep_root() {
    if (!one_->read.content.root.empty())
      rows_.put_root_record(one_->read.content.cid, one_->read.content.root);
  }

  void refuse(std::string why) {
    one_->result.done = false;
    one_->result.error = std::move(why);
  }

  /// `lid`: what the row is kept under, when known before. `vid`: the version on disk, when the operation makes none.
  void accept(const edit_outcome& outcome, local_id lid = 0, const stamp& vid = {}) {
    if (auto* why = std::get_if<edit_refusal>(&outcome))
      return refuse("the change cannot be carried to others: " + std::string{to_string(*why)});
    const auto& done = std::get<edit_done>(outcome);
    one_->result.done = true;
    one_->result.lid = lid != 0 ? lid : done.lid;
    one_->result.vid = vid.is_zero() ? done.vid : vid;
  }

  /// A base that no version has: the edit marks what it overtakes.
  static constexpr stamp unseen_base{1, 0, 0};

  const ledger_options& options_;
  space_edit& edit_;
  space_rows& rows_;
  space_tree tree_;
  folder_rows& base_;
  finished_action* one_ = nullptr;
};

} // namespace

void enter(std::vector<finished_action>& batch, const ledger_options& options, space_edit* edit, space_rows& rows, folder_rows& base,
           plan_again& again) {
  std::optional<ledger> book;
  if (edit != nullptr)
    book.emplace(options, *edit, rows, base);
  for (auto& one : batch) {
    if (book)
      book->take(one);
    record(one.action, one.result, base, again);
  }
}

// -- the wanted tree -----------------------------------------------------------------------------------------------------------

folder_selection selected_tree::selection_in(local_id dir) {
  for (unsigned depth = 0; dir != 0 && depth < path_depth_max; ++depth) {
    if (auto row = base_.selection(dir))
      return row->what;
    auto node = dir == root_lid ? std::nullopt : rows_.node(dir);
    dir = node ? node->parent : 0;
  }
  return whole_;
}

std::optional<want_node> selected_tree::node(local_id lid) {
  auto entry = tree_.entry_of(lid);
  if (!entry || entry->lid != lid || entry->kind == node_kind::graft)
    return std::nullopt; // a graft is another space's root: its own folder, if any, brings it
  if (lid == root_lid)
    return want_node{0, {}, node_kind::dir, {}, {}, 0, {}};
  auto chosen = selection_in(entry->kind == node_kind::dir ? lid : entry->parent);
  if (chosen == folder_selection::ignore || (chosen == folder_selection::online_only && entry->kind != node_kind::dir))
    return std::nullopt;
  if (unfit_ != nullptr && unfit_->contains({lid, entry->vid}))
    return std::nullopt;
  return want_node{entry->parent, entry->name, entry->kind, entry->vid, entry->cid, entry->size, entry->meta};
}

local_id selected_tree::at(local_id parent, std::string_view name) {
  auto lid = tree_.at(parent, name);
  return lid != 0 && node(lid) ? lid : 0;
}

local_id selected_tree::shown_as(local_id lid) {
  auto entry = tree_.entry_of(lid);
  return entry ? entry->lid : lid;
}

void selected_tree::each_own_child(local_id dir, const std::function<bool(local_id)>& visit) {
  rows_.each_entry(dir, {}, [&](std::string_view, local_id lid) {
    auto shown = shown_as(lid);
    return node(shown) ? visit(shown) : true;
  });
}

bool selected_tree::safe(local_id lid, const stamp& vid) {
  auto resolved = tree_.resolve(lid);
  if (!resolved) {
    auto version = rows_.version(lid, vid);
    return version && (version->flags & version_safe) != 0;
  }
  for (auto member : resolved->members)
    if (auto version = rows_.version(member, vid))
      return (version->flags & version_safe) != 0;
  return false;
}

disk_look looked_disk::at(std::string_view dir_path, std::string_view name) {
  if (dir_.get() < 0 || dir_path != dir_path_) {
    auto opened = root_.open_dir(dir_path);
    if (auto* failure = std::get_if<storage_failure>(&opened)) {
      bool absent = failure->code == ENOENT || failure->code == ENOTDIR;
      return {absent ? disk_look::answer::absent : disk_look::answer::unknown, {}};
    }
    dir_ = std::move(std::get<unique_fd>(opened));
    dir_path_ = dir_path;
  }
  auto found = stat_at(dir_.get(), name, root_.device());
  if (auto* failure = std::get_if<storage_failure>(&found)) {
    bool absent = failure->code == ENOENT;
    return {absent ? disk_look::answer::absent : disk_look::answer::unknown, {}};
  }
  return {disk_look::answer::present, std::get<file_stat>(found)};
}

} // namespace harp
