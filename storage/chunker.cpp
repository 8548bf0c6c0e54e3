#include "storage/chunker.hpp"

#include "storage/digest.hpp"

#include <sodium.h>

#include <algorithm>

namespace harp {

namespace {

// Normalisation 2: two bits more than log2(normal) before the normal size, two fewer behind it; the high bits, for the
// gear hash has mixed most bytes into those.
constexpr uint64_t mask_before = ~uint64_t{0} << (64 - 22);
constexpr uint64_t mask_behind = ~uint64_t{0} << (64 - 18);

std::array<uint64_t, 256> make_gear() {
  auto key = blake2b("harp gear 1", {});
  std::array<uint8_t, 256 * 8> stream{};
  std::array<uint8_t, crypto_stream_chacha20_NONCEBYTES> nonce{};
  crypto_stream_chacha20(stream.data(), stream.size(), nonce.data(), key.bytes.data());
  std::array<uint64_t, 256> out{};
  for (size_t i = 0; i < out.size(); ++i)
    for (size_t b = 8; b-- > 0;)
      out[i] = out[i] << 8 | stream[8 * i + b];
  return out;
}

/// First position >= `from` behind which the hash meets `mask`, or `to`.
size_t scan(const uint8_t* data, size_t from, size_t to, uint64_t mask, uint64_t& hash,
            const std::array<uint64_t, 256>& gear) {
  uint64_t h = hash;
  size_t i = from;
  for (; i < to; ++i) {
    h = (h << 1) + gear[data[i]];
    if ((h & mask) == 0)
      break;
  }
  hash = h;
  return i;
}

} // namespace

const std::array<uint64_t, 256>& gear_table() {
  static const auto table = make_gear();
  return table;
}

size_t first_cut(std::string_view content) {
  size_t size = std::min<size_t>(content.size(), cut_bytes_max);
  if (size <= cut_bytes_min)
    return size;
  const auto& gear = gear_table();
  const auto* data = reinterpret_cast<const uint8_t*>(content.data());
  size_t normal = std::min<size_t>(size, cut_bytes_normal);
  uint64_t hash = 0;
  size_t cut = scan(data, cut_bytes_min, normal, mask_before, hash, gear);
  if (cut < normal)
    return cut + 1;
  cut = scan(data, normal, size, mask_behind, hash, gear);
  return cut < size ? cut + 1 : size;
}

std::vector<uint32_t> cut_whole(std::string_view content) {
  std::vector<uint32_t> out;
  while (!content.empty()) {
    auto size = first_cut(content);
    out.push_back(static_cast<uint32_t>(size));
    content.remove_prefix(size);
  }
  return out;
}

void chunk_stream::feed(std::string_view piece) {
  while (!piece.empty()) {
    auto room = 2 * size_t{cut_bytes_max} - buffer_.size();
    auto take = std::min(room, piece.size());
    buffer_.append(piece.substr(0, take));
    piece.remove_prefix(take);
    drain(false);
  }
}

void chunk_stream::finish() {
  drain(true);
  buffer_.clear();
}

void chunk_stream::drain(bool end) {
  std::string_view rest(buffer_);
  while (!rest.empty() && (end || rest.size() >= cut_bytes_max)) {
    auto size = first_cut(rest);
    visit_(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  buffer_.erase(0, buffer_.size() - rest.size());
}

} // namespace harp
