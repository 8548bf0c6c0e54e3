#define CAF_SUITE types
#include "storage/types.hpp"

#include <caf/test/unit_test.hpp>

#include <unordered_set>

using namespace harp;

CAF_TEST(reads_literals_in_one_normal_form) {
  auto v4 = ip_address::parse("192.0.2.7");
  auto mapped = ip_address::parse("::ffff:192.0.2.7");
  CAF_REQUIRE(v4 && mapped);
  CAF_CHECK(*v4 == *mapped);
  CAF_CHECK(v4->is_v4());
  CAF_CHECK_EQUAL(mapped->to_string(), "192.0.2.7");
  CAF_CHECK_EQUAL(ip_address::parse("2001:DB8::1")->to_string(), "2001:db8::1");
}

CAF_TEST(refuses_what_is_no_literal) {
  for (auto text : {"", "1.2.3", "1.2.3.4:80", "[::1]", "01.2.3.4", "1.2.3.4 ", "fe80::1%eth0", "localhost",
                    "1:2:3:4:5:6:7:8:9", "256.1.1.1"})
    CAF_CHECK(!ip_address::parse(text));
  CAF_CHECK(!ip_address::parse(std::string_view{"1.2.3.4\0x", 9}));
}

CAF_TEST(bans_one_v4_address_and_one_v6_network) {
  CAF_CHECK(ip_address::parse("192.0.2.7")->ban_key() == *ip_address::parse("192.0.2.7"));
  auto a = ip_address::parse("2001:db8:1:2::7")->ban_key();
  auto b = ip_address::parse("2001:db8:1:2:ffff::1")->ban_key();
  auto c = ip_address::parse("2001:db8:1:3::7")->ban_key();
  CAF_CHECK(a == b);
  CAF_CHECK(a != c);
  CAF_CHECK(std::hash<ip_address>{}(a) == std::hash<ip_address>{}(b));
}

CAF_TEST(knows_loopback_and_unspecified) {
  CAF_CHECK(ip_address::parse("127.8.9.1")->is_loopback());
  CAF_CHECK(ip_address::parse("::1")->is_loopback());
  CAF_CHECK(!ip_address::parse("128.0.0.1")->is_loopback());
  CAF_CHECK(!ip_address::parse("::2")->is_loopback());
  CAF_CHECK(ip_address::parse("0.0.0.0")->is_unspecified());
  CAF_CHECK(ip_address::parse("::")->is_unspecified());
  CAF_CHECK(!ip_address::parse("::1")->is_unspecified());
}

CAF_TEST(networks_clear_host_bits_and_say_so) {
  bool cleared = false;
  auto network = ip_network::parse("10.1.2.3/8", &cleared);
  CAF_REQUIRE(network);
  CAF_CHECK(cleared);
  CAF_CHECK_EQUAL(network->to_string(), "10.0.0.0/8");
  CAF_CHECK(network->contains(*ip_address::parse("10.255.0.1")));
  CAF_CHECK(network->contains(*ip_address::parse("::ffff:10.0.0.9")));
  CAF_CHECK(!network->contains(*ip_address::parse("11.0.0.1")));
  auto exact = ip_network::parse("2001:db8::1", &cleared);
  CAF_REQUIRE(exact);
  CAF_CHECK(!cleared);
  CAF_CHECK(!exact->contains(*ip_address::parse("2001:db8::2")));
  CAF_CHECK(ip_network::parse("::/0")->contains(*ip_address::parse("2001:db8::2")));
  CAF_CHECK(ip_network::parse("0.0.0.0/0")->contains(*ip_address::parse("9.9.9.9")));
}

CAF_TEST(refuses_bad_networks) {
  for (auto text : {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "/8", "x/8", "10.0.0.0/ 8"})
    CAF_CHECK(!ip_network::parse(text));
}
