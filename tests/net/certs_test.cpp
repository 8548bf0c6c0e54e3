// The /certs/frp directory: made like HaRP's, repaired, left alone (appapi-harp.md 1.3).
#define CAF_SUITE certs
#include "net/certs.hpp"
#include "net/x509.hpp"

#include <caf/test/unit_test.hpp>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <sys/stat.h>

using namespace harp::net;
namespace fs = std::filesystem;

namespace {

/// A directory that goes with its test.
class scratch {
public:
  scratch() {
    std::string form = (fs::temp_directory_path() / "harp-certs-XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(form.data()) != nullptr);
    path_ = form;
  }
  ~scratch() { fs::remove_all(path_); }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  [[nodiscard]] std::string frp() const { return path_ + "/frp"; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return frp() + "/" + name; }

private:
  std::string path_;
};

std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream{path}.rdbuf();
  return out.str();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream{path} << bytes;
}

std::map<std::string, std::string> contents(const std::string& dir) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator{dir})
    out[entry.path().filename()] = read_file(entry.path());
  return out;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool openssl_verifies(const scratch& dir, const std::string& leaf, const std::string& purpose) {
  std::string command = "openssl verify -purpose " + purpose + " -CAfile " + (dir / "ca.crt") + " "
                        + (dir / leaf) + " >/dev/null 2>&1";
  return std::system(command.c_str()) == 0;
}

/// A complete directory, made once: keys take their time.
const std::map<std::string, std::string>& complete_files() {
  static const auto files = [] {
    scratch dir;
    CAF_REQUIRE_EQUAL(ensure_frp_certs(dir.frp(), 5000).error, "");
    return contents(dir.frp());
  }();
  return files;
}

/// A copy of the complete directory without some files.
void copy_without(const scratch& dir, const std::vector<std::string>& missing) {
  fs::create_directories(dir.frp());
  for (const auto& [name, bytes] : complete_files())
    if (std::find(missing.begin(), missing.end(), name) == missing.end()) {
      write_file(dir / name, bytes);
      fs::permissions(dir / name, name.ends_with(".key") ? fs::perms{0600} : fs::perms{0644});
    }
}

} // namespace

CAF_TEST(makes_what_openssl_accepts) {
  scratch dir;
  auto report = ensure_frp_certs(dir.frp(), 5000);
  CAF_REQUIRE_EQUAL(report.error, "");
  CAF_CHECK(report.warnings.empty());
  CAF_CHECK_EQUAL(contents(dir.frp()).size(), 7u);
  CAF_CHECK(openssl_verifies(dir, "server.crt", "sslserver"));
  CAF_CHECK(openssl_verifies(dir, "client.crt", "sslclient"));
  CAF_CHECK(openssl_verifies(dir, "ca.crt", "any"));
  for (const char* key : {"ca.key", "server.key", "client.key"}) {
    struct stat facts {};
    CAF_REQUIRE_EQUAL(::stat((dir / key).c_str(), &facts), 0);
    CAF_CHECK_EQUAL(facts.st_mode & 0777, 0600u);
    CAF_CHECK_EQUAL(EVP_PKEY_get_bits(load_key_pem(dir / key).get()), 2048);
  }
}

CAF_TEST(names_are_those_of_harp) {
  scratch dir;
  copy_without(dir, {});
  auto server = read_certificate(dir / "server.crt", dir / "ca.crt");
  auto client = read_certificate(dir / "client.crt", dir / "ca.crt");
  auto authority = read_certificate(dir / "ca.crt");
  CAF_CHECK_EQUAL(authority.subject, "CN=harp.nc");
  CAF_CHECK(authority.names.empty());
  CAF_CHECK_EQUAL(server.subject, "CN=harp.nc");
  CAF_CHECK_EQUAL(server.issuer, "CN=harp.nc");
  CAF_CHECK_EQUAL(server.names, std::vector<std::string>{"DNS:harp.nc"});
  CAF_CHECK_EQUAL(client.subject, "CN=harp.client.nc");
  CAF_CHECK_EQUAL(client.names, std::vector<std::string>{"DNS:harp.client.nc"});
  CAF_CHECK(server.issued_by_ca && client.issued_by_ca);
  CAF_CHECK(!authority.issued_by_ca);
  int64_t days = (server.not_after_unix_s - std::time(nullptr)) / 86'400;
  CAF_CHECK(days >= 4998 && days <= 5000);
  for (const char* name : {"ca.crt", "server.crt", "client.crt"}) {
    x509_ptr certificate = load_certificate_pem(dir / name);
    CAF_CHECK_EQUAL(X509_get_signature_nid(certificate.get()), NID_sha256WithRSAEncryption);
    CAF_CHECK(X509_get0_subject_key_id(certificate.get()) != nullptr);
    CAF_CHECK(X509_get0_authority_key_id(certificate.get()) != nullptr);
    bool leaf = std::string_view{name} != "ca.crt";
    CAF_CHECK_EQUAL(X509_check_ca(certificate.get()) == 1, !leaf);
    CAF_CHECK_EQUAL(X509_get_ext_by_NID(certificate.get(), NID_key_usage, -1), -1);
    CAF_CHECK_EQUAL(X509_get_ext_by_NID(certificate.get(), NID_ext_key_usage, -1), -1);
  }
}

CAF_TEST(a_complete_directory_is_not_touched) {
  scratch dir;
  copy_without(dir, {});
  auto report = ensure_frp_certs(dir.frp(), 30);
  CAF_CHECK_EQUAL(report.error, "");
  CAF_CHECK(report.created.empty());
  CAF_CHECK(report.warnings.empty());
  CAF_CHECK(contents(dir.frp()) == complete_files());
}

CAF_TEST(missing_leaf_files_come_back_under_the_same_ca) {
  const std::vector<std::vector<std::string>> cases = {{"server.crt"},
                                                       {"client.key"},
                                                       {"server.crt", "server.key"},
                                                       {"client.crt", "client.key", "ca.srl"}};
  for (const auto& missing : cases) {
    scratch dir;
    copy_without(dir, missing);
    auto report = ensure_frp_certs(dir.frp(), 5000);
    CAF_CHECK_EQUAL(report.error, "");
    CAF_CHECK(!report.created.empty());
    CAF_CHECK(openssl_verifies(dir, "server.crt", "sslserver"));
    CAF_CHECK(openssl_verifies(dir, "client.crt", "sslclient"));
    for (const auto& [name, bytes] : contents(dir.frp())) {
      bool same_leaf = name.substr(0, 6) == missing.front().substr(0, 6);
      if (!same_leaf && name != "ca.srl")
        CAF_CHECK(bytes == complete_files().at(name));
    }
    for (const char* leaf : {"server", "client"}) {
      std::string stem = leaf;
      CAF_CHECK_EQUAL(X509_check_private_key(load_certificate_pem(dir / (stem + ".crt")).get(),
                                             load_key_pem(dir / (stem + ".key")).get()),
                      1);
    }
  }
}

CAF_TEST(a_missing_certificate_keeps_its_key) {
  scratch dir;
  copy_without(dir, {"server.crt"});
  CAF_CHECK_EQUAL(ensure_frp_certs(dir.frp(), 5000).error, "");
  CAF_CHECK(read_file(dir / "server.key") == complete_files().at("server.key"));
}

CAF_TEST(goes_on_after_an_interruption_at_any_file) {
  const std::vector<std::string> order
      = {"ca.key", "ca.crt", "server.key", "server.crt", "client.key", "client.crt", "ca.srl"};
  for (size_t there = 1; there < order.size(); ++there) {
    scratch dir;
    copy_without(dir, {order.begin() + static_cast<std::ptrdiff_t>(there), order.end()});
    write_file(dir / ".server.crt.new", "half a certif");
    auto report = ensure_frp_certs(dir.frp(), 5000);
    CAF_CHECK_EQUAL(report.error, "");
    CAF_CHECK(read_file(dir / "ca.key") == complete_files().at("ca.key"));
    CAF_CHECK(openssl_verifies(dir, "server.crt", "sslserver"));
    CAF_CHECK(openssl_verifies(dir, "client.crt", "sslclient"));
  }
}

CAF_TEST(a_foreign_ca_stays) {
  scratch dir;
  fs::create_directories(dir.frp());
  key_ptr key = make_rsa_key();
  x509_ptr foreign = make_certificate(
      key.get(), {"Example Root", "", true, 900, random_serial_hex()}, nullptr, key.get());
  const std::string key_pem = to_pem(key.get()), pem = to_pem(foreign.get());
  write_file(dir / "ca.key", key_pem);
  write_file(dir / "ca.crt", pem);
  auto report = ensure_frp_certs(dir.frp(), 800);
  CAF_CHECK_EQUAL(report.error, "");
  CAF_REQUIRE_EQUAL(report.warnings.size(), 1u); // the foreign key file has mode 0644
  CAF_CHECK(contains(report.warnings.front(), "ca.key can be read by other users"));
  CAF_CHECK(read_file(dir / "ca.crt") == pem);
  CAF_CHECK(read_file(dir / "ca.key") == key_pem);
  CAF_CHECK_EQUAL(read_certificate(dir / "server.crt").issuer, "CN=Example Root");
  CAF_CHECK(openssl_verifies(dir, "server.crt", "sslserver"));
}

CAF_TEST(works_without_the_key_of_the_ca_while_nothing_is_missing) {
  scratch dir;
  copy_without(dir, {"ca.key", "ca.srl"});
  auto report = ensure_frp_certs(dir.frp(), 5000);
  CAF_CHECK_EQUAL(report.error, "");
  CAF_CHECK(report.created.empty());
  CAF_CHECK(report.warnings.empty());
}

CAF_TEST(says_what_it_cannot_repair) {
  scratch no_key, no_client, no_ca, garbage;
  copy_without(no_key, {"ca.key", "server.crt"});
  auto report = ensure_frp_certs(no_key.frp(), 5000);
  CAF_CHECK(contains(report.error, "server.crt"));
  CAF_CHECK(contains(report.error, "ca.key"));
  CAF_CHECK(report.created.empty());

  copy_without(no_client, {"ca.key", "client.key"});
  report = ensure_frp_certs(no_client.frp(), 5000);
  CAF_CHECK_EQUAL(report.error, "");
  CAF_REQUIRE_EQUAL(report.warnings.size(), 1u);
  CAF_CHECK(contains(report.warnings.front(), "client.key"));

  copy_without(no_ca, {"ca.crt"});
  auto before = contents(no_ca.frp());
  report = ensure_frp_certs(no_ca.frp(), 5000);
  CAF_CHECK(contains(report.error, "ca.crt is missing"));
  CAF_CHECK(contents(no_ca.frp()) == before);

  copy_without(garbage, {"server.crt", "ca.crt"});
  write_file(garbage / "ca.crt", "garbage");
  report = ensure_frp_certs(garbage.frp(), 5000);
  CAF_CHECK(contains(report.error, "do not belong together"));
  CAF_CHECK_EQUAL(read_file(garbage / "ca.crt"), "garbage");
  CAF_CHECK(!ensure_frp_certs(garbage.frp(), 0).error.empty());
  CAF_CHECK(!ensure_frp_certs("/dev/null/frp", 5000).error.empty());
}

CAF_TEST(never_uses_a_ca_with_another_key) {
  scratch dir;
  copy_without(dir, {"server.crt", "ca.key"});
  write_file(dir / "ca.key", complete_files().at("client.key"));
  auto report = ensure_frp_certs(dir.frp(), 5000);
  CAF_CHECK(contains(report.error, "do not belong together"));
  CAF_CHECK(!fs::exists(dir / "server.crt"));
}

CAF_TEST(warns_of_leafs_from_elsewhere_and_of_their_end) {
  scratch dir;
  copy_without(dir, {"client.crt"});
  key_ptr key = load_key_pem(dir / "client.key");
  x509_ptr alone = make_certificate(
      key.get(), {"harp.client.nc", "harp.client.nc", false, 29, random_serial_hex()}, nullptr,
      key.get());
  write_file(dir / "client.crt", to_pem(alone.get()));
  auto report = ensure_frp_certs(dir.frp(), 5000);
  CAF_CHECK_EQUAL(report.error, "");
  CAF_REQUIRE_EQUAL(report.warnings.size(), 2u);
  CAF_CHECK(contains(report.warnings[0], "client.crt expires in less than 30 days"));
  CAF_CHECK(contains(report.warnings[1], "client.crt was not issued by"));
}

CAF_TEST(warns_sixty_thirty_and_seven_days_ahead) {
  constexpr int64_t now = 1'800'000'000, day = 86'400;
  CAF_CHECK_EQUAL(expiry_warning("x", now + 60 * day + 1, now), "");
  CAF_CHECK(contains(expiry_warning("x", now + 60 * day, now), "less than 60 days"));
  CAF_CHECK(contains(expiry_warning("x", now + 30 * day + 1, now), "less than 60 days"));
  CAF_CHECK(contains(expiry_warning("x", now + 30 * day, now), "less than 30 days"));
  CAF_CHECK(contains(expiry_warning("x", now + 7 * day, now), "less than 7 days"));
  CAF_CHECK(contains(expiry_warning("x", now, now), "has expired"));
}

CAF_TEST(names_the_file_that_holds_no_certificate) {
  CAF_CHECK(contains(read_certificate("/nonexistent/x.crt").error, "/nonexistent/x.crt"));
  CAF_CHECK(contains(read_certificate("/dev/null").error, "/dev/null"));
}
