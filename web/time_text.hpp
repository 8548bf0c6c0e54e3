// Durations as people write them: HAProxy's time syntax, an integer with a unit.
#pragma once

#include "web/config_values.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace harp::web {

/// Longest time that HAProxy's timers hold: 2^31 - 1 ms, about 24.8 days. For the names it shares with Harp.
inline constexpr std::chrono::milliseconds time_text_max{2'147'483'647};
inline constexpr std::chrono::milliseconds own_time_max = std::chrono::days{3'650};

enum class bare_number : uint8_t {
  is_milliseconds, // HAProxy: no unit means ms
  is_error,        // except 0, which is 0 in any unit
};

/// Parses digits followed by us, ms, s, m, h or d (appapi-harp.md 1.2). Microseconds are rounded up
/// to whole milliseconds.
parsed<std::chrono::milliseconds> parse_time_text(std::string_view text, bare_number bare);

/// Whole seconds as "30s", anything else as "1500ms".
std::string to_time_text(std::chrono::milliseconds time);

} // namespace harp::web
