// inotify on a real directory: every wait is on a condition, with a limit.
#define CAF_SUITE watcher
#include "storage/watcher.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>

using namespace harp;

namespace {

struct world {
  test::scratch_dir dir;
  std::mutex mutex;
  std::condition_variable woken;
  size_t wakes = 0;
  std::vector<disk_change> seen;
  std::unique_ptr<watcher> watch;

  void start(std::function<bool(std::string_view)> skip = {}) {
    watch_options options{dir.path().string(), std::move(skip), [this] {
                            std::lock_guard guard(mutex);
                            ++wakes;
                            woken.notify_all();
                          }};
    auto started = watcher::start(std::move(options));
    CAF_REQUIRE(std::holds_alternative<std::unique_ptr<watcher>>(started));
    watch = std::move(std::get<std::unique_ptr<watcher>>(started));
    CAF_REQUIRE(until(
        [](const disk_change& c) { return c.what == disk_change::kind::lost && c.path.empty(); }));
    seen.clear();
  }
  ~world() { watch.reset(); }

  /// Waits until a change fits, at most 20 s.
  template <class Fits>
  bool until(Fits fits) {
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
      size_t before;
      {
        std::lock_guard guard(mutex);
        before = wakes;
      }
      for (auto& each : watch->take())
        seen.push_back(each);
      if (std::any_of(seen.begin(), seen.end(), fits))
        return true;
      std::unique_lock guard(mutex);
      if (!woken.wait_until(guard, limit, [&] { return wakes != before; }))
        return false;
    }
  }
  bool told(disk_change::kind what, const std::string& path, const std::string& from = {}) {
    return until(
        [&](const disk_change& c) { return c.what == what && c.path == path && c.from == from; });
  }
  void write(const std::string& path, std::string_view text = "x") {
    std::ofstream(dir / path) << text;
  }
};

using kind = disk_change::kind;

} // namespace

CAF_TEST(tells_writes_renames_and_deletes) {
  world w;
  std::filesystem::create_directories(w.dir / "d/e");
  w.write("d/e/old");
  w.start();
  CAF_CHECK_EQUAL(w.watch->watched(), 3u);
  w.write("d/e/f");
  CAF_CHECK(w.told(kind::changed, "d/e/f"));
  std::filesystem::rename(w.dir / "d/e/f", w.dir / "g");
  CAF_CHECK(w.told(kind::moved, "g", "d/e/f"));
  std::filesystem::remove(w.dir / "d/e/old");
  CAF_CHECK(w.told(kind::gone, "d/e/old"));
}

CAF_TEST(renamed_directory_is_one_change_and_is_watched_under_its_new_name) {
  world w;
  std::filesystem::create_directories(w.dir / "a/b");
  w.start();
  std::filesystem::rename(w.dir / "a", w.dir / "z");
  CAF_CHECK(w.told(kind::moved, "z", "a"));
  w.seen.clear();
  w.write("z/b/f");
  CAF_CHECK(w.told(kind::changed, "z/b/f"));
  CAF_CHECK(std::none_of(w.seen.begin(), w.seen.end(),
                         [](const disk_change& c) { return c.path.starts_with("a"); }));
  CAF_CHECK_EQUAL(w.watch->watched(), 3u);
}

CAF_TEST(new_directory_trees_are_watched_and_asked_to_be_scanned) {
  world w;
  w.start();
  std::filesystem::create_directories(w.dir / "n/m");
  CAF_CHECK(w.told(kind::lost, "n"));
  // once told of its sub-directory or not: what is written later is seen
  CAF_CHECK(w.until([&](const disk_change&) { return w.watch->watched() == 3; }));
  w.write("n/m/f");
  CAF_CHECK(w.told(kind::changed, "n/m/f"));
}

CAF_TEST(unwatches_what_leaves_the_tree) {
  world w;
  test::scratch_dir outside;
  std::filesystem::create_directories(w.dir / "a/b");
  w.start();
  CAF_CHECK_EQUAL(w.watch->watched(), 3u);
  std::filesystem::rename(w.dir / "a", outside / "a");
  CAF_CHECK(w.told(kind::gone, "a"));
  CAF_CHECK_EQUAL(w.watch->watched(), 1u);
}

CAF_TEST(own_temp_files_and_skipped_directories_are_silent) {
  world w;
  std::filesystem::create_directories(w.dir / "skip");
  w.start([](std::string_view path) { return path == "skip"; });
  CAF_CHECK_EQUAL(w.watch->watched(), 1u);
  w.write(".harp-1-2.tmp");
  w.write("skip/f");
  w.write("last");
  CAF_CHECK(w.told(kind::changed, "last"));
  CAF_CHECK_EQUAL(w.seen.size(), 1u);
  // renamed into place it is somebody's file
  std::filesystem::rename(w.dir / ".harp-1-2.tmp", w.dir / "placed");
  CAF_CHECK(w.told(kind::changed, "placed"));
}

CAF_TEST(open_file_waits_and_says_so) {
  world w;
  w.start();
  std::ofstream out(w.dir / "f");
  out << "first" << std::flush;
  w.write("other");
  CAF_CHECK(w.told(kind::changed, "other"));
  CAF_CHECK(w.watch->waiting("f"));
  out << "second" << std::flush;
  out.close();
  CAF_CHECK(w.told(kind::changed, "f"));
  CAF_CHECK(!w.watch->waiting("f"));
}

CAF_TEST(retry_comes_back_after_a_second) {
  world w;
  w.start();
  auto start = std::chrono::steady_clock::now();
  w.watch->retry("f");
  CAF_CHECK(w.told(kind::changed, "f"));
  CAF_CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(990));
}

CAF_TEST(symlinked_directories_are_not_followed) {
  world w;
  test::scratch_dir outside;
  std::filesystem::create_directory_symlink(outside.path(), w.dir / "l");
  w.start();
  CAF_CHECK_EQUAL(w.watch->watched(), 1u);
  std::ofstream(outside / "f") << "x";
  w.write("own");
  CAF_CHECK(w.told(kind::changed, "own"));
  CAF_CHECK_EQUAL(w.seen.size(), 1u);
}

CAF_TEST(missing_root_is_refused_in_words) {
  auto started = watcher::start({"/nonexistent/harp", {}, {}});
  CAF_REQUIRE(std::holds_alternative<std::string>(started));
  CAF_CHECK(std::get<std::string>(started).find("/nonexistent/harp") != std::string::npos);
}
