// The forms of single values: times, addresses, networks, numbers, secrets, nearest words.
#define CAF_SUITE config_values

#include "web/bind_text.hpp"
#include "web/config_values.hpp"
#include "web/nearest.hpp"
#include "web/secret_text.hpp"
#include "web/time_text.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::web;
using std::chrono::milliseconds;

namespace {

struct accepted {
  const char* text;
  const char* shown;
};

std::string joined(const std::vector<bind_address>& all) {
  std::string text;
  for (const auto& one : all)
    text += (text.empty() ? "" : " ") + one.to_string() + (one.v6_only ? "!" : "");
  return text;
}

std::string joined(const std::vector<ip_network>& all) {
  std::string text;
  for (const auto& one : all)
    text += (text.empty() ? "" : " ") + one.to_string();
  return text;
}

} // namespace

CAF_TEST(reads_haproxy_times) {
  struct row {
    const char* text;
    int64_t ms;
  };
  for (const auto& [text, ms] :
       {row{"30s", 30'000}, row{"5000", 5'000}, row{"0", 0}, row{"0d", 0}, row{"1ms", 1},
        row{"1us", 1}, row{"1001us", 2}, row{"2m", 120'000}, row{"1h", 3'600'000},
        row{"24d", 2'073'600'000}, row{"2147483647", 2'147'483'647}}) {
    auto time = parse_time_text(text, bare_number::is_milliseconds);
    CAF_REQUIRE(time.value.has_value());
    CAF_CHECK_EQUAL(time.value->count(), ms);
  }
}

CAF_TEST(refuses_what_is_no_haproxy_time) {
  for (const char* text :
       {"", "s", "-1s", "+1s", "30 s", "30S", "1.5s", "30sec", "1w", "2147483648", "25d",
        "99999999999999999999", "99999999999999999999s", "\"30s\""}) {
    auto time = parse_time_text(text, bare_number::is_milliseconds);
    CAF_CHECK(!time.value.has_value());
    CAF_CHECK(!time.error.empty());
  }
}

CAF_TEST(demands_a_unit_where_harp_is_strict) {
  CAF_CHECK(!parse_time_text("30", bare_number::is_error).value.has_value());
  CAF_CHECK_EQUAL(parse_time_text("0", bare_number::is_error).value->count(), 0);
  CAF_CHECK_EQUAL(parse_time_text("30s", bare_number::is_error).value->count(), 30'000);
  CAF_CHECK(parse_time_text("3650d", bare_number::is_error).value == own_time_max);
  CAF_CHECK(parse_time_text("3651d", bare_number::is_error).error.find("longer than the 3650 days") != std::string::npos);
}

CAF_TEST(writes_times_that_it_reads_back) {
  for (int64_t ms : {0, 1, 999, 1'000, 1'500, 30'000, 1'800'000, 2'147'483'647}) {
    auto text = to_time_text(milliseconds{ms});
    CAF_CHECK_EQUAL(parse_time_text(text, bare_number::is_error).value->count(), ms);
  }
  CAF_CHECK_EQUAL(to_time_text(milliseconds{1'800'000}), "1800s");
}

CAF_TEST(reads_bind_forms) {
  for (const auto& [text, shown] :
       {accepted{"0.0.0.0:8780", "0.0.0.0:8780"}, accepted{"*:8780", "0.0.0.0:8780"},
        accepted{":8780", "0.0.0.0:8780"}, accepted{"[::]:8780 v4v6", "[::]:8780"},
        accepted{"[::]:8780 v6only", "[::]:8780!"}, accepted{":::8780", "[::]:8780"},
        accepted{"[::1]:1,127.0.0.1:2", "[::1]:1 127.0.0.1:2"},
        accepted{"127.0.0.1:1, 127.0.0.1:2", "127.0.0.1:1 127.0.0.1:2"},
        accepted{"127.0.0.1:1,[::]:2 v6only", "127.0.0.1:1 [::]:2!"},
        accepted{"ipv4@*:5", "0.0.0.0:5"}, accepted{"ipv6@:5", "[::]:5"},
        accepted{"ipv6@[::1]:5", "[::1]:5"}, accepted{"127.0.0.1:0", "127.0.0.1:0"},
        accepted{"  10.1.2.3:65535 ", "10.1.2.3:65535"},
        accepted{"[2001:db8::7]:8782", "[2001:db8::7]:8782"},
        accepted{"[::ffff:10.0.0.1]:7", "10.0.0.1:7"}}) {
    auto all = parse_binds(text);
    if (!all.value)
      CAF_ERROR(text << " refused: " << all.error);
    else
      CAF_CHECK_EQUAL(joined(*all.value), shown);
  }
}

CAF_TEST(refuses_bind_forms_it_cannot_honour) {
  for (const char* text : {"",
                           " ",
                           ",",
                           "8780",
                           "0.0.0.0",
                           "0.0.0.0:",
                           "0.0.0.0:65536",
                           "0.0.0.0:-1",
                           "0.0.0.0:1-9",
                           "0.0.0.0:80x",
                           "1.2.3:80",
                           "256.1.1.1:80",
                           "/run/x.sock",
                           "unix@/run/x",
                           "abns@x:1",
                           "fd@3:1",
                           "[::1:80",
                           "[fe80::1%eth0]:80",
                           "a b:1",
                           "no-such-host.invalid:80",
                           "bad!name:1",
                           "0.0.0.0:80 ssl",
                           "0.0.0.0:80 ssl crt /x",
                           "0.0.0.0:80 accept-proxy",
                           "0.0.0.0:80 v4v6 name=x"}) {
    auto all = parse_binds(text);
    if (all.value)
      CAF_ERROR(text << " accepted as " << joined(*all.value));
    CAF_CHECK(!all.error.empty());
  }
  CAF_CHECK(parse_binds("0.0.0.0:80 accept-proxy").error.find("\"accept-proxy\"")
            != std::string::npos);
}

CAF_TEST(resolves_names_of_listeners) {
  auto all = parse_binds("localhost:8780");
  CAF_REQUIRE(all.value.has_value());
  auto ip = ip_address::parse(all.value->front().host);
  CAF_REQUIRE(ip.has_value());
  CAF_CHECK(ip->is_loopback());
}

CAF_TEST(bounds_the_number_of_binds) {
  std::string text = "127.0.0.1:1";
  for (size_t i = 1; i < binds_max; ++i)
    text += ",127.0.0.1:1";
  CAF_CHECK(parse_binds(text).value.has_value());
  CAF_CHECK(!parse_binds(text + ",127.0.0.1:1").value.has_value());
  CAF_CHECK(!parse_bind("127.0.0.1:1,127.0.0.1:2").value.has_value());
}

CAF_TEST(strips_quotes_as_the_start_script_does) {
  for (const auto& [text, shown] :
       {accepted{"\"a\"", "a"}, accepted{"'a'", "a"}, accepted{"\"'a'\"", "a"},
        accepted{"'\"a\"'", "\"a\""}, accepted{"\"\"a\"\"", "\"a\""}, accepted{"\"a", "a"},
        accepted{"a'", "a"}, accepted{"a\"b", "a\"b"}, accepted{"\"", ""}, accepted{"", ""}})
    CAF_CHECK_EQUAL(strip_quotes(text), shown);
}

CAF_TEST(reads_trusted_proxies_as_harp_of_nextcloud_does) {
  notes warnings;
  auto all = parse_networks(
      {" 10.0.0.0/8 , \"192.168.1.5\",'::1', “2001:db8::/32”,172.16.0.0/255.240.0.0,",
       text_form::compat},
      warnings);
  CAF_REQUIRE(all.value.has_value());
  CAF_CHECK_EQUAL(joined(*all.value),
                  "10.0.0.0/8 192.168.1.5/32 ::1/128 2001:db8::/32 172.16.0.0/12");
  CAF_CHECK(warnings.empty());
}

CAF_TEST(masks_host_bits_and_skips_bad_items_with_a_note) {
  notes warnings;
  auto all = parse_networks(
      {"10.1.2.3/8,proxy,300.0.0.1,10.0.0.0/33,10.0.0.0/255.0.255.0", text_form::compat}, warnings);
  CAF_REQUIRE(all.value.has_value());
  CAF_CHECK_EQUAL(joined(*all.value), "10.0.0.0/8");
  CAF_CHECK_EQUAL(warnings.size(), 5u);
}

CAF_TEST(trusts_nobody_when_no_item_is_valid) {
  notes warnings;
  auto all = parse_networks({"proxy", text_form::compat}, warnings);
  CAF_REQUIRE(all.value.has_value());
  CAF_CHECK(all.value->empty());
  CAF_CHECK_EQUAL(warnings.size(), 2u);
  CAF_CHECK(!parse_networks({"proxy", text_form::strict}, warnings).value.has_value());
}

CAF_TEST(normalises_the_base_url) {
  for (const auto& [text, shown] :
       {accepted{"https://c.example", "https://c.example"},
        accepted{"https://c.example/", "https://c.example"},
        accepted{"https://c.example/index.php", "https://c.example"},
        accepted{"https://c.example/index.php/", "https://c.example"},
        accepted{"'https://c.example/nc/'", "https://c.example/nc"},
        accepted{"\"http://c.example:8080/nc/index.php\"", "http://c.example:8080/nc"},
        accepted{"HTTP://c.example//", "http://c.example/"},
        accepted{"http://[::1]:80", "http://[::1]:80"}}) {
    auto url = parse_base_url({text, text_form::compat});
    CAF_REQUIRE(url.value.has_value());
    CAF_CHECK_EQUAL(*url.value, shown);
  }
  for (const char* text :
       {"c.example", "ftp://c.example", "https://", "https:///x", "https://u:p@c.example",
        "https://c.example/?x", "https://c.example/#x", "https://c .example", "https://:80"})
    CAF_CHECK(!parse_base_url({text, text_form::compat}).value.has_value());
}

CAF_TEST(reads_numbers_as_python_does) {
  CAF_CHECK_EQUAL(parse_python_integer(" 1_000 ").value.value_or(-999), 1000);
  CAF_CHECK_EQUAL(parse_python_integer("+5").value.value_or(-999), 5);
  CAF_CHECK_EQUAL(parse_python_integer("-5").value.value_or(-999), -5);
  for (const char* text :
       {"", " ", "1.0", "0x10", "_1", "1_", "1__0", "+-1", "ten", "9999999999999999999"})
    CAF_CHECK(!parse_python_integer(text).value.has_value());
  CAF_CHECK_EQUAL(parse_python_float(" 2.5 ").value.value_or(-999), 2.5);
  CAF_CHECK_EQUAL(parse_python_float("1e0").value.value_or(-999), 1.0);
  for (const char* text : {"", "3s", "nan", "inf", "1e999", "+-1"})
    CAF_CHECK(!parse_python_float(text).value.has_value());
}

CAF_TEST(reads_host_aliases) {
  notes warnings;
  auto all = parse_host_aliases(
      {"a.example:10.0.0.1, b:[2001:db8::1],bad,:10.0.0.1,c:x", text_form::compat}, warnings);
  CAF_REQUIRE(all.value.has_value());
  CAF_REQUIRE_EQUAL(all.value->size(), 2u);
  CAF_CHECK_EQUAL(all.value->at(0).first, "a.example");
  CAF_CHECK_EQUAL(all.value->at(1).second, "2001:db8::1");
  CAF_CHECK_EQUAL(warnings.size(), 3u);
}

CAF_TEST(judges_shared_keys_by_what_a_header_can_carry) {
  for (std::string_view key : {"abc", "a b", "a\tb", "p\xc3\xa4ss", "\xff", "a\"b", "a\\b", "#!$"})
    CAF_CHECK_EQUAL(shared_key_fault(key), "");
  for (auto key :
       {std::string{}, std::string{"a\nb"}, std::string("a\0b", 3), std::string{"a\x7f"},
        std::string{" a"}, std::string{"a "}, std::string{"a\r"}, std::string(4097, 'x')})
    CAF_CHECK(!shared_key_fault(key).empty());
  CAF_CHECK(shared_key_fault(std::string(4096, 'x')).empty());
  for (std::string_view odd : {"a\"b", "a'b", "a\\b", "p\xc3\xa4ss", "a\tb"})
    CAF_CHECK(!shared_key_oddity(odd).empty());
  CAF_CHECK(shared_key_oddity("Plain-Key_0~ !").empty());
}

CAF_TEST(finds_the_nearest_word_and_not_just_any) {
  CAF_CHECK_EQUAL(edit_distance("kitten", "sitting"), 3u);
  CAF_CHECK_EQUAL(edit_distance("", "abc"), 3u);
  CAF_CHECK_EQUAL(nearest("sreve", {"serve", "status"}), "serve");
  CAF_CHECK_EQUAL(nearest("statsu", {"serve", "status"}), "status");
  CAF_CHECK_EQUAL(nearest("bogus-word", {"serve", "status", "ls"}), "");
  CAF_CHECK_EQUAL(nearest("", {"serve"}), "");
}

CAF_TEST(shows_wrong_values_without_their_control_bytes) {
  CAF_CHECK_EQUAL(in_quotes("a\x1b[0m"), "\"a\\x1b[0m\"");
  CAF_CHECK(in_quotes(std::string(500, 'x')).size() < 100);
}
