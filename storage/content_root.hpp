// Content as a tree of hashes: chunks, segments of up to 4,096 of them, one root record whose SHA-256 is the cid
// (storage.md 6.2). Pure; parsers take bytes of anybody.
#pragma once

#include "storage/chunker.hpp"
#include "storage/op.hpp"
#include "storage/picker_events.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr uint8_t content_algorithm_sha256 = 1; // first byte of a root record
inline constexpr uint32_t root_flat_chunks_max = 8;
inline constexpr uint32_t root_segment_chunks_max = 4096;
inline constexpr size_t segment_bytes_max = root_segment_chunks_max * (4 + chunk_id::size);
inline constexpr size_t root_bytes_max = 256u << 10;

/// One segment as the root lists it.
struct root_segment {
  chunk_id id; // SHA-256 of the segment's bytes
  uint32_t chunks = 0;
  uint64_t bytes = 0; // of content, not of the segment
  bool operator==(const root_segment&) const = default;
};

/// A parsed root record: either `flat` (up to 8 chunks) or `segments`, all but the last of them full.
struct content_root {
  uint64_t size = 0;
  uint32_t chunks = 0;
  std::vector<chunk_ref> flat;
  std::vector<root_segment> segments;
};

std::string encode_root(const content_root& root);
/// Accepts exactly what encode_root makes of content cut by the chunker's limits; fails with a text.
std::variant<content_root, std::string> parse_root(std::string_view bytes);
/// parse_root, and the record must have this cid and size.
std::variant<content_root, std::string> parse_root(std::string_view bytes, const content_id& cid,
                                                   uint64_t size);

std::string encode_segment(std::span<const chunk_ref> chunks);
/// The chunks of segment `index` of `root`; fails when the bytes have another id or do not add up to what the root says.
std::variant<std::vector<chunk_ref>, std::string>
parse_segment(std::string_view bytes, const content_root& root, size_t index);

/// What the picker needs to know of a root.
content_shape shape_of(const content_root& root);

/// Result of building: the reference for an operation (its `root` only if small enough), and the record itself.
struct built_content {
  content_ref ref;
  uint32_t chunks = 0;
  std::string record;
};

/// Collects chunks in order and makes segments and root. Memory: one segment (<= 150 KB) and 48 B per finished one.
class root_builder {
public:
  /// `segment_made` gets each finished segment (id and bytes), to be stored like a chunk; none for up to 8 chunks.
  explicit root_builder(std::function<void(const chunk_id&, std::string_view)> segment_made);
  void add(const chunk_ref& chunk);
  built_content finish();

private:
  void close_segment();

  std::function<void(const chunk_id&, std::string_view)> segment_made_;
  content_root root_;
  std::vector<chunk_ref> open_;
};

/// Cuts and hashes content that comes in pieces; memory as chunk_stream and root_builder, whatever the size.
class content_builder {
public:
  /// `chunk_made` gets each chunk (number, reference, bytes), may be empty; `segment_made` as in root_builder.
  content_builder(std::function<void(uint32_t no, const chunk_ref&, std::string_view)> chunk_made,
                  std::function<void(const chunk_id&, std::string_view)> segment_made);
  content_builder(const content_builder&) = delete;
  content_builder& operator=(const content_builder&) = delete;
  void feed(std::string_view piece) { cutter_.feed(piece); }
  built_content finish();

private:
  void take(std::string_view chunk);

  std::function<void(uint32_t, const chunk_ref&, std::string_view)> chunk_made_;
  root_builder builder_;
  chunk_stream cutter_;
  uint32_t next_ = 0;
};

/// Where a chunk lies in its content.
struct placed_chunk {
  chunk_ref ref;
  uint32_t no = 0;
  uint64_t offset = 0;
};

/// Finds chunks of one content by number or offset; verified from the cid down; keeps at most two segments.
class manifest_reader {
public:
  /// `load` fetches a segment by id from wherever it is stored; empty: not here.
  static std::variant<manifest_reader, std::string>
  open(std::string_view record, const content_id& cid, uint64_t size,
       std::function<std::string(const chunk_id&)> load);
  [[nodiscard]] const content_root& root() const { return root_; }
  std::variant<placed_chunk, std::string> chunk(uint32_t no);
  /// The chunk that holds this byte of the content.
  std::variant<placed_chunk, std::string> chunk_at(uint64_t offset);

private:
  struct loaded {
    size_t index = SIZE_MAX;
    std::vector<chunk_ref> chunks;
  };
  manifest_reader() = default;
  std::variant<const std::vector<chunk_ref>*, std::string> segment(size_t index);
  [[nodiscard]] uint64_t start_of(size_t segment) const;

  content_root root_;
  std::function<std::string(const chunk_id&)> load_;
  loaded kept_[2];
  size_t next_ = 0;
};

} // namespace harp
