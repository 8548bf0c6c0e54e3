#include "storage/pack_store.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr const char* pack_suffix = ".pack";

pack_row row_of(uint32_t pack, const pack_entry& entry) {
  return {pack, entry.offset, entry.length, 0, 0};
}

} // namespace

fs::path pack_store::path_of(uint32_t pack) const {
  auto digits = std::to_string(pack);
  return dir_ / (std::string(10 - std::min<size_t>(digits.size(), 10), '0') + digits + pack_suffix);
}

std::vector<uint32_t> pack_store::packs() const {
  std::vector<uint32_t> out; // one per 256 MiB
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir_, ec)) {
    auto name = entry.path().stem().string();
    uint32_t number = 0;
    auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (bad == std::errc{} && end == name.data() + name.size()
        && entry.path().extension() == pack_suffix)
      out.push_back(number);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// -- opening --------------------------------------------------------------------------------------

std::variant<std::unique_ptr<pack_store>, storage_failure>
pack_store::open(const fs::path& dir, chunk_index& index, uint32_t pack_bytes) {
  std::error_code ec;
  fs::create_directories(dir, ec);
  if (ec)
    return storage_failure{ec.value(), "cannot create " + dir.string() + ": " + ec.message()};
  std::unique_ptr<pack_store> store(new pack_store(dir, index, pack_bytes));
  if (auto failure = store->recover())
    return *failure;
  index.set_before([raw = store.get()] { return raw->sync(); });
  return store;
}

pack_store::~pack_store() {
  index_.set_before({});
}

std::optional<storage_failure> pack_store::recover() {
  auto all = packs();
  auto mark = index_.mark();
  for (auto number : all) {
    if (mark && number < mark->pack)
      continue;
    bool at_mark = mark && number == mark->pack;
    bool last = number == all.back() && mark.has_value();
    if (auto failure = recover_pack(number, at_mark ? mark->end : pack_start_bytes, last))
      return failure;
    if (index_.due(std::chrono::steady_clock::now()))
      if (auto failure = index_.flush())
        return failure;
  }
  if (!writing_)
    if (auto failure = start_pack(all.empty() ? 1 : all.back() + 1))
      return failure;
  index_.set_mark({current_, writing_->written()});
  return index_.flush();
}

/// A record found in a pack: the index learns of it unless it knows another sound one.
void pack_store::take_row(uint32_t pack, const pack_entry& entry) {
  if (!has(entry.id))
    index_.put_pack(entry.id, row_of(pack, entry));
}

/// Indexes the records from `from` on. The last pack goes on being written, after its torn tail is cut; but what lies
/// before the mark was durable and is never cut, however damaged.
std::optional<storage_failure> pack_store::recover_pack(uint32_t pack, uint32_t from, bool last) {
  auto opened = pack_file::open(path_of(pack), last);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  auto& file = std::get<pack_file>(opened);
  if (auto listed = file.index()) {
    for (const auto& entry : *listed)
      if (entry.offset >= from)
        take_row(pack, entry);
    return std::nullopt;
  }
  std::vector<pack_entry> before;
  auto known = file.scan(pack_start_bytes, false, [&](const pack_entry& entry) {
    if (entry.offset < from && before.size() < pack_entries_max)
      before.push_back(entry);
  });
  auto found = file.scan(from, true, [&](const pack_entry& entry) {
    if (before.size() < pack_entries_max)
      before.push_back(entry);
    take_row(pack, entry);
  });
  if (!last || known.good_until < from)
    return std::nullopt; // left as it is; the next pack takes what comes
  auto failure = file.resume(found.good_until, std::move(before));
  if (!failure)
    failure = file.sync();
  if (failure)
    return failure;
  writing_.emplace(std::move(file));
  current_ = pack;
  return std::nullopt;
}

std::optional<storage_failure> pack_store::start_pack(uint32_t pack) {
  auto made = pack_file::create(path_of(pack));
  if (auto* failure = std::get_if<storage_failure>(&made))
    return *failure;
  writing_.emplace(std::move(std::get<pack_file>(made)));
  current_ = pack;
  return std::nullopt;
}

// -- writing --------------------------------------------------------------------------------------

std::optional<storage_failure> pack_store::append(const chunk_id& id, std::string_view data) {
  std::lock_guard lock(mutex_);
  if (data.size() > pack_data_bytes_max)
    return storage_failure{E2BIG, "a chunk is longer than a pack record may be"};
  if (!writing_->fits(data.size(), pack_bytes_)) {
    if (auto failure = writing_->seal())
      return failure;
    if (auto failure = start_pack(current_ + 1))
      return failure;
  }
  // The buffer first: with a full disk nothing is taken that could not be written.
  if (writing_->end() - writing_->written() >= pack_buffer_bytes_max)
    if (auto failure = writing_->flush())
      return failure;
  index_.put_pack(id, row_of(current_, writing_->append(id, data)));
  return std::nullopt;
}

std::optional<storage_failure> pack_store::put(const chunk_id& id, std::string_view data) {
  return keep(id) ? std::nullopt : append(id, data);
}

std::optional<storage_failure> pack_store::move_here(const chunk_id& id, std::string_view data) {
  return append(id, data);
}

std::optional<storage_failure> pack_store::sync() {
  std::lock_guard lock(mutex_);
  if (auto failure = writing_->sync())
    return failure;
  index_.set_mark({current_, writing_->written()});
  return std::nullopt;
}

// -- reading --------------------------------------------------------------------------------------

bool pack_store::has(const chunk_id& id) const {
  auto row = index_.pack_of(id);
  return row && (row->flags & pack_row_damaged) == 0;
}

bool pack_store::keep(const chunk_id& id) {
  auto row = index_.pack_of(id);
  if (!row || (row->flags & pack_row_damaged) != 0)
    return false;
  if (row->unreferenced_s != 0) {
    row->unreferenced_s = 0;
    index_.put_pack(id, *row);
  }
  return true;
}

std::variant<std::string, storage_failure> pack_store::get(const chunk_id& id) {
  auto row = index_.pack_of(id);
  if (!row)
    return storage_failure{ENOENT, "no pack has this chunk"};
  auto data = read(row->pack, {id, row->offset, row->length});
  auto* failure = std::get_if<storage_failure>(&data);
  if (failure == nullptr)
    return data;
  // A sweep may have moved it between the look-up and the read.
  if (auto again = index_.pack_of(id);
      again && (again->pack != row->pack || again->offset != row->offset))
    return read(again->pack, {id, again->offset, again->length});
  if (failure->code == EBADMSG)
    mark_damaged(id);
  return data;
}

void pack_store::mark_damaged(const chunk_id& id) {
  if (auto row = index_.pack_of(id)) {
    row->flags |= pack_row_damaged;
    index_.put_pack(id, *row);
  }
}

std::variant<std::string, storage_failure> pack_store::read(uint32_t pack,
                                                            const pack_entry& entry) const {
  auto found = opened(pack);
  if (auto* failure = std::get_if<storage_failure>(&found))
    return *failure;
  return std::get<0>(found)->read(entry);
}

std::variant<std::shared_ptr<const pack_file>, storage_failure>
pack_store::opened(uint32_t pack) const {
  std::lock_guard lock(mutex_);
  if (pack == current_ && writing_->end() != writing_->written()) {
    // Readers see the file, so what waits in the buffer goes there first.
    if (auto failure = writing_->flush())
      return *failure;
  }
  for (auto it = open_.begin(); it != open_.end(); ++it)
    if (it->first == pack) {
      open_.splice(open_.begin(), open_, it);
      return open_.front().second;
    }
  auto file = pack_file::open(path_of(pack), false);
  if (auto* failure = std::get_if<storage_failure>(&file))
    return *failure;
  if (open_.size() >= packs_open_max)
    open_.pop_back();
  open_.emplace_front(pack,
                      std::make_shared<const pack_file>(std::move(std::get<pack_file>(file))));
  return open_.front().second;
}

std::variant<std::vector<pack_entry>, storage_failure> pack_store::entries(uint32_t pack) const {
  auto found = opened(pack);
  if (auto* failure = std::get_if<storage_failure>(&found))
    return *failure;
  const auto& file = *std::get<0>(found);
  if (auto listed = file.index())
    return std::move(*listed);
  std::vector<pack_entry> out; // at most pack_entries_max were written
  auto walked = file.scan(pack_start_bytes, false, [&](const pack_entry& entry) {
    if (out.size() < pack_entries_max)
      out.push_back(entry);
  });
  if (walked.whole)
    return out;
  // Damaged heads hide what follows them: the index knows better.
  out.clear();
  auto failure = index_.each_pack({}, [&](const chunk_id& id, const pack_row& row) {
    if (row.pack == pack)
      out.push_back({id, row.offset, row.length});
    return out.size() < pack_entries_max;
  });
  if (failure)
    return *failure;
  return out;
}

uint32_t pack_store::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

uint64_t pack_store::bytes_of(uint32_t pack) const {
  std::error_code ec;
  auto size = fs::file_size(path_of(pack), ec);
  return ec ? 0 : size;
}

std::optional<storage_failure> pack_store::remove(uint32_t pack) {
  {
    std::lock_guard lock(mutex_);
    if (pack == current_)
      return storage_failure{EBUSY, "the pack that is being written is not removed"};
    open_.remove_if([&](const auto& one) { return one.first == pack; });
  }
  std::error_code ec;
  fs::remove(path_of(pack), ec);
  if (ec)
    return storage_failure{ec.value(),
                           "cannot remove " + path_of(pack).string() + ": " + ec.message()};
  return sync_dir(dir_);
}

} // namespace harp
