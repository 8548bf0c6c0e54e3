// Keys and the certificates that follow from them.
#define CAF_SUITE node_identity
#include "net/node_identity.hpp"

#include <caf/test/unit_test.hpp>
#include <openssl/x509v3.h>

using namespace harp;
using namespace harp::net;

namespace {

std::array<uint8_t, key_seed_bytes> seed_of(std::string_view hex) {
  std::array<uint8_t, key_seed_bytes> out{};
  CAF_REQUIRE(from_hex(hex, out.data(), out.size()));
  return out;
}

// RFC 8032 7.1, test 1.
constexpr std::string_view known_seed
    = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
constexpr std::string_view known_key
    = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

} // namespace

CAF_TEST(key_is_the_one_of_rfc_8032) {
  auto made = node_identity::from_seed(seed_of(known_seed));
  CAF_REQUIRE(made != nullptr);
  CAF_CHECK_EQUAL(made->key().to_string(), known_key);
  CAF_CHECK_EQUAL(fingerprint_text(made->key()), "d75a-9801-82b1-0ab7");
}

CAF_TEST(certificate_follows_from_the_seed_and_names_its_key) {
  auto one = node_identity::from_seed(seed_of(known_seed));
  auto two = node_identity::from_seed(seed_of(known_seed));
  CAF_CHECK_EQUAL(to_pem(one->certificate()), to_pem(two->certificate()));
  auto key = key_of_certificate(one->certificate());
  CAF_REQUIRE(key.has_value());
  CAF_CHECK(*key == one->key());
}

CAF_TEST(foreign_and_forged_certificates_have_no_key) {
  CAF_CHECK(!key_of_certificate(nullptr));
  auto rsa_key = make_rsa_key();
  auto rsa = make_certificate(rsa_key.get(), {"x", "", false, 9, random_serial_hex()}, nullptr,
                              rsa_key.get());
  CAF_REQUIRE(rsa != nullptr);
  CAF_CHECK(!key_of_certificate(rsa.get()));
  // Somebody else's key in a certificate of one's own making.
  auto victim = node_identity::from_seed(seed_of(known_seed));
  std::array<uint8_t, key_seed_bytes> other{};
  auto thief = node_identity::from_seed(other);
  CAF_REQUIRE(victim != nullptr && thief != nullptr);
  x509_ptr forged{X509_dup(thief->certificate())};
  CAF_REQUIRE(X509_set_pubkey(forged.get(), victim->private_key()) == 1);
  CAF_REQUIRE(X509_sign(forged.get(), thief->private_key(), nullptr) > 0);
  CAF_CHECK(!key_of_certificate(forged.get()));
}
