// One line per event, as quality.md 5 wants it: JSON, or aligned text on a terminal. Secrets never
// come here.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace harp::net {

enum class log_level : uint8_t { debug, info, warn, error };

/// A value of a log field; durations are seconds, sizes bytes.
struct log_value {
  std::variant<std::string_view, int64_t, double> value;
  log_value(std::string_view text) : value(text) {}
  log_value(const char* text) : value(std::string_view{text}) {}
  log_value(const std::string& text) : value(std::string_view{text}) {}
  log_value(int number) : value(static_cast<int64_t>(number)) {}
  log_value(unsigned number) : value(static_cast<int64_t>(number)) {}
  log_value(int64_t number) : value(number) {}
  log_value(uint64_t number) : value(static_cast<int64_t>(number)) {}
  log_value(double number) : value(number) {}
};

struct log_field {
  std::string_view key; // client, peer, app, req, dur_s, bytes, cause, next, ... (quality.md 5)
  log_value value;
};

/// Chooses level and form once at start (and at a reload); thread-safe afterwards.
void log_setup(log_level least, bool json);
[[nodiscard]] bool log_enabled(log_level level);

/// Writes one event. `code` is stable (HARP-T014), `comp` one of front ws tunnel admin join link
/// ops chunk disk bridge engine. Every warn and error carries `cause` and `next`. Warnings and
/// errors with equal (code, msg) within 10 s are folded into one line with `count`; debug and info
/// lines (each stream's end, each request) are all written. A value is cut at 1 KiB.
void log(log_level level, std::string_view code, std::string_view comp, std::string_view msg,
         std::initializer_list<log_field> fields = {});

/// Writes the counts of folded lines whose 10 s are over. Every log() does this too; call it now
/// and then (a tick), so that the count of the last burst is not kept back by silence. Cheap when
/// there is nothing.
void log_repeats();

} // namespace harp::net
