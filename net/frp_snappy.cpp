// Snappy's framing format over libsnappy's raw blocks.
#include "net/frp_snappy.hpp"

#include <snappy.h>

#include <algorithm>
#include <array>

namespace harp::net::frp {

namespace {

constexpr std::string_view identifier{"\xff\x06\x00\x00sNaPpY", 10};
constexpr unsigned char compressed_chunk = 0x00;
constexpr unsigned char raw_chunk = 0x01;
constexpr unsigned char identifier_chunk = 0xff;
constexpr unsigned char first_skippable_chunk = 0x80;
constexpr size_t checksum_bytes = 4;

constexpr std::array<std::array<uint32_t, 256>, 4> make_crc_tables() {
  std::array<std::array<uint32_t, 256>, 4> out{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    out[0][i] = value;
  }
  for (size_t t = 1; t < out.size(); ++t)
    for (size_t i = 0; i < 256; ++i)
      out[t][i] = out[t - 1][i] >> 8 ^ out[0][out[t - 1][i] & 0xff];
  return out;
}

constexpr auto crc_tables = make_crc_tables();

uint32_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

uint32_t read_u32_le(std::string_view bytes) {
  return byte_at(bytes, 0) | byte_at(bytes, 1) << 8 | byte_at(bytes, 2) << 16
         | byte_at(bytes, 3) << 24;
}

void put_le(std::string& out, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    out[at + i] = static_cast<char>(value >> (8 * i));
}

} // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  while (bytes.size() >= 4) { // four tables: one look-up per byte, four in flight
    crc ^= read_u32_le(bytes);
    crc = crc_tables[3][crc & 0xff] ^ crc_tables[2][crc >> 8 & 0xff]
          ^ crc_tables[1][crc >> 16 & 0xff] ^ crc_tables[0][crc >> 24];
    bytes.remove_prefix(4);
  }
  for (unsigned char c : bytes)
    crc = crc >> 8 ^ crc_tables[0][(crc ^ c) & 0xff];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

void snappy_encoder::append(std::string& out, std::string_view plain) {
  if (!begun_)
    out += identifier;
  begun_ = true;
  const size_t at = out.size();
  out.resize(at + 4 + checksum_bytes + snappy::MaxCompressedLength(plain.size()));
  size_t packed = 0;
  char* body = out.data() + at + 4 + checksum_bytes;
  snappy::RawCompress(plain.data(), plain.size(), body, &packed);
  const bool worth_it = packed < plain.size() - plain.size() / 8;
  if (!worth_it) {
    packed = plain.size();
    std::copy(plain.begin(), plain.end(), body);
  }
  out.resize(at + 4 + checksum_bytes + packed);
  out[at] = static_cast<char>(worth_it ? compressed_chunk : raw_chunk);
  put_le(out, at + 1, checksum_bytes + packed, 3);
  put_le(out, at + 4, masked_crc32c(plain), 4);
}

bool snappy_decoder::begin_chunk() {
  const auto type = static_cast<unsigned char>(head_[0]);
  const size_t length = byte_at(head_, 1) | byte_at(head_, 2) << 8 | byte_at(head_, 3) << 16;
  if (!identified_ && type != identifier_chunk)
    return false;
  if (type == identifier_chunk) {
    if (length != identifier.size() - 4)
      return false;
  } else if (type >= first_skippable_chunk) {
    skip_ = length;
    head_.clear();
    return true;
  } else if (type == compressed_chunk) {
    if (length < checksum_bytes || length > snappy_body_bytes_max)
      return false;
  } else if (type == raw_chunk) {
    if (length < checksum_bytes || length > checksum_bytes + snappy_plain_bytes_max)
      return false;
  } else {
    return false;
  }
  body_bytes_ = length;
  body_.clear();
  step_ = step::body;
  return true;
}

void snappy_decoder::end_chunk() {
  const auto type = static_cast<unsigned char>(head_[0]);
  head_.clear();
  step_ = step::header;
  if (type == identifier_chunk) {
    failed_ = body_ != identifier.substr(4);
    identified_ = true;
    return;
  }
  const std::string_view packed = std::string_view{body_}.substr(checksum_bytes);
  used_ = 0;
  if (type == raw_chunk) {
    plain_.assign(packed);
  } else {
    size_t bytes = 0;
    if (!snappy::GetUncompressedLength(packed.data(), packed.size(), &bytes)
        || bytes > snappy_plain_bytes_max) {
      failed_ = true;
      return;
    }
    plain_.resize(bytes);
    failed_ = !snappy::RawUncompress(packed.data(), packed.size(), plain_.data());
  }
  if (!failed_)
    failed_ = masked_crc32c(plain_) != read_u32_le(body_);
  if (failed_)
    plain_.clear(); // nothing unverified leaves
}

size_t snappy_decoder::feed(std::string_view wire) {
  size_t taken = 0;
  while (!failed_ && plain().empty() && taken < wire.size()) {
    const std::string_view rest = wire.substr(taken);
    if (skip_ > 0) {
      const size_t part = std::min(skip_, rest.size());
      skip_ -= part;
      taken += part;
    } else if (step_ == step::header) {
      const size_t part = std::min(4 - head_.size(), rest.size());
      head_ += rest.substr(0, part);
      taken += part;
      if (head_.size() == 4 && !begin_chunk())
        failed_ = true;
    } else {
      const size_t part = std::min(body_bytes_ - body_.size(), rest.size());
      body_ += rest.substr(0, part);
      taken += part;
    }
    if (!failed_ && step_ == step::body && body_.size() == body_bytes_)
      end_chunk();
  }
  return taken;
}

void snappy_decoder::consume(size_t bytes) {
  used_ += bytes;
  if (used_ >= plain_.size()) {
    plain_.clear();
    used_ = 0;
  }
}

} // namespace harp::net::frp
