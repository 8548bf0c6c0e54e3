// A disk and a metadata side in memory, and an executor between them: what planner tests run against.
#pragma once

#include "storage/digest.hpp"
#include "storage/planner.hpp"
#include "storage/safe_path.hpp"

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace harp::sim {

/// Directories, files with content, symlinks; inodes are given again when `reuse` is set.
class disk final : public disk_tree {
public:
  struct node {
    disk_kind kind = disk_kind::file;
    std::string content;
    int64_t mtime = 0, ctime = 0, born = 0;
    bool exec = false;
    std::map<std::string, uint64_t> kids;
  };
  bool births = true; // the file system knows birth times
  int64_t now = 1'000'000;
  std::set<std::string> unreadable; // directories whose entries cannot be looked at

  disk() { nodes_[1].kind = disk_kind::dir; }

  disk_look at(std::string_view dir_path, std::string_view name) override {
    if (unreadable.contains(std::string(dir_path)))
      return {disk_look::answer::unknown, {}};
    auto found = find(join_path(dir_path, name));
    if (found == 0)
      return {disk_look::answer::absent, {}};
    return {disk_look::answer::present, stat(found)};
  }
  file_stat stat(uint64_t inode) const {
    const node& n = nodes_.at(inode);
    file_stat out;
    out.kind = n.kind;
    out.device = 7;
    out.inode = inode;
    out.born_ns = births ? n.born : 0;
    out.size = n.kind == disk_kind::dir ? 0 : n.content.size();
    out.mtime_ns = n.mtime;
    out.ctime_ns = n.ctime;
    out.executable = n.exec;
    return out;
  }
  uint64_t find(std::string_view path) const {
    uint64_t at = 1;
    while (!path.empty()) {
      auto cut = path.find('/');
      auto dir = nodes_.find(at);
      auto kid = dir->second.kids.find(std::string(path.substr(0, cut)));
      if (kid == dir->second.kids.end())
        return 0;
      at = kid->second;
      path = cut == path.npos ? std::string_view{} : path.substr(cut + 1);
    }
    return at;
  }
  node* get(std::string_view path) {
    auto inode = find(path);
    return inode == 0 ? nullptr : &nodes_.at(inode);
  }
  bool put(std::string_view path, disk_kind kind, std::string content = {}) {
    auto [dir, name] = split_path(path);
    node* parent = get(dir);
    if (parent == nullptr || parent->kind != disk_kind::dir
        || parent->kids.contains(std::string(name)))
      return false;
    uint64_t inode = free_.empty() ? ++last_ : *free_.begin();
    free_.erase(inode);
    ++now;
    nodes_[inode] = {kind, std::move(content), now, now, now, false, {}};
    get(dir)->kids[std::string(name)] = inode;
    return true;
  }
  bool write(std::string_view path, std::string content) {
    node* n = get(path);
    if (n == nullptr || n->kind != disk_kind::file)
      return false;
    ++now;
    n->content = std::move(content);
    n->mtime = n->ctime = now;
    return true;
  }
  /// rename(2): replaces files, refuses what the kernel refuses; `replace` false: RENAME_NOREPLACE.
  bool move(std::string_view from, std::string_view to, bool replace = false) {
    auto inode = find(from);
    if (inode <= 1 || from == to || std::string(to).starts_with(std::string(from) + "/"))
      return false;
    auto [to_dir, to_name] = split_path(to);
    node* target_dir = get(to_dir);
    if (target_dir == nullptr || target_dir->kind != disk_kind::dir)
      return false;
    if (auto there = find(to)) {
      if (!replace || nodes_[there].kind == disk_kind::dir || nodes_[inode].kind == disk_kind::dir)
        return false;
      drop(to);
    }
    auto [from_dir, from_name] = split_path(from);
    get(from_dir)->kids.erase(std::string(from_name));
    get(to_dir)->kids[std::string(to_name)] = inode;
    nodes_[inode].ctime = ++now;
    return true;
  }
  bool exchange(std::string_view a, std::string_view b) {
    auto first = find(a), second = find(b);
    if (first == 0 || second == 0)
      return false;
    auto [a_dir, a_name] = split_path(a);
    auto [b_dir, b_name] = split_path(b);
    get(a_dir)->kids[std::string(a_name)] = second;
    get(b_dir)->kids[std::string(b_name)] = first;
    nodes_[first].ctime = nodes_[second].ctime = ++now;
    return true;
  }
  /// rm -rf.
  void drop(std::string_view path) {
    auto inode = find(path);
    if (inode <= 1)
      return;
    std::vector<std::string> kids;
    for (const auto& [name, kid] : nodes_[inode].kids)
      kids.push_back(name);
    for (const auto& name : kids)
      drop(join_path(path, name));
    auto [dir, name] = split_path(path);
    get(dir)->kids.erase(std::string(name));
    nodes_.erase(inode);
    free_.insert(inode);
  }
  /// Every path with its content ("/" for a directory).
  std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> out;
    walk(1, "", out);
    return out;
  }

private:
  void walk(uint64_t inode, const std::string& path,
            std::map<std::string, std::string>& out) const {
    for (const auto& [name, kid] : nodes_.at(inode).kids) {
      std::string below = join_path(path, name);
      const node& n = nodes_.at(kid);
      out[below] = n.kind == disk_kind::dir ? "/" : n.content;
      if (n.kind == disk_kind::dir)
        walk(kid, below, out);
    }
  }
  std::map<uint64_t, node> nodes_;
  std::set<uint64_t> free_;
  uint64_t last_ = 1;
};

/// The folded tree, much simplified: slots, dead directories with shown children, refused cycles. Keeps every content.
class metadata final : public want_tree {
public:
  struct meta_node {
    local_id parent = 0;
    std::string name;
    node_kind kind = node_kind::file;
    bool alive = false;
    stamp vid;
    stamp event; // arrival in the slot or edit
    std::string content;
    node_meta meta;
  };
  std::map<local_id, meta_node> nodes;
  std::set<std::string> history; // every content there ever was
  std::set<local_id> touched;
  std::set<local_id> unselected;
  bool joins = false;      // a file made where another one is becomes its version
  bool edits_lose = false; // a remote edit is later than a local one
  uint64_t operations = 0;

  bool shown(local_id lid) const {
    if (lid == root_lid)
      return true;
    auto found = nodes.find(lid);
    if (found == nodes.end())
      return false;
    if (found->second.alive)
      return true;
    if (found->second.kind != node_kind::dir)
      return false;
    for (const auto& [kid, n] : nodes)
      if (n.parent == lid && shown(kid))
        return true;
    return false;
  }
  std::string way(local_id dir) const {
    auto found = nodes.find(dir);
    return found == nodes.end() ? std::string{}
                                : way(found->second.parent) + "/" + found->second.name;
  }
  /// The member of its group that stands for a dir.
  local_id canon(local_id dir) const {
    if (dir == root_lid || !shown(dir))
      return dir;
    std::string path = way(dir);
    for (const auto& [lid, n] : nodes)
      if (n.kind == node_kind::dir && n.name == nodes.at(dir).name && shown(lid)
          && way(lid) == path)
        return lid;
    return dir;
  }
  std::vector<local_id> members(local_id parent, const std::string& name, bool dirs) const {
    std::vector<local_id> out;
    std::string above = way(parent);
    for (const auto& [lid, n] : nodes)
      if (n.name == name && (n.kind == node_kind::dir) == dirs && shown(lid)
          && way(n.parent) == above)
        out.push_back(lid);
    return out;
  }
  std::string shown_name(local_id lid) const {
    const meta_node& n = nodes.at(lid);
    if (n.kind == node_kind::dir || members(n.parent, n.name, true).empty())
      return n.name;
    std::string out = n.name + "~" + std::to_string(lid);
    while (!members(n.parent, out, true).empty() || !members(n.parent, out, false).empty())
      out += "0";
    return out;
  }
  std::optional<want_node> node_of(local_id lid) const {
    if (lid == root_lid || !shown(lid) || unselected.contains(lid))
      return std::nullopt;
    const meta_node& n = nodes.at(lid);
    local_id owner = lid;
    bool dir = n.kind == node_kind::dir;
    auto all = members(n.parent, n.name, dir);
    if (all.front() != lid)
      return std::nullopt;
    if (!dir)
      for (local_id each : all)
        if (nodes.at(each).event > nodes.at(owner).event)
          owner = each;
    const meta_node& head = nodes.at(owner);
    return want_node{canon(n.parent),   shown_name(lid),     head.kind, head.vid,
                     cid(head.content), head.content.size(), head.meta};
  }
  std::optional<want_node> node(local_id lid) override { return node_of(lid); }
  local_id at(local_id parent, std::string_view name) override {
    for (const auto& [lid, n] : nodes)
      if (auto wanted = node_of(lid);
          wanted && wanted->parent == canon(parent) && wanted->name == name)
        return lid;
    return 0;
  }
  local_id shown_as(local_id lid) override {
    auto found = nodes.find(lid);
    if (found == nodes.end() || !shown(lid))
      return lid;
    return members(found->second.parent, found->second.name, found->second.kind == node_kind::dir)
        .front();
  }
  void each_own_child(local_id dir, const std::function<bool(local_id)>& visit) override {
    for (const auto& [lid, n] : nodes)
      if (n.parent == dir && shown(lid) && !visit(lid))
        return;
  }
  bool safe(local_id, const stamp&) override { return true; }
  static content_id cid(const std::string& content) {
    auto hash = blake2b("test", content);
    content_id out;
    out.bytes = hash.bytes;
    return out;
  }
  std::string content_of(const content_id& id) const {
    for (const auto& each : history)
      if (cid(each) == id)
        return each;
    return {};
  }

  // -- operations
  stamp tick() { return {++operations, 1, 0}; }
  void touch(local_id lid) {
    touched.insert(lid);
    auto found = nodes.find(lid);
    if (found == nodes.end())
      return;
    for (const auto& [other, n] : nodes) // its slot
      if (n.name == found->second.name && way(n.parent) == way(found->second.parent))
        touched.insert(other);
    if (found->second.parent != root_lid && nodes.contains(found->second.parent))
      if (touched.insert(found->second.parent).second)
        touch(found->second.parent);
  }
  local_id make_file(local_id parent, const std::string& name, node_kind kind,
                     std::string content) {
    local_id lid = ++last_;
    auto at_time = tick();
    history.insert(content);
    nodes[lid] = {parent, name, kind, true, at_time, at_time, std::move(content), {}};
    touch(lid);
    return lid;
  }
  local_id make_dir(local_id parent, const std::string& name) {
    for (auto& [lid, n] : nodes)
      if (n.name == name && n.kind == node_kind::dir && way(n.parent) == way(parent)) {
        n.alive = true;
        touch(lid);
        return lid;
      }
    local_id lid = ++last_;
    nodes[lid] = {parent, name, node_kind::dir, true, {}, tick(), {}, {}};
    touch(lid);
    return lid;
  }
  /// The version made; the owner of the slot gets it.
  stamp edit(local_id lid, std::string content, const stamp& base) {
    local_id owner = lid;
    if (nodes.at(lid).alive)
      for (local_id each : members(nodes.at(lid).parent, nodes.at(lid).name, false))
        if (nodes.at(each).event > nodes.at(owner).event)
          owner = each;
    auto& n = nodes.at(owner);
    auto made = tick();
    history.insert(content);
    n.alive = true;
    if (!(edits_lose && n.vid != base)) {
      n.content = std::move(content);
      n.vid = n.event = made;
    }
    touch(owner);
    return made;
  }
  bool below(local_id lid, local_id of) const {
    for (; lid != root_lid && lid != 0; lid = nodes.at(lid).parent)
      if (lid == of)
        return true;
    return false;
  }
  /// A dir that joins or leaves a group brings and takes members of the slots below it: the fold marks those dirty.
  void touch_slots_below(local_id dir) {
    if (nodes.at(dir).kind != node_kind::dir || peers(dir).size() < 2)
      return;
    for (const auto& [lid, n] : nodes)
      if (lid != dir && below(lid, dir))
        for (local_id mate : peers(lid))
          touched.insert(mate);
  }
  void move(local_id lid, local_id parent, const std::string& name) {
    auto slot = peers(lid);
    for (local_id each : slot) {
      if (below(parent, each))
        continue;
      touch_slots_below(each);
      touch(each);
      auto& n = nodes.at(each);
      n.parent = parent;
      n.name = name;
      n.alive = true;
      n.event = tick();
      touch(each);
      touch_slots_below(each);
    }
  }
  /// False: changed since, it stays.
  bool remove(local_id lid, const stamp& seen) {
    auto found = nodes.find(lid);
    if (found == nodes.end())
      return false;
    auto wanted = node_of(lid);
    if (found->second.kind != node_kind::dir && wanted && wanted->vid != seen)
      return false;
    auto all = peers(lid);
    for (local_id each : all) {
      touch(each);
      nodes.at(each).alive = false;
    }
    return true;
  }
  /// The members of its slot or group, itself included.
  std::vector<local_id> peers(local_id lid) const {
    const meta_node& n = nodes.at(lid);
    auto out = members(n.parent, n.name, n.kind == node_kind::dir);
    if (std::find(out.begin(), out.end(), lid) == out.end())
      out.push_back(lid);
    return out;
  }
  std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> out;
    walk(root_lid, "", out);
    return out;
  }

private:
  void walk(local_id dir, const std::string& path, std::map<std::string, std::string>& out) const {
    for (const auto& [lid, n] : nodes) {
      auto wanted = node_of(lid);
      if (!wanted || wanted->parent != dir)
        continue;
      std::string below_path = join_path(path, wanted->name);
      out[below_path] = wanted->kind == node_kind::dir ? "/" : content_of(wanted->content);
      if (wanted->kind == node_kind::dir)
        walk(lid, below_path, out);
    }
  }
  local_id last_ = root_lid;
};

/// Runs actions against both sides, as the folder actor does against the real ones.
class executor {
public:
  executor(disk& on, metadata& meta) : disk_(on), meta_(meta) {}
  action_result run(const plan_action& action) {
    out_ = {};
    std::visit([this](const auto& a) { (*this)(a); }, action);
    return out_;
  }

private:
  void operator()(const emit_create& a) {
    if (!same(a.path, a.seen))
      return;
    if (a.kind == node_kind::dir) {
      out_.lid = meta_.make_dir(a.place.parent, a.name);
      return done(a.path);
    }
    std::string content = disk_.get(a.path)->content;
    out_.content = prefix_of(metadata::cid(content));
    auto met = a.meets == 0 ? std::nullopt : meta_.node(a.meets);
    local_id there = meta_.joins ? meta_.at(a.place.parent, a.name) : 0;
    if (there != 0 && meta_.nodes.at(there).kind != node_kind::dir) {
      out_.lid = there;
      auto wanted = *meta_.node(there);
      out_.vid
          = wanted.content == metadata::cid(content) ? wanted.vid : meta_.edit(there, content, {});
      return done(a.path);
    }
    out_.lid = met && met->content == metadata::cid(content)
                   ? a.meets
                   : meta_.make_file(a.place.parent, a.name, a.kind, content);
    out_.vid = out_.lid == a.meets ? met->vid : meta_.nodes.at(out_.lid).vid;
    done(a.path);
  }
  void operator()(const emit_edit& a) {
    if (!same(a.path, a.seen))
      return;
    std::string content = disk_.get(a.path)->content;
    out_.content = prefix_of(metadata::cid(content));
    auto wanted = meta_.node(a.lid);
    if (out_.content == a.base_content)
      out_.vid = a.base;
    else if (wanted && wanted->content == metadata::cid(content))
      out_.vid = wanted->vid;
    else
      out_.vid = meta_.edit(a.lid, content, a.base);
    done(a.path);
  }
  void operator()(const emit_meta& a) {
    if (!same(a.path, a.seen))
      return;
    meta_.nodes.at(a.lid).meta = a.meta;
    meta_.touch(a.lid);
    done(a.path);
  }
  void operator()(const emit_move& a) {
    if (!same(a.path, a.seen))
      return;
    meta_.move(a.lid, a.place.parent, a.name);
    done(a.path);
  }
  void operator()(const emit_remove& a) {
    for (const auto& item : a.items)
      meta_.remove(item.lid, item.seen_version);
    out_.done = true;
  }
  void operator()(const do_make_dir& a) {
    if (disk_.put(a.path, disk_kind::dir))
      done(a.path);
  }
  void operator()(const do_place& a) {
    if (a.displaces ? !same(a.path, *a.displaces) : disk_.find(a.path) != 0)
      return;
    std::string temp = a.path + ".harp-put.tmp";
    if (!disk_.put(temp, on_disk(a.kind), meta_.content_of(a.content)))
      return;
    disk_.get(temp)->mtime = a.meta.mtime_ns;
    disk_.move(temp, a.path, true);
    done(a.path);
  }
  void operator()(const do_rename& a) {
    if (same(a.from, a.seen) && disk_.move(a.from, a.path))
      done(a.path);
  }
  void operator()(const do_exchange& a) {
    if (!same(a.path, a.seen) || !same(a.other_path, a.other_seen)
        || !disk_.exchange(a.path, a.other_path))
      return;
    done(a.other_path);
    out_.other_seen = disk_.stat(disk_.find(a.path));
  }
  void operator()(const do_set_meta& a) {
    if (!same(a.path, a.seen))
      return;
    disk_.get(a.path)->mtime = a.meta.mtime_ns;
    disk_.get(a.path)->exec = a.meta.executable;
    disk_.get(a.path)->ctime = ++disk_.now;
    done(a.path);
  }
  void operator()(const do_remove_file& a) {
    if (!same(a.path, a.seen))
      return;
    disk_.drop(a.path);
    out_.done = true;
  }
  void operator()(const do_remove_dir& a) {
    auto* n = disk_.get(a.path);
    if (n == nullptr || n->kind != disk_kind::dir)
      return;
    out_.done = true;
    out_.not_empty = !n->kids.empty();
    out_.seen = disk_.stat(disk_.find(a.path));
    if (n->kids.empty())
      disk_.drop(a.path);
  }
  void operator()(const do_step_aside& a) {
    if (same(a.from, a.seen) && disk_.move(a.from, a.temp))
      done(a.temp);
  }
  void operator()(const row_agree&) { out_.done = true; }
  void operator()(const row_relabel&) { out_.done = true; }
  void operator()(const row_forget&) { out_.done = true; }

  bool same(const std::string& path, const file_stat& seen) {
    auto inode = disk_.find(path);
    return inode != 0 && untouched(disk_.stat(inode), seen);
  }
  void done(const std::string& path) {
    out_.done = true;
    out_.seen = disk_.stat(disk_.find(path));
    if (auto* n = disk_.get(path); n != nullptr && out_.meta == node_meta{})
      out_.meta.executable = n->exec;
  }

  disk& disk_;
  metadata& meta_;
  action_result out_;
};

/// One synced directory: the loop around the planner with its dirty sets.
class folder {
public:
  disk on;
  metadata meta;
  folder_rows_memory base;
  plan_guards guards;
  std::mt19937_64 random;
  double failure_rate = 0;
  std::set<disk_place> places;
  std::set<local_id> lids;
  std::set<local_id> dirs;
  size_t rounds = 0;
  size_t actions = 0;
  std::vector<plan_action> log;
  std::vector<std::string> broken; // actions that failed though nothing was injected
  std::function<void()> after_batch;
  plan_result last;

  explicit folder(uint64_t seed = 1) : random(seed) {
    guards.root_present = guards.may_write = guards.absence_known = true;
    guards.losses_left = SIZE_MAX;
  }
  /// Full comparison of disk and base: what a scan finds.
  void scan() { scan_dir(root_lid, ""); }
  void scan_dir(local_id dir, const std::string& path) {
    auto* n = on.get(path);
    if (n == nullptr || n->kind != disk_kind::dir)
      return;
    std::vector<std::pair<std::string, uint64_t>> kids(n->kids.begin(), n->kids.end());
    for (const auto& [name, inode] : kids) {
      local_id lid = base.base_at(dir, name);
      auto row = base.base(lid);
      auto stat = on.stat(inode);
      if (!row || row->seen.kind != stat.kind || !untouched(row->seen, stat))
        places.insert({dir, name});
      else if (stat.kind == disk_kind::dir)
        scan_dir(lid, join_path(path, name));
    }
    base.each_base(dir, {}, [&](std::string_view name, local_id) {
      if (on.find(join_path(path, name)) == 0)
        places.insert({dir, std::string(name)});
      return true;
    });
  }
  /// True when a fixpoint is reached.
  bool run() {
    for (rounds = 0; rounds < plan_rounds_max; ++rounds) {
      take_touched();
      plan_input input{
          {lids.begin(), lids.end()}, {places.begin(), places.end()}, {dirs.begin(), dirs.end()}};
      last = plan(input, meta, base, on, guards);
      for (local_id lid : last.clean_lids)
        lids.erase(lid);
      for (local_id dir : last.clean_dirs)
        dirs.erase(dir);
      for (const auto& place : last.clean_places)
        places.erase(place);
      if (last.actions.empty())
        return true;
      std::shuffle(last.actions.begin(), last.actions.end(), random);
      for (const auto& action : last.actions)
        perform(action);
      if (after_batch)
        after_batch();
    }
    return false;
  }
  void take_touched() {
    lids.merge(meta.touched);
    meta.touched.clear();
  }

private:
  void perform(const plan_action& action) {
    ++actions;
    log.push_back(action);
    if (rounds < 100 && std::uniform_real_distribution<>(0, 1)(random) < failure_rate)
      return;
    executor run(on, meta);
    auto result = run.run(action);
    if (!result.done)
      broken.push_back("action " + std::to_string(action.index()));
    plan_again again;
    record(action, result, base, again);
    lids.insert(again.lids.begin(), again.lids.end());
    places.insert(again.places.begin(), again.places.end());
    dirs.insert(again.new_dirs.begin(), again.new_dirs.end());
    for (local_id dir : again.list_dirs)
      if (auto path = base_path(base, dir))
        scan_dir(dir, *path);
  }
};

} // namespace harp::sim
