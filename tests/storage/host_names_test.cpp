// Aliases for names a host cannot hold (M06).
#define CAF_SUITE host_names
#include "storage/host_names.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

CAF_TEST(linux_holds_nearly_everything) {
  host_traits plain;
  for (const char* name : {"CON", "a:b", "dot.", "a b", "caf\xc3\xa9"})
    CAF_CHECK(host_can_hold(name, plain));
  for (const char* name : {"", ".", "..", "a/b"})
    CAF_CHECK(!host_can_hold(name, plain));
  CAF_CHECK(!host_can_hold(std::string(256, 'a'), plain));
}

CAF_TEST(windows_rules_apply_where_they_hold) {
  host_traits windows{255, true, true};
  for (const char* name : {"CON", "con.txt", "Lpt1", "a:b", "dot.", "blank ", "tab\t", "what?"}) {
    CAF_CHECK(!host_can_hold(name, windows));
    for (unsigned k : {1u, 2u, 99u}) {
      auto alias = host_alias(name, k, windows);
      CAF_CHECK(host_can_hold(alias, windows));
      CAF_CHECK(alias != name);
    }
  }
  CAF_CHECK(host_can_hold("conduct", windows));
  CAF_CHECK_EQUAL(host_alias("con.txt", 1, windows), "con~1.txt");
}

CAF_TEST(aliases_keep_the_ending_and_fit) {
  host_traits plain;
  CAF_CHECK_EQUAL(host_alias("report.txt", 1, plain), "report~1.txt");
  CAF_CHECK_EQUAL(host_alias("n", 2, plain), "n~2");
  CAF_CHECK_EQUAL(host_alias(".hidden", 1, plain), ".hidden~1");
  std::string wide;
  for (int i = 0; i < 85; ++i)
    wide += "\xe2\x82\xac";
  auto alias = host_alias(wide, 12, plain);
  CAF_CHECK(alias.size() <= 255 && alias.ends_with("~12"));
  CAF_CHECK_EQUAL((alias.size() - 3) % 3, 0u); // no half character
  host_traits narrow{143, false, false};
  CAF_CHECK(host_can_hold(host_alias(std::string(255, 'x'), 1, narrow), narrow));
}

CAF_TEST(folding_is_unicode_and_normal_form) {
  CAF_CHECK_EQUAL(folded_name("README"), folded_name("readme"));
  CAF_CHECK_EQUAL(folded_name("\xc3\x89t\xc3\xa9"), folded_name("\xc3\xa9t\x65\xcc\x81"));
  CAF_CHECK(folded_name("a") != folded_name("b"));
}

CAF_TEST(this_host_is_probed_without_making_anything) {
  test::scratch_dir dir;
  auto root = safe_root::open(dir.path().string());
  CAF_REQUIRE(std::holds_alternative<safe_root>(root));
  auto traits = probe_host(std::get<safe_root>(root));
  CAF_CHECK(traits.name_bytes_max >= 100 && traits.name_bytes_max <= 255);
  CAF_CHECK(std::filesystem::is_empty(dir.path()));
}
