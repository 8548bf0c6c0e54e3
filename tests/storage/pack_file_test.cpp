#define CAF_SUITE pack_file
#include "storage/digest.hpp"
#include "storage/pack_file.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <cerrno>
#include <fstream>
#include <random>

using namespace harp;
using namespace harp::test;

namespace {

std::string data_of(uint64_t n, size_t size, bool packable) {
  std::mt19937_64 random(n);
  std::string out(size, 'a');
  for (auto& c : out)
    c = packable ? static_cast<char>('a' + random() % 3) : static_cast<char>(random());
  return out;
}

pack_file created(const std::filesystem::path& path) {
  auto file = pack_file::create(path);
  CAF_REQUIRE(std::holds_alternative<pack_file>(file));
  return std::move(std::get<pack_file>(file));
}

pack_file opened(const std::filesystem::path& path) {
  auto file = pack_file::open(path, true);
  CAF_REQUIRE(std::holds_alternative<pack_file>(file));
  return std::move(std::get<pack_file>(file));
}

std::vector<pack_entry> fill(pack_file& file, size_t count) {
  std::vector<pack_entry> out;
  for (uint64_t n = 0; n < count; ++n) {
    auto data = data_of(n, 10 + n * 37, n % 2 == 0);
    out.push_back(file.append(chunk_id_of(data), data));
  }
  CAF_REQUIRE(!file.sync());
  return out;
}

void flip(const std::filesystem::path& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  auto c = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(c);
}

} // namespace

CAF_TEST(gives_back_what_was_put_packed_or_not) {
  scratch_dir dir(true);
  auto file = created(dir / "p");
  auto entries = fill(file, 40);
  for (uint64_t n = 0; n < entries.size(); ++n) {
    auto data = data_of(n, 10 + n * 37, n % 2 == 0);
    auto read = file.read(entries[n]);
    CAF_REQUIRE(std::holds_alternative<std::string>(read));
    CAF_CHECK(std::get<std::string>(read) == data);
    bool smaller = entries[n].length < pack_head_bytes + data.size();
    CAF_CHECK(!smaller || n % 2 == 0);
    CAF_CHECK(n < 10 || smaller == (n % 2 == 0));
  }
}

CAF_TEST(a_full_pack_has_an_index_and_a_damaged_index_is_none) {
  scratch_dir dir(true);
  std::vector<pack_entry> entries;
  {
    auto file = created(dir / "p");
    entries = fill(file, 20);
    CAF_CHECK(!file.index());
    CAF_REQUIRE(!file.seal());
  }
  CAF_CHECK(opened(dir / "p").index() == entries);
  auto size = std::filesystem::file_size(dir / "p");
  for (uint64_t at = size - pack_end_bytes - 20 * 40; at < size; at += 13) {
    flip(dir / "p", at);
    CAF_CHECK(!opened(dir / "p").index());
    flip(dir / "p", at);
  }
  for (uint64_t cut = 1; cut < 60; ++cut) {
    std::filesystem::copy(dir / "p", dir / "q", std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(dir / "q", size - cut);
    CAF_CHECK(!opened(dir / "q").index());
  }
}

CAF_TEST(a_walk_ends_at_the_torn_record_whatever_its_length) {
  scratch_dir dir(true);
  std::vector<pack_entry> entries;
  {
    auto file = created(dir / "p");
    entries = fill(file, 4);
  }
  auto size = std::filesystem::file_size(dir / "p");
  for (uint64_t keep = 0; keep <= size; ++keep) {
    std::filesystem::copy(dir / "p", dir / "q", std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(dir / "q", keep);
    auto file = opened(dir / "q");
    size_t whole = 0;
    while (whole < entries.size() && entries[whole].offset + entries[whole].length <= keep)
      ++whole;
    std::vector<pack_entry> found;
    auto scan = file.scan(pack_start_bytes, true,
                          [&](const pack_entry& entry) { found.push_back(entry); });
    CAF_CHECK(
        found
        == std::vector<pack_entry>(entries.begin(), entries.begin() + static_cast<long>(whole)));
    CAF_REQUIRE(!file.resume(scan.good_until, found));
    auto data = data_of(99, 100, false);
    auto entry = file.append(chunk_id_of(data), data);
    CAF_REQUIRE(!file.sync());
    CAF_CHECK(std::holds_alternative<std::string>(file.read(entry)));
    size_t again = 0;
    auto second
        = opened(dir / "q").scan(pack_start_bytes, true, [&](const pack_entry&) { ++again; });
    CAF_CHECK(second.whole && again == whole + 1);
  }
}

CAF_TEST(no_flipped_bit_is_ever_served) {
  scratch_dir dir(true);
  std::vector<pack_entry> entries;
  {
    auto file = created(dir / "p");
    entries = fill(file, 3);
  }
  const auto& victim = entries[2];
  for (uint64_t at = victim.offset; at < victim.offset + victim.length; ++at) {
    flip(dir / "p", at);
    auto file = opened(dir / "p");
    auto read = file.read(victim);
    // Bits of the head that say nothing about the data may change unnoticed only if the data is still right.
    if (auto* data = std::get_if<std::string>(&read))
      CAF_CHECK(chunk_id_of(*data) == victim.id);
    else
      CAF_CHECK_EQUAL(std::get<storage_failure>(read).code, EBADMSG);
    CAF_CHECK(std::holds_alternative<std::string>(file.read(entries[1])));
    flip(dir / "p", at);
  }
}

CAF_TEST(believes_no_head_that_cannot_be) {
  auto record = encode_pack_record(chunk_id_of("abc"), "abc");
  CAF_CHECK(parse_pack_head(record));
  for (size_t size = 0; size < pack_head_bytes; ++size)
    CAF_CHECK(!parse_pack_head(std::string_view(record).substr(0, size)));
  auto huge = record;
  huge[7] = '\x7f'; // raw length beyond the limit
  CAF_CHECK(!parse_pack_head(huge));
  auto flags = record;
  flags[8] = 2;
  CAF_CHECK(!parse_pack_head(flags));
  CAF_CHECK(decode_pack_record(record + "x", chunk_id_of("abc")).index() == 1);
  CAF_CHECK(decode_pack_record(record, chunk_id_of("abd")).index() == 1);
}

CAF_TEST(knows_when_it_is_full) {
  scratch_dir dir(true);
  auto file = created(dir / "p");
  CAF_CHECK(file.fits(pack_data_bytes_max));
  for (uint32_t n = 0; n < pack_entries_max; ++n) {
    CAF_REQUIRE(file.fits(4));
    file.append(chunk_id_of(std::to_string(n)), "1234");
  }
  CAF_CHECK(!file.fits(4));
  CAF_REQUIRE(!file.seal());
  CAF_CHECK_EQUAL(file.index()->size(), pack_entries_max);
}
