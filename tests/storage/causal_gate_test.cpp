#define CAF_SUITE causal_gate
#include "storage/causal_gate.hpp"
#include "storage/hlc.hpp"
#include "tests/storage/replicator_world.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint64_t now = world_start_ms;

/// A gate of replica 1 (keeper), with writers 2 and 3 and reader 4.
struct gated {
  signing_key governor = fixed_key(99);
  std::shared_ptr<roster> rules = make_roster(governor, {member_role::keeper, member_role::writer,
                                                         member_role::writer, member_role::reader});
  causal_gate gate{rules, 1, {}, {}, true};
  device_key peer = fixed_key(2).public_key();
  std::map<replica_id, replica_head> heads;

  bundle_ptr next(replica_id rid, std::vector<dot> context = {}, uint64_t hlc_ms = now,
                  size_t ops = 1, bool heavy = false) {
    auto made = make_bundle(fixed_key(static_cast<uint8_t>(rid)), rid, heads[rid],
                            hlc_of_ms(hlc_ms), rules->version(), std::move(context), ops, heavy);
    heads[rid] = head_of(*made);
    return made;
  }
  std::vector<dot> ready() {
    std::vector<dot> out;
    while (gate.has_ready()) {
      for (const auto& b : gate.take_ready(1))
        out.push_back(b->content.id());
    }
    return out;
  }
  /// The roster with one more entry, as the owner would hand it over.
  void govern(const roster_change& change) {
    auto grown = std::make_shared<roster>(*rules);
    CAF_REQUIRE(std::holds_alternative<sealed_entry>(grown->append_change(change, now, governor)));
    rules = grown;
    gate.roster_changed(rules, 1, now);
  }
};

using dots = std::vector<dot>;
using kind = gate_event::kind;

} // namespace

CAF_TEST(passes_chains_in_order_whatever_the_arrival) {
  gated g;
  std::vector<bundle_ptr> all;
  for (int i = 0; i < 5; ++i)
    all.push_back(g.next(2));
  for (size_t i : {4, 2, 1, 3})
    CAF_CHECK(g.gate.offer(all[i], g.peer, now));
  CAF_CHECK(!g.gate.has_ready());
  CAF_CHECK_EQUAL(g.gate.parked_count(), 4u);
  CAF_CHECK(g.gate.missing(2, 9, 10) == (std::vector<op_range>{{2, 1, 1}, {2, 6, 9}}));
  g.gate.offer(all[0], g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}, {2, 2}, {2, 3}, {2, 4}, {2, 5}}));
  CAF_CHECK_EQUAL(g.gate.parked_count(), 0u);
  CAF_CHECK_EQUAL(g.gate.parked_bytes(), 0u);
  CAF_CHECK(g.gate.missing(2, 5, 10).empty());
}

CAF_TEST(waits_for_the_context) {
  gated g;
  auto a1 = g.next(2);
  auto a2 = g.next(2);
  auto b1 = g.next(3, {{2, 2}});
  g.gate.offer(b1, g.peer, now);
  g.gate.offer(a1, g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}}));
  g.gate.offer(a2, g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 2}, {3, 1}}));
}

CAF_TEST(own_bundles_wake_what_waits_for_them) {
  gated g;
  auto own = g.next(1);
  auto b1 = g.next(2, {{1, 1}});
  g.gate.offer(b1, g.peer, now);
  CAF_CHECK(!g.gate.has_ready());
  g.gate.pass_own(own, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}})); // the own one is applied already
}

CAF_TEST(listing_a_life_dot_is_depending_on_it) {
  gated g;
  bundle b;
  b.space = fixed_space();
  b.rid = 3;
  b.seq = 1;
  b.hlc = hlc_of_ms(now);
  b.roster_version = g.rules->version();
  b.ops = {op_delete{{{made_node_id({2, 1}, 0), {{2, 1}}}}}};
  auto removal
      = std::make_shared<sealed_bundle>(std::get<sealed_bundle>(seal_bundle(b, fixed_key(3))));
  g.gate.offer(removal, g.peer, now);
  CAF_CHECK(!g.gate.has_ready());
  g.gate.offer(g.next(2), g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}, {3, 1}}));
}

CAF_TEST(holds_the_future_until_it_is_due) {
  gated g;
  auto early = g.next(2, {}, now + clock_ahead_ms_max + 5'000);
  auto later = g.next(2, {}, now + clock_ahead_ms_max + 5'000);
  g.gate.offer(early, g.peer, now);
  g.gate.offer(later, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 2u);
  CAF_CHECK(events[0].what == kind::nack && events[0].code == nack_code::clock);
  CAF_REQUIRE(g.gate.due());
  CAF_CHECK_EQUAL(g.gate.due().value_or(0), now + 5'000);
  g.gate.look_again(now + 4'999);
  CAF_CHECK(!g.gate.has_ready());
  g.gate.look_again(now + 5'000);
  CAF_CHECK(g.ready() == (dots{{2, 1}, {2, 2}}));
  CAF_CHECK(!g.gate.due());
}

CAF_TEST(refuses_authors_without_the_role_until_the_roster_says_otherwise) {
  gated g;
  auto b = g.next(4);
  g.gate.offer(b, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK(events[0].code == nack_code::role);
  CAF_CHECK(g.gate.missing(4, 1, 10).empty()); // not asked for again
  g.gate.offer(b, g.peer, now);
  CAF_CHECK(g.gate.take_events().empty());
  g.govern(roster_set_role{4, member_role::writer, 1});
  CAF_CHECK_EQUAL(g.gate.missing(4, 1, 10).size(), 1u);
  g.gate.offer(b, g.peer, now);
  CAF_CHECK_EQUAL(g.gate.take_events().size(), 1u); // it still names the roster where it may not
}

CAF_TEST(waits_for_the_roster_a_bundle_names) {
  gated g;
  g.heads[2] = {};
  auto made = make_bundle(fixed_key(2), 2, {}, hlc_of_ms(now), g.rules->version() + 1, {});
  g.gate.offer(made, g.peer, now);
  CAF_CHECK(!g.gate.has_ready());
  CAF_CHECK(g.gate.take_events().empty());
  g.govern(roster_rename{2, "new"});
  CAF_CHECK(g.ready() == (dots{{2, 1}}));
}

CAF_TEST(refuses_chains_whose_clock_or_roster_goes_back) {
  for (bool by_clock : {true, false}) {
    gated g;
    g.govern(roster_rename{2, "new"});
    auto first = g.next(2);
    replica_head lying = head_of(*first);
    lying.hlc = 0;
    auto second
        = make_bundle(fixed_key(2), 2, lying, by_clock ? hlc_of_ms(now) - 1 : hlc_of_ms(now) + 1,
                      g.rules->version() - (by_clock ? 0 : 1), {});
    g.gate.offer(first, g.peer, now);
    g.gate.offer(second, g.peer, now);
    CAF_CHECK(g.ready() == (dots{{2, 1}}));
    auto events = g.gate.take_events();
    CAF_REQUIRE_EQUAL(events.size(), 1u);
    CAF_CHECK(events[0].code == nack_code::parse);
  }
}

CAF_TEST(two_bundles_with_one_number_freeze_the_replica) {
  gated g;
  auto first = g.next(2);
  auto other = make_bundle(fixed_key(2), 2, {}, hlc_of_ms(now) + 9, g.rules->version(), {});
  g.gate.offer(first, g.peer, now);
  g.gate.offer(first, g.peer, now);
  CAF_CHECK(g.gate.take_events().empty());
  g.gate.offer(other, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK(events[0].what == kind::conflict);
  CAF_CHECK(events[0].found == other);
  CAF_CHECK(g.gate.frozen_at(2) == std::optional<uint64_t>(1));
  auto second = g.next(2);
  g.gate.offer(second, g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}}));
  CAF_CHECK(g.gate.missing(2, 9, 10).empty());
  g.gate.offer(other, g.peer, now);
  CAF_CHECK(g.gate.take_events().empty()); // one proof is enough
  g.govern(roster_revoke{2, 2});
  CAF_CHECK(!g.gate.frozen_at(2));
  g.gate.offer(second, g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 2}}));
}

CAF_TEST(conflicts_among_parked_bundles_and_of_forked_chains_are_seen) {
  gated g;
  auto first = g.next(2);
  auto second = g.next(2);
  auto other_second
      = make_bundle(fixed_key(2), 2, head_of(*first), hlc_of_ms(now) + 99, g.rules->version(), {});
  g.gate.offer(second, g.peer, now);
  g.gate.offer(other_second, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK(events[0].other == second);

  gated h;
  auto a = h.next(2);
  auto fork = make_bundle(fixed_key(2), 2, {}, hlc_of_ms(now) + 5, h.rules->version(), {});
  auto after_fork
      = make_bundle(fixed_key(2), 2, head_of(*fork), hlc_of_ms(now) + 50, h.rules->version(), {});
  h.gate.offer(a, h.peer, now);
  h.gate.offer(after_fork, h.peer, now);
  CAF_REQUIRE_EQUAL(h.gate.take_events().size(), 1u);
  CAF_CHECK(h.gate.frozen_at(2).has_value());
  CAF_CHECK_EQUAL(h.gate.parked_count(), 0u);
}

CAF_TEST(old_numbers_are_compared_where_the_hash_is_forgotten) {
  gated g;
  auto first = g.next(2);
  g.gate.offer(first, g.peer, now);
  for (size_t i = 0; i < recent_hashes_per_replica_max; ++i)
    g.gate.offer(g.next(2), g.peer, now);
  CAF_CHECK(g.gate.take_events().empty());
  g.gate.offer(first, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK(events[0].what == kind::compare);
}

CAF_TEST(a_cut_drops_what_lies_above_and_lets_contexts_pass) {
  gated g;
  auto a1 = g.next(2);
  auto a2 = g.next(2);
  auto a3 = g.next(2);
  auto b1 = g.next(3, {{2, 3}});
  g.gate.offer(a1, g.peer, now);
  g.gate.offer(a2, g.peer, now);
  CAF_CHECK(g.ready().size() == 2);
  g.gate.offer(b1, g.peer, now);
  CAF_CHECK(!g.gate.has_ready());
  g.govern(roster_revoke{2, 1});
  CAF_CHECK(g.ready() == (dots{{3, 1}})); // its context counts as the cut
  CAF_CHECK_EQUAL(g.gate.passed(2), 1u);
  g.gate.offer(a2, g.peer, now);
  g.gate.offer(a3, g.peer, now);
  CAF_CHECK(!g.gate.has_ready());
  CAF_CHECK(!g.gate.frozen_at(2));
  CAF_CHECK(g.gate.missing(2, 3, 10).empty());
}

CAF_TEST(a_checkpoint_cut_is_told_as_rebase) {
  gated g;
  auto a1 = g.next(2);
  auto a2 = g.next(2);
  g.gate.offer(a1, g.peer, now);
  g.ready();
  g.gate.cut(2, 1);
  g.gate.offer(a2, g.peer, now);
  auto events = g.gate.take_events();
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK(events[0].code == nack_code::rebase);
  CAF_CHECK(!g.gate.has_ready());
}

CAF_TEST(parking_is_bounded_and_never_blocks_what_may_pass) {
  gated g;
  auto first = g.next(2);
  size_t parked = 0;
  bool full = false;
  for (int i = 0; i < 40 && !full; ++i) {
    full = !g.gate.offer(g.next(2, {}, now, 4096, true), g.peer, now);
    parked += full ? 0 : 1;
  }
  CAF_CHECK(full);
  CAF_CHECK(parked > 4);
  CAF_CHECK(g.gate.parked_bytes() <= parked_bytes_per_peer_max);
  CAF_CHECK(g.gate.offer(first, g.peer, now));
  CAF_CHECK_EQUAL(g.ready().size(), parked + 1);
  CAF_CHECK_EQUAL(g.gate.parked_bytes(), 0u);
  CAF_CHECK_EQUAL(g.gate.ready_bytes(), 0u);
}

CAF_TEST(a_flood_is_slowed_to_the_quota) {
  gated g;
  size_t passed = 0;
  size_t made = 0;
  while (g.gate.take_events().empty()) {
    g.gate.offer(g.next(2, {}, now, 4096), g.peer, now);
    ++made;
  }
  passed = g.ready().size();
  CAF_CHECK_EQUAL(passed, static_cast<size_t>(quota_ops_burst / 4096));
  CAF_CHECK_EQUAL(made, passed + 1);
  g.gate.look_again(now + 1'000);
  CAF_CHECK(!g.gate.has_ready());
  g.gate.look_again(*g.gate.due());
  CAF_CHECK_EQUAL(g.ready().size(), 1u);
  g.gate.offer(g.next(3), g.peer, now); // others are not held
  CAF_CHECK_EQUAL(g.ready().size(), 1u);
}

CAF_TEST(rolling_back_asks_for_it_again) {
  gated g;
  auto first = g.next(2);
  auto second = g.next(2);
  g.gate.offer(first, g.peer, now);
  g.gate.roll_back({});
  CAF_CHECK(!g.gate.has_ready());
  CAF_CHECK_EQUAL(g.gate.missing(2, 2, 10).size(), 1u);
  g.gate.offer(second, g.peer, now);
  g.gate.offer(first, g.peer, now);
  CAF_CHECK(g.ready() == (dots{{2, 1}, {2, 2}}));
}

CAF_TEST(batches_end_at_the_operation_limit) {
  gated g;
  for (int i = 0; i < 5; ++i)
    g.gate.offer(g.next(2, {}, now, 900), g.peer, now);
  CAF_CHECK_EQUAL(g.gate.take_ready(2000).size(), 2u);
  CAF_CHECK_EQUAL(g.gate.take_ready(10).size(), 1u); // at least one
  CAF_CHECK_EQUAL(g.gate.take_ready(2000).size(), 2u);
}
