// What the store does by itself on this machine: chunking and hashing, bulk metadata, packs, bytes per file.
// Usage: bench_store [files] [directory] [operations per transaction]; prints one line per measure.
#include "storage/chunk_index.hpp"
#include "storage/content_root.hpp"
#include "storage/digest.hpp"
#include "storage/oplog.hpp"
#include "storage/pack_store.hpp"
#include "storage/signing.hpp"
#include "storage/space_rows_lmdb.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>
#include <string>
#include <unistd.h>

using namespace harp;

namespace {

size_t batch_ops = 2000; // storage.md 4.2: one transaction
constexpr size_t bundle_ops = 100;

struct stopwatch {
  std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
  std::clock_t cpu = std::clock();
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  }
  [[nodiscard]] double cpu_seconds() const {
    return static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  }
};

[[noreturn]] void fail(const storage_failure& failure) {
  std::fprintf(stderr, "bench_store: %s\n", failure.what.c_str());
  std::exit(1);
}
void must(const std::optional<storage_failure>& failure) {
  if (failure)
    fail(*failure);
}
template <class T>
T must(std::variant<T, storage_failure> result) {
  if (auto* failure = std::get_if<storage_failure>(&result))
    fail(*failure);
  return std::move(std::get<T>(result));
}

/// Memory of our own: mapped database pages are the system's to take back.
size_t private_kib() {
  std::ifstream status("/proc/self/status");
  size_t kib = 0;
  for (std::string word; status >> word;)
    if (word == "RssAnon:")
      status >> kib;
  return kib;
}

void measure_hashing() {
  std::string piece(8u << 20, '\0');
  std::mt19937_64 random(1);
  for (size_t i = 0; i < piece.size(); i += 8) {
    auto word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), 8, piece.data() + i);
  }
  constexpr int rounds = 64;
  stopwatch watch;
  content_builder builder({}, {});
  for (int i = 0; i < rounds; ++i)
    builder.feed(piece);
  auto made = builder.finish();
  double gigabytes = static_cast<double>(made.ref.size) / 1e9;
  std::printf("chunk+hash        %.2f GB/s wall, %.2f GB/s CPU (%u chunks)\n",
              gigabytes / watch.seconds(), gigabytes / watch.cpu_seconds(), made.chunks);
}

/// One new file as a MkFile of another node brings it.
void make_file(space_rows& rows, local_id parent, uint64_t n, const dot& by, uint16_t idx) {
  auto nid = made_node_id(by, idx);
  auto lid = rows.make_alias(nid);
  stamp at{(uint64_t{1'700'000'000'000} << 16) + by.seq, by.rid, idx};
  node_row row;
  row.nid = nid;
  row.parent = parent;
  row.name = "IMG_" + std::to_string(10'000'000 + n) + ".jpg";
  row.flags = node_alive | node_shown;
  row.head = row.moved = row.meta_stamp = at;
  row.meta.mtime_ns = static_cast<int64_t>(n) * 1'000'003;
  row.life = {by};
  content_root root{10'000 + n % 50'000,
                    1,
                    {{chunk_id_of(std::to_string(n)), static_cast<uint32_t>(10'000 + n % 50'000)}},
                    {}};
  auto record = encode_root(root);
  version_row version;
  version.at = at;
  version.by = by;
  version.cid = content_id_of(record);
  version.size = root.size;
  version.mtime_ns = row.meta.mtime_ns;
  event_row event;
  event.at = at;
  event.by = by;
  event.what = event_row::kind::make;
  event.parent = parent;
  event.name = row.name;
  event.meta = row.meta;
  rows.put_event(lid, event);
  rows.put_version(lid, version);
  rows.put_root_record(version.cid, record);
  rows.put_node(lid, row);
  rows.add_entry(parent, row.name, lid);
  rows.mark_dirty(lid, 1);
}

local_id make_directory(space_rows& rows, uint64_t n) {
  node_id nid;
  std::memcpy(nid.bytes.data() + 2, &n, sizeof n);
  nid.bytes[15] = 2;
  auto lid = rows.make_alias(nid);
  node_row row;
  row.nid = nid;
  row.kind = node_kind::dir;
  row.parent = root_lid;
  row.name = "dir" + std::to_string(n);
  rows.put_node(lid, row);
  return lid;
}

void measure_rows(const std::filesystem::path& dir, uint64_t files) {
  auto db = must(metadata_db::open(dir / "meta", environment::meta, {}));
  auto log = must(oplog::open(dir / "oplog", db));
  std::string raw(bundle_ops * 150, 'x'); // about what a bundle of that many files takes
  stopwatch watch;
  double worst = 0;
  for (uint64_t done = 0; done < files; done += batch_ops) {
    stopwatch one;
    std::vector<logged_bundle> batch;
    for (size_t i = 0; i < batch_ops / bundle_ops; ++i)
      batch.push_back({{1, done / bundle_ops + i + 1}, done, blake2b(sign_as::bundle, raw), raw});
    must(log.commit(db, batch, [&](write_txn& txn) {
      space_rows_lmdb rows(txn);
      auto parent = make_directory(rows, done);
      for (size_t i = 0; i < batch_ops; ++i) {
        auto kids = *rows.node(parent);
        ++kids.shown_kids;
        rows.put_node(parent, kids);
        make_file(rows, parent, done + i, {1, done / bundle_ops + i / bundle_ops + 1},
                  static_cast<uint16_t>(i % bundle_ops));
      }
      rows.flush();
      return true;
    }));
    worst = std::max(worst, one.seconds());
  }
  auto count = static_cast<double>(files);
  std::printf(
      "bulk apply        %.0f ops/s durable wall, %.0f ops/s CPU; longest of %zu: %.0f ms\n",
      count / watch.seconds(), count / watch.cpu_seconds(), batch_ops, worst * 1e3);
  must(db.write([](write_txn& txn) {
    txn.erase_prefix(table::dirty, {});
    return true;
  }));
  std::printf("database          %.0f B/file in tables (make events included), log %.0f B/file\n",
              static_cast<double>(db.used_bytes()) / count,
              static_cast<double>(log.bytes_on_disk()) / count);
  stopwatch walk;
  size_t seen = 0;
  must(db.walk(table::node, {}, [&](std::string_view, std::string_view) { return ++seen != 0; }));
  std::printf("walk of all nodes %.2f M rows/s\n",
              static_cast<double>(seen) / walk.seconds() / 1e6);
  std::printf("private memory    %zu KiB\n", private_kib());
}

void measure_index(const std::filesystem::path& dir, uint64_t files) {
  auto db = must(metadata_db::open(dir / "chunks", environment::chunks, {}));
  chunk_index index(db);
  stopwatch watch;
  for (uint64_t n = 0; n < files; ++n) {
    index.add_location(chunk_id_of(std::to_string(n)), {1, n, 0});
    if (n % 65'536 == 65'535)
      must(index.flush());
  }
  must(index.flush());
  std::printf("chunk index       %.0f locations/s wall, %.0f B each\n",
              static_cast<double>(files) / watch.seconds(),
              static_cast<double>(db.used_bytes()) / static_cast<double>(files));
  auto packs = must(pack_store::open(dir / "packs", index));
  std::string data(1u << 20, '\0');
  std::mt19937_64 random(1);
  constexpr int chunks = 256;
  double hashing = 0;
  stopwatch put;
  for (int i = 0; i < chunks; ++i) {
    stopwatch own;
    for (size_t k = 0; k < data.size(); k += 8) {
      auto word = random();
      std::copy_n(reinterpret_cast<const char*>(&word), 8, data.data() + k);
    }
    auto id = chunk_id_of(data);
    hashing += own.seconds();
    must(packs->put(id, data));
  }
  must(packs->sync());
  std::printf("pack put          %.2f GB/s wall (1 MiB chunks that do not pack)\n",
              chunks * 1048576e-9 / (put.seconds() - hashing));
}

} // namespace

int main(int argc, char** argv) {
  uint64_t files = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  if (argc > 3)
    batch_ops = std::max<size_t>(std::strtoull(argv[3], nullptr, 10) / bundle_ops, 1) * bundle_ops;
  files = std::max<uint64_t>(files / batch_ops, 1) * batch_ops;
  std::string dir
      = (argc > 2 ? std::filesystem::path(argv[2]) : std::filesystem::temp_directory_path())
        / "harp-store-XXXXXX";
  if (::mkdtemp(dir.data()) == nullptr)
    return 1;
  std::printf("%llu files in %s\n", static_cast<unsigned long long>(files), dir.c_str());
  measure_hashing();
  measure_rows(dir, files);
  measure_index(dir, files);
  std::filesystem::remove_all(dir);
  return 0;
}
