// Bundles as bytes (storage.md 3.2): encode and sign, decode with every limit, verify, hash. No I/O, no clock.
#pragma once

#include "storage/byte_codec.hpp"
#include "storage/op.hpp"
#include "storage/signing.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace harp {

inline constexpr size_t bundle_context_max = 65'536;   // replicas in one context delta
inline constexpr size_t bundle_plain_bytes_max = 1024; // operations above are compressed
inline constexpr size_t acting_user_bytes_max = 64;
inline constexpr size_t policy_values_max = 64;
inline constexpr size_t policy_name_bytes_max = 64;
inline constexpr size_t checkpoint_replicas_max = 65'536;

/// A bundle together with the bytes its author signed. `raw` is stored and forwarded unchanged.
struct sealed_bundle {
  bundle content;
  std::string raw; // signature included
  digest256 hash;  // of raw without the signature; what the author's next bundle names as previous

  [[nodiscard]] signature signed_with() const;
};

/// Bundles are decoded once and then only read, by several owners.
using bundle_ptr = std::shared_ptr<const sealed_bundle>;

/// Encodes and signs. Fails with a text when the bundle breaks a limit or a rule that decode_bundle checks, so what
/// leaves here is accepted by every decoder.
std::variant<sealed_bundle, std::string> seal_bundle(bundle content, const signing_key& key);

/// Decodes bytes of anybody: all limits before any allocation by a count, lawful names, no operation that contradicts
/// itself. Checks nothing that needs a roster, a key or other bundles. Fails with a text for the log.
std::variant<sealed_bundle, std::string> decode_bundle(std::string_view raw);

/// True when `by` signed it.
bool verify_bundle(const sealed_bundle& sealed, const device_key& by);

/// The space a raw bundle claims, for routing; zero when the bytes are too short.
space_id space_of_bundle(std::string_view raw);
/// The author and number a raw bundle claims; zero when the bytes are too short.
dot dot_of_bundle(std::string_view raw);

} // namespace harp
