// The credential an ExApp gets instead of the shared key: good for one frp proxy name on one port
// (FS2, quality.md S4).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t tunnel_credential_bytes_max = 256;
inline constexpr size_t credential_key_bytes = 32;

/// What a valid credential allows.
struct tunnel_grant {
  std::string app_id; // as written when it was made; the proxy's name must equal it
  uint16_t port = 0;
};

/// Makes and verifies `hx1.APPID.PORT.MAC`. MAC = BLAKE2b-256 over the text before it, in base64url
/// without padding, under a key stretched from the shared key: who holds a credential may guess at
/// a weak shared key, but only slowly. The same shared key always gives the same credentials.
/// Immutable, usable from any thread.
class tunnel_credentials {
public:
  /// Takes some 20 ms and 16 MiB, once per process. Throws std::bad_alloc without that memory. An
  /// empty key makes an object that neither makes nor verifies anything.
  explicit tunnel_credentials(std::string_view shared_key);
  ~tunnel_credentials();
  tunnel_credentials(const tunnel_credentials&) = delete;
  tunnel_credentials& operator=(const tunnel_credentials&) = delete;

  /// Nothing when the id is none or the port is not an ExApp's (23000-23999).
  [[nodiscard]] std::optional<std::string> make(std::string_view app_id, uint16_t port) const;
  /// Nothing when the text is not exactly what make() gives. Constant time in the MAC.
  [[nodiscard]] std::optional<tunnel_grant> verify(std::string_view credential) const;

private:
  std::array<unsigned char, credential_key_bytes> key_{};
  bool usable_ = false;
};

/// Compares two secrets in time that depends on their lengths only. An empty one equals nothing.
bool same_secret(std::string_view given, std::string_view expected);

} // namespace harp
