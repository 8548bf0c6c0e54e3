#include "storage/pack_file.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace harp {

namespace {

constexpr std::string_view start_magic = "HARPPCK1";
constexpr std::string_view end_magic = "HARPPEND";
constexpr std::string_view footer_person = "harp.pack";
constexpr size_t entry_bytes = chunk_id::size + 8;
constexpr uint8_t flag_zstd = 1;

/// Contexts of one thread: making one costs more than packing a small chunk.
ZSTD_CCtx* packer() {
  struct free_it {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };
  thread_local std::unique_ptr<ZSTD_CCtx, free_it> context(ZSTD_createCCtx());
  return context.get();
}
ZSTD_DCtx* unpacker() {
  struct free_it {
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
  };
  thread_local std::unique_ptr<ZSTD_DCtx, free_it> context(ZSTD_createDCtx());
  return context.get();
}

/// The packed bytes if they save 5 %, else nothing.
std::string packed(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  auto size = ZSTD_compressCCtx(packer(), out.data(), out.size(), data.data(), data.size(), 1);
  if (ZSTD_isError(size) || size > data.size() - data.size() / 20 || data.empty())
    return {};
  out.resize(size);
  return out;
}

} // namespace

std::string encode_pack_record(const chunk_id& id, std::string_view data) {
  auto smaller = packed(data);
  auto stored = smaller.empty() ? data : std::string_view(smaller);
  byte_writer out;
  out.u32(static_cast<uint32_t>(stored.size()));
  out.u32(static_cast<uint32_t>(data.size()));
  out.u8(smaller.empty() ? 0 : flag_zstd);
  out.id(id);
  out.raw(stored);
  return out.take();
}

std::optional<pack_entry> parse_pack_head(std::string_view bytes) {
  byte_reader in(bytes.substr(0, pack_head_bytes));
  auto stored = in.u32();
  auto raw = in.u32();
  auto flags = in.u8();
  auto id = in.id<chunk_id>();
  bool sane = raw <= pack_data_bytes_max && stored <= raw && flags <= flag_zstd
              && ((flags & flag_zstd) != 0 || stored == raw);
  if (!in.done() || !sane)
    return std::nullopt;
  return pack_entry{id, 0, pack_head_bytes + stored};
}

std::variant<std::string, std::string> decode_pack_record(std::string_view record,
                                                          const chunk_id& id) {
  using wrong = std::in_place_index_t<1>;
  using result = std::variant<std::string, std::string>;
  auto head = parse_pack_head(record);
  if (!head || head->length != record.size() || head->id != id)
    return result(wrong{}, "its head is not the one of this chunk");
  byte_reader in(record);
  in.u32();
  auto raw = in.u32();
  auto flags = in.u8();
  auto stored = record.substr(pack_head_bytes);
  std::string data;
  if ((flags & flag_zstd) != 0) {
    data.resize(raw);
    auto size
        = ZSTD_decompressDCtx(unpacker(), data.data(), data.size(), stored.data(), stored.size());
    if (ZSTD_isError(size) || size != raw)
      return result(wrong{}, "it cannot be unpacked");
  } else {
    data.assign(stored);
  }
  if (chunk_id_of(data) != id)
    return result(wrong{}, "its bytes have another hash");
  return result(std::in_place_index<0>, std::move(data));
}

std::string encode_pack_footer(std::span<const pack_entry> entries, uint32_t index_start) {
  byte_writer out;
  for (const auto& entry : entries) {
    out.id(entry.id);
    out.u32(entry.offset);
    out.u32(entry.length);
  }
  out.u32(static_cast<uint32_t>(entries.size()));
  out.u32(index_start);
  out.id(blake2b(footer_person, out.bytes()));
  out.raw(end_magic);
  return out.take();
}

std::optional<std::pair<uint32_t, uint32_t>> parse_pack_end(std::string_view end,
                                                            uint64_t file_size) {
  byte_reader in(end);
  auto count = in.u32();
  auto start = in.u32();
  in.raw(digest256::size);
  if (in.rest() != end_magic || count > pack_entries_max || start < pack_start_bytes
      || uint64_t{start} + uint64_t{count} * entry_bytes + pack_end_bytes != file_size)
    return std::nullopt;
  return std::pair{start, count};
}

std::optional<std::vector<pack_entry>> parse_pack_footer(std::string_view footer,
                                                         uint64_t file_size) {
  if (footer.size() < pack_end_bytes)
    return std::nullopt;
  auto end = parse_pack_end(footer.substr(footer.size() - pack_end_bytes), file_size);
  if (!end || end->second * entry_bytes + pack_end_bytes != footer.size())
    return std::nullopt;
  auto summed = footer.substr(0, footer.size() - digest256::size - end_magic.size());
  byte_reader in(footer);
  std::vector<pack_entry> out;
  out.reserve(end->second);
  for (uint32_t i = 0; i < end->second; ++i) {
    pack_entry entry;
    entry.id = in.id<chunk_id>();
    entry.offset = in.u32();
    entry.length = in.u32();
    if (entry.offset < pack_start_bytes || entry.length < pack_head_bytes
        || uint64_t{entry.offset} + entry.length > end->first)
      return std::nullopt;
    out.push_back(entry);
  }
  in.raw(8);
  if (in.id<digest256>() != blake2b(footer_person, summed))
    return std::nullopt;
  return out;
}

// -- files ----------------------------------------------------------------------------------------

std::variant<pack_file, storage_failure> pack_file::create(const std::filesystem::path& path) {
  auto opened = open_file(path, O_RDWR | O_CREAT | O_EXCL);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  pack_file out(path, std::move(std::get<unique_fd>(opened)));
  out.buffer_ = start_magic;
  auto failure = out.sync();
  if (!failure)
    failure = sync_dir(path.parent_path());
  if (failure)
    return *failure;
  return out;
}

std::variant<pack_file, storage_failure> pack_file::open(const std::filesystem::path& path,
                                                         bool writable) {
  auto opened = open_file(path, writable ? O_RDWR : O_RDONLY);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  return pack_file(path, std::move(std::get<unique_fd>(opened)));
}

storage_failure pack_file::damaged(uint32_t offset, std::string_view why) const {
  return {EBADMSG, "pack " + path_.string() + ", record at byte " + std::to_string(offset) + ": "
                       + std::string(why) + "; it is fetched again from a peer that has it"};
}

std::variant<std::string, storage_failure> pack_file::read(const pack_entry& entry) const {
  if (entry.length < pack_head_bytes || entry.length > pack_head_bytes + pack_data_bytes_max)
    return damaged(entry.offset, "a length that cannot be");
  std::string record(entry.length, '\0');
  auto n = read_at(fd_.get(), record.data(), record.size(), entry.offset);
  if (n < 0)
    return file_failure("cannot read " + path_.string());
  if (static_cast<size_t>(n) != record.size())
    return damaged(entry.offset, "the file ends before it");
  auto decoded = decode_pack_record(record, entry.id);
  if (decoded.index() == 1)
    return damaged(entry.offset, std::get<1>(decoded));
  return std::move(std::get<0>(decoded));
}

std::optional<std::vector<pack_entry>> pack_file::index() const {
  auto size = file_bytes(fd_.get());
  if (!size || *size < pack_start_bytes + pack_end_bytes)
    return std::nullopt;
  std::string end(pack_end_bytes, '\0');
  if (read_at(fd_.get(), end.data(), end.size(), *size - pack_end_bytes) != pack_end_bytes)
    return std::nullopt;
  auto found = parse_pack_end(end, *size);
  if (!found)
    return std::nullopt;
  std::string footer(*size - found->first, '\0'); // at most pack_entries_max entries
  if (read_at(fd_.get(), footer.data(), footer.size(), found->first)
      != static_cast<int64_t>(footer.size()))
    return std::nullopt;
  return parse_pack_footer(footer, *size);
}

pack_scan pack_file::scan(uint32_t from, bool verify,
                          const std::function<void(const pack_entry&)>& visit) const {
  pack_scan out;
  std::string magic(pack_start_bytes, '\0');
  auto size = file_bytes(fd_.get());
  if (!size || read_at(fd_.get(), magic.data(), magic.size(), 0) != pack_start_bytes
      || magic != start_magic)
    return out;
  out.good_until = std::max(from, pack_start_bytes);
  while (out.good_until < *size) {
    std::string head(pack_head_bytes, '\0');
    auto n = read_at(fd_.get(), head.data(), head.size(), out.good_until);
    auto entry = n == pack_head_bytes ? parse_pack_head(head) : std::nullopt;
    if (!entry || uint64_t{out.good_until} + entry->length > *size)
      return out;
    entry->offset = out.good_until;
    if (verify && std::holds_alternative<storage_failure>(read(*entry)))
      return out;
    visit(*entry);
    out.good_until += entry->length;
  }
  out.whole = true;
  return out;
}

// -- appending ------------------------------------------------------------------------------------

bool pack_file::fits(size_t data_bytes, uint32_t pack_bytes) const {
  uint64_t footer = uint64_t{entry_bytes} * (entries_.size() + 1) + pack_end_bytes;
  return entries_.size() < pack_entries_max
         && end() + pack_head_bytes + data_bytes + footer <= pack_bytes;
}

pack_entry pack_file::append(const chunk_id& id, std::string_view data) {
  auto record = encode_pack_record(id, data);
  pack_entry entry{id, end(), static_cast<uint32_t>(record.size())};
  buffer_.append(record);
  entries_.push_back(entry);
  return entry;
}

std::optional<storage_failure> pack_file::flush() {
  if (auto failure = write_at(fd_.get(), buffer_, written_))
    return storage_failure{failure->code, path_.string() + ": " + failure->what};
  written_ += static_cast<uint32_t>(buffer_.size());
  buffer_.clear();
  return std::nullopt;
}

std::optional<storage_failure> pack_file::sync() {
  if (auto failure = flush())
    return failure;
  return sync_data(fd_.get());
}

std::optional<storage_failure> pack_file::seal() {
  if (auto failure = flush())
    return failure;
  auto footer = encode_pack_footer(entries_, written_);
  if (auto failure = write_at(fd_.get(), footer, written_))
    return storage_failure{failure->code, path_.string() + ": " + failure->what};
  return sync_data(fd_.get());
}

std::optional<storage_failure> pack_file::resume(uint32_t end, std::vector<pack_entry> entries) {
  if (::ftruncate(fd_.get(), end) != 0)
    return file_failure("cannot cut the tail of " + path_.string());
  // A file whose making was interrupted has no start yet.
  if (end == pack_start_bytes)
    if (auto failure = write_at(fd_.get(), start_magic, 0))
      return failure;
  written_ = end;
  buffer_.clear();
  entries_ = std::move(entries);
  return std::nullopt;
}

} // namespace harp
