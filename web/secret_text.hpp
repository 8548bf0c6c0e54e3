// Secrets from files, and what makes a byte string usable as the shared key.
#pragma once

#include "web/config_values.hpp"

#include <string>
#include <string_view>

namespace harp::web {

inline constexpr size_t shared_key_bytes_max
    = 4096; // must fit a request head beside everything else
inline constexpr size_t secret_file_bytes_max = 64 * 1024;

/// Content of a secret's file without its trailing line ends. Errors name the path, never the
/// content.
parsed<std::string> read_secret_file(const std::string& path);

/// "" when a header value can carry these bytes unchanged, else the reason why not (S3).
std::string shared_key_fault(std::string_view key);

/// What HaRP would have refused and Harp takes: quotes, backslashes, bytes that are not ASCII. "" =
/// nothing.
std::string shared_key_oddity(std::string_view key);

} // namespace harp::web
