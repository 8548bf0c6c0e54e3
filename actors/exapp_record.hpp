// What Nextcloud says of an ExApp and of a user, read from its JSON (appapi-harp.md 3.1, 3.2, 4.4).
// Values, immutable.
#pragma once

#include "actors/route_pattern.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t record_bytes_max = 1024 * 1024;
inline constexpr size_t record_routes_max = 1000;
inline constexpr size_t record_warnings_max = 20;
inline constexpr size_t record_json_depth_max = 8;
inline constexpr size_t counted_statuses_max = 100; // per route
inline constexpr size_t token_bytes_max = 1024;
inline constexpr size_t app_version_bytes_max = 128;
inline constexpr size_t app_host_bytes_max = 253;
inline constexpr size_t user_info_bytes_max = 64 * 1024;
inline constexpr size_t user_id_bytes_max = 512;

inline constexpr int access_public = 0;
inline constexpr int access_user = 1;
inline constexpr int access_admin = 2;

/// One route, in its place in the app's order.
struct exapp_route {
  std::string url;                      // the pattern as received, for people
  int access_level = access_admin;      // access_public, access_user or access_admin
  std::optional<route_pattern> pattern; // none when it could not be compiled: the route is skipped
  std::shared_ptr<const std::vector<int>>
      counted_statuses; // answers that count as failure; null when none
};

/// An ExApp as Nextcloud knows it. Published as shared_ptr<const exapp_record>.
struct exapp_record {
  std::string app_id; // lower case
  std::string token;  // secret
  std::string version;
  std::string host; // IP literal without brackets, or a name
  uint16_t port = 0;
  std::vector<exapp_route> routes;   // in the order received
  std::vector<std::string> warnings; // for the log, once per record: at most record_warnings_max
};

/// Reads a record. The error names the field that is missing or wrong, never its value. Integers
/// may come as decimal strings, `routes` and `bruteforce_protection` may be missing or null,
/// unknown fields are ignored.
std::variant<exapp_record, std::string> parse_exapp_record(std::string_view app_id,
                                                           std::string_view json);

/// What a cookie or an Authorization header is worth. An empty user_id is nobody.
struct user_info {
  std::string user_id;
  int access_level = access_public;
};

/// Reads user info. A user id that a credential cannot carry (control bytes, a colon) is an error.
std::variant<user_info, std::string> parse_user_info(std::string_view json);

/// True when `text` may stand in `user:secret` as the user: no control bytes, no colon, at most
/// user_id_bytes_max.
bool is_carriable_user_id(std::string_view text);

} // namespace harp
