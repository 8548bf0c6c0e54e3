// Fuzz target: frames of the node link. However the input is cut and whoever fills the payload, the
// same frames come out, none longer than allowed, with no more memory than bytes came.
#include "net/peer_frame.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace harp::net;

namespace {

constexpr size_t max = 5000;
using step = peer_frame_reader::step;

void require(bool holds) {
  if (!holds)
    std::abort();
}

struct outcome {
  std::vector<std::string> frames;
  bool bad = false;
  bool operator==(const outcome&) const = default;
};

void keep(outcome& out, const peer_frame& frame) {
  require(frame.type != 0 && frame.payload.size() <= max);
  require(frame.payload.capacity() <= 2 * peer_first_reserve_bytes);
  out.frames.push_back(encode_peer_frame(frame.type, frame.flags, frame.view()));
}

outcome in_pieces(std::string_view bytes, size_t piece) {
  outcome out;
  peer_frame_reader reader{max};
  peer_frame frame;
  for (size_t at = 0; at < bytes.size() && !out.bad; at += piece) {
    std::string_view input = bytes.substr(at, piece);
    step now = reader.next(input, frame);
    for (; now == step::frame; now = reader.next(input, frame))
      keep(out, frame);
    out.bad = now == step::bad;
    require(out.bad || input.empty());
  }
  return out;
}

/// As read_frame() does it: heads by next(), payloads filled in place.
outcome in_place(std::string_view bytes) {
  outcome out;
  peer_frame frame;
  while (bytes.size() >= peer_head_bytes && !out.bad) {
    peer_frame_reader reader{max};
    std::string_view head = bytes.substr(0, peer_head_bytes);
    bytes.remove_prefix(peer_head_bytes);
    step now = reader.next(head, frame);
    while (now == step::more && !bytes.empty()) {
      auto room = reader.room(frame, 1 + bytes.size() % 97);
      size_t part = std::min(room.size(), bytes.size());
      std::copy_n(bytes.data(), part, room.data());
      bytes.remove_prefix(part);
      now = reader.used(frame, part);
    }
    out.bad = now == step::bad;
    if (now == step::frame)
      keep(out, frame);
  }
  return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  outcome whole = in_pieces(bytes, std::max<size_t>(size, 1));
  require(whole == in_pieces(bytes, 1));
  require(whole == in_pieces(bytes, 7));
  require(whole == in_place(bytes));
  std::string back;
  for (const auto& each : whole.frames)
    back += each;
  require(bytes.starts_with(back));
  return 0;
}
