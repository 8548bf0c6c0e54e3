// Values every room may name: addresses and identifiers. No I/O, no dependency beyond the standard library.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

/// An IP address in one normal form: IPv4 and IPv4-mapped IPv6 are the same value.
class ip_address {
public:
  ip_address() = default;
  /// Parses an IPv4 or IPv6 literal (no port, no brackets, no zone, no leading zeros). Nothing on bad text.
  static std::optional<ip_address> parse(std::string_view text);
  /// From 16 network-order bytes; ::ffff:a.b.c.d becomes IPv4.
  static ip_address from_bytes(const std::array<uint8_t, 16>& bytes);

  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_unspecified() const;
  /// What a ban acts on: the address itself for IPv4, its /64 for IPv6 (quality.md S5).
  [[nodiscard]] ip_address ban_key() const;
  /// True when the first `bits` (counted in the 128-bit form) equal those of `network`.
  [[nodiscard]] bool in_prefix(const ip_address& network, unsigned bits) const;
  /// The address with all bits behind the first `bits` (128-bit form) cleared.
  [[nodiscard]] ip_address masked(unsigned bits) const;
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  auto operator<=>(const ip_address&) const = default;

private:
  std::array<uint8_t, 16> bytes_{}; // IPv4 as ::ffff:a.b.c.d
};

/// A network in CIDR form, host bits cleared.
struct ip_network {
  ip_address base;
  unsigned bits = 128; // in the 128-bit form
  /// Parses `a.b.c.d`, `a.b.c.d/n`, `x::y`, `x::y/n`. `host_bits_cleared`, when given, tells that bits were masked away.
  static std::optional<ip_network> parse(std::string_view text, bool* host_bits_cleared = nullptr);
  [[nodiscard]] bool contains(const ip_address& address) const { return address.in_prefix(base, bits); }
  [[nodiscard]] std::string to_string() const;
};

} // namespace harp

template <>
struct std::hash<harp::ip_address> {
  size_t operator()(const harp::ip_address& address) const noexcept;
};
