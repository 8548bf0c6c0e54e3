#define CAF_SUITE content_root
#include "storage/byte_codec.hpp"
#include "storage/content_root.hpp"
#include "storage/digest.hpp"

#include <caf/test/unit_test.hpp>

#include <map>
#include <random>

using namespace harp;

namespace {

chunk_ref chunk_of(uint64_t n, uint32_t bytes) {
  return {chunk_id_of(std::to_string(n)), bytes};
}

struct built {
  built_content content;
  std::map<chunk_id, std::string> segments;
};

/// A content of `count` chunks without their bytes.
built build(uint32_t count, uint32_t last = 5) {
  built out;
  root_builder builder(
      [&](const chunk_id& id, std::string_view bytes) { out.segments.emplace(id, bytes); });
  for (uint32_t i = 0; i < count; ++i)
    builder.add(chunk_of(i, i + 1 == count ? last : cut_bytes_min + i % 1000));
  out.content = builder.finish();
  return out;
}

content_root parsed(std::string_view record) {
  auto root = parse_root(record);
  if (auto* error = std::get_if<std::string>(&root))
    CAF_FAIL(*error);
  return std::get<content_root>(root);
}

bool is_root(std::string_view record) {
  return std::holds_alternative<content_root>(parse_root(record));
}

} // namespace

CAF_TEST(small_contents_need_no_segment_and_large_ones_are_read_segment_by_segment) {
  for (uint32_t count : {0u, 1u, 8u, 9u, 4096u, 4097u, 9000u}) {
    auto made = build(count);
    auto root = parsed(made.content.record);
    CAF_CHECK_EQUAL(root.chunks, count);
    CAF_CHECK_EQUAL(root.size, made.content.ref.size);
    CAF_CHECK_EQUAL(root.flat.size(), count <= 8 ? count : 0u);
    CAF_CHECK_EQUAL(made.segments.size(), count <= 8 ? 0u : (count + 4095) / 4096);
    CAF_CHECK_EQUAL(made.content.ref.root.empty(),
                    made.content.record.size() > inline_root_bytes_max);
    CAF_CHECK(count > 8 || !made.content.ref.root.empty());
    CAF_CHECK_EQUAL(encode_root(root), made.content.record);
    auto shape = shape_of(root);
    CAF_CHECK_EQUAL(shape.chunks.size() + shape.segments.size(),
                    root.flat.size() + root.segments.size());

    size_t loads = 0;
    auto reader = manifest_reader::open(made.content.record, made.content.ref.cid,
                                        made.content.ref.size, [&](const chunk_id& id) {
                                          ++loads;
                                          return made.segments.at(id);
                                        });
    auto& manifest = std::get<manifest_reader>(reader);
    uint64_t offset = 0;
    for (uint32_t no = 0; no < count; ++no) {
      auto found = std::get<placed_chunk>(manifest.chunk(no));
      CAF_REQUIRE(found.ref.id == chunk_of(no, 0).id && found.offset == offset && found.no == no);
      if (no % 97 == 0) {
        auto at = std::get<placed_chunk>(manifest.chunk_at(offset + found.ref.bytes - 1));
        CAF_REQUIRE(at.no == no && at.offset == offset);
      }
      offset += found.ref.bytes;
    }
    CAF_CHECK_EQUAL(loads, made.segments.size());
    CAF_CHECK(std::holds_alternative<std::string>(manifest.chunk(count)));
    CAF_CHECK(std::holds_alternative<std::string>(manifest.chunk_at(offset)));
  }
}

CAF_TEST(builds_the_same_from_bytes_in_any_pieces) {
  std::mt19937_64 random(3);
  std::string content(11u << 20, '\0');
  for (size_t i = 0; i + 8 <= content.size(); i += 8) {
    auto word = random();
    std::memcpy(content.data() + i, &word, 8);
  }
  auto build_in = [&](size_t piece) {
    std::string seen;
    content_builder builder(
        [&](uint32_t no, const chunk_ref& ref, std::string_view bytes) {
          CAF_CHECK(ref.id == chunk_id_of(bytes) && ref.bytes == bytes.size());
          CAF_CHECK(no > 0 || seen.empty());
          seen.append(bytes);
        },
        {});
    for (size_t at = 0; at < content.size(); at += piece)
      builder.feed(std::string_view(content).substr(at, piece));
    auto out = builder.finish();
    CAF_CHECK(seen == content);
    return out;
  };
  auto whole = build_in(content.size());
  CAF_CHECK_EQUAL(whole.ref.size, content.size());
  CAF_CHECK(build_in(65'536).ref == whole.ref);
  CAF_CHECK(build_in(3'333'333).ref == whole.ref);
  content_builder nothing({}, {});
  auto empty = nothing.finish();
  CAF_CHECK_EQUAL(empty.ref.size, 0u);
  CAF_CHECK(is_root(empty.record));
}

CAF_TEST(cut_or_longer_records_are_none) {
  for (uint32_t count : {0u, 3u, 9u, 5000u}) {
    auto record = build(count).content.record;
    for (size_t size = 0; size < record.size(); ++size)
      CAF_CHECK(!is_root(record.substr(0, size)));
    CAF_CHECK(!is_root(record + '\0'));
  }
}

CAF_TEST(a_root_must_be_the_signed_one) {
  auto made = build(3);
  auto& ref = made.content.ref;
  CAF_CHECK(
      std::holds_alternative<content_root>(parse_root(made.content.record, ref.cid, ref.size)));
  CAF_CHECK(
      std::holds_alternative<std::string>(parse_root(made.content.record, ref.cid, ref.size + 1)));
  auto other = ref.cid;
  other.bytes[31] ^= 1;
  CAF_CHECK(std::holds_alternative<std::string>(parse_root(made.content.record, other, ref.size)));
}

CAF_TEST(refuses_roots_that_lie_about_counts_and_sizes) {
  auto lie = [](uint8_t algorithm, uint64_t size, uint64_t chunks, auto&& fill) {
    byte_writer out;
    out.u8(algorithm);
    out.varint(size);
    out.varint(chunks);
    fill(out);
    return out.take();
  };
  auto id = chunk_id_of("x");
  auto one = [&](uint64_t bytes) {
    return [&, bytes](byte_writer& out) {
      out.varint(bytes);
      out.id(id);
    };
  };
  auto segment = [&](uint64_t chunks, uint64_t bytes) {
    return [&, chunks, bytes](byte_writer& out) {
      out.id(id);
      out.varint(chunks);
      out.varint(bytes);
    };
  };
  CAF_CHECK(is_root(lie(1, 10, 1, one(10))));
  CAF_CHECK(!is_root(lie(2, 10, 1, one(10))));
  CAF_CHECK(!is_root(lie(1, 11, 1, one(10))));
  CAF_CHECK(!is_root(lie(1, 0, 1, one(0))));
  CAF_CHECK(!is_root(lie(1, 10, 0, [](byte_writer&) {})));
  CAF_CHECK(!is_root(lie(1, cut_bytes_max + 1, 1, one(cut_bytes_max + 1))));
  CAF_CHECK(!is_root(lie(1, UINT64_MAX, uint64_t{1} << 60, [](byte_writer&) {})));
  CAF_CHECK(!is_root(lie(1, 1u << 24, content_chunks_max, [](byte_writer&) {})));
  // Many tiny chunks: only the last one of a content may be below the minimum.
  CAF_CHECK(!is_root(lie(1, 20, 2, [&](byte_writer& out) {
    one(10)(out);
    one(10)(out);
  })));
  constexpr uint64_t nine = 8ull * cut_bytes_min + 1;
  CAF_CHECK(is_root(lie(1, nine, 9, segment(9, nine))));
  CAF_CHECK(!is_root(lie(1, nine - 1, 9, segment(9, nine - 1))));
  CAF_CHECK(!is_root(lie(1, nine, 9, segment(8, nine))));
  CAF_CHECK(!is_root(lie(1, 9ull * cut_bytes_max + 1, 9, segment(9, 9ull * cut_bytes_max + 1))));
  // The same content in another shape would have another cid.
  CAF_CHECK(!is_root(lie(1, 2 * nine, 18, [&](byte_writer& out) {
    segment(9, nine)(out);
    segment(9, nine)(out);
  })));
}

CAF_TEST(refuses_segments_that_are_not_the_named_ones) {
  auto made = build(5000);
  auto root = parsed(made.content.record);
  const auto& first = made.segments.at(root.segments[0].id);
  const auto& second = made.segments.at(root.segments[1].id);
  CAF_CHECK(std::holds_alternative<std::vector<chunk_ref>>(parse_segment(first, root, 0)));
  CAF_CHECK(std::holds_alternative<std::string>(parse_segment(second, root, 0)));
  CAF_CHECK(std::holds_alternative<std::string>(parse_segment(first, root, 2)));
  auto flipped = first;
  flipped[100] ^= 1;
  CAF_CHECK(std::holds_alternative<std::string>(parse_segment(flipped, root, 0)));
  // A root may name a segment whose bytes have that hash and still do not add up.
  auto wrong = encode_segment(std::vector<chunk_ref>(10, chunk_of(1, cut_bytes_min)));
  root.segments[0].id = chunk_id_of(wrong);
  CAF_CHECK(std::holds_alternative<std::string>(parse_segment(wrong, root, 0)));
  auto absent
      = manifest_reader::open(made.content.record, made.content.ref.cid, made.content.ref.size,
                              [](const chunk_id&) { return std::string(); });
  CAF_CHECK(std::holds_alternative<std::string>(std::get<manifest_reader>(absent).chunk(0)));
}
