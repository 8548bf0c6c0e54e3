// Versions, Trash and notices: what was, how to have it back, what was decided without asking.
#include "actors/bridge_storage_calls.hpp"
#include "storage/checkpoint.hpp"
#include "storage/hlc.hpp"

namespace harp {

namespace {

constexpr size_t restorable_checked_max = 1000; // versions whose content is looked for
constexpr uint64_t hlc_counter_bits = 0xFFFF;   // all of one millisecond

std::string when(uint64_t hlc) {
  return time_text(ms_of_hlc(hlc));
}

uint64_t settled_hlc(const space_store& space) {
  std::vector<beat_fact> beats; // read before: no transaction inside another
  for (const auto& beat : space.beats())
    beats.push_back({beat.rid, beat.seq, beat.hlc});
  uint64_t out = 0;
  space.read([&](const read_txn&, space_rows& rows) { out = settled_line(rows, beats); });
  return out;
}

json version_told(const history_entry& entry, const roster& members) {
  json out{{"version", stamp_text(entry.vid)}, {"at", when(entry.vid.hlc)}};
  auto author = author_of(members, entry.vid.rid, entry.meta.acting_user);
  out["by"] = author["device"];
  out["user"] = author.value("user", "");
  out["size"] = entry.size;
  out["content"] = entry.cid.to_string();
  out["overtaken"] = (entry.flags & version_overtaken) != 0;
  out["overtaken_by"] = entry.overtaken_by.is_zero() ? std::string{} : stamp_text(entry.overtaken_by);
  out["settled"] = entry.settled;
  out["current"] = entry.current;
  return out;
}

/// Where the content of an old version can come from.
std::string source_of(const history_entry& entry, const roster& members, const space_content& content, replica_id own) {
  if (content.is_here(entry.cid))
    return "here";
  if ((entry.flags & version_safe) != 0)
    return "keepers";
  auto* author = members.member(entry.vid.rid);
  bool gone = (entry.flags & version_lost) != 0 || author == nullptr || author->is_revoked() || author->rid == own;
  return gone ? "nobody known" : author->name;
}

/// Shown, or in Trash.
local_id lid_at(space_tree& tree, const std::string& path, bool& deleted) {
  if (auto shown = tree.resolve(path))
    return shown->entry.vid.is_zero() ? 0 : shown->entry.lid;
  auto dead = tree.in_trash(path);
  deleted = dead.has_value();
  return dead && !dead->vid.is_zero() ? dead->lid : 0;
}

call_result history_of(const kept_path& where) {
  std::vector<history_entry> all;
  bool deleted = false;
  where.space->read([&](const read_txn&, space_rows& rows) {
    space_tree tree{rows};
    if (auto lid = lid_at(tree, where.path, deleted); lid != 0)
      all = tree.history(lid);
  });
  if (all.empty())
    return call_failure{404, "there is no file at " + where.path, "`harp ls` shows what there is, `harp trash` what was deleted"};
  auto settled = settled_hlc(*where.space);
  auto members = where.members;
  json versions = json::array();
  std::string current;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    at->settled = at->vid.hlc <= settled;
    if (deleted)
      at->current = false;
    auto told = version_told(*at, *members);
    if (versions.size() < restorable_checked_max)
      told["restorable"] = source_of(*at, *members, *where.content, where.own);
    if (at->current)
      current = stamp_text(at->vid);
    versions.push_back(std::move(told));
  }
  return json{{"space", members->name()}, {"path", where.path}, {"current", current}, {"deleted", deleted}, {"versions", std::move(versions)}};
}

/// The version a person means: the named one, else the one before the current.
std::variant<stamp, call_failure> version_meant(space_tree& tree, const resolved_entry& shown, const std::optional<stamp>& named, const std::string& path) {
  if (named)
    return *named;
  auto all = tree.history(shown.entry.lid);
  for (size_t i = 1; i < all.size(); ++i)
    if (all[i].current)
      return all[i - 1].vid;
  return call_failure{409, path + " has only one version", "nothing is to be restored; `harp history` shows it"};
}

std::optional<call_failure> restore_at(space_edit& edit, space_tree& tree, const std::string& path, const std::optional<stamp>& named, json& told) {
  edit_outcome outcome = edit_refusal::no_such_node;
  if (auto shown = tree.resolve(path)) {
    if (shown->entry.vid.is_zero())
      return call_failure{409, path + " is a folder that is there", "`harp rewind` brings a folder back to what it was"};
    auto version = version_meant(tree, *shown, named, path);
    if (auto* failure = std::get_if<call_failure>(&version))
      return *failure;
    outcome = edit.restore_version(shown->entry.lid, std::get<stamp>(version));
    told["restored_from"] = stamp_text(std::get<stamp>(version));
  } else if (auto dead = tree.in_trash(path)) {
    outcome = named ? edit.restore_version(dead->lid, *named) : edit.restore_deleted(dead->lid);
    told["restored_from"] = "trash";
  }
  if (auto* why = std::get_if<edit_refusal>(&outcome))
    return refused_edit(*why, path);
  const auto& done = std::get<edit_done>(outcome);
  told["path"] = tree.path_of(done.lid).value_or(path);
  if (!done.vid.is_zero())
    told["version"] = stamp_text(done.vid);
  return std::nullopt;
}

std::optional<call_failure> rewind_at(space_edit& edit, space_tree& tree, const std::string& path, uint64_t hlc, size_t& changed) {
  changed = 0;
  auto shown = tree.resolve(path);
  if (!shown)
    return call_failure{404, "there is nothing at " + path, "name a folder, or SPACE: for all of it; `harp restore` brings deleted ones back"};
  if (shown->entry.vid.is_zero()) {
    changed = edit.rewind(shown->entry.lid, hlc);
    return std::nullopt;
  }
  std::optional<history_entry> then;
  for (const auto& entry : tree.history(shown->entry.lid))
    if (entry.vid.hlc <= hlc)
      then = entry;
  if (!then)
    return call_failure{404, path + " did not exist at that time", "`harp history` shows its versions"};
  if (then->current)
    return std::nullopt;
  auto outcome = edit.restore_version(shown->entry.lid, then->vid);
  if (auto* why = std::get_if<edit_refusal>(&outcome))
    return refused_edit(*why, path);
  changed = 1;
  return std::nullopt;
}

json trash_of(const space_store& space) {
  json out = json::array();
  auto members = space.members();
  space.read([&](const read_txn&, space_rows& rows) {
    for (const auto& entry : space_tree{rows}.trash(UINT64_MAX, listed_max)) {
      auto author = author_of(*members, entry.died.rid, {});
      out.push_back({{"space", members->name()}, {"path", entry.path}, {"kind", name_of_kind(entry.kind)}, {"size", entry.size},
                     {"deleted", when(entry.died.hlc)}, {"by", author["device"]}, {"version", entry.vid.is_zero() ? std::string{} : stamp_text(entry.vid)}});
    }
  });
  return out;
}

// -- notices -----------------------------------------------------------------------------------------------------------------

/// What a notice is told with.
struct notice_facts {
  std::string space, path, who, at;
  std::string more;      // the fourth argument
  std::string overtaken; // the own version that is in history now
};

struct notice_words {
  std::string words, undo;
};

notice_words words_of(notice_code code, const notice_facts& f) {
  auto full = "'" + f.space + ":" + f.path + "'";
  switch (code) {
    case notice_code::edit_overtaken:
      return {f.path + ": your change was overtaken by " + f.who + ", " + f.at + "; it is in the history", "harp restore " + full + (f.overtaken.empty() ? "" : " --version " + f.overtaken)};
    case notice_code::move_overtaken:
      return {f.path + " was renamed by " + f.who + " too, " + f.at + "; you had wished for " + f.more, "rename it again"};
    case notice_code::files_joined:
      return {f.path + " was made here and by " + f.who + ", " + f.at + "; it is one file with both in its history", "harp history " + full + ", then harp restore with --version"};
    case notice_code::move_without_effect:
      return {f.path + " stayed where " + f.who + " put it, " + f.at + ": your move into " + f.more + " would have put a folder into itself", "move it again"};
    case notice_code::folder_kept:
      return {f.path + " was moved by one and deleted by another (" + f.who + ", " + f.at + "); the folder stays, " + f.more + " files are in Trash", "harp trash, then harp restore"};
    case notice_code::kept_after_delete:
      return {f.path + " was deleted here and changed by " + f.who + ", " + f.at + "; it stays", "delete it again"};
    case notice_code::name_taken_by_dir:
      return {f.path + " is the name of a folder of " + f.who + " too, " + f.at + "; your file shows as " + f.more, "rename it"};
    case notice_code::voided:
      return {f.path + ": changes of this device were cut away and made anew", ""};
    default:
      return {f.path, ""}; // the alert's own words
  }
}

std::string kind_of_notice(notice_code code) {
  constexpr const char* names[] = {"",           "edit overtaken",  "move overtaken",  "files joined", "move without effect", "folder kept",  "kept after delete", "name taken",
                                   "name unfit", "read only",       "held burst",      "offline",      "content waiting",     "content lost", "equivocation",      "clock ahead",
                                   "bad content", "voided",         "disk trouble",    "state differs"};
  auto number = static_cast<size_t>(code);
  return number < std::size(names) ? names[number] : "notice";
}

/// The newest own version that the other's made history.
std::string overtaken_version(space_tree& tree, local_id lid, replica_id own) {
  std::string out;
  for (const auto& entry : tree.history(lid))
    if (entry.vid.rid == own && (entry.flags & version_overtaken) != 0)
      out = stamp_text(entry.vid);
  return out;
}

json notices_of(const space_store& space) {
  json out = json::array();
  auto members = space.members();
  auto own = space.own();
  space.read([&](const read_txn&, space_rows& rows) {
    space_tree tree{rows};
    for (const auto& notice : rows.notices(notices_max)) {
      const auto& given = notice.arguments;
      notice_facts facts;
      facts.space = members->name();
      facts.path = given.empty() ? std::string{} : given[0];
      if (given.size() > 2) {
        auto other = author_of(*members, static_cast<replica_id>(std::strtoul(given[1].c_str(), nullptr, 10)), {});
        facts.who = other["device"].get<std::string>();
        facts.at = when(std::strtoull(given[2].c_str(), nullptr, 10));
      }
      facts.more = given.size() > 3 ? given[3] : std::string{};
      if (notice.code == notice_code::edit_overtaken)
        facts.overtaken = overtaken_version(tree, notice.node, own);
      auto told = words_of(notice.code, facts);
      bool has_path = given.size() > 1 || notice.code == notice_code::voided;
      out.push_back({{"space", facts.space}, {"at", when(notice.hlc)}, {"kind", kind_of_notice(notice.code)}, {"path", has_path ? facts.path : std::string{}},
                     {"words", told.words}, {"undo", told.undo}});
    }
  });
  return out;
}

} // namespace

answer_later call_history(storage_parts& in, json arguments) {
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto job = [where] { return history_of(where); };
  co_return co_await at_pool(in, std::move(job));
}

answer_later call_restore(storage_parts& in, json arguments) {
  auto text = text_argument(arguments, "version");
  auto named = parse_stamp(text);
  if (!text.empty() && !named)
    co_return wrong_usage(text + " is no version", "copy one from `harp history`");
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto told = std::make_shared<json>();
  bridge_storage::inside::edit_work work = [where, named, told](space_edit& edit, space_tree& tree, space_rows&) {
    *told = json{{"space", where.members->name()}, {"path", where.path}};
    return restore_at(edit, tree, where.path, named, *told);
  };
  auto answer = json::object();
  auto done = co_await in.edit(where.space->id(), work, answer);
  if (std::holds_alternative<call_failure>(done))
    co_return done;
  co_return *told;
}

answer_later call_rewind(storage_parts& in, json arguments) {
  auto now = in.plane->now_ms();
  auto text = text_argument(arguments, "time");
  auto then = parse_time_ms(text, now);
  if (!then || *then > now)
    co_return wrong_usage(text + " is no time that has been", "say for instance 2026-11-23T10:00:00Z, or 2h for two hours ago");
  auto hlc = hlc_of_ms(*then) | hlc_counter_bits;
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto changed = std::make_shared<size_t>(0);
  bridge_storage::inside::edit_work work = [where, hlc, changed](space_edit& edit, space_tree& tree, space_rows&) { return rewind_at(edit, tree, where.path, hlc, *changed); };
  auto answer = json{{"space", where.members->name()}, {"path", where.path}, {"to", time_text(*then)}};
  auto undo = "harp rewind '" + where.members->name() + ":" + where.path + "' --to " + time_text(now);
  auto done = co_await in.edit(where.space->id(), work, answer);
  if (std::holds_alternative<call_failure>(done))
    co_return done;
  answer["changed"] = *changed;
  answer["undo"] = undo;
  co_return answer;
}

answer_later call_trash(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "space");
  auto job = [name](node_store& all) -> call_result {
    auto spaces = spaces_meant(all, name);
    if (auto* failure = std::get_if<call_failure>(&spaces))
      return *failure;
    json list = json::array();
    for (const auto& space : std::get<0>(spaces))
      for (auto& entry : trash_of(*space))
        list.push_back(std::move(entry));
    return json{{"trash", std::move(list)}};
  };
  co_return co_await at_store(in, std::move(job));
}

answer_later call_notices(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "space");
  bool clear = flag_argument(arguments, "clear");
  auto job = [name, clear](node_store& all) -> call_result {
    auto spaces = spaces_meant(all, name);
    if (auto* failure = std::get_if<call_failure>(&spaces))
      return *failure;
    json list = json::array();
    for (const auto& space : std::get<0>(spaces)) {
      for (auto& entry : notices_of(*space))
        list.push_back(std::move(entry));
      if (clear)
        space->write([](write_txn&, space_rows& rows) { rows.erase_notices(); });
    }
    return clear ? json{{"cleared", list.size()}} : json{{"notices", std::move(list)}};
  };
  co_return co_await at_store(in, std::move(job));
}

} // namespace harp
