// Field names, tokens and reason phrases of HTTP.
#include "net/http_fields.hpp"

#include <algorithm>

namespace harp::net {

namespace {

constexpr size_t known_name_chars_max = 21;

/// Compares with a literal of a length that the caller has checked: compiles to a few word
/// compares.
template <size_t N>
bool same(std::string_view name, const char (&literal)[N]) {
  return std::memcmp(name.data(), literal, N - 1) == 0;
}

field_id id_of_15(std::string_view name) {
  if (same(name, "x-forwarded-for"))
    return field_id::x_forwarded_for;
  if (same(name, "accept-encoding"))
    return field_id::accept_encoding;
  return same(name, "harp-shared-key") ? field_id::harp_shared_key : field_id::other;
}

field_id pick(bool first, field_id one, bool second, field_id two) {
  return first ? one : second ? two : field_id::other;
}

} // namespace

field_id field_id_of(std::string_view name) {
  using id = field_id;
  auto only = [](bool matches, id then) { return matches ? then : id::other; };
  switch (name.size()) {
  case 2:
    return only(same(name, "te"), id::te);
  case 4:
    return only(same(name, "host"), id::host);
  case 6:
    if (same(name, "origin"))
      return id::origin;
    return pick(same(name, "cookie"), id::cookie, same(name, "expect"), id::expect);
  case 7:
    return pick(same(name, "upgrade"), id::upgrade, same(name, "trailer"), id::trailer);
  case 9:
    return pick(same(name, "x-real-ip"), id::x_real_ip, same(name, "ex-app-id"), id::ex_app_id);
  case 10:
    if (same(name, "connection"))
      return id::connection;
    return pick(same(name, "keep-alive"), id::keep_alive, same(name, "aa-version"), id::aa_version);
  case 11:
    return pick(same(name, "ex-app-host"), id::ex_app_host, same(name, "ex-app-port"),
                id::ex_app_port);
  case 12:
    return only(same(name, "content-type"), id::content_type);
  case 13:
    return only(same(name, "authorization"), id::authorization);
  case 14:
    return pick(same(name, "content-length"), id::content_length, same(name, "ex-app-version"),
                id::ex_app_version);
  case 15:
    return id_of_15(name);
  case 16:
    return only(same(name, "proxy-connection"), id::proxy_connection);
  case 17:
    return pick(same(name, "transfer-encoding"), id::transfer_encoding,
                same(name, "sec-websocket-key"), id::sec_websocket_key);
  case 18:
    return pick(same(name, "docker-engine-port"), id::docker_engine_port,
                same(name, "proxy-authenticate"), id::proxy_authenticate);
  case 19:
    return only(same(name, "proxy-authorization"), id::proxy_authorization);
  case 20:
    return only(same(name, "sec-websocket-accept"), id::sec_websocket_accept);
  case 21:
    return pick(same(name, "authorization-app-api"), id::authorization_app_api,
                same(name, "sec-websocket-version"), id::sec_websocket_version);
  default:
    return id::other;
  }
}

bool is_twin_of_known(std::string_view name) {
  if (name.size() > known_name_chars_max)
    return false;
  std::array<char, known_name_chars_max> dashed{};
  std::replace_copy(name.begin(), name.end(), dashed.begin(), '_', '-');
  return field_id_of({dashed.data(), name.size()}) != field_id::other;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [lower](char x, char y) {
           return lower(x) == lower(y);
         });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return token_lower[static_cast<unsigned char>(c)] != 0;
  });
}

std::string_view next_token(std::string_view& rest) {
  size_t comma = rest.find(',');
  std::string_view token = rest.substr(0, comma);
  rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!token.empty() && blank(token.front()))
    token.remove_prefix(1);
  while (!token.empty() && blank(token.back()))
    token.remove_suffix(1);
  return token;
}

std::string_view reason_phrase(int status) {
  switch (status) {
  case 100:
    return "Continue";
  case 101:
    return "Switching Protocols";
  case 200:
    return "OK";
  case 201:
    return "Created";
  case 202:
    return "Accepted";
  case 204:
    return "No Content";
  case 206:
    return "Partial Content";
  case 207:
    return "Multi-Status";
  case 301:
    return "Moved Permanently";
  case 302:
    return "Found";
  case 303:
    return "See Other";
  case 304:
    return "Not Modified";
  case 307:
    return "Temporary Redirect";
  case 308:
    return "Permanent Redirect";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 409:
    return "Conflict";
  case 410:
    return "Gone";
  case 411:
    return "Length Required";
  case 412:
    return "Precondition Failed";
  case 413:
    return "Content Too Large";
  case 414:
    return "URI Too Long";
  case 415:
    return "Unsupported Media Type";
  case 416:
    return "Range Not Satisfiable";
  case 417:
    return "Expectation Failed";
  case 421:
    return "Misdirected Request";
  case 422:
    return "Unprocessable Content";
  case 423:
    return "Locked";
  case 424:
    return "Failed Dependency";
  case 426:
    return "Upgrade Required";
  case 429:
    return "Too Many Requests";
  case 431:
    return "Request Header Fields Too Large";
  case 500:
    return "Internal Server Error";
  case 501:
    return "Not Implemented";
  case 502:
    return "Bad Gateway";
  case 503:
    return "Service Unavailable";
  case 504:
    return "Gateway Timeout";
  case 505:
    return "HTTP Version Not Supported";
  case 507:
    return "Insufficient Storage";
  default:
    return "";
  }
}

} // namespace harp::net
