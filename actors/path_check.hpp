// What a request path may look like, and what it may mean to the app behind it: the only reading of
// paths that decides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr std::string_view exapps_prefix = "/exapps/";
inline constexpr std::string_view control_app_id = "app_api";
inline constexpr size_t app_id_bytes_max = 128;

/// Why a path is refused before anything else is asked (appapi-harp.md 2.3 step 2 and FS8).
enum class path_fault : uint8_t { none, dot_dot, backslash, nul, broken_escape };

/// Judges a raw path (no query) as it stands and decoded once, each with escapes understood, so
/// that double encoding is seen too. A dot-dot segment ends at `/`, `%2f`, the end, or at `;` /
/// `%3b` (servers that cut path parameters). Broken escapes count only in the raw path: `100%25`
/// decodes to a lawful `100%`. No allocation unless `%25` occurs.
path_fault check_path(std::string_view path);

/// Words for the log.
const char* to_string(path_fault fault);

/// A path taken apart; views into the path.
struct app_path {
  std::string_view app_id; // as written
  std::string_view target; // byte for byte what the app gets as path; "/" when nothing follows
};

/// 1 to app_id_bytes_max of `A-Z a-z 0-9 _ . -`, not only dots: what passes through host names,
/// file names and headers.
bool is_app_id(std::string_view text);

/// Takes `/exapps/{app_id}{target}` apart. Nothing when the prefix is missing or encoded, or the id
/// is none.
std::optional<app_path> split_app(std::string_view path);

/// ASCII lower case: the key under which an app is known.
std::string lower_app_id(std::string_view app_id);

/// True when the target has no second reading: no escape, no `//`, no `.` segment, no `;`.
bool is_plain_target(std::string_view target);

/// The target as an app may read it: decoded once, slashes merged, `.` segments dropped. A trailing
/// slash stays.
std::string decoded_form(std::string_view target);

/// The decoded form without path parameters (`;v=1`), in the two orders in which servers cut and
/// decode. Empty when the target has none.
std::vector<std::string> parameter_free_forms(std::string_view target);

/// True when the target, in any form and with or without trailing slash, is `/heartbeat`, `/init`
/// or `/enabled`, which only Nextcloud may call (FS6).
bool is_internal_target(std::string_view target);

} // namespace harp
