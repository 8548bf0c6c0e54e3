// Leafs near their end are issued anew under the same CA and key: quality.md R7, appapi-harp.md HaRP 107.
#define CAF_SUITE certs_renewal
#include "net/certs.hpp"
#include "net/x509.hpp"

#include <caf/test/unit_test.hpp>
#include <openssl/x509.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace harp::net;
namespace fs = std::filesystem;

namespace {

struct place {
  fs::path dir;
  place() {
    std::string pattern = (fs::temp_directory_path() / "harp-certs-XXXXXX").string();
    dir = mkdtemp(pattern.data());
    CAF_REQUIRE(ensure_frp_certs(dir.string(), 5000).error.empty());
  }
  ~place() { fs::remove_all(dir); }
  std::string file(const std::string& name) const { return (dir / name).string(); }
  std::string text(const std::string& name) const {
    std::ifstream in{file(name), std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  /// Puts a certificate for the same key in the place of `stem`.crt that began `life - left` days ago.
  void age(const std::string& stem, int life_days, int left_days) const {
    auto key = load_key_pem(file(stem + ".key"));
    auto ca_key = load_key_pem(file("ca.key"));
    auto ca = load_certificate_pem(file("ca.crt"));
    certificate_plan plan{stem == "ca" ? "harp.nc" : "aged", stem == "ca" ? "" : "aged",
                          stem == "ca", 1, random_serial_hex()};
    auto made = make_certificate(key.get(), plan, stem == "ca" ? nullptr : ca.get(), ca_key.get());
    X509_gmtime_adj(X509_getm_notBefore(made.get()), long{left_days - life_days} * 86'400);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), long{left_days} * 86'400 + 3'600);
    X509_sign(made.get(), ca_key.get(), EVP_sha256());
    std::ofstream{file(stem + ".crt"), std::ios::binary | std::ios::trunc} << to_pem(made.get());
  }
  certs_report again() const { return ensure_frp_certs(dir.string(), 5000); }
};

} // namespace

CAF_TEST(a_leaf_near_its_end_is_issued_anew_for_its_key) {
  place here;
  here.age("client", 365, 29);
  auto key = here.text("client.key");
  auto old = here.text("client.crt");
  auto server = here.text("server.crt");
  auto report = here.again();
  CAF_CHECK_EQUAL(report.error, "");
  CAF_CHECK(here.text("client.crt") != old);
  CAF_CHECK_EQUAL(here.text("client.key"), key); // the old certificate goes on serving beside it
  CAF_CHECK_EQUAL(here.text("server.crt"), server);
  auto facts = read_certificate(here.file("client.crt"), here.file("ca.crt"));
  CAF_CHECK(facts.issued_by_ca);
  CAF_CHECK_EQUAL(facts.names, std::vector<std::string>{"DNS:harp.client.nc"});
  CAF_CHECK(facts.not_after_unix_s > std::time(nullptr) + int64_t{4000} * 86'400);
  auto third = here.text("client.crt");
  CAF_CHECK(here.again().created.empty()); // once
  CAF_CHECK_EQUAL(here.text("client.crt"), third);
}

CAF_TEST(a_leaf_with_time_left_stays) {
  place here;
  here.age("client", 365, 31);
  here.age("server", 30, 11); // short-lived by choice: a third of its life is the measure
  auto client = here.text("client.crt");
  auto server = here.text("server.crt");
  CAF_CHECK(here.again().created.empty());
  CAF_CHECK_EQUAL(here.text("client.crt"), client);
  CAF_CHECK_EQUAL(here.text("server.crt"), server);
  here.age("server", 30, 8);
  CAF_CHECK(!here.again().created.empty());
}

CAF_TEST(an_expired_leaf_is_issued_anew) {
  place here;
  here.age("server", 365, -3);
  CAF_CHECK(!here.again().created.empty());
  CAF_CHECK(read_certificate(here.file("server.crt")).not_after_unix_s > std::time(nullptr));
}

CAF_TEST(without_the_authoritys_key_everything_stays) {
  place here;
  here.age("client", 365, 5);
  fs::remove(here.file("ca.key"));
  auto old = here.text("client.crt");
  auto report = here.again();
  CAF_CHECK_EQUAL(report.error, "");
  CAF_CHECK(report.created.empty());
  CAF_CHECK_EQUAL(here.text("client.crt"), old);
  bool said = false;
  for (const auto& warning : report.warnings)
    said = said || warning.find("cannot be issued anew") != std::string::npos;
  CAF_CHECK(said);
}

CAF_TEST(an_authority_near_its_end_renews_nobody) {
  place here;
  here.age("client", 365, 5);
  here.age("ca", 365, 20);
  auto ca = here.text("ca.crt");
  auto report = here.again();
  CAF_CHECK_EQUAL(report.error, "");
  CAF_CHECK(report.created.empty());
  CAF_CHECK_EQUAL(here.text("ca.crt"), ca);
}
