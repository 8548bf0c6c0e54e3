#define CAF_SUITE roster
#include "storage/digest.hpp"
#include "storage/roster.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

signing_key key(char number) {
  return signing_key::from_seed(std::string(32, number));
}

space_id space() {
  space_id out;
  out.bytes.fill(0x11);
  return out;
}

roster_add_device device(replica_id rid, member_role role) {
  roster_add_device out;
  out.rid = rid;
  out.device = key(static_cast<char>(rid)).public_key();
  out.role = role;
  out.user = "ann";
  out.name = "laptop";
  return out;
}

struct governed {
  signing_key governor = key('\77');
  roster list{space(), governor.public_key()};

  std::optional<std::string> add(const roster_change& change) {
    auto made = list.append_change(change, 1000, governor);
    auto* fault = std::get_if<std::string>(&made);
    return fault != nullptr ? std::optional(*fault) : std::nullopt;
  }
  governed() {
    CAF_REQUIRE(!add(device(1, member_role::admin)));
    CAF_REQUIRE(!add(device(2, member_role::writer)));
    CAF_REQUIRE(!add(device(3, member_role::reader)));
  }
};

bundle by(replica_id rid, uint64_t seq, uint64_t named, operation op = op_set_meta{}) {
  bundle b;
  b.space = space();
  b.rid = rid;
  b.seq = seq;
  b.hlc = 1000ull << 16;
  b.roster_version = named;
  b.ops = {std::move(op)};
  return b;
}

using v = bundle_verdict;

} // namespace

CAF_TEST(roles_decide_who_writes) {
  governed g;
  CAF_CHECK(g.list.judge(by(2, 1, 3)) == v::valid);
  CAF_CHECK(g.list.judge(by(3, 1, 3)) == v::role_missing);
  CAF_CHECK(g.list.judge(by(4, 1, 3)) == v::role_missing);
  CAF_CHECK(g.list.judge(by(2, 1, 1)) == v::role_missing); // not yet a member then
  CAF_CHECK(g.list.judge(by(2, 1, 4)) == v::roster_missing);
  CAF_CHECK(g.list.may_write(2, 2, 9));
  CAF_CHECK(!g.list.may_write(3, 3, 1));
  CAF_CHECK(g.list.role_of(2) == member_role::writer);
  CAF_CHECK(g.list.role_of(key(3).public_key()) == member_role::reader);
  CAF_CHECK(g.list.role_of(key(9).public_key()) == member_role::none);
  CAF_CHECK_EQUAL(g.list.rid_of(key(2).public_key()), 2u);
  CAF_CHECK_EQUAL(g.list.next_rid(), 4u);
  CAF_CHECK_EQUAL(g.list.members().size(), 3u);
}

CAF_TEST(some_operations_need_more_than_writing) {
  governed g;
  CAF_CHECK(g.list.judge(by(2, 1, 3, op_policy{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(1, 1, 3, op_policy{})) == v::valid);
  CAF_CHECK(g.list.judge(by(2, 1, 3, op_graft{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(1, 1, 3, op_graft{})) == v::valid);
  CAF_CHECK(g.list.judge(by(1, 1, 3, op_checkpoint{})) == v::role_missing);
  CAF_CHECK(g.add(roster_set_checkpointer{2})); // a writer is no keeper
  CAF_REQUIRE(!g.add(roster_set_checkpointer{1}));
  CAF_CHECK(g.list.judge(by(1, 1, 4, op_checkpoint{})) == v::valid);
  CAF_CHECK(g.list.judge(by(1, 1, 3, op_checkpoint{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(2, 1, 4, op_checkpoint{})) == v::role_missing);
}

CAF_TEST(adopting_ends_with_pairing) {
  governed g;
  auto pairing = device(4, member_role::writer);
  pairing.pairing = true;
  CAF_REQUIRE(!g.add(pairing));
  CAF_CHECK(g.list.judge(by(2, 1, 4, op_adopt{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(4, 1, 4, op_adopt{})) == v::valid);
  CAF_REQUIRE(!g.add(roster_end_pairing{4, 5}));
  CAF_CHECK(g.list.judge(by(4, 4, 4, op_adopt{})) == v::valid);
  CAF_CHECK(g.list.judge(by(4, 5, 4, op_adopt{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(4, 5, 4)) == v::valid);
  CAF_CHECK(g.add(roster_end_pairing{4, 9}));
}

CAF_TEST(revoking_cuts_also_what_names_an_older_roster) {
  governed g;
  CAF_REQUIRE(!g.add(roster_revoke{2, 7}));
  CAF_CHECK(g.list.judge(by(2, 7, 3)) == v::valid);
  CAF_CHECK(g.list.judge(by(2, 8, 3)) == v::cut);
  CAF_CHECK(g.list.role_of(2) == member_role::none);
  CAF_CHECK_EQUAL(g.list.rid_of(key(2).public_key()), 0u);
  CAF_CHECK(g.list.cut_of(2) == std::optional<uint64_t>(7));
  CAF_CHECK(!g.list.cut_of(1));
  CAF_REQUIRE(!g.add(roster_revoke{2, 5}));
  CAF_CHECK(g.list.cut_of(2) == std::optional<uint64_t>(5));
  CAF_REQUIRE(!g.add(roster_revoke{2, 9}));
  CAF_CHECK(g.list.cut_of(2) == std::optional<uint64_t>(5)); // what was voided stays void
}

CAF_TEST(a_device_comes_back_under_a_new_number_only) {
  governed g;
  auto again = device(2, member_role::writer);
  CAF_CHECK(g.add(again));
  again.rid = 5;
  CAF_CHECK(g.add(again)); // still a member
  CAF_REQUIRE(!g.add(roster_revoke{2, 3}));
  CAF_REQUIRE(!g.add(again));
  CAF_CHECK_EQUAL(g.list.rid_of(again.device), 5u);
  CAF_CHECK_EQUAL(g.list.next_rid(), 6u);
}

CAF_TEST(losing_the_right_to_write_is_a_cut_for_good) {
  governed g;
  CAF_REQUIRE(!g.add(roster_set_role{2, member_role::reader, 4}));
  CAF_CHECK(g.list.judge(by(2, 3, 3)) == v::valid);
  CAF_CHECK(g.list.judge(by(2, 4, 3)) == v::cut);
  CAF_CHECK(g.add(roster_set_role{2, member_role::writer, 4}));
  CAF_REQUIRE(!g.add(roster_set_role{3, member_role::writer, 1}));
  CAF_CHECK(g.list.judge(by(3, 1, 5)) == v::valid);
  CAF_CHECK(g.list.judge(by(3, 1, 4)) == v::role_missing);
  CAF_REQUIRE(!g.add(roster_set_role{3, member_role::admin, 6}));
  CAF_CHECK(g.list.judge(by(3, 5, 6, op_policy{})) == v::role_missing);
  CAF_CHECK(g.list.judge(by(3, 6, 6, op_policy{})) == v::valid);
}

CAF_TEST(an_end_date_ends_writing) {
  governed g;
  auto limited = device(4, member_role::writer);
  limited.not_after = 1000;
  CAF_REQUIRE(!g.add(limited));
  auto b = by(4, 1, 4);
  CAF_CHECK(g.list.judge(b) == v::valid);
  b.hlc = 1001ull << 16;
  CAF_CHECK(g.list.judge(b) == v::role_missing);
}

CAF_TEST(only_the_governor_appends_and_only_in_order) {
  governed g;
  roster_entry next{space(), 4, {}, 0, roster_rename{1, "x"}};
  roster copy = g.list;
  auto entry = std::get<sealed_entry>(copy.append_change(roster_rename{1, "x"}, 5, g.governor));
  CAF_CHECK(g.list.append_signed(
      std::get<sealed_entry>(seal_entry(next, g.governor)).raw)); // wrong previous
  next.previous = entry.entry.previous;
  CAF_CHECK(g.list.append_signed(
      std::get<sealed_entry>(seal_entry(next, key(1))).raw)); // an admin is no governor
  next.version = 5;
  CAF_CHECK(g.list.append_signed(std::get<sealed_entry>(seal_entry(next, g.governor)).raw));
  next.version = 4;
  next.space.bytes.fill(9);
  CAF_CHECK(g.list.append_signed(std::get<sealed_entry>(seal_entry(next, g.governor)).raw));
  for (size_t i = 0; i < entry.raw.size(); ++i) {
    auto changed = entry.raw;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    CAF_CHECK(g.list.append_signed(changed));
  }
  CAF_CHECK_EQUAL(g.list.version(), 3u);
  CAF_CHECK(!g.list.append_signed(entry.raw));
  CAF_CHECK(!g.list.append_signed(entry.raw)); // the same again is fine
  CAF_CHECK_EQUAL(g.list.version(), 4u);
  next.space = space();
  next.change = roster_rename{1, "y"};
  CAF_CHECK(g.list.append_signed(
      std::get<sealed_entry>(seal_entry(next, g.governor)).raw)); // another fourth
  CAF_CHECK_EQUAL(g.list.member(1)->name, "x");
}

CAF_TEST(a_copy_is_built_from_bytes_in_pieces) {
  governed g;
  CAF_REQUIRE(!g.add(roster_set_setting{std::string(roster_setting_name), "Photos"}));
  CAF_REQUIRE(!g.add(roster_lease{9999}));
  CAF_CHECK_EQUAL(g.list.version(), 4u); // a lease is no link
  roster copy(space(), g.governor.public_key());
  while (copy.version() < g.list.version()) {
    auto part = g.list.entries_from(copy.version() + 1, 1);
    CAF_REQUIRE(!part.empty());
    for (const auto& raw : part)
      CAF_REQUIRE(!copy.append_signed(raw));
  }
  CAF_CHECK_EQUAL(copy.name(), "Photos");
  CAF_CHECK_EQUAL(copy.leased_until(), 9999u);
  CAF_CHECK(copy.lease() == g.list.lease());
  CAF_CHECK_EQUAL(copy.members().size(), 3u);
  CAF_CHECK_EQUAL(g.list.entries_from(5, 1000).size(), 1u); // the lease alone
  CAF_CHECK_EQUAL(g.list.entries_from(1, 1 << 20).size(), 5u);
}

CAF_TEST(leases_only_grow_and_only_for_the_newest_version) {
  governed g;
  CAF_REQUIRE(!g.add(roster_lease{500}));
  auto old = g.list.lease();
  CAF_REQUIRE(!g.add(roster_lease{400}));
  CAF_CHECK_EQUAL(g.list.leased_until(), 500u);
  roster behind(space(), g.governor.public_key());
  CAF_CHECK(behind.append_signed(old)); // its version is not here
  CAF_REQUIRE(!g.add(roster_rename{1, "new"}));
  CAF_REQUIRE(!g.add(roster_lease{600}));
  CAF_CHECK(!g.list.append_signed(old)); // nothing new in it
  CAF_CHECK_EQUAL(g.list.leased_until(), 600u);
  roster_entry forged{space(), g.list.version(), {}, 0, roster_lease{700}};
  CAF_CHECK(g.list.append_signed(std::get<sealed_entry>(seal_entry(forged, key(1))).raw));
  CAF_CHECK_EQUAL(g.list.leased_until(), 600u);
}

CAF_TEST(the_governor_key_is_handed_over_by_both_keys) {
  governed g;
  auto next = key('\66');
  roster_rotate_key rotation{next.public_key(), rotation_proof(space(), key('\65'))};
  CAF_CHECK(g.add(rotation));
  rotation.proof = rotation_proof(space(), next);
  CAF_REQUIRE(!g.add(rotation));
  CAF_CHECK(g.list.governor() == next.public_key());
  CAF_CHECK(g.list.founder() == g.governor.public_key());
  CAF_CHECK(g.add(roster_rename{1, "by the old key"}));
  g.governor = std::move(next);
  CAF_CHECK(!g.add(roster_rename{1, "by the new key"}));
}

CAF_TEST(tokens_work_until_revoked_or_over) {
  governed g;
  auto hash = blake2b("harp.dav", "token");
  CAF_REQUIRE(!g.add(roster_add_token{"ann", hash, member_role::writer, 2000}));
  auto known = g.list.token(hash, 1999);
  CAF_CHECK(known && known->user == "ann");
  CAF_CHECK(!g.list.token(hash, 2000));
  CAF_CHECK(!g.list.token(blake2b("harp.dav", "other"), 0));
  CAF_CHECK(g.add(roster_add_token{"bob", hash, member_role::writer, 0}));
  CAF_REQUIRE(!g.add(roster_revoke_token{hash}));
  CAF_CHECK(!g.list.token(hash, 0));
  CAF_CHECK(g.add(roster_revoke_token{hash}));
}

CAF_TEST(changes_without_sense_are_refused) {
  governed g;
  auto version = g.list.version();
  CAF_CHECK(g.add(roster_rename{9, "x"}));
  CAF_CHECK(g.add(roster_set_role{9, member_role::writer, 1}));
  CAF_CHECK(g.add(roster_set_role{2, member_role::none, 1}));
  CAF_CHECK(g.add(roster_set_role{2, member_role::reader, 0}));
  CAF_CHECK(g.add(roster_revoke{9, 1}));
  CAF_CHECK(g.add(device(0, member_role::writer)));
  CAF_CHECK(g.add(roster_rename{1, std::string(device_name_bytes_max + 1, 'x')}));
  CAF_CHECK(g.add(roster_set_setting{"", "x"}));
  for (size_t i = 0; i < roster_settings_max; ++i)
    CAF_CHECK(!g.add(roster_set_setting{"k" + std::to_string(i), "x"}));
  CAF_CHECK(g.add(roster_set_setting{"one more", "x"}));
  CAF_CHECK(!g.add(roster_set_setting{"k0", ""}));
  CAF_CHECK_EQUAL(g.list.setting("k0"), "");
  CAF_CHECK_EQUAL(g.list.version(), version + roster_settings_max + 1);
}

CAF_TEST(every_entry_survives_the_round_trip_and_no_cut_does) {
  auto next = key('\66');
  auto hash = blake2b("harp.dav", "token");
  std::vector<roster_change> changes{
      device(7, member_role::keeper),
      roster_rename{7, "n"},
      roster_set_role{7, member_role::reader, 5},
      roster_set_checkpointer{7},
      roster_revoke{7, 5},
      roster_add_token{"u", hash, member_role::writer, 5},
      roster_revoke_token{hash},
      roster_rotate_key{next.public_key(), rotation_proof(space(), next)},
      roster_lease{5},
      roster_end_pairing{7, 5},
      roster_set_setting{"name", "x"}};
  std::string all;
  for (const auto& change : changes) {
    auto made = seal_entry({space(), 9, hash, 77, change}, key('\77'));
    CAF_REQUIRE(std::holds_alternative<sealed_entry>(made));
    const auto& one = std::get<sealed_entry>(made);
    all += one.raw;
    CAF_CHECK_EQUAL(one.entry.change.index(), change.index());
    CAF_CHECK_EQUAL(one.entry.at, 77u);
    for (size_t size = 0; size < one.raw.size(); ++size)
      CAF_CHECK(std::holds_alternative<std::string>(decode_entry(one.raw.substr(0, size))));
    CAF_CHECK(std::holds_alternative<std::string>(decode_entry(one.raw + "x")));
  }
  CAF_CHECK_EQUAL(chunk_id_of(all).to_string(), "d8944d3345bb70904c45a6ddf079ed5106edea1086daea33ac5964e2c0df83e9");
}
