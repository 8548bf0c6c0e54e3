// The log: one harmless line per event, JSON or text, with repeats folded.
#define CAF_SUITE log

#include "net/log.hpp"
#include "net/log_fold.hpp"
#include "net/visible_text.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <limits>
#include <thread>
#include <unistd.h>

using namespace harp::net;
using namespace std::chrono_literals;
using json = nlohmann::json;

namespace {

/// What is written to stderr while this lives.
class captured {
public:
  captured() : saved_(dup(STDERR_FILENO)), file_(std::tmpfile()) {
    dup2(fileno(file_), STDERR_FILENO);
  }
  captured(const captured&) = delete;
  captured& operator=(const captured&) = delete;
  ~captured() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    std::fclose(file_);
  }
  std::vector<std::string> lines() {
    std::vector<std::string> result{""};
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_))
      if (c == '\n')
        result.emplace_back();
      else
        result.back() += static_cast<char>(c);
    result.pop_back();
    return result;
  }

private:
  int saved_;
  std::FILE* file_;
};

std::string visible(std::string_view text) {
  std::string out;
  append_visible(out, text);
  return out;
}

std::string in_json(std::string_view text) {
  std::string out = "\"";
  append_json_text(out, text);
  return out + "\"";
}

const log_fold::time_point start{1000s};

} // namespace

CAF_TEST(writes_one_json_object_per_event) {
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::debug, true);
    log(log_level::info, "HARP-T001", "tunnel", "tunnel up",
        {{"client", "192.0.2.1"}, {"bytes", uint64_t{12}}, {"dur_s", 0.25}, {"port", -1}});
    log(log_level::debug, "HARP-X", "front", "second");
    lines = err.lines();
  }
  CAF_REQUIRE(lines.size() >= 2u);
  lines.erase(lines.begin(), lines.end() - 2); // counts of what other suites repeated may come first
  auto event = json::parse(lines[0]);
  CAF_CHECK_EQUAL(event.size(), 9u);
  CAF_CHECK_EQUAL(event["level"].get<std::string>(), "info");
  CAF_CHECK_EQUAL(event["code"].get<std::string>(), "HARP-T001");
  CAF_CHECK_EQUAL(event["comp"].get<std::string>(), "tunnel");
  CAF_CHECK_EQUAL(event["msg"].get<std::string>(), "tunnel up");
  CAF_CHECK_EQUAL(event["client"].get<std::string>(), "192.0.2.1");
  CAF_CHECK_EQUAL(event["bytes"].get<int>(), 12);
  CAF_CHECK_EQUAL(event["dur_s"].get<double>(), 0.25);
  CAF_CHECK_EQUAL(event["port"].get<int>(), -1);
}

CAF_TEST(stamps_utc_with_microseconds) {
  captured err;
  log_setup(log_level::info, true);
  log(log_level::info, "HARP-X", "front", "now");
  auto stamp = json::parse(err.lines().at(0))["ts"].get<std::string>();
  const std::string form = "dddd-dd-ddTdd:dd:dd.ddddddZ";
  bool fits = stamp.size() == form.size();
  for (size_t i = 0; fits && i < form.size(); ++i)
    fits = form[i] == 'd' ? stamp[i] >= '0' && stamp[i] <= '9' : stamp[i] == form[i];
  log_setup(log_level::warn, true);
  CAF_CHECK(fits);
}

CAF_TEST(keeps_to_its_level) {
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::error, true);
    for (auto level : {log_level::debug, log_level::info, log_level::warn})
      log(level, "HARP-L", "front", "quiet");
    log(log_level::error, "HARP-L", "front", "loud");
    lines = err.lines();
  }
  CAF_REQUIRE_EQUAL(lines.size(), 1u);
  CAF_CHECK(log_enabled(log_level::error));
  CAF_CHECK(!log_enabled(log_level::warn));
}

CAF_TEST(keeps_hostile_text_on_one_harmless_line) {
  const std::string evil = "a\nb\r\x1b[2J\"\\\xe2\x80\xae\xff{}%s\x7f\xc2\x85";
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::info, true);
    log(log_level::info, "HARP-E", "front", evil, {{"app", evil}});
    log_setup(log_level::info, false);
    log(log_level::info, "HARP-E", "front", evil, {{"app", evil}});
    lines = err.lines();
  }
  CAF_REQUIRE(lines.size() >= 2u);
  lines.erase(lines.begin(), lines.end() - 2);
  auto event = json::parse(lines[0]);
  CAF_CHECK_EQUAL(event["app"].get<std::string>(),
                  "a\nb\r\x1b[2J\"\\\xe2\x80\xae\\xff{}%s\x7f\xc2\x85");
  for (const auto& line : lines)
    for (char c : line)
      CAF_CHECK(c >= 0x20 && c < 0x7f);
}

CAF_TEST(aligns_text_for_people) {
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::info, false);
    log(log_level::info, "HARP-T1", "ws", "closed",
        {{"app", "talk"}, {"cause", "two words"}, {"next", ""}});
    lines = err.lines();
  }
  log_setup(log_level::warn, true);
  CAF_REQUIRE_EQUAL(lines.size(), 1u);
  CAF_CHECK_EQUAL(lines[0].substr(27),
                  "  info   HARP-T1     ws      closed  app=talk  cause=\"two words\"  next=\"\"");
}

CAF_TEST(cuts_long_values) {
  captured err;
  log_setup(log_level::info, true);
  log(log_level::info, "HARP-X", "front", "long", {{"app", std::string(100'000, 'x')}});
  auto line = err.lines().at(0);
  log_setup(log_level::warn, true);
  CAF_CHECK(line.size() < 1400);
  CAF_CHECK(json::parse(line)["app"].get<std::string>().ends_with("x…"));
}

CAF_TEST(writes_numbers_that_json_knows) {
  captured err;
  log_setup(log_level::info, true);
  log(log_level::info, "HARP-X", "front", "numbers",
      {{"a", std::numeric_limits<double>::infinity()}, {"b", 1e-9}, {"c", INT64_MIN}});
  auto event = json::parse(err.lines().at(0));
  log_setup(log_level::warn, true);
  CAF_CHECK(event["a"].is_null());
  CAF_CHECK_EQUAL(event["b"].get<double>(), 1e-9);
  CAF_CHECK_EQUAL(event["c"].get<int64_t>(), INT64_MIN);
}

CAF_TEST(folds_repeated_warnings_but_no_info_lines) {
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::info, true);
    for (int i = 0; i < 5; ++i) {
      log(log_level::warn, "HARP-F", "bridge", "down",
          {{"client", i}, {"cause", "refused"}, {"next", "wait"}});
      log(log_level::info, "HARP-G", "front", "request");
    }
    log_setup(log_level::warn, true); // writes what was left out
    lines = err.lines();
  }
  CAF_REQUIRE_EQUAL(lines.size(), 7u);
  auto first = json::parse(lines.front());
  auto folded = json::parse(lines.back());
  CAF_CHECK_EQUAL(first["client"].get<int>(), 0);
  CAF_CHECK(!first.contains("count"));
  CAF_CHECK_EQUAL(folded["count"].get<int>(), 4);
  CAF_CHECK_EQUAL(folded["cause"].get<std::string>(), "refused");
  CAF_CHECK_EQUAL(folded["next"].get<std::string>(), "wait");
  CAF_CHECK(!folded.contains("client"));
}

CAF_TEST(never_mixes_lines_of_threads) {
  std::vector<std::string> lines;
  {
    captured err;
    log_setup(log_level::info, true);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([] {
        for (int i = 0; i < 200; ++i)
          log(log_level::info, "HARP-M", "front", "line", {{"i", i}});
      });
    for (auto& thread : threads)
      thread.join();
    lines = err.lines();
  }
  log_setup(log_level::warn, true);
  CAF_CHECK_EQUAL(lines.size(), 800u);
  for (const auto& line : lines)
    CAF_REQUIRE(json::accept(line));
}

CAF_TEST(admits_again_after_the_window) {
  log_fold fold;
  CAF_CHECK(fold.admit("C", "m", start));
  fold.remember("C", "m", "first");
  CAF_CHECK(!fold.admit("C", "m", start + 1s));
  CAF_CHECK(!fold.admit("C", "m", start + 9s));
  CAF_CHECK(fold.admit("C", "other", start + 9s));
  CAF_CHECK(fold.admit("D", "m", start + 9s));
  CAF_CHECK(fold.expired(start + fold_window - 1ns).empty());
  auto gone = fold.expired(start + fold_window);
  CAF_REQUIRE_EQUAL(gone.size(), 1u);
  CAF_CHECK_EQUAL(gone[0].line, "first");
  CAF_CHECK_EQUAL(gone[0].count, 2u);
  CAF_CHECK(fold.admit("C", "m", start + fold_window));
  CAF_CHECK(!fold.admit("C", "other", start + fold_window));
}

CAF_TEST(says_nothing_of_lines_that_were_not_repeated) {
  log_fold fold;
  CAF_CHECK(fold.admit("C", "m", start));
  CAF_CHECK(fold.expired(start + 20s).empty());
  CAF_CHECK(fold.all().empty());
}

CAF_TEST(bounds_what_it_watches) {
  log_fold fold;
  for (size_t i = 0; i < folds_max; ++i)
    CAF_CHECK(fold.admit("C", std::to_string(i), start));
  CAF_CHECK(fold.admit("C", "one more", start));
  CAF_CHECK(fold.admit("C", "one more", start)); // not watched, so not folded and not lost
  CAF_CHECK(!fold.admit("C", "0", start));
  CAF_CHECK_EQUAL(fold.all().size(), 1u);
  CAF_CHECK(fold.admit("C", "0", start));
}

CAF_TEST(makes_control_and_bidi_characters_visible) {
  CAF_CHECK_EQUAL(visible("plain äöü 日本 😀"), "plain äöü 日本 😀");
  CAF_CHECK_EQUAL(visible("\x1b[0m\n\t"), "\\x1b[0m\\x0a\\x09");
  CAF_CHECK_EQUAL(visible("\u202e\u2066\u200b\ufeff\u0085"), "\\u202e\\u2066\\u200b\\ufeff\\u0085");
  CAF_CHECK_EQUAL(visible("\U000e0041"), "\\udb40\\udc41");
  CAF_CHECK_EQUAL(in_json("\U000e0041\u202e"), "\"\\udb40\\udc41\\u202e\"");
  CAF_CHECK_EQUAL(json::parse(in_json("\U000e0041")).get<std::string>(), "\U000e0041");
}

CAF_TEST(writes_out_every_kind_of_broken_utf8) {
  for (std::string_view bad :
       {"\xff", "\x80", "\xc0\xaf", "\xc3", "\xe0\x80\xaf", "\xed\xa0\x80", "\xe2\x82",
        "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3("}) {
    auto shown = visible(bad);
    CAF_CHECK(shown.starts_with("\\x"));
    CAF_CHECK(json::accept(in_json(bad)));
    for (char c : shown)
      CAF_CHECK(c >= 0x20 && c < 0x7f);
  }
}

CAF_TEST(makes_valid_json_of_any_bytes) {
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) {
      char pair[2] = {static_cast<char>(a), static_cast<char>(b)};
      CAF_REQUIRE(json::accept(in_json({pair, 2})));
    }
  const std::string text = "ä€😀\"\\";
  for (size_t cut = 0; cut <= text.size(); ++cut)
    CAF_CHECK(json::accept(in_json(std::string_view{text}.substr(0, cut))));
}
