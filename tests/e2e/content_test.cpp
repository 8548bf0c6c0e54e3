// What crosses the wire for a file: chunks that are here already do not, and a download cut short by a kill goes on.
#define CAF_SUITE e2e_content
#include "tests/e2e/storage_site.hpp"

#include <caf/test/unit_test.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

using namespace harp::e2e;

namespace {

constexpr uint64_t mib = 1u << 20;
constexpr uint64_t seed = 20261123;

std::string random_bytes(uint64_t size, uint64_t from) {
  std::mt19937_64 random{from};
  std::string out(size, '\0');
  for (size_t at = 0; at + 8 <= out.size(); at += 8) {
    auto word = random();
    out.replace(at, 8, reinterpret_cast<const char*>(&word), 8);
  }
  return out;
}

uint64_t received(const storage_node& node) {
  auto entry = node.space("work");
  return entry.is_object() ? entry.value("received_bytes", uint64_t{0}) : 0;
}

/// In place, as a database or a disk image is changed.
bool overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  bool done = fd >= 0 && ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size());
  if (fd >= 0)
    ::close(fd);
  return done;
}

bool holds(const std::string& path, const std::string& bytes) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) != bytes.size() || error)
    return false;
  std::string there(bytes.size(), '\0');
  std::ifstream{path, std::ios::binary}.read(there.data(), static_cast<std::streamsize>(there.size()));
  return there == bytes;
}

/// Whole trees are not compared at every look: these files are large.
bool arrives(storage_site& site, const std::string& name, const std::string& bytes) {
  return until(120s * patience(), [&] {
    for (auto& node : site.nodes) {
      auto entry = node->space("work");
      if (!entry.is_object() || entry.value("pending", 1) != 0 || !holds(node->file("work", name), bytes))
        return false;
    }
    return true;
  });
}

} // namespace

CAF_TEST(one_changed_byte_moves_a_chunk_or_two_and_known_chunks_do_not_move) {
  CAF_MESSAGE("seed " << seed);
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  auto bytes = random_bytes(32 * mib, seed);
  write_file(site[0].file("work", "image.bin"), bytes);
  CAF_REQUIRE(arrives(site, "image.bin", bytes));
  auto first = received(site[1]);
  CAF_CHECK_EQUAL(first, 32 * mib);

  bytes[17 * mib + 5] = static_cast<char>(~bytes[17 * mib + 5]);
  CAF_REQUIRE(overwrite(site[0].file("work", "image.bin"), 17 * mib + 5, bytes.substr(17 * mib + 5, 1)));
  CAF_REQUIRE(arrives(site, "image.bin", bytes));
  auto second = received(site[1]) - first;
  CAF_MESSAGE("one changed byte of 32 MiB: " << second << " bytes received");
  CAF_CHECK(second > 0);
  CAF_CHECK(second <= 8 * mib);

  // Another file, whose chunks but for its beginning are those of the first.
  auto other = random_bytes(mib, seed + 1) + bytes;
  write_file(site[0].file("work", "other.bin"), other);
  CAF_REQUIRE(arrives(site, "other.bin", other));
  auto third = received(site[1]) - first - second;
  CAF_MESSAGE("a 33 MiB file with 1 MiB of news: " << third << " bytes received");
  CAF_CHECK(third >= mib);
  CAF_CHECK(third <= 12 * mib);
  for (auto& node : site.nodes)
    for (const auto& line : node->error_lines())
      CAF_ERROR(line);
}

CAF_TEST(killed_download_fetches_at_most_64_mib_again) {
  CAF_MESSAGE("seed " << seed + 2);
  constexpr uint64_t size = 384 * mib, half = size / 2;
  storage_site site{2};
  CAF_REQUIRE(site.ready);
  auto bytes = random_bytes(size, seed + 2);
  write_file(site[0].file("work", "large.bin"), bytes);
  uint64_t before = 0;
  CAF_REQUIRE(until(120s * patience(), [&] { return (before = received(site[1])) >= half; }));
  site[1].kill();
  CAF_REQUIRE(!std::filesystem::exists(site[1].file("work", "large.bin"))); // else the kill came too late to show anything
  CAF_REQUIRE(site[1].start());
  CAF_REQUIRE(arrives(site, "large.bin", bytes));
  auto after = received(site[1]);
  CAF_MESSAGE("killed behind " << before / mib << " of " << size / mib << " MiB, then received " << after / mib << " MiB");
  CAF_CHECK(after > 0);
  CAF_CHECK(before + after <= size + 64 * mib);
}
