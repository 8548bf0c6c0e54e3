// Rows and index keys as bytes; an index key longer than a key may be is cut (names are bounded by 255 bytes).
#include "storage/folder_rows_lmdb.hpp"

#include "storage/byte_codec.hpp"

#include <cerrno>

namespace harp {

namespace {

constexpr size_t text_bytes_max = 4096;

// bits of the first byte: what need not be said
constexpr uint8_t same_disk_name = 1;
constexpr uint8_t mtime_is_meta = 2; // seen.mtime equals meta.mtime
constexpr uint8_t executable_meta = 4;
constexpr uint8_t executable_seen = 8;
constexpr uint8_t one_link = 16;

uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}
/// Differences of times of hostile size wrap around, and back again.
int64_t minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

void put_stat(byte_writer& out, const file_stat& s) {
  out.u8(static_cast<uint8_t>(s.kind));
  out.varint(s.device);
  out.varint(s.inode);
  out.varint(s.links);
  out.varint(s.size);
  out.i64(s.ctime_ns);
  out.varint(zigzag(minus(s.mtime_ns, s.ctime_ns)));
  out.varint(zigzag(minus(s.born_ns, s.ctime_ns)));
  out.flag(s.executable);
}

file_stat take_stat(byte_reader& in) {
  file_stat s;
  uint8_t kind = in.u8();
  if (kind < 1 || kind > 4)
    in.fail();
  s.kind = static_cast<disk_kind>(kind);
  s.device = in.varint();
  s.inode = in.varint();
  s.links = static_cast<uint32_t>(in.varint());
  s.size = in.varint();
  s.ctime_ns = in.i64();
  s.mtime_ns = plus(unzigzag(in.varint()), s.ctime_ns);
  s.born_ns = plus(unzigzag(in.varint()), s.ctime_ns);
  s.executable = in.flag();
  return s;
}

row_key place_key(local_id parent, std::string_view name) {
  return row_key().u8('p').u64(parent).bytes(name);
}
row_key inode_key(uint64_t device, uint64_t inode) {
  return row_key().u8('i').u64(device).u64(inode);
}
std::string number(uint64_t value) {
  byte_writer out;
  out.varint(value);
  return out.take();
}
uint64_t number(std::string_view bytes) {
  byte_reader in(bytes);
  uint64_t value = in.varint();
  if (!in.done())
    throw storage_failure{EBADMSG,
                          "a row of the folder is damaged; harp repair rebuilds it from the disk"};
  return value;
}
/// The temp name first: it is unique by node and version; a path longer than a key may be is cut.
row_key placing_key(std::string_view dir_path, std::string_view temp) {
  return row_key().u8('t').bytes(temp).u8(0).bytes(dir_path);
}

} // namespace

std::string encode(const base_row& row) {
  byte_writer out;
  bool file = on_disk(row.kind) != disk_kind::dir;
  uint8_t bits = 0;
  bits |= row.name == row.disk_name ? same_disk_name : 0;
  bits |= row.meta.mtime_ns == row.seen.mtime_ns ? mtime_is_meta : 0;
  bits |= row.meta.executable ? executable_meta : 0;
  bits |= row.seen.executable ? executable_seen : 0;
  bits |= row.seen.links == 1 ? one_link : 0;
  out.u8(bits);
  out.u8(static_cast<uint8_t>(row.kind));
  out.u8(row.flags);
  out.varint(row.parent);
  out.blob(row.name);
  if ((bits & same_disk_name) == 0)
    out.blob(row.disk_name);
  out.u8(static_cast<uint8_t>(row.seen.kind));
  out.varint(row.seen.device);
  out.varint(row.seen.inode);
  if ((bits & one_link) == 0)
    out.varint(row.seen.links);
  out.i64(row.seen.ctime_ns);
  out.varint(zigzag(minus(row.seen.mtime_ns, row.seen.ctime_ns)));
  out.varint(zigzag(minus(row.seen.born_ns, row.seen.ctime_ns)));
  if (file) {
    out.varint(row.seen.size);
    out.u64(row.vid.hlc);
    out.varint(row.vid.rid);
    out.varint(row.vid.idx);
    out.id(row.content);
    if ((bits & mtime_is_meta) == 0)
      out.i64(row.meta.mtime_ns);
  }
  return out.take();
}

std::optional<base_row> decode_base(std::string_view bytes) {
  byte_reader in(bytes);
  base_row row;
  uint8_t bits = in.u8();
  uint8_t kind = in.u8();
  if (kind < 1 || kind > 4 || bits > 31)
    return std::nullopt;
  row.kind = static_cast<node_kind>(kind);
  row.flags = in.u8();
  row.parent = in.varint();
  row.name = in.blob(text_bytes_max);
  row.disk_name = (bits & same_disk_name) != 0 ? row.name : std::string(in.blob(text_bytes_max));
  uint8_t seen_kind = in.u8();
  if (seen_kind < 1 || seen_kind > 4)
    return std::nullopt;
  row.seen.kind = static_cast<disk_kind>(seen_kind);
  row.seen.device = in.varint();
  row.seen.inode = in.varint();
  row.seen.links = (bits & one_link) != 0 ? 1 : static_cast<uint32_t>(in.varint());
  row.seen.ctime_ns = in.i64();
  row.seen.mtime_ns = plus(unzigzag(in.varint()), row.seen.ctime_ns);
  row.seen.born_ns = plus(unzigzag(in.varint()), row.seen.ctime_ns);
  row.seen.executable = (bits & executable_seen) != 0;
  row.meta.executable = (bits & executable_meta) != 0;
  if (on_disk(row.kind) != disk_kind::dir) {
    row.seen.size = in.varint();
    row.vid.hlc = in.u64();
    row.vid.rid = static_cast<replica_id>(in.varint());
    row.vid.idx = static_cast<uint16_t>(in.varint());
    row.content = in.id<content_prefix>();
    row.meta.mtime_ns = (bits & mtime_is_meta) != 0 ? row.seen.mtime_ns : in.i64();
  }
  return in.done() ? std::optional{std::move(row)} : std::nullopt;
}

std::string encode(const placing_row& row) {
  byte_writer out;
  out.varint(row.lid);
  out.id(row.vid);
  out.id(row.content);
  out.i64(row.meta.mtime_ns);
  out.flag(row.meta.executable);
  out.blob(row.dir_path);
  out.blob(row.temp);
  out.blob(row.name);
  out.varint(row.inode);
  out.flag(row.displaces.has_value());
  if (row.displaces)
    put_stat(out, *row.displaces);
  out.id(row.displaced_vid);
  return out.take();
}

std::optional<placing_row> decode_placing(std::string_view bytes) {
  byte_reader in(bytes);
  placing_row row;
  row.lid = in.varint();
  row.vid = in.id<stamp>();
  row.content = in.id<content_prefix>();
  row.meta.mtime_ns = in.i64();
  row.meta.executable = in.flag();
  row.dir_path = in.blob(text_bytes_max);
  row.temp = in.blob(text_bytes_max);
  row.name = in.blob(text_bytes_max);
  row.inode = in.varint();
  if (in.flag())
    row.displaces = take_stat(in);
  row.displaced_vid = in.id<stamp>();
  return in.done() ? std::optional{std::move(row)} : std::nullopt;
}

write_txn& folder_rows_lmdb::writer() {
  if (write_ == nullptr)
    throw storage_failure{EROFS, "rows of the folder were written in a reading transaction"};
  return *write_;
}

std::optional<base_row> folder_rows_lmdb::base(local_id lid) {
  auto bytes = read_.get(table::disk, row_key::lid(lid));
  if (!bytes)
    return std::nullopt;
  auto row = decode_base(*bytes);
  if (!row)
    throw storage_failure{EBADMSG,
                          "a row of the folder is damaged; harp repair rebuilds it from the disk"};
  return row;
}

void folder_rows_lmdb::add_files(int64_t count) {
  if (count != 0)
    writer().put(table::ino, "n", number(base_files() + static_cast<uint64_t>(count)));
}

void folder_rows_lmdb::put_base(local_id lid, const base_row& row) {
  auto old = base(lid);
  auto bytes = number(lid);
  if (old && old->parent == row.parent && old->disk_name == row.disk_name
      && old->seen.inode == row.seen.inode && old->seen.device == row.seen.device
      && on_disk(old->kind) == on_disk(row.kind)) {
    writer().put(table::disk, row_key::lid(lid), encode(row)); // indexes stay
    return;
  }
  if (old)
    erase_base(lid);
  writer().put(table::disk, row_key::lid(lid), encode(row));
  writer().put(table::ino, place_key(row.parent, row.disk_name), bytes);
  if (row.seen.inode != 0)
    writer().put(table::ino, inode_key(row.seen.device, row.seen.inode), bytes);
  if (on_disk(row.kind) != disk_kind::dir)
    add_files(1);
}

void folder_rows_lmdb::erase_base(local_id lid) {
  auto row = base(lid);
  if (!row)
    return;
  if (base_at(row->parent, row->disk_name) == lid)
    writer().erase(table::ino, place_key(row->parent, row->disk_name));
  if (by_inode(row->seen.device, row->seen.inode) == lid)
    writer().erase(table::ino, inode_key(row->seen.device, row->seen.inode));
  writer().erase(table::disk, row_key::lid(lid));
  if (on_disk(row->kind) != disk_kind::dir)
    add_files(-1);
}

local_id folder_rows_lmdb::base_at(local_id parent, std::string_view disk_name) {
  auto bytes = read_.get(table::ino, place_key(parent, disk_name));
  return bytes ? number(*bytes) : 0;
}

local_id folder_rows_lmdb::by_inode(uint64_t device, uint64_t inode) {
  auto bytes = read_.get(table::ino, inode_key(device, inode));
  return bytes ? number(*bytes) : 0;
}

void folder_rows_lmdb::each_base(local_id parent, std::string_view after,
                                 const std::function<bool(std::string_view, local_id)>& visit) {
  row_key prefix = place_key(parent, {});
  row_key from = place_key(parent, after);
  read_.each_from(table::ino, from, [&](std::string_view key, std::string_view value) {
    if (!key.starts_with(prefix.view()))
      return false;
    auto name = key.substr(prefix.view().size());
    return (!after.empty() && name == after) || visit(name, number(value));
  });
}

uint64_t folder_rows_lmdb::base_files() {
  auto bytes = read_.get(table::ino, "n");
  return bytes ? number(*bytes) : 0;
}

std::optional<selection_row> folder_rows_lmdb::selection(local_id dir) {
  auto bytes = read_.get(table::sel, row_key::lid(dir));
  if (!bytes || bytes->size() != 2 || static_cast<uint8_t>((*bytes)[0]) > 2)
    return std::nullopt;
  return selection_row{static_cast<folder_selection>((*bytes)[0]), (*bytes)[1] != 0};
}

void folder_rows_lmdb::put_selection(local_id dir, const selection_row& row) {
  byte_writer out;
  out.u8(static_cast<uint8_t>(row.what));
  out.flag(row.pinned);
  writer().put(table::sel, row_key::lid(dir), out.bytes());
}

void folder_rows_lmdb::erase_selection(local_id dir) {
  writer().erase(table::sel, row_key::lid(dir));
}

void folder_rows_lmdb::mark_dirty(local_id lid, uint8_t reason) {
  auto old = read_.get(table::dirty, row_key::lid(lid));
  char bits
      = static_cast<char>(reason | (old && !old->empty() ? static_cast<uint8_t>(old->front()) : 0));
  writer().put(table::dirty, row_key::lid(lid), std::string_view(&bits, 1));
}

std::vector<local_id> folder_rows_lmdb::dirty_lids(local_id after, size_t limit) {
  std::vector<local_id> out;
  read_.each_from(table::dirty, row_key::lid(after + 1),
                  [&](std::string_view key, std::string_view) {
                    if (out.size() < limit)
                      out.push_back(key_lid(key));
                    return out.size() < limit;
                  });
  return out;
}

void folder_rows_lmdb::clear_dirty(local_id lid) {
  writer().erase(table::dirty, row_key::lid(lid));
}

void folder_rows_lmdb::put_placing(const placing_row& row) {
  writer().put(table::ino, placing_key(row.dir_path, row.temp), encode(row));
}

void folder_rows_lmdb::erase_placing(std::string_view dir_path, std::string_view temp) {
  writer().erase(table::ino, placing_key(dir_path, temp));
}

std::vector<placing_row> folder_rows_lmdb::placings() {
  std::vector<placing_row> out;
  read_.each_prefix(table::ino, "t", [&](std::string_view, std::string_view value) {
    auto row = decode_placing(value);
    if (!row)
      throw storage_failure{
          EBADMSG, "a placing row is damaged; harp repair rebuilds the folder from the disk"};
    out.push_back(std::move(*row));
    return out.size() < placings_max;
  });
  return out;
}

} // namespace harp
