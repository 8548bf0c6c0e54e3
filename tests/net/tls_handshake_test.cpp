// TLS handshakes: who is let in, and what is said to who is not.
#define CAF_SUITE tls_handshake
#include "tests/net/tls_world.hpp"

using namespace tls_world;

CAF_TEST(both_prove_themselves_and_talk) {
  connection both;
  both.handshake();
  CAF_REQUIRE_EQUAL(both.server->error, "");
  CAF_REQUIRE_EQUAL(both.client->error, "");
  std::string heard;
  CAF_CHECK(drink(both.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(both.s().try_write("head ", "body").bytes, 9u);
  CAF_CHECK(drink(both.c(), heard) == io_status::again);
  CAF_CHECK_EQUAL(heard, "head body");
  CAF_CHECK_EQUAL(both.c().try_write("answer").bytes, 6u);
  heard.clear();
  CAF_CHECK(drink(both.s(), heard, 2) == io_status::again);
  CAF_CHECK_EQUAL(heard, "answer");
  CAF_CHECK(both.s().half_closes());
}

CAF_TEST(a_client_without_certificate_is_refused) {
  connection both;
  tls_settings bare;
  bare.ca_file = side("client").ca_file;
  both.handshake(side("server"), bare);
  CAF_CHECK(contains(both.server->error, "the peer sent no certificate"));
  CAF_CHECK(both.server->stream == nullptr);
  CAF_REQUIRE(both.client->stream != nullptr); // in TLS 1.3 the client hears of it when it reads
  std::string heard;
  CAF_CHECK(drink(both.c(), heard) == io_status::failed);
  CAF_CHECK(contains(both.c().failure(), "the peer refused: certificate required"));
}

CAF_TEST(a_client_of_another_ca_is_refused) {
  connection both;
  both.handshake(side("server"), side("client", "theirs"));
  CAF_CHECK(contains(both.server->error, "the peer's certificate is refused"));
}

CAF_TEST(an_expired_client_is_refused_in_words) {
  connection both;
  auto expired = side("client");
  expired.certificate_file = certs().dir + "/expired.pem";
  expired.key_file.clear();
  both.handshake(side("server"), expired);
  CAF_CHECK(contains(both.server->error, "certificate has expired"));
}

CAF_TEST(a_client_checks_name_and_issuer) {
  auto error_for = [](const tls_settings& server, const std::string& name) {
    connection both;
    both.handshake(server, side("client"), name);
    CAF_CHECK_EQUAL(both.client->error.empty(), both.client->stream != nullptr);
    return both.client->error;
  };
  CAF_CHECK_EQUAL(error_for(side("server"), "HARP.nc"), "");
  CAF_CHECK(contains(error_for(side("server"), "other.nc"), "hostname mismatch"));
  CAF_CHECK(contains(error_for(side("server"), "127.0.0.1"), "IP address mismatch"));
  CAF_CHECK(contains(error_for(side("server"), "[::1]"), "IP address mismatch"));
  CAF_CHECK(contains(error_for(side("server"), ""), "no name"));
  CAF_CHECK(!error_for(side("server", "theirs"), "harp.nc").empty());
  auto nameless = side("server");
  nameless.certificate_file = certs().dir + "/nameless.pem";
  nameless.key_file.clear();
  CAF_CHECK(contains(error_for(nameless, "harp.nc"), "hostname mismatch")); // CN alone is no name
}

CAF_TEST(a_client_told_not_to_verify_does_not) {
  connection both;
  auto trusting = side("client");
  trusting.verify_peer = false;
  both.handshake(side("server", "ours"), trusting, "other.nc");
  CAF_CHECK_EQUAL(both.client->error, "");
}

CAF_TEST(alpn_is_demanded_when_given) {
  auto with = [](const std::string& alpn, tls_settings settings) {
    settings.alpn = alpn;
    return settings;
  };
  connection same, other, none;
  same.handshake(with("harp/1", side("server")), with("harp/1", side("client")));
  CAF_CHECK_EQUAL(same.server->error + same.client->error, "");
  other.handshake(with("harp/1", side("server")), with("harp-join/1", side("client")));
  CAF_CHECK(!other.server->error.empty());
  CAF_CHECK(!other.client->error.empty());
  none.handshake(with("harp/1", side("server")), side("client"));
  CAF_CHECK(contains(none.server->error, "does not speak harp/1"));
}

CAF_TEST(a_silent_peer_is_given_up) {
  connection both;
  both.accept(side("server"));
  both.run();
  CAF_CHECK(!both.server);
  both.on.check_deadlines(both.on.coarse_now() + 9s);
  both.run();
  CAF_CHECK(!both.server);
  both.on.check_deadlines(both.on.coarse_now() + 2s);
  both.run();
  CAF_REQUIRE(both.server.has_value());
  CAF_CHECK(contains(both.server->error, "no TLS handshake within 10000 ms"));
}

CAF_TEST(a_peer_without_tls_is_told_apart) {
  connection both;
  both.accept(side("server"));
  both.client_carrier->try_write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "");
  both.run();
  CAF_REQUIRE(both.server.has_value());
  CAF_CHECK(contains(both.server->error, "does not speak TLS"));
  connection gone;
  gone.accept(side("server"));
  gone.client_carrier.reset();
  gone.run();
  CAF_REQUIRE(gone.server.has_value());
  CAF_CHECK(contains(gone.server->error, "closed the connection during"));
}

CAF_TEST(speaks_tls_1_2_but_nothing_older) {
  for (int version : {TLS1_2_VERSION, TLS1_1_VERSION}) {
    connection both;
    auto old = made(tls_context::client(side("client")));
    SSL_CTX_set_min_proto_version(old->native(), version);
    SSL_CTX_set_max_proto_version(old->native(), version);
    both.accept(side("server"));
    launch(both.on.executor(),
           keep(tls_connect(both.on, std::move(both.client_carrier), old, "harp.nc", 10s),
                both.client),
           "client");
    both.run();
    CAF_REQUIRE(both.server && both.client);
    CAF_CHECK_EQUAL(both.server->stream != nullptr, version == TLS1_2_VERSION);
    if (!both.server->stream)
      continue;
    CAF_CHECK(!both.s().half_closes());
    CAF_CHECK(both.c().try_write("old").status == io_status::ok);
    std::string heard;
    CAF_CHECK(drink(both.s(), heard) == io_status::again);
    CAF_CHECK_EQUAL(heard, "old");
  }
}

CAF_TEST(settings_that_cannot_work_name_the_file) {
  auto error_of = [](const tls_settings& settings, bool server) {
    auto result = server ? tls_context::server(settings) : tls_context::client(settings);
    auto* error = std::get_if<std::string>(&result);
    return error != nullptr ? *error : std::string{};
  };
  auto settings = side("server");
  CAF_CHECK_EQUAL(error_of(settings, true), "");
  settings.certificate_file = "/nonexistent/cert.pem";
  CAF_CHECK(contains(error_of(settings, true), "/nonexistent/cert.pem: No such file"));
  settings = side("server");
  settings.key_file = side("client").key_file;
  CAF_CHECK(contains(error_of(settings, true), "does not belong to"));
  settings.key_file = settings.ca_file;
  CAF_CHECK(contains(error_of(settings, true), "ca.crt: holds no usable private key"));
  settings = side("server");
  settings.ca_file = side("server").key_file;
  CAF_CHECK(contains(error_of(settings, true), "holds no usable CA certificate"));
  settings.ca_file.clear();
  CAF_CHECK(contains(error_of(settings, true), "no CA file"));
  CAF_CHECK(contains(error_of({}, true), "needs a certificate"));
  CAF_CHECK_EQUAL(error_of({}, false), "");
}
