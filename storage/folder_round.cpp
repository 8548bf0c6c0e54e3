#include "storage/folder_round.hpp"

#include "storage/folder_rows_lmdb.hpp"
#include "storage/host_names.hpp"
#include "storage/space_rows_lmdb.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr size_t list_entries_max = 2'000'000; // of one directory; more are looked at with the next scan

std::string words(std::string_view what) {
  return std::string{what} + ": " + std::strerror(errno);
}

/// Finds what differs between a directory on disk and its base rows.
class differences {
public:
  differences(const folder_disk& disk, folder_rows& base) : disk_(disk), base_(base) {}

  /// Adds entries that are new, gone or changed; `below` gets the directories both know. False: it could not be listed
  /// whole, and then nothing is said to be gone (G2).
  bool list(local_id dir, std::string_view path, std::set<disk_place>& out, std::vector<std::pair<local_id, std::string>>* below) {
    auto opened = disk_.root->open_dir(path);
    if (!std::holds_alternative<unique_fd>(opened))
      return false;
    int fd = ::dup(std::get<unique_fd>(opened).get());
    DIR* stream = fd >= 0 ? fdopendir(fd) : nullptr;
    if (stream == nullptr) {
      if (fd >= 0)
        ::close(fd);
      return false;
    }
    std::set<std::string, std::less<>> names;
    errno = 0;
    while (auto* entry = readdir(stream)) {
      std::string_view name{entry->d_name};
      if (name != "." && name != ".." && !is_own_name(name) && names.size() < list_entries_max)
        names.emplace(name);
      errno = 0;
    }
    bool whole = errno == 0;
    closedir(stream);
    int at = std::get<unique_fd>(opened).get();
    for (const auto& name : names)
      if (auto lid = compare(dir, at, name, out); lid != 0 && below != nullptr)
        below->emplace_back(lid, join_path(path, name));
    if (whole)
      base_.each_base(dir, {}, [&](std::string_view name, local_id) {
        if (!names.contains(name))
          out.insert({dir, std::string{name}});
        return true;
      });
    return whole;
  }

private:
  /// The lid of a directory that both know; 0 for everything else.
  local_id compare(local_id dir, int at, const std::string& name, std::set<disk_place>& out) {
    auto lid = base_.base_at(dir, name);
    auto row = lid != 0 ? base_.base(lid) : std::nullopt;
    auto now = stat_at(at, name, disk_.root->device());
    auto* stat = std::get_if<file_stat>(&now);
    if (stat == nullptr || !row || !untouched(*stat, row->seen))
      out.insert({dir, name});
    return stat != nullptr && row && stat->kind == disk_kind::dir && row->kind == node_kind::dir ? lid : 0;
  }

  const folder_disk& disk_;
  folder_rows& base_;
};

/// The entry of a path by the directory the base knows; nothing while its directory is not known.
std::optional<disk_place> place_of(folder_rows& base, std::string_view path) {
  auto [dir, name] = split_path(path);
  auto lid = dir.empty() ? root_lid : base_at_path(base, dir);
  if (lid == 0 || name.empty() || is_own_name(name))
    return std::nullopt;
  return disk_place{lid, std::string{name}};
}

/// Events into places; what was lost into directories to be scanned whole.
void take_events(const std::vector<disk_change>& events, folder_rows& base, std::set<disk_place>& places, std::set<local_id>& scan_dirs) {
  for (const auto& event : events) {
    if (event.what == disk_change::kind::lost) {
      auto lid = event.path.empty() ? root_lid : base_at_path(base, event.path);
      if (lid != 0)
        scan_dirs.insert(lid);
      continue;
    }
    if (auto place = place_of(base, event.path))
      places.insert(*place);
    if (event.what == disk_change::kind::moved)
      if (auto place = place_of(base, event.from))
        places.insert(*place);
  }
}

/// What the disk must be told about a content to be placed.
struct placing {
  finished_file file;
  bool unfit = false; // trouble for good
  std::string trouble;
  bool absent = false; // content is not here
};

std::string copy_content(const safe_root& root, const space_content& content, const do_place& place, const std::string& temp) {
  auto chunks = content.manifest(place.content);
  auto* all = std::get_if<manifest_reader>(&chunks);
  if (all == nullptr)
    return std::get<std::string>(chunks);
  auto dir = std::string{split_path(place.path).first};
  auto opened = root.open_dir(dir);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return failure->what;
  int at = std::get<unique_fd>(opened).get();
  unlinkat(at, temp.c_str(), 0);
  unique_fd fd{openat(at, temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)};
  if (fd.get() < 0)
    return words("a file cannot be made");
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    if (auto* why = std::get_if<std::string>(&chunk))
      return *why;
    auto bytes = content.read(place.content, std::get<placed_chunk>(chunk));
    auto* good = std::get_if<std::string>(&bytes);
    if (good == nullptr)
      return std::get<chunk_refusal>(bytes).what;
    if (auto failure = write_at(fd.get(), *good, std::get<placed_chunk>(chunk).offset))
      return failure->what;
  }
  return {};
}

/// Brings the content of a place into its temp file, if it is here.
placing prepare(const safe_root& root, const space_store& rows, space_content& content, const do_place& place) {
  placing out;
  node_id nid;
  rows.read([&](const read_txn&, space_rows& all) {
    if (auto node = all.node(place.lid))
      nid = node->nid;
  });
  auto temp = temp_name(nid, place.vid);
  out.file.row.lid = place.lid;
  out.file.row.vid = place.vid;
  out.file.row.content = prefix_of(place.content);
  out.file.row.meta = place.meta;
  out.file.row.dir_path = split_path(place.path).first;
  out.file.row.temp = temp;
  out.file.row.name = split_path(place.path).second;
  out.file.row.displaces = place.displaces;
  out.file.row.displaced_vid = place.displaced_vid;
  out.file.size = place.size;
  out.file.kind = place.kind;
  auto under_way = content.expected(place.content);
  if (place.kind == node_kind::symlink) {
    auto chunks = content.manifest(place.content);
    auto* all = std::get_if<manifest_reader>(&chunks);
    auto chunk = all != nullptr && all->root().chunks == 1 ? all->chunk(0) : std::variant<placed_chunk, std::string>{std::string{"not here"}};
    auto bytes = std::holds_alternative<placed_chunk>(chunk) ? content.read(place.content, std::get<placed_chunk>(chunk)) : chunk_answer{chunk_refusal{}};
    if (auto* target = std::get_if<std::string>(&bytes))
      out.file.target = *target;
    else if (under_way && under_way->complete) // it came into the temp file
      out.file.target = read_text(root, join_path(under_way->dir_path, under_way->temp));
    out.absent = out.file.target.empty();
    out.unfit = !out.absent && !symlink_stays_inside(out.file.row.dir_path, out.file.target);
    if (out.unfit)
      out.trouble = "a symbolic link that leads out of the space is kept in metadata only";
    if (auto dir = root.open_dir(out.file.row.dir_path); !out.absent && std::holds_alternative<unique_fd>(dir))
      if (auto seen = stat_at(std::get<unique_fd>(dir).get(), temp, root.device()); std::holds_alternative<file_stat>(seen) && std::get<file_stat>(seen).kind == disk_kind::file)
        unlinkat(std::get<unique_fd>(dir).get(), temp.c_str(), 0); // the downloaded text; the link itself takes the name
    return out;
  }
  if (under_way && under_way->complete && under_way->dir_path == out.file.row.dir_path && under_way->temp == temp) {
    if (under_way->file)
      if (auto missing = under_way->file->unfinished())
        out.trouble = *missing;
    return out;
  }
  if (place.size == 0)
    out.trouble = write_small(root, place, temp, {});
  else if (content.is_here(place.content))
    out.trouble = copy_content(root, content, place, temp);
  else
    out.absent = true;
  return out;
}

void place_all(folder_round& round, const folder_disk& disk, const space_store& rows, space_content& content) {
  std::vector<const do_place*> waiting; // in the writer, in order
  auto commit = [&] {
    for (auto& placed : disk.writer->commit()) {
      auto found = std::find_if(waiting.begin(), waiting.end(), [&](const do_place* one) { return one->lid == placed.row.lid && one->vid == placed.row.vid; });
      if (found == waiting.end())
        continue;
      finished_action done;
      done.action = **found;
      done.result.done = placed.placed;
      done.result.seen = placed.seen;
      done.result.error = placed.error;
      done.row = placed.row;
      if (placed.slipped_in) {
        auto slipped = join_path(placed.row.dir_path, *placed.slipped_in);
        done.read = read_for_emission(*disk.root, slipped, node_kind::file, placed.slipped_seen);
        done.slipped_in = placed.slipped_in;
        done.slipped_seen = placed.slipped_seen;
      }
      std::lock_guard lock{round.mutex};
      round.finished.push_back(std::move(done));
    }
    waiting.clear();
  };
  for (const auto& action : round.plan.actions) {
    auto* place = std::get_if<do_place>(&action);
    if (place == nullptr)
      continue;
    auto ready = prepare(*disk.root, rows, content, *place);
    if (ready.absent || !ready.trouble.empty()) {
      std::lock_guard lock{round.mutex};
      if (ready.absent) {
        round.wanted.push_back(*place);
      } else {
        finished_action failed;
        failed.action = *place;
        failed.result.error = ready.trouble;
        failed.result.unfit = ready.unfit;
        round.finished.push_back(std::move(failed));
      }
      continue;
    }
    waiting.push_back(place);
    if (disk.writer->add(std::move(ready.file)))
      commit();
  }
  commit();
  disk.writer->finish();
}

} // namespace

namespace {

/// Reads .harpignore again when it is another file than before.
void refresh_ignored(folder_disk& disk) {
  auto now = disk.root->stat(ignore_file_name);
  auto seen = std::holds_alternative<file_stat>(now) ? std::optional{std::get<file_stat>(now)} : std::nullopt;
  if (seen == disk.ignored_seen)
    return;
  disk.ignored_seen = seen;
  std::string text;
  if (auto opened = disk.root->open_file(ignore_file_name, O_RDONLY); auto* fd = std::get_if<unique_fd>(&opened)) {
    text.resize(ignore_file_bytes_max);
    auto got = read_at(fd->get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  }
  disk.ignored = ignore_rules::parse(text);
}

/// G3 for what other devices remove or rewrite, node by node.
bool holds(const round_input& input, space_rows& rows, folder_rows& base, local_id lid) {
  auto node = rows.node(lid);
  auto row = base.base(lid);
  if (!input.incoming || !node || !row || row->kind == node_kind::dir || row->vid.is_zero())
    return false;
  auto author = (node->alive() ? node->head : node->died).rid;
  return author != 0 && author != input.own && input.incoming->hold(input.now_ms, input.files, author, lid, row->vid);
}

} // namespace

void plan_round(folder_round& round, folder_disk& disk, const space_store& rows) {
  refresh_ignored(disk);
  round.input.guards.ignored = [&disk](std::string_view path, bool is_dir) { return disk.ignored.ignores(path, is_dir); };
  round.change_number = rows.changes();
  rows.read([&](const read_txn& txn, space_rows& all) {
    folder_rows_lmdb base{txn};
    differences look{disk, base};
    std::set<disk_place> places{round.input.places.begin(), round.input.places.end()};
    std::set<local_id> scan_dirs;
    take_events(round.input.events, base, places, scan_dirs);
    for (auto dir : round.input.list_dirs)
      if (auto path = dir == root_lid ? std::optional<std::string>{std::string{}} : base_path(base, dir))
        look.list(dir, *path, places, nullptr);
    if (round.input.scan_all)
      scan_dirs = {root_lid};
    bool whole = true;
    for (auto top : scan_dirs) {
      auto path = top == root_lid ? std::optional<std::string>{std::string{}} : base_path(base, top);
      std::vector<std::pair<local_id, std::string>> todo;
      if (path)
        todo.emplace_back(top, *path);
      while (!todo.empty()) {
        auto [dir, dir_path] = std::move(todo.back());
        todo.pop_back();
        whole = look.list(dir, dir_path, places, &todo) && whole;
      }
    }
    round.scanned = whole && scan_dirs.contains(root_lid);
    if (round.scanned)
      round.input.guards.absence_known = true;
    plan_input input;
    input.places.assign(places.begin(), places.end());
    space_tree tree{all};
    std::set<local_id> lids{round.input.lids.begin(), round.input.lids.end()};
    auto dirty = base.dirty_lids(0, round_lids_max);
    round.more = dirty.size() == round_lids_max;
    for (auto lid : dirty) {
      if (!round.input.waiting.contains(lid))
        lids.insert(lid);
      if (auto shown = tree.entry_of(lid); shown && shown->lid != lid && !round.input.waiting.contains(shown->lid))
        lids.insert(shown->lid); // what a member does shows at the first one
    }
    input.lids.assign(lids.begin(), lids.end());
    round.files = base.base_files();
    selected_tree want{all, base, round.input.mode == keep_mode::full ? folder_selection::full : round.input.mode == keep_mode::online_only ? folder_selection::online_only : folder_selection::ignore, &round.input.unfit};
    looked_disk seen{*disk.root};
    round.input.guards.hold_incoming = [&](local_id lid) { return holds(round.input, all, base, lid); };
    round.plan = plan(input, want, base, seen, round.input.guards);
    round.places = std::move(input.places);
    round.lids = std::move(input.lids);
  });
}

void act_round(folder_round& round, size_t slice, size_t slices, const folder_disk& disk, const space_store& rows, space_content& content) {
  if (slice == 0)
    place_all(round, disk, rows, content);
  std::vector<finished_action> done;
  for (size_t i = slice; i < round.plan.actions.size(); i += slices) {
    const auto& action = round.plan.actions[i];
    if (std::holds_alternative<do_place>(action))
      continue;
    finished_action one;
    one.action = action;
    if (auto* create = std::get_if<emit_create>(&action))
      one.read = read_for_emission(*disk.root, create->path, create->kind, create->seen);
    else if (auto* edit = std::get_if<emit_edit>(&action))
      one.read = read_for_emission(*disk.root, edit->path, node_kind::file, edit->seen);
    else
      one.result = carry_out(*disk.root, action);
    done.push_back(std::move(one));
  }
  std::lock_guard lock{round.mutex};
  for (auto& one : done)
    round.finished.push_back(std::move(one));
}

namespace {

/// Manifests that do not fit into rows go into the packs before any operation names them.
void keep_manifests(const folder_round& round, pack_store& packs) {
  bool any = false;
  for (const auto& one : round.finished) {
    if (!one.read.error.empty())
      continue;
    for (const auto& [id, bytes] : one.read.segments) {
      if (auto failure = packs.put(id, bytes))
        throw *failure;
      any = true;
    }
    if (!one.read.record.empty()) {
      chunk_id id;
      id.bytes = one.read.content.cid.bytes;
      if (auto failure = packs.put(id, one.read.record))
        throw *failure;
      any = true;
    }
  }
  if (any)
    if (auto failure = packs.sync())
      throw *failure;
}

} // namespace

folder_settled settle_round(folder_round& round, space_store& rows, pack_store& packs, const ledger_options& options, uint64_t now_ms) {
  folder_settled out;
  keep_manifests(round, packs);
  auto since = rows.touched_since(round.change_number);
  auto record_all = [&](space_edit* edit, space_rows& all, write_txn& txn) {
    out.again = {};
    out.placed.clear();
    out.held.clear();
    folder_rows_lmdb base{txn};
    for (auto& one : round.finished)
      one.slipped_emitted = false;
    enter(round.finished, options, edit, all, base, out.again);
    for (auto lid : round.plan.clean_lids)
      if (since && !since->contains(lid))
        base.clear_dirty(lid);
    auto hold = [&](local_id lid, const stamp& vid, const content_id& cid) {
      if (auto node = all.node(lid))
        out.held.push_back({node->nid, {vid, cid}});
      auto version = options.keeper ? all.version(lid, vid) : std::nullopt;
      if (!version || (version->flags & version_safe) != 0)
        return;
      version->flags |= version_safe;
      all.put_version(lid, *version);
    };
    for (const auto& one : round.finished) {
      bool made = std::holds_alternative<emit_create>(one.action) || std::holds_alternative<emit_edit>(one.action);
      if (made && one.result.done && !one.result.vid.is_zero())
        hold(one.result.lid, one.result.vid, one.read.content.cid);
      auto* place = std::get_if<do_place>(&one.action);
      if (place == nullptr)
        continue;
      base.erase_placing(one.row.dir_path, one.row.temp);
      if (!one.result.done)
        continue;
      out.placed.push_back(place->content);
      erase_partial(txn, place->content);
      hold(place->lid, place->vid, place->content);
    }
    out.dirty_left = base.dirty_lids(0, round_lids_max).size();
  };
  bool emits = std::any_of(round.finished.begin(), round.finished.end(), [](const finished_action& one) { return is_emission(one.action) || one.slipped_in; });
  if (emits) {
    auto done = rows.commit(now_ms, [&](space_edit& edit, space_rows& all, write_txn& txn) { record_all(&edit, all, txn); });
    if (auto* why = std::get_if<std::string>(&done))
      out.trouble = *why;
    else
      out.change = std::move(std::get<space_change>(done));
  } else {
    rows.write([&](write_txn& txn, space_rows& all) { record_all(nullptr, all, txn); });
  }
  return out;
}

bool keep_content(const space_content& content, const content_id& cid, const std::function<bool(const chunk_id&, const std::string&)>& put) {
  auto chunks = content.manifest(cid);
  auto* all = std::get_if<manifest_reader>(&chunks);
  if (all == nullptr)
    return false;
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    auto* placed = std::get_if<placed_chunk>(&chunk);
    auto bytes = placed != nullptr ? content.read(cid, *placed) : chunk_answer{chunk_refusal{}};
    auto* good = std::get_if<std::string>(&bytes);
    if (good == nullptr || !put(placed->ref.id, *good))
      return false;
  }
  return true;
}

bool keep_slipped(const finished_action& one, const safe_root& root, const std::function<bool(const chunk_id&, const std::string&)>& put) {
  if (!one.slipped_in || !one.read.error.empty())
    return false;
  const auto& record = one.read.record.empty() ? one.read.content.root : one.read.record;
  auto segment = [&](const chunk_id& id) {
    for (const auto& [known, bytes] : one.read.segments)
      if (known == id)
        return bytes;
    return std::string{};
  };
  auto chunks = manifest_reader::open(record, one.read.content.cid, one.read.content.size, segment);
  auto* all = std::get_if<manifest_reader>(&chunks);
  if (all == nullptr)
    return false;
  in_place_file place{&root, join_path(one.row.dir_path, *one.slipped_in), one.slipped_seen};
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    auto* placed = std::get_if<placed_chunk>(&chunk);
    auto bytes = placed != nullptr ? read_in_place(place, *placed) : chunk_answer{chunk_refusal{}};
    auto* good = std::get_if<std::string>(&bytes);
    if (good == nullptr || !put(placed->ref.id, *good))
      return false;
  }
  return true;
}

} // namespace harp
