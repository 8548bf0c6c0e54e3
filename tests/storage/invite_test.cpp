#define CAF_SUITE invite
#include "storage/invite.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr uint64_t noon = 1'700'000'000'000;

invite_token fixed() {
  invite_token out;
  device_key governor;
  governor.bytes.fill(0x44);
  out.governor = governor_hash_of(governor);
  out.secret.bytes.fill(0x55);
  out.role = member_role::writer;
  out.expiry_ms = noon;
  out.uses = 3;
  out.addresses = {"192.0.2.1:8784", "harp.example:8784"};
  return out;
}

device_key device(uint8_t number) {
  device_key out;
  out.bytes.fill(number);
  return out;
}

invite_record record() {
  invite_record out;
  out.secret_hash = invite_hash_of(fixed().secret);
  out.role = member_role::writer;
  out.spaces.resize(2);
  out.spaces[1].bytes.fill(3);
  out.user = "ann";
  out.made_ms = noon - 1000;
  out.expiry_ms = noon;
  out.uses_left = 2;
  return out;
}

std::string fault(std::string_view text) {
  auto parsed = invite_token::parse(text);
  auto* words = std::get_if<std::string>(&parsed);
  return words != nullptr ? *words : "";
}

} // namespace

CAF_TEST(token_text_round_trips_and_does_not_drift) {
  auto text = fixed().to_text();
  CAF_CHECK_EQUAL(text, "H1._J863r594kowBsCFwkAiw1VVVVVVVVVVVVVVVVVVVVUCgNCV_"
                        "7wxAwIOMTkyLjAuMi4xOjg3ODQRaGFycC5leGFtcGxlOjg3ODTRjoxY");
  auto parsed = invite_token::parse("  " + text + "\n");
  CAF_REQUIRE(std::holds_alternative<invite_token>(parsed));
  const auto& token = std::get<invite_token>(parsed);
  CAF_CHECK(token.governor == fixed().governor);
  CAF_CHECK(token.secret == fixed().secret);
  CAF_CHECK(token.role == member_role::writer);
  CAF_CHECK_EQUAL(token.expiry_ms, noon);
  CAF_CHECK_EQUAL(token.uses, 3u);
  CAF_CHECK(token.addresses == fixed().addresses);
}

CAF_TEST(bad_tokens_are_explained_and_never_repeated) {
  auto text = fixed().to_text();
  CAF_CHECK(fault("").find("empty") != std::string::npos);
  CAF_CHECK(fault("H2.abc").find("newer") != std::string::npos);
  CAF_CHECK(fault("hello").find("H1.") != std::string::npos);
  CAF_CHECK(fault(std::string(3000, 'H')).find("H1.") != std::string::npos);
  CAF_CHECK(fault("H1." + std::string(3000, 'A')).find("long") != std::string::npos);
  CAF_CHECK(fault("H1.a b").find("copy it again") != std::string::npos);
  for (size_t size = 3; size < text.size(); ++size) {
    auto words = fault(text.substr(0, size));
    CAF_CHECK(words.find("copy it again") != std::string::npos);
    CAF_CHECK(size < 12 || words.find(text.substr(3, 9)) == std::string::npos);
  }
  for (size_t i = 3; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    CAF_CHECK(!fault(changed).empty());
  }
}

CAF_TEST(limits_of_tokens_hold) {
  auto token = fixed();
  token.addresses.assign(invite_addresses_max, "a:1");
  CAF_CHECK(fault(token.to_text()).empty());
  token.addresses.emplace_back("a:1");
  CAF_CHECK(!fault(token.to_text()).empty());
  token.addresses.clear();
  CAF_CHECK(!fault(token.to_text()).empty());
  token = fixed();
  token.uses = 0;
  CAF_CHECK(!fault(token.to_text()).empty());
  token = fixed();
  token.role = member_role::none;
  CAF_CHECK(!fault(token.to_text()).empty());
}

CAF_TEST(secrets_are_random_and_only_their_hash_is_kept) {
  CAF_CHECK(invite_token::make_secret() != invite_token::make_secret());
  auto bytes = record().encode();
  CAF_CHECK(bytes.find(fixed().secret.view()) == std::string::npos);
  CAF_CHECK_EQUAL(record().id().size(), 8u);
}

CAF_TEST(uses_are_counted_per_device) {
  auto r = record();
  CAF_CHECK(r.spend(device(1), "a", noon - 1) == invite_verdict::granted);
  CAF_CHECK(r.spend(device(1), "a", noon - 1) == invite_verdict::granted_again);
  CAF_CHECK_EQUAL(r.uses_left, 1u);
  CAF_CHECK(r.spend(device(2), "b", noon - 1) == invite_verdict::granted);
  CAF_CHECK(r.spend(device(3), "c", noon - 1) == invite_verdict::used_up);
  CAF_CHECK(r.spend(device(1), "a", noon - 1) == invite_verdict::granted_again);
  CAF_REQUIRE_EQUAL(r.spent.size(), 2u);
  CAF_CHECK_EQUAL(r.spent[1].name, "b");
}

CAF_TEST(time_and_revocation_end_an_invite) {
  auto r = record();
  CAF_CHECK(r.spend(device(1), "a", noon) == invite_verdict::expired);
  CAF_CHECK(r.spend(device(1), "a", noon - 1) == invite_verdict::granted);
  CAF_CHECK(r.spend(device(1), "a", noon + 99)
            == invite_verdict::granted_again); // its answer may have been lost
  r.revoked = true;
  CAF_CHECK(r.spend(device(1), "a", noon - 1) == invite_verdict::revoked);
  CAF_CHECK(r.spend(device(2), "b", noon - 1) == invite_verdict::revoked);
}

CAF_TEST(records_round_trip_and_no_cut_does) {
  auto r = record();
  r.spend(device(1), "laptop", noon - 1);
  auto bytes = r.encode();
  CAF_CHECK(invite_record::decode(bytes) == std::optional(r));
  for (size_t size = 0; size < bytes.size(); ++size)
    CAF_CHECK(!invite_record::decode(bytes.substr(0, size)));
  CAF_CHECK(!invite_record::decode(bytes + "x"));
}
