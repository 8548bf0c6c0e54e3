#include "actors/client_address.hpp"

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  size_t first = text.find_first_not_of(blanks);
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_port(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

/// What one X-Forwarded-For element says about the walk.
enum class walk : uint8_t { go_on, found, broken };

struct hop_walk {
  const std::vector<ip_network>& trusted;
  std::optional<ip_address> last_good;
  size_t hops = 0;

  walk element(std::string_view text) {
    if (text.empty())
      return walk::go_on;
    auto address = parse_hop(text);
    if (!address || ++hops > forwarded_hops_max)
      return walk::broken;
    last_good = address;
    return is_trusted_proxy(*address, trusted) ? walk::go_on : walk::found;
  }

  walk line(std::string_view value) {
    for (;;) {
      size_t comma = value.rfind(',');
      auto text = comma == value.npos ? value : value.substr(comma + 1);
      walk result = element(trim(text));
      if (result != walk::go_on || comma == value.npos)
        return result;
      value = value.substr(0, comma);
    }
  }
};

std::optional<ip_address> last_real_ip(const net::request_head& head) {
  for (auto field = head.fields.rbegin(); field != head.fields.rend(); ++field) {
    if (field->id == net::field_id::x_real_ip)
      return parse_hop(field->value);
  }
  return std::nullopt;
}

} // namespace

bool is_trusted_proxy(const ip_address& address, const std::vector<ip_network>& trusted) {
  return std::any_of(trusted.begin(), trusted.end(),
                     [&](const ip_network& network) { return network.contains(address); });
}

std::optional<ip_address> parse_hop(std::string_view text) {
  if (auto plain = ip_address::parse(text))
    return plain;
  if (!text.empty() && text.front() == '[') {
    size_t end = text.find(']');
    if (end == text.npos || text.substr(1, end - 1).find(':') == text.npos)
      return std::nullopt;
    auto rest = text.substr(end + 1);
    bool rest_fits = rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
    return rest_fits ? ip_address::parse(text.substr(1, end - 1)) : std::nullopt;
  }
  size_t colon = text.find(':');
  if (colon == text.npos || !is_port(text.substr(colon + 1)))
    return std::nullopt;
  return ip_address::parse(text.substr(0, colon));
}

ip_address client_address(const net::request_head& head, const ip_address& peer,
                          const std::vector<ip_network>& trusted) {
  if (!is_trusted_proxy(peer, trusted))
    return peer;
  hop_walk hops{trusted, std::nullopt};
  for (auto field = head.fields.rbegin(); field != head.fields.rend(); ++field) {
    if (field->id == net::field_id::x_forwarded_for && hops.line(field->value) != walk::go_on)
      break;
  }
  if (!hops.last_good)
    hops.last_good = last_real_ip(head);
  return hops.last_good.value_or(peer);
}

} // namespace harp
