// Calls about files that change nothing but by operations: listings, where contents are; and how an operation is made.
#include "actors/bridge_storage_calls.hpp"
#include "storage/folder_rows_lmdb.hpp"

#include <caf/send.hpp>

namespace harp {

// -- what other files of the calls use ---------------------------------------------------------------------------------------

std::shared_ptr<space_content> contents_for(const storage_parts& in, const node_store& all, const space_id& id) {
  if (auto running = in.content_of(id))
    return running;
  auto out = std::make_shared<space_content>(all.share(id), all.packs());
  auto* held = all.conf()->find(id);
  auto opened = held != nullptr && !held->dir.empty() ? safe_root::open(held->dir) : std::variant<safe_root, storage_failure>{storage_failure{}};
  if (auto* root = std::get_if<safe_root>(&opened))
    out->hold(std::make_shared<const safe_root>(std::move(*root)));
  return out;
}

std::variant<std::vector<std::shared_ptr<space_store>>, call_failure> spaces_meant(const node_store& all, const std::string& name) {
  std::vector<std::shared_ptr<space_store>> out;
  if (!name.empty()) {
    std::string error;
    auto* space = all.find(name, error);
    if (space == nullptr)
      return call_failure{404, error, "`harp space ls` lists them"};
    out.push_back(all.share(space->id()));
    return out;
  }
  for (auto* space : all.spaces())
    if (space->own() != 0)
      out.push_back(all.share(space->id()));
  return out;
}

net::asio::awaitable<std::variant<kept_path, call_failure>> kept_path_of(storage_parts& in, json arguments) {
  using found_path = std::variant<kept_path, call_failure>;
  auto* parts = &in;
  auto done_job = [parts, arguments](node_store& all) -> found_path {
    auto meant = find_path(all, arguments);
    if (auto* failure = std::get_if<call_failure>(&meant))
      return *failure;
    auto& [space, path] = std::get<meant_path>(meant);
    return kept_path{all.share(space->id()), contents_for(*parts, all, space->id()), path, space->members(), space->own()};
  };
  auto done = co_await in.on_store(std::move(done_job));
  if (auto* failure = std::get_if<1>(&done))
    co_return *failure;
  co_return std::get<0>(std::move(done));
}

call_failure refused_edit(edit_refusal why, const std::string& path) {
  int status = why == edit_refusal::no_such_node || why == edit_refusal::no_such_version ? 404 : 409;
  return {status, path + ": " + std::string{to_string(why)}, "`harp ls` and `harp history` show what there is now"};
}

std::string name_of_kind(node_kind kind) {
  switch (kind) {
    case node_kind::file:
      return "file";
    case node_kind::dir:
      return "folder";
    case node_kind::symlink:
      return "symlink";
    case node_kind::graft:
      return "space";
  }
  return "unknown";
}

/// `work` may be called again when the database had to grow: what it keeps outside it must set anew.
net::asio::awaitable<call_result> bridge_storage::inside::edit(space_id id, edit_work work, json answer) {
  auto now = handles();
  auto found = now.find(id);
  auto space = found == now.end() ? space_actor{} : found->second.space;
  auto folder = found == now.end() ? folder_actor{} : found->second.folder;
  auto now_ms = plane->now_ms();
  auto job = [id, work, answer, space, folder, now_ms](node_store& all) -> call_result {
    auto* rows = all.find(id);
    if (rows == nullptr)
      return call_failure{404, "this space is not here any more", "`harp space ls` lists those that are"};
    std::optional<call_failure> refused;
    auto done = rows->commit(now_ms, [&](space_edit& edit, space_rows& table, write_txn&) {
      space_tree tree{table};
      refused = work(edit, tree, table);
    });
    if (auto* why = std::get_if<std::string>(&done))
      return call_failure{403, *why, "ask the governor's node for another role: `harp member role`"};
    const auto& change = std::get<space_change>(done);
    if (!change.made.empty() && space)
      caf::anon_send(space, made_bundles{std::make_shared<const std::vector<bundle_ptr>>(change.made), rows->state_root(), rows->checkpoint()});
    if (!change.touched.empty() && folder)
      caf::anon_send(folder, changed_nodes{std::make_shared<const std::vector<local_id>>(change.touched)});
    if (refused)
      return *refused;
    return answer;
  };
  co_return co_await at_store(*this, std::move(job));
}

// -- the calls ---------------------------------------------------------------------------------------------------------------

namespace {

constexpr size_t list_piece = 1000;

/// One entry of a listing. Here: on this device's disk in this version.
json listed(const shown_entry& entry, space_tree& tree, folder_rows& base) {
  json out{{"name", entry.name}, {"kind", name_of_kind(entry.kind)}};
  auto row = base.base(entry.lid);
  if (entry.vid.is_zero()) {
    out["here"] = row.has_value();
    return out;
  }
  size_t overtaken = 0;
  for (const auto& version : tree.history(entry.lid))
    overtaken += (version.flags & version_overtaken) != 0 ? 1 : 0;
  out["size"] = entry.size;
  out["modified"] = time_text(static_cast<uint64_t>(std::max<int64_t>(entry.meta.mtime_ns, 0)) / 1'000'000);
  out["version"] = stamp_text(entry.vid);
  out["overtaken"] = overtaken;
  out["here"] = row && row->content == prefix_of(entry.cid);
  return out;
}

call_result list(const kept_path& where) {
  call_result out = call_failure{404, "there is nothing at " + where.path, "`harp trash` shows what was deleted"};
  where.space->read([&](const read_txn& txn, space_rows& rows) {
    space_tree tree{rows};
    folder_rows_lmdb base{txn};
    auto found = tree.resolve(where.path);
    if (!found)
      return;
    json entries = json::array();
    bool more = false;
    if (!found->entry.vid.is_zero()) {
      entries.push_back(listed(found->entry, tree, base));
    } else {
      std::string after;
      do {
        auto piece = tree.list(found->entry.lid, after, list_piece);
        for (const auto& entry : piece.entries)
          entries.push_back(listed(entry, tree, base));
        after = piece.next;
        more = piece.more;
      } while (more && entries.size() < listed_max);
    }
    out = json{{"space", where.members->name()}, {"path", where.path}, {"entries", std::move(entries)}, {"more", more}};
  });
  return out;
}

answer_later call_ls(storage_parts& in, json arguments) {
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto job = [where] { return list(where); };
  co_return co_await at_pool(in, std::move(job));
}

answer_later call_release(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "space");
  bool undo = flag_argument(arguments, "undo");
  auto id = std::make_shared<space_id>();
  auto found_job = [name, id](node_store& all) -> call_result {
    std::string error;
    auto* space = all.find(name, error);
    if (space == nullptr)
      return call_failure{404, error, "`harp space ls` lists them"};
    *id = space->id();
    return json::object();
  };
  auto found = co_await at_store(in, std::move(found_job));
  if (std::holds_alternative<call_failure>(found))
    co_return found;
  auto now = in.handles();
  auto running = now.find(*id);
  if (running == now.end() || !running->second.folder)
    co_return call_failure{409, "no folder of this device holds " + name, "answer on the device that holds the burst; `harp status` names it"};
  auto held = co_await ask<bool>(in.seam.system(), running->second.folder, ask_limit, release_atom_v, !undo);
  if (!held)
    co_return call_failure{503, "the folder does not answer", "try again; `harp status` tells what it does"};
  if (!*held)
    co_return call_failure{409, "nothing is held in " + name, "`harp status` shows what is pending"};
  co_return json{{"space", name}, {"released", undo ? "the files come back" : "the change goes to everybody"}};
}

struct copy_facts {
  shown_entry entry;
  bool safe = false;
  bool lost = false;
};

std::optional<copy_facts> facts_of(const space_store& space, const std::string& path) {
  std::optional<copy_facts> out;
  space.read([&](const read_txn&, space_rows& rows) {
    space_tree tree{rows};
    auto entry = tree.resolve(path);
    if (!entry || entry->entry.vid.is_zero())
      return;
    out = copy_facts{entry->entry};
    if (auto version = rows.version(entry->entry.owner, entry->entry.vid)) {
      out->safe = (version->flags & version_safe) != 0;
      out->lost = (version->flags & version_lost) != 0;
    }
  });
  return out;
}

/// Members that have it as far as is known here: this device, the author until others do, keepers once they said Safe.
json holders_of(const roster& members, const copy_facts& facts, replica_id own, bool here) {
  json out = json::array();
  for (const auto& member : members.members()) {
    if (member.is_revoked())
      continue;
    bool keeps = member.role == member_role::keeper || member.role == member_role::admin;
    bool has = member.rid == own ? here : (keeps && facts.safe) || (member.rid == facts.entry.vid.rid && !facts.safe && !facts.lost);
    if (has)
      out.push_back({{"device", member.name}, {"why", member.rid == own ? "this device" : member.rid == facts.entry.vid.rid && !facts.safe ? "made it" : "keeper"}});
  }
  return out;
}

answer_later call_copies(storage_parts& in, json arguments) {
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto cid = std::make_shared<std::string>();
  auto told_job = [where, cid]() -> call_result {
    auto facts = facts_of(*where.space, where.path);
    if (!facts)
      return call_failure{404, "there is no file at " + where.path, "`harp ls` shows what there is"};
    bool here = where.content->is_here(facts->entry.cid);
    *cid = facts->entry.cid.to_string();
    return json{{"space", where.members->name()}, {"path", where.path}, {"version", stamp_text(facts->entry.vid)}, {"size", facts->entry.size},
                {"content", *cid}, {"here", here}, {"safe", facts->safe}, {"waits_for", ""},
                {"copies", holders_of(*where.members, *facts, where.own, here)}};
  };
  auto told = co_await at_pool(in, std::move(told_job));
  auto now = in.handles();
  auto running = now.find(where.space->id());
  if (std::holds_alternative<call_failure>(told) || running == now.end() || !running->second.swarm)
    co_return told;
  auto report = co_await ask<swarm_report>(in.seam.system(), running->second.swarm, ask_limit, report_atom_v);
  auto answer = std::get<json>(told);
  if (report)
    for (const auto& line : *report->waits)
      if (line.cid.to_string() == *cid) {
        auto* peer = where.members->member(line.peer);
        answer["waits_for"] = std::string{to_string(line.reason)} + (peer != nullptr ? ", " + peer->name : "");
        answer["bytes_here"] = line.bytes_had;
      }
  co_return answer;
}

} // namespace

const std::vector<storage_call> file_calls = {
  {"ls", true, call_ls},
  {"history", true, call_history},
  {"restore", true, call_restore},
  {"trash", true, call_trash},
  {"rewind", true, call_rewind},
  {"notices", true, call_notices},
  {"release", true, call_release},
  {"copies", true, call_copies},
  {"verify", true, call_verify},
  {"repair", true, call_repair},
  {"open", true, call_open},
  {"put_begin", true, call_put_begin},
  {"put_end", true, call_put_end},
};

} // namespace harp
