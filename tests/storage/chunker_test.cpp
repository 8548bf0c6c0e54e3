#define CAF_SUITE chunker
#include "storage/chunker.hpp"

#include <caf/test/unit_test.hpp>

#include <numeric>
#include <random>

using namespace harp;

namespace {

std::string random_bytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out(size, '\0');
  for (size_t i = 0; i + 8 <= size; i += 8) {
    auto word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), 8, out.data() + i);
  }
  return out;
}

std::vector<uint32_t> cut_in_pieces(std::string_view content, std::mt19937_64& random) {
  std::vector<uint32_t> out;
  std::string seen;
  chunk_stream stream([&](std::string_view chunk) {
    out.push_back(static_cast<uint32_t>(chunk.size()));
    seen.append(chunk);
  });
  for (auto rest = content; !rest.empty();) {
    auto size = std::min<size_t>(rest.size(), 1 + random() % 3'000'000);
    stream.feed(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  stream.finish();
  CAF_CHECK(seen == content);
  return out;
}

} // namespace

CAF_TEST(cuts_where_every_other_harp_cuts) {
  // Golden: a change here makes every node store and send everything anew.
  CAF_CHECK_EQUAL(gear_table()[0], 8087385690395409017ull);
  CAF_CHECK_EQUAL(gear_table()[255], 11573735507500541523ull);
  std::vector<uint32_t> golden{1124681, 1053275, 321457,  1224678, 1481296, 848099,
                               1152476, 1171669, 1409789, 1348704, 1446788};
  CAF_CHECK_EQUAL(cut_whole(random_bytes(12u << 20, 42)), golden);
}

CAF_TEST(keeps_its_limits) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    auto cuts = cut_whole(random_bytes(24u << 20, seed));
    for (size_t i = 0; i < cuts.size(); ++i) {
      CAF_CHECK(cuts[i] <= cut_bytes_max);
      CAF_CHECK(i + 1 == cuts.size() || cuts[i] > cut_bytes_min);
    }
    auto mean = (24u << 20) / cuts.size();
    CAF_CHECK(mean > 700'000 && mean < 2'000'000);
  }
}

CAF_TEST(leaves_small_content_whole_and_cuts_monotonous_content_at_the_maximum) {
  CAF_CHECK(cut_whole({}).empty());
  CAF_CHECK_EQUAL(cut_whole("x"), (std::vector<uint32_t>{1}));
  CAF_CHECK_EQUAL(cut_whole(random_bytes(cut_bytes_min, 1)),
                  (std::vector<uint32_t>{cut_bytes_min}));
  auto zeros = cut_whole(std::string(9u << 20, '\0'));
  CAF_CHECK_EQUAL(zeros, (std::vector<uint32_t>{cut_bytes_max, cut_bytes_max, 1u << 20}));
}

CAF_TEST(does_not_care_in_what_pieces_the_content_comes) {
  std::mt19937_64 random(5);
  for (size_t size : {0u, 1u, 262'144u, 262'145u, 4'194'304u, 4'194'305u, 13'000'000u}) {
    auto content = random_bytes(size, size);
    auto whole = cut_whole(content);
    for (int round = 0; round < 3; ++round)
      CAF_CHECK_EQUAL(cut_in_pieces(content, random), whole);
    CAF_CHECK_EQUAL(std::accumulate(whole.begin(), whole.end(), size_t{0}), size);
  }
}

CAF_TEST(a_changed_byte_changes_few_chunks) {
  auto content = random_bytes(40u << 20, 9);
  auto before = cut_whole(content);
  content.insert(10'000'000, "some inserted words");
  auto after = cut_whole(content);
  size_t same_tail = 0;
  while (same_tail < before.size() && same_tail < after.size()
         && before[before.size() - 1 - same_tail] == after[after.size() - 1 - same_tail])
    ++same_tail;
  size_t same_head = 0;
  while (before[same_head] == after[same_head])
    ++same_head;
  CAF_CHECK(same_head + same_tail + 4 >= before.size());
}
