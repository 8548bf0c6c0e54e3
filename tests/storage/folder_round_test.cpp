// What a round of a folder keeps of edits that slipped in between plan and rename (storage.md 6.4).
#define CAF_SUITE folder_round
#include "storage/digest.hpp"
#include "storage/folder_round.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <fstream>

using namespace harp;
using harp::test::scratch_dir;

namespace {

/// A file of the user that an exchange put aside under this name.
struct slipped_file {
  scratch_dir dir;
  std::string name = ".harp-slipped.tmp";
  std::string bytes;
  std::variant<safe_root, storage_failure> opened = safe_root::open(dir.path().string());
  finished_action done;

  slipped_file() {
    for (size_t i = 0; i < 700'000; ++i)
      bytes.push_back(static_cast<char>((i * i) >> 7));
    write(bytes);
    auto seen = root().stat(name);
    done.slipped_in = name;
    done.slipped_seen = std::get<file_stat>(seen);
    done.read = read_for_emission(root(), name, node_kind::file, done.slipped_seen);
    CAF_REQUIRE_EQUAL(done.read.error, "");
  }
  const safe_root& root() { return std::get<safe_root>(opened); }
  void write(const std::string& content) { std::ofstream{dir / name, std::ios::binary | std::ios::trunc} << content; }
};

} // namespace

CAF_TEST(the_bytes_of_an_edit_that_slipped_in_are_kept_whole) {
  slipped_file file;
  std::string kept;
  auto put = [&](const chunk_id& id, const std::string& chunk) {
    CAF_CHECK(chunk_id_of(chunk) == id);
    kept += chunk;
    return true;
  };
  CAF_REQUIRE(keep_slipped(file.done, file.root(), put));
  CAF_CHECK(kept == file.bytes);
}

CAF_TEST(it_is_not_kept_when_it_was_written_to_again_or_could_not_be_stored) {
  slipped_file file;
  CAF_CHECK(!keep_slipped(file.done, file.root(), [](const chunk_id&, const std::string&) { return false; }));
  file.write("somebody still holds it open");
  CAF_CHECK(!keep_slipped(file.done, file.root(), [](const chunk_id&, const std::string&) { return true; }));
  finished_action none;
  CAF_CHECK(!keep_slipped(none, file.root(), [](const chunk_id&, const std::string&) { return true; }));
}
