// Which spaces this device holds, in which folders, and what of them.
#include "actors/bridge_storage_calls.hpp"
#include "storage/folder_rows_lmdb.hpp"
#include "storage/partial_file.hpp"
#include "storage/safe_path.hpp"
#include "storage/planner.hpp"
#include "storage/space_apply.hpp"
#include "storage/space_marker.hpp"

#include <caf/send.hpp>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace harp {

namespace {

namespace fs = std::filesystem;

constexpr int farewell_asks_max = 20;

bool is_inside(const fs::path& inner, const fs::path& outer) {
  auto relative = inner.lexically_relative(outer);
  return !relative.empty() && *relative.begin() != "..";
}

/// The space that a folder's marker names (its last word); zero for a marker that cannot be read, nothing without one.
std::optional<space_id> marked_space(const fs::path& dir) {
  std::error_code ignored;
  if (!fs::exists(dir / marker_file_name, ignored))
    return std::nullopt;
  std::ifstream in{dir / marker_file_name};
  std::string line;
  std::getline(in, line);
  return space_id::parse(std::string_view{line}.substr(line.rfind(' ') + 1)).value_or(space_id{});
}

/// A folder that may hold the space, made if it was missing; its real path.
std::variant<std::string, call_failure> usable_dir(const storage_parts& in, const node_store& all, const std::string& asked, const space_id& id) {
  if (asked.empty() || asked.front() != '/')
    return wrong_usage("the folder must be an absolute path", "give --dir DIR");
  std::error_code error;
  fs::create_directories(asked, error);
  auto real = error ? fs::path{} : fs::canonical(asked, error);
  if (error)
    return call_failure{409, "the folder " + asked + " cannot be made: " + error.message(), "choose another one, or mend its permissions"};
  if (!fs::is_directory(real, error))
    return call_failure{409, asked + " is not a folder", "choose a folder"};
  auto state = fs::weakly_canonical(in.settings.state_dir, error);
  if (is_inside(real, state) || is_inside(state, real))
    return call_failure{409, asked + " and Harp's own state directory lie in each other", "choose a folder elsewhere"};
  for (const auto& held : all.conf()->spaces)
    if (held.id != id && !held.dir.empty() && (is_inside(real, held.dir) || is_inside(held.dir, real)))
      return call_failure{409, asked + " and " + held.dir + ", which holds another space, lie in each other", "choose a folder elsewhere"};
  if (auto mark = marked_space(real); mark && (*mark != id || id.is_zero()))
    return call_failure{409, asked + " holds another space already (" + std::string{marker_file_name} + ")", "choose another folder, or remove that file if the space is gone"};
  return real.string();
}

/// The folder's memory of the disk goes, so that nothing that is missing later is taken for deleted; every node is looked
/// at again when a folder is added.
void forget_folder(space_store& space) {
  space.write([](write_txn& txn, space_rows& rows) {
    std::vector<local_id> bases;
    txn.each_from(table::disk, row_key::lid(0), [&](std::string_view key, std::string_view) {
      bases.push_back(key_lid(key));
      return true;
    });
    for (auto lid : bases)
      txn.erase(table::disk, row_key::lid(lid));
    txn.erase_prefix(table::ino, {});
    txn.erase_prefix(table::partial, {});
    for (std::string_view prefix : {"at/", "placing/"})
      txn.erase_prefix(table::conf, prefix);
    for (std::string_view key : {"base_files", "folder_root"})
      txn.erase(table::conf, key);
    std::vector<local_id> nodes;
    rows.each_node(root_lid + 1, [&](local_id lid, const node_row&) {
      nodes.push_back(lid);
      return true;
    });
    for (auto lid : nodes)
      rows.mark_dirty(lid, dirty_life);
  });
}

call_result hold(storage_parts& in, node_store& all, space_store& space, const std::string& dir, keep_mode mode) {
  auto fresh = *all.conf();
  std::erase_if(fresh.spaces, [&](const held_space& held) { return held.id == space.id(); });
  if (fresh.spaces.size() >= held_spaces_max)
    return call_failure{409, "this device holds " + std::to_string(held_spaces_max) + " spaces already", "remove one with `harp space rm`"};
  forget_folder(space); // of a folder that was removed by a crash's half
  fresh.spaces.push_back({space.id(), dir, mode});
  if (auto why = all.save_conf(fresh))
    return call_failure{503, *why, "look at free space and permissions of the state directory"};
  in.ensure_spaces(all);
  return json{{"space", space.members()->name()}, {"id", space.id().to_string()}, {"dir", dir}, {"mode", to_string(mode)}};
}

call_result create_space(storage_parts& in, node_store& all, const std::string& name, const std::string& dir, const std::string& user, uint64_t now_ms) {
  auto place = dir.empty() ? std::variant<std::string, call_failure>{std::string{}} : usable_dir(in, all, dir, {});
  if (auto* failure = std::get_if<call_failure>(&place))
    return *failure;
  auto made = all.create_space(name, user, now_ms);
  if (auto* why = std::get_if<std::string>(&made))
    return call_failure{409, *why, "`harp space ls` lists the spaces"};
  auto& space = *std::get<space_store*>(made);
  in.rosters_changed();
  const auto& real = std::get<std::string>(place);
  return hold(in, all, space, real, real.empty() ? keep_mode::online_only : keep_mode::full);
}

call_result add_space(storage_parts& in, node_store& all, const std::string& name, const std::string& dir, const std::string& mode) {
  std::string error;
  auto* space = all.find(name, error);
  if (space == nullptr)
    return call_failure{404, error, "`harp space ls` lists them; one that was shared just now may need a moment"};
  if (space->own() == 0)
    return call_failure{409, "this device is no member of " + name, "ask the governor's node for `harp member role`"};
  auto keep = mode.empty() ? std::optional{dir.empty() ? keep_mode::online_only : keep_mode::full} : parse_keep_mode(mode);
  if (!keep)
    return wrong_usage(mode + " is no mode", "use full, online-only or ignore");
  if (dir.empty() && *keep == keep_mode::full)
    return wrong_usage("a space that is kept needs a folder", "give --dir DIR, or --mode online-only");
  auto* held = all.conf()->find(space->id());
  auto place = dir.empty() ? std::variant<std::string, call_failure>{std::string{}} : usable_dir(in, all, dir, space->id());
  if (auto* failure = std::get_if<call_failure>(&place))
    return *failure;
  const auto& real = std::get<std::string>(place);
  if (held != nullptr && held->dir == real && held->mode == *keep)
    return json{{"space", space->members()->name()}, {"id", space->id().to_string()}, {"dir", real}, {"mode", to_string(*keep)}};
  if (held != nullptr && !held->dir.empty())
    return call_failure{409, name + " is held in " + held->dir + " already", "`harp space select` changes what is kept there; `harp space rm` ends it first"};
  return hold(in, all, *space, real, *keep);
}

json spaces_listed(const node_store& all) {
  json list = json::array();
  for (auto* space : all.spaces()) {
    if (space->own() == 0)
      continue;
    auto* held = all.conf()->find(space->id());
    size_t members = 0;
    for (const auto& member : space->members()->members())
      members += member.is_revoked() ? 0 : 1;
    list.push_back({{"name", space->members()->name()}, {"id", space->id().to_string()}, {"role", to_string(space->members()->role_of(space->own()))},
                    {"held", held != nullptr}, {"dir", held != nullptr ? held->dir : std::string{}},
                    {"mode", held != nullptr ? std::string{to_string(held->mode)} : std::string{}}, {"members", members}});
  }
  return json{{"spaces", list}};
}

/// Ends the folder actor of a space; nothing of it runs on the store's behalf any more when this returns.
net::asio::awaitable<void> end_folder(storage_parts& in, space_id id) {
  auto now = in.handles();
  auto found = now.find(id);
  if (found == now.end() || !found->second.folder)
    co_return;
  auto folder = found->second.folder;
  in.set_folder(id, folder_actor{});
  caf::anon_send_exit(folder, caf::exit_reason::user_shutdown);
  for (int asks = 0; asks < farewell_asks_max; ++asks) {
    auto still = co_await ask<folder_report>(in.seam.system(), folder, ask_limit, report_atom_v);
    if (!still)
      break;
  }
  if (auto content = in.content_of(id))
    content->hold(nullptr);
}

/// Temp files of downloads under way: directory and name.
std::vector<std::pair<std::string, std::string>> half_downloads(space_store& space) {
  std::vector<std::pair<std::string, std::string>> out;
  space.read([&](const read_txn& txn, space_rows&) {
    for (const auto& one : known_partials(txn, downloads_max))
      out.emplace_back(one.dir_path, one.temp_name);
    for (const auto& row : folder_rows_lmdb{txn}.placings())
      out.emplace_back(row.dir_path, row.temp);
  });
  return out;
}

void remove_half_downloads(const std::string& dir, const std::vector<std::pair<std::string, std::string>>& partials) {
  auto opened = dir.empty() ? std::variant<safe_root, storage_failure>{storage_failure{}} : safe_root::open(dir);
  auto* root = std::get_if<safe_root>(&opened);
  for (const auto& [path, name] : partials) {
    auto at = root != nullptr && is_own_name(name) ? root->open_dir(path) : std::variant<unique_fd, storage_failure>{storage_failure{}};
    if (auto* fd = std::get_if<unique_fd>(&at))
      unlinkat(fd->get(), name.c_str(), 0);
  }
}

call_result drop_held(storage_parts& in, node_store& all, const space_id& id) {
  auto fresh = *all.conf();
  auto* held = fresh.find(id);
  auto* space = all.find(id);
  if (held == nullptr || space == nullptr)
    return call_failure{404, "this device does not hold that space", "`harp space ls` lists those it holds"};
  auto dir = held->dir;
  auto partials = half_downloads(*space);
  // In this order, so that a crash in between leaves a folder that only has to be compared again.
  forget_folder(*space);
  std::error_code ignored;
  if (!dir.empty() && marked_space(dir) == id)
    fs::remove(fs::path{dir} / marker_file_name, ignored);
  std::erase_if(fresh.spaces, [&](const held_space& one) { return one.id == id; });
  if (auto why = all.save_conf(fresh))
    return call_failure{503, *why, "look at free space and permissions of the state directory"};
  if (auto content = in.content_of(id)) {
    auto downloads = content->forget_all();
    auto gone = std::make_shared<std::vector<content_id>>();
    for (const auto& one : downloads)
      gone->push_back(one.cid);
    std::shared_ptr<const std::vector<content_id>> left = gone;
    for (const auto& one : downloads)
      partials.emplace_back(one.dir_path, one.temp);
    auto now = in.handles();
    if (auto found = now.find(id); found != now.end() && found->second.swarm && !left->empty())
      caf::anon_send(found->second.swarm, content_wish{nullptr, left});
  }
  remove_half_downloads(dir, partials);
  return json{{"space", space->members()->name()}, {"dir", dir}, {"files", "left where they are"}};
}

/// The chosen folder and everything below it is to be compared with the disk again.
void mark_below(space_rows& rows, const std::vector<local_id>& dirs) {
  std::vector<local_id> open = dirs;
  while (!open.empty()) {
    auto next = open.back();
    open.pop_back();
    rows.mark_dirty(next, dirty_life);
    std::vector<local_id> kids;
    rows.each_entry(next, {}, [&](std::string_view, local_id kid) {
      kids.push_back(kid);
      return true;
    });
    for (auto kid : kids) {
      auto row = rows.node(kid);
      if (row && row->is_dir())
        open.push_back(kid);
      else
        rows.mark_dirty(kid, dirty_life);
    }
  }
}

} // namespace

answer_later call_space_create(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "name");
  auto dir = text_argument(arguments, "dir");
  if (!is_lawful_name(name) || name.find(':') != name.npos)
    co_return wrong_usage("that cannot be the name of a space", "use 1 to 255 bytes of text without '/' and ':'");
  auto now = in.plane->now_ms();
  auto* parts = &in;
  auto job = [parts, name, dir, now](node_store& all) -> call_result {
    if (all.governor() == nullptr)
      return call_failure{409, "only the node that founded the cluster makes spaces", "run this command there, then `harp space add` here"};
    auto* self = all.cluster()->members()->member(all.cluster()->own());
    return create_space(*parts, all, name, dir, self != nullptr ? self->user : std::string{}, now);
  };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_space_add(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "name");
  auto dir = text_argument(arguments, "dir");
  auto mode = text_argument(arguments, "mode");
  auto* parts = &in;
  auto job = [parts, name, dir, mode](node_store& all) { return add_space(*parts, all, name, dir, mode); };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_space_ls(storage_parts& in, json) {
  auto job = [](node_store& all) -> call_result { return spaces_listed(all); };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_space_rm(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "name");
  auto id = std::make_shared<space_id>();
  auto found_job = [name, id](node_store& all) -> call_result {
    std::string error;
    auto* space = all.find(name, error);
    if (space == nullptr || all.conf()->find(space->id()) == nullptr)
      return call_failure{404, space == nullptr ? error : "this device does not hold " + name, "`harp space ls` lists those it holds"};
    *id = space->id();
    return json::object();
  };
  auto found = co_await at_store(in, std::move(found_job));
  if (std::holds_alternative<call_failure>(found))
    co_return found;
  co_await end_folder(in, *id);
  auto* parts = &in;
  auto job = [parts, id](node_store& all) { return drop_held(*parts, all, *id); };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_select(storage_parts& in, json arguments) {
  auto mode = text_argument(arguments, "mode");
  auto keep = parse_keep_mode(mode);
  if (!keep)
    co_return wrong_usage(mode + " is no mode", "use full, online-only or ignore");
  selection_row wanted;
  wanted.what = *keep == keep_mode::full ? folder_selection::full : *keep == keep_mode::online_only ? folder_selection::online_only : folder_selection::ignore;
  auto id = std::make_shared<space_id>();
  auto done_job = [arguments, wanted, mode, id](node_store& all) -> call_result {
    auto meant = find_path(all, arguments);
    if (auto* failure = std::get_if<call_failure>(&meant))
      return *failure;
    auto& [space, path] = std::get<meant_path>(meant);
    *id = space->id();
    if (auto* held = all.conf()->find(*id); held == nullptr || held->dir.empty())
      return call_failure{409, "no folder of this device holds that space", "add one with `harp space add NAME --dir DIR`"};
    bool is_dir = false;
    // Only rows of this device change (G4): what others have, and the operations, are out of reach here.
    space->write([&](write_txn& txn, space_rows& rows) {
      space_tree tree{rows};
      auto shown = tree.resolve(path);
      is_dir = shown && shown->entry.vid.is_zero();
      if (!is_dir)
        return;
      folder_rows_lmdb base{txn};
      for (auto member : shown->members)
        base.put_selection(member, wanted);
      mark_below(rows, shown->members);
    });
    if (!is_dir)
      return call_failure{404, "there is no folder " + path, "`harp ls` shows what there is; files are chosen by their folder"};
    return json{{"path", path}, {"mode", mode}};
  };
  auto done = co_await at_store(in, std::move(done_job));
  auto now = in.handles();
  if (auto found = now.find(*id); std::holds_alternative<json>(done) && found != now.end() && found->second.folder)
    caf::anon_send(found->second.folder, scan_atom_v);
  co_return done;
}

} // namespace harp
