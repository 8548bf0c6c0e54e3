// Group commit: durable before renamed, never over an unseen edit, found out after a crash (storage.md 6.4).
#define CAF_SUITE file_writer
#include "storage/file_writer.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

using namespace harp;

namespace {

struct world {
  test::scratch_dir dir;
  safe_root root;
  std::vector<placing_row> stored;
  bool store_works = true;
  std::function<void()> before_renames;
  file_writer writer;

  world()
      : root(std::move(std::get<safe_root>(safe_root::open(dir.path().string())))),
        writer(root, [this](const std::vector<placing_row>& rows) {
          stored = rows;
          if (before_renames)
            before_renames();
          return store_works;
        }) {}

  void write(const std::string& path, std::string_view text) { std::ofstream(dir / path) << text; }
  std::string read(const std::string& path) {
    std::ifstream in(dir / path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool exists(const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(dir / path));
  }
  file_stat stat(const std::string& path) { return std::get<file_stat>(root.stat(path)); }
  /// A finished temp file for `path`.
  finished_file finished(const std::string& path, std::string_view text, bool replaces = false) {
    auto [in, name] = split_path(path);
    finished_file out;
    out.row.lid = 5;
    out.row.dir_path = in;
    out.row.name = name;
    out.row.temp = temp_name(node_id{}, stamp{uint64_t(std::hash<std::string>{}(path)), 2, 1});
    out.row.meta.mtime_ns = 1'700'000'000'123'456'789;
    out.size = text.size();
    if (replaces)
      out.row.displaces = stat(path);
    write(join_path(in, out.row.temp), text);
    return out;
  }
  placed_file one(finished_file file) {
    writer.add(std::move(file));
    auto out = writer.commit();
    CAF_REQUIRE_EQUAL(out.size(), 1u);
    return out.front();
  }
  size_t leftovers() {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path()))
      count += entry.path().filename().string().starts_with(".harp-") ? 1 : 0;
    return count;
  }
};

} // namespace

CAF_TEST(temp_name_tells_node_and_version) {
  auto name = temp_name(node_id{}, stamp{0x0102030405060708, 0x090a0b0c, 0x0d0e});
  CAF_CHECK_EQUAL(name, ".harp-00000000000000000000000000000000-0102030405060708090a0b0c0d0e.tmp");
}

CAF_TEST(new_files_appear_with_time_and_mode) {
  world w;
  std::filesystem::create_directory(w.dir / "d");
  auto file = w.finished("d/f", "content");
  file.row.meta.executable = true;
  auto out = w.one(file);
  CAF_CHECK(out.placed && !out.slipped_in);
  CAF_CHECK_EQUAL(w.read("d/f"), "content");
  CAF_CHECK_EQUAL(w.stat("d/f").mtime_ns, 1'700'000'000'123'456'789);
  CAF_CHECK(w.stat("d/f").executable);
  CAF_CHECK(out.seen == w.stat("d/f"));
  CAF_REQUIRE_EQUAL(w.stored.size(), 1u);
  CAF_CHECK_EQUAL(w.stored[0].inode, out.seen.inode);
  CAF_CHECK(!w.writer.directories_durable());
  CAF_CHECK(w.writer.finish());
  CAF_CHECK(w.writer.directories_durable());
}

CAF_TEST(known_file_is_replaced_and_keeps_its_rights) {
  world w;
  w.write("f", "old");
  ::chmod((w.dir / "f").c_str(), 0640);
  auto out = w.one(w.finished("f", "new one", true));
  CAF_CHECK(out.placed && !out.slipped_in);
  CAF_CHECK_EQUAL(w.read("f"), "new one");
  CAF_CHECK_EQUAL(w.leftovers(), 0u);
  struct ::stat raw {};
  ::stat((w.dir / "f").c_str(), &raw);
  CAF_CHECK_EQUAL(raw.st_mode & 0777, 0640u);
}

CAF_TEST(file_that_is_not_as_it_was_is_never_replaced) {
  world w;
  w.write("f", "old");
  auto file = w.finished("f", "theirs", true);
  w.write("f", "edited meanwhile");
  auto out = w.one(file);
  CAF_CHECK(!out.placed && out.changed);
  CAF_CHECK_EQUAL(w.read("f"), "edited meanwhile");
  CAF_CHECK_EQUAL(w.leftovers(), 1u); // the temp file waits for the next try
  // deleted, and something new at a place that should be free
  w.write("g", "old");
  auto gone = w.finished("g", "theirs", true);
  std::filesystem::remove(w.dir / "g");
  CAF_CHECK(w.one(gone).changed);
  CAF_CHECK(!w.exists("g"));
  auto fresh = w.finished("h", "theirs");
  w.write("h", "mine");
  CAF_CHECK(w.one(fresh).changed);
  CAF_CHECK_EQUAL(w.read("h"), "mine");
}

CAF_TEST(edit_between_stat_and_exchange_is_kept_as_slipped_in) {
  // an editor holds the file open and writes once it has another name
  world w;
  w.write("f", "old");
  auto file = w.finished("f", "theirs", true);
  file.row.displaced_vid = {9, 9, 9};
  auto row = file.row;
  row.inode = w.stat(row.temp).inode;
  // as a crash left it: exchanged, then the editor saved into the old file
  std::filesystem::rename(w.dir / row.temp, w.dir / "x");
  std::filesystem::rename(w.dir / "f", w.dir / row.temp);
  std::filesystem::rename(w.dir / "x", w.dir / "f");
  w.write(row.temp, "old and more");
  auto out = w.writer.recover(row);
  CAF_REQUIRE(out.has_value());
  CAF_CHECK(out->placed);
  CAF_REQUIRE(out->slipped_in.has_value());
  CAF_CHECK_EQUAL(w.read(*out->slipped_in), "old and more");
  CAF_CHECK_EQUAL(w.read("f"), "theirs");
  CAF_CHECK(w.writer.discard(row, *out->slipped_in, out->slipped_seen));
  CAF_CHECK_EQUAL(w.leftovers(), 0u);
}

CAF_TEST(slipped_in_file_that_changes_again_is_not_discarded) {
  world w;
  w.write(".harp-x.tmp", "one");
  placing_row row;
  auto seen = w.stat(".harp-x.tmp");
  w.write(".harp-x.tmp", "two words");
  CAF_CHECK(!w.writer.discard(row, ".harp-x.tmp", seen));
  CAF_CHECK(w.exists(".harp-x.tmp"));
}

CAF_TEST(crash_before_the_rename_leaves_the_temp_file) {
  world w;
  w.write("f", "old");
  auto row = w.finished("f", "theirs", true).row;
  row.inode = w.stat(row.temp).inode;
  CAF_CHECK(!w.writer.recover(row));
  CAF_CHECK_EQUAL(w.read("f"), "old");
  CAF_CHECK(w.exists(row.temp));
}

CAF_TEST(crash_after_the_exchange_is_finished) {
  world w;
  w.write("f", "old");
  auto row = w.finished("f", "theirs", true).row;
  row.inode = w.stat(row.temp).inode;
  std::filesystem::rename(w.dir / row.temp, w.dir / "x");
  std::filesystem::rename(w.dir / "f", w.dir / row.temp);
  std::filesystem::rename(w.dir / "x", w.dir / "f");
  auto out = w.writer.recover(row);
  CAF_REQUIRE(out.has_value());
  CAF_CHECK(out->placed && !out->slipped_in);
  CAF_CHECK(out->seen == w.stat("f"));
  CAF_CHECK_EQUAL(w.leftovers(), 0u);
}

CAF_TEST(rows_that_cannot_be_stored_rename_nothing) {
  world w;
  w.write("f", "old");
  w.store_works = false;
  w.writer.add(w.finished("f", "new", true));
  w.writer.add(w.finished("g", "new"));
  for (const auto& out : w.writer.commit())
    CAF_CHECK(!out.placed && !out.error.empty());
  CAF_CHECK_EQUAL(w.read("f"), "old");
  CAF_CHECK(!w.exists("g"));
}

CAF_TEST(bytes_are_renamed_only_behind_their_rows) {
  world w;
  w.before_renames = [&] { CAF_CHECK(!w.exists("f")); };
  CAF_CHECK(w.one(w.finished("f", "x")).placed);
}

CAF_TEST(temp_file_of_wrong_length_or_kind_is_refused) {
  world w;
  auto file = w.finished("f", "content");
  file.size = 3;
  CAF_CHECK(!w.one(file).placed);
  auto dir = w.finished("g", "content");
  std::filesystem::remove(w.dir / dir.row.temp);
  std::filesystem::create_directory(w.dir / dir.row.temp);
  CAF_CHECK(!w.one(dir).placed);
  CAF_CHECK(!w.exists("f") && !w.exists("g"));
}

CAF_TEST(symlinks_stay_inside_the_space) {
  CAF_CHECK(symlink_stays_inside("", "a/b"));
  CAF_CHECK(symlink_stays_inside("d/e", "../../x"));
  for (const char* target : {"/etc/passwd", "../x", "a/../../x", "", "a/../b"})
    CAF_CHECK(!symlink_stays_inside("", target));
  CAF_CHECK(!symlink_stays_inside("d", "../../x"));
  CAF_CHECK(!symlink_stays_inside("d/e", "f/../../.."));
  world w;
  finished_file link;
  link.row.name = "l";
  link.row.temp = ".harp-l.tmp";
  link.kind = node_kind::symlink;
  link.target = "f";
  CAF_CHECK(w.one(link).placed);
  CAF_CHECK_EQUAL(std::filesystem::read_symlink(w.dir / "l").string(), "f");
  link.target = "/etc/passwd";
  link.row.name = "evil";
  auto out = w.one(link);
  CAF_CHECK(!out.placed && !out.error.empty());
  CAF_CHECK(!w.exists("evil"));
}

CAF_TEST(target_directory_that_became_a_symlink_is_not_entered) {
  world w;
  std::filesystem::create_directory(w.dir / "d");
  auto file = w.finished("d/f", "content");
  test::scratch_dir outside;
  std::filesystem::rename(w.dir / "d", w.dir / "was");
  std::filesystem::create_directory_symlink(outside.path(), w.dir / "d");
  CAF_CHECK(!w.one(file).placed);
  CAF_CHECK(std::filesystem::is_empty(outside.path()));
}

CAF_TEST(thousand_files_are_one_group) {
  world w;
  for (size_t i = 0; i < group_files_max; ++i) {
    bool full = w.writer.add(w.finished(std::to_string(i), "x"));
    CAF_REQUIRE_EQUAL(full, i + 1 == group_files_max);
  }
  CAF_CHECK(w.writer.due(std::chrono::steady_clock::now()));
  auto out = w.writer.commit();
  CAF_CHECK(
      std::all_of(out.begin(), out.end(), [](const placed_file& each) { return each.placed; }));
  CAF_CHECK_EQUAL(w.leftovers(), 0u);
  CAF_CHECK_EQUAL(w.writer.size(), 0u);
}
