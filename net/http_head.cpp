// The end, the fields and the framing of an HTTP head, in one pass each.
#include "net/http_head.hpp"

#include <algorithm>

namespace harp::net {

namespace {

// Times head_fields_max this bounds the work of nominations.
constexpr unsigned connection_tokens_max = 32;
constexpr size_t content_length_digits_max = 19;

/// Fields that keep their own rules whatever Connection says: Harp decides by them (quality.md
/// H07).
bool nomination_ignored(field_id id, std::string_view name) {
  switch (id) {
  case field_id::host:
  case field_id::content_length:
  case field_id::cookie:
  case field_id::authorization:
  case field_id::authorization_app_api:
  case field_id::x_forwarded_for:
  case field_id::x_real_ip:
  case field_id::harp_shared_key:
  case field_id::aa_version:
  case field_id::docker_engine_port:
  case field_id::content_type:
  case field_id::origin:
  case field_id::expect:
  case field_id::te:
  case field_id::sec_websocket_accept:
  case field_id::sec_websocket_key:
  case field_id::sec_websocket_version:
    return true;
  default:
    return name.starts_with("ex-app-");
  }
}

bool always_hop(const http_field& field) {
  switch (field.id) {
  case field_id::connection:
  case field_id::keep_alive:
  case field_id::proxy_connection:
  case field_id::transfer_encoding:
  case field_id::trailer:
  case field_id::upgrade:
  case field_id::proxy_authenticate:
  case field_id::proxy_authorization:
    return true;
  case field_id::te:
    return !equal_ignoring_case(field.value, "trailers");
  case field_id::other:
    // CGI-like applications read `ex_app_id` and `ex-app-id` as one: such twins of our fields end
    // here.
    return field.name.find('_') != std::string_view::npos && is_twin_of_known(field.name);
  default:
    return false;
  }
}

refusal note_length(std::string_view value, findings& found) {
  if (++found.lengths > 1)
    return {"two Content-Length fields"};
  if (value.empty() || value.size() > content_length_digits_max)
    return {"bad Content-Length"};
  for (char c : value) {
    if (c < '0' || c > '9')
      return {"bad Content-Length"};
    found.length = found.length * 10 + static_cast<uint64_t>(c - '0');
  }
  return {};
}

refusal note_connection(std::string_view value, findings& found) {
  while (!value.empty()) {
    std::string_view token = next_token(value);
    if (++found.tokens > connection_tokens_max)
      return {"too many Connection options"};
    if (token.empty())
      continue;
    if (!is_token(token))
      return {"bad Connection option"};
    if (equal_ignoring_case(token, "close"))
      found.close = true;
    else if (equal_ignoring_case(token, "keep-alive"))
      found.keep_alive = true;
    else if (equal_ignoring_case(token, "upgrade"))
      found.upgrade_token = true;
    else
      found.nominates = true;
  }
  return {};
}

refusal note(const http_field& field, findings& found) {
  switch (field.id) {
  case field_id::host:
    found.host = field.value;
    return {++found.hosts > 1 ? "two Host fields" : nullptr};
  case field_id::content_length:
    return note_length(field.value, found);
  case field_id::transfer_encoding:
    found.coding = field.value;
    return {++found.codings > 1 ? "two Transfer-Encoding fields" : nullptr};
  case field_id::connection:
    return note_connection(field.value, found);
  case field_id::upgrade:
    found.upgrade = field.value;
    ++found.upgrades;
    return {};
  case field_id::sec_websocket_key:
    found.key = field.value;
    ++found.keys;
    return {};
  case field_id::sec_websocket_version:
    found.version = field.value;
    ++found.versions;
    return {};
  case field_id::expect:
    found.expect = field.value;
    return {};
  default:
    return {};
  }
}

} // namespace

head_end find_head_end(const char* data, size_t size, size_t& searched) {
  size_t limit = std::min(size, head_bytes_max);
  for (size_t at = std::min(searched, limit); at < limit;) {
    const auto* lf = static_cast<const char*>(std::memchr(data + at, '\n', limit - at));
    if (lf == nullptr)
      break;
    auto i = static_cast<size_t>(lf - data);
    if (i == 0 || data[i - 1] != '\r')
      return {0, {"bare LF in the head"}};
    if (i == 1)
      return {0, {"empty line before the head"}};
    if (data[i - 2] == '\n')
      return {i + 1, {}};
    at = i + 1;
  }
  searched = limit;
  if (size >= head_bytes_max)
    return {0, {"head too large", 431}};
  return {};
}

refusal parse_fields(char* at, const char* end, std::vector<http_field>& fields,
                     std::vector<bool>& hop, findings& found) {
  while (at + 2 < end) {
    if (fields.size() == head_fields_max)
      return {"too many fields", 431};
    char* name = at;
    while (char lower = token_lower[static_cast<unsigned char>(*at)])
      *at++ = lower;
    if (*at != ':' || at == name)
      return {*name == ' ' || *name == '\t' ? "folded field line" : "bad field name"};
    http_field field{{name, static_cast<size_t>(at - name)}, {}, field_id::other};
    do
      ++at;
    while (*at == ' ' || *at == '\t');
    char* value = at;
    at = find_control(at, end);
    if (*at != '\r' || at[1] != '\n')
      return {"control byte in a field value"};
    const char* last = at;
    while (last != value && (last[-1] == ' ' || last[-1] == '\t'))
      --last;
    field.value = {value, static_cast<size_t>(last - value)};
    field.id = field_id_of(field.name);
    at += 2;
    if (refusal why = note(field, found))
      return why;
    hop.push_back(always_hop(field));
    fields.push_back(field);
  }
  return {};
}

void nominate(const std::vector<http_field>& fields, std::vector<bool>& hop) {
  for (const auto& connection : fields) {
    if (connection.id != field_id::connection)
      continue;
    std::string_view rest = connection.value;
    while (!rest.empty()) {
      std::string_view token = next_token(rest);
      for (size_t i = 0; i < fields.size(); ++i)
        if (equal_ignoring_case(fields[i].name, token)
            && !nomination_ignored(fields[i].id, fields[i].name))
          hop[i] = true;
    }
  }
}

refusal check_coding(const findings& found, int minor_version) {
  if (found.codings == 0)
    return {};
  if (found.lengths != 0)
    return {"Content-Length together with Transfer-Encoding"};
  if (minor_version == 0)
    return {"Transfer-Encoding in HTTP/1.0"};
  if (equal_ignoring_case(found.coding, "chunked"))
    return {};
  bool unknown = false;
  for (std::string_view rest = found.coding; !rest.empty();) {
    std::string_view token = next_token(rest);
    unknown = unknown || (is_token(token) && !equal_ignoring_case(token, "chunked"));
  }
  return unknown ? refusal{"unknown transfer coding", 501} : refusal{"bad Transfer-Encoding"};
}

bool kept_alive(const findings& found, int minor_version) {
  return !found.close && (minor_version == 1 || found.keep_alive);
}

} // namespace harp::net
