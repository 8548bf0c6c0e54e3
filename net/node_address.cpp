// Texts of where a node may be reached, and back.
#include "net/node_endpoint.hpp"

#include <algorithm>
#include <charconv>

namespace harp::net {

namespace {

constexpr size_t address_bytes_max = 512;
constexpr uint16_t https_port = 443;
constexpr uint16_t http_port = 80;

bool is_host_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.'
         || c == '-' || c == '_';
}

bool is_path_byte(char c) {
  return c > ' ' && c < 127 && c != '?' && c != '#';
}

bool parse_port(std::string_view text, uint16_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, `v6`.
bool parse_authority(std::string_view text, node_address& out) {
  std::string_view port;
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == text.npos)
      return false;
    out.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (out.host.find(':') == std::string::npos)
      return false;
  } else if (std::count(text.begin(), text.end(), ':') > 1) {
    out.host = text;
  } else {
    size_t colon = std::min(text.find(':'), text.size());
    out.host = text.substr(0, colon);
    port = text.substr(colon);
    if (!std::all_of(out.host.begin(), out.host.end(), is_host_byte))
      return false;
  }
  bool v6 = out.host.find(':') != std::string::npos;
  if (out.host.empty() || (v6 && !ip_address::parse(out.host)))
    return false;
  return port.empty() || (port.front() == ':' && parse_port(port.substr(1), out.port));
}

} // namespace

std::optional<node_address> node_address::parse(std::string_view text) {
  node_address out;
  if (text.size() > address_bytes_max)
    return std::nullopt;
  for (bool https : {true, false}) {
    std::string_view scheme = https ? "wss://" : "ws://";
    if (!text.starts_with(scheme))
      continue;
    text.remove_prefix(scheme.size());
    out.websocket = true;
    out.https = https;
    out.port = https ? https_port : http_port;
    size_t slash = std::min(text.find('/'), text.size());
    out.path = slash == text.size() ? node_path : text.substr(slash);
    text = text.substr(0, slash);
    if (!std::all_of(out.path.begin(), out.path.end(), is_path_byte))
      return std::nullopt;
    break;
  }
  if (!parse_authority(text, out))
    return std::nullopt;
  return out;
}

std::string node_address::to_string() const {
  std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  std::string scheme = !websocket ? "" : https ? "wss://" : "ws://";
  return scheme + name + ":" + std::to_string(port) + path;
}

} // namespace harp::net
