// Who may serve which name on which port (X05, T03, FS5, quality.md 3.4; error words of
// frp.md 4.1).
#define CAF_SUITE port_claims
#include "actors/port_claims.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

const std::optional<tunnel_grant> by_key;

std::optional<tunnel_grant> for_app(std::string app_id, uint16_t port) {
  return tunnel_grant{std::move(app_id), port};
}

bool granted(const claim_answer& answer, uint16_t port) {
  return answer.outcome == claim_outcome::granted && answer.port == port && answer.error.empty();
}

bool refused(const claim_answer& answer, std::string_view words) {
  return answer.outcome == claim_outcome::refused && answer.port == 0
         && answer.error.substr(0, words.size()) == words;
}

claim_situation without_legacy(std::optional<uint16_t> record_port = std::nullopt) {
  claim_situation now;
  now.legacy_key_ports = false;
  now.record_port = record_port;
  return now;
}

} // namespace

CAF_TEST(key_holders_have_the_documented_ranges) {
  for (uint16_t port : {23000, 23001, 23999, 24000, 24001, 24099})
    CAF_CHECK(granted(judge_claim(by_key, "any", port, {}), port));
  for (uint16_t port : {1, 80, 8780, 22999, 24100, 65535})
    CAF_CHECK(refused(judge_claim(by_key, "any", port, {}), "port not allowed"));
}

CAF_TEST(the_local_engines_port_is_taken) {
  claim_situation now;
  now.local_engine = true;
  CAF_CHECK(refused(judge_claim(by_key, "bundled-deploy-daemon", 24000, now), "port already used"));
  CAF_CHECK(granted(judge_claim(by_key, "deploy-daemon-1", 24001, now), 24001));
}

CAF_TEST(port_zero_means_any_free_one) {
  claim_situation now;
  CAF_CHECK(refused(judge_claim(by_key, "app", 0, now), "port unavailable"));
  now.free_port = 23042;
  CAF_CHECK(granted(judge_claim(by_key, "app", 0, now), 23042));
  CAF_CHECK_EQUAL(claimed_port(by_key, 0, now), 23042u);
  CAF_CHECK_EQUAL(claimed_port(by_key, 23001, now), 23001u);
  CAF_CHECK_EQUAL(claimed_port(for_app("app", 23007), 0, now), 23007u);
}

CAF_TEST(one_port_per_session) {
  claim_situation now;
  now.session_ports = 1;
  CAF_CHECK(refused(judge_claim(by_key, "second", 23001, now), "exceed the max_ports_per_client"));
  CAF_CHECK(refused(judge_claim(for_app("app", 23001), "app", 23001, now),
                    "exceed the max_ports_per_client"));
}

CAF_TEST(a_repeated_claim_is_granted_again) {
  claim_situation now;
  now.session_ports = 1;
  now.session_name_port = 23001;
  CAF_CHECK(granted(judge_claim(by_key, "app", 23001, now), 23001));
  CAF_CHECK(granted(judge_claim(for_app("app", 23001), "app", 0, now), 23001));
  CAF_CHECK(refused(judge_claim(by_key, "app", 23002, now), "exceed the max_ports_per_client"));
}

CAF_TEST(a_credential_is_good_for_its_own_name_and_port_only) {
  auto grant = for_app("app", 23001);
  CAF_CHECK(granted(judge_claim(grant, "app", 23001, {}), 23001));
  CAF_CHECK(granted(judge_claim(grant, "app", 0, {}), 23001));
  for (uint16_t port : {22999, 23000, 23002, 24000, 24001, 24099, 80, 65535})
    CAF_CHECK(refused(judge_claim(grant, "app", port, {}), "port not allowed"));
  for (std::string_view name : {"other", "App", "app2", "ap", "user.app", "bundled-deploy-daemon"})
    CAF_CHECK(refused(judge_claim(grant, name, 23001, {}), "proxy name not allowed"));
}

CAF_TEST(a_credential_needs_no_record_without_legacy) {
  CAF_CHECK(granted(judge_claim(for_app("app", 23001), "app", 23001, without_legacy()), 23001));
}

CAF_TEST(without_legacy_key_holders_have_engines_and_recorded_ports) {
  CAF_CHECK(granted(judge_claim(by_key, "deploy-daemon-1", 24001, without_legacy()), 24001));
  CAF_CHECK(granted(judge_claim(by_key, "app", 23005, without_legacy(23005)), 23005));
  CAF_CHECK(granted(judge_claim(by_key, "app", 0, without_legacy(23005)), 23005));
  CAF_CHECK(refused(judge_claim(by_key, "app", 23006, without_legacy(23005)), "port not allowed"));
  CAF_CHECK(refused(judge_claim(by_key, "app", 23005, without_legacy()), "port not allowed"));
  CAF_CHECK(refused(judge_claim(by_key, "app", 80, without_legacy(80)), "port not allowed"));
  CAF_CHECK(refused(judge_claim(by_key, "app", 0, without_legacy()), "port unavailable"));
}

CAF_TEST(names_are_printable_and_short) {
  CAF_CHECK(granted(judge_claim(by_key, std::string(128, 'n'), 23000, {}), 23000));
  CAF_CHECK(granted(judge_claim(by_key, "user.my app!", 23000, {}), 23000));
  for (std::string name :
       {std::string(), std::string(129, 'n'), std::string("a\nb"), std::string("a\x7f"),
        std::string("a\0b", 3), std::string("\xc3\xa9"), std::string("\x1b[2J")})
    CAF_CHECK(refused(judge_claim(by_key, name, 23000, {}), "proxy name not allowed"));
}

CAF_TEST(another_session_in_the_way_is_a_conflict) {
  claim_situation now;
  now.name_taken = true;
  auto answer = judge_claim(by_key, "app", 23001, now);
  CAF_CHECK(answer.outcome == claim_outcome::conflict);
  CAF_CHECK_EQUAL(answer.port, 23001u);
  CAF_CHECK_EQUAL(answer.error, "proxy [app] already exists");
  now.name_taken = false;
  now.port_taken = true;
  answer = judge_claim(for_app("app", 23001), "app", 23001, now);
  CAF_CHECK(answer.outcome == claim_outcome::conflict);
  CAF_CHECK_EQUAL(answer.error, "port already used");
}

CAF_TEST(what_is_forbidden_is_no_conflict) {
  claim_situation now;
  now.name_taken = true;
  now.port_taken = true;
  CAF_CHECK(refused(judge_claim(for_app("app", 23001), "app", 23002, now), "port not allowed"));
  CAF_CHECK(
      refused(judge_claim(for_app("app", 23001), "victim", 23001, now), "proxy name not allowed"));
  CAF_CHECK(refused(judge_claim(by_key, "app", 22999, now), "port not allowed"));
}
