#define CAF_SUITE chunk_source
#include "storage/chunk_source.hpp"
#include "tests/storage/pack_world.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <fstream>
#include <map>

using namespace harp;
using namespace harp::test;

namespace {

/// A space with one file of several chunks, and its manifest.
struct world {
  scratch_dir dir{true};
  std::string content = chunk_data(1, 5u << 20);
  std::map<chunk_id, std::string> segments;
  built_content made;
  std::unique_ptr<safe_root> root;
  std::unique_ptr<manifest_reader> manifest;

  world() {
    std::filesystem::create_directories(dir / "space" / "a");
    write("a/file", content);
    content_builder builder(
        {}, [this](const chunk_id& id, std::string_view bytes) { segments.emplace(id, bytes); });
    builder.feed(content);
    made = builder.finish();
    root = std::make_unique<safe_root>(
        std::move(std::get<0>(safe_root::open((dir / "space").string()))));
    auto reader = manifest_reader::open(made.record, made.ref.cid, made.ref.size,
                                        [this](const chunk_id& id) { return segments[id]; });
    manifest = std::make_unique<manifest_reader>(std::move(std::get<manifest_reader>(reader)));
  }
  void write(const std::string& path, std::string_view bytes) const {
    std::ofstream(dir / "space" / path, std::ios::binary) << bytes;
  }
  [[nodiscard]] in_place_file observed(const std::string& path = "a/file") const {
    return {root.get(), path, std::get<file_stat>(root->stat(path))};
  }
  [[nodiscard]] placed_chunk chunk(uint32_t no) const {
    return std::get<placed_chunk>(manifest->chunk(no));
  }
  [[nodiscard]] std::string expected(uint32_t no) const {
    return content.substr(chunk(no).offset, chunk(no).ref.bytes);
  }
};

bool gives(const chunk_answer& answer, const std::string& bytes) {
  auto* got = std::get_if<std::string>(&answer);
  return got != nullptr && *got == bytes;
}

chunk_trouble trouble(const chunk_answer& answer) {
  auto* refusal = std::get_if<chunk_refusal>(&answer);
  CAF_REQUIRE(refusal != nullptr);
  return refusal->why;
}

} // namespace

CAF_TEST(reads_every_chunk_of_a_file_that_is_as_observed) {
  world w;
  auto file = w.observed();
  CAF_REQUIRE(w.made.chunks > 2);
  for (uint32_t no = 0; no < w.made.chunks; ++no)
    CAF_CHECK(gives(read_in_place(file, w.chunk(no)), w.expected(no)));
}

CAF_TEST(serves_nothing_of_a_file_that_was_changed_since) {
  world w;
  auto file = w.observed();
  auto same_length = w.content;
  same_length[100] ^= 1;
  w.write("a/file", same_length);
  CAF_CHECK(trouble(read_in_place(file, w.chunk(0))) == chunk_trouble::changed);
  std::filesystem::remove(w.dir / "space" / "a" / "file");
  CAF_CHECK(trouble(read_in_place(file, w.chunk(0))) == chunk_trouble::changed);
}

CAF_TEST(bytes_that_rotted_under_an_unchanged_stat_are_damaged) {
  world w;
  auto rotten = w.content;
  rotten[w.chunk(1).offset + 5] ^= 1;
  w.write("a/file", rotten);
  auto file = w.observed(); // as if it had always looked like this
  CAF_CHECK(trouble(read_in_place(file, w.chunk(1))) == chunk_trouble::damaged);
  CAF_CHECK(gives(read_in_place(file, w.chunk(0)), w.expected(0)));
  std::filesystem::resize_file(w.dir / "space" / "a" / "file", 100);
  CAF_CHECK(trouble(read_in_place(w.observed(), w.chunk(0))) == chunk_trouble::damaged);
}

CAF_TEST(never_leaves_the_root_and_follows_no_link) {
  world w;
  auto file = w.observed();
  std::ofstream(w.dir / "outside", std::ios::binary) << w.content;
  std::filesystem::create_symlink("../../outside", w.dir / "space" / "a" / "link");
  std::filesystem::create_directory_symlink("a", w.dir / "space" / "b");
  for (auto path :
       {"../outside", "a/../../outside", "/etc/passwd", "a/link", "b/file", "", "a", "."}) {
    file.path = path;
    CAF_CHECK(std::holds_alternative<chunk_refusal>(read_in_place(file, w.chunk(0))));
  }
}

CAF_TEST(takes_the_first_place_that_is_right_and_tells_the_worst_trouble) {
  world w;
  pack_world volume(w.dir.path());
  CAF_REQUIRE(volume);
  auto file = w.observed();
  auto bad = file;
  bad.seen.mtime_ns += 1;
  content_places places{nullptr, {bad}, volume.packs.get()};
  CAF_CHECK(trouble(read_chunk(places, w.chunk(0))) == chunk_trouble::changed);
  places.files.push_back(file);
  CAF_CHECK(gives(read_chunk(places, w.chunk(0)), w.expected(0)));
  places.files = {bad};
  CAF_REQUIRE(!volume.packs->put(w.chunk(0).ref.id, w.expected(0)));
  CAF_CHECK(gives(read_chunk(places, w.chunk(0)), w.expected(0)));
  CAF_CHECK(trouble(read_chunk({}, w.chunk(0))) == chunk_trouble::absent);
}

CAF_TEST(serves_a_download_under_way_but_only_chunks_it_has) {
  world w;
  auto db = metadata_db::open(w.dir / "db", environment::meta, {});
  auto partial
      = partial_file::open(*w.root, std::get<metadata_db>(db),
                           {w.made.ref.cid, w.made.ref.size, w.made.chunks, "a", ".harp-t.tmp"});
  auto& file = std::get<partial_file>(partial);
  CAF_REQUIRE(!file.write(w.chunk(1), w.expected(1)));
  content_places places{&file, {}, nullptr};
  CAF_CHECK(gives(read_chunk(places, w.chunk(1)), w.expected(1)));
  CAF_CHECK(trouble(read_chunk(places, w.chunk(0))) == chunk_trouble::absent);
}

CAF_TEST(a_reader_streams_the_content_from_any_offset) {
  world w;
  content_places places{nullptr, {w.observed()}, nullptr};
  for (uint64_t from : {uint64_t{0}, uint64_t{1'234'567}, w.made.ref.size - 1, w.made.ref.size}) {
    content_reader reader(*w.manifest, places);
    std::string got;
    for (uint64_t at = from;;) {
      auto part = reader.read(at, 300'000);
      CAF_REQUIRE(std::holds_alternative<std::string_view>(part));
      if (std::get<std::string_view>(part).empty())
        break;
      got.append(std::get<std::string_view>(part));
      at = from + got.size();
    }
    CAF_CHECK(got == w.content.substr(from));
  }
  content_reader nowhere(*w.manifest, {});
  CAF_CHECK(std::holds_alternative<chunk_refusal>(nowhere.read(0, 10)));
}
