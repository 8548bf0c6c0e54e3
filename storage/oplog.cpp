#include "storage/oplog.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"
#include "storage/signing.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <set>
#include <unistd.h>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view tail_key = "oplog_tail";
constexpr size_t signature_bytes = 64;
constexpr size_t write_bytes = 1u << 20;
constexpr size_t drop_rows_per_txn = 2000;
constexpr const char* log_suffix = ".log";

row_key key_of(replica_id rid, uint64_t seq) {
  return row_key{}.u32(rid).u64(seq);
}

bool hash_fits(std::string_view raw, const std::array<uint8_t, 16>& hash) {
  if (raw.size() <= signature_bytes)
    return false;
  auto digest = blake2b(sign_as::bundle, raw.substr(0, raw.size() - signature_bytes));
  return std::equal(hash.begin(), hash.end(), digest.bytes.begin());
}

storage_failure missing(const fs::path& file, uint32_t offset) {
  return {EBADMSG, "the operation log " + file.string() + " is damaged at byte "
                       + std::to_string(offset) + "; fetch the bundle from a peer"};
}

} // namespace

std::string encode(const bundle_row& row) {
  byte_writer out;
  out.u32(row.segment);
  out.u32(row.offset);
  out.u32(row.length);
  out.raw({reinterpret_cast<const char*>(row.hash.data()), row.hash.size()});
  out.u64(row.hlc);
  return out.take();
}

std::optional<bundle_row> decode_bundle_row(std::string_view bytes) {
  byte_reader in(bytes);
  bundle_row row;
  row.segment = in.u32();
  row.offset = in.u32();
  row.length = in.u32();
  auto hash = in.raw(row.hash.size());
  row.hlc = in.u64();
  if (!in.done())
    return std::nullopt;
  std::memcpy(row.hash.data(), hash.data(), hash.size());
  return row;
}

std::optional<bundle_row> find_bundle(const read_txn& txn, const dot& id) {
  auto bytes = txn.get(table::bundle, key_of(id.rid, id.seq));
  return bytes ? decode_bundle_row(*bytes) : std::nullopt;
}

// -- opening --------------------------------------------------------------------------------------

fs::path oplog::path_of(uint32_t segment) const {
  auto digits = std::to_string(segment);
  return dir_ / (std::string(10 - std::min<size_t>(digits.size(), 10), '0') + digits + log_suffix);
}

std::vector<uint32_t> oplog::segments() const {
  std::vector<uint32_t> out; // bounded by the log's size: one per 64 MiB
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir_, ec)) {
    auto name = entry.path().stem().string();
    uint32_t number = 0;
    auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (bad == std::errc{} && end == name.data() + name.size()
        && entry.path().extension() == log_suffix)
      out.push_back(number);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::variant<oplog, storage_failure> oplog::open(const fs::path& dir, metadata_db& db) {
  oplog log;
  log.dir_ = dir;
  std::error_code ec;
  fs::create_directories(dir, ec);
  if (ec)
    return storage_failure{ec.value(), "cannot create " + dir.string() + ": " + ec.message()};
  auto failure = db.read([&](const read_txn& txn) {
    if (auto tail = txn.get(table::conf, tail_key)) {
      log.kept_segment_ = static_cast<uint32_t>(key_number(*tail, 0, 4));
      log.kept_end_ = static_cast<uint32_t>(key_number(*tail, 4, 4));
    }
  });
  if (!failure)
    failure = log.cut_tail();
  if (failure)
    return *failure;
  return log;
}

/// Back to the end of what committed rows point to; later bytes and segments were never acknowledged.
std::optional<storage_failure> oplog::cut_tail() {
  segment_ = kept_segment_;
  end_ = kept_end_;
  tail_.reset();
  std::error_code ec;
  for (auto number : segments())
    if (number > segment_)
      fs::remove(path_of(number), ec);
  if (auto failure = open_tail())
    return failure;
  auto bytes = file_bytes(tail_.get());
  if (bytes && *bytes < end_)
    return missing(path_of(segment_), static_cast<uint32_t>(*bytes));
  if (bytes && *bytes > end_ && ::ftruncate(tail_.get(), end_) != 0)
    return file_failure("cannot cut the tail of " + path_of(segment_).string());
  return std::nullopt;
}

std::optional<storage_failure> oplog::open_tail() {
  auto opened = open_file(path_of(segment_), O_RDWR | O_CREAT);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  tail_ = std::move(std::get<unique_fd>(opened));
  return sync_dir(dir_);
}

// -- writing --------------------------------------------------------------------------------------

std::optional<storage_failure> oplog::flush(std::string& buffer) {
  if (auto failure = write_at(tail_.get(), buffer, end_))
    return storage_failure{failure->code, path_of(segment_).string() + ": " + failure->what};
  end_ += static_cast<uint32_t>(buffer.size());
  buffer.clear();
  return std::nullopt;
}

std::optional<storage_failure> oplog::append(std::span<const logged_bundle> batch,
                                             std::vector<bundle_row>& rows) {
  std::string buffer;
  for (const auto& one : batch) {
    auto size = static_cast<uint32_t>(one.raw.size());
    if (end_ + buffer.size() + size > oplog_segment_bytes_max) {
      auto failure = flush(buffer);
      if (!failure)
        failure = sync_data(tail_.get());
      if (failure)
        return failure;
      ++segment_;
      end_ = 0;
      if (auto refused = open_tail())
        return refused;
    }
    bundle_row row{segment_, end_ + static_cast<uint32_t>(buffer.size()), size, {}, one.hlc};
    std::memcpy(row.hash.data(), one.hash.bytes.data(), row.hash.size());
    rows.push_back(row);
    buffer.append(one.raw);
    if (buffer.size() < write_bytes)
      continue;
    if (auto failure = flush(buffer))
      return failure;
  }
  if (auto failure = flush(buffer))
    return failure;
  return sync_data(tail_.get());
}

std::optional<storage_failure> oplog::commit(metadata_db& db, std::span<const logged_bundle> batch,
                                             const std::function<bool(write_txn&)>& work) {
  if (batch.empty())
    return db.write(work);
  std::vector<bundle_row> rows;
  rows.reserve(batch.size());
  auto failure
      = batch.size() > oplog_batch_bundles_max
            ? std::optional{storage_failure{E2BIG, "too many bundles for one batch of the log"}}
            : append(batch, rows);
  bool kept = false;
  if (!failure)
    failure = db.write([&](write_txn& txn) {
      put_rows(txn, batch, rows);
      kept = work(txn);
      return kept;
    });
  if (!failure && kept) {
    kept_segment_ = segment_;
    kept_end_ = end_;
    return std::nullopt;
  }
  auto uncut = cut_tail();
  return failure ? failure : uncut;
}

void oplog::put_rows(write_txn& txn, std::span<const logged_bundle> batch,
                     const std::vector<bundle_row>& rows) const {
  for (size_t i = 0; i < batch.size(); ++i)
    txn.put(table::bundle, key_of(batch[i].id.rid, batch[i].id.seq), encode(rows[i]));
  txn.put(table::conf, tail_key, row_key{}.u32(segment_).u32(end_));
}

std::optional<storage_failure> oplog::commit_made(
    metadata_db& db,
    const std::function<std::optional<std::vector<logged_bundle>>(write_txn&)>& make) {
  std::optional<storage_failure> broken;
  bool kept = false;
  auto failure = db.write([&](write_txn& txn) {
    kept = false;
    if (segment_ != kept_segment_ || end_ != kept_end_) // called again after the map grew
      broken = cut_tail();
    auto batch = broken ? std::nullopt : make(txn);
    if (!batch)
      return false;
    std::vector<bundle_row> rows;
    if (!batch->empty())
      broken = append(*batch, rows);
    if (broken)
      return false;
    if (!batch->empty())
      put_rows(txn, *batch, rows);
    kept = true;
    return true;
  });
  if (!failure && kept) {
    kept_segment_ = segment_;
    kept_end_ = end_;
    return std::nullopt;
  }
  auto uncut = cut_tail();
  return failure ? failure : broken ? broken : uncut;
}

// -- reading --------------------------------------------------------------------------------------

std::variant<std::string, storage_failure> oplog::read(const bundle_row& row) const {
  auto path = path_of(row.segment);
  auto opened = open_file(path, O_RDONLY);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  if (row.length > oplog_segment_bytes_max)
    return missing(path, row.offset);
  std::string raw(row.length, '\0');
  auto n = read_at(std::get<unique_fd>(opened).get(), raw.data(), raw.size(), row.offset);
  if (n < 0)
    return file_failure("cannot read " + path.string());
  if (static_cast<size_t>(n) != raw.size() || !hash_fits(raw, row.hash))
    return missing(path, row.offset);
  return raw;
}

std::optional<storage_failure>
oplog::each(const metadata_db& db, replica_id rid, uint64_t from, uint64_t to, size_t bytes_max,
            const std::function<bool(uint64_t, std::string)>& visit) const {
  std::vector<std::pair<uint64_t, bundle_row>>
      found; // bounded by bytes_max: a bundle has over 64 bytes
  auto failure = db.read([&](const read_txn& txn) {
    size_t bytes = 0;
    auto next = from;
    txn.each_from(table::bundle, key_of(rid, from),
                  [&](std::string_view key, std::string_view value) {
                    auto row = decode_bundle_row(value);
                    auto seq = key_number(key, 4, 8);
                    if (!row || key_number(key, 0, 4) != rid || seq != next++ || seq > to)
                      return false;
                    if (!found.empty() && bytes + row->length > bytes_max)
                      return false;
                    bytes += row->length;
                    found.emplace_back(seq, *row);
                    return true;
                  });
  });
  if (failure)
    return failure;
  for (const auto& [seq, row] : found) {
    auto raw = read(row);
    if (auto* broken = std::get_if<storage_failure>(&raw))
      return *broken;
    if (!visit(seq, std::move(std::get<std::string>(raw))))
      break;
  }
  return std::nullopt;
}

std::variant<size_t, storage_failure> oplog::drop_covered(metadata_db& db,
                                                          const version_vector& covered) {
  std::set<uint32_t> needed{kept_segment_};
  auto failure = db.walk(table::bundle, {}, [&](std::string_view key, std::string_view value) {
    auto row = decode_bundle_row(value);
    auto known = covered.find(static_cast<replica_id>(key_number(key, 0, 4)));
    if (row && (known == covered.end() || key_number(key, 4, 8) > known->second))
      needed.insert(row->segment);
    return true;
  });
  if (failure)
    return *failure;
  // Rows first: a file without rows is removed by the next call, a row without its file would be a hole.
  std::vector<std::string> keys;
  auto erase = [&] {
    auto refused = db.write([&](write_txn& txn) {
      for (const auto& key : keys)
        txn.erase(table::bundle, key);
      return true;
    });
    keys.clear();
    return refused;
  };
  std::optional<storage_failure> refused;
  std::string from;
  for (bool more = true; more && !refused;) {
    more = false;
    failure = db.walk(table::bundle, from, [&](std::string_view key, std::string_view value) {
      auto row = decode_bundle_row(value);
      if (!row || !needed.contains(row->segment))
        keys.emplace_back(key);
      from.assign(key);
      more = keys.size() >= drop_rows_per_txn;
      return !more;
    });
    if (failure)
      return *failure;
    refused = erase();
  }
  if (refused)
    return *refused;
  size_t gone = 0;
  std::error_code ec;
  for (auto number : segments())
    if (!needed.contains(number) && number < kept_segment_ && fs::remove(path_of(number), ec))
      ++gone;
  if (auto unsynced = sync_dir(dir_))
    return *unsynced;
  return gone;
}

std::optional<storage_failure> oplog::start_segment(metadata_db& db) {
  if (end_ == 0)
    return std::nullopt;
  ++segment_;
  end_ = 0;
  auto failure = open_tail();
  if (!failure)
    failure = db.write([&](write_txn& txn) {
      txn.put(table::conf, tail_key, row_key{}.u32(segment_).u32(end_));
      return true;
    });
  if (failure) {
    cut_tail();
    return failure;
  }
  kept_segment_ = segment_;
  kept_end_ = end_;
  return std::nullopt;
}

uint64_t oplog::bytes_on_disk() const {
  uint64_t sum = 0;
  std::error_code ec;
  for (auto number : segments()) {
    auto bytes = fs::file_size(path_of(number), ec);
    sum += ec ? 0 : bytes;
  }
  return sum;
}

} // namespace harp
