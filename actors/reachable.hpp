// Where others may reach a listener of this machine. No sockets are opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace harp {

/// `host:port` of a bound address; an unspecified host becomes every address of the machine's interfaces that is up,
/// loopback only when there is no other.
std::vector<std::string> reachable_addresses(const std::string& host, uint16_t port);

} // namespace harp
