#include "web/bind_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <netdb.h>
#include <sys/socket.h>

namespace harp::web {

namespace {

constexpr size_t name_bytes_max = 253; // RFC 1035

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!(text = trimmed(text)).empty()) {
    auto end = std::min(text.find_first_of(" \t"), text.size());
    // "a:1, b:2": the list goes on behind the blank
    if (!words.empty() && (words.back().ends_with(',') || text.starts_with(',')))
      words.back() += text.substr(0, end);
    else
      words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= name_bytes_max
         && std::all_of(text.begin(), text.end(), [](char c) {
              return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                     || c == '-' || c == '.' || c == '_';
            });
}

/// The first address of a name, by the system's resolver.
std::optional<ip_address> resolve(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0)
    return std::nullopt;
  std::optional<ip_address> result;
  for (auto* entry = found; entry != nullptr && !result; entry = entry->ai_next) {
    char text[NI_MAXHOST] = {};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST)
        == 0)
      result = ip_address::parse(text);
  }
  freeaddrinfo(found);
  return result;
}

parsed<std::string> parse_host(std::string_view host, bool want_v6) {
  if (host.empty() || host == "*")
    return {want_v6 ? "::" : "0.0.0.0", {}};
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  if (auto literal = ip_address::parse(host))
    return {literal->to_string(), {}};
  bool looks_numeric = host.find_first_not_of("0123456789.") == host.npos;
  if (!is_host_name(host) || looks_numeric)
    return {{}, "has no valid IP address or name in " + in_quotes(host)};
  auto address = resolve(std::string{host});
  if (!address)
    return {{},
            "names " + in_quotes(host) + ", which does not resolve to an address of this machine"};
  return {address->to_string(), {}};
}

parsed<bind_address> parse_one(std::string_view text) {
  std::string_view whole = text;
  bool want_v6 = false;
  if (auto at = text.find('@'); at != text.npos || text.starts_with('/')) {
    auto family = text.substr(0, at);
    if (family != "ipv4" && family != "ipv6")
      return {{}, "can only be a TCP address HOST:PORT, not " + in_quotes(whole)};
    want_v6 = family == "ipv6";
    text.remove_prefix(at + 1);
  }
  auto colon = text.rfind(':');
  if (colon == text.npos)
    return {{}, "needs HOST:PORT, not " + in_quotes(whole)};
  auto digits = text.substr(colon + 1);
  unsigned port = 0;
  auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || failure != std::errc{} || end != digits.data() + digits.size()
      || port > 65'535)
    return {{}, "needs one port from 0 to 65535 behind the last ':' of " + in_quotes(whole)};
  auto host = parse_host(text.substr(0, colon), want_v6);
  if (!host.value)
    return {{}, host.error};
  return {bind_address{*host.value, static_cast<uint16_t>(port), false}, {}};
}

} // namespace

std::string bind_address::to_string() const {
  bool v6 = host.find(':') != std::string::npos;
  auto text = v6 ? "[" + host + "]" : host;
  return text + ":" + std::to_string(port);
}

parsed<std::vector<bind_address>> parse_binds(std::string_view text) {
  auto words = words_of(text);
  if (words.empty())
    return {{}, "is empty: give HOST:PORT"};
  bool v6_only = false;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "v6only")
      v6_only = true;
    else if (words[i] != "v4v6")
      return {{},
              "has the bind option " + in_quotes(words[i])
                  + ", which Harp does not know (known: v4v6, v6only)"};
  }
  std::vector<bind_address> result;
  for (const auto& item : split_list(words.front())) {
    auto one = parse_one(item);
    if (!one.value)
      return {{}, one.error};
    if (result.size() == binds_max)
      return {{}, "has more than " + std::to_string(binds_max) + " addresses"};
    one.value->v6_only = v6_only && one.value->host.find(':') != std::string::npos;
    result.push_back(*one.value);
  }
  if (result.empty())
    return {{}, "names no address: " + in_quotes(text)};
  return {std::move(result), {}};
}

parsed<bind_address> parse_bind(std::string_view text) {
  auto all = parse_binds(text);
  if (!all.value)
    return {{}, all.error};
  if (all.value->size() != 1)
    return {{}, "takes one address, not " + std::to_string(all.value->size())};
  return {all.value->front(), {}};
}

} // namespace harp::web
