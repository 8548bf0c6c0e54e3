// `put`: a file comes in pieces, then becomes a version of a path: through the folder here, else straight into the packs.
#include "actors/bridge_storage_handles.hpp"
#include "actors/random_id.hpp"
#include "storage/folder_rows_lmdb.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view put_prefix = "put-";

std::string error_text() {
  return std::strerror(errno);
}

std::string put_dir(const storage_parts& in) {
  return in.settings.state_dir + "/storage";
}

/// What a crash left behind.
void sweep_puts(storage_parts& in) {
  std::set<std::string> open;
  {
    std::lock_guard lock{in.mutex};
    for (const auto& [handle, file] : in.files)
      open.insert(file->put_temp);
  }
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator{put_dir(in), ignored})
    if (entry.path().filename().string().starts_with(put_prefix) && !open.contains(entry.path().string()))
      fs::remove(entry.path(), ignored);
}

void end_put(storage_parts& in, const std::string& handle, const std::string& temp) {
  ::unlink(temp.c_str());
  std::lock_guard lock{in.mutex};
  in.files.erase(handle);
}

/// Where `put` means to go: the path itself, or below it when that is a folder.
std::variant<std::string, call_failure> put_target(const kept_path& where, const std::string& name) {
  if (!may_write(where.members->role_of(where.own)))
    return call_failure{403, "this device may only read " + where.members->name(), "ask the governor's node for another role: `harp member role`"};
  std::variant<std::string, call_failure> out = call_failure{404, "there is no folder for " + where.path, "`harp ls` shows those there are"};
  where.space->read([&](const read_txn&, space_rows& rows) {
    space_tree tree{rows};
    auto shown = tree.resolve(where.path);
    auto path = shown && shown->entry.vid.is_zero() ? join_path(where.path, name) : where.path;
    auto place = tree.place_of(path);
    auto there = tree.resolve(path);
    if (place && !is_lawful_name(place->name))
      out = call_failure{400, "that cannot be the name of a file", "name the file: SPACE:path/name"};
    else if (there && there->entry.vid.is_zero())
      out = call_failure{409, path + " is a folder", "name the file: SPACE:path/name"};
    else if (place)
      out = path;
  });
  return out;
}

struct read_whole {
  built_content content;
  std::string error;
};

/// Chunks a file; `keep` gets chunks and segments, and stops it by returning false. Empty: only the content's id is wanted.
read_whole chunk_file(const std::string& path, const std::function<bool(const chunk_id&, std::string_view)>& keep) {
  read_whole out;
  unique_fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (fd.get() < 0) {
    out.error = error_text();
    return out;
  }
  auto take = [&](const chunk_id& id, std::string_view bytes) {
    if (keep && out.error.empty() && !keep(id, bytes))
      out.error = "the packs did not take it";
  };
  content_builder builder{[&](uint32_t, const chunk_ref& chunk, std::string_view bytes) { take(chunk.id, bytes); }, take};
  std::string piece(size_t{1} << 20, '\0');
  for (;;) {
    auto got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0)
      out.error = error_text();
    if (got <= 0 || !out.error.empty())
      break;
    builder.feed({piece.data(), static_cast<size_t>(got)});
  }
  out.content = builder.finish();
  return out;
}

/// The directory on disk that holds `path`, when this device keeps files there; and the name there.
struct disk_target {
  std::shared_ptr<const safe_root> root;
  std::string dir, name;
};

std::optional<disk_target> folder_target(const kept_path& where, keep_mode mode, const std::string& path) {
  disk_target out;
  out.root = where.content->root();
  if (!out.root)
    return std::nullopt;
  bool kept = false;
  where.space->read([&](const read_txn& txn, space_rows& rows) {
    space_tree tree{rows};
    folder_rows_lmdb base{txn};
    auto whole = mode == keep_mode::full ? folder_selection::full : mode == keep_mode::online_only ? folder_selection::online_only : folder_selection::ignore;
    selected_tree want{rows, base, whole};
    auto place = tree.place_of(path);
    if (!place || want.selection_in(place->parent) != folder_selection::full)
      return;
    auto dir = place->parent == root_lid ? std::optional<std::string>{std::string{}} : base_path(base, place->parent);
    auto there = tree.resolve(path);
    auto row = there ? base.base(there->entry.lid) : std::nullopt;
    if (!dir || (there && !row)) // a folder or an earlier version that is still coming
      return;
    out.dir = *dir;
    out.name = row ? row->disk_name : place->name;
    kept = true;
  });
  return kept ? std::optional{out} : std::nullopt;
}

/// A copy beside the target under a name of Harp's own, then a rename: the folder sees one local change.
std::string move_into_folder(const disk_target& target, const std::string& from, const std::string& temp) {
  auto dir = target.root->open_dir(target.dir);
  auto* at = std::get_if<unique_fd>(&dir);
  unique_fd source{::open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  if (at == nullptr || source.get() < 0)
    return at == nullptr ? std::get<storage_failure>(dir).what : error_text();
  unique_fd sink{::openat(at->get(), temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)};
  bool good = sink.get() >= 0;
  struct stat before {};
  if (good && ::fstatat(at->get(), target.name.c_str(), &before, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(before.st_mode))
    ::fchmod(sink.get(), before.st_mode & 07777); // it stays what it was to others
  std::string piece(size_t{1} << 20, '\0');
  for (ssize_t got = 1; good && got > 0;) {
    got = ::read(source.get(), piece.data(), piece.size());
    for (ssize_t put = 0; good && put < got;) {
      auto wrote = ::write(sink.get(), piece.data() + put, static_cast<size_t>(got - put));
      good = wrote > 0;
      put += wrote;
    }
    good = good && got >= 0;
  }
  good = good && ::fdatasync(sink.get()) == 0 && ::renameat(at->get(), temp.c_str(), at->get(), target.name.c_str()) == 0;
  auto why = good ? std::string{} : error_text();
  if (!good)
    ::unlinkat(at->get(), temp.c_str(), 0);
  return why;
}

/// The version at `path` when it has this content; empty while it has not.
std::string version_with(const space_store& space, const std::string& path, const content_id& cid) {
  std::string out;
  space.read([&](const read_txn&, space_rows& rows) {
    auto shown = space_tree{rows}.resolve(path);
    if (shown && shown->entry.cid == cid)
      out = stamp_text(shown->entry.vid);
  });
  return out;
}

/// Into the packs, and an operation: for spaces without a folder here.
answer_later put_directly(storage_parts& in, kept_path where, std::string path, std::string temp) {
  auto ref = std::make_shared<content_ref>();
  auto store = in.plane->store;
  auto kept_job = [temp, ref, store]() -> call_result {
    auto whole = chunk_file(temp, [&store](const chunk_id& id, std::string_view bytes) {
      return wait_for_store(store, [id, copy = std::string{bytes}](node_store& all) {
        if (auto failure = all.packs().put(id, copy))
          throw *failure;
      });
    });
    chunk_id record_id;
    record_id.bytes = whole.content.ref.cid.bytes;
    bool durable = whole.error.empty() && wait_for_store(store, [record_id, record = whole.content.record](node_store& all) {
      auto failure = all.packs().put(record_id, record);
      if (!failure)
        failure = all.packs().sync();
      if (failure)
        throw *failure;
    });
    if (!durable)
      return call_failure{503, "the file could not be stored: " + (whole.error.empty() ? "the packs did not take it" : whole.error), "look at free space, then try again"};
    *ref = whole.content.ref;
    return json::object();
  };
  auto kept = co_await at_pool(in, std::move(kept_job));
  if (std::holds_alternative<call_failure>(kept))
    co_return kept;
  node_meta meta;
  meta.mtime_ns = static_cast<int64_t>(in.plane->now_ms()) * 1'000'000;
  auto version = std::make_shared<std::string>();
  bridge_storage::inside::edit_work work = [path, meta, ref, version](space_edit& edit, space_tree& tree, space_rows& rows) -> std::optional<call_failure> {
    auto place = tree.place_of(path);
    auto outcome = place ? edit.put_file(place->parent, place->name, meta, *ref) : edit_outcome{edit_refusal::no_such_node};
    if (auto* why = std::get_if<edit_refusal>(&outcome))
      return refused_edit(*why, path);
    if (!ref->root.empty())
      rows.put_root_record(ref->cid, ref->root);
    *version = stamp_text(std::get<edit_done>(outcome).vid);
    return std::nullopt;
  };
  auto answer = json{{"space", where.members->name()}, {"path", path}, {"size", ref->size}};
  auto done = co_await in.edit(where.space->id(), work, answer);
  if (std::holds_alternative<call_failure>(done))
    co_return done;
  answer["version"] = *version;
  co_return answer;
}

/// Into the folder, and then until the folder has made a version of it.
answer_later put_into_folder(storage_parts& in, kept_path where, disk_target target, std::string path, std::string temp) {
  auto cid = std::make_shared<content_id>();
  auto size = std::make_shared<uint64_t>(0);
  auto own_temp = ".harp-put-" + random_hex(8) + ".tmp";
  auto moved_job = [target, temp, own_temp, cid, size]() -> call_result {
    auto whole = chunk_file(temp, {});
    auto why = whole.error.empty() ? move_into_folder(target, temp, own_temp) : whole.error;
    if (!why.empty())
      return call_failure{503, "the file could not be written: " + why, "look at free space and permissions of the folder, then try again"};
    *cid = whole.content.ref.cid;
    *size = whole.content.ref.size;
    return json::object();
  };
  auto moved = co_await at_pool(in, std::move(moved_job));
  if (std::holds_alternative<call_failure>(moved))
    co_return moved;
  auto answer = json{{"space", where.members->name()}, {"path", path}, {"size", *size}};
  auto until = std::chrono::steady_clock::now() + arrival_wait_max;
  while (std::chrono::steady_clock::now() < until) {
    auto version_job = [where, path, cid]() -> call_result { return json(version_with(*where.space, path, *cid)); };
    auto version = co_await at_pool(in, std::move(version_job));
    auto* text = std::get_if<json>(&version);
    if (text != nullptr && !text->get<std::string>().empty()) {
      answer["version"] = *text;
      co_return answer;
    }
    co_await pause_for_arrival(in);
  }
  co_return call_failure{504, "the file is in the folder, but no version of it has been made yet", "`harp status` names what it waits for"};
}

} // namespace

answer_later call_put_begin(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "name");
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto target = std::make_shared<std::string>();
  auto checked_job = [where, name, target]() -> call_result {
    auto meant = put_target(where, name);
    if (auto* failure = std::get_if<call_failure>(&meant))
      return *failure;
    *target = std::get<std::string>(meant);
    return json::object();
  };
  auto checked = co_await at_pool(in, std::move(checked_job));
  if (std::holds_alternative<call_failure>(checked))
    co_return checked;
  sweep_puts(in);
  auto file = std::make_shared<storage_parts::open_file>();
  file->space = where.space->id();
  file->put_path = *target;
  file->put_temp = put_dir(in) + "/" + std::string{put_prefix} + random_hex(handle_random_bytes);
  unique_fd fd{::open(file->put_temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (fd.get() < 0)
    co_return call_failure{503, "a file for what comes cannot be made: " + error_text(), "look at free space and permissions of the state directory"};
  auto handle = add_file(in, file);
  if (handle.empty()) {
    ::unlink(file->put_temp.c_str());
    co_return too_many_files();
  }
  co_return json{{"handle", handle}, {"space", where.members->name()}, {"path", *target}};
}

net::asio::awaitable<web::call_answer> bridge_storage::write_content(std::string handle, uint64_t offset, std::string bytes) {
  auto& in = *inside_;
  auto file = find_file(in, handle);
  if (!file || file->put_temp.empty())
    co_return failed(no_handle());
  if (offset != file->put_bytes)
    co_return failed(call_failure{409, "the next byte is " + std::to_string(file->put_bytes) + ", not " + std::to_string(offset), "send the bytes in order"});
  auto size = bytes.size();
  auto wrote_job = [file, offset, kept = std::move(bytes)]() -> call_result {
    unique_fd fd{::open(file->put_temp.c_str(), O_WRONLY | O_CLOEXEC)};
    auto failure = fd.get() < 0 ? std::optional{storage_failure{errno, error_text()}} : write_at(fd.get(), kept, offset);
    if (failure)
      return call_failure{503, "the bytes could not be kept: " + failure->what, "look at free space, then run the command again"};
    return json::object();
  };
  auto wrote = co_await at_pool(in, std::move(wrote_job));
  if (auto* failure = std::get_if<call_failure>(&wrote))
    co_return failed(*failure);
  file->put_bytes = offset + size;
  json answer{{"size", file->put_bytes}};
  co_return web::call_answer{200, answer.dump() + "\n"};
}

answer_later call_put_end(storage_parts& in, json arguments) {
  auto handle = text_argument(arguments, "handle");
  auto size = arguments.at("size").get<uint64_t>();
  auto file = find_file(in, handle);
  if (!file || file->put_temp.empty())
    co_return no_handle();
  auto temp = file->put_temp;
  {
    std::lock_guard lock{in.mutex};
    file->used = std::chrono::steady_clock::time_point::max(); // it does not expire while it is carried on
  }
  if (size != file->put_bytes) {
    end_put(in, handle, temp);
    co_return call_failure{409, "only " + std::to_string(file->put_bytes) + " of " + std::to_string(size) + " bytes came", "run the command again"};
  }
  auto mode = std::make_shared<keep_mode>(keep_mode::ignore);
  auto where = std::make_shared<kept_path>();
  auto* parts = &in;
  auto path = file->put_path;
  auto id = file->space;
  auto found_job = [parts, mode, where, path, id](node_store& all) -> call_result {
    auto* space = all.find(id);
    if (space == nullptr)
      return call_failure{404, "this space is not here any more", "`harp space ls` lists those that are"};
    if (auto* held = all.conf()->find(id); held != nullptr && !held->dir.empty())
      *mode = held->mode;
    *where = kept_path{all.share(id), contents_for(*parts, all, id), path, space->members(), space->own()};
    return json::object();
  };
  auto found = co_await at_store(in, std::move(found_job));
  call_result done = found;
  if (std::holds_alternative<json>(found)) {
    auto target = std::make_shared<std::optional<disk_target>>();
    auto looked_job = [where, mode, path, target]() -> call_result {
      *target = folder_target(*where, *mode, path);
      return json::object();
    };
    auto looked = co_await at_pool(in, std::move(looked_job));
    if (std::holds_alternative<call_failure>(looked))
      done = looked;
    else if (*target)
      done = co_await put_into_folder(in, *where, **target, path, temp);
    else
      done = co_await put_directly(in, *where, path, temp);
  }
  end_put(in, handle, temp);
  co_return done;
}

} // namespace harp
