// Frames of the node link read from and written to a stream, payloads copied once.
#include "net/node_link.hpp"

#include <cstring>

namespace harp::net {

namespace {

constexpr size_t joined_head_bytes_max = 1024; // a payload's head that travels with the frame's
constexpr size_t read_step_bytes_max = 256 * 1024;

frame_status status_of(io_status status, bool between_frames) {
  if (status != io_status::eof)
    return frame_status::failed;
  return between_frames ? frame_status::end : frame_status::cut;
}

} // namespace

asio::awaitable<frame_status> read_frame(stream& from, peer_frame& into, size_t payload_bytes_max) {
  std::array<char, peer_head_bytes> head;
  for (size_t held = 0; held < head.size();) {
    io_result got = co_await read_some(from, std::span{head}.subspan(held));
    if (got.status != io_status::ok)
      co_return status_of(got.status, held == 0);
    held += got.bytes;
  }
  peer_frame_reader reader{payload_bytes_max};
  std::string_view input{head.data(), head.size()};
  auto step = reader.next(input, into);
  while (step == peer_frame_reader::step::more) {
    std::span<char> room = reader.room(into, read_step_bytes_max);
    io_result got = co_await read_some(from, room);
    step = reader.used(into, got.bytes);
    if (got.status != io_status::ok)
      co_return status_of(got.status, false);
  }
  co_return step == peer_frame_reader::step::frame ? frame_status::ok : frame_status::bad;
}

asio::awaitable<bool> write_frame(stream& to, uint8_t type, uint8_t flags, std::string_view head,
                                  std::string_view body) {
  size_t size = head.size() + body.size();
  if (type == 0 || size > data_frame_bytes_max)
    co_return false;
  auto frame_head = encode_peer_head({static_cast<uint32_t>(size), type, flags});
  std::array<char, peer_head_bytes + joined_head_bytes_max> joined;
  std::memcpy(joined.data(), frame_head.data(), frame_head.size());
  size_t joined_bytes = frame_head.size();
  if (head.size() <= joined_head_bytes_max) {
    std::memcpy(joined.data() + joined_bytes, head.data(), head.size());
    joined_bytes += head.size();
    co_return co_await write_all(to, {joined.data(), joined_bytes}, body);
  }
  std::string_view start{joined.data(), joined_bytes};
  bool sent = co_await write_all(to, start, head);
  if (sent)
    sent = co_await write_all(to, body);
  co_return sent;
}

} // namespace harp::net
