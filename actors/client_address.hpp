// Whose request it is: the client's address behind trusted proxies (appapi-harp.md 2.2, quality.md
// S5).
#pragma once

#include "net/http_codec.hpp"
#include "storage/types.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t forwarded_hops_max
    = 64; // elements of X-Forwarded-For looked at, from the right

/// True when `address` belongs to one of the networks.
bool is_trusted_proxy(const ip_address& address, const std::vector<ip_network>& trusted);

/// An address as proxies write it: an IP literal, `1.2.3.4:567`, `[::1]` or `[::1]:5`. Nothing on
/// anything else.
std::optional<ip_address> parse_hop(std::string_view text);

/// The client. From an untrusted peer: the peer. Else all X-Forwarded-For lines are read as one
/// list, from the right; trusted hops are skipped, the first other address is the client. What is
/// no address ends the walk at the last good hop; empty elements are none. Only when the list names
/// no hop at all, the last X-Real-IP counts.
ip_address client_address(const net::request_head& head, const ip_address& peer,
                          const std::vector<ip_network>& trusted);

} // namespace harp
