// The scan of a real directory against base rows: finds what differs, and knows what it does not know.
#define CAF_SUITE disk_scan
#include "storage/disk_scan.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <unistd.h>

using namespace harp;

namespace {

/// Rows shared by the threads of a scan: each call is locked.
class shared_rows final : public folder_rows {
private:
  template <class Work>
  auto locked(Work work) {
    std::lock_guard guard(mutex_);
    return work();
  }

public:
  shared_rows(folder_rows& rows, std::mutex& mutex) : rows_(rows), mutex_(mutex) {}
  std::optional<base_row> base(local_id lid) override {
    return locked([&] { return rows_.base(lid); });
  }
  void put_base(local_id, const base_row&) override {}
  void erase_base(local_id) override {}
  local_id base_at(local_id p, std::string_view n) override {
    return locked([&] { return rows_.base_at(p, n); });
  }
  local_id by_inode(uint64_t d, uint64_t i) override {
    return locked([&] { return rows_.by_inode(d, i); });
  }
  void each_base(local_id p, std::string_view a,
                 const std::function<bool(std::string_view, local_id)>& v) override {
    locked([&] { return rows_.each_base(p, a, v), 0; });
  }
  uint64_t base_files() override { return rows_.base_files(); }
  std::optional<selection_row> selection(local_id) override { return {}; }
  void put_selection(local_id, const selection_row&) override {}
  void erase_selection(local_id) override {}
  void mark_dirty(local_id, uint8_t) override {}
  std::vector<local_id> dirty_lids(local_id, size_t) override { return {}; }
  void clear_dirty(local_id) override {}
  void put_placing(const placing_row&) override {}
  void erase_placing(std::string_view, std::string_view) override {}
  std::vector<placing_row> placings() override { return {}; }

private:
  folder_rows& rows_;
  std::mutex& mutex_;
};

struct world {
  test::scratch_dir dir;
  safe_root root;
  folder_rows_memory rows;
  std::mutex mutex;
  local_id last = root_lid;
  std::vector<std::string> present, absent;
  scan_options options;

  world() : root(std::move(std::get<safe_root>(safe_root::open(dir.path().string())))) {}

  void write(const std::string& path, std::string_view text = "x") {
    std::filesystem::create_directories((dir / path).parent_path());
    std::ofstream(dir / path) << text;
  }
  scan_totals scan(local_id from = root_lid) {
    present.clear();
    absent.clear();
    auto view = [this] { return std::make_unique<shared_rows>(rows, mutex); };
    auto totals = scan_disk(root, view, from, options, [&](scan_piece piece) {
      for (const auto& place : piece.present)
        present.push_back(path(place));
      for (const auto& place : piece.absent)
        absent.push_back(path(place));
      return true;
    });
    std::sort(present.begin(), present.end());
    std::sort(absent.begin(), absent.end());
    return totals;
  }
  std::string path(const disk_place& place) {
    std::lock_guard guard(mutex);
    return join_path(base_path(rows, place.parent).value_or("?"), place.name);
  }
  /// Takes everything into the base, level by level, as emissions would.
  void learn() {
    for (;;) {
      scan();
      if (present.empty())
        return;
      for (const auto& each : present)
        learn(each);
    }
  }
  void learn(const std::string& each) {
    auto [in, name] = split_path(each);
    auto stat = std::get<file_stat>(root.stat(each));
    base_row row;
    row.parent = base_at_path(rows, in);
    row.name = row.disk_name = name;
    row.kind = stat.kind == disk_kind::dir ? node_kind::dir : node_kind::file;
    row.seen = stat;
    local_id known = rows.base_at(row.parent, name);
    rows.put_base(known != 0 ? known : ++last, row);
  }
};

using paths = std::vector<std::string>;

} // namespace

CAF_TEST(finds_new_changed_and_gone_entries) {
  world w;
  for (const char* path : {"a", "b", "d/e/f", "d/g"})
    w.write(path);
  w.scan();
  CAF_CHECK(w.present == (paths{"a", "b", "d"})); // a new directory is told, not entered
  w.learn();
  w.scan();
  CAF_CHECK(w.present.empty() && w.absent.empty());
  w.write("a", "longer");
  std::filesystem::remove(w.dir / "b");
  w.write("d/e/new");
  std::filesystem::rename(w.dir / "d/g", w.dir / "d/e/h");
  auto totals = w.scan();
  CAF_CHECK(w.present == (paths{"a", "d/e/h", "d/e/new"}));
  CAF_CHECK(w.absent == (paths{"b", "d/g"}));
  CAF_CHECK(totals.complete);
  CAF_CHECK_EQUAL(totals.dirs, 3u);
  CAF_CHECK_EQUAL(totals.entries, 6u);
}

CAF_TEST(gone_directory_is_one_place_and_a_sub_tree_can_be_scanned_alone) {
  world w;
  for (int i = 0; i < 20; ++i)
    w.write("d/" + std::to_string(i));
  w.write("other/f");
  w.learn();
  std::filesystem::remove_all(w.dir / "d");
  w.write("other/f", "changed");
  w.scan();
  CAF_CHECK(w.absent == paths{"d"});
  CAF_CHECK(w.present == paths{"other/f"});
  w.scan(base_at_path(w.rows, "other"));
  CAF_CHECK(w.absent.empty());
  CAF_CHECK(w.present == paths{"other/f"});
}

CAF_TEST(unreadable_directory_is_unknown_not_empty) {
  if (::geteuid() == 0 && ::seteuid(65534) != 0)
    return;
  {
    world w;
    w.write("d/f");
    w.write("g");
    w.learn();
    std::filesystem::permissions(w.dir / "d", std::filesystem::perms::none);
    auto totals = w.scan();
    CAF_CHECK(!totals.complete);
    CAF_CHECK(totals.unreadable == paths{"d"});
    CAF_CHECK(w.absent.empty());
    std::filesystem::permissions(w.dir / "d", std::filesystem::perms::owner_all);
  }
  if (::getuid() == 0)
    CAF_CHECK_EQUAL(::seteuid(0), 0);
}

CAF_TEST(ignored_and_own_entries_are_not_told) {
  world w;
  w.options.ignored = [](std::string_view path, bool) { return path.ends_with(".o"); };
  for (const char* path : {"a.o", "b", ".harp-1-2.tmp", ".harp-space"})
    w.write(path);
  w.scan();
  CAF_CHECK(w.present == paths{"b"});
}

CAF_TEST(scan_can_be_stopped_and_is_then_incomplete) {
  world w;
  for (int i = 0; i < 10; ++i)
    w.write("f" + std::to_string(i));
  auto totals = scan_disk(
      w.root, [&] { return std::make_unique<shared_rows>(w.rows, w.mutex); }, root_lid, {},
      [](scan_piece) { return false; });
  CAF_CHECK(!totals.complete);
}
