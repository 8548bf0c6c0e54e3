// Base rows: both implementations keep the same invariants; bytes survive and refuse damage.
#define CAF_SUITE folder_rows
#include "storage/folder_rows_lmdb.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;

namespace {

base_row sample(local_id parent, const std::string& name, uint64_t inode) {
  base_row row;
  row.parent = parent;
  row.name = row.disk_name = name;
  row.vid = {0x0123456789abcdef, 77, 5};
  row.content.bytes.fill(0x5a);
  row.meta.mtime_ns = 1'700'000'000'000'000'001;
  row.seen = {disk_kind::file,
              0xfd01,
              inode,
              1,
              1'600'000'000'000'000'000,
              4096,
              1'700'000'000'000'000'001,
              1'700'000'000'500'000'000,
              false};
  return row;
}

/// Runs `work` over memory rows and over LMDB rows.
template <class Work>
void over_both(Work work) {
  folder_rows_memory memory;
  work(memory);
  test::scratch_dir dir(true);
  auto opened = metadata_db::open(dir / "db", environment::meta);
  CAF_REQUIRE(std::holds_alternative<metadata_db>(opened));
  auto failed = std::get<metadata_db>(opened).write([&](write_txn& txn) {
    folder_rows_lmdb rows(txn);
    work(rows);
    return true;
  });
  CAF_CHECK(!failed);
}

std::vector<std::string> kids(folder_rows& rows, local_id parent, std::string_view after = {}) {
  std::vector<std::string> out;
  rows.each_base(parent, after, [&](std::string_view name, local_id) {
    out.emplace_back(name);
    return true;
  });
  return out;
}

} // namespace

CAF_TEST(rows_survive_as_bytes) {
  std::mt19937_64 random(4711);
  for (int i = 0; i < 2000; ++i) {
    auto row = sample(random() >> (random() % 64), "n" + std::to_string(random()), random());
    row.kind = static_cast<node_kind>(1 + random() % 4);
    row.flags = static_cast<uint8_t>(random() % 8);
    row.seen.kind = on_disk(row.kind);
    if (random() % 2 == 0)
      row.disk_name = "alias~1";
    row.meta.executable = random() % 2 == 0;
    row.seen.executable = random() % 2 == 0;
    row.seen.ctime_ns = static_cast<int64_t>(random());
    row.seen.mtime_ns = static_cast<int64_t>(random());
    row.seen.born_ns = random() % 3 == 0 ? 0 : static_cast<int64_t>(random());
    row.seen.links = static_cast<uint32_t>(random() % 3);
    if (on_disk(row.kind) == disk_kind::dir) {
      row.vid = {};
      row.content = {};
      row.seen.size = 0;
      row.meta.mtime_ns = 0;
    }
    auto back = decode_base(encode(row));
    CAF_REQUIRE(back && *back == row);
  }
  placing_row placing{
      7,        {1, 2, 3}, {}, {5, true, {}}, "d/e", ".harp-x.tmp", "f", 99, sample(1, "f", 3).seen,
      {4, 5, 6}};
  CAF_CHECK(decode_placing(encode(placing)) == placing);
  placing.displaces.reset();
  CAF_CHECK(decode_placing(encode(placing)) == placing);
}

CAF_TEST(damaged_rows_are_refused) {
  auto bytes = encode(sample(3, "name", 12));
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    CAF_CHECK(!decode_base(std::string_view(bytes).substr(0, cut)));
  CAF_CHECK(!decode_base(bytes + "x"));
  placing_row placing;
  placing.displaces = sample(1, "f", 3).seen;
  bytes = encode(placing);
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    CAF_CHECK(!decode_placing(std::string_view(bytes).substr(0, cut)));
}

CAF_TEST(ordinary_row_is_small) {
  CAF_CHECK_LESS_OR_EQUAL(encode(sample(1'000'000, "holiday-picture.jpg", 12'345'678)).size(), 90u);
}

CAF_TEST(indexes_follow_the_rows) {
  over_both([](folder_rows& rows) {
    auto row = sample(root_lid, "b", 10);
    rows.put_base(5, row);
    rows.put_base(6, sample(root_lid, "a", 11));
    auto dir = sample(root_lid, "d", 12);
    dir.kind = node_kind::dir;
    dir.seen.kind = disk_kind::dir;
    rows.put_base(7, dir);
    rows.put_base(8, sample(7, "in", 13));
    CAF_CHECK_EQUAL(rows.base_files(), 3u);
    CAF_CHECK(kids(rows, root_lid) == (std::vector<std::string>{"a", "b", "d"}));
    CAF_CHECK(kids(rows, root_lid, "a") == (std::vector<std::string>{"b", "d"}));
    CAF_CHECK_EQUAL(base_path(rows, 8).value_or("?"), "d/in");
    CAF_CHECK_EQUAL(base_at_path(rows, "d/in"), 8u);
    CAF_CHECK_EQUAL(base_at_path(rows, "d/out"), 0u);
    CAF_CHECK_EQUAL(base_at_path(rows, ""), root_lid);
    row.parent = 7;
    row.disk_name = row.name = "moved";
    row.seen.inode = 20;
    rows.put_base(5, row);
    CAF_CHECK_EQUAL(rows.base_at(root_lid, "b"), 0u);
    CAF_CHECK_EQUAL(rows.base_at(7, "moved"), 5u);
    CAF_CHECK_EQUAL(rows.by_inode(0xfd01, 10), 0u);
    CAF_CHECK_EQUAL(rows.by_inode(0xfd01, 20), 5u);
    CAF_CHECK_EQUAL(rows.base_files(), 3u);
    rows.erase_base(5);
    rows.erase_base(5);
    CAF_CHECK(!rows.base(5));
    CAF_CHECK_EQUAL(rows.by_inode(0xfd01, 20), 0u);
    CAF_CHECK_EQUAL(rows.base_files(), 2u);
    rows.erase_base(7);
    CAF_CHECK(!base_path(rows, 8)); // its directory has no row
  });
}

CAF_TEST(hard_links_share_an_inode_without_losing_each_other) {
  over_both([](folder_rows& rows) {
    rows.put_base(5, sample(root_lid, "a", 10));
    rows.put_base(6, sample(root_lid, "b", 10));
    rows.erase_base(5);
    CAF_CHECK_EQUAL(rows.by_inode(0xfd01, 10), 6u);
    CAF_CHECK_EQUAL(rows.base_at(root_lid, "b"), 6u);
  });
}

CAF_TEST(selection_dirty_and_placing_rows_are_kept) {
  over_both([](folder_rows& rows) {
    CAF_CHECK(!rows.selection(5));
    rows.put_selection(5, {folder_selection::online_only, true});
    CAF_CHECK(rows.selection(5) == (selection_row{folder_selection::online_only, true}));
    rows.erase_selection(5);
    CAF_CHECK(!rows.selection(5));
    for (local_id lid : {9u, 3u, 300u})
      rows.mark_dirty(lid, 1);
    rows.mark_dirty(3, 4);
    CAF_CHECK(rows.dirty_lids(0, 10) == (std::vector<local_id>{3, 9, 300}));
    CAF_CHECK(rows.dirty_lids(3, 1) == (std::vector<local_id>{9}));
    rows.clear_dirty(9);
    CAF_CHECK(rows.dirty_lids(0, 10) == (std::vector<local_id>{3, 300}));
    placing_row one{1, {}, {}, {}, "d", ".harp-1.tmp", "f", 1, {}, {}};
    placing_row two = one;
    two.dir_path = std::string(4000, 'x');
    two.temp = ".harp-2.tmp";
    rows.put_placing(one);
    rows.put_placing(two);
    CAF_CHECK_EQUAL(rows.placings().size(), 2u);
    rows.erase_placing(two.dir_path, two.temp);
    CAF_CHECK(rows.placings() == std::vector<placing_row>{one});
    CAF_CHECK(kids(rows, root_lid).empty());
  });
}
