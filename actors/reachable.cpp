#include "actors/reachable.hpp"

#include "storage/types.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

namespace harp {

namespace {

/// As it stands in `host:port`; empty for what others cannot use.
std::string host_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    auto* v4 = reinterpret_cast<const sockaddr_in*>(address); // the sockets API passes every family as a sockaddr
    return inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text) != nullptr ? text : "";
  }
  if (address->sa_family != AF_INET6)
    return {};
  auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  bool usable = !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text) != nullptr;
  return usable ? "[" + std::string{text} + "]" : "";
}

} // namespace

std::vector<std::string> reachable_addresses(const std::string& host, uint16_t port) {
  auto end = ":" + std::to_string(port);
  auto bound = ip_address::parse(host);
  if (!bound || !bound->is_unspecified())
    return {(host.find(':') == host.npos ? host : "[" + host + "]") + end};
  std::vector<std::string> out;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) == 0) {
    for (auto* at = all; at != nullptr; at = at->ifa_next) {
      bool up = at->ifa_addr != nullptr && (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0;
      if (auto text = up ? host_of(at->ifa_addr) : std::string{}; !text.empty())
        out.push_back(text + end);
    }
    freeifaddrs(all);
  }
  if (out.empty())
    out.push_back("127.0.0.1" + end);
  return out;
}

} // namespace harp
