// Keys and certificates by OpenSSL.
#include "net/x509.hpp"

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>

namespace harp::net {

namespace {

constexpr unsigned rsa_bits = 2048;
constexpr long seconds_per_day = 24 * 60 * 60;

struct bio_deleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using bio_ptr = std::unique_ptr<BIO, bio_deleter>;

int no_passphrase(char*, int, int, void*) {
  return 0;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long size = BIO_ctrl(bio, BIO_CTRL_INFO, 0, static_cast<void*>(&data));
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string{};
}

bool set_serial(X509* certificate, const std::string& hex) {
  BIGNUM* number = nullptr;
  if (BN_hex2bn(&number, hex.c_str()) == 0)
    return false;
  bool set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr)
    return false;
  bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool add_extensions(X509* certificate, X509* issuer, const certificate_plan& plan) {
  // The order matters: the key id of the issuer is copied from its own extension.
  return add_extension(certificate, issuer, NID_subject_key_identifier, "hash")
         && add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always")
         && (!plan.authority
             || add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE"))
         && (plan.dns_name.empty()
             || add_extension(certificate, issuer, NID_subject_alt_name, "DNS:" + plan.dns_name));
}

std::string ip_text(const ASN1_OCTET_STRING* address) {
  const unsigned char* bytes = ASN1_STRING_get0_data(address);
  int length = ASN1_STRING_length(address);
  std::string out;
  std::array<char, 8> piece{};
  for (int i = 0; length == 4 && i < 4; ++i)
    out += (i == 0 ? "" : ".") + std::to_string(bytes[i]);
  for (int i = 0; length == 16 && i < 16; i += 2) {
    std::snprintf(piece.data(), piece.size(), "%s%x", i == 0 ? "" : ":",
                  bytes[i] << 8 | bytes[i + 1]);
    out += piece.data();
  }
  return out;
}

} // namespace

key_ptr make_rsa_key() {
  return key_ptr{EVP_RSA_gen(rsa_bits)};
}

std::string random_serial_hex() {
  std::array<unsigned char, 20> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return {};
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40); // positive and of full length
  std::string out;
  for (unsigned char byte : bytes) {
    out += "0123456789ABCDEF"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 0xf];
  }
  return out;
}

x509_ptr make_certificate(EVP_PKEY* key, const certificate_plan& plan, X509* issuer,
                          EVP_PKEY* issuer_key) {
  x509_ptr out{X509_new()};
  if (!out || key == nullptr || issuer_key == nullptr)
    return nullptr;
  X509_NAME* subject = X509_get_subject_name(out.get());
  const auto* common_name = reinterpret_cast<const unsigned char*>(plan.common_name.c_str());
  X509* signer = issuer != nullptr ? issuer : out.get();
  bool made = X509_set_version(out.get(), X509_VERSION_3) == 1
              && set_serial(out.get(), plan.serial_hex)
              && X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, common_name, -1,
                                            -1, 0)
                     == 1
              && X509_set_issuer_name(out.get(), X509_get_subject_name(signer)) == 1
              && X509_gmtime_adj(X509_getm_notBefore(out.get()), 0) != nullptr
              && X509_gmtime_adj(X509_getm_notAfter(out.get()),
                                 static_cast<long>(plan.days) * seconds_per_day)
                     != nullptr
              && X509_set_pubkey(out.get(), key) == 1 && add_extensions(out.get(), signer, plan)
              && X509_sign(out.get(), issuer_key, EVP_sha256()) != 0;
  return made ? std::move(out) : nullptr;
}

x509_ptr load_certificate_pem(const std::string& file) {
  bio_ptr bio{BIO_new_file(file.c_str(), "r")};
  return x509_ptr{bio ? PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr) : nullptr};
}

key_ptr load_key_pem(const std::string& file) {
  bio_ptr bio{BIO_new_file(file.c_str(), "r")};
  return key_ptr{bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)
                     : nullptr};
}

std::string to_pem(X509* certificate) {
  bio_ptr bio{BIO_new(BIO_s_mem())};
  return PEM_write_bio_X509(bio.get(), certificate) == 1 ? text_of(bio.get()) : std::string{};
}

std::string to_pem(EVP_PKEY* key) {
  bio_ptr bio{BIO_new(BIO_s_mem())};
  bool written
      = PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1;
  return written ? text_of(bio.get()) : std::string{};
}

std::string name_text(const X509_NAME* name) {
  bio_ptr bio{BIO_new(BIO_s_mem())};
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return text_of(bio.get());
}

std::vector<std::string> alternative_names(const X509* certificate) {
  std::vector<std::string> out;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS)
      out.push_back(
          "DNS:"
          + std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                        static_cast<size_t>(ASN1_STRING_length(name->d.dNSName))));
    else if (name->type == GEN_IPADD)
      out.push_back("IP:" + ip_text(name->d.iPAddress));
  }
  GENERAL_NAMES_free(names);
  return out;
}

} // namespace harp::net
