// Patterns of .harpignore: gitignore's meanings, and bounds against hostile ones.
#define CAF_SUITE ignore_rules
#include "storage/ignore_rules.hpp"

#include <caf/test/unit_test.hpp>

#include <chrono>

using namespace harp;

namespace {

bool ignored(std::string_view rules, std::string_view path, bool is_dir = false) {
  return ignore_rules::parse(rules).ignores(path, is_dir);
}

} // namespace

CAF_TEST(names_match_at_any_depth) {
  CAF_CHECK(ignored("*.o\n", "a.o"));
  CAF_CHECK(ignored("*.o\n", "d/e/a.o"));
  CAF_CHECK(!ignored("*.o\n", "a.out"));
  CAF_CHECK(ignored("build", "x/build", true));
  CAF_CHECK(ignored("b?ild", "b1ild"));
  CAF_CHECK(!ignored("b?ild", "bild"));
}

CAF_TEST(slash_anchors_and_trailing_slash_means_directories) {
  CAF_CHECK(ignored("/top", "top"));
  CAF_CHECK(!ignored("/top", "d/top"));
  CAF_CHECK(ignored("a/b", "a/b"));
  CAF_CHECK(!ignored("a/b", "x/a/b"));
  CAF_CHECK(ignored("tmp/", "tmp", true));
  CAF_CHECK(!ignored("tmp/", "tmp", false));
  CAF_CHECK(ignored("tmp/", "x/tmp/deep/file"));
}

CAF_TEST(double_star_crosses_directories) {
  CAF_CHECK(ignored("**/x", "x"));
  CAF_CHECK(ignored("**/x", "a/b/x"));
  CAF_CHECK(ignored("a/**/z", "a/z"));
  CAF_CHECK(ignored("a/**/z", "a/b/c/z"));
  CAF_CHECK(!ignored("a/**/z", "b/z"));
  CAF_CHECK(ignored("a/**", "a/b/c"));
  CAF_CHECK(!ignored("a/**", "a", true));
  CAF_CHECK(!ignored("a/*", "b/a/x"));
}

CAF_TEST(last_match_decides_and_negation_does_not_open_an_ignored_directory) {
  CAF_CHECK(!ignored("*.log\n!keep.log", "keep.log"));
  CAF_CHECK(ignored("!keep.log\n*.log", "keep.log"));
  CAF_CHECK(ignored("d/\n!d/keep", "d/keep"));
}

CAF_TEST(classes_escapes_comments_and_blanks) {
  CAF_CHECK(ignored("[a-c]x", "bx"));
  CAF_CHECK(!ignored("[!a-c]x", "bx"));
  CAF_CHECK(ignored("[]]x", "]x"));
  CAF_CHECK(ignored("[x", "[x"));
  CAF_CHECK(ignored("\\#a", "#a"));
  CAF_CHECK(ignored("\\!a", "!a"));
  CAF_CHECK(!ignored("# a\n", "# a"));
  CAF_CHECK(ignored("a  \r\n", "a"));
  CAF_CHECK(ignored("a\\ ", "a "));
  CAF_CHECK(ignored("a\\*", "a*"));
  CAF_CHECK(!ignored("a\\*", "ab"));
}

CAF_TEST(refused_lines_are_named_and_the_rest_counts) {
  std::string text = "good\n" + std::string(ignore_pattern_bytes_max + 1, 'a') + "\n!\n/\nlast\n";
  auto rules = ignore_rules::parse(text);
  CAF_CHECK_EQUAL(rules.size(), 2u);
  CAF_CHECK(rules.refused() == (std::vector<size_t>{2, 3, 4}));
  CAF_CHECK(rules.ignores("last", false));
  std::string many;
  for (size_t i = 0; i < ignore_rules_max + 10; ++i)
    many += "r" + std::to_string(i) + "\n";
  CAF_CHECK_EQUAL(ignore_rules::parse(many).size(), ignore_rules_max);
}

CAF_TEST(hostile_patterns_end_soon) {
  std::string stars, deep, path;
  for (int i = 0; i < 200; ++i) {
    stars += "*a";
    deep += "**/a/";
    path += "a/";
  }
  stars = stars.substr(0, 500) + "b";
  deep = deep.substr(0, 900) + "b";
  auto start = std::chrono::steady_clock::now();
  std::string text;
  for (int i = 0; i < 20; ++i)
    text += stars + "\n" + deep + "\n";
  auto rules = ignore_rules::parse(text);
  CAF_CHECK(!rules.ignores(std::string(255, 'a'), false));
  CAF_CHECK(!rules.ignores(path + "c", false));
  auto took = std::chrono::steady_clock::now() - start;
  CAF_CHECK(took < std::chrono::seconds(20)); // without bounds: for ever
}
