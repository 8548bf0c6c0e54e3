// Ids nobody can guess: their form, and that none comes twice.
#define CAF_SUITE random_id
#include "actors/random_id.hpp"

#include <caf/test/unit_test.hpp>

#include <set>

CAF_TEST(is_hex_of_the_asked_length_and_never_twice_the_same) {
  CAF_CHECK_EQUAL(harp::random_hex(0), "");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    auto one = harp::random_hex(8);
    CAF_REQUIRE_EQUAL(one.size(), 16u);
    CAF_REQUIRE_EQUAL(one.find_first_not_of("0123456789abcdef"), std::string::npos);
    CAF_REQUIRE(seen.insert(one).second);
  }
}
