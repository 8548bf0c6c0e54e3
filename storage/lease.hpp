// Who is still served when the governor's word is old (storage.md 5.3). Pure: time is an argument.
#pragma once

#include "storage/roster.hpp"

namespace harp {

inline constexpr uint64_t lease_grace_ms_default = 7ull * 24 * 3600 * 1000;

/// False once the entry of a device says that its time is over; Unix ms. A device that is no member is over, too.
[[nodiscard]] inline bool is_in_force(const roster& members, const device_key& device, uint64_t now_ms) {
  const auto* member = members.member(members.rid_of(device));
  return member != nullptr && !member->is_revoked() && (member->not_after == 0 || now_ms <= member->not_after);
}

/// May `self` give operations and contents of this space to `peer`? Behind the lease and its grace only to devices of the same
/// user: what the governor decided since is not known here. A roster that was never leased is as good as its entries.
[[nodiscard]] inline bool may_serve(const roster& members, const device_key& self, const device_key& peer, uint64_t now_ms, uint64_t grace_ms) {
  if (!is_in_force(members, peer, now_ms))
    return false;
  auto until = members.leased_until();
  if (until == 0 || now_ms <= until || now_ms - until <= grace_ms)
    return true;
  const auto* own = members.member(members.rid_of(self));
  const auto* other = members.member(members.rid_of(peer));
  return own != nullptr && other != nullptr && own->user == other->user;
}

} // namespace harp
