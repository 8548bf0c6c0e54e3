// The parts of an HTTP head that requests and responses share: its end, its fields, its framing.
// Used by the codec only.
#pragma once

#include "net/http_fields.hpp"

namespace harp::net {

/// A reason to refuse; nothing when `text` is null.
struct refusal {
  const char* text = nullptr;
  int http_status = 400;
  explicit operator bool() const { return text != nullptr; }
};

/// What the fields say together about framing and connection.
struct findings {
  unsigned hosts = 0, lengths = 0, codings = 0, keys = 0, versions = 0, upgrades = 0;
  uint64_t length = 0;
  std::string_view host, coding, upgrade, key, version, expect;
  unsigned tokens = 0;
  bool close = false, keep_alive = false, upgrade_token = false, nominates = false;
};

/// Where the head ends: `bytes` with its empty line, 0 while that is not there.
struct head_end {
  size_t bytes = 0;
  refusal why;
};

/// Looks for the end from `searched` on, which moves along. Refuses bare LF, a leading empty line
/// and head_bytes_max.
head_end find_head_end(const char* data, size_t size, size_t& searched);

/// Parses the field lines from `at` up to the empty line that ends at `end`; lower-cases names
/// there. What the fields mean together is in `found` afterwards.
refusal parse_fields(char* at, const char* end, std::vector<http_field>& fields,
                     std::vector<bool>& hop, findings& found);

/// Marks the fields that Connection names as hop-by-hop, but not those Harp decides by (quality.md
/// H07).
void nominate(const std::vector<http_field>& fields, std::vector<bool>& hop);

/// Transfer-Encoding may only be one `chunked`, in HTTP/1.1, without Content-Length.
refusal check_coding(const findings& found, int minor_version);

bool kept_alive(const findings& found, int minor_version);

} // namespace harp::net
