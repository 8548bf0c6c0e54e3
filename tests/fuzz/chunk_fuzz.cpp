// Fuzz target: chunked bodies. However the input is cut, the decoder takes the same bytes and gives
// the same body.
#include "net/http_codec.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

using namespace harp::net;

namespace {

struct outcome {
  std::string body;
  size_t consumed = 0;
  parse_status status = parse_status::need_more;
  bool operator==(const outcome&) const = default;
};

void require(bool holds) {
  if (!holds)
    std::abort();
}

outcome decode(std::string_view input, size_t piece) {
  chunk_decoder decoder;
  outcome out;
  while (out.consumed < input.size() && out.status == parse_status::need_more) {
    auto step = decoder.next(input.substr(out.consumed, piece));
    require(step.consumed != 0 && step.data.size() <= step.consumed);
    out.body += step.data;
    out.consumed += step.consumed;
    out.status = step.status;
  }
  return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  outcome whole = decode(input, size + 1);
  require(decode(input, 1) == whole && decode(input, 3) == whole);
  if (whole.status != parse_status::done || whole.body.empty())
    return 0;
  std::array<char, 20> head{};
  std::string again(head.data(), chunk_head(whole.body.size(), head.data()));
  again.append(whole.body).append(chunk_end).append(last_chunk);
  outcome second = decode(again, 5);
  require(second.body == whole.body && second.consumed == again.size());
  return 0;
}
