// Starting a program with a view of the machine of its own: other mounts, no capabilities, other addresses.
#pragma once

#include "tests/e2e/place.hpp"

#include <string>
#include <vector>

namespace harp::e2e {

/// The words in front of a command that runs it in a mount namespace of its own, after `script` (sh) has changed it. Empty,
/// and reported as skipped for `what`, where the machine allows no namespaces.
std::vector<std::string> in_own_mounts(const std::string& script, const std::string& what);

/// Moves this very process into a network namespace in which loopback is up and holds `ipv6` addresses too; children
/// inherit it, there is no way back. False, and reported as skipped for `what`, where that is not allowed.
bool enter_own_network(const std::vector<std::string>& ipv6, const std::string& what);

} // namespace harp::e2e
