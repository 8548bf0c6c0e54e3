// Route patterns: Python's re.match in bounded time (appapi-harp.md 2.8, FS12).
#define CAF_SUITE route_pattern
#include "actors/route_pattern.hpp"

#include <caf/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

using namespace harp;

namespace {

route_pattern compiled(std::string_view pattern) {
  auto result = route_pattern::compile(pattern);
  if (auto* error = std::get_if<std::string>(&result))
    CAF_FAIL(pattern << ": " << *error);
  return std::get<route_pattern>(result);
}

std::string error_of(std::string_view pattern) {
  auto result = route_pattern::compile(pattern);
  auto* error = std::get_if<std::string>(&result);
  return error == nullptr ? "" : *error;
}

bool matches(std::string_view pattern, std::string_view subject) {
  return compiled(pattern).match(subject) == match_result::yes;
}

} // namespace

CAF_TEST(matches_a_prefix_from_the_start) {
  CAF_CHECK(matches("^/public$", "/public"));
  CAF_CHECK(!matches("^/public$", "/publico"));
  CAF_CHECK(matches("^/public", "/publico"));
  CAF_CHECK(matches("/public", "/public/x"));
  CAF_CHECK(!matches("/public", "/x/public"));
  CAF_CHECK(!matches("public", "/public"));
  CAF_CHECK(matches(".*", "/anything"));
  CAF_CHECK(matches("", "/anything"));
  CAF_CHECK(matches("^/api/.*", "/api/"));
  CAF_CHECK(!matches("^/api/.*", "/api"));
  CAF_CHECK(matches("/a|/b", "/bc"));
  CAF_CHECK(!matches("/a|/b", "/c/b"));
}

CAF_TEST(is_case_sensitive) {
  CAF_CHECK(!matches("^/Public$", "/public"));
  CAF_CHECK(matches("(?i)^/Public$", "/public"));
}

CAF_TEST(knows_what_published_apps_use) {
  CAF_CHECK(matches(R"(^\/api\/v1\.0\/[A-Za-z0-9_-]+\/?$)", "/api/v1.0/a_b-9/"));
  CAF_CHECK(!matches(R"(^\/api\/v1\.0\/[A-Za-z0-9_-]+\/?$)", "/api/v1x0/a"));
  CAF_CHECK(matches("^/t/[a-f0-9]{20,128}$", "/t/0123456789abcdef0123"));
  CAF_CHECK(!matches("^/t/[a-f0-9]{20,128}$", "/t/0123456789abcdef012"));
  CAF_CHECK(matches("^/(js|css)/[^/]+$", "/css/a.css"));
  CAF_CHECK(!matches("^/(js|css)/[^/]+$", "/css/a/b"));
  CAF_CHECK(matches(R"(^/(?P<kind>\w+)/(?P=kind)$)", "/a/a"));
  CAF_CHECK(matches(R"(^/(?!admin)\w+$)", "/user"));
  CAF_CHECK(!matches(R"(^/(?!admin)\w+$)", "/admin"));
  CAF_CHECK(matches(R"(^/(?:a|b)(?=c))", "/bc"));
}

CAF_TEST(speaks_pythons_dialect) {
  CAF_CHECK(matches("^/a{,2}$", "/aa"));
  CAF_CHECK(matches("^/a{,2}$", "/"));
  CAF_CHECK(!matches("^/a{,2}$", "/aaa"));
  CAF_CHECK(matches("^/[{,2}]$", "/{"));
  CAF_CHECK(matches("^/a{,}b", "/a{,}b")); // no number: PCRE2 takes it as text
  CAF_CHECK(matches(R"(/x\Z)", "/x"));
  CAF_CHECK(!matches(R"(/x\Z)", "/x\n"));
  CAF_CHECK(matches("^/x$", "/x\n"));
  CAF_CHECK(!matches(R"(/a\vb)", "/a\nb"));
  CAF_CHECK(matches("/[]a]+", "/]a"));
  CAF_CHECK(matches("/[^]a]+$", "/bc"));
  CAF_CHECK(matches("/[(*]x", "/*x"));
  CAF_CHECK(matches(R"(/\(*x)", "/((x"));
}

CAF_TEST(refuses_what_python_refuses) {
  for (std::string_view pattern : {"(",           ")",         "[",
                                   "/a(b",        "*",         "(*ACCEPT)",
                                   "/x(*COMMIT)", "(*UTF)/x",  "(*LIMIT_MATCH=1)/x",
                                   "(?C1)/x",     R"(/\Qx\E)", R"(/\p{L})",
                                   R"(/\K)",      R"(/\R)",    R"(/\C)",
                                   R"(/\h)",      R"(/\g1)",   "/x\\",
                                   R"(/[\p{L}])", "/a{5,2}",   "(?P<x>a",
                                   R"(/\1)"}) {
    if (error_of(pattern).empty())
      CAF_ERROR("compiled: " << pattern);
    CAF_CHECK(!error_of(pattern).empty());
  }
}

CAF_TEST(refuses_patterns_beyond_the_limits) {
  CAF_CHECK(error_of(std::string(pattern_bytes_max, 'a')).empty());
  CAF_CHECK(!error_of(std::string(pattern_bytes_max + 1, 'a')).empty());
  std::string nested
      = std::string(pattern_parens_max + 1, '(') + "a" + std::string(pattern_parens_max + 1, ')');
  CAF_CHECK(!error_of(nested).empty());
  CAF_CHECK(!error_of("/(((a{1,999}){1,999}){1,999})").empty());
}

CAF_TEST(bounds_catastrophic_patterns) {
  for (std::string_view pattern : {"(/a+)+$", "^/(a+)+$", "^/(a|aa)+$", "^/(a*)*b", "^/(.*a){20}$",
                                   "^/x/(([a-z])+.)+[A-Z]([a-z])+$", "/(a|a?)+$"}) {
    auto tested = compiled(pattern);
    std::string subject
        = (pattern.substr(0, 4) == "^/x/" ? "/x/" : "/") + std::string(3000, 'a') + "!";
    auto began = std::chrono::steady_clock::now();
    auto result = tested.match(subject);
    auto took = std::chrono::steady_clock::now() - began;
    CAF_CHECK(result != match_result::yes);
    CAF_CHECK(took < std::chrono::seconds(1)); // unbounded it would be years
  }
  CAF_CHECK(compiled("^/(a+)+$").match("/" + std::string(3000, 'a') + "!")
            == match_result::over_limit);
}

CAF_TEST(reports_patterns_that_cannot_be_bounded) {
  for (std::string_view pattern :
       {"^/(a+)+$", "^/files/(x+x+)+y", R"(^\/api\/([a-z]+)*$)", "^/(a|aa)+$"}) {
    if (compiled(pattern).is_bounded())
      CAF_ERROR("said to be bounded: " << pattern);
    CAF_CHECK(!compiled(pattern).is_bounded());
  }
  for (std::string_view pattern :
       {".*", "^/public$", "^/api/.*", "^/(js|css)/[^/]+$", "^/t/[a-f0-9]{20,128}$",
        R"(^\/api\/v1\.0\/[A-Za-z0-9_-]+\/?$)", "^/.*/.*$", "^/([^/]+/)*x$"}) {
    if (!compiled(pattern).is_bounded())
      CAF_ERROR("said to be unbounded: " << pattern);
    CAF_CHECK(compiled(pattern).is_bounded());
  }
}

CAF_TEST(long_paths_are_over_the_limit) {
  auto tested = compiled(".*");
  CAF_CHECK(tested.match(std::string(subject_bytes_max, 'a')) == match_result::yes);
  CAF_CHECK(tested.match(std::string(subject_bytes_max + 1, 'a')) == match_result::over_limit);
}

CAF_TEST(long_lawful_paths_match) {
  std::string path = "/" + std::string(8000, 'a') + "/x";
  CAF_CHECK(matches("^/.*/x$", path));
  CAF_CHECK(matches("^/[a-z]+/x$", path));
  CAF_CHECK(matches("^/(?:[a-z])*/x$", path));
}

CAF_TEST(takes_bytes_as_they_are) {
  CAF_CHECK(matches("^/.+$", "/\xff\xfe\x80"));
  CAF_CHECK(matches("^/\xc3\xa9$", "/\xc3\xa9"));
}

CAF_TEST(knows_patterns_that_no_path_can_match) {
  for (std::string_view pattern :
       {"mcp", "downloadLogs", R"(^api\/w\/.*)", "[a-z]+", "^$", "(?!/).*"})
    CAF_CHECK(!compiled(pattern).can_match_a_path());
  for (std::string_view pattern :
       {"/mcp", "^/mcp", ".*", R"(^\/api)", "mcp|/mcp", "[^a]", "/?x*", ""})
    CAF_CHECK(compiled(pattern).can_match_a_path());
}

CAF_TEST(one_pattern_serves_many_threads) {
  auto tested = compiled("^/(?:[a-z]+/)*end$");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&tested, &wrong] {
      for (int round = 0; round < 2000; ++round) {
        wrong += tested.match("/a/bc/end") != match_result::yes;
        wrong += tested.match("/a/b9/end") != match_result::no;
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CAF_CHECK_EQUAL(wrong.load(), 0);
}

CAF_TEST(copies_outlive_the_original) {
  std::optional<route_pattern> original = compiled("^/x$");
  route_pattern copy = *original;
  original.reset();
  CAF_CHECK(copy.match("/x") == match_result::yes);
}
