// Fuzz target: HTTP heads. What a request head was understood as is written again and must be
// understood the same way.
#include "net/http_codec.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace harp::net;

namespace {

void require(bool holds) {
  if (!holds)
    std::abort();
}

bool inside(std::string_view part, const std::string& whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

/// The head as Harp would write it: what it parsed, nothing else.
std::string written(const request_head& head) {
  std::string out{head.method};
  out.append(" ").append(head.target).append(" HTTP/1.").append(std::to_string(head.minor_version));
  out += "\r\n";
  for (const auto& field : head.fields)
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  return out + "\r\n";
}

void check_request(std::string bytes) {
  request_head head, again;
  size_t searched = 0;
  std::string stepwise = bytes;
  parse_result cut{};
  for (size_t size = 0; size < stepwise.size() && cut.status == parse_status::need_more; size += 7)
    cut = parse_request_head(stepwise.data(), size, searched, again);
  size_t from_start = 0;
  auto got = parse_request_head(bytes.data(), bytes.size(), from_start, head);
  require(cut.status == parse_status::need_more || cut.status == got.status);
  if (got.status != parse_status::done)
    return;
  require(got.bytes <= bytes.size() && got.bytes <= head_bytes_max);
  require(head.fields.size() == head.hop.size() && head.fields.size() <= head_fields_max);
  require(!head.upgrade_websocket || head.upgrade);
  require(head.target == "*" || head.target.starts_with('/'));
  for (const auto& field : head.fields)
    require(inside(field.name, bytes) && inside(field.value, bytes));
  std::string copy = written(head);
  size_t fresh = 0;
  require(parse_request_head(copy.data(), copy.size(), fresh, again).status == parse_status::done);
  require(again.body == head.body && again.content_length == head.content_length);
  require(again.keep_alive == head.keep_alive && again.upgrade_websocket == head.upgrade_websocket);
  require(again.path == head.path && again.query == head.query && again.hop == head.hop);
  require(again.host == head.host);
}

void check_response(std::string bytes) {
  response_head head;
  for (std::string_view method : {"GET", "HEAD"}) {
    size_t searched = 0;
    std::string copy = bytes;
    auto got = parse_response_head(copy.data(), copy.size(), searched, method, head);
    if (got.status != parse_status::done)
      continue;
    require(head.status >= 100 && head.status <= 999);
    require(head.body == body_kind::length || head.body == body_kind::none
            || head.content_length == 0);
    require(method == "GET" || head.body == body_kind::none);
    require(head.fields.size() == head.hop.size());
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  check_request(bytes);
  check_response(bytes);
  return 0;
}
