// What the sample ExApp says: its pages and answers as text, made from a parsed request. No
// sockets.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace harp::sample {

namespace http = boost::beast::http;
using request_head = http::request_header<http::fields>;

/// Period of the pattern that `/bytes` sends and tests check: byte i of the body is `i %
/// pattern_period`.
inline constexpr size_t pattern_period = 251;

/// A target taken apart: the path, and the query as it was sent (without `?`).
struct target_parts {
  std::string_view path;
  std::string_view query;
};
target_parts split_target(std::string_view target);

/// The number behind `name=` in a query, or `otherwise` when it is absent or no number.
uint64_t query_number(std::string_view query, std::string_view name, uint64_t otherwise);

/// The user whom Harp named in authorization-app-api: the text before the first colon of the
/// decoded value, "" if none.
std::string user_of(const request_head& head);

/// `/`: a page that greets the user and links to the others.
std::string hello_page(const request_head& head);
/// `/echo-page`: a WebSocket echo to play with; it finds its socket by a relative URL.
std::string_view echo_page();
/// `/whoami` and unknown paths: `{"method","target","user","headers":[[name, value], ...]}`,
/// headers as they came.
std::string whoami(const request_head& head);

} // namespace harp::sample
