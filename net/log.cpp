#include "net/log.hpp"

#include "net/log_fold.hpp"
#include "net/visible_text.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <ctime>
#include <mutex>

namespace harp::net {

namespace {

constexpr size_t value_bytes_max = 1024;
constexpr size_t level_width = 5;
constexpr size_t code_width = 10;
constexpr size_t comp_width = 6;

std::string_view name_of(log_level level) {
  switch (level) {
  case log_level::debug:
    return "debug";
  case log_level::info:
    return "info";
  case log_level::warn:
    return "warn";
  case log_level::error:
    return "error";
  }
  return "error";
}

/// RFC 3339 in UTC with microseconds.
void append_time(std::string& out, std::chrono::system_clock::time_point at) {
  auto us = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  auto seconds = static_cast<std::time_t>(us / 1'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                 parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                 parts.tm_sec, us % 1'000'000);
}

void append_number(std::string& out, double number) {
  if (std::isfinite(number))
    fmt::format_to(std::back_inserter(out), "{}", number);
  else
    out += "null"; // JSON knows no infinity
}

void append_padded(std::string& out, std::string_view text, size_t width) {
  out += text;
  out.append(width > text.size() ? width - text.size() : 0, ' ');
  out += "  ";
}

/// Turns events into the inside of a line; the time in front and the end behind are added when it
/// is written.
class line_form {
public:
  explicit line_form(bool json) : json_(json) {}

  void head(std::string& out, log_level level, std::string_view code, std::string_view comp,
            std::string_view msg) const {
    if (!json_) {
      append_padded(out, name_of(level), level_width);
      append_padded(out, code, code_width);
      append_padded(out, comp, comp_width);
      append_visible(out, msg.substr(0, value_bytes_max));
      return;
    }
    (out += "\"level\":\"") += name_of(level);
    out += '"';
    text(out, "code", code);
    text(out, "msg", msg);
    text(out, "comp", comp);
  }

  void field(std::string& out, const log_field& given) const {
    if (const auto* words = std::get_if<std::string_view>(&given.value.value)) {
      text(out, given.key, *words);
      return;
    }
    key(out, given.key);
    if (const auto* whole = std::get_if<int64_t>(&given.value.value))
      fmt::format_to(std::back_inserter(out), "{}", *whole);
    else
      append_number(out, std::get<double>(given.value.value));
  }

  std::string whole(std::string_view inside) const {
    std::string out = json_ ? "{\"ts\":\"" : "";
    append_time(out, std::chrono::system_clock::now());
    out += json_ ? "\"," : "  ";
    out += inside;
    if (json_)
      out += '}';
    return out;
  }

private:
  void key(std::string& out, std::string_view name) const {
    out += json_ ? ",\"" : "  ";
    out += name;
    out += json_ ? "\":" : "=";
  }

  void text(std::string& out, std::string_view name, std::string_view value) const {
    key(out, name);
    auto cut = value.substr(0, value_bytes_max);
    bool quotes = json_ || cut.empty() || cut.find_first_of(" \"=") != cut.npos;
    if (quotes)
      out += '"';
    if (json_)
      append_json_text(out, cut);
    else
      append_visible(out, cut);
    if (cut.size() < value.size())
      out += "…";
    if (quotes)
      out += '"';
  }

  bool json_;
};

/// The process's one log.
class log_output {
public:
  log_output() : logger_("harp", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::trace); // levels are judged before a line is made
  }
  ~log_output() { write_repeats(fold_.all()); }
  log_output(const log_output&) = delete;
  log_output& operator=(const log_output&) = delete;

  void set_form(bool json) {
    std::lock_guard lock{mutex_};
    write_repeats(fold_.all());
    form_ = line_form{json};
  }

  void write(log_level level, std::string_view code, std::string_view comp, std::string_view msg,
             std::initializer_list<log_field> fields) {
    std::lock_guard lock{mutex_};
    auto now = std::chrono::steady_clock::now();
    write_repeats(fold_.expired(now));
    bool folds = level >= log_level::warn;
    what_.assign(msg);
    for (const auto& given : fields) // other causes are other events
      if (auto* cause = std::get_if<std::string_view>(&given.value.value); cause && given.key == "cause")
        what_.append(": ").append(*cause);
    if (folds && !fold_.admit(code, what_, now))
      return;
    inside_.clear();
    form_.head(inside_, level, code, comp, msg);
    if (folds)
      remember(code, what_, fields);
    for (const auto& given : fields)
      form_.field(inside_, given);
    logger_.log(spdlog::level::info, spdlog::string_view_t{form_.whole(inside_)});
  }

  void repeats() {
    std::lock_guard lock{mutex_};
    write_repeats(fold_.expired(std::chrono::steady_clock::now()));
  }

private:
  /// Repeats differ in client and time, so their common line keeps only what is common: cause and
  /// next.
  void remember(std::string_view code, std::string_view msg,
                std::initializer_list<log_field> fields) {
    auto common = inside_;
    for (const auto& given : fields)
      if (given.key == "cause" || given.key == "next")
        form_.field(common, given);
    fold_.remember(code, msg, std::move(common));
  }

  void write_repeats(std::vector<folded_line> lines) {
    for (auto& folded : lines) {
      form_.field(folded.line, {"count", folded.count});
      logger_.log(spdlog::level::info, spdlog::string_view_t{form_.whole(folded.line)});
    }
  }

  std::mutex mutex_;
  line_form form_{true};
  log_fold fold_;
  std::string what_; // message and cause of the line in hand
  std::string inside_;
  spdlog::logger logger_;
};

log_output& output() {
  static log_output one;
  return one;
}

std::atomic<log_level> least_level{log_level::warn};

} // namespace

void log_setup(log_level least, bool json) {
  output().set_form(json);
  least_level.store(least, std::memory_order_relaxed);
}

bool log_enabled(log_level level) {
  return level >= least_level.load(std::memory_order_relaxed);
}

void log(log_level level, std::string_view code, std::string_view comp, std::string_view msg,
         std::initializer_list<log_field> fields) {
  if (log_enabled(level))
    output().write(level, code, comp, msg, fields);
}

void log_repeats() {
  output().repeats();
}

} // namespace harp::net
