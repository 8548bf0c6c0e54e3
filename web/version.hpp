// The version of this program. AppAPI compares it with HaRP's: it must stay at or above 0.4.4.
#pragma once

#include <string_view>

namespace harp::web {

inline constexpr std::string_view version = "0.5.0";

} // namespace harp::web
