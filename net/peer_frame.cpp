#include "net/peer_frame.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace harp::net {

void frame_bytes::resize(size_t size) {
  if (size > capacity_) {
    size_t grown = std::max(size, 2 * capacity_);
    std::unique_ptr<char[]> larger{new char[grown]}; // make_unique would clear it
    if (size_ > 0)
      std::memcpy(larger.get(), bytes_.get(), size_);
    bytes_ = std::move(larger);
    capacity_ = grown;
  }
  size_ = size;
}

void frame_bytes::append(const char* from, size_t size) {
  size_t at = size_;
  resize(at + size);
  if (size > 0)
    std::memcpy(data() + at, from, size);
}

std::array<char, peer_head_bytes> encode_peer_head(const peer_frame_head& head) {
  auto byte = [&head](unsigned shift) { return static_cast<char>(head.length >> shift & 0xff); };
  return {byte(24),
          byte(16),
          byte(8),
          byte(0),
          static_cast<char>(head.type),
          static_cast<char>(head.flags)};
}

std::optional<peer_frame_head> decode_peer_head(std::string_view bytes) {
  if (bytes.size() < peer_head_bytes)
    return std::nullopt;
  auto at = [bytes](size_t index) { return static_cast<uint8_t>(bytes[index]); };
  peer_frame_head out;
  out.length = static_cast<uint32_t>(at(0)) << 24 | static_cast<uint32_t>(at(1)) << 16
               | static_cast<uint32_t>(at(2)) << 8 | at(3);
  out.type = at(4);
  out.flags = at(5);
  if (out.type == 0)
    return std::nullopt;
  return out;
}

std::string encode_peer_frame(uint8_t type, uint8_t flags, std::string_view payload) {
  auto head = encode_peer_head({static_cast<uint32_t>(payload.size()), type, flags});
  std::string out;
  out.reserve(head.size() + payload.size());
  out.append(head.data(), head.size());
  out += payload;
  return out;
}

peer_frame_reader::step peer_frame_reader::take_head(std::string_view& input, peer_frame& into) {
  size_t part = std::min(input.size(), peer_head_bytes - held_);
  std::memcpy(partial_.data() + held_, input.data(), part);
  input.remove_prefix(part);
  held_ = static_cast<uint8_t>(held_ + part);
  if (held_ < peer_head_bytes)
    return step::more;
  held_ = 0;
  auto head = decode_peer_head({partial_.data(), partial_.size()});
  if (!head || head->length > max_) {
    bad_ = true;
    return step::bad;
  }
  into.type = head->type;
  into.flags = head->flags;
  into.payload.clear();
  left_ = head->length;
  have_head_ = left_ > 0;
  return left_ == 0 ? step::frame : step::more;
}

std::span<char> peer_frame_reader::room(peer_frame& into, size_t bytes_max) {
  size_t have = into.payload.size();
  // What is allocated already, else as much again as has come: a claim alone gets little.
  size_t more = std::max(into.payload.capacity() - have, std::max(peer_first_reserve_bytes, have));
  room_ = std::min({left_, bytes_max, more});
  into.payload.resize(have + room_);
  return {into.payload.data() + have, room_};
}

peer_frame_reader::step peer_frame_reader::used(peer_frame& into, size_t bytes) {
  into.payload.resize(into.payload.size() - (std::exchange(room_, 0) - bytes));
  left_ -= bytes;
  have_head_ = left_ > 0;
  return have_head_ ? step::more : step::frame;
}

peer_frame_reader::step peer_frame_reader::next(std::string_view& input, peer_frame& into) {
  if (bad_)
    return step::bad;
  step state = have_head_ ? step::more : take_head(input, into);
  while (state == step::more && have_head_ && !input.empty()) {
    auto to = room(into, input.size());
    std::memcpy(to.data(), input.data(), to.size());
    input.remove_prefix(to.size());
    state = used(into, to.size());
  }
  return state;
}

} // namespace harp::net
