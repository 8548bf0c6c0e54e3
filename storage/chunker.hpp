// Where content is cut: FastCDC with the fixed parameters of storage.md 6.1. Pure; the same bytes are cut alike everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harp {

inline constexpr uint32_t cut_bytes_min = 256u << 10;
inline constexpr uint32_t cut_bytes_normal = 1u << 20;
inline constexpr uint32_t cut_bytes_max = 4u << 20;

/// 256 x u64 from ChaCha20 keyed by BLAKE2b("harp gear 1"), little-endian: public, the same in every Harp.
const std::array<uint64_t, 256>& gear_table();

/// Length of the first chunk of `data`. When `data` is all that is left of the content this is final; when more follows it
/// is final only if `data` has at least cut_bytes_max bytes. 0 for no data.
size_t first_cut(std::string_view data);

/// Lengths of all chunks of a whole content.
std::vector<uint32_t> cut_whole(std::string_view content);

/// Cuts content that comes in pieces, with one buffer of at most 2 x cut_bytes_max. Chunks are handed out as views that
/// die when `visit` returns.
class chunk_stream {
public:
  explicit chunk_stream(std::function<void(std::string_view)> visit) : visit_(std::move(visit)) {}
  void feed(std::string_view piece);
  /// The rest. An empty content has no chunk.
  void finish();

private:
  void drain(bool end);

  std::function<void(std::string_view)> visit_;
  std::string buffer_;
};

} // namespace harp
