// The two list values with forms of their own: trusted networks and pod host aliases.
#include "web/config_values.hpp"

#include <arpa/inet.h>
#include <array>
#include <bit>

namespace harp::web {

namespace {

/// Straight and typographic quotes that people paste around list items.
constexpr std::array<std::string_view, 6> pasted_quotes{"\"", "'", "“", "”", "‘", "’"};

bool strip_one(std::string_view& item) {
  for (auto quote : pasted_quotes) {
    if (item.starts_with(quote)) {
      item.remove_prefix(quote.size());
      return true;
    }
    if (item.ends_with(quote)) {
      item.remove_suffix(quote.size());
      return true;
    }
  }
  return false;
}

std::string without_pasted_quotes(std::string_view item) {
  item = trimmed(item);
  while (strip_one(item))
    item = trimmed(item);
  return std::string{item};
}

/// `a.b.c.d/255.255.0.0` -> `a.b.c.d/16`; Python's ipaddress takes that form, so HaRP does. Other
/// texts stay as they are.
std::string with_prefix_length(const std::string& item) {
  auto slash = item.find('/');
  in_addr mask{};
  if (slash == item.npos || inet_pton(AF_INET, item.c_str() + slash + 1, &mask) != 1)
    return item;
  uint32_t bits = ntohl(mask.s_addr);
  int ones = std::popcount(bits);
  if (std::countl_one(bits) != ones)
    return item;
  return item.substr(0, slash + 1) + std::to_string(ones);
}

bool list_form(text_form form) {
  return form == text_form::toml_string || form == text_form::toml_strings
         || form == text_form::strict || form == text_form::compat;
}

} // namespace

parsed<std::vector<ip_network>> parse_networks(const given_value& given, notes& warnings) {
  if (!list_form(given.form))
    return {{}, "needs a list of networks such as \"10.0.0.0/8, 2001:db8::/32\""};
  bool forgiving = given.form == text_form::compat;
  std::vector<ip_network> result;
  auto items = split_list(given.text);
  for (const auto& raw : items) {
    auto item = forgiving ? without_pasted_quotes(raw) : raw;
    if (item.empty())
      continue;
    bool cleared = false;
    auto network = ip_network::parse(with_prefix_length(item), &cleared);
    if (!network && !forgiving)
      return {{}, "has an item that is no IP address or network: " + in_quotes(raw)};
    if (!network) {
      warnings.push_back("skips " + in_quotes(raw) + ": no IP address or network");
      continue;
    }
    if (cleared)
      warnings.push_back("has host bits in " + in_quotes(item) + ": read as "
                         + network->to_string());
    if (result.size() == networks_max)
      return {{}, "has more than " + std::to_string(networks_max) + " networks"};
    result.push_back(*network);
  }
  if (result.empty() && !items.empty())
    warnings.push_back("has no valid item: forwarding headers are believed from nobody");
  return {std::move(result), {}};
}

parsed<std::vector<std::pair<std::string, std::string>>>
parse_host_aliases(const given_value& given, notes& warnings) {
  if (!list_form(given.form))
    return {{}, "needs a list such as \"cloud.example.org:10.0.0.7\""};
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& item : split_list(given.text)) {
    auto colon
        = item.find(':'); // no host name has one, so IPv6 may stand bare or in brackets behind it
    auto host = colon == item.npos ? std::string{} : std::string{trimmed(item.substr(0, colon))};
    auto ip = colon == item.npos ? std::string{} : std::string{trimmed(item.substr(colon + 1))};
    if (ip.starts_with('[') && ip.ends_with(']'))
      ip = ip.substr(1, ip.size() - 2);
    bool good = !host.empty() && ip_address::parse(ip).has_value();
    if (!good && given.form != text_form::compat)
      return {{}, "has an item that is not host:ip: " + in_quotes(item)};
    if (!good) {
      warnings.push_back("skips " + in_quotes(item) + ": not host:ip");
      continue;
    }
    if (result.size() == host_aliases_max)
      return {{}, "has more than " + std::to_string(host_aliases_max) + " items"};
    result.emplace_back(std::move(host), std::move(ip));
  }
  return {std::move(result), {}};
}

} // namespace harp::web
