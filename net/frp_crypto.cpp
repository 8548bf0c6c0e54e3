// frp's own cryptography by OpenSSL.
#include "net/frp_crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/random.h>

namespace harp::net::frp {

namespace {

constexpr int kdf_iterations = 64;
constexpr unsigned char kdf_salt[] = {'f', 'r', 'p'};

unsigned char* bytes_of(char* data) {
  return static_cast<unsigned char*>(static_cast<void*>(data));
}

} // namespace

cipher_key derive_key(std::string_view token) {
  cipher_key out{};
  const char* password = token.empty() ? "" : token.data();
  PKCS5_PBKDF2_HMAC_SHA1(password, static_cast<int>(token.size()), kdf_salt, sizeof kdf_salt,
                         kdf_iterations, cipher_key_bytes, out.data());
  return out;
}

cipher_iv random_iv() {
  cipher_iv out{};
  if (::getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size()))
    std::abort(); // cannot happen for so few bytes; going on with a known IV would be worse
  return out;
}

std::string privilege_key(std::string_view token, int64_t timestamp) {
  const std::string input = std::string{token} + std::to_string(timestamp);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(input.data(), input.size(), digest.data(), &length, EVP_md5(), nullptr) != 1)
    return {};
  static constexpr char hex[] = "0123456789abcdef";
  std::string out;
  for (unsigned i = 0; i < length; ++i) {
    out += hex[digest[i] >> 4];
    out += hex[digest[i] & 15];
  }
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void cfb_stream::free_context::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

cfb_stream::cfb_stream(const cipher_key& key, const cipher_iv& iv, direction way)
    : context_(EVP_CIPHER_CTX_new()) {
  const int encrypt = way == direction::encrypt ? 1 : 0;
  if (context_
      && EVP_CipherInit_ex(context_.get(), EVP_aes_128_cfb128(), nullptr, key.data(), iv.data(),
                           encrypt)
             != 1)
    context_.reset();
}

bool cfb_stream::apply(char* data, size_t bytes) {
  int done = 0;
  return context_
         && EVP_CipherUpdate(context_.get(), bytes_of(data), &done, bytes_of(data),
                             static_cast<int>(bytes))
                == 1;
}

ptrdiff_t cfb_reader::read(char* data, size_t bytes) {
  size_t skip = 0;
  if (!cipher_) {
    skip = std::min(bytes, cipher_iv_bytes - iv_got_);
    std::memcpy(iv_.data() + iv_got_, data, skip);
    iv_got_ += skip;
    if (iv_got_ < cipher_iv_bytes)
      return 0;
    cipher_ = std::make_unique<cfb_stream>(key_, iv_, cfb_stream::direction::decrypt);
  }
  const size_t rest = bytes - skip;
  if (rest > 0) {
    std::memmove(data, data + skip, rest);
    if (!cipher_->apply(data, rest))
      return -1;
  }
  return static_cast<ptrdiff_t>(rest);
}

bool cfb_writer::seal(std::string& out, size_t from) {
  if (!cipher_) {
    const cipher_iv iv = random_iv();
    cipher_ = std::make_unique<cfb_stream>(key_, iv, cfb_stream::direction::encrypt);
    out.insert(out.begin() + static_cast<ptrdiff_t>(from), iv.begin(), iv.end());
    from += cipher_iv_bytes;
  }
  return cipher_->apply(out.data() + from, out.size() - from);
}

} // namespace harp::net::frp
