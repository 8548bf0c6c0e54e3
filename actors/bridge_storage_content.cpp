// Contents through the API: `cat` and `get` read a file piece by piece, also one that is still arriving.
#include "actors/bridge_storage_handles.hpp"
#include "actors/random_id.hpp"

#include <boost/asio/steady_timer.hpp>
#include <caf/send.hpp>

#include <unistd.h>

namespace harp {

// -- handles -----------------------------------------------------------------------------------------------------------------

namespace {

/// Drops what nobody used for long. With the mutex held.
void expire(storage_parts& in) {
  auto now = std::chrono::steady_clock::now();
  std::erase_if(in.files, [now](const auto& entry) {
    if (now - entry.second->used < open_file_life)
      return false;
    if (!entry.second->put_temp.empty())
      ::unlink(entry.second->put_temp.c_str());
    return true;
  });
}

} // namespace

std::string add_file(storage_parts& in, const open_ptr& file) {
  std::lock_guard lock{in.mutex};
  expire(in);
  if (in.files.size() >= open_files_max)
    return {};
  auto handle = random_hex(handle_random_bytes);
  file->used = std::chrono::steady_clock::now();
  in.files[handle] = file;
  return handle;
}

open_ptr find_file(storage_parts& in, const std::string& handle) {
  std::lock_guard lock{in.mutex};
  expire(in);
  auto found = in.files.find(handle);
  if (found == in.files.end())
    return nullptr;
  found->second->used = std::chrono::steady_clock::now();
  return found->second;
}

call_failure no_handle() {
  return {404, "that file is not open any more", "run the command again"};
}

call_failure too_many_files() {
  return {503, std::to_string(open_files_max) + " files are open already", "try again when others are done"};
}

web::call_answer failed(const call_failure& failure) {
  json body{{"error", failure.error}, {"next", failure.next}};
  return {failure.status, body.dump(2, ' ', false, json::error_handler_t::replace) + "\n"};
}

net::asio::awaitable<void> pause_for_arrival(storage_parts& in) {
  net::asio::steady_timer timer{in.seam.loops().here().io()};
  timer.expires_after(arrival_poll_interval);
  co_await timer.async_wait(net::nothrow);
}

// -- reading -----------------------------------------------------------------------------------------------------------------

namespace {

/// Bytes at `offset` up to the end of their chunk, or nothing while they are not here.
std::optional<std::string> bytes_here(storage_parts::open_file& file, uint64_t offset, uint64_t length) {
  if (!file.manifest) {
    auto opened = file.content->manifest(file.cid);
    auto* all = std::get_if<manifest_reader>(&opened);
    if (all == nullptr)
      return std::nullopt;
    file.manifest = std::make_shared<manifest_reader>(std::move(*all));
  }
  auto chunk = file.manifest->chunk_at(offset);
  auto* placed = std::get_if<placed_chunk>(&chunk);
  auto bytes = placed != nullptr ? file.content->read(file.cid, *placed) : chunk_answer{chunk_refusal{}};
  auto* good = std::get_if<std::string>(&bytes);
  if (good == nullptr)
    return std::nullopt;
  return good->substr(offset - placed->offset, length);
}

/// A reader waits for it: its chunks come before everybody's else, into the folder's file or else into the packs.
void wish_for(storage_parts& in, const storage_parts::open_file& file) {
  auto now = in.handles();
  auto found = now.find(file.space);
  if (found == now.end() || !found->second.swarm || !file.content->expect(file.cid, file.size, {}, {}))
    return;
  content_want want;
  want.cid = file.cid;
  want.size = file.size;
  want.cls = transfer_class::deadline;
  want.author = file.vid.rid;
  want.edited_hlc = file.vid.hlc;
  auto wants = std::make_shared<std::vector<content_want>>();
  wants->push_back(std::move(want));
  caf::anon_send(found->second.swarm, content_wish{wants, nullptr});
}

/// What came for a reader alone is in the packs now; nobody has to remember where it was going.
void settle_arrival(const storage_parts::open_file& file) {
  if (auto under_way = file.content->expected(file.cid); under_way && under_way->complete && under_way->temp.empty())
    file.content->forget(file.cid);
}

net::asio::awaitable<std::string> waits_of(storage_parts& in, open_ptr file) {
  auto now = in.handles();
  auto found = now.find(file->space);
  if (found == now.end() || !found->second.swarm)
    co_return "this node to run: `harp serve`";
  auto report = co_await ask<swarm_report>(in.seam.system(), found->second.swarm, ask_limit, report_atom_v);
  auto members = in.plane->rosters->of(file->space);
  if (report)
    for (const auto& line : *report->waits)
      if (line.cid == file->cid) {
        auto* peer = members ? members->member(line.peer) : nullptr;
        co_return std::string{to_string(line.reason)} + (peer != nullptr ? ", " + peer->name : "") + ", " + std::to_string(line.bytes_had) + " of " + std::to_string(line.size) + " bytes are here";
      }
  co_return "members that have it";
}

} // namespace

answer_later call_open(storage_parts& in, json arguments) {
  auto found = co_await kept_path_of(in, std::move(arguments));
  if (auto* failure = std::get_if<call_failure>(&found))
    co_return *failure;
  auto where = std::get<kept_path>(found);
  auto file = std::make_shared<storage_parts::open_file>();
  file->space = where.space->id();
  file->content = where.content;
  auto opened_job = [where, file]() -> call_result {
    std::optional<shown_entry> entry;
    where.space->read([&](const read_txn&, space_rows& rows) {
      if (auto shown = space_tree{rows}.resolve(where.path))
        entry = shown->entry;
    });
    if (!entry || entry->vid.is_zero())
      return call_failure{entry ? 409 : 404, entry ? where.path + " is a folder" : "there is nothing at " + where.path, "`harp ls` shows what there is"};
    file->cid = entry->cid;
    file->vid = entry->vid;
    file->size = entry->size;
    return json{{"space", where.members->name()}, {"path", where.path}, {"size", entry->size}, {"version", stamp_text(entry->vid)}, {"kind", name_of_kind(entry->kind)}};
  };
  auto opened = co_await at_pool(in, std::move(opened_job));
  if (std::holds_alternative<call_failure>(opened))
    co_return opened;
  auto answer = std::get<json>(opened);
  auto handle = add_file(in, file);
  if (handle.empty())
    co_return too_many_files();
  answer["handle"] = handle;
  co_return answer;
}

net::asio::awaitable<web::call_answer> bridge_storage::read_content(std::string handle, uint64_t offset, uint64_t length) {
  auto& in = *inside_;
  auto file = find_file(in, handle);
  if (!file || !file->content)
    co_return failed(no_handle());
  if (offset >= file->size)
    co_return failed(call_failure{416, "the file ends before that offset", "it has " + std::to_string(file->size) + " bytes"});
  auto until = std::chrono::steady_clock::now() + arrival_wait_max;
  bool wished = false;
  for (;;) {
    auto bytes = std::make_shared<std::string>();
    auto read_job = [file, bytes, offset, length]() -> call_result {
      std::lock_guard lock{file->reading}; // one handle may be read by several requests
      if (auto here = bytes_here(*file, offset, length))
        *bytes = std::move(*here);
      settle_arrival(*file);
      return json::object();
    };
    auto read = co_await at_pool(in, std::move(read_job));
    if (auto* failure = std::get_if<call_failure>(&read))
      co_return failed(*failure);
    if (!bytes->empty())
      co_return web::call_answer{200, std::move(*bytes), true};
    if (!wished)
      wish_for(in, *file);
    wished = true;
    if (std::chrono::steady_clock::now() >= until)
      break;
    co_await pause_for_arrival(in);
  }
  auto waits = co_await waits_of(in, file);
  co_return failed(call_failure{504, "bytes at " + std::to_string(offset) + " have not come within a minute; waiting for " + waits, "`harp copies` shows who has it; run the command again"});
}

} // namespace harp
