// Nothing is opened outside the root or through a symlink; the marker tells the root from others (S9, M06, G1).
#define CAF_SUITE safe_path
#include "storage/safe_path.hpp"
#include "storage/space_marker.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>

using namespace harp;

namespace {

bool opens(const safe_root& root, std::string_view path, int flags = O_RDONLY) {
  return std::holds_alternative<unique_fd>(root.open_file(path, flags, 0644));
}

safe_root root_of(const std::filesystem::path& path) {
  auto opened = safe_root::open(path.string());
  CAF_REQUIRE(std::holds_alternative<safe_root>(opened));
  return std::move(std::get<safe_root>(opened));
}

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path) << text;
}

space_id space(uint8_t n) {
  space_id out;
  out.bytes.fill(n);
  return out;
}

} // namespace

CAF_TEST(paths_stay_below_the_root) {
  test::scratch_dir dir;
  std::filesystem::create_directories(dir / "root/d");
  write(dir / "outside", "secret");
  write(dir / "root/d/f", "fine");
  auto root = root_of(dir / "root");
  CAF_CHECK(opens(root, "d/f"));
  for (const char* path : {"../outside", "d/../../outside", "/etc/passwd", "d/./f", "d//f", "d/f/",
                           ".", "..", "", "./d/f"})
    CAF_CHECK(!opens(root, path));
  CAF_CHECK(!opens(root, std::string_view("d/f\0x", 5)));
  CAF_CHECK(!opens(root, std::string(5000, 'a')));
}

CAF_TEST(symlinks_are_never_followed) {
  test::scratch_dir dir;
  std::filesystem::create_directories(dir / "root/d");
  write(dir / "outside", "secret");
  write(dir / "root/d/f", "fine");
  std::filesystem::create_symlink("../outside", dir / "root/out");
  std::filesystem::create_symlink("d", dir / "root/inner");
  std::filesystem::create_symlink("f", dir / "root/d/l");
  auto root = root_of(dir / "root");
  CAF_CHECK(!opens(root, "out"));
  CAF_CHECK(!opens(root, "inner/f"));
  CAF_CHECK(!opens(root, "d/l"));
  CAF_CHECK(!opens(root, "inner/new", O_WRONLY | O_CREAT));
  CAF_CHECK(!opens(root, "out", O_WRONLY | O_CREAT | O_TRUNC));
  auto seen = root.stat("out");
  CAF_REQUIRE(std::holds_alternative<file_stat>(seen));
  CAF_CHECK(std::get<file_stat>(seen).kind == disk_kind::symlink);
}

CAF_TEST(stat_tells_identity_and_kind) {
  test::scratch_dir dir;
  write(dir / "f", "12345");
  ::chmod((dir / "f").c_str(), 0755);
  CAF_REQUIRE_EQUAL(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  auto root = root_of(dir.path());
  auto file = std::get<file_stat>(root.stat("f"));
  CAF_CHECK(file.kind == disk_kind::file && file.size == 5 && file.executable && file.inode != 0);
  CAF_CHECK(std::get<file_stat>(root.stat("pipe")).kind == disk_kind::other);
  CAF_CHECK(opens(root, "pipe")); // does not hang; what it is, is checked by its kind
  auto none = root.stat("none");
  CAF_CHECK_EQUAL(std::get<storage_failure>(none).code, ENOENT);
  std::filesystem::rename(dir / "f", dir / "g");
  auto moved = std::get<file_stat>(root.stat("g"));
  CAF_CHECK(same_identity(file, moved) && same_bytes(file, moved));
  write(dir / "g", "123456");
  CAF_CHECK(!same_bytes(file, std::get<file_stat>(root.stat("g"))));
}

CAF_TEST(other_file_systems_below_the_root_are_not_entered) {
  auto opened = safe_root::open("/");
  CAF_REQUIRE(std::holds_alternative<safe_root>(opened));
  const auto& root = std::get<safe_root>(opened);
  CAF_CHECK(!std::holds_alternative<unique_fd>(root.open_dir("proc")));
  CAF_CHECK(std::get<file_stat>(root.stat("proc")).kind == disk_kind::other);
}

CAF_TEST(marked_root_is_known_again_and_no_other_is) {
  test::scratch_dir dir;
  auto base = dir / "root";
  std::filesystem::create_directory(base);
  auto root = root_of(base);
  auto marked = mark_root(root, space(1));
  CAF_REQUIRE(std::holds_alternative<root_identity>(marked));
  auto id = std::get<root_identity>(marked);
  CAF_CHECK(std::get<root_identity>(mark_root(root, space(1))) == id);
  CAF_CHECK(std::holds_alternative<std::string>(mark_root(root, space(2))));
  CAF_CHECK(!root_trouble(base.string(), id));
  // emptied, replaced, gone
  std::filesystem::rename(base / ".harp-space", dir / "marker");
  CAF_CHECK(root_trouble(base.string(), id).has_value());
  std::filesystem::rename(dir / "marker", base / ".harp-space");
  std::filesystem::rename(base, dir / "old");
  CAF_CHECK(root_trouble(base.string(), id).has_value());
  std::filesystem::create_directory(base);
  std::filesystem::copy_file(dir / "old/.harp-space", base / ".harp-space");
  CAF_CHECK(root_trouble(base.string(), id).has_value());
  auto other = id;
  other.space = space(9);
  CAF_CHECK(root_trouble((dir / "old").string(), other).has_value());
  CAF_CHECK(!root_trouble((dir / "old").string(), id));
  auto moved = id;
  moved.device += 1;
  CAF_CHECK(root_trouble((dir / "old").string(), moved).has_value());
  CAF_CHECK(!root_trouble((dir / "old").string(), moved, true));
}
