// Ed25519 keys of devices and governors: make, keep in a file, sign, verify (storage.md 2, 12).
#pragma once

#include "storage/types.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace harp {

using signature = opaque_id<64, struct signature_tag>;

/// What a signature is for, the personal prefix of the digest that is signed. So no signature of one kind can be shown as
/// another, although one device key signs all of them.
namespace sign_as {
inline constexpr std::string_view bundle = "harp.bundle";
inline constexpr std::string_view roster = "harp.roster";
inline constexpr std::string_view beat = "harp.beat";
inline constexpr std::string_view node = "harp.node";
inline constexpr std::string_view rotate = "harp.rotate";
} // namespace sign_as

/// A key pair. Moves, never copies; its secret is wiped when it dies and is in no message of any function.
class signing_key {
public:
  /// A new random key.
  static signing_key make();
  /// From the 32 secret bytes that seed() gives.
  static signing_key from_seed(std::string_view seed);
  /// Reads a file that save() wrote. Fails with a text when it is missing, damaged, or readable by others.
  static std::variant<signing_key, std::string> load(const std::string& path);

  signing_key(signing_key&& other) noexcept;
  signing_key& operator=(signing_key&& other) noexcept;
  signing_key(const signing_key&) = delete;
  signing_key& operator=(const signing_key&) = delete;
  ~signing_key();

  /// Writes a new file of mode 0600: whole or not at all, durable when this returns, never over an existing file.
  /// Returns nothing when done, else what went wrong.
  [[nodiscard]] std::optional<std::string> save(const std::string& path) const;

  [[nodiscard]] const device_key& public_key() const { return public_; }
  /// Ed25519 over blake2b(purpose, bytes).
  [[nodiscard]] signature sign(std::string_view purpose, std::string_view bytes) const;
  /// The same where the digest is known already.
  [[nodiscard]] signature sign(const digest256& digest) const;
  /// The secret itself, 32 bytes: only for the node's own TLS certificate. Dies with the key.
  [[nodiscard]] std::string_view seed() const;

private:
  signing_key() = default;
  void derive();

  std::array<uint8_t, 64> secret_{}; // libsodium's form: seed, then the public key
  device_key public_;
};

/// True when `by` signed these bytes for this purpose. About 70 us.
bool verify_signature(const device_key& by, std::string_view purpose, std::string_view bytes,
                      const signature& sig);
bool verify_signature(const device_key& by, const digest256& digest, const signature& sig);

} // namespace harp
