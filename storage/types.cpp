#include "storage/types.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>

namespace harp {

namespace {

constexpr std::array<uint8_t, 12> v4_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr size_t literal_bytes_max = 45; // the longest textual IPv6 address

} // namespace

std::optional<ip_address> ip_address::parse(std::string_view text) {
  if (text.empty() || text.size() > literal_bytes_max)
    return std::nullopt;
  char copy[literal_bytes_max + 1];
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  if (std::memchr(copy, '\0', text.size()) != nullptr)
    return std::nullopt;
  std::array<uint8_t, 16> bytes{};
  if (inet_pton(AF_INET6, copy, bytes.data()) == 1)
    return from_bytes(bytes);
  std::copy(v4_prefix.begin(), v4_prefix.end(), bytes.begin());
  if (inet_pton(AF_INET, copy, bytes.data() + 12) == 1)
    return from_bytes(bytes);
  return std::nullopt;
}

ip_address ip_address::from_bytes(const std::array<uint8_t, 16>& bytes) {
  ip_address result;
  result.bytes_ = bytes;
  return result;
}

bool ip_address::is_v4() const {
  return std::equal(v4_prefix.begin(), v4_prefix.end(), bytes_.begin());
}

bool ip_address::is_loopback() const {
  if (is_v4())
    return bytes_[12] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; })
         && bytes_[15] == 1;
}

bool ip_address::is_unspecified() const {
  auto tail = bytes_.begin() + (is_v4() ? 12 : 0);
  return std::all_of(tail, bytes_.end(), [](uint8_t b) { return b == 0; });
}

ip_address ip_address::ban_key() const {
  return is_v4() ? *this : masked(64);
}

bool ip_address::in_prefix(const ip_address& network, unsigned bits) const {
  return masked(bits).bytes_ == network.masked(bits).bytes_;
}

ip_address ip_address::masked(unsigned bits) const {
  ip_address result = *this;
  for (unsigned i = 0; i < 16; ++i) {
    unsigned keep = bits > i * 8 ? std::min(8u, bits - i * 8) : 0;
    result.bytes_[i] &= static_cast<uint8_t>(0xff00u >> keep);
  }
  return result;
}

std::string ip_address::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (is_v4())
    inet_ntop(AF_INET, bytes_.data() + 12, text, sizeof text);
  else
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

std::optional<ip_network> ip_network::parse(std::string_view text, bool* host_bits_cleared) {
  auto slash = text.find('/');
  auto address = ip_address::parse(text.substr(0, slash));
  if (!address)
    return std::nullopt;
  unsigned width = address->is_v4() && text.find(':') == text.npos ? 32 : 128;
  unsigned bits = width;
  if (slash != text.npos) {
    auto digits = text.substr(slash + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()
        || bits > width)
      return std::nullopt;
  }
  ip_network result;
  result.bits = bits + (128 - width);
  result.base = address->masked(result.bits);
  if (host_bits_cleared != nullptr)
    *host_bits_cleared = result.base != *address;
  return result;
}

std::string ip_network::to_string() const {
  bool v4 = base.is_v4() && bits >= 96;
  return base.to_string() + "/" + std::to_string(v4 ? bits - 96 : bits);
}

std::string to_hex(const uint8_t* bytes, size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out(size * 2, '0');
  for (size_t i = 0; i < size; ++i) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
  return out;
}

bool from_hex(std::string_view text, uint8_t* bytes, size_t size) {
  if (text.size() != size * 2)
    return false;
  auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9')
      return c - '0';
    if (c >= 'a' && c <= 'f')
      return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  for (size_t i = 0; i < size; ++i) {
    int high = digit(text[2 * i]);
    int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

std::string_view to_string(member_role r) {
  switch (r) {
  case member_role::none:
    return "none";
  case member_role::reader:
    return "reader";
  case member_role::writer:
    return "writer";
  case member_role::keeper:
    return "keeper";
  case member_role::admin:
    return "admin";
  }
  return "none";
}

std::optional<member_role> parse_role(std::string_view text) {
  for (auto r : {member_role::reader, member_role::writer, member_role::keeper, member_role::admin})
    if (text == to_string(r))
      return r;
  return std::nullopt;
}

} // namespace harp

size_t std::hash<harp::ip_address>::operator()(const harp::ip_address& address) const noexcept {
  uint64_t high = 0;
  uint64_t low = 0;
  std::memcpy(&high, address.bytes().data(), 8);
  std::memcpy(&low, address.bytes().data() + 8, 8);
  return static_cast<size_t>((high * 0x9e3779b97f4a7c15ull) ^ (low * 0xc2b2ae3d27d4eb4full)
                             ^ (low >> 29));
}
