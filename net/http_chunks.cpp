// Chunked bodies (RFC 9112 7.1), decoded strictly, and the chunk heads that Harp writes itself.
#include "net/http_fields.hpp"

#include <algorithm>

namespace harp::net {

namespace {

constexpr unsigned chunk_digits_max = 16;

int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/// Fields that would change framing, routing or identity behind the head (RFC 9110 6.5.1).
bool forbidden_in_trailer(std::string_view name) {
  switch (field_id_of(name)) {
  case field_id::other:
    return name.starts_with("ex-app-") || is_twin_of_known(name);
  case field_id::accept_encoding:
  case field_id::content_type:
  case field_id::origin:
    return false;
  default:
    return true;
  }
}

/// Why a trailer line (without CRLF; lower-cased in place) is refused, or null.
const char* check_trailer(std::string& line) {
  size_t name_bytes = 0;
  while (name_bytes < line.size()
         && token_lower[static_cast<unsigned char>(line[name_bytes])] != 0) {
    line[name_bytes] = token_lower[static_cast<unsigned char>(line[name_bytes])];
    ++name_bytes;
  }
  if (name_bytes == 0 || name_bytes == line.size() || line[name_bytes] != ':')
    return "bad trailer field";
  if (forbidden_in_trailer(std::string_view{line}.substr(0, name_bytes)))
    return "framing or identity field in a trailer";
  return nullptr;
}

} // namespace

chunk_decoder::step chunk_decoder::next(std::string_view input) {
  step out;
  while (out.consumed < input.size() && state_ != state::done && state_ != state::bad) {
    if (state_ != state::data) {
      take(input[out.consumed++]);
      continue;
    }
    auto run = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - out.consumed));
    out.data = input.substr(out.consumed, run);
    out.consumed += run;
    left_ -= run;
    if (left_ == 0)
      state_ = state::data_cr;
    return out;
  }
  if (state_ == state::done)
    out.status = parse_status::done;
  else if (state_ == state::bad)
    out.status = parse_status::bad;
  return out;
}

void chunk_decoder::take(char c) {
  switch (state_) {
  case state::size:
    return take_size(c);
  case state::extension:
    if (c == '\r')
      state_ = state::size_lf;
    else if (is_control(c))
      refuse("control byte in a chunk extension");
    else if (++line_bytes_ > chunk_line_bytes_max)
      refuse("chunk line too long");
    return;
  case state::size_lf:
    state_ = left_ != 0 ? state::data : state::trailer;
    return expect(c, '\n', "chunk line without CRLF");
  case state::data_cr:
    state_ = state::data_lf;
    return expect(c, '\r', "chunk data without CRLF");
  case state::data_lf:
    start_line();
    return expect(c, '\n', "chunk data without CRLF");
  case state::trailer:
    return take_trailer(c);
  case state::trailer_lf:
    state_ = state::trailer;
    return end_trailer_line(c);
  case state::end_lf:
    state_ = state::done;
    return expect(c, '\n', "end of the chunks without CRLF");
  case state::data:
  case state::done:
  case state::bad:
    return;
  }
}

void chunk_decoder::take_size(char c) {
  int digit = hex_value(c);
  if (digit >= 0) {
    if (++digits_ > chunk_digits_max)
      return refuse("chunk size too long");
    left_ = left_ << 4 | static_cast<uint64_t>(digit);
    ++line_bytes_;
    return;
  }
  if (digits_ == 0)
    return refuse("no chunk size");
  if (c == '\r')
    state_ = state::size_lf;
  else if (c == ';')
    state_ = state::extension;
  else
    refuse("bad chunk size");
}

void chunk_decoder::take_trailer(char c) {
  if (c == '\r') {
    state_ = trailer_.empty() ? state::end_lf : state::trailer_lf;
    return;
  }
  if (is_control(c))
    return refuse("control byte in a trailer");
  if (++trailer_bytes_ > trailer_bytes_max)
    return refuse("trailer too large");
  trailer_ += c;
}

void chunk_decoder::end_trailer_line(char c) {
  expect(c, '\n', "trailer line without CRLF");
  if (const char* why = check_trailer(trailer_))
    refuse(why);
  trailer_.clear();
}

void chunk_decoder::start_line() {
  state_ = state::size;
  left_ = 0;
  digits_ = 0;
  line_bytes_ = 0;
}

void chunk_decoder::expect(char c, char wanted, const char* otherwise) {
  if (c != wanted)
    refuse(otherwise);
}

void chunk_decoder::refuse(const char* why) {
  if (state_ != state::bad)
    reason_ = why;
  state_ = state::bad;
}

void chunk_decoder::reset() {
  *this = chunk_decoder{};
}

size_t chunk_head(size_t bytes, char* out) {
  size_t digits = 1;
  while (digits < 2 * sizeof bytes && bytes >> (4 * digits) != 0)
    ++digits;
  for (size_t i = 0; i < digits; ++i)
    out[i] = "0123456789abcdef"[bytes >> (4 * (digits - 1 - i)) & 0xf];
  out[digits] = '\r';
  out[digits + 1] = '\n';
  return digits + 2;
}

} // namespace harp::net
