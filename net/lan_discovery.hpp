// Finds nodes on the same LAN: a UDP multicast every 30 s and on change says "port and tag"
// (storage.md 10). What the tag means, and who may be dialled, is the caller's business.
#pragma once

#include "net/runtime.hpp"
#include "storage/types.hpp"

#include <boost/asio/ip/udp.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace harp::net {

inline constexpr size_t lan_tag_bytes = 32; // BLAKE2b-256 ("harp.lan", cluster space, day)
using lan_tag = std::array<uint8_t, lan_tag_bytes>;

/// What is announced: 40 bytes on the wire: "HARP" | version 1 | zero | port | tag.
struct lan_hello {
  uint16_t port = 0; // TCP
  lan_tag tag{};
  bool operator==(const lan_hello&) const = default;
};
inline constexpr size_t lan_hello_bytes = 40;
std::array<char, lan_hello_bytes> encode_lan_hello(const lan_hello& hello);
/// Nothing unless it is exactly that.
std::optional<lan_hello> decode_lan_hello(std::string_view bytes);

struct lan_settings {
  std::string group
      = "239.255.87.84"; // IPv4, administratively scoped (RFC 2365): never leaves a site
  uint16_t port = 8784;
  std::string interface_address; // one interface only (tests: 127.0.0.1); empty: all that are up
  std::chrono::seconds interval{30};
  std::chrono::seconds least_pause{1};   // between two announcements, changes included
  std::chrono::seconds repeat_after{10}; // the same hello from the same address is told again
  size_t heard_per_second_max = 64;      // datagrams looked at; more are dropped unread
  size_t known_max = 1024;               // (address, hello) rows remembered
};

/// Announces and listens. Lives on one loop; every call on its thread.
class lan_discovery : public std::enable_shared_from_this<lan_discovery> {
public:
  using handler = std::function<void(ip_address from, lan_hello)>;
  /// Opens the socket or says why not. `heard` is called on the loop, never with our own port and
  /// tag of the moment from an address of this host.
  static std::variant<std::shared_ptr<lan_discovery>, std::string>
  open(loop& on, lan_settings settings, handler heard);
  virtual ~lan_discovery() = default;
  /// What to say from now on; said at once when it changed (within least_pause), then every
  /// `interval`. Nothing: listen only.
  virtual void announce(std::optional<lan_hello> hello) = 0;
  /// Say it again soon: an interface came up, the machine woke.
  virtual void announce_again() = 0;
  virtual void stop() = 0;
  [[nodiscard]] virtual uint64_t dropped() const = 0; // malformed or over the rate
};

} // namespace harp::net
