// Snappy's framing format as frp's use_compression speaks it (frp.md 5): chunks with masked
// CRC-32C. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace harp::net::frp {

inline constexpr size_t snappy_plain_bytes_max = 65'536; // of one chunk, by the format
inline constexpr size_t snappy_body_bytes_max
    = 4 + 76'490; // checksum and the worst case of a full chunk

/// CRC-32C (Castagnoli), rotated and offset as the framing format demands.
uint32_t masked_crc32c(std::string_view bytes);

/// Writes chunks. The stream identifier comes in front of the first.
class snappy_encoder {
public:
  /// Appends one chunk that holds `plain` (at most snappy_plain_bytes_max) to `out`.
  void append(std::string& out, std::string_view plain);

private:
  bool begun_ = false;
};

/// Reads chunks, cut anywhere. Holds at most one chunk, packed and unpacked.
class snappy_decoder {
public:
  /// Takes bytes until a chunk of data is complete or `wire` is used up; returns how many were
  /// taken. Takes nothing while plain() is not empty.
  size_t feed(std::string_view wire);
  /// What the last complete chunk unpacked to, minus what was consumed.
  [[nodiscard]] std::string_view plain() const { return std::string_view{plain_}.substr(used_); }
  void consume(size_t bytes);
  [[nodiscard]] bool failed() const { return failed_; }
  /// True when nothing is held back: an end here is clean.
  [[nodiscard]] bool between_chunks() const {
    return head_.empty() && skip_ == 0 && plain().empty();
  }

private:
  enum class step : uint8_t { header, body };
  bool begin_chunk();
  void end_chunk();

  step step_ = step::header;
  std::string head_; // up to 4 bytes
  std::string body_;
  size_t body_bytes_ = 0;
  size_t skip_ = 0; // bytes of a skippable chunk still to come
  std::string plain_;
  size_t used_ = 0;
  bool identified_ = false;
  bool failed_ = false;
};

} // namespace harp::net::frp
