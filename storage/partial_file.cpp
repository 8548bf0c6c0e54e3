#include "storage/partial_file.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace harp {

namespace {

constexpr uint16_t target_block = 0xffff;
constexpr size_t block_bytes = claim_block_chunks / 8;
constexpr size_t path_text_max = 4096;

row_key block_key(const content_id& cid, uint16_t block) {
  return row_key{}.bytes(cid.view().substr(0, 16)).u16(block);
}

/// The row 0xffff: which temp file the bitmaps speak of.
struct target_row {
  partial_target target;
  uint64_t inode = 0;
};

std::string encode(const target_row& row) {
  byte_writer out;
  out.id(row.target.cid);
  out.varint(row.target.size);
  out.varint(row.target.chunks);
  out.blob(row.target.dir_path);
  out.blob(row.target.temp_name);
  out.u64(row.inode);
  return out.take();
}

std::optional<target_row> decode(std::string_view bytes) {
  byte_reader in(bytes);
  target_row row;
  row.target.cid = in.id<content_id>();
  row.target.size = in.varint();
  row.target.chunks = static_cast<uint32_t>(in.count(content_chunks_max, 0));
  row.target.dir_path = in.blob(path_text_max);
  row.target.temp_name = in.blob(path_text_max);
  row.inode = in.u64();
  return in.done() ? std::optional{row} : std::nullopt;
}

bool same_target(const partial_target& a, const partial_target& b) {
  return a.cid == b.cid && a.size == b.size && a.chunks == b.chunks && a.dir_path == b.dir_path
         && a.temp_name == b.temp_name;
}

struct file_state {
  uint64_t inode = 0;
  uint64_t size = 0;
};
std::optional<file_state> state_of(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
    return std::nullopt;
  return file_state{static_cast<uint64_t>(st.st_ino), static_cast<uint64_t>(st.st_size)};
}

uint32_t blocks_of(uint32_t chunks) {
  return (chunks + claim_block_chunks - 1) / claim_block_chunks;
}

/// The chunks that the rows claim for this very file; nothing when they speak of another one.
std::optional<chunk_set> claimed(const read_txn& txn, const partial_target& target,
                                 const file_state& file) {
  auto bytes = txn.get(table::partial, block_key(target.cid, target_block));
  auto row = bytes ? decode(*bytes) : std::nullopt;
  if (!row || !same_target(row->target, target) || row->inode != file.inode
      || file.size != target.size)
    return std::nullopt;
  std::string bitmap;
  for (uint32_t block = 0; block < blocks_of(target.chunks); ++block) {
    auto part = txn.get(table::partial, block_key(target.cid, static_cast<uint16_t>(block)));
    bitmap.append(part && part->size() == block_bytes ? *part : std::string(block_bytes, '\0'));
  }
  bitmap.resize((size_t{target.chunks} + 7) / 8);
  return chunk_set::from_bitmap(target.chunks, bitmap);
}

} // namespace

partial_file::partial_file(partial_target target, unique_fd fd)
    : target_(std::move(target)), fd_(std::move(fd)), had_(target_.chunks),
      unchecked_(target_.chunks), changed_(blocks_of(target_.chunks)) {}

partial_file::partial_file(partial_file&& other) noexcept
    : target_(std::move(other.target_)), fd_(std::move(other.fd_)), had_(std::move(other.had_)),
      unchecked_(std::move(other.unchecked_)), changed_(std::move(other.changed_)),
      unclaimed_bytes_(other.unclaimed_bytes_), since_(other.since_) {}

std::variant<partial_file, storage_failure>
partial_file::open(const safe_root& root, metadata_db& db, partial_target target) {
  if (target.chunks > content_chunks_max)
    return storage_failure{E2BIG, "a content of more chunks than Harp handles"};
  auto opened
      = root.open_file(join_path(target.dir_path, target.temp_name), O_RDWR | O_CREAT, 0600);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  partial_file out(std::move(target), std::move(std::get<unique_fd>(opened)));
  auto file = state_of(out.fd_.get());
  if (!file)
    return storage_failure{EINVAL, "the temp file of a download is not a plain file; remove it"};
  std::optional<chunk_set> had;
  auto failure = db.read([&](const read_txn& txn) { had = claimed(txn, out.target_, *file); });
  if (!failure && had) {
    out.had_ = *had;
    out.unchecked_ = std::move(*had);
    return out;
  }
  // Old bitmaps must be gone before a new file may stand under their target row.
  if (!failure)
    failure = db.write([&](write_txn& txn) {
      erase_partial(txn, out.target_.cid);
      txn.put(table::partial, block_key(out.target_.cid, target_block),
              encode({out.target_, file->inode}));
      return true;
    });
  if (!failure)
    failure = out.preallocate();
  if (failure)
    return *failure;
  return out;
}

std::optional<storage_failure> partial_file::preallocate() {
  if (::ftruncate(fd_.get(), 0) != 0)
    return file_failure("cannot empty the temp file of a download");
  if (target_.size == 0)
    return std::nullopt;
  auto size = static_cast<off_t>(target_.size);
  int rc = ::posix_fallocate(fd_.get(), 0, size);
  if (rc == 0)
    return std::nullopt;
  if (rc == EOPNOTSUPP || rc == EINVAL) {
    if (::ftruncate(fd_.get(), size) == 0)
      return std::nullopt;
    rc = errno;
  }
  static_cast<void>(::ftruncate(fd_.get(), 0)); // give back what was taken
  return file_failure("cannot reserve " + std::to_string(target_.size) + " bytes for a download",
                      rc);
}

// -- chunks ---------------------------------------------------------------------------------------

void partial_file::set_changed(uint32_t no) {
  changed_[no / claim_block_chunks] = true;
}

std::optional<storage_failure> partial_file::write(const placed_chunk& chunk,
                                                   std::string_view bytes) {
  if (chunk.no >= target_.chunks || bytes.size() != chunk.ref.bytes || chunk.offset > target_.size
      || bytes.size() > target_.size - chunk.offset)
    return storage_failure{EINVAL, "a chunk does not lie inside the content that is downloaded"};
  if (auto failure = write_at(fd_.get(), bytes, chunk.offset))
    return failure;
  bool ahead = false;
  {
    std::lock_guard lock(mutex_);
    had_.add(chunk.no);
    unchecked_.remove(std::vector<chunk_run>{{chunk.no, 1}});
    set_changed(chunk.no);
    unclaimed_bytes_ += bytes.size();
    if (!since_)
      since_ = std::chrono::steady_clock::now();
    ahead = unclaimed_bytes_ >= claim_start_bytes;
  }
  if (ahead) {
    std::lock_guard wait(syncing_); // no more than claim_bytes_max may be lost to a crash
  }
  return std::nullopt;
}

bool partial_file::has(uint32_t no) const {
  std::lock_guard lock(mutex_);
  return had_.has(no);
}

uint32_t partial_file::count() const {
  std::lock_guard lock(mutex_);
  return had_.count();
}

bool partial_file::complete() const {
  std::lock_guard lock(mutex_);
  return had_.all();
}

chunk_set partial_file::chunks() const {
  std::lock_guard lock(mutex_);
  return had_;
}

std::optional<std::string> partial_file::read(const placed_chunk& chunk) const {
  if (chunk.ref.bytes > cut_bytes_max || !has(chunk.no))
    return std::nullopt;
  std::string bytes(chunk.ref.bytes, '\0');
  auto n = read_at(fd_.get(), bytes.data(), bytes.size(), chunk.offset);
  if (n != static_cast<int64_t>(bytes.size()) || chunk_id_of(bytes) != chunk.ref.id)
    return std::nullopt;
  return bytes;
}

// -- claims ---------------------------------------------------------------------------------------

bool partial_file::due(std::chrono::steady_clock::time_point now) const {
  std::lock_guard lock(mutex_);
  return since_ && (unclaimed_bytes_ >= claim_start_bytes || now - *since_ >= claim_wait_max);
}

std::variant<partial_claim, storage_failure> partial_file::claim() {
  partial_claim out{target_.cid, {}};
  std::lock_guard alone(syncing_);
  std::vector<bool> changed;
  uint64_t bytes = 0;
  {
    std::lock_guard lock(mutex_);
    // Bits of now: what is written while the sync runs belongs to the next claim.
    auto bitmap = had_.to_bitmap();
    bitmap.resize(changed_.size() * block_bytes, '\0');
    for (size_t block = 0; block < changed_.size(); ++block)
      if (changed_[block])
        out.blocks.emplace_back(static_cast<uint16_t>(block),
                                bitmap.substr(block * block_bytes, block_bytes));
    changed = std::exchange(changed_, std::vector<bool>(changed_.size()));
    bytes = std::exchange(unclaimed_bytes_, 0);
    since_.reset();
  }
  auto failure = sync_data(fd_.get());
  if (!failure)
    return out;
  // After a failed sync nobody knows what is on the disk: none of these chunks may be believed.
  std::lock_guard lock(mutex_);
  for (size_t block = 0; block < changed.size(); ++block)
    if (changed[block]) {
      changed_[block] = true;
      auto first = static_cast<uint32_t>(block) * claim_block_chunks;
      had_.remove(
          std::vector<chunk_run>{{first, std::min(claim_block_chunks, target_.chunks - first)}});
    }
  unclaimed_bytes_ += bytes;
  since_ = std::chrono::steady_clock::now();
  return *failure;
}

uint32_t partial_file::next_unchecked(uint32_t from) const {
  std::lock_guard lock(mutex_);
  return unchecked_.next(from);
}

bool partial_file::check(const placed_chunk& chunk) {
  if (!read(chunk)) {
    drop(chunk.no);
    return false;
  }
  std::lock_guard lock(mutex_);
  unchecked_.remove(std::vector<chunk_run>{{chunk.no, 1}});
  return true;
}

void partial_file::drop(uint32_t no) {
  std::lock_guard lock(mutex_);
  if (no >= target_.chunks)
    return;
  had_.remove(std::vector<chunk_run>{{no, 1}});
  unchecked_.remove(std::vector<chunk_run>{{no, 1}});
  set_changed(no);
  if (!since_)
    since_ = std::chrono::steady_clock::now();
}

std::optional<std::string> partial_file::unfinished() const {
  std::lock_guard lock(mutex_);
  if (!had_.all())
    return std::to_string(had_.size() - had_.count()) + " chunks are missing";
  if (!unchecked_.none())
    return std::to_string(unchecked_.count()) + " chunks of an earlier run are not checked yet";
  auto file = state_of(fd_.get());
  if (!file || file->size != target_.size)
    return std::string("the temp file has another length than the content");
  return std::nullopt;
}

// -- rows -----------------------------------------------------------------------------------------

void store_claim(write_txn& txn, const partial_claim& claim) {
  // A download that was given up meanwhile must not come back as rows without a target.
  if (!txn.has(table::partial, block_key(claim.cid, target_block)))
    return;
  for (const auto& [block, bitmap] : claim.blocks)
    txn.put(table::partial, block_key(claim.cid, block), bitmap);
}

void erase_partial(write_txn& txn, const content_id& cid) {
  txn.erase_prefix(table::partial, cid.view().substr(0, 16));
}

std::vector<partial_target> known_partials(const read_txn& txn, size_t limit) {
  std::vector<partial_target> out;
  txn.each_from(table::partial, {}, [&](std::string_view key, std::string_view value) {
    if (out.size() >= limit)
      return false;
    if (key_number(key, 16, 2) == target_block)
      if (auto row = decode(value))
        out.push_back(std::move(row->target));
    return true;
  });
  return out;
}

} // namespace harp
