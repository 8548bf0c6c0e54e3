// Check 3 of frp.md 11: whose certificate opens the tunnel port, and whose does not.
#define CAF_SUITE e2e_tunnel_certificates
#include "tests/e2e/tunnel_site.hpp"

#include <filesystem>

using namespace harp::e2e;

namespace {

/// A client's certificates: `ca` signs, for `days`; ca.crt is what the client trusts.
void make_client_files(const std::string& into, const std::string& ca, const std::string& trusted,
                       int days) {
  std::filesystem::create_directories(into);
  write_file(into + "/names", "subjectAltName=DNS:harp.client.nc\n");
  const std::string request = "openssl req -newkey rsa:2048 -nodes -subj /CN=harp.client.nc"
                              " -keyout client.key -out client.csr";
  const std::string sign = "openssl x509 -req -in client.csr -extfile names -set_serial 77"
                           " -out client.crt -CA "
                           + ca + ".crt -CAkey " + ca + ".key -days " + std::to_string(days);
  const std::string script
      = "cd " + into + " && " + request + " && " + sign + " && cp " + trusted + " ca.crt";
  CAF_REQUIRE_EQUAL(run({"sh", "-c", script}).status, 0);
}

struct fixture : tunnel_fixture {
  temp_dir made;

  /// Another authority whose name is the same as ours.
  void make_foreign_ca() {
    CAF_REQUIRE_EQUAL(
        run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj",
             "/CN=harp.nc", "-keyout", made / "other.key", "-out", made / "other.crt"})
            .status,
        0);
  }
  /// The node refuses the connection, and its log says why in these words.
  void refuses(const tunnel_program& program, tunnel_settings settings, const std::string& why) {
    CAF_MESSAGE(program.name << ": " << why);
    settings.exit_on_failed_login = true;
    const size_t before = node_->log().size();
    double logins = node_->metric("harp_tunnel_logins_total{result=\"ok\"}");
    tunnel_client client{program, node_->frp(), settings};
    bool told = until(8s * patience(), [&] {
      std::string log = node_->log().substr(before);
      size_t refusal = log.find("HARP-T004");
      return refusal != std::string::npos && log.find(why, refusal) != std::string::npos;
    });
    CAF_CHECK(told);
    CAF_CHECK_EQUAL(through("/public").status, 503);
    CAF_CHECK_EQUAL(node_->metric("harp_tunnel_logins_total{result=\"ok\"}"), logins);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(tunnel_certificates, fixture)

CAF_TEST(check_03_tls_is_demanded) {
  begin(true);
  for (const auto& program : every_tunnel_program()) {
    refuses(program, lawful(), "TLS is required");
    auto bare = lawful(true);
    bare.send_certificate = false;
    if (program.what != tunnel_program::kind::expose) // it always sends one
      refuses(program, bare, "sent no certificate");
  }
  tunnel_client good{every_tunnel_program().back(), node_->frp(), lawful(true)};
  CAF_CHECK(reachable()); // unharmed
}

CAF_TEST(check_03_only_a_valid_certificate_of_the_own_authority_opens) {
  begin(true);
  const std::string own = node_->certs() + "/frp/ca";
  make_foreign_ca();
  make_client_files(made / "fresh", own, own + ".crt", 2);
  make_client_files(made / "expired", own, own + ".crt", -1);
  make_client_files(made / "foreign", made / "other", own + ".crt", 2);
  CAF_REQUIRE_NOT_EQUAL(
      run({"openssl", "x509", "-in", made / "expired/client.crt", "-checkend", "0"}).status, 0);
  for (const auto& program : every_tunnel_program()) {
    auto wrong = lawful(true);
    wrong.certs = made / "expired";
    refuses(program, wrong, "certificate has expired");
    wrong.certs = made / "foreign";
    refuses(program, wrong, "unable to get local issuer certificate");
    auto right = lawful(true); // made alike, so that the two above fail for their reason
    right.certs = made / "fresh";
    tunnel_client client{program, node_->frp(), right};
    CAF_CHECK(reachable());
    client.program().stop();
    CAF_CHECK(unreachable());
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
