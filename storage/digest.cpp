// BLAKE2b through libsodium, SHA-256 through OpenSSL.
#include "storage/digest.hpp"

#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace harp {

namespace {

static_assert(personal_bytes_max == crypto_generichash_blake2b_PERSONALBYTES);
static_assert(sizeof(crypto_generichash_blake2b_state) == 384);
static_assert(digest256::size == crypto_generichash_blake2b_BYTES);

/// libsodium picks its fastest code at initialisation; calling again is cheap and safe from any thread.
void need_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready)
    std::abort(); // no random source and no hashes: nothing of the program can work
}

std::array<uint8_t, personal_bytes_max> padded(std::string_view personal) {
  assert(personal.size() <= personal_bytes_max);
  std::array<uint8_t, personal_bytes_max> out{};
  std::memcpy(out.data(), personal.data(), std::min(personal.size(), out.size()));
  return out;
}

const uint8_t* data_of(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

crypto_generichash_blake2b_state* state_of(std::array<uint8_t, 384>& raw) {
  return reinterpret_cast<crypto_generichash_blake2b_state*>(raw.data());
}

struct digest_context_deleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

EVP_MD_CTX* thread_context() {
  thread_local const std::unique_ptr<EVP_MD_CTX, digest_context_deleter> context{EVP_MD_CTX_new()};
  if (!context)
    std::abort();
  return context.get();
}

const EVP_MD* sha256_method() {
  // Fetched once: EVP_sha256() would look the provider's method up in every init.
  static const EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (method == nullptr)
    std::abort();
  return method;
}

} // namespace

digest256 blake2b(std::string_view personal, std::string_view bytes) {
  need_sodium();
  digest256 out;
  auto prefix = padded(personal);
  crypto_generichash_blake2b_salt_personal(out.bytes.data(), digest256::size, data_of(bytes),
                                           bytes.size(), nullptr, 0, nullptr, prefix.data());
  return out;
}

blake2b_hasher::blake2b_hasher(std::string_view personal) {
  need_sodium();
  auto prefix = padded(personal);
  crypto_generichash_blake2b_init_salt_personal(state_of(state_), nullptr, 0, digest256::size,
                                                nullptr, prefix.data());
}

blake2b_hasher& blake2b_hasher::update(std::string_view bytes) {
  crypto_generichash_blake2b_update(state_of(state_), data_of(bytes), bytes.size());
  return *this;
}

digest256 blake2b_hasher::finish() {
  digest256 out;
  crypto_generichash_blake2b_final(state_of(state_), out.bytes.data(), digest256::size);
  return out;
}

std::array<uint8_t, 32> sha256(std::string_view bytes) {
  std::array<uint8_t, 32> out{};
  auto* context = thread_context();
  if (EVP_DigestInit_ex2(context, sha256_method(), nullptr) != 1
      || EVP_DigestUpdate(context, bytes.data(), bytes.size()) != 1
      || EVP_DigestFinal_ex(context, out.data(), nullptr) != 1)
    std::abort(); // a made-up digest would be worse than stopping
  return out;
}

chunk_id chunk_id_of(std::string_view bytes) {
  return {sha256(bytes)};
}

content_id content_id_of(std::string_view root_record) {
  return {sha256(root_record)};
}

} // namespace harp
