// frp's own cryptography: the AES-128-CFB stream, its key, the login digest. Pure. It hides nothing
// when the token is empty (HaRP); TLS is what protects a tunnel.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct evp_cipher_ctx_st;

namespace harp::net::frp {

inline constexpr size_t cipher_key_bytes = 16;
inline constexpr size_t cipher_iv_bytes = 16;

using cipher_key = std::array<unsigned char, cipher_key_bytes>;
using cipher_iv = std::array<unsigned char, cipher_iv_bytes>;

/// PBKDF2-HMAC-SHA1 of the token with salt `frp` and 64 iterations (frp.md 3).
cipher_key derive_key(std::string_view token);

/// 16 unpredictable bytes from the kernel.
cipher_iv random_iv();

/// Lower-case hex of md5(token || decimal(timestamp)): what Login carries as privilege_key.
std::string privilege_key(std::string_view token, int64_t timestamp);

/// Equality in a time that depends on the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// One direction of AES-128-CFB: a byte stream, no padding, no integrity.
class cfb_stream {
public:
  enum class direction : uint8_t { encrypt, decrypt };
  cfb_stream(const cipher_key& key, const cipher_iv& iv, direction way);
  /// Works in place; call lengths need not match on the two sides. False only when OpenSSL itself
  /// failed.
  [[nodiscard]] bool apply(char* data, size_t bytes);

private:
  struct free_context {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  std::unique_ptr<evp_cipher_ctx_st, free_context> context_; // null: setting up failed
};

/// The deciphering end of a direction: takes the IV out of the first 16 bytes, however they are
/// cut.
class cfb_reader {
public:
  explicit cfb_reader(const cipher_key& key) : key_(key) {}
  /// Deciphers `bytes` at `data` in place; returns how many plain bytes are there now, moved to the
  /// front. -1: unusable.
  [[nodiscard]] ptrdiff_t read(char* data, size_t bytes);

private:
  cipher_key key_;
  cipher_iv iv_{};
  size_t iv_got_ = 0;
  std::unique_ptr<cfb_stream> cipher_;
};

/// The enciphering end: appends to a buffer, with a fresh IV in front of the first byte.
class cfb_writer {
public:
  explicit cfb_writer(const cipher_key& key) : key_(key) {}
  /// Enciphers out[from..] in place, inserting the IV before it when these are the first bytes.
  /// False: unusable.
  [[nodiscard]] bool seal(std::string& out, size_t from);

private:
  cipher_key key_;
  std::unique_ptr<cfb_stream> cipher_;
};

} // namespace harp::net::frp
