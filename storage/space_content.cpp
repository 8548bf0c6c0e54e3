#include "storage/space_content.hpp"

#include "storage/disk_actions.hpp"
#include "storage/folder_rows_lmdb.hpp"

#include <algorithm>
#include <cerrno>

namespace harp {

namespace {

/// A root record is stored like a chunk, under the content's own id.
chunk_id as_chunk(const content_id& cid) {
  chunk_id out;
  out.bytes = cid.bytes;
  return out;
}

} // namespace

void space_content::hold(std::shared_ptr<const safe_root> root) {
  std::lock_guard lock{mutex_};
  root_ = std::move(root);
}

std::shared_ptr<const safe_root> space_content::root() const {
  std::lock_guard lock{mutex_};
  return root_;
}

bool space_content::references(const content_id& cid) const {
  bool found = false;
  rows_->read([&](const read_txn&, space_rows& rows) { found = !rows.holders(cid, 1).empty(); });
  return found;
}

std::string space_content::root_record(const content_id& cid) const {
  std::string out;
  rows_->read([&](const read_txn&, space_rows& rows) { out = rows.root_record(cid); });
  return out.empty() ? segment(as_chunk(cid)) : out;
}

std::string space_content::segment(const chunk_id& id) const {
  auto got = packs_.get(id);
  auto* bytes = std::get_if<std::string>(&got);
  return bytes != nullptr ? std::move(*bytes) : std::string{};
}

std::variant<manifest_reader, std::string> space_content::manifest(const content_id& cid) const {
  auto record = root_record(cid);
  if (record.empty())
    return "its manifest is not on this device";
  auto parsed = parse_root(record);
  if (auto* why = std::get_if<std::string>(&parsed))
    return *why;
  return manifest_reader::open(record, cid, std::get<content_root>(parsed).size, [this](const chunk_id& id) { return segment(id); });
}

std::vector<in_place_file> space_content::files_with(const content_id& cid, const std::shared_ptr<const safe_root>& root) const {
  std::vector<in_place_file> out;
  if (!root)
    return out;
  rows_->read([&](const read_txn& txn, space_rows& rows) {
    folder_rows_lmdb base{txn};
    space_tree tree{rows};
    for (const auto& [lid, at] : rows.holders(cid, holders_tried_max)) {
      auto shown = tree.entry_of(lid); // the file on disk is kept under the first member of its slot
      auto row = base.base(shown ? shown->lid : lid);
      if (!row || row->content != prefix_of(cid))
        continue;
      auto path = base_path(base, shown ? shown->lid : lid);
      bool known = path && std::any_of(out.begin(), out.end(), [&](const in_place_file& file) { return file.path == *path; });
      if (path && !known)
        out.push_back({root.get(), *path, row->seen});
    }
  });
  return out;
}

chunk_answer space_content::read(const content_id& cid, const placed_chunk& chunk) const {
  auto root_now = root();
  auto under_way = expected(cid);
  content_places places;
  places.partial = under_way && under_way->file ? under_way->file.get() : nullptr;
  places.files = files_with(cid, root_now);
  places.packs = &packs_;
  return read_chunk(places, chunk);
}

bool space_content::is_here(const content_id& cid) const {
  if (auto under_way = expected(cid); under_way && under_way->complete)
    return true;
  auto root_now = root();
  if (!files_with(cid, root_now).empty())
    return true;
  auto chunks = manifest(cid);
  auto* all = std::get_if<manifest_reader>(&chunks);
  if (all == nullptr)
    return false;
  for (uint32_t no = 0; no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    if (!std::holds_alternative<placed_chunk>(chunk) || !packs_.has(std::get<placed_chunk>(chunk).ref.id))
      return false;
  }
  return true;
}

// -- downloads ---------------------------------------------------------------------------------------------------------------

bool space_content::expect(const content_id& cid, uint64_t size, std::string dir_path, std::string temp) {
  std::lock_guard lock{mutex_};
  if (downloads_.size() >= downloads_max && !downloads_.contains(cid))
    return false;
  auto [entry, fresh] = downloads_.try_emplace(cid);
  auto& one = entry->second;
  if (!fresh && (one.file || one.complete || one.temp.empty() || temp.empty()))
    return true; // under way already: others with this content are copied afterwards
  one.cid = cid;
  one.size = size;
  one.dir_path = std::move(dir_path);
  one.temp = std::move(temp);
  return true;
}

std::optional<download> space_content::expected(const content_id& cid) const {
  std::lock_guard lock{mutex_};
  auto found = downloads_.find(cid);
  return found == downloads_.end() ? std::nullopt : std::optional{found->second};
}

std::variant<std::shared_ptr<partial_file>, storage_failure> space_content::open_partial(const content_id& cid, uint32_t chunks) {
  auto one = expected(cid);
  auto root_now = root();
  if (one && one->temp.empty())
    return std::shared_ptr<partial_file>{};
  if (!one || !root_now)
    return storage_failure{ENOENT, "it is not wanted any more"};
  if (one->file)
    return one->file;
  auto opened = partial_file::open(*root_now, rows_->database(), {cid, one->size, chunks, one->dir_path, one->temp});
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  auto file = std::make_shared<partial_file>(std::move(std::get<partial_file>(opened)));
  std::lock_guard lock{mutex_};
  if (auto found = downloads_.find(cid); found != downloads_.end())
    found->second.file = file;
  return file;
}

std::string space_content::write(const content_id& cid, const placed_chunk& chunk, std::string_view bytes, bool whole) {
  auto one = expected(cid);
  auto root_now = root();
  if (one && one->temp.empty())
    return {}; // the same chunk twice in one content: the packs have it
  if (!one || !root_now)
    return "it is not wanted any more";
  if (whole) {
    do_place place;
    place.path = join_path(one->dir_path, one->temp);
    return write_small(*root_now, place, one->temp, bytes);
  }
  if (!one->file)
    return "its temp file is not open yet";
  auto failure = one->file->write(chunk, bytes);
  return failure ? failure->what : std::string{};
}

std::optional<partial_claim> space_content::claim_due(const content_id& cid) {
  auto one = expected(cid);
  if (!one || !one->file || one->file->complete() || !one->file->due(std::chrono::steady_clock::now()))
    return std::nullopt; // a complete file is synced with its group
  auto made = one->file->claim();
  auto* claim = std::get_if<partial_claim>(&made);
  return claim != nullptr ? std::optional{std::move(*claim)} : std::nullopt;
}

void space_content::record(const partial_claim& claim) {
  rows_->write([&](write_txn& txn, space_rows&) { store_claim(txn, claim); });
}

void space_content::completed(const content_id& cid) {
  std::lock_guard lock{mutex_};
  if (auto found = downloads_.find(cid); found != downloads_.end())
    found->second.complete = true;
}

void space_content::forget(const content_id& cid) {
  std::lock_guard lock{mutex_};
  downloads_.erase(cid);
}

std::vector<download> space_content::forget_all() {
  std::lock_guard lock{mutex_};
  std::vector<download> out;
  for (auto& [cid, one] : downloads_)
    out.push_back(std::move(one));
  downloads_.clear();
  return out;
}

std::vector<content_id> space_content::under_way() const {
  std::lock_guard lock{mutex_};
  std::vector<content_id> out;
  for (const auto& [cid, one] : downloads_)
    out.push_back(cid);
  return out;
}

std::vector<chunk_run> space_content::packed_runs(const content_id& cid) const {
  std::vector<chunk_run> out;
  auto chunks = manifest(cid);
  auto* all = std::get_if<manifest_reader>(&chunks);
  for (uint32_t no = 0; all != nullptr && no < all->root().chunks; ++no) {
    auto chunk = all->chunk(no);
    auto* placed = std::get_if<placed_chunk>(&chunk);
    if (placed == nullptr || !packs_.has(placed->ref.id))
      continue;
    if (!out.empty() && out.back().first + out.back().count == no)
      ++out.back().count;
    else
      out.push_back({no, 1});
  }
  return out;
}

} // namespace harp
