// Listening addresses as people write them: HAProxy's bind forms and plain HOST:PORT.
#pragma once

#include "web/config.hpp"
#include "web/config_values.hpp"

#include <string_view>
#include <vector>

namespace harp::web {

inline constexpr size_t binds_max = 16; // addresses of one listener

/// Parses `*:8780`, `:8780`, `0.0.0.0:8780`, `[::]:8780 v4v6`, `name:8780`, several by comma
/// (appapi-harp.md 1.2). Port 0 = any free one. The options v4v6 and v6only are known; any other is
/// refused by name, as are sockets that are not TCP.
parsed<std::vector<bind_address>> parse_binds(std::string_view text);

/// Exactly one address of the same forms.
parsed<bind_address> parse_bind(std::string_view text);

} // namespace harp::web
