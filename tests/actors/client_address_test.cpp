// Whose request it is behind trusted proxies (quality.md S5, H09; X25).
#define CAF_SUITE client_address
#include "actors/client_address.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

ip_address at(std::string_view text) {
  return ip_address::parse(text).value();
}

/// A head with nothing but forwarding fields; values live as long as the literals.
net::request_head head_of(std::initializer_list<std::string_view> forwarded,
                          std::initializer_list<std::string_view> real_ip = {}) {
  net::request_head head;
  for (auto value : forwarded)
    head.fields.push_back({"x-forwarded-for", value, net::field_id::x_forwarded_for});
  for (auto value : real_ip)
    head.fields.push_back({"x-real-ip", value, net::field_id::x_real_ip});
  head.hop.assign(head.fields.size(), false);
  return head;
}

const std::vector<ip_network> trusted{*ip_network::parse("10.0.0.0/8"),
                                      *ip_network::parse("fd00::/64")};

std::string found(const net::request_head& head, std::string_view peer = "10.0.0.1") {
  return client_address(head, at(peer), trusted).to_string();
}

} // namespace

CAF_TEST(believes_nobody_without_trusted_proxies) {
  auto head = head_of({"203.0.113.9"}, {"203.0.113.8"});
  CAF_CHECK_EQUAL(client_address(head, at("10.0.0.1"), {}).to_string(), "10.0.0.1");
}

CAF_TEST(ignores_fields_from_an_untrusted_peer) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9"}, {"203.0.113.8"}), "192.0.2.1"), "192.0.2.1");
}

CAF_TEST(takes_the_rightmost_untrusted_hop) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"198.51.100.1, 203.0.113.9"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"198.51.100.1,203.0.113.9,10.9.9.9"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"198.51.100.1, 203.0.113.9 , 10.9.9.9,\t10.1.1.1"})),
                  "203.0.113.9");
}

CAF_TEST(reads_all_lines_as_one_list) {
  CAF_CHECK_EQUAL(found(head_of({"198.51.100.1", "203.0.113.9"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9", "10.2.2.2"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"198.51.100.1, 203.0.113.9", "10.2.2.2, 10.3.3.3"})),
                  "203.0.113.9");
}

CAF_TEST(forged_left_parts_change_nothing) {
  for (std::string_view forged : {"192.0.2.66", "10.0.0.7", "garbage", "127.0.0.1", "::1", ",,,"}) {
    std::string line = std::string(forged) + ", 203.0.113.9";
    CAF_CHECK_EQUAL(found(head_of({line})), "203.0.113.9");
    CAF_CHECK_EQUAL(found(head_of({forged, "203.0.113.9"})), "203.0.113.9");
  }
}

CAF_TEST(stops_at_the_last_good_hop) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, unknown, 10.4.4.4"})), "10.4.4.4");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, 1.2.3.4.5"}, {})), "10.0.0.1");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, _hidden", "10.4.4.4"})), "10.4.4.4");
}

CAF_TEST(chain_of_trusted_hops_ends_at_the_farthest) {
  CAF_CHECK_EQUAL(found(head_of({"10.4.4.4, 10.5.5.5"}, {"203.0.113.8"})), "10.4.4.4");
}

CAF_TEST(skips_empty_elements) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, ,"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9", ""})), "203.0.113.9");
}

CAF_TEST(falls_back_to_the_last_x_real_ip) {
  CAF_CHECK_EQUAL(found(head_of({}, {"203.0.113.8"})), "203.0.113.8");
  CAF_CHECK_EQUAL(found(head_of({}, {"198.51.100.1", "203.0.113.8"})), "203.0.113.8");
  CAF_CHECK_EQUAL(found(head_of({"unknown"}, {"203.0.113.8"})), "203.0.113.8");
  CAF_CHECK_EQUAL(found(head_of({}, {"nonsense"})), "10.0.0.1");
  CAF_CHECK_EQUAL(found(head_of({}, {"203.0.113.8, 1.1.1.1"})), "10.0.0.1");
}

CAF_TEST(forwarded_for_wins_over_x_real_ip) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9"}, {"203.0.113.8"})), "203.0.113.9");
}

CAF_TEST(accepts_ports_and_brackets) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9:567"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"[2001:db8::7]:5"})), "2001:db8::7");
  CAF_CHECK_EQUAL(found(head_of({"[2001:db8::7]"})), "2001:db8::7");
  CAF_CHECK_EQUAL(found(head_of({"2001:db8::7"})), "2001:db8::7");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, [fd00::3]:80, 10.3.3.3:80"})), "203.0.113.9");
}

CAF_TEST(knows_mapped_addresses_as_ipv4) {
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9"}), "::ffff:10.0.0.1"), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"203.0.113.9, ::ffff:10.1.2.3"})), "203.0.113.9");
  CAF_CHECK_EQUAL(found(head_of({"::ffff:203.0.113.9"})), "203.0.113.9");
}

CAF_TEST(refuses_what_is_no_hop) {
  for (std::string_view text :
       {"", "unknown", "1.2.3", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x", "1.2.3.4:-1", "[::1",
        "[::1]:", "[::1]x", "[::1]:99999", "[1.2.3.4]", "[]", "[", "::1%eth0", "01.2.3.4",
        "1.2.3.4 5", "\"1.2.3.4\"", ":80"}) {
    if (parse_hop(text))
      CAF_ERROR("read as an address: " << text);
    CAF_CHECK(!parse_hop(text));
  }
}

CAF_TEST(looks_at_a_bounded_number_of_hops) {
  std::string line = "203.0.113.9";
  for (size_t i = 0; i < forwarded_hops_max - 1; ++i)
    line += ",10.0.0.2";
  CAF_CHECK_EQUAL(found(head_of({line})), "203.0.113.9");
  line += ",10.0.0.3";
  CAF_CHECK_EQUAL(found(head_of({line})), "10.0.0.2");
}
