// Fuzz target: root records and segments. What is accepted is canonical and adds up; nothing else is taken.
#include "storage/content_root.hpp"
#include "storage/digest.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace harp;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

void check_root(const content_root& root, std::string_view input) {
  require(encode_root(root) == input);
  uint64_t bytes = 0;
  uint64_t chunks = root.flat.size();
  for (const auto& chunk : root.flat)
    bytes += chunk.bytes;
  for (const auto& segment : root.segments) {
    bytes += segment.bytes;
    chunks += segment.chunks;
  }
  require(bytes == root.size && chunks == root.chunks);
}

/// The input as a segment of a root that names it: it is taken only if it has what the root says.
void check_segment(std::string_view input) {
  content_root root;
  root.chunks = 9 + static_cast<uint32_t>(input.size() / 33);
  root.segments.push_back({chunk_id_of(input), root.chunks, uint64_t{root.chunks} * cut_bytes_min});
  auto parsed = parse_segment(input, root, 0);
  if (auto* chunks = std::get_if<std::vector<chunk_ref>>(&parsed))
    require(chunks->size() == root.chunks && encode_segment(*chunks) == input);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto parsed = parse_root(input);
  if (auto* root = std::get_if<content_root>(&parsed))
    check_root(*root, input);
  check_segment(input);
  // Any bytes as stored segment: the reader answers, it never believes.
  auto reader = manifest_reader::open(input, content_id_of(input), 1u << 20,
                                      [&](const chunk_id&) { return std::string(input); });
  if (auto* manifest = std::get_if<manifest_reader>(&reader)) {
    static_cast<void>(manifest->chunk(0));
    static_cast<void>(manifest->chunk_at(1u << 19));
  }
  return 0;
}
