#define CAF_SUITE oplog
#include "storage/digest.hpp"
#include "storage/oplog.hpp"
#include "storage/signing.hpp"
#include "storage/space_rows_lmdb.hpp"
#include "tests/storage/crash_hooks.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <random>
#include <sys/resource.h>

using namespace harp;
using namespace harp::test;

namespace {

constexpr size_t batch_size = 3;

std::string raw_bundle(replica_id rid, uint64_t seq, size_t size) {
  std::mt19937_64 random(rid * 1'000'003 + seq);
  std::string out(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    auto word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), std::min<size_t>(8, size - i),
                out.data() + i);
  }
  return out;
}

logged_bundle logged(replica_id rid, uint64_t seq, const std::string& raw) {
  auto hash = blake2b(sign_as::bundle, std::string_view(raw).substr(0, raw.size() - 64));
  return {{rid, seq}, seq * 10, hash, raw};
}

struct place {
  metadata_db db;
  oplog log;
};

std::variant<place, storage_failure> try_open(const std::filesystem::path& dir) {
  auto db = metadata_db::open(dir / "db", environment::meta, {});
  if (auto* failure = std::get_if<storage_failure>(&db))
    return *failure;
  auto& good = std::get<metadata_db>(db);
  auto log = oplog::open(dir / "oplog", good);
  if (auto* failure = std::get_if<storage_failure>(&log))
    return *failure;
  return place{std::move(good), std::move(std::get<oplog>(log))};
}

place opened(const std::filesystem::path& dir) {
  auto out = try_open(dir);
  if (auto* failure = std::get_if<storage_failure>(&out))
    CAF_FAIL(failure->what);
  return std::move(std::get<place>(out));
}

/// Bundles `first` .. of replica 1 in one batch, and a setting that says how far.
std::optional<storage_failure> commit(place& at, uint64_t first, size_t size = 500,
                                      size_t count = batch_size, bool keep = true) {
  std::vector<std::string> raws;
  for (size_t i = 0; i < count; ++i)
    raws.push_back(raw_bundle(1, first + i, size + i));
  std::vector<logged_bundle> batch;
  for (size_t i = 0; i < count; ++i)
    batch.push_back(logged(1, first + i, raws[i]));
  return at.log.commit(at.db, batch, [&](write_txn& txn) {
    space_rows_lmdb rows(txn);
    rows.put_setting("upto", std::to_string(first + count - 1));
    rows.flush();
    return keep;
  });
}

/// Seqs of replica 1 that read back right, from `from` on.
std::vector<uint64_t> read_all(const place& at, uint64_t from = 1, uint64_t to = UINT64_MAX,
                               size_t bytes = SIZE_MAX) {
  std::vector<uint64_t> out;
  auto failure = at.log.each(at.db, 1, from, to, bytes, [&](uint64_t seq, std::string raw) {
    CAF_CHECK(raw == raw_bundle(1, seq, raw.size()));
    out.push_back(seq);
    return true;
  });
  CAF_CHECK(!failure);
  return out;
}

std::string upto(const place& at) {
  std::string out;
  CAF_REQUIRE(!read_space(at.db, [&](space_rows& rows) { out = rows.setting("upto"); }));
  return out;
}

std::filesystem::path first_segment(const scratch_dir& dir) {
  return dir / "oplog" / "0000000001.log";
}

} // namespace

CAF_TEST(gives_back_ranges_in_order_and_within_bytes) {
  scratch_dir dir(true);
  auto at = opened(dir.path());
  for (uint64_t first = 1; first < 30; first += batch_size)
    CAF_REQUIRE(!commit(at, first));
  CAF_CHECK_EQUAL(read_all(at).size(), 30u);
  CAF_CHECK(read_all(at, 5, 8) == (std::vector<uint64_t>{5, 6, 7, 8}));
  CAF_CHECK_EQUAL(read_all(at, 1, 30, 1200).size(), 2u);
  CAF_CHECK_EQUAL(read_all(at, 1, 30, 1).size(), 1u);
  CAF_CHECK(read_all(at, 31, 40).empty());
  std::optional<bundle_row> row;
  CAF_CHECK(!at.db.read([&](const read_txn& txn) {
    row = find_bundle(txn, {1, 7});
    CAF_CHECK(!find_bundle(txn, {2, 7}));
  }));
  CAF_REQUIRE(row);
  CAF_CHECK_EQUAL(row->hlc, 70u);
  CAF_CHECK(decode_bundle_row(encode(*row)) == *row);
  CAF_CHECK(!decode_bundle_row(encode(*row).substr(1)));
}

CAF_TEST(a_batch_that_is_not_kept_leaves_nothing) {
  scratch_dir dir(true);
  auto at = opened(dir.path());
  CAF_CHECK(!commit(at, 1));
  auto size = std::filesystem::file_size(first_segment(dir));
  CAF_CHECK(!commit(at, 4, 500, batch_size, false));
  CAF_CHECK_EQUAL(std::filesystem::file_size(first_segment(dir)), size);
  CAF_CHECK_EQUAL(upto(at), "3");
  CAF_CHECK(!commit(at, 4));
  CAF_CHECK_EQUAL(read_all(at).size(), 6u);
}

CAF_TEST(cuts_a_tail_no_row_points_to_at_every_length) {
  scratch_dir dir(true);
  {
    auto at = opened(dir.path());
    CAF_CHECK(!commit(at, 1));
  }
  auto kept = std::filesystem::file_size(first_segment(dir));
  for (size_t extra : {1u, 63u, 64u, 500u, 70'000u}) {
    std::ofstream(first_segment(dir), std::ios::app | std::ios::binary) << std::string(extra, 'x');
    std::ofstream(dir / "oplog" / "0000000002.log") << "never committed";
    auto at = opened(dir.path());
    CAF_CHECK_EQUAL(std::filesystem::file_size(first_segment(dir)), kept);
    CAF_CHECK(!std::filesystem::exists(dir / "oplog" / "0000000002.log"));
    CAF_CHECK_EQUAL(read_all(at).size(), batch_size);
  }
}

CAF_TEST(says_so_when_committed_bytes_are_gone_or_changed) {
  scratch_dir dir(true);
  {
    auto at = opened(dir.path());
    CAF_CHECK(!commit(at, 1));
    std::fstream file(first_segment(dir), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(600);
    file.put('!');
    file.close();
    std::vector<uint64_t> seen;
    auto failure = at.log.each(at.db, 1, 1, 9, SIZE_MAX, [&](uint64_t seq, std::string) {
      seen.push_back(seq);
      return true;
    });
    CAF_REQUIRE(failure);
    CAF_CHECK_EQUAL(failure->code, EBADMSG);
    CAF_CHECK(seen == std::vector<uint64_t>{1});
  }
  std::filesystem::resize_file(first_segment(dir), 100);
  auto db = metadata_db::open(dir / "db", environment::meta, {});
  auto log = oplog::open(dir / "oplog", std::get<metadata_db>(db));
  CAF_REQUIRE(std::holds_alternative<storage_failure>(log));
}

CAF_TEST(starts_new_segments_and_drops_those_everybody_has) {
  scratch_dir dir(true);
  auto at = opened(dir.path());
  constexpr size_t mebibyte = 1u << 20;
  for (uint64_t first = 1; first <= 160; first += 10)
    CAF_REQUIRE(!commit(at, first, mebibyte, 10));
  CAF_CHECK(at.log.bytes_on_disk() > 2ull * oplog_segment_bytes_max);
  CAF_CHECK(std::filesystem::exists(dir / "oplog" / "0000000003.log"));
  auto none = at.log.drop_covered(at.db, {{1, 20}});
  CAF_CHECK(std::get<size_t>(none) == 0u);
  auto dropped = at.log.drop_covered(at.db, {{1, 100}, {2, 5}});
  CAF_CHECK(std::get<size_t>(dropped) == 1u);
  CAF_CHECK(!std::filesystem::exists(first_segment(dir)));
  CAF_CHECK(read_all(at).empty());
  auto rest = read_all(at, 64);
  CAF_CHECK(rest.size() >= 90 && rest.back() == 160);
}

CAF_TEST(every_acknowledged_batch_survives_a_crash_between_any_two_writes) {
  size_t crashes = 0;
  for (auto kind : {crash_kind::kill, crash_kind::torn, crash_kind::power_loss})
    for (unsigned n = 1;; ++n) {
      scratch_dir dir(true);
      auto end = run_until(n, kind, n, [&] {
        auto tried = try_open(dir.path());
        auto* at = std::get_if<place>(&tried);
        if (at == nullptr)
          return 1;
        for (uint64_t first = 1; first <= 12; first += batch_size) {
          if (commit(*at, first))
            return 2;
          acknowledge(static_cast<uint32_t>(first + batch_size - 1));
        }
        return 0;
      });
      CAF_MESSAGE("kind " << static_cast<int>(kind) << ", step " << n);
      CAF_REQUIRE(end.killed || end.status == 0);
      auto at = opened(dir.path());
      auto seqs = read_all(at);
      CAF_CHECK(end.acknowledged.empty() || seqs.size() >= end.acknowledged.back());
      CAF_CHECK_EQUAL(seqs.size() % batch_size, 0u); // a batch is whole or absent
      CAF_CHECK_EQUAL(upto(at), seqs.empty() ? "" : std::to_string(seqs.size()));
      CAF_REQUIRE(!commit(at, seqs.size() + 1));
      CAF_CHECK_EQUAL(read_all(at).size(), seqs.size() + batch_size);
      if (!end.killed)
        break;
      ++crashes;
    }
  CAF_MESSAGE(crashes << " crashes");
  CAF_CHECK(crashes > 60);
}

CAF_TEST(a_full_disk_refuses_the_batch_and_the_next_one_fits_again) {
  scratch_dir dir;
  auto end = run_until(0, crash_kind::kill, 0, [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    auto at = opened(dir.path());
    if (commit(at, 1))
      return 1;
    rlimit room{};
    getrlimit(RLIMIT_FSIZE, &room);
    rlimit tight{100'000, room.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    if (!commit(at, 4, 200'000))
      return 2;
    setrlimit(RLIMIT_FSIZE, &room);
    if (commit(at, 4, 200'000))
      return 3;
    return read_all(at).size() == 6 ? 0 : 4;
  });
  CAF_CHECK_EQUAL(end.status, 0);
}
