#define CAF_SUITE pack_store
#include "tests/storage/crash_hooks.hpp"
#include "tests/storage/pack_world.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <sys/resource.h>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint32_t day_s = 24 * 3600;
constexpr uint32_t start_s = 1'700'000'000;

std::filesystem::path pack_path(const scratch_dir& dir, uint32_t number) {
  return dir / "packs" / ("000000000" + std::to_string(number) + ".pack");
}

void flip(const std::filesystem::path& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  auto c = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(c);
}

gc_marks marks_of(std::initializer_list<uint64_t> ns, size_t size = 3000) {
  gc_marks out;
  for (auto n : ns)
    out.add(chunk_id_of(chunk_data(n, size)));
  out.close();
  return out;
}

/// Chunks 0..n-1 so large that they fill more than one pack.
constexpr size_t large = 64u << 10;

} // namespace

CAF_TEST(keeps_chunks_once_and_over_a_restart) {
  scratch_dir dir(true);
  {
    pack_world world(dir.path());
    CAF_REQUIRE(world);
    for (uint64_t n = 0; n < 50; ++n)
      world.put(n % 25);
    CAF_CHECK(world.gives(3)); // also before it is durable
    CAF_CHECK(!world.gives(77));
    CAF_REQUIRE(!world.packs->sync());
    CAF_CHECK(world.packs->bytes_of(1) < 25 * 3100 + 100);
  }
  pack_world world(dir.path());
  CAF_REQUIRE(world);
  for (uint64_t n = 0; n < 25; ++n)
    CAF_CHECK(world.gives(n));
  auto absent = world.packs->get(chunk_id_of("no"));
  CAF_CHECK_EQUAL(std::get<storage_failure>(absent).code, ENOENT);
  CAF_CHECK(world.packs->put(chunk_id_of("x"), std::string(pack_data_bytes_max + 1, 'x')));
}

CAF_TEST(finds_everything_again_when_the_index_is_lost) {
  scratch_dir dir(true);
  {
    pack_world world(dir.path());
    for (uint64_t n = 0; n < 70; ++n)
      world.put(n, large);
    world.put(1000);
    CAF_REQUIRE(!world.packs->sync());
    CAF_REQUIRE(!world.index->flush());
    CAF_CHECK_EQUAL(world.packs->current(), 2u);
  }
  std::filesystem::remove_all(dir / "chunks");
  pack_world world(dir.path());
  CAF_REQUIRE(world);
  for (uint64_t n = 0; n < 70; n += 3)
    CAF_CHECK(world.gives(n, large));
  CAF_CHECK(world.gives(1000));
  CAF_CHECK_EQUAL(world.packs->current(), 3u); // nothing is cut where nobody knows what was durable
}

CAF_TEST(removes_a_chunk_only_after_a_day_without_reference) {
  scratch_dir dir(true);
  pack_world world(dir.path());
  for (uint64_t n = 0; n < 4; ++n)
    world.put(n);
  auto keep = marks_of({0, 1});
  sweep_report report;
  CAF_REQUIRE(world.collect(keep, start_s, &report));
  CAF_CHECK_EQUAL(report.waiting, 2u);
  CAF_REQUIRE(world.collect(keep, start_s + day_s - 1, &report));
  CAF_CHECK_EQUAL(report.removed, 0u);
  CAF_CHECK(world.gives(2));
  CAF_CHECK(world.packs->keep(chunk_id_of(chunk_data(2, 3000)))); // somebody counts on it now
  CAF_REQUIRE(world.collect(keep, start_s + day_s, &report));
  CAF_CHECK_EQUAL(report.removed, 1u);
  CAF_CHECK(world.gives(0) && world.gives(1) && world.gives(2) && !world.gives(3));
  // Referenced again in between: the day starts anew.
  CAF_REQUIRE(world.collect(marks_of({0, 1, 2}), start_s + 2 * day_s, &report));
  CAF_REQUIRE(world.collect(keep, start_s + 2 * day_s + 5, &report));
  CAF_REQUIRE(world.collect(keep, start_s + 3 * day_s, &report));
  CAF_CHECK_EQUAL(report.removed, 0u);
  CAF_REQUIRE(world.collect(keep, start_s + 3 * day_s + 5, &report));
  CAF_CHECK_EQUAL(report.removed, 1u);
}

CAF_TEST(rewrites_thin_packs_and_gives_their_room_back) {
  scratch_dir dir(true);
  gc_marks keep;
  {
    pack_world world(dir.path());
    for (uint64_t n = 0; n < 66; ++n) {
      auto id = world.put(n, large);
      if (n % 10 == 0)
        keep.add(id);
    }
    keep.close();
    sweep_report report;
    CAF_REQUIRE(world.collect(keep, start_s, &report));
    CAF_CHECK_EQUAL(report.packs_rewritten, 0u);
    CAF_REQUIRE(world.collect(keep, start_s + day_s, &report));
    CAF_CHECK_EQUAL(report.packs_rewritten, 1u);
    CAF_CHECK(report.bytes_freed > 3u << 20);
    CAF_CHECK(!std::filesystem::exists(pack_path(dir, 1)));
    for (uint64_t n = 0; n < 66; n += 10)
      CAF_CHECK(world.gives(n, large));
    CAF_CHECK(!world.gives(11, large));
  }
  pack_world world(dir.path());
  for (uint64_t n = 0; n < 66; n += 10)
    CAF_CHECK(world.gives(n, large));
}

CAF_TEST(a_damaged_chunk_is_never_served_and_a_new_copy_replaces_it) {
  scratch_dir dir(true);
  pack_world world(dir.path());
  auto id = world.put(1);
  world.put(2);
  CAF_REQUIRE(!world.packs->sync());
  flip(pack_path(dir, 1), 500);
  CAF_CHECK(world.packs->has(id));
  auto got = world.packs->get(id);
  CAF_CHECK_EQUAL(std::get<storage_failure>(got).code, EBADMSG);
  CAF_CHECK(!world.packs->has(id));
  CAF_CHECK(world.gives(2));
  world.put(1);
  CAF_CHECK(world.gives(1));
}

CAF_TEST(a_scrub_finds_what_nobody_has_read) {
  scratch_dir dir(true);
  pack_world world(dir.path());
  for (uint64_t n = 0; n < 66; ++n)
    world.put(n, large);
  CAF_REQUIRE(!world.packs->sync());
  CAF_CHECK(next_scrub(*world.packs, start_s) == 1u);
  flip(pack_path(dir, 1), 150u << 10);
  auto found = scrub_pack(*world.packs, 1, start_s);
  auto& damaged = std::get<std::vector<chunk_id>>(found);
  CAF_REQUIRE_EQUAL(damaged.size(), 1u);
  CAF_CHECK(damaged[0] == chunk_id_of(chunk_data(2, large)));
  CAF_CHECK(!world.packs->has(damaged[0]));
  CAF_CHECK(next_scrub(*world.packs, start_s + day_s) == 2u); // the one being written is read as well
  CAF_CHECK_EQUAL(scrub_pack(*world.packs, 2, start_s).index(), 0u);
  CAF_CHECK(!next_scrub(*world.packs, start_s + day_s));
  CAF_CHECK(next_scrub(*world.packs, start_s + 30 * day_s) == 1u);
  // A pack with damage in it is not thrown away as long as the damaged chunk has no other copy.
  gc_marks keep;
  keep.add(damaged[0]);
  keep.close();
  sweep_report report;
  CAF_REQUIRE(world.collect(keep, start_s, &report));
  CAF_REQUIRE(world.collect(keep, start_s + day_s, &report));
  CAF_CHECK_EQUAL(report.packs_rewritten, 0u);
  CAF_CHECK_EQUAL(report.damaged.size(), 1u);
  CAF_CHECK(std::filesystem::exists(pack_path(dir, 1)));
  world.put(2, large);
  CAF_REQUIRE(world.collect(keep, start_s + day_s, &report));
  CAF_CHECK_EQUAL(report.packs_rewritten, 1u);
  CAF_CHECK(world.gives(2, large));
}

CAF_TEST(every_acknowledged_chunk_survives_a_crash_between_any_two_writes) {
  size_t crashes = 0;
  for (auto kind : {crash_kind::kill, crash_kind::torn, crash_kind::power_loss})
    for (unsigned at = 1;; ++at) {
      scratch_dir dir(true);
      auto end = run_until(at, kind, at, [&] {
        pack_world world(dir.path());
        if (!world)
          return 1;
        for (uint32_t n = 0; n < 12; ++n) {
          world.put(n);
          if (n % 5 == 4 && world.index->flush())
            return 2;
          if (n % 2 == 0)
            continue;
          if (world.packs->sync())
            return 3;
          acknowledge(n);
        }
        return world.trouble.empty() ? 0 : 4;
      });
      CAF_REQUIRE(end.killed || end.status == 0);
      pack_world world(dir.path());
      if (!world)
        CAF_FAIL(world.trouble);
      uint32_t safe = end.acknowledged.empty() ? 0 : end.acknowledged.back() + 1;
      for (uint32_t n = 0; n < 12; ++n) {
        CAF_CHECK(n >= safe || world.gives(n));
        // What the index promises is there: no row ahead of its bytes.
        CAF_CHECK(!world.packs->has(chunk_id_of(chunk_data(n, 3000))) || world.gives(n));
      }
      world.put(77);
      CAF_CHECK(!world.packs->sync() && world.gives(77));
      if (!end.killed)
        break;
      ++crashes;
    }
  CAF_MESSAGE(crashes << " crashes");
  CAF_CHECK(crashes > 60);
}

CAF_TEST(a_collection_that_is_killed_loses_nothing_referenced) {
  scratch_dir origin(true);
  gc_marks keep;
  {
    pack_world world(origin.path());
    for (uint64_t n = 0; n < 66; ++n) {
      auto id = world.put(n, large);
      if (n % 20 == 0)
        keep.add(id);
    }
    keep.close();
    CAF_REQUIRE(world.collect(keep, start_s));
  }
  unsigned crashes = 0;
  for (unsigned at = 1;; at += 2) {
    scratch_dir dir(true);
    std::filesystem::remove(dir.path());
    // Only the small files are copied; the large pack is linked, for a collection never changes it.
    std::filesystem::create_directories(dir / "packs");
    std::filesystem::copy(origin / "chunks", dir / "chunks");
    std::filesystem::create_hard_link(pack_path(origin, 1), pack_path(dir, 1));
    std::filesystem::copy(pack_path(origin, 2), pack_path(dir, 2));
    auto end = run_until(at, crash_kind::power_loss, at, [&] {
      pack_world world(dir.path());
      return world && world.collect(keep, start_s + day_s) ? 0 : 1;
    });
    CAF_REQUIRE(end.killed || end.status == 0);
    pack_world world(dir.path());
    CAF_REQUIRE(world);
    for (uint64_t n = 0; n < 66; n += 20)
      CAF_CHECK(world.gives(n, large));
    CAF_CHECK(end.killed || !std::filesystem::exists(pack_path(dir, 1)));
    if (!end.killed)
      break;
    ++crashes;
  }
  CAF_CHECK(crashes >= 5);
}

CAF_TEST(a_full_disk_is_refused_and_recovered_from) {
  scratch_dir dir;
  auto end = run_until(0, crash_kind::kill, 0, [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    pack_world world(dir.path());
    world.put(1, 100'000);
    if (!world || world.packs->sync())
      return 1;
    rlimit room{};
    getrlimit(RLIMIT_FSIZE, &room);
    rlimit tight{300'000, room.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    world.put(2, 400'000);
    if (!world.packs->sync())
      return 2;
    if (!world.index->flush())
      return 3; // a row ahead of its bytes
    setrlimit(RLIMIT_FSIZE, &room);
    if (world.packs->sync() || world.index->flush())
      return 4;
    return world.gives(1, 100'000) && world.gives(2, 400'000) ? 0 : 5;
  });
  CAF_CHECK_EQUAL(end.status, 0);
}
