// Hashes of the storage plane (storage.md 2): BLAKE2b-256 for small things, SHA-256 for content. No I/O.
#pragma once

#include "storage/types.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace harp {

/// Longest personal prefix: BLAKE2b's own parameter, 16 bytes, shorter ones padded with zeros.
inline constexpr size_t personal_bytes_max = 16;

/// BLAKE2b-256 of `bytes` under `personal`, the quoted string of storage.md ("harp.dir"), at most personal_bytes_max
/// long. Two uses never share a personal prefix, so a digest of one kind cannot stand for another.
digest256 blake2b(std::string_view personal, std::string_view bytes);

/// The same over pieces: update as often as needed, then finish once.
class blake2b_hasher {
public:
  explicit blake2b_hasher(std::string_view personal);
  blake2b_hasher& update(std::string_view bytes);
  /// Ends the hash; the hasher must not be used afterwards.
  digest256 finish();

private:
  // libsodium's state: 384 bytes, aligned to 64; kept opaque so that its header stays out of ours
  alignas(64) std::array<uint8_t, 384> state_;
};

/// SHA-256 through OpenSSL's EVP with one context per thread, so a call allocates nothing.
std::array<uint8_t, 32> sha256(std::string_view bytes);

/// Name of a chunk, or of a manifest segment: SHA-256 of its bytes.
chunk_id chunk_id_of(std::string_view bytes);
/// Name of a content: SHA-256 of its root record (storage.md 6.2).
content_id content_id_of(std::string_view root_record);

} // namespace harp
