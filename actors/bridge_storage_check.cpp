// verify and repair: do the rows agree with each other, the folder with the rows, and every byte with its hash?
#include "actors/bridge_pool.hpp"
#include "actors/bridge_storage_calls.hpp"
#include "storage/folder_rows_lmdb.hpp"
#include "storage/refold.hpp"
#include "storage/space_apply.hpp"
#include "storage/state_root.hpp"

#include <caf/send.hpp>

namespace harp {

namespace {

constexpr size_t problems_told_max = 1000;

/// What is wrong with a file of the folder.
enum class fault : uint8_t {
  damaged,     // nobody touched it, but its bytes have another hash
  no_manifest, // its chunks cannot be told
  no_node,     // the folder remembers what metadata do not know
};

struct finding {
  local_id lid = 0;
  std::string path;
  fault what = fault::damaged;
  std::string words;
};

/// One space looked at.
struct inspection {
  std::shared_ptr<space_store> space;
  std::shared_ptr<space_content> content;
  std::string name;
  digest256 kept_root, counted_root;
  uint64_t files = 0, bytes = 0;
  uint64_t pending = 0; // not on disk yet, or touched since: the folder's work, no fault
  bool offline = false;
  std::vector<finding> findings;
};

/// A file as metadata and folder know it.
struct known_file {
  local_id lid = 0;
  std::string path;
  content_id cid;
  base_row base;
};

std::string words_of(fault what) {
  switch (what) {
    case fault::damaged:
      return "nobody changed it, but its bytes have another hash: the disk lost them";
    case fault::no_manifest:
      return "the list of its chunks is not on this device";
    case fault::no_node:
      return "the folder remembers a file that metadata do not know";
  }
  return {};
}

/// Files the folder holds in their current version; the rest is pending.
std::vector<known_file> known_files(inspection& look) {
  std::vector<known_file> out;
  look.space->read([&](const read_txn& txn, space_rows& rows) {
    folder_rows_lmdb base{txn};
    space_tree tree{rows};
    std::vector<local_id> lids;
    txn.each_from(table::disk, row_key::lid(0), [&](std::string_view key, std::string_view) {
      lids.push_back(key_lid(key));
      return true;
    });
    for (auto lid : lids) {
      auto row = base.base(lid);
      if (!row || lid == root_lid)
        continue;
      if (!rows.node(lid)) {
        look.findings.push_back({lid, row->disk_name, fault::no_node, words_of(fault::no_node)});
        continue;
      }
      auto entry = row->kind == node_kind::dir ? std::nullopt : tree.entry_of(lid);
      auto path = base_path(base, lid);
      if (row->kind == node_kind::dir)
        continue;
      if (entry && path && entry->lid == lid && prefix_of(entry->cid) == row->content)
        out.push_back({lid, *path, entry->cid, *row});
      else
        ++look.pending;
    }
  });
  return out;
}

std::optional<fault> check_file(const inspection& look, const safe_root& root, const known_file& file, bool& changed) {
  auto chunks = look.content->manifest(file.cid);
  auto* all = std::get_if<manifest_reader>(&chunks);
  if (all == nullptr)
    return fault::no_manifest;
  in_place_file place{&root, file.path, file.base.seen};
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    auto* placed = std::get_if<placed_chunk>(&chunk);
    if (placed == nullptr)
      return fault::no_manifest;
    auto bytes = read_in_place(place, *placed);
    auto* trouble = std::get_if<chunk_refusal>(&bytes);
    if (trouble == nullptr)
      continue;
    changed = trouble->why == chunk_trouble::changed || trouble->why == chunk_trouble::absent;
    return changed ? std::nullopt : std::optional{fault::damaged};
  }
  return std::nullopt;
}

/// Reads everything. In the pool.
void inspect(inspection& look) {
  look.space->read([&](const read_txn&, space_rows& rows) {
    look.kept_root = state_root(rows);
    look.counted_root = recount_state_root(rows);
  });
  auto files = known_files(look);
  auto root = look.content->root();
  look.offline = root == nullptr && !files.empty();
  if (!root)
    return;
  for (const auto& file : files) {
    bool changed = false;
    if (file.base.kind == node_kind::symlink)
      continue; // its text is compared by the folder's scan
    auto wrong = check_file(look, *root, file, changed);
    if (wrong)
      look.findings.push_back({file.lid, file.path, *wrong, words_of(*wrong)});
    look.pending += changed ? 1 : 0;
    ++look.files;
    look.bytes += file.base.seen.size;
  }
}

using inspections = std::vector<std::shared_ptr<inspection>>;

/// All spaces meant, inspected.
net::asio::awaitable<std::variant<inspections, call_failure>> inspect_all(storage_parts& in, std::string name) {
  auto looks = std::make_shared<inspections>();
  auto* parts = &in;
  auto found_job = [parts, name, looks](node_store& all) -> call_result {
    auto spaces = spaces_meant(all, name);
    if (auto* failure = std::get_if<call_failure>(&spaces))
      return *failure;
    for (const auto& space : std::get<0>(spaces)) {
      auto look = std::make_shared<inspection>();
      look->space = space;
      look->content = contents_for(*parts, all, space->id());
      look->name = space->members()->name();
      looks->push_back(std::move(look));
    }
    return json::object();
  };
  auto found = co_await at_store(in, std::move(found_job));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  for (const auto& look : *looks) {
    auto done_job = [look]() -> call_result {
      inspect(*look);
      return json::object();
    };
    auto done = co_await at_pool(in, std::move(done_job));
    if (auto* failure = std::get_if<call_failure>(&done))
      co_return *failure;
  }
  co_return std::move(*looks);
}

/// Everything in the packs, read and compared with its hash.
net::asio::awaitable<call_result> check_packs(storage_parts& in) {
  auto packs = std::make_shared<pack_store*>(nullptr);
  auto job = [packs](node_store& all) -> call_result {
    *packs = &all.packs();
    return json::object();
  };
  co_await at_store(in, std::move(job));
  auto read_job = [packs]() -> call_result {
    uint64_t chunks = 0;
    json damaged = json::array();
    for (auto number : (*packs)->packs()) {
      auto entries = (*packs)->entries(number);
      if (auto* failure = std::get_if<storage_failure>(&entries)) {
        damaged.push_back("pack " + std::to_string(number) + ": " + failure->what);
        continue;
      }
      for (const auto& entry : std::get<0>(entries)) {
        ++chunks;
        auto bytes = (*packs)->read(number, entry);
        if (auto* failure = std::get_if<storage_failure>(&bytes); failure != nullptr && damaged.size() < problems_told_max)
          damaged.push_back("pack " + std::to_string(number) + ": " + failure->what);
      }
    }
    return json{{"chunks", chunks}, {"damaged", damaged}};
  };
  co_return co_await at_pool(in, std::move(read_job));
}

void tell(const inspection& look, json& spaces, json& problems) {
  bool agree = look.kept_root == look.counted_root;
  spaces.push_back({{"space", look.name}, {"state_root", look.kept_root.to_string()}, {"state_root_ok", agree}, {"files", look.files},
                    {"bytes", look.bytes}, {"pending", look.pending}, {"problems", look.findings.size() + (agree ? 0 : 1)}});
  if (!agree)
    problems.push_back({{"space", look.name}, {"path", ""}, {"problem", "the state root is not what the rows add up to"}});
  if (look.offline)
    problems.push_back({{"space", look.name}, {"path", ""}, {"problem", "its folder is not there: files were not looked at"}});
  for (const auto& one : look.findings)
    if (problems.size() < problems_told_max)
      problems.push_back({{"space", look.name}, {"path", one.path}, {"problem", one.words}});
}

// -- repair ------------------------------------------------------------------------------------------------------------------

/// Chunks of an intact file are cut again to have their list.
bool make_manifest(const inspection& look, const finding& one, node_store& all) {
  auto root = look.content->root();
  std::optional<base_row> row;
  std::optional<shown_entry> entry;
  look.space->read([&](const read_txn& txn, space_rows& rows) {
    row = folder_rows_lmdb{txn}.base(one.lid);
    entry = space_tree{rows}.entry_of(one.lid);
  });
  if (!root || !row || !entry)
    return false;
  auto again = read_for_emission(*root, one.path, node_kind::file, row->seen);
  if (!again.error.empty() || again.content.cid != entry->cid)
    return false;
  for (const auto& [id, bytes] : again.segments)
    if (auto failure = all.packs().put(id, bytes))
      throw *failure;
  chunk_id record;
  record.bytes = entry->cid.bytes;
  if (auto failure = all.packs().put(record, again.record.empty() ? again.content.root : again.record))
    throw *failure;
  if (auto failure = all.packs().sync())
    throw *failure;
  return true;
}

/// The row says: what stands there is no version anybody made. The planner then has the wanted one brought, and replaces
/// the file only when all of it has come and was verified.
void want_again(space_store& space, local_id lid, bool forget) {
  space.write([&](write_txn& txn, space_rows&) {
    folder_rows_lmdb base{txn};
    auto row = base.base(lid);
    if (!row)
      return;
    if (forget)
      return base.erase_base(lid);
    row->vid = {};
    row->content = {};
    base.put_base(lid, *row);
    base.mark_dirty(lid, dirty_content);
  });
}

json mend(const inspection& look, node_store& all) {
  json done = json::array();
  if (auto rows = refold_space(*look.space); rows > 0)
    done.push_back({{"space", look.name}, {"path", ""}, {"repaired", std::to_string(rows) + " entries were not what their history says and were folded anew"}});
  if (look.kept_root != look.counted_root && look.space->recount())
    done.push_back({{"space", look.name}, {"path", ""}, {"repaired", "the state root was counted anew"}});
  for (const auto& one : look.findings) {
    std::string how;
    if (one.what == fault::no_manifest && make_manifest(look, one, all)) {
      how = "its chunks were listed anew";
    } else {
      want_again(*look.space, one.lid, one.what == fault::no_node);
      how = one.what == fault::no_node ? "forgotten; a file that stands there is looked at anew" : "it is fetched again; the damaged file stays until that is done";
    }
    if (done.size() < problems_told_max)
      done.push_back({{"space", look.name}, {"path", one.path}, {"repaired", how}});
  }
  return done;
}

} // namespace

answer_later call_verify(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "space");
  auto looked = co_await inspect_all(in, name);
  if (auto* failure = std::get_if<call_failure>(&looked))
    co_return *failure;
  json spaces = json::array();
  json problems = json::array();
  for (const auto& look : std::get<inspections>(looked))
    tell(*look, spaces, problems);
  json answer{{"spaces", spaces}};
  if (name.empty()) {
    auto packs = co_await check_packs(in);
    if (auto* failure = std::get_if<call_failure>(&packs))
      co_return *failure;
    answer["stored_chunks"] = std::get<json>(packs)["chunks"];
    for (const auto& words : std::get<json>(packs)["damaged"])
      problems.push_back({{"space", ""}, {"path", ""}, {"problem", words}});
  }
  answer["problems"] = problems;
  co_return answer;
}

answer_later call_repair(storage_parts& in, json arguments) {
  auto name = text_argument(arguments, "space");
  auto looked = co_await inspect_all(in, name);
  if (auto* failure = std::get_if<call_failure>(&looked))
    co_return *failure;
  json repaired = json::array();
  for (const auto& look : std::get<inspections>(looked)) {
    auto mended_job = [look](node_store& all) -> call_result { return mend(*look, all); };
    auto mended = co_await at_store(in, std::move(mended_job));
    if (auto* failure = std::get_if<call_failure>(&mended))
      co_return *failure;
    for (const auto& one : std::get<json>(mended))
      repaired.push_back(one);
    auto now = in.handles();
    if (auto found = now.find(look->space->id()); found != now.end() && found->second.folder)
      caf::anon_send(found->second.folder, scan_atom_v);
  }
  co_return json{{"repaired", repaired}};
}

// -- scrub of files ----------------------------------------------------------------------------------------------------------

namespace {

constexpr uint64_t scrub_step_bytes = 16u << 20; // about one file more: read, then others come first
constexpr size_t scrub_step_files = 256;
constexpr std::string_view scrubbed_key = "files_scrubbed";

struct scrub_step {
  size_t looked = 0;
  std::vector<std::pair<local_id, std::string>> damaged;
  std::vector<std::string> sound;
};

/// The next few files that this device holds, read and compared. In the pool.
scrub_step scrub_some(const inspection& look, const std::vector<local_id>& lids, size_t from) {
  scrub_step out;
  auto root = look.content->root();
  uint64_t bytes = 0;
  while (root && from + out.looked < lids.size() && out.looked < scrub_step_files && bytes < scrub_step_bytes) {
    auto lid = lids[from + out.looked++];
    std::optional<known_file> file;
    look.space->read([&](const read_txn& txn, space_rows& rows) {
      folder_rows_lmdb base{txn};
      auto row = base.base(lid);
      auto entry = row && row->kind == node_kind::file && rows.node(lid) ? space_tree{rows}.entry_of(lid) : std::nullopt;
      auto path = entry ? base_path(base, lid) : std::nullopt;
      if (path && entry->lid == lid && prefix_of(entry->cid) == row->content)
        file = known_file{lid, *path, entry->cid, *row};
    });
    if (!file)
      continue;
    bytes += file->base.seen.size;
    bool changed = false;
    auto wrong = check_file(look, *root, *file, changed);
    if (wrong == fault::damaged)
      out.damaged.emplace_back(lid, file->path);
    else if (!wrong && !changed)
      out.sound.push_back(file->path);
  }
  return out;
}

std::vector<local_id> files_of(const space_store& space, uint64_t& scrubbed_ms) {
  std::vector<local_id> out;
  space.read([&](const read_txn& txn, space_rows&) {
    if (auto last = txn.get(table::conf, scrubbed_key); last && last->size() == 8)
      scrubbed_ms = key_number(*last, 0, 8);
    txn.each_from(table::disk, row_key::lid(0), [&](std::string_view key, std::string_view) {
      out.push_back(key_lid(key));
      return true;
    });
  });
  return out;
}

} // namespace

/// Users' files are never touched by this: a damaged one is replaced by the folder once its content came whole.
net::asio::awaitable<void> bridge_storage::inside::scrub_files() {
  auto now_handles = handles();
  for (const auto& [id, known] : now_handles) {
    auto look = std::make_shared<inspection>();
    look->content = content_of(id);
    if (!known.folder || !look->content || !look->content->root())
      continue;
    auto& pass = passes[id];
    auto now = plane->now_ms();
    auto every = static_cast<uint64_t>(settings.storage_scrub_every.count());
    if (pass.known && pass.lids.empty() && now < pass.done_ms + every)
      continue;
    auto space_id_now = id;
    auto found_job = [space_id_now, look](node_store& all) {
      look->space = all.share(space_id_now);
      return true;
    };
    auto found = co_await on_store(std::move(found_job));
    if (std::holds_alternative<call_failure>(found) || !look->space)
      continue;
    if (pass.lids.empty()) {
      uint64_t last = 0;
      auto lids = files_of(*look->space, last);
      bool due = now >= std::max(last, pass.done_ms) + every;
      pass.known = true;
      pass.done_ms = std::max(last, pass.done_ms);
      pass.next = 0;
      if (!due || lids.empty())
        continue;
      pass.lids = std::move(lids);
    }
    auto lids = std::make_shared<const std::vector<local_id>>(pass.lids);
    auto from = pass.next;
    auto job = [look, lids, from] { return scrub_some(*look, *lids, from); };
    auto looked = co_await in_pool(plane->pool, std::move(job));
    if (!looked)
      co_return;
    pass.next += looked->looked;
    bool done = pass.next >= pass.lids.size() || looked->looked == 0;
    {
      std::lock_guard lock{mutex};
      for (const auto& path : looked->sound)
        damaged_files.erase({id, path});
    }
    for (const auto& [lid, path] : looked->damaged) {
      {
        std::lock_guard lock{mutex};
        if (!damaged_files.insert({id, path}).second)
          continue;
      }
      ++scrub_errors;
      notice(id, notice_code::disk_trouble, lid, path + " was damaged by the disk; it is fetched again from members, the damaged file stays until that is done");
    }
    auto damaged = looked->damaged;
    auto settle_job = [look, damaged, done, now](node_store&) {
      for (const auto& [lid, path] : damaged)
        want_again(*look->space, lid, false);
      if (done)
        look->space->write([now](write_txn& txn, space_rows&) { txn.put(table::conf, scrubbed_key, row_key{}.u64(now)); });
      return true;
    };
    if (done || !damaged.empty())
      co_await on_store(std::move(settle_job));
    if (!damaged.empty())
      caf::anon_send(known.folder, scan_atom_v);
    if (done) {
      pass.lids.clear();
      pass.done_ms = now;
    }
  }
}

} // namespace harp
