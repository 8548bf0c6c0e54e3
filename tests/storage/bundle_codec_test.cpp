#define CAF_SUITE bundle_codec
#include "storage/bundle_codec.hpp"
#include "storage/digest.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;

namespace {

signing_key key() {
  return signing_key::from_seed(std::string(32, '\1'));
}

content_ref content() {
  content_ref out;
  out.size = 5;
  out.root = "root record";
  out.cid = content_id_of(out.root);
  return out;
}

bundle with(std::vector<operation> ops) {
  bundle b;
  b.space.bytes.fill(0x11);
  b.rid = 3;
  b.seq = 2;
  b.hlc = 0x0123456789abull << 16;
  b.roster_version = 7;
  b.previous.bytes.fill(0x22);
  b.context_delta = {{1, 5}, {4, 300}};
  b.ops = std::move(ops);
  return b;
}

/// One of each operation.
std::vector<operation> every_operation() {
  node_meta meta{-5, true, "ann"};
  node_id node = made_node_id({1, 5}, 0);
  op_checkpoint point;
  point.covered = {{1, 5}, {4, 300}};
  point.floor = 99;
  point.active = {1, 4};
  point.root.bytes.fill(0x33);
  op_policy policy;
  policy.values = {{"trash_days", 90}};
  space_id target;
  target.bytes.fill(0x44);
  return {op_make_file{root_node_id(),
                       "gr\xc3\xbc\xc3\x9f"
                       "e.txt",
                       node_kind::file, meta, content()},
          op_make_file{root_node_id(), "link", node_kind::symlink, {}, content()},
          op_make_dir{root_node_id(), "2026", stamp{8, 1, 2}},
          op_adopt{root_node_id(), "old", meta, content()},
          op_edit{node, stamp{9, 1, 0}, meta, content()},
          op_set_meta{node, meta},
          op_move{{node, made_node_id({1, 5}, 1)}, root_node_id(), "new"},
          op_delete{{{node, {{1, 5}, {3, 1}}}}},
          op_restore{node, stamp{9, 1, 0}},
          op_graft{dir_node_id(root_node_id(), "2026", {}), target},
          point,
          policy};
}

sealed_bundle sealed(const bundle& b) {
  auto made = seal_bundle(b, key());
  if (auto* fault = std::get_if<std::string>(&made))
    CAF_FAIL(*fault);
  return std::get<sealed_bundle>(std::move(made));
}

bool is_refused(const bundle& b) {
  return std::holds_alternative<std::string>(seal_bundle(b, key()));
}

bool is_bad(std::string_view raw) {
  return std::holds_alternative<std::string>(decode_bundle(raw));
}

std::string hex(std::string_view bytes) {
  return to_hex(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string unhex(std::string_view text) {
  std::string out(text.size() / 2, '\0');
  from_hex(text, reinterpret_cast<uint8_t*>(out.data()), out.size());
  return out;
}

bundle many_operations(size_t count) {
  std::vector<operation> ops;
  for (size_t i = 0; i < count; ++i)
    ops.emplace_back(op_set_meta{made_node_id({1, i + 1}, 0), {}});
  return with(std::move(ops));
}

} // namespace

CAF_TEST(every_operation_survives_the_round_trip) {
  auto one = sealed(with(every_operation()));
  auto again = sealed(one.content);
  CAF_CHECK_EQUAL(hex(one.raw), hex(again.raw));
  auto decoded = decode_bundle(one.raw);
  CAF_REQUIRE(std::holds_alternative<sealed_bundle>(decoded));
  const auto& b = std::get<sealed_bundle>(decoded).content;
  CAF_REQUIRE_EQUAL(b.ops.size(), every_operation().size());
  for (size_t i = 0; i < b.ops.size(); ++i)
    CAF_CHECK_EQUAL(b.ops[i].index(), every_operation()[i].index());
  const auto& file = std::get<op_make_file>(b.ops[0]);
  CAF_CHECK(file.content == content());
  CAF_CHECK_EQUAL(file.meta.mtime_ns, -5);
  CAF_CHECK(file.meta.executable);
  CAF_CHECK_EQUAL(file.meta.acting_user, "ann");
  CAF_CHECK(std::get<op_delete>(b.ops[7]).items[0].seen == (std::vector<dot>{{1, 5}, {3, 1}}));
  CAF_CHECK(std::get<op_checkpoint>(b.ops[10]).covered == (version_vector{{1, 5}, {4, 300}}));
  CAF_CHECK(b.context_delta == (std::vector<dot>{{1, 5}, {4, 300}}));
  CAF_CHECK(b.previous == with({}).previous);
}

CAF_TEST(bytes_do_not_drift) {
  auto raw = sealed(with({op_make_dir{root_node_id(), "2026", {}}})).raw;
  CAF_CHECK_EQUAL(
      hex(raw),
      "01111111111111111111111111111111110300000002000000000000000000ab896745230107000000000000"
      "00222222222222222222222222222222222222222222222222222222222222222202010000000504000000ac"
      "02002501020000000000000000000000000000000204323032360000000000000000000000000000b9ee451d"
      "0dae6f9b48d1fcf63561db979856c73cffb3190085753846db8f6c9d71205d65d022ec78b7585ea48ba4ef44"
      "5226aa3af6a73a1d5bbde37e89017b04");
  CAF_CHECK_EQUAL(sealed(with({op_make_dir{root_node_id(), "2026", {}}})).hash.to_string(),
                  "f0eb2f7f16d7ddd0ba84d1a761ba9aaca514804852dbd39b5b1fcafa8f681684");
  // Every operation's bytes at once; less than 1 KiB, so nothing of them depends on the version of zstd.
  CAF_CHECK_EQUAL(chunk_id_of(sealed(with(every_operation())).raw).to_string(),
                  "b2487d77982d7c7d47906ea359f727bdd187e15b363f871f384b8349c459c669");
}

CAF_TEST(a_compressed_bundle_of_before_is_still_read) {
  auto raw = unhex(
      "01111111111111111111111111111111110300000002000000000000000000ab896745230107000000000000"
      "00222222222222222222222222222222222222222222222222222222222222222202010000000504000000ac"
      "0201d50ca40128b52ffd605505d5040052440f091018dd0100cf3b27537d2008006ebba66739865fb7655735"
      "454fb3244731043fafe3362dc32eaba22629821ea7611625410e831884ffe7cfffbfe8013f20f09503b2d867"
      "335becb3992df6d9cc96f6d9cc16fb6c668b7d36b3c53e9bb5c53e9bd9629fcd6cb1cf66b6d8d766b6d86733"
      "5becb3992df6d9cc96f6d9cc16fb6c668b7d36b3c53e9bb5a5030eecb319b285273e3777b046563d9d434bc5"
      "46b8fe7b10a8c23cfa8602d78daf9e6cec2ab255dc698139dc306cf048d292598cacd16e93328ad88d8a0687"
      "5f5454e445b34f989f3428e7c701");
  auto decoded = decode_bundle(raw);
  CAF_REQUIRE(std::holds_alternative<sealed_bundle>(decoded));
  const auto& one = std::get<sealed_bundle>(decoded);
  CAF_CHECK_EQUAL(one.content.ops.size(), 60u);
  CAF_CHECK(std::get<op_set_meta>(one.content.ops[59]).node == made_node_id({1, 60}, 0));
  CAF_CHECK(verify_bundle(one, key().public_key()));
}

CAF_TEST(signature_covers_everything) {
  auto one = sealed(with(every_operation()));
  CAF_CHECK(verify_bundle(one, key().public_key()));
  CAF_CHECK(!verify_bundle(one, signing_key::make().public_key()));
  std::mt19937_64 random{7};
  for (size_t i = 0; i < one.raw.size(); ++i) {
    auto raw = one.raw;
    raw[i] = static_cast<char>(raw[i] ^ (1 << (random() % 8)));
    auto decoded = decode_bundle(raw);
    if (auto* other = std::get_if<sealed_bundle>(&decoded))
      CAF_CHECK(!verify_bundle(*other, key().public_key()));
  }
}

CAF_TEST(hash_names_the_content_and_not_the_signature) {
  auto one = sealed(with({}));
  auto raw = one.raw;
  raw.back() = static_cast<char>(raw.back() ^ 1);
  CAF_CHECK(std::get<sealed_bundle>(decode_bundle(raw)).hash == one.hash);
  auto other = with({});
  other.hlc++;
  CAF_CHECK(sealed(other).hash != one.hash);
}

CAF_TEST(every_cut_is_refused) {
  for (const auto& b : {with(every_operation()), many_operations(100)}) {
    auto raw = sealed(b).raw;
    for (size_t size = 0; size < raw.size(); ++size)
      CAF_CHECK(is_bad(std::string_view(raw).substr(0, size)));
    CAF_CHECK(is_bad(raw + "x"));
    CAF_CHECK(!is_bad(raw));
  }
}

CAF_TEST(headers_that_contradict_themselves_are_refused) {
  auto change = [](auto&& edit) {
    auto b = with({});
    edit(b);
    return is_refused(b);
  };
  CAF_CHECK(!change([](bundle&) {}));
  CAF_CHECK(change([](bundle& b) { b.rid = 0; }));
  CAF_CHECK(change([](bundle& b) { b.seq = 0; }));
  CAF_CHECK(change([](bundle& b) { b.hlc = 0; }));
  CAF_CHECK(change([](bundle& b) { b.seq = 1; }));
  CAF_CHECK(change([](bundle& b) { b.previous = {}; }));
  CAF_CHECK(change([](bundle& b) { b.context_delta = {{4, 1}, {1, 1}}; }));
  CAF_CHECK(change([](bundle& b) { b.context_delta = {{1, 1}, {1, 2}}; }));
  CAF_CHECK(change([](bundle& b) { b.context_delta = {{3, 1}}; }));
  CAF_CHECK(change([](bundle& b) { b.context_delta = {{1, 0}}; }));
  CAF_CHECK(!change([](bundle& b) {
    b.seq = 1;
    b.previous = {};
  }));
}

CAF_TEST(operations_that_cannot_be_are_refused) {
  auto bad = [](operation op) { return is_refused(with({std::move(op)})); };
  node_id node = made_node_id({1, 1}, 0);
  CAF_CHECK(bad(op_make_dir{root_node_id(), "a/b", {}}));
  CAF_CHECK(bad(op_make_dir{root_node_id(), "..", {}}));
  CAF_CHECK(bad(op_make_dir{root_node_id(), "u\xcc\x88", {}}));
  CAF_CHECK(bad(op_make_file{root_node_id(), "a", node_kind::dir, {}, {}}));
  CAF_CHECK(bad(op_make_file{root_node_id(), "a", node_kind::graft, {}, {}}));
  CAF_CHECK(bad(op_set_meta{node, {0, false, std::string(65, 'u')}}));
  CAF_CHECK(bad(op_move{{}, root_node_id(), "a"}));
  CAF_CHECK(bad(op_move{{root_node_id()}, root_node_id(), "a"}));
  CAF_CHECK(bad(op_move{std::vector<node_id>(17, node), root_node_id(), "a"}));
  CAF_CHECK(bad(op_delete{{}}));
  CAF_CHECK(bad(op_delete{{{root_node_id(), {}}}}));
  CAF_CHECK(bad(op_delete{{{node, {{3, 2}}}}})); // a life dot of this very bundle
  CAF_CHECK(!bad(op_delete{{{node, {{3, 1}}}}}));
  CAF_CHECK(bad(op_delete{{{node, {{2, 1}, {1, 1}}}}}));
  CAF_CHECK(bad(op_delete{std::vector<delete_item>(4097, delete_item{node, {}})}));
  CAF_CHECK(!bad(op_delete{std::vector<delete_item>(4096, delete_item{node, {}})}));
  CAF_CHECK(bad(op_graft{node, {}}));
  auto lying = content();
  lying.root = "another root";
  CAF_CHECK(bad(op_edit{node, {}, {}, lying}));
  lying.root = std::string(inline_root_bytes_max + 1, 'r');
  lying.cid = content_id_of(lying.root);
  CAF_CHECK(bad(op_edit{node, {}, {}, lying}));
  op_policy policy;
  policy.values.assign(65, {"x", 1});
  CAF_CHECK(bad(policy));
}

CAF_TEST(size_limits_hold) {
  CAF_CHECK(!is_refused(many_operations(bundle_ops_max)));
  CAF_CHECK(is_refused(many_operations(bundle_ops_max + 1)));
  CAF_CHECK(is_bad(std::string(bundle_sent_bytes_max + 1, 'x')));
  std::vector<operation> large;
  std::mt19937_64 random{1};
  for (size_t i = 0; i < 4000; ++i) {
    op_edit op;
    op.node = made_node_id({1, 1}, 0);
    op.content.root.resize(inline_root_bytes_max);
    for (auto& c : op.content.root)
      c = static_cast<char>(random());
    op.content.cid = content_id_of(op.content.root);
    large.emplace_back(op);
  }
  CAF_CHECK(is_refused(with(std::move(large)))); // 1.5 MiB that do not shrink
}

CAF_TEST(a_bomb_is_not_unpacked) {
  // The header of a plain bundle, then flags "compressed" with a size it does not have.
  auto plain = sealed(with({})).raw;
  auto head = plain.substr(0, plain.size() - signature::size - 3);
  auto packed = sealed(many_operations(100)).raw;
  auto body = packed.substr(head.size() + 1);
  auto bundle_with_size = [&](uint64_t size) {
    byte_writer out{head};
    out.u8(1);
    out.varint(size);
    byte_reader in{body};
    in.varint();
    out.raw(in.rest());
    return out.take();
  };
  CAF_CHECK(!is_bad(bundle_with_size(byte_reader{body}.varint())));
  for (uint64_t size : {uint64_t{0}, uint64_t{1024}, uint64_t{2000},
                        uint64_t{bundle_raw_bytes_max + 1}, UINT64_MAX})
    CAF_CHECK(is_bad(bundle_with_size(size)));
}

CAF_TEST(routing_peeks_without_decoding) {
  auto raw = sealed(with({})).raw;
  CAF_CHECK(space_of_bundle(raw) == with({}).space);
  CAF_CHECK(dot_of_bundle(raw) == (dot{3, 2}));
  CAF_CHECK(space_of_bundle(raw.substr(0, 16)).is_zero());
  CAF_CHECK(dot_of_bundle(raw.substr(0, 28)) == dot{});
}
