#include "web/time_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace harp::web {

namespace {

using std::chrono::milliseconds;

/// Microseconds in a unit, 0 for an unknown one.
uint64_t unit_us(std::string_view unit) {
  constexpr std::array<std::pair<std::string_view, uint64_t>, 6> units{{{"us", 1},
                                                                        {"ms", 1'000},
                                                                        {"s", 1'000'000},
                                                                        {"m", 60'000'000},
                                                                        {"h", 3'600'000'000},
                                                                        {"d", 86'400'000'000}}};
  for (const auto& [name, us] : units)
    if (name == unit)
      return us;
  return 0;
}

} // namespace

parsed<milliseconds> parse_time_text(std::string_view text, bare_number bare) {
  uint64_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto consumed = static_cast<size_t>(end - text.data());
  if (consumed == 0)
    return {{}, "needs a time such as 30s (units: us, ms, s, m, h, d), not " + in_quotes(text)};
  auto unit = text.substr(consumed);
  if (unit.empty() && bare == bare_number::is_error && (failure != std::errc{} || number != 0))
    return {{}, "needs a unit (us, ms, s, m, h, d), for example " + std::string{text} + "s"};
  uint64_t factor = unit.empty() ? 1'000 : unit_us(unit);
  if (factor == 0)
    return {{}, "has the unknown unit " + in_quotes(unit) + " (units: us, ms, s, m, h, d)"};
  bool own = bare == bare_number::is_error;
  auto longest_us = static_cast<uint64_t>((own ? own_time_max : time_text_max).count()) * 1'000;
  if (failure != std::errc{} || number > longest_us / factor)
    return {{}, "is longer than the " + std::string{own ? "3650" : "24.8"} + " days that it can last: " + in_quotes(text)};
  return {milliseconds{static_cast<int64_t>((number * factor + 999) / 1'000)}, {}};
}

std::string to_time_text(milliseconds time) {
  if (time.count() % 1'000 == 0)
    return std::to_string(time.count() / 1'000) + "s";
  return std::to_string(time.count()) + "ms";
}

} // namespace harp::web
