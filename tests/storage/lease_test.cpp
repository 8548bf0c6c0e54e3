// Who is served when the governor was not heard for long, or an entry is over (storage.md 5.3).
#define CAF_SUITE lease
#include "storage/lease.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

constexpr uint64_t hour_ms = 3600'000;
constexpr uint64_t now_ms = 1'800'000'000'000;

struct leased {
  signing_key governor = signing_key::make(), self = signing_key::make(), mine = signing_key::make(), other = signing_key::make();
  roster members{space_id{}, governor.public_key()};
  leased() {
    add(1, self, "ann", 0);
    add(2, mine, "ann", 0);
    add(3, other, "bob", now_ms + 100 * 24 * hour_ms);
  }
  void add(replica_id rid, const signing_key& key, const std::string& user, uint64_t not_after) {
    change(roster_add_device{rid, key.public_key(), member_role::writer, user, "d" + std::to_string(rid), not_after, false});
  }
  void change(const roster_change& what) { CAF_REQUIRE_EQUAL(members.append_change(what, now_ms, governor).index(), 0u); }
  bool serves(const signing_key& peer, uint64_t at) { return may_serve(members, self.public_key(), peer.public_key(), at, lease_grace_ms_default); }
};

} // namespace

CAF_TEST(a_roster_that_was_never_leased_serves) {
  leased w;
  CAF_CHECK(w.serves(w.other, now_ms));
  CAF_CHECK(w.serves(w.other, now_ms + 99 * 24 * hour_ms));
}

CAF_TEST(other_users_are_served_until_the_grace_is_over) {
  leased w;
  w.change(roster_lease{now_ms + 24 * hour_ms});
  auto end = now_ms + 24 * hour_ms + lease_grace_ms_default;
  CAF_CHECK(w.serves(w.other, end));
  CAF_CHECK(!w.serves(w.other, end + 1));
  CAF_CHECK(w.serves(w.mine, end + 1)); // the same user's devices go on among themselves
  w.change(roster_lease{end + 24 * hour_ms});
  CAF_CHECK(w.serves(w.other, end + 1)); // and the governor's word brings it back
}

CAF_TEST(an_entry_that_is_over_is_served_nothing) {
  leased w;
  auto end = now_ms + 100 * 24 * hour_ms;
  CAF_CHECK(is_in_force(w.members, w.other.public_key(), end));
  CAF_CHECK(!is_in_force(w.members, w.other.public_key(), end + 1));
  CAF_CHECK(!w.serves(w.other, end + 1));
  CAF_CHECK(w.serves(w.mine, end + 1)); // zero: without end
  CAF_CHECK(!w.serves(signing_key::make(), now_ms));
  w.change(roster_revoke{2, 0});
  CAF_CHECK(!w.serves(w.mine, now_ms));
}
