// Values every room may name: addresses and identifiers (storage.md 2). No I/O, no dependency beyond the standard library.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <map>
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
  [[nodiscard]] bool contains(const ip_address& address) const {
    return address.in_prefix(base, bits);
  }
  [[nodiscard]] std::string to_string() const;
};

// -- identifiers of the storage plane (storage.md 2) ------------------------------------------------------------------------

/// Lower-case hex of bytes, and back; nothing when `text` is not exactly `size` bytes of hex.
std::string to_hex(const uint8_t* bytes, size_t size);
bool from_hex(std::string_view text, uint8_t* bytes, size_t size);

/// `N` bytes that are compared, hashed and printed, never computed with. `Tag` keeps kinds apart.
template <size_t N, class Tag>
struct opaque_id {
  static constexpr size_t size = N;
  std::array<uint8_t, N> bytes{};

  auto operator<=>(const opaque_id&) const = default;
  [[nodiscard]] bool is_zero() const { return bytes == std::array<uint8_t, N>{}; }
  [[nodiscard]] std::string to_string() const { return to_hex(bytes.data(), N); }
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), N};
  }
  static std::optional<opaque_id> parse(std::string_view hex) {
    opaque_id out;
    return from_hex(hex, out.bytes.data(), N) ? std::optional{out} : std::nullopt;
  }
  /// From raw bytes; nothing when the length differs.
  static std::optional<opaque_id> from_view(std::string_view raw) {
    if (raw.size() != N)
      return std::nullopt;
    opaque_id out;
    std::memcpy(out.bytes.data(), raw.data(), N);
    return out;
  }
};

using space_id
    = opaque_id<16, struct space_tag>; // random; unit of replication, membership, permission
using device_key = opaque_id<32, struct device_tag>; // Ed25519 public key of a node
using node_id = opaque_id<
    16, struct node_tag>; // `nid`: a file, directory, symlink or graft; last 2 bytes are its tag
using chunk_id = opaque_id<32, struct chunk_tag>; // SHA-256 of a chunk, also of a manifest segment
using content_id = opaque_id<32, struct content_tag>; // `cid`: SHA-256 of a root record
using digest256 = opaque_id<32, struct digest_tag>;   // BLAKE2b-256 of anything else

using replica_id = uint32_t; // `rid`: one device's enrolment in one space, never reused; 0 = none
using local_id
    = uint64_t; // `lid`: dense alias of a node_id inside one node's database; 0 = none, 1 = the root
inline constexpr local_id root_lid = 1;

/// One bundle of one replica; `seq` counts from 1 without gaps.
struct dot {
  replica_id rid = 0;
  uint64_t seq = 0;
  auto operator<=>(const dot&) const = default;
};

/// The total order of operations: clock, replica, position in the bundle. Also the name of a version (`vid`).
struct stamp {
  uint64_t hlc = 0; // 48-bit Unix milliseconds, 16-bit counter
  replica_id rid = 0;
  uint16_t idx = 0;
  auto operator<=>(const stamp&) const = default;
  [[nodiscard]] bool is_zero() const { return hlc == 0; }
};

/// Chunks `first` .. `first + count - 1` of one content.
struct chunk_run {
  uint32_t first = 0;
  uint32_t count = 0;
  bool operator==(const chunk_run&) const = default;
};

/// How far each replica's bundles are known: rid -> highest seq. Absent means 0.
using version_vector = std::map<replica_id, uint64_t>;

/// Rights of a member, in rising order except that a keeper is an always-on writer (storage.md 5.3).
enum class member_role : uint8_t { none = 0, reader = 1, writer = 2, keeper = 3, admin = 4 };
[[nodiscard]] constexpr bool may_write(member_role r) {
  return r >= member_role::writer;
}
[[nodiscard]] std::string_view to_string(member_role r);
std::optional<member_role> parse_role(std::string_view text);

} // namespace harp

template <>
struct std::hash<harp::ip_address> {
  size_t operator()(const harp::ip_address& address) const noexcept;
};

/// The ids are hashes or random, but those of files: rid, seq, idx and tag, of which every byte has to count.
template <size_t N, class Tag>
struct std::hash<harp::opaque_id<N, Tag>> {
  size_t operator()(const harp::opaque_id<N, Tag>& id) const noexcept {
    uint64_t first = 0;
    uint64_t second = 0;
    std::memcpy(&first, id.bytes.data(), sizeof first);
    if constexpr (N >= 16)
      std::memcpy(&second, id.bytes.data() + 8, sizeof second);
    auto mixed = (first ^ (second * 0xC2B2AE3D27D4EB4Full)) * 0x9E3779B97F4A7C15ull;
    return static_cast<size_t>(mixed ^ (mixed >> 29));
  }
};

template <>
struct std::hash<harp::dot> {
  size_t operator()(const harp::dot& d) const noexcept {
    return d.seq * 0x9E3779B97F4A7C15ull ^ d.rid;
  }
};
