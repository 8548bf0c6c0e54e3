// The mark of rows that an import has not confirmed yet.
#pragma once

#include <cstdint>

namespace harp {

/// In node_row::flags, only while an import lasts: a row of before, kept for its alias.
inline constexpr uint8_t node_stale = 128;

} // namespace harp
