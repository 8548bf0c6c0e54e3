// Request and response heads of HTTP/1.1. Fields are in http_head.cpp, chunked bodies in
// http_chunks.cpp.
#include "net/http_codec.hpp"

#include "net/http_head.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

namespace harp::net {

namespace {

constexpr size_t websocket_key_chars = 24; // base64 of 16 bytes
constexpr std::string_view http_1 = "HTTP/1.";
constexpr std::string_view version_blank = "HTTP/1.1 ";

/// Bytes of a request target (RFC 9112 3.2 as quality.md narrows it): 0x21-0x7e without '#'.
constexpr std::array<bool, 256> make_target_table() {
  std::array<bool, 256> table{};
  for (size_t c = 0x21; c < 0x7f; ++c)
    table[c] = c != '#';
  return table;
}

/// Bytes of a Host value: uri-host and port of RFC 3986, without the comma (two values in one are
/// refused).
constexpr std::array<bool, 256> make_host_table() {
  std::array<bool, 256> table{};
  for (char c : std::string_view{
           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+;=:[]"})
    table[static_cast<unsigned char>(c)] = true;
  return table;
}

constexpr auto target_table = make_target_table();
constexpr auto host_table = make_host_table();

bool is_websocket_key(std::string_view key) {
  auto in_alphabet = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+'
           || c == '/';
  };
  return key.size() == websocket_key_chars && key.ends_with("==")
         && std::all_of(key.begin(), key.end() - 2, in_alphabet);
}

parse_result bad(refusal why) {
  return {parse_status::bad, 0, why.http_status, why.text};
}

/// Parts of the request line that only the fields can judge.
struct request_line {
  std::string_view authority; // of an absolute-form target
  bool absolute = false;
  char* target = nullptr;
  char* end = nullptr; // behind the CRLF
};

/// `HTTP/x.y` at `at`, which the CRLF must follow.
refusal parse_version(const char* at, request_head& out) {
  if (std::memcmp(at, http_1.data(), 5) != 0)
    return {"bad HTTP version"};
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  bool well_formed = digit(at[5]) && at[6] == '.' && digit(at[7]) && at[8] == '\r' && at[9] == '\n';
  if (!well_formed)
    return {"bad HTTP version"};
  if (at[5] != '1' || at[7] > '1')
    return {"HTTP version not supported", 505};
  out.minor_version = at[7] - '0';
  return {};
}

void set_target(std::string_view target, request_head& out) {
  out.target = target;
  size_t mark = target.find('?');
  out.has_query = mark != std::string_view::npos;
  out.path = target.substr(0, mark);
  out.query = out.has_query ? target.substr(mark + 1) : std::string_view{};
}

/// Everything but origin-form: `*` for OPTIONS, or an absolute URI of which path and query remain.
refusal parse_other_target(std::string_view target, request_head& out, request_line& line) {
  if (target == "*") {
    set_target(target, out);
    return {out.method == "OPTIONS" ? nullptr : "target * without OPTIONS"};
  }
  size_t scheme = equal_ignoring_case(target.substr(0, 7), "http://")    ? 7
                  : equal_ignoring_case(target.substr(0, 8), "https://") ? 8
                                                                         : 0;
  if (scheme == 0)
    return {"bad target form"};
  target.remove_prefix(scheme);
  size_t path = target.find_first_of("/?");
  line.absolute = true;
  line.authority = target.substr(0, path);
  set_target(path == std::string_view::npos ? std::string_view{"/"} : target.substr(path), out);
  return {line.authority.empty() ? "empty authority" : nullptr};
}

refusal parse_request_line(char* data, const char* end, request_head& out, request_line& line) {
  char* at = data;
  while (token_lower[static_cast<unsigned char>(*at)] != 0)
    ++at;
  if (at == data || *at != ' ')
    return {"bad method"};
  out.method = {data, static_cast<size_t>(at - data)};
  line.target = ++at;
  while (target_table[static_cast<unsigned char>(*at)])
    ++at;
  if (at == line.target || *at != ' ')
    return {"bad target"};
  if (static_cast<size_t>(end - at) < version_blank.size() + 2)
    return {"bad request line"};
  if (refusal why = parse_version(at + 1, out))
    return why;
  line.end = at + version_blank.size() + 2;
  if (out.method == "CONNECT")
    return {"CONNECT"};
  std::string_view text{line.target, static_cast<size_t>(at - line.target)};
  if (*line.target != '/')
    return parse_other_target(text, out, line);
  set_target(text, out);
  return {};
}

refusal check_host(const findings& found, const request_line& line, request_head& out) {
  if (found.hosts == 0)
    return {nullptr}; // one reading only, and HaRP's callers may leave it out (appapi-harp.md 2.1)
  bool valid = !found.host.empty() && std::all_of(found.host.begin(), found.host.end(), [](char c) {
    return host_table[static_cast<unsigned char>(c)];
  });
  if (!valid)
    return {"bad Host"};
  if (line.absolute && !equal_ignoring_case(line.authority, found.host))
    return {"Host differs from the target's authority"};
  out.host = found.host;
  return {};
}

void finish_request(const findings& found, const request_line& line, request_head& out) {
  out.keep_alive = kept_alive(found, out.minor_version);
  if (found.codings != 0)
    out.body = body_kind::chunked;
  else if (found.lengths != 0)
    out.body = body_kind::length;
  out.content_length = found.length;
  bool modern = out.minor_version
                == 1; // Upgrade and Expect mean nothing in HTTP/1.0 (RFC 9110 7.8, 10.1.1)
  out.expect_continue = modern && equal_ignoring_case(found.expect, "100-continue");
  out.upgrade = modern && found.upgrade_token && found.upgrades != 0;
  out.upgrade_websocket
      = out.upgrade && found.upgrades == 1 && equal_ignoring_case(found.upgrade, "websocket")
        && out.method == "GET" && found.versions == 1 && found.version == "13" && found.keys == 1
        && is_websocket_key(found.key) && out.body != body_kind::chunked && out.content_length == 0;
  if (found.nominates)
    nominate(out.fields, out.hop);
  if (line.absolute && !out.target.starts_with('/')) {
    // `http://host?query`: the empty path means "/"; the authority was checked, its last byte makes
    // room.
    char* slash = line.target + (out.target.data() - line.target) - 1;
    *slash = '/';
    set_target({slash, out.target.size() + 1}, out);
  }
}

refusal parse_status_line(char* data, const char* end, response_head& out, char*& next) {
  if (static_cast<size_t>(end - data) < version_blank.size() + 5
      || std::memcmp(data, http_1.data(), http_1.size()) != 0 || (data[7] != '0' && data[7] != '1')
      || data[8] != ' ')
    return {"bad status line"};
  out.minor_version = data[7] - '0';
  for (char* at = data + 9; at < data + 12; ++at) {
    if (*at < '0' || *at > '9')
      return {"bad status line"};
    out.status = out.status * 10 + (*at - '0');
  }
  char* reason = data + 12;
  if (out.status < 100 || (*reason != ' ' && *reason != '\r'))
    return {"bad status line"};
  char* last = find_control(reason, end);
  if (*last != '\r' || last[1] != '\n')
    return {"control byte in the status line"};
  if (last != reason)
    out.reason = {reason + 1, static_cast<size_t>(last - reason - 1)};
  next = last + 2;
  return {};
}

refusal finish_response(const findings& found, std::string_view method, response_head& out) {
  bool bodiless = out.status < 200 || out.status == 204;
  // Many servers send `Content-Length: 0` with 204: harmless, but not passed on (RFC 9110 8.6).
  if (bodiless && (found.length != 0 || found.codings != 0))
    return {"body announced where there can be none"};
  for (size_t i = 0; bodiless && i < out.fields.size(); ++i)
    out.hop[i] = out.hop[i] || out.fields[i].id == field_id::content_length;
  out.content_length = found.length;
  if (bodiless || out.status == 304 || method == "HEAD")
    out.body = body_kind::none;
  else if (found.codings != 0)
    out.body = body_kind::chunked;
  else
    out.body = found.lengths != 0 ? body_kind::length : body_kind::until_close;
  out.keep_alive = kept_alive(found, out.minor_version) && out.body != body_kind::until_close;
  out.upgrade_websocket = found.upgrade_token && found.upgrades == 1
                          && equal_ignoring_case(found.upgrade, "websocket");
  if (found.nominates)
    nominate(out.fields, out.hop);
  return {};
}

template <class Head>
std::string_view first_value(const Head& head, field_id id) {
  for (const auto& field : head.fields)
    if (field.id == id)
      return field.value;
  return {};
}

template <class Head>
bool has_field(const Head& head, field_id id) {
  return std::any_of(head.fields.begin(), head.fields.end(),
                     [id](const http_field& field) { return field.id == id; });
}

/// Empties a head; the tables keep their memory.
template <class Head>
void reset_head(Head& head) {
  auto fields = std::move(head.fields);
  auto hop = std::move(head.hop);
  fields.clear();
  hop.clear();
  head = Head{};
  head.fields = std::move(fields);
  head.hop = std::move(hop);
}

} // namespace

std::string_view request_head::value(field_id id) const {
  return first_value(*this, id);
}
bool request_head::has(field_id id) const {
  return has_field(*this, id);
}
void request_head::clear() {
  reset_head(*this);
}
std::string_view response_head::value(field_id id) const {
  return first_value(*this, id);
}
bool response_head::has(field_id id) const {
  return has_field(*this, id);
}
void response_head::clear() {
  reset_head(*this);
}

parse_result parse_request_head(char* data, size_t size, size_t& searched, request_head& out) {
  if (size != 0 && token_lower[static_cast<unsigned char>(*data)] == 0 && *data != '\r')
    return bad({"bad method"});
  head_end found_end = find_head_end(data, size, searched);
  if (found_end.why)
    return bad(found_end.why);
  if (found_end.bytes == 0)
    return {};
  out.clear();
  const char* end = data + found_end.bytes;
  request_line line;
  findings found;
  if (refusal why = parse_request_line(data, end, out, line))
    return bad(why);
  if (refusal why = parse_fields(line.end, end, out.fields, out.hop, found))
    return bad(why);
  if (refusal why = check_coding(found, out.minor_version))
    return bad(why);
  if (refusal why = check_host(found, line, out))
    return bad(why);
  finish_request(found, line, out);
  return {parse_status::done, found_end.bytes, 0, ""};
}

parse_result parse_response_head(char* data, size_t size, size_t& searched, std::string_view method,
                                 response_head& out) {
  auto refuse = [](refusal why) { return bad({why.text, 502}); };
  if (std::memcmp(data, http_1.data(), std::min(size, http_1.size())) != 0)
    return refuse({"bad status line"});
  head_end found_end = find_head_end(data, size, searched);
  if (found_end.why)
    return refuse(found_end.why);
  if (found_end.bytes == 0)
    return {};
  out.clear();
  const char* end = data + found_end.bytes;
  char* at = nullptr;
  findings found;
  if (refusal why = parse_status_line(data, end, out, at))
    return refuse(why);
  if (refusal why = parse_fields(at, end, out.fields, out.hop, found))
    return refuse(why);
  if (refusal why = check_coding(found, out.minor_version))
    return refuse(why);
  if (refusal why = finish_response(found, method, out))
    return refuse(why);
  return {parse_status::done, found_end.bytes, 0, ""};
}

std::string websocket_accept(std::string_view key) {
  std::string text{key};
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 1.3
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 4 * (SHA_DIGEST_LENGTH / 3 + 1) + 1> encoded{};
  int length = EVP_EncodeBlock(encoded.data(), digest.data(), SHA_DIGEST_LENGTH);
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<size_t>(length)};
}

} // namespace harp::net
