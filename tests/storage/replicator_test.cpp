#define CAF_SUITE replicator
#include "storage/replicator.hpp"
#include "tests/storage/replicator_world.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::test;

namespace {

constexpr uint64_t now = world_start_ms;

/// One replicator (replica 1, keeper), fed by hand. Peers 2 and 3 are writers, 4 a reader.
struct lone {
  signing_key governor = fixed_key(99);
  std::shared_ptr<const roster> rules
      = make_roster(governor, {member_role::keeper, member_role::writer, member_role::writer,
                               member_role::reader});
  std::unique_ptr<replicator> core;
  std::map<replica_id, replica_head> heads;

  lone() {
    replicator_start start;
    start.device = peer(1);
    start.state_root.bytes.fill(1);
    core = std::make_unique<replicator>(rules, std::move(start));
  }
  static device_key peer(uint8_t number) { return fixed_key(number).public_key(); }
  bundle_ptr next(replica_id rid, std::vector<dot> context = {}, size_t ops = 1, bool heavy = false,
                  uint64_t ms = now) {
    auto made = make_bundle(fixed_key(static_cast<uint8_t>(rid)), rid, heads[rid], hlc_of_ms(ms),
                            rules->version(), std::move(context), ops, heavy);
    heads[rid] = head_of(*made);
    return made;
  }
  head_message head(version_vector vv) const {
    head_message m;
    m.space = fixed_space();
    m.complete = true;
    m.vv = std::move(vv);
    m.roster_version = rules->version();
    return m;
  }
  replicator_effects ops(uint64_t at, uint8_t from, const std::vector<bundle_ptr>& all,
                         bool answer = true) {
    size_t bytes = 0;
    for (const auto& b : all)
      bytes += b->raw.size();
    return core->ops(at, peer(from), all, bytes, answer);
  }
};

template <class Effect>
std::vector<Effect> only(const replicator_effects& effects) {
  std::vector<Effect> out;
  for (const auto& e : effects) {
    if (const auto* one = std::get_if<Effect>(&e))
      out.push_back(*one);
  }
  return out;
}

/// Messages of one kind with who gets them.
template <class Message>
std::vector<std::pair<device_key, Message>> sent(const replicator_effects& effects) {
  std::vector<std::pair<device_key, Message>> out;
  for (const auto& e : only<send_effect>(effects)) {
    if (const auto* one = std::get_if<Message>(&e.message))
      out.emplace_back(e.to, *one);
  }
  return out;
}

applied_result good() {
  applied_result out;
  out.state_root.bytes.fill(2);
  return out;
}

} // namespace

CAF_TEST(a_link_begins_with_a_complete_head) {
  lone l;
  auto heads = sent<head_message>(l.core->peer_up(now, l.peer(2)));
  CAF_REQUIRE_EQUAL(heads.size(), 1u);
  CAF_CHECK(heads[0].second.complete);
  CAF_CHECK(heads[0].first == l.peer(2));
  CAF_CHECK(l.core->peer_up(now, l.peer(9)).empty());                // no member
  CAF_CHECK(l.core->head(now, l.peer(3), l.head({{2, 1}})).empty()); // not connected
}

CAF_TEST(asks_for_what_is_missing_once) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->peer_up(now, l.peer(3));
  auto wants = sent<want_ops_message>(l.core->head(now, l.peer(2), l.head({{2, 3}, {3, 2}})));
  CAF_REQUIRE_EQUAL(wants.size(), 1u);
  CAF_CHECK(wants[0].second.ranges == (std::vector<op_range>{{2, 1, 3}, {3, 1, 2}}));
  CAF_CHECK_EQUAL(wants[0].second.credit_bytes, static_cast<uint64_t>(ops_credit_bytes_max));
  CAF_CHECK(sent<want_ops_message>(l.core->head(now, l.peer(3), l.head({{2, 3}, {3, 2}}))).empty());
  CAF_CHECK_EQUAL(l.core->behind(), 5u);
  wants = sent<want_ops_message>(l.core->head(now, l.peer(3), l.head({{2, 5}, {3, 2}})));
  CAF_CHECK(wants.empty()); // the rest of replica 2 once the first range is there
  std::vector<bundle_ptr> all{l.next(2), l.next(2), l.next(2)};
  wants = sent<want_ops_message>(l.ops(now, 2, all));
  CAF_REQUIRE_EQUAL(wants.size(), 1u);
  CAF_CHECK(wants[0].first == l.peer(3));
  CAF_CHECK(wants[0].second.ranges == (std::vector<op_range>{{2, 4, 5}}));
}

CAF_TEST(a_dead_or_silent_peer_is_replaced) {
  lone l;
  for (uint8_t p : {2, 3}) {
    l.core->peer_up(now, l.peer(p));
    l.core->head(now, l.peer(p), l.head({{2, 3}}));
  }
  auto wants = sent<want_ops_message>(l.core->peer_down(now, l.peer(2)));
  if (wants.empty()) { // peer 3 was the one asked
    l.core->peer_up(now, l.peer(2));
    l.core->head(now, l.peer(2), l.head({{2, 3}}));
    wants = sent<want_ops_message>(l.core->peer_down(now, l.peer(3)));
    CAF_REQUIRE_EQUAL(wants.size(), 1u);
    CAF_CHECK(wants[0].first == l.peer(2));
    l.core->peer_up(now, l.peer(3));
    l.core->head(now, l.peer(3), l.head({{2, 3}}));
  } else {
    CAF_CHECK(wants[0].first == l.peer(3));
    l.core->peer_up(now, l.peer(2));
    l.core->head(now, l.peer(2), l.head({{2, 3}}));
  }
  auto asked = wants[0].first;
  CAF_CHECK(sent<want_ops_message>(l.core->tick(now + want_silence_ms_max - 1)).empty());
  wants = sent<want_ops_message>(l.core->tick(now + want_silence_ms_max));
  CAF_REQUIRE_EQUAL(wants.size(), 1u);
  CAF_CHECK(wants[0].first != asked);
}

CAF_TEST(applies_one_batch_at_a_time) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  auto first = only<apply_effect>(l.ops(now, 2, {l.next(2)}));
  CAF_REQUIRE_EQUAL(first.size(), 1u);
  CAF_CHECK(only<apply_effect>(l.ops(now, 2, {l.next(2), l.next(2)})).empty());
  CAF_CHECK(l.core->vv().empty());
  auto second = only<apply_effect>(l.core->applied(now, good()));
  CAF_REQUIRE_EQUAL(second.size(), 1u);
  CAF_CHECK_EQUAL(second[0].bundles.size(), 2u);
  CAF_CHECK(l.core->vv() == (version_vector{{2, 1}}));
  l.core->applied(now, good());
  CAF_CHECK(l.core->vv() == (version_vector{{2, 3}}));
  CAF_CHECK(l.core->is_idle());
}

CAF_TEST(a_failed_batch_is_fetched_and_tried_again_later) {
  lone l;
  l.core->tick(now);
  l.core->peer_up(now, l.peer(2));
  l.core->head(now, l.peer(2), l.head({{2, 1}}));
  auto b = l.next(2);
  l.ops(now, 2, {b});
  auto effects = l.core->applied(now, {false, {}, {}});
  CAF_CHECK_EQUAL(sent<want_ops_message>(effects).size(), 1u);
  CAF_CHECK(l.core->vv().empty());
  CAF_CHECK(only<apply_effect>(l.ops(now, 2, {b})).empty());
  CAF_CHECK_EQUAL(l.core->due().value_or(0), now + std::min(apply_retry_ms, want_silence_ms_max));
  CAF_CHECK_EQUAL(only<apply_effect>(l.core->tick(now + apply_retry_ms)).size(), 1u);
}

CAF_TEST(heads_are_told_at_most_every_200_ms) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->peer_up(now, l.peer(3));
  l.ops(now, 2, {l.next(2)});
  CAF_CHECK(sent<head_message>(l.core->applied(now + 10, good())).empty());
  CAF_CHECK(sent<head_message>(l.core->tick(now + head_every_ms_min - 1)).empty());
  CAF_CHECK_EQUAL(l.core->due().value_or(0), now + head_every_ms_min);
  auto heads = sent<head_message>(l.core->tick(now + head_every_ms_min));
  CAF_REQUIRE_EQUAL(heads.size(), 2u);
  CAF_CHECK(!heads[0].second.complete);
  CAF_CHECK(heads[0].second.vv == (version_vector{{2, 1}}));
  CAF_CHECK(sent<head_message>(l.core->tick(now + 2 * head_every_ms_min)).empty()); // nothing new
}

CAF_TEST(what_a_peer_missed_before_it_listened_is_told_again) {
  lone l;
  l.core->local(now, {l.next(1), l.next(1)}, good());
  l.core->peer_up(now, l.peer(2));
  auto heads = sent<head_message>(l.core->head(now + 10, l.peer(2), l.head({}))); // ours got lost
  CAF_CHECK(heads.empty());
  CAF_CHECK(l.core->due().value_or(0) <= now + head_every_ms_min);
  heads = sent<head_message>(l.core->tick(now + head_every_ms_min));
  CAF_REQUIRE_EQUAL(heads.size(), 1u);
  CAF_CHECK(!heads[0].second.complete); // is not answered in turn
  CAF_CHECK(heads[0].second.vv == (version_vector{{1, 2}}));
  l.core->head(now + 300, l.peer(2), l.head({{1, 2}}));
  CAF_CHECK(sent<head_message>(l.core->tick(now + 1'000)).empty()); // lacks nothing

  auto newer = l.head({{1, 2}});
  newer.roster_version = l.rules->version() + 1;
  // so that it sends the roster
  CAF_CHECK_EQUAL(sent<head_message>(l.core->head(now + 1'000, l.peer(2), newer)).size(), 1u);
}

CAF_TEST(own_bundles_are_pushed_at_once_to_those_who_have_the_one_before) {
  lone l;
  for (uint8_t p : {2, 3, 4})
    l.core->peer_up(now, l.peer(p));
  l.core->head(now, l.peer(2), l.head({}));
  l.core->head(now, l.peer(3), l.head({}));
  auto pushes = sent<ops_message>(l.core->local(now, {l.next(1), l.next(1)}, good()));
  CAF_REQUIRE_EQUAL(pushes.size(), 2u); // peer 4 has not spoken yet
  CAF_CHECK(!pushes[0].second.answer);
  CAF_CHECK_EQUAL(pushes[0].second.bundles.size(), 2u);
  CAF_CHECK(l.core->vv() == (version_vector{{1, 2}}));
  CAF_CHECK(only<apply_effect>(l.core->tick(now)).empty()); // the store has them
  CAF_CHECK_EQUAL(sent<ops_message>(l.core->local(now, {l.next(1)}, good())).size(), 2u);
}

CAF_TEST(pushes_to_a_peer_that_does_not_keep_up_end) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->head(now, l.peer(2), l.head({}));
  size_t pushed = 0;
  for (int i = 0; i < 40; ++i) {
    auto b = l.next(1, {}, 4096, true);
    pushed += sent<ops_message>(l.core->local(now, {b}, good())).empty() ? 0 : b->raw.size();
  }
  CAF_CHECK(pushed <= pushed_bytes_max);
  CAF_CHECK(pushed > pushed_bytes_max / 2);
  l.core->head(now, l.peer(2), l.head({{1, 40}}));
  CAF_CHECK_EQUAL(sent<ops_message>(l.core->local(now, {l.next(1)}, good())).size(), 1u);
}

CAF_TEST(answers_stop_when_the_credit_is_spent) {
  lone l;
  std::map<dot, bundle_ptr> log;
  for (int i = 0; i < 60; ++i) {
    auto b = l.next(1, {}, 4096, true);
    log[b->content.id()] = b;
    l.core->local(now, {b}, good());
  }
  l.core->peer_up(now, l.peer(2));
  size_t bytes = 0;
  uint64_t next = 1;
  auto serve = [&](replicator_effects effects) {
    for (auto loads = only<load_effect>(effects); !loads.empty();
         loads = only<load_effect>(effects)) {
      CAF_REQUIRE_EQUAL(loads.size(), 1u);
      CAF_CHECK_EQUAL(loads[0].ranges[0].from, next);
      std::vector<std::string> raws{log[{1, next}]->raw};
      bytes += raws[0].size();
      ++next;
      effects = l.core->loaded(now, loads[0], raws);
      auto answers = sent<ops_message>(effects);
      CAF_REQUIRE_EQUAL(answers.size(), 1u);
      CAF_CHECK(answers[0].second.answer);
    }
  };
  serve(l.core->want_ops(now, l.peer(2), {fixed_space(), {{1, 1, 60}}, UINT64_MAX}));
  CAF_CHECK(bytes >= static_cast<size_t>(ops_credit_bytes_max));
  CAF_CHECK(bytes < static_cast<size_t>(ops_credit_bytes_max) + bundle_sent_bytes_max);
  auto before = next;
  serve(l.core->want_ops(now, l.peer(2), {fixed_space(), {}, 4 << 20})); // more credit, same ranges
  CAF_CHECK(next > before);
  std::vector<op_range> many(want_ranges_max, op_range{1, 1, 1});
  l.core->want_ops(now, l.peer(2), {fixed_space(), many, 0});
  CAF_CHECK(only<load_effect>(l.core->want_ops(now, l.peer(2), {fixed_space(), many, 1 << 20}))
                .empty()); // too many open
}

CAF_TEST(the_asker_tops_up_before_the_credit_ends) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->head(now, l.peer(2), l.head({{2, 100}}));
  size_t bytes = 0;
  size_t topped = 0;
  for (int i = 0; i < 24; ++i) {
    auto b = l.next(2, {}, 4096, true);
    bytes += b->raw.size();
    for (const auto& [to, want] : sent<want_ops_message>(l.ops(now, 2, {b}))) {
      CAF_CHECK(want.ranges.empty());
      topped += want.credit_bytes;
    }
    l.core->applied(now, good());
  }
  CAF_CHECK(bytes > static_cast<size_t>(ops_credit_bytes_max) / 2);
  CAF_CHECK(topped >= static_cast<size_t>(ops_credit_bytes_max) / 2);
  CAF_CHECK(topped <= bytes);
}

CAF_TEST(what_the_log_lost_is_refused_with_rebase_only_when_said) {
  lone l;
  l.core->local(now, {l.next(1)}, good());
  l.core->peer_up(now, l.peer(2));
  for (bool gap : {false, true}) {
    auto loads = only<load_effect>(
        l.core->want_ops(now, l.peer(2), {fixed_space(), {{1, 1, 1}, {3, 1, 1}}, 1 << 20}));
    CAF_REQUIRE_EQUAL(loads.size(), 1u);
    auto nacks = sent<nack_message>(l.core->loaded(now, loads[0], {}, gap));
    CAF_REQUIRE_EQUAL(nacks.size(), gap ? 1u : 0u);
    if (gap)
      CAF_CHECK(nacks[0].second.code == nack_code::rebase && nacks[0].second.rid == 1);
  }
}

CAF_TEST(equivocation_is_proven_to_everybody_and_served_no_more) {
  lone l;
  for (uint8_t p : {2, 3, 4})
    l.core->peer_up(now, l.peer(p));
  auto first = l.next(2);
  auto other = make_bundle(fixed_key(2), 2, {}, hlc_of_ms(now) + 7, l.rules->version(), {});
  l.ops(now, 3, {first});
  l.core->applied(now, good());
  auto effects = l.ops(now, 2, {other});
  auto proofs = only<equivocation_effect>(effects);
  CAF_REQUIRE_EQUAL(proofs.size(), 1u);
  CAF_CHECK(proofs[0].found == other);
  auto told = sent<ops_message>(effects);
  CAF_REQUIRE_EQUAL(told.size(), 2u); // all but the one who brought it
  for (const auto& [to, m] : told)
    CAF_CHECK(to != l.peer(2) && m.bundles == std::vector<std::string>{other->raw});
  CAF_CHECK(only<apply_effect>(l.ops(now, 2, {l.next(2)})).empty());
  auto loads
      = only<load_effect>(l.core->want_ops(now, l.peer(4), {fixed_space(), {{2, 1, 1}}, 1 << 20}));
  CAF_REQUIRE_EQUAL(loads.size(), 1u);
  CAF_CHECK(sent<ops_message>(l.core->loaded(now, loads[0], {first->raw})).empty());
}

CAF_TEST(an_old_number_is_compared_in_the_store) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  auto first = l.next(2);
  std::vector<bundle_ptr> all{first};
  for (size_t i = 0; i <= recent_hashes_per_replica_max; ++i)
    all.push_back(l.next(2));
  l.ops(now, 2, all);
  l.core->applied(now, good());
  auto compares = only<compare_effect>(l.ops(now, 2, {first}));
  CAF_REQUIRE_EQUAL(compares.size(), 1u);
  CAF_CHECK_EQUAL(only<equivocation_effect>(l.core->equivocated(now, compares[0])).size(), 1u);
  CAF_CHECK(only<equivocation_effect>(l.core->equivocated(now, compares[0])).empty());
}

CAF_TEST(the_future_is_neither_applied_nor_forwarded_until_due) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  auto effects = l.ops(now, 2, {l.next(2, {}, 1, false, now + clock_ahead_ms_max + 3'000)});
  CAF_CHECK(only<apply_effect>(effects).empty());
  CAF_CHECK_EQUAL(only<clock_ahead_effect>(effects).size(), 1u);
  auto nacks = sent<nack_message>(effects);
  CAF_REQUIRE_EQUAL(nacks.size(), 1u);
  CAF_CHECK(nacks[0].second.code == nack_code::clock);
  CAF_CHECK(only<apply_effect>(l.core->tick(now + 2'999)).empty());
  CAF_CHECK_EQUAL(only<apply_effect>(l.core->tick(now + 3'000)).size(), 1u);
}

CAF_TEST(a_peer_with_an_older_roster_gets_the_entries) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  auto old = l.head({});
  old.roster_version = 1;
  auto entries = sent<roster_message>(l.core->head(now, l.peer(2), old));
  CAF_REQUIRE_EQUAL(entries.size(), 1u);
  CAF_CHECK_EQUAL(entries[0].second.entries.size(), 3u);
  CAF_CHECK(sent<roster_message>(l.core->head(now, l.peer(2), old)).empty()); // under way already
  auto grown = std::make_shared<roster>(*l.rules);
  grown->append_change(roster_rename{2, "x"}, now, l.governor);
  auto told = l.head({});
  l.core->head(now, l.peer(2), told);
  entries = sent<roster_message>(l.core->roster_changed(now, grown));
  CAF_REQUIRE_EQUAL(entries.size(), 1u);
  CAF_CHECK_EQUAL(entries[0].second.entries.size(), 1u);
}

CAF_TEST(a_renewed_lease_goes_round_once) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->peer_up(now, l.peer(3));
  l.core->head(now, l.peer(2), l.head({}));
  l.core->head(now, l.peer(3), l.head({}));
  auto renewed = std::make_shared<roster>(*l.rules);
  renewed->append_change(roster_lease{now + 1000}, now, l.governor);
  auto from = l.peer(2);
  auto told = sent<roster_message>(l.core->roster_changed(now, renewed, &from));
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0].first == l.peer(3));
  CAF_CHECK(sent<roster_message>(l.core->roster_changed(now, renewed)).empty());
}

CAF_TEST(a_revoked_peer_is_let_go_and_its_late_work_is_void) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.ops(now, 2, {l.next(2), l.next(2)});
  l.core->applied(now, good());
  auto grown = std::make_shared<roster>(*l.rules);
  grown->append_change(roster_revoke{2, 1}, now, l.governor);
  l.core->roster_changed(now, grown);
  CAF_CHECK(l.core->vv() == (version_vector{{2, 1}}));
  CAF_CHECK(l.core->peers().empty());
  CAF_CHECK(l.ops(now, 2, {l.next(2)}).empty());
}

CAF_TEST(equal_numbers_with_another_root_are_an_alarm) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  auto same = l.head({});
  same.state_root.bytes.fill(1);
  CAF_CHECK(only<state_differs_effect>(l.core->head(now, l.peer(2), same)).empty());
  same.state_root.bytes.fill(9);
  CAF_CHECK_EQUAL(only<state_differs_effect>(l.core->head(now, l.peer(2), same)).size(), 1u);
  same.vv[2] = 1;
  CAF_CHECK(only<state_differs_effect>(l.core->head(now, l.peer(2), same)).empty()); // it has more
  l.core->head(now, l.peer(2), l.head({}));
  CAF_CHECK(sent<head_message>(l.core->tick(now + root_compare_every_ms - 1)).empty());
  auto heads = sent<head_message>(l.core->tick(now + root_compare_every_ms));
  CAF_REQUIRE_EQUAL(heads.size(), 1u);
  CAF_CHECK(!heads[0].second.state_root.is_zero());
}

CAF_TEST(an_old_copy_of_the_database_is_noticed) {
  lone l;
  auto grown = std::make_shared<roster>(*l.rules);
  grown->append_change(roster_set_role{2, member_role::keeper, 1}, now, l.governor);
  l.core->roster_changed(now, grown);
  l.core->peer_up(now, l.peer(2));
  l.core->peer_up(now, l.peer(3));
  CAF_CHECK(l.core->has_own_chain());
  l.core->head(now, l.peer(3), l.head({{1, 5}})); // a writer is not believed
  CAF_CHECK(l.core->has_own_chain());
  l.core->head(now, l.peer(2), l.head({{1, 1}}));
  CAF_CHECK(!l.core->has_own_chain());
  l.ops(now, 2, {l.next(1)});
  l.core->applied(now, good());
  CAF_CHECK(l.core->has_own_chain());
}

CAF_TEST(beats_are_made_gossiped_and_counted_when_covered) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->peer_up(now, l.peer(3));
  CAF_CHECK_EQUAL(only<beat_effect>(l.core->tick(now + beat_every_ms)).size(), 1u);
  CAF_CHECK(only<beat_effect>(l.core->tick(now + beat_every_ms + 1)).empty());
  auto beat = signed_beat::make(fixed_space(), {2, 1}, hlc_of_ms(now), fixed_key(2));
  auto effects = l.core->beat(now, l.peer(2), beat);
  auto told = sent<beat_message>(effects);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0].first == l.peer(3));
  CAF_CHECK(only<keep_beat_effect>(effects).empty()); // its bundle is not here yet
  CAF_CHECK(l.core->beat(now, l.peer(3), beat).empty());
  auto forged = signed_beat::make(fixed_space(), {2, 1}, hlc_of_ms(now + 60'000), fixed_key(3));
  CAF_CHECK(l.core->beat(now + 60'000, l.peer(3), forged).empty());
  l.ops(now, 2, {l.next(2)});
  CAF_CHECK_EQUAL(only<keep_beat_effect>(l.core->applied(now, good())).size(), 1u);
  CAF_CHECK_EQUAL(l.core->covered_beats().count(2), 1u);
}

CAF_TEST(no_room_is_asked_again_after_a_second) {
  lone l;
  l.core->peer_up(now, l.peer(2));
  l.core->head(now, l.peer(2), l.head({{2, 40}}));
  auto first = l.next(2);
  replicator_effects effects;
  for (int i = 0; i < 39; ++i)
    effects = l.ops(now, 2, {l.next(2, {}, 4096, true)});
  CAF_CHECK(l.core->parked_bytes() <= parked_bytes_per_peer_max);
  CAF_CHECK(sent<want_ops_message>(effects).empty());
  auto wants = sent<want_ops_message>(l.core->tick(now + no_room_wait_ms));
  CAF_REQUIRE_EQUAL(wants.size(), 1u);
  CAF_REQUIRE_EQUAL(wants[0].second.ranges.size(), 1u);
  CAF_CHECK(wants[0].second.ranges[0] == (op_range{2, 1, 1})); // the gap first
}
