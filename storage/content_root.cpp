#include "storage/content_root.hpp"

#include "storage/byte_codec.hpp"
#include "storage/digest.hpp"

#include <algorithm>

namespace harp {

namespace {

constexpr uint32_t segments_max = content_chunks_max / root_segment_chunks_max;

void put_chunk(byte_writer& out, const chunk_ref& chunk) {
  out.varint(chunk.bytes);
  out.id(chunk.id);
}

/// Chunks in order, adding up to `bytes`. Every chunk but the content's last must be of a size the chunker makes, so that a
/// hostile author cannot make a small content cost millions of rows.
bool get_chunks(byte_reader& in, uint32_t count, uint64_t bytes, bool ends_content,
                std::vector<chunk_ref>& out) {
  if (count > in.left() / (1 + chunk_id::size))
    return false;
  out.reserve(count);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t size = in.varint();
    uint64_t least = ends_content && i + 1 == count ? 1 : cut_bytes_min;
    if (size < least || size > cut_bytes_max)
      return false;
    out.push_back({in.id<chunk_id>(), static_cast<uint32_t>(size)});
    sum += size;
  }
  return in.done() && sum == bytes;
}

bool get_segments(byte_reader& in, content_root& root) {
  uint32_t count = (root.chunks + root_segment_chunks_max - 1) / root_segment_chunks_max;
  if (count > segments_max || count > in.left() / (2 + chunk_id::size))
    return false;
  root.segments.reserve(count);
  uint64_t left = root.size;
  uint32_t chunks_left = root.chunks;
  for (uint32_t i = 0; i < count; ++i) {
    root_segment segment;
    segment.id = in.id<chunk_id>();
    uint64_t chunks = in.varint();
    segment.bytes = in.varint();
    uint32_t full = std::min(chunks_left, root_segment_chunks_max);
    uint64_t least = uint64_t{full} * cut_bytes_min;
    if (i + 1 == count)
      least = uint64_t{full - 1} * cut_bytes_min + 1;
    if (chunks != full || segment.bytes < least || segment.bytes > uint64_t{full} * cut_bytes_max
        || segment.bytes > left)
      return false;
    segment.chunks = full;
    chunks_left -= full;
    left -= segment.bytes;
    root.segments.push_back(segment);
  }
  return in.done() && left == 0;
}

} // namespace

std::string encode_root(const content_root& root) {
  byte_writer out;
  out.u8(content_algorithm_sha256);
  out.varint(root.size);
  out.varint(root.chunks);
  for (const auto& chunk : root.flat)
    put_chunk(out, chunk);
  for (const auto& segment : root.segments) {
    out.id(segment.id);
    out.varint(segment.chunks);
    out.varint(segment.bytes);
  }
  return out.take();
}

std::variant<content_root, std::string> parse_root(std::string_view bytes) {
  if (bytes.size() > root_bytes_max)
    return "root record: longer than " + std::to_string(root_bytes_max) + " bytes";
  byte_reader in(bytes);
  if (in.u8() != content_algorithm_sha256)
    return std::string("root record: an algorithm this release does not know");
  content_root root;
  root.size = in.varint();
  uint64_t chunks = in.varint();
  if (!in.ok() || chunks > content_chunks_max || (chunks == 0) != (root.size == 0))
    return std::string("root record: a number of chunks that cannot be");
  root.chunks = static_cast<uint32_t>(chunks);
  bool sound = root.chunks <= root_flat_chunks_max
                   ? get_chunks(in, root.chunks, root.size, true, root.flat)
                   : get_segments(in, root);
  if (!sound)
    return std::string("root record: its list does not add up");
  return root;
}

std::variant<content_root, std::string> parse_root(std::string_view bytes, const content_id& cid,
                                                   uint64_t size) {
  if (bytes.size() > root_bytes_max || content_id_of(bytes) != cid)
    return std::string("root record: not the one that was signed");
  auto parsed = parse_root(bytes);
  if (auto* root = std::get_if<content_root>(&parsed); root != nullptr && root->size != size)
    return std::string("root record: another size than the operation says");
  return parsed;
}

std::string encode_segment(std::span<const chunk_ref> chunks) {
  byte_writer out;
  for (const auto& chunk : chunks)
    put_chunk(out, chunk);
  return out.take();
}

std::variant<std::vector<chunk_ref>, std::string>
parse_segment(std::string_view bytes, const content_root& root, size_t index) {
  if (index >= root.segments.size())
    return std::string("segment: the content has not so many");
  const auto& expected = root.segments[index];
  if (bytes.size() > segment_bytes_max || chunk_id_of(bytes) != expected.id)
    return std::string("segment: not the one the root names");
  byte_reader in(bytes);
  std::vector<chunk_ref> chunks;
  if (!get_chunks(in, expected.chunks, expected.bytes, index + 1 == root.segments.size(), chunks))
    return std::string("segment: its list does not add up");
  return chunks;
}

content_shape shape_of(const content_root& root) {
  content_shape out;
  out.chunks = root.flat;
  out.segments.reserve(root.segments.size());
  for (const auto& segment : root.segments)
    out.segments.push_back({segment.chunks, segment.bytes});
  return out;
}

// -- building -------------------------------------------------------------------------------------

root_builder::root_builder(std::function<void(const chunk_id&, std::string_view)> segment_made)
    : segment_made_(std::move(segment_made)) {}

void root_builder::add(const chunk_ref& chunk) {
  if (open_.size() == root_segment_chunks_max)
    close_segment();
  open_.push_back(chunk);
  root_.size += chunk.bytes;
  ++root_.chunks;
}

void root_builder::close_segment() {
  auto bytes = encode_segment(open_);
  root_segment segment{chunk_id_of(bytes), static_cast<uint32_t>(open_.size()), 0};
  for (const auto& chunk : open_)
    segment.bytes += chunk.bytes;
  root_.segments.push_back(segment);
  if (segment_made_)
    segment_made_(segment.id, bytes);
  open_.clear();
}

built_content root_builder::finish() {
  if (root_.chunks <= root_flat_chunks_max)
    root_.flat = std::move(open_);
  else if (!open_.empty())
    close_segment();
  built_content out;
  out.record = encode_root(root_);
  out.chunks = root_.chunks;
  out.ref.size = root_.size;
  out.ref.cid = content_id_of(out.record);
  if (out.record.size() <= inline_root_bytes_max)
    out.ref.root = out.record;
  return out;
}

content_builder::content_builder(
    std::function<void(uint32_t, const chunk_ref&, std::string_view)> chunk_made,
    std::function<void(const chunk_id&, std::string_view)> segment_made)
    : chunk_made_(std::move(chunk_made)), builder_(std::move(segment_made)),
      cutter_([this](std::string_view chunk) { take(chunk); }) {}

void content_builder::take(std::string_view chunk) {
  chunk_ref ref{chunk_id_of(chunk), static_cast<uint32_t>(chunk.size())};
  if (chunk_made_)
    chunk_made_(next_, ref, chunk);
  ++next_;
  builder_.add(ref);
}

built_content content_builder::finish() {
  cutter_.finish();
  return builder_.finish();
}

// -- finding --------------------------------------------------------------------------------------

std::variant<manifest_reader, std::string>
manifest_reader::open(std::string_view record, const content_id& cid, uint64_t size,
                      std::function<std::string(const chunk_id&)> load) {
  auto parsed = parse_root(record, cid, size);
  if (auto* error = std::get_if<std::string>(&parsed))
    return std::move(*error);
  manifest_reader out;
  out.root_ = std::move(std::get<content_root>(parsed));
  out.load_ = std::move(load);
  return out;
}

std::variant<const std::vector<chunk_ref>*, std::string> manifest_reader::segment(size_t index) {
  if (root_.segments.empty())
    return &root_.flat;
  for (const auto& one : kept_)
    if (one.index == index)
      return &one.chunks;
  auto bytes = load_(root_.segments[index].id);
  if (bytes.empty())
    return std::string("segment: not stored here");
  auto parsed = parse_segment(bytes, root_, index);
  if (auto* error = std::get_if<std::string>(&parsed))
    return std::move(*error);
  auto& slot = kept_[next_];
  next_ = 1 - next_;
  slot.index = index;
  slot.chunks = std::move(std::get<std::vector<chunk_ref>>(parsed));
  return &slot.chunks;
}

uint64_t manifest_reader::start_of(size_t segment) const {
  uint64_t out = 0;
  for (size_t i = 0; i < segment && i < root_.segments.size(); ++i)
    out += root_.segments[i].bytes;
  return out;
}

std::variant<placed_chunk, std::string> manifest_reader::chunk(uint32_t no) {
  if (no >= root_.chunks)
    return std::string("content: no chunk ") + std::to_string(no);
  size_t index = no / root_segment_chunks_max;
  auto found = segment(index);
  if (auto* error = std::get_if<std::string>(&found))
    return std::move(*error);
  const auto& chunks = *std::get<0>(found);
  placed_chunk out{chunks[no % root_segment_chunks_max], no, start_of(index)};
  for (size_t i = 0; i < no % root_segment_chunks_max; ++i)
    out.offset += chunks[i].bytes;
  return out;
}

std::variant<placed_chunk, std::string> manifest_reader::chunk_at(uint64_t offset) {
  if (offset >= root_.size)
    return std::string("content: ends at byte ") + std::to_string(root_.size);
  size_t index = 0;
  uint64_t start = 0;
  while (index + 1 < root_.segments.size() && start + root_.segments[index].bytes <= offset)
    start += root_.segments[index++].bytes;
  auto found = segment(index);
  if (auto* error = std::get_if<std::string>(&found))
    return std::move(*error);
  uint32_t no = static_cast<uint32_t>(index) * root_segment_chunks_max;
  for (const auto& chunk : *std::get<0>(found)) {
    if (offset < start + chunk.bytes)
      return placed_chunk{chunk, no, start};
    start += chunk.bytes;
    ++no;
  }
  return std::string("content: damaged list of chunks");
}

} // namespace harp
