// Heads for the tests of the HTTP codec: parsed together with the bytes that their views point into.
#pragma once

#include "net/http_fields.hpp"

#include <caf/test/unit_test.hpp>

#include <memory>

namespace http_heads {

using namespace harp::net;

/// A parsed head together with the bytes that its views point into.
template <class Head>
struct parsed {
  std::string bytes;
  Head head;
  parse_result result;
  [[nodiscard]] bool done() const { return result.status == parse_status::done; }
  [[nodiscard]] int refused_with() const {
    return result.status == parse_status::bad ? result.http_status : 0;
  }
  /// Hop flag of the first field of that name; -1 when there is none.
  [[nodiscard]] int hop(std::string_view name) const {
    for (size_t i = 0; i < head.fields.size(); ++i)
      if (head.fields[i].name == name)
        return head.hop[i] ? 1 : 0;
    return -1;
  }
};

inline std::unique_ptr<parsed<request_head>> request(std::string bytes) {
  auto out = std::make_unique<parsed<request_head>>();
  out->bytes = std::move(bytes);
  size_t searched = 0;
  out->result = parse_request_head(out->bytes.data(), out->bytes.size(), searched, out->head);
  return out;
}

/// A GET with a Host and these lines (each with its CRLF).
inline std::unique_ptr<parsed<request_head>> get(const std::string& lines) {
  return request("GET /x HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n");
}

inline std::unique_ptr<parsed<request_head>> get_target(const std::string& target) {
  return request("GET " + target + " HTTP/1.1\r\nHost: h.example:8080\r\n\r\n");
}

inline std::unique_ptr<parsed<response_head>> response(std::string bytes,
                                                       std::string_view method = "GET") {
  auto out = std::make_unique<parsed<response_head>>();
  out->bytes = std::move(bytes);
  size_t searched = 0;
  out->result
      = parse_response_head(out->bytes.data(), out->bytes.size(), searched, method, out->head);
  return out;
}

inline const std::string websocket_lines
    = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
      "Sec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  CAF_REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace http_heads
