#define CAF_SUITE partial_file
#include "storage/digest.hpp"
#include "storage/partial_file.hpp"
#include "tests/storage/crash_hooks.hpp"
#include "tests/storage/pack_world.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <csignal>
#include <fstream>
#include <sys/resource.h>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint32_t chunk_bytes = 5000;
constexpr uint32_t chunks = 20;

/// Content of equal chunks: the partial file does not care how it was cut.
placed_chunk chunk_at(uint32_t no) {
  return {{chunk_id_of(chunk_data(no, chunk_bytes)), chunk_bytes}, no, uint64_t{no} * chunk_bytes};
}

partial_target target(const std::string& temp = ".harp-x.tmp", uint32_t count = chunks) {
  content_id cid;
  cid.bytes[0] = static_cast<uint8_t>(count);
  return {cid, uint64_t{count} * chunk_bytes, count, "sub", temp};
}

struct world {
  std::unique_ptr<metadata_db> db;
  std::unique_ptr<safe_root> root;
  std::unique_ptr<partial_file> file;
  std::string trouble;

  explicit world(const std::filesystem::path& dir, const partial_target& what = target()) {
    std::filesystem::create_directories(dir / "space" / "sub");
    auto opened = metadata_db::open(dir / "db", environment::meta, {});
    auto rooted = safe_root::open((dir / "space").string());
    if (opened.index() == 1 || rooted.index() == 1) {
      trouble = "open";
      return;
    }
    db = std::make_unique<metadata_db>(std::move(std::get<0>(opened)));
    root = std::make_unique<safe_root>(std::move(std::get<0>(rooted)));
    reopen(what);
  }
  void reopen(const partial_target& what) {
    auto partial = partial_file::open(*root, *db, what);
    if (auto* failure = std::get_if<storage_failure>(&partial))
      trouble = failure->what;
    else
      file = std::make_unique<partial_file>(std::move(std::get<partial_file>(partial)));
  }
  bool write(uint32_t no) { return !file->write(chunk_at(no), chunk_data(no, chunk_bytes)); }
  bool claim() {
    auto claimed = file->claim();
    auto* rows = std::get_if<partial_claim>(&claimed);
    return rows != nullptr && !db->write([&](write_txn& txn) {
      store_claim(txn, *rows);
      return true;
    });
  }
};

} // namespace

CAF_TEST(goes_on_with_what_was_claimed_and_checks_it_before_the_end) {
  scratch_dir dir(true);
  {
    world w(dir.path());
    for (uint32_t no : {0u, 3u, 7u})
      CAF_CHECK(w.write(no));
    CAF_REQUIRE(w.claim());
    CAF_CHECK(w.write(8)); // never claimed
    CAF_CHECK(w.file->has(8));
  }
  world w(dir.path());
  CAF_CHECK_EQUAL(w.file->count(), 3u);
  CAF_CHECK(w.file->has(3) && !w.file->has(8));
  CAF_CHECK_EQUAL(w.file->next_unchecked(0), 0u);
  CAF_CHECK_EQUAL(w.file->next_unchecked(1), 3u);
  for (uint32_t no = 0; no < chunks; ++no)
    if (!w.file->has(no))
      CAF_CHECK(w.write(no));
  CAF_CHECK(w.file->complete());
  CAF_CHECK(w.file->unfinished()); // resumed chunks are not checked yet
  for (uint32_t no : {0u, 3u, 7u})
    CAF_CHECK(w.file->check(chunk_at(no)));
  CAF_CHECK(!w.file->unfinished());
  CAF_CHECK(*w.file->read(chunk_at(19)) == chunk_data(19, chunk_bytes));
}

CAF_TEST(a_claimed_chunk_with_wrong_bytes_is_fetched_again) {
  scratch_dir dir(true);
  {
    world w(dir.path());
    for (uint32_t no = 0; no < chunks; ++no)
      w.write(no);
    CAF_REQUIRE(w.claim());
  }
  std::fstream file(dir / "space" / "sub" / ".harp-x.tmp",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(chunk_bytes * 4 + 7);
  file.put('!');
  file.close();
  world w(dir.path());
  for (uint32_t no = 0; no < chunks; ++no)
    CAF_CHECK_EQUAL(w.file->check(chunk_at(no)), no != 4);
  CAF_CHECK(!w.file->has(4) && !w.file->read(chunk_at(4)));
  CAF_CHECK(w.file->unfinished());
  CAF_CHECK(w.claim()); // and it stays that way over another restart
  w.file.reset();
  w.reopen(target());
  CAF_CHECK(!w.file->has(4) && w.file->has(5));
}

CAF_TEST(starts_anew_when_the_temp_file_is_another_one) {
  scratch_dir dir(true);
  auto temp = dir / "space" / "sub" / ".harp-x.tmp";
  {
    world w(dir.path());
    w.write(1);
    CAF_REQUIRE(w.claim());
  }
  auto check_empty = [&](const partial_target& what) {
    world w(dir.path(), what);
    CAF_REQUIRE(w.file);
    CAF_CHECK_EQUAL(w.file->count(), 0u);
    w.write(1);
    CAF_REQUIRE(w.claim());
  };
  std::filesystem::rename(temp, dir / "aside");
  check_empty(target()); // gone, another inode
  std::filesystem::resize_file(temp, 10);
  check_empty(target()); // another length
  check_empty(target(".harp-y.tmp"));
  world w(dir.path(), target(".harp-y.tmp"));
  CAF_CHECK_EQUAL(w.file->count(), 1u);
}

CAF_TEST(claims_in_time_and_only_what_is_new) {
  scratch_dir dir(true);
  world w(dir.path(), target(".harp-big.tmp", 20'000));
  auto now = std::chrono::steady_clock::now();
  CAF_CHECK(!w.file->due(now + claim_wait_max));
  w.write(19'999);
  CAF_CHECK(!w.file->due(now));
  CAF_CHECK(w.file->due(std::chrono::steady_clock::now() + claim_wait_max));
  auto claimed = w.file->claim();
  auto& rows = std::get<partial_claim>(claimed);
  CAF_REQUIRE_EQUAL(rows.blocks.size(), 1u);
  CAF_CHECK_EQUAL(rows.blocks[0].first, 2u);
  CAF_CHECK_EQUAL(rows.blocks[0].second.size(), 1024u);
  CAF_CHECK(!w.file->due(now + 2 * claim_wait_max));
  CAF_CHECK(std::get<partial_claim>(w.file->claim()).blocks.empty());
  for (uint32_t no = 0; no < claim_bytes_max / chunk_bytes + 1; ++no)
    w.write(no);
  CAF_CHECK(w.file->due(now));
}

CAF_TEST(refuses_what_does_not_lie_inside_the_content) {
  scratch_dir dir(true);
  world w(dir.path());
  auto bytes = chunk_data(1, chunk_bytes);
  auto outside = chunk_at(chunks);
  CAF_CHECK(w.file->write(outside, bytes));
  auto beyond = chunk_at(chunks - 1);
  beyond.offset += 1;
  CAF_CHECK(w.file->write(beyond, bytes));
  auto wraps = chunk_at(1);
  wraps.offset = UINT64_MAX - 10;
  CAF_CHECK(w.file->write(wraps, bytes));
  CAF_CHECK(w.file->write(chunk_at(1), bytes.substr(1)));
  CAF_CHECK_EQUAL(w.file->count(), 0u);
  partial_target up = target();
  up.dir_path = "..";
  w.trouble.clear();
  w.reopen(up);
  CAF_CHECK(!w.trouble.empty());
  std::filesystem::create_symlink("/etc/passwd", dir / "space" / "sub" / ".harp-l.tmp");
  w.trouble.clear();
  w.reopen(target(".harp-l.tmp"));
  CAF_CHECK(!w.trouble.empty());
}

CAF_TEST(a_download_given_up_leaves_no_rows) {
  scratch_dir dir(true);
  world w(dir.path());
  w.write(1);
  auto claimed = std::get<partial_claim>(w.file->claim());
  CAF_REQUIRE(
      !w.db->read([](const read_txn& txn) { CAF_CHECK_EQUAL(known_partials(txn, 9).size(), 1u); }));
  CAF_REQUIRE(!w.db->write([&](write_txn& txn) {
    erase_partial(txn, target().cid);
    store_claim(txn, claimed); // came late
    CAF_CHECK(known_partials(txn, 9).empty());
    CAF_CHECK_EQUAL(txn.count(table::partial), 0u);
    return true;
  }));
}

CAF_TEST(nothing_is_claimed_that_a_crash_can_take_away) {
  size_t crashes = 0;
  size_t resumed = 0;
  for (auto kind : {crash_kind::kill, crash_kind::torn, crash_kind::power_loss})
    for (unsigned at = 1;; ++at) {
      scratch_dir dir(true);
      auto end = run_until(at, kind, at, [&] {
        world w(dir.path());
        if (!w.file)
          return 1;
        for (uint32_t no = 0; no < chunks; ++no) {
          if (!w.write((no * 7) % chunks))
            return 2;
          if (no % 4 != 3)
            continue;
          if (!w.claim())
            return 3;
          acknowledge(no + 1);
        }
        return 0;
      });
      CAF_REQUIRE(end.killed || end.status == 0);
      world w(dir.path());
      CAF_REQUIRE(w.file);
      CAF_CHECK(w.file->count() >= (end.acknowledged.empty() ? 0 : end.acknowledged.back()));
      for (uint32_t no = 0; no < chunks; ++no)
        if (w.file->has(no))
          CAF_CHECK(w.file->check(chunk_at(no)));
      resumed += w.file->count();
      if (!end.killed)
        break;
      ++crashes;
    }
  CAF_MESSAGE(crashes << " crashes");
  CAF_CHECK(crashes > 60);
  CAF_CHECK(resumed > 100);
}

CAF_TEST(a_full_disk_is_told_before_anything_is_fetched) {
  scratch_dir dir;
  auto end = run_until(0, crash_kind::kill, 0, [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    world w(dir.path());
    rlimit room{};
    getrlimit(RLIMIT_FSIZE, &room);
    rlimit tight{1u << 20, room.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    w.reopen(target(".harp-z.tmp", 2000));
    if (w.trouble.find("reserve") == std::string::npos)
      return 1;
    setrlimit(RLIMIT_FSIZE, &room);
    w.trouble.clear();
    w.reopen(target(".harp-z.tmp", 2000));
    return w.trouble.empty() && w.write(1999) ? 0 : 2;
  });
  CAF_CHECK_EQUAL(end.status, 0);
}
