#include "storage/chunk_reuse.hpp"

#include "storage/folder_rows_lmdb.hpp"

#include <optional>
#include <set>
#include <unordered_map>

namespace harp {

namespace {

/// The content that stands on disk as `lid`.
std::optional<content_id> content_on_disk(space_rows& rows, folder_rows& base, local_id lid) {
  auto row = base.base(lid);
  auto version = row ? rows.version(lid, row->vid) : std::nullopt;
  if (!version || prefix_of(version->cid) != row->content)
    return std::nullopt;
  return version->cid;
}

std::vector<placed_chunk> chunks_of(const space_content& content, const content_id& cid) {
  std::vector<placed_chunk> out;
  auto opened = content.manifest(cid);
  auto* all = std::get_if<manifest_reader>(&opened);
  if (all == nullptr || all->root().chunks < 2)
    return out;
  out.reserve(all->root().chunks);
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    if (!std::holds_alternative<placed_chunk>(chunk))
      return {};
    out.push_back(std::get<placed_chunk>(chunk));
  }
  return out;
}

void add_run(std::vector<chunk_run>& runs, uint32_t no) {
  if (!runs.empty() && runs.back().first + runs.back().count == no)
    ++runs.back().count;
  else
    runs.push_back({no, 1});
}

} // namespace

std::vector<reusable_chunk> chunk_reuse::find(const content_id& cid, uint32_t space, uint32_t first, const std::vector<chunk_ref>& chunks) const {
  std::vector<reusable_chunk> out;
  auto opened = content_->manifest(cid);
  auto* wanted = std::get_if<manifest_reader>(&opened);
  if (wanted == nullptr || wanted->root().chunks < 2)
    return out;
  std::set<content_id> replaced; // what stands where this content is to go
  std::map<local_id, std::optional<content_id>> known;
  rows_->read([&](const read_txn& txn, space_rows& rows) {
    folder_rows_lmdb base{txn};
    for (const auto& [lid, at] : rows.holders(cid, holders_tried_max))
      if (auto old = content_on_disk(rows, base, lid); old && *old != cid)
        replaced.insert(*old);
  });
  std::unordered_map<chunk_id, std::pair<content_id, placed_chunk>> at_hand;
  std::set<content_id> listed;
  auto list = [&](const content_id& from) {
    if (from != cid && listed.insert(from).second)
      for (const auto& chunk : chunks_of(*content_, from))
        at_hand.try_emplace(chunk.ref.id, from, chunk);
  };
  for (const auto& old : replaced)
    list(old);
  for (uint32_t i = 0; i < chunks.size(); ++i) {
    auto placed = wanted->chunk(first + i);
    auto* to = std::get_if<placed_chunk>(&placed);
    if (to == nullptr || to->ref.id != chunks[i].id)
      break;
    if (!at_hand.contains(to->ref.id) && space != 0)
      for (const auto& place : index_.locations(to->ref.id, reuse_places_tried_max)) {
        if (place.space != space || known.contains(place.lid))
          continue;
        rows_->read([&](const read_txn& txn, space_rows& rows) {
          folder_rows_lmdb base{txn};
          known[place.lid] = content_on_disk(rows, base, place.lid);
        });
        if (known[place.lid])
          list(*known[place.lid]);
      }
    if (auto found = at_hand.find(to->ref.id); found != at_hand.end())
      out.push_back({*to, found->second.first, found->second.second});
    else if (packs_.has(to->ref.id))
      out.push_back({*to, {}, *to});
  }
  return out;
}

std::vector<chunk_run> chunk_reuse::copy(const content_id& cid, const std::vector<reusable_chunk>& what) const {
  std::vector<chunk_run> failed;
  for (const auto& one : what) {
    bool packed = one.from_content.is_zero();
    auto bytes = content_->read(packed ? cid : one.from_content, one.from);
    auto* good = std::get_if<std::string>(&bytes);
    if (good == nullptr || !content_->write(cid, one.to, *good, false).empty())
      add_run(failed, one.to.no);
  }
  return failed;
}

bool chunk_reuse::settle(const content_id& cid) const {
  auto under_way = content_->expected(cid);
  if (!under_way || !under_way->file)
    return true; // one chunk, or it goes to the packs
  auto& file = *under_way->file;
  auto opened = content_->manifest(cid);
  auto* all = std::get_if<manifest_reader>(&opened);
  if (all == nullptr)
    return false;
  for (uint32_t no = file.next_unchecked(0); no < all->root().chunks; no = file.next_unchecked(no)) {
    auto chunk = all->chunk(no);
    if (auto* placed = std::get_if<placed_chunk>(&chunk))
      file.check(*placed);
    else
      file.drop(no);
  }
  return file.complete();
}

// -- rows --------------------------------------------------------------------------------------------------------------------

namespace {

struct moved_content {
  local_id lid = 0;
  stamp before, after; // zero: none
};

/// What an action that was done changed on disk; nothing when no file's bytes.
std::optional<moved_content> moved_by(const finished_action& one) {
  if (!one.result.done)
    return std::nullopt;
  if (auto* place = std::get_if<do_place>(&one.action))
    return moved_content{place->lid, place->displaced == place->lid ? place->displaced_vid : stamp{}, place->vid};
  if (auto* edit = std::get_if<emit_edit>(&one.action))
    return moved_content{edit->lid, edit->base, one.result.vid};
  if (std::holds_alternative<emit_create>(one.action) && !one.result.vid.is_zero())
    return moved_content{one.result.lid, {}, one.result.vid};
  if (auto* gone = std::get_if<do_remove_file>(&one.action))
    return moved_content{gone->lid, gone->vid, {}};
  return std::nullopt;
}

} // namespace

void note_places(chunk_index& index, const space_id& space, const space_store& rows, const space_content& content, const std::vector<finished_action>& finished) {
  std::vector<std::pair<local_id, std::pair<std::optional<content_id>, std::optional<content_id>>>> changed;
  rows.read([&](const read_txn&, space_rows& all) {
    auto cid_of = [&](local_id lid, const stamp& vid) -> std::optional<content_id> {
      auto version = vid.is_zero() ? std::nullopt : all.version(lid, vid);
      if (!version || version->size <= cut_bytes_min) // one chunk
        return std::nullopt;
      return version->cid;
    };
    for (const auto& one : finished) {
      auto moved = moved_by(one);
      if (!moved)
        continue;
      auto before = cid_of(moved->lid, moved->before), after = cid_of(moved->lid, moved->after);
      if ((before || after) && before != after)
        changed.emplace_back(moved->lid, std::pair{before, after});
    }
  });
  if (changed.empty())
    return;
  auto number = index.space_number(space);
  if (!number)
    return;
  for (const auto& [lid, contents] : changed) {
    auto old = contents.first ? chunks_of(content, *contents.first) : std::vector<placed_chunk>{};
    auto fresh = contents.second ? chunks_of(content, *contents.second) : std::vector<placed_chunk>{};
    for (const auto& chunk : old)
      if (chunk.no >= fresh.size() || fresh[chunk.no].ref.id != chunk.ref.id)
        index.remove_location(chunk.ref.id, {*number, lid, chunk.no});
    for (const auto& chunk : fresh)
      if (chunk.no >= old.size() || old[chunk.no].ref.id != chunk.ref.id)
        index.add_location(chunk.ref.id, {*number, lid, chunk.no});
  }
}

} // namespace harp
