// Which versions of a file keep their content (storage.md 5.4): pure, time is an argument.
#pragma once

#include "storage/rows.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace harp {

/// As Policy operations say (`keep_all_days`, `keep_daily_days`, `keep_weekly_days`); defaults of storage.md 5.4. Each is an
/// age counted from now; a later stage never keeps less long than an earlier one.
struct retention_policy {
  uint64_t all_days = 7;      // every version
  uint64_t daily_days = 90;   // the last one of every day (UTC)
  uint64_t weekly_days = 365; // the last one of every week
};
retention_policy retention_of(space_rows& rows);

/// For each of `versions` (any order) whether its content stays at `now_ms`. `head` always does.
std::vector<bool> retained(std::span<const version_row> versions, const stamp& head, uint64_t now_ms, const retention_policy& policy);

/// Whose history a device keeps: keepers what is retained, others what is current and what no keeper has yet (G5).
std::vector<bool> kept_here(std::span<const version_row> versions, const stamp& head, uint64_t now_ms, const retention_policy& policy, bool keeper);

} // namespace harp
