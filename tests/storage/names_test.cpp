#define CAF_SUITE names
#include "storage/names.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

CAF_TEST(lawful_names_are_single_components_in_nfc) {
  for (std::string_view name :
       {"a", "...", ".hidden", "A b", "gr\xc3\xbc\xc3\x9f", "\xe6\x97\xa5", "~", "con", "a\nb"})
    CAF_CHECK(is_lawful_name(name));
  CAF_CHECK(is_lawful_name(std::string(255, 'x')));
  for (std::string_view name :
       {"", ".", "..", "a/b", "/", "u\xcc\x88", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\xaf"})
    CAF_CHECK(!is_lawful_name(name));
  CAF_CHECK(!is_lawful_name(std::string_view{"a\0b", 3}));
  CAF_CHECK(!is_lawful_name(std::string(256, 'x')));
}

CAF_TEST(normal_form_joins_what_looks_the_same) {
  CAF_CHECK(to_nfc("u\xcc\x88") == std::optional<std::string>("\xc3\xbc"));
  CAF_CHECK(to_nfc("\xc3\xbc") == std::optional<std::string>("\xc3\xbc"));
  CAF_CHECK(to_nfc("plain") == std::optional<std::string>("plain"));
  CAF_CHECK(to_nfc("") == std::optional<std::string>(""));
  CAF_CHECK(is_lawful_name(*to_nfc("A\xcc\x8a")));
}

CAF_TEST(what_is_no_utf8_has_no_normal_form) {
  for (std::string_view name : {"\xff", "a\xc3", "\xed\xa0\x80", "\xf5\x80\x80\x80"})
    CAF_CHECK(!to_nfc(name));
  CAF_CHECK(!to_nfc(std::string(disk_name_bytes_max + 1, 'a')));
  CAF_CHECK(!to_nfc(std::string(disk_name_bytes_max - 1, 'a') + "\xc3\xbc"));
}
