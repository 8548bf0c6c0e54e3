#include "storage/retention.hpp"

#include "storage/hlc.hpp"
#include "storage/space_apply.hpp"

#include <algorithm>
#include <map>

namespace harp {

namespace {

constexpr uint64_t day_ms = 24ull * 3600 * 1000;

} // namespace

retention_policy retention_of(space_rows& rows) {
  retention_policy out;
  out.all_days = policy_value(rows, "keep_all_days").value_or(out.all_days);
  out.daily_days = std::max(out.all_days, policy_value(rows, "keep_daily_days").value_or(out.daily_days));
  out.weekly_days = std::max(out.daily_days, policy_value(rows, "keep_weekly_days").value_or(out.weekly_days));
  return out;
}

std::vector<bool> retained(std::span<const version_row> versions, const stamp& head, uint64_t now_ms, const retention_policy& policy) {
  std::vector<bool> out(versions.size(), false);
  std::map<std::pair<bool, uint64_t>, size_t> last; // (weekly, number of the day or week) -> its newest version
  for (size_t i = 0; i < versions.size(); ++i) {
    auto made_ms = ms_of_hlc(versions[i].at.hlc);
    auto age_days = now_ms > made_ms ? (now_ms - made_ms) / day_ms : 0;
    if (versions[i].at == head || age_days < policy.all_days) {
      out[i] = true;
      continue;
    }
    if (age_days >= policy.weekly_days)
      continue;
    bool weekly = age_days >= policy.daily_days;
    auto [entry, fresh] = last.try_emplace({weekly, made_ms / (weekly ? 7 * day_ms : day_ms)}, i);
    if (!fresh && versions[entry->second].at < versions[i].at)
      entry->second = i;
  }
  for (const auto& [period, i] : last)
    out[i] = true;
  return out;
}

std::vector<bool> kept_here(std::span<const version_row> versions, const stamp& head, uint64_t now_ms, const retention_policy& policy, bool keeper) {
  if (keeper)
    return retained(versions, head, now_ms, policy);
  std::vector<bool> out(versions.size(), false);
  for (size_t i = 0; i < versions.size(); ++i)
    out[i] = versions[i].at == head || (versions[i].flags & version_safe) == 0;
  return out;
}

} // namespace harp
