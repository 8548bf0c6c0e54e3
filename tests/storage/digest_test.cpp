#define CAF_SUITE digest
#include "storage/digest.hpp"
#include "storage/op.hpp"

#include <caf/test/unit_test.hpp>

#include <string>

using namespace harp;

CAF_TEST(sha256_is_the_standard_one) {
  auto hex = [](std::string_view text) { return chunk_id_of(text).to_string(); };
  CAF_CHECK_EQUAL(hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CAF_CHECK_EQUAL(hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CAF_CHECK_EQUAL(content_id_of("abc").to_string(), hex("abc"));
}

CAF_TEST(personal_prefix_separates_uses) {
  // Python: hashlib.blake2b(b"abc", digest_size=32, person=b"harp.dir").hexdigest()
  CAF_CHECK_EQUAL(blake2b("harp.dir", "abc").to_string(),
                  "ddaaf5854c2054fa31b2a0c1a551d2ef2931b41bed14301f2c99994cc6596051");
  CAF_CHECK(blake2b("harp.dir", "abc") != blake2b("harp.adopt", "abc"));
  CAF_CHECK(blake2b("harp.dir", "abc") != blake2b("harp.dir", "abd"));
}

CAF_TEST(pieces_hash_like_the_whole) {
  std::string text(1000, 'x');
  auto whole = blake2b("p", text);
  for (size_t cut : {size_t{0}, size_t{1}, size_t{128}, size_t{129}, text.size()}) {
    blake2b_hasher pieces("p");
    pieces.update(text.substr(0, cut)).update(text.substr(cut));
    CAF_CHECK(pieces.finish() == whole);
  }
}

CAF_TEST(node_ids_have_their_wire_form) {
  CAF_CHECK_EQUAL(made_node_id({0x01020304, 0x05}, 0x0607).to_string(),
                  "01020304000000000000000506070001");
  CAF_CHECK_EQUAL(root_node_id().to_string(), "00000000000000000000000000000002");
  auto dir = dir_node_id(root_node_id(), "2026", {});
  auto adopted = adopted_node_id(root_node_id(), "2026");
  CAF_CHECK_EQUAL(dir.to_string(), "aa19373a0a694e148e4030067e5e0002");
  CAF_CHECK_EQUAL(adopted.to_string(), "41a602467a6b80820a236062dd660003");
  CAF_CHECK_EQUAL(node_tag_of(made_node_id({1, 1}, 0)), 1);
  CAF_CHECK_EQUAL(node_tag_of(dir), 2);
  CAF_CHECK_EQUAL(node_tag_of(adopted), 3);
}

CAF_TEST(derived_ids_depend_on_place_and_salt) {
  auto dir = dir_node_id(root_node_id(), "a", {});
  CAF_CHECK(dir == dir_node_id(root_node_id(), "a", {}));
  CAF_CHECK(dir != dir_node_id(root_node_id(), "b", {}));
  CAF_CHECK(dir != dir_node_id(dir, "a", {}));
  CAF_CHECK(dir != dir_node_id(root_node_id(), "a", {1, 1, 0}));
}
