// Tunnel credentials: made, verified, not forged (FS1, FS2, quality.md S4, T03).
#define CAF_SUITE tunnel_credential
#include "actors/tunnel_credential.hpp"

#include <caf/test/unit_test.hpp>

#include <random>

using namespace harp;

namespace {

const tunnel_credentials& tested() {
  static const tunnel_credentials credentials{"shared-key"};
  return credentials;
}

} // namespace

CAF_TEST(verifies_what_it_made) {
  for (std::string_view app_id : {"app", "test-deploy", "a.b.c", "App_9", "hx1"}) {
    for (uint16_t port : {23000, 23500, 23999}) {
      auto made = tested().make(app_id, port);
      CAF_REQUIRE(made.has_value());
      auto grant = tested().verify(*made);
      CAF_REQUIRE(grant.has_value());
      CAF_CHECK_EQUAL(grant->app_id, app_id);
      CAF_CHECK_EQUAL(grant->port, port);
    }
  }
}

CAF_TEST(has_the_documented_form) {
  auto made = tested().make("test-deploy", 23001).value();
  CAF_CHECK_EQUAL(made.substr(0, 22), "hx1.test-deploy.23001.");
  CAF_CHECK_EQUAL(made.size(), 22u + 43u);
  CAF_CHECK(
      made.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
      == made.npos);
  CAF_CHECK(made.find("shared-key") == made.npos);
}

CAF_TEST(survives_a_restart) {
  tunnel_credentials again{"shared-key"};
  CAF_CHECK(again.make("app", 23000) == tested().make("app", 23000));
}

CAF_TEST(makes_none_for_other_ports_and_ids) {
  for (uint16_t port : {0, 80, 22999, 24000, 24099, 65535})
    CAF_CHECK(!tested().make("app", port));
  for (std::string_view app_id : {"", "..", "a/b", "a b", "a\nb", "a:b"})
    CAF_CHECK(!tested().make(app_id, 23000));
}

CAF_TEST(another_key_verifies_nothing) {
  tunnel_credentials other{"shared-kez"};
  CAF_CHECK(!other.verify(tested().make("app", 23000).value()));
}

CAF_TEST(an_empty_key_makes_and_verifies_nothing) {
  tunnel_credentials none{""};
  CAF_CHECK(!none.make("app", 23000));
  CAF_CHECK(!none.verify(tested().make("app", 23000).value()));
}

CAF_TEST(every_flipped_bit_is_seen) {
  auto made = tested().make("app", 23000).value();
  for (size_t at = 0; at < made.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto forged = made;
      forged[at] = static_cast<char>(forged[at] ^ (1 << bit));
      CAF_REQUIRE(!tested().verify(forged));
    }
  }
}

CAF_TEST(cut_or_extended_is_refused) {
  auto made = tested().make("app", 23000).value();
  for (size_t size = 0; size < made.size(); ++size)
    CAF_REQUIRE(!tested().verify(std::string_view(made).substr(0, size)));
  for (std::string_view more : {" ", "=", "A", ".", "\n", "\t"})
    CAF_CHECK(!tested().verify(made + std::string(more)));
  CAF_CHECK(!tested().verify(made + std::string(1, '\0')));
  CAF_CHECK(!tested().verify(" " + made));
  CAF_CHECK(!tested().verify(made + std::string(tunnel_credential_bytes_max, 'A')));
}

CAF_TEST(mac_of_one_grant_fits_no_other) {
  auto made = tested().make("app", 23000).value();
  auto mac = made.substr(made.rfind('.') + 1);
  for (std::string_view claim :
       {"hx1.app.23001.", "hx1.apq.23000.", "hx1.app.24000.", "hx1.APP.23000.", "hx1.app.023000.",
        "hx1.app.+23000.", "hx1.app.88536.", "hx2.app.23000.", "HX1.app.23000.", "hx1.app.23000..",
        "hx1..23000.", "hx1.23000.", "hx1.app.", "hx1.", ""})
    CAF_CHECK(!tested().verify(std::string(claim) + mac));
}

CAF_TEST(dotted_ids_cannot_borrow_a_mac) {
  auto made = tested().make("a.23000", 23001).value(); // hx1.a.23000.23001.MAC
  auto grant = tested().verify(made);
  CAF_REQUIRE(grant.has_value());
  CAF_CHECK_EQUAL(grant->app_id, "a.23000");
  CAF_CHECK_EQUAL(grant->port, 23001u);
}

CAF_TEST(noise_is_refused) {
  constexpr unsigned seed = 4711;
  CAF_MESSAGE("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 2000; ++round) {
    std::string text = round % 2 == 0 ? "hx1." : "";
    for (size_t i = random() % 90; i > 0; --i)
      text += static_cast<char>(random() % 3 == 0 ? '.' : 33 + random() % 94);
    CAF_REQUIRE(!tested().verify(text));
  }
}

CAF_TEST(compares_secrets) {
  CAF_CHECK(same_secret("key", "key"));
  CAF_CHECK(same_secret("\"q\\u\xc3\xa9 '", "\"q\\u\xc3\xa9 '"));
  for (std::string_view other : {"", "ke", "keyy", "Key", "kez", " key", "key "})
    CAF_CHECK(!same_secret(other, "key"));
  CAF_CHECK(!same_secret("", ""));
  CAF_CHECK(!same_secret("key", ""));
  CAF_CHECK(!same_secret(std::string_view("key\0", 4), "key"));
}
