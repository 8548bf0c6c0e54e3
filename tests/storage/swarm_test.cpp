// Many pickers and serve queues on virtual time, against the fluid bound of storage.md 13 (target 13) and against members that
// lie, corrupt, stall or vanish.
#define CAF_SUITE swarm
#include "tests/storage/swarm_world.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>

using namespace harp;
using namespace harp::test;

namespace {

constexpr double mbit = 1e6 / 8;
constexpr uint64_t mib = 1u << 20;
constexpr uint32_t mean_chunk = 1u << 20;

/// No swarm can be faster: the source, the slowest receiver, all uplinks together.
double bound_ms(double bytes, double source_up, double down, const std::vector<double>& ups) {
  double all = source_up;
  for (auto up : ups)
    all += up;
  return 1000
         * std::max(
             {bytes / source_up, bytes / down, static_cast<double>(ups.size()) * bytes / all});
}

struct swarm_shape {
  size_t receivers = 4;
  uint64_t bytes = 64 * mib;
  double source_up = 20 * mbit, receiver_up = 1000 * mbit, down = 1000 * mbit;
  double rtt_ms = 20;
  bool lan = true;    // the receivers sit in one LAN, the source does not
  bool mixed = false; // every other receiver has a quarter of the uplink
  uint64_t seed = 1;
};

struct outcome {
  double ratio = 0;      // time of the last receiver / bound
  double duplicates = 0; // bytes that came without need / bytes needed
  uint64_t trace = 0;
};

outcome one_source(const swarm_shape& how) {
  swarm_world world(how.seed);
  const auto content = make_content(world.random, how.bytes, mean_chunk);
  world.add_content(content);
  const auto source = world.add_node(how.source_up, how.down, habit::honest, true);
  world.seed(source, content.cid);
  std::vector<double> ups;
  for (size_t i = 0; i < how.receivers; ++i) {
    ups.push_back(how.mixed && i % 2 == 1 ? how.receiver_up / 4 : how.receiver_up);
    world.add_node(ups.back(), how.down);
  }
  const auto in_lan
      = [&](replica_id a, replica_id b) { return how.lan && a != source && b != source; };
  world.rtt_ms = [&](replica_id a, replica_id b) { return in_lan(a, b) ? 1.0 : how.rtt_ms; };
  world.reach = [&](replica_id a, replica_id b) {
    return in_lan(a, b) ? peer_reach::lan : peer_reach::direct;
  };
  world.connect_all();
  for (size_t i = 0; i < how.receivers; ++i)
    world.want(static_cast<replica_id>(i + 2), content.cid, source);
  const double bound = bound_ms(static_cast<double>(how.bytes), how.source_up, how.down, ups);
  const double took = world.run(bound * 20 + 10'000);
  CAF_CHECK(world.all_done());
  CAF_CHECK_EQUAL(world.twice_asked(), 0u);
  uint64_t received = 0;
  for (size_t i = 0; i < how.receivers; ++i)
    received += world.node(static_cast<replica_id>(i + 2)).received_bytes;
  const double needed = static_cast<double>(how.bytes) * static_cast<double>(how.receivers);
  outcome out{took / bound, static_cast<double>(received) / needed - 1, world.trace()};
  CAF_MESSAGE("seed " << how.seed << ": " << how.receivers << " receivers, " << how.bytes / mib
                      << " MiB, source " << how.source_up / mbit << " Mbit/s, receivers "
                      << how.receiver_up / mbit << ", rtt " << how.rtt_ms << " ms"
                      << (how.lan ? ", LAN" : "") << (how.mixed ? ", mixed" : "") << ": "
                      << out.ratio << " of the bound, duplicates " << out.duplicates * 100 << " %");
  return out;
}

/// A world with one honest source of one content, one receiver, and others in between.
struct hostile_world {
  explicit hostile_world(uint64_t bytes, uint64_t seed = 7) : world(seed) {
    CAF_MESSAGE("seed " << seed);
    content = make_content(world.random, bytes, mean_chunk);
    world.add_content(content);
    honest = world.add_node(40 * mbit, 1000 * mbit);
    receiver = world.add_node(1000 * mbit, 1000 * mbit);
    world.seed(honest, content.cid);
  }
  replica_id add(habit does, double up = 400 * mbit) {
    const auto rid = world.add_node(up, 1000 * mbit, does);
    world.seed(rid, content.cid);
    return rid;
  }
  double fetch(double limit_ms) {
    world.connect_all();
    world.want(receiver, content.cid, honest);
    return world.run(limit_ms);
  }
  [[nodiscard]] bool is_whole() { return world.node(receiver).has[content.cid].all(); }
  swarm_world world;
  world_content content;
  replica_id honest = 0, receiver = 0;
};

} // namespace

CAF_TEST(slow_source_and_fast_lan_come_close_to_the_bound) {
  for (size_t receivers : {1u, 2u, 4u, 8u, 16u, 32u}) {
    const auto got = one_source({.receivers = receivers});
    CAF_CHECK_LESS(got.ratio, 1.15);
    CAF_CHECK_LESS(got.duplicates, 0.05);
  }
}

CAF_TEST(one_source_to_eight_with_equal_links_comes_close_to_the_bound) {
  const auto got = one_source({.receivers = 8,
                               .bytes = 512 * mib,
                               .source_up = 100 * mbit,
                               .receiver_up = 100 * mbit,
                               .down = 100 * mbit,
                               .lan = false});
  CAF_CHECK_LESS(got.ratio, 1.15);
  CAF_CHECK_LESS(got.duplicates, 0.05);
}

CAF_TEST(mixed_uplinks_come_close_to_the_bound) {
  for (size_t receivers : {4u, 8u, 16u})
    for (uint64_t seed : {1u, 2u, 3u}) {
      const auto got = one_source({.receivers = receivers,
                                   .bytes = 128 * mib,
                                   .source_up = 50 * mbit,
                                   .receiver_up = 200 * mbit,
                                   .lan = false,
                                   .mixed = true,
                                   .seed = seed});
      CAF_CHECK_LESS(got.ratio, 1.15);
      CAF_CHECK_LESS(got.duplicates, 0.05);
    }
}

CAF_TEST(long_round_trips_do_not_cap_the_rate) {
  for (double rtt_ms : {1.0, 30.0, 100.0, 300.0}) {
    const auto got = one_source(
        {.receivers = 1, .bytes = 512 * mib, .source_up = 400 * mbit, .rtt_ms = rtt_ms});
    CAF_CHECK_LESS(got.ratio,
                   rtt_ms < 200 ? 1.15 : 1.3); // the doubling of the window takes its round trips
    CAF_CHECK_LESS(got.duplicates, 0.05);
  }
}

CAF_TEST(same_seed_gives_the_same_trace) {
  const swarm_shape how{.receivers = 5, .mixed = true, .seed = 42};
  const auto first = one_source(how), second = one_source(how);
  CAF_CHECK_EQUAL(first.trace, second.trace);
  auto other = how;
  other.seed = 43;
  CAF_CHECK_NOT_EQUAL(first.trace, one_source(other).trace);
}

CAF_TEST(peers_that_leave_and_join_do_not_stop_the_others) {
  swarm_world world(11);
  const auto content = make_content(world.random, 96 * mib, mean_chunk);
  world.add_content(content);
  const auto source = world.add_node(40 * mbit, 1000 * mbit, habit::honest, true);
  world.seed(source, content.cid);
  for (int i = 0; i < 6; ++i)
    world.add_node(100 * mbit, 1000 * mbit);
  world.node(7).alive = false; // comes later
  world.connect_all();
  for (replica_id rid = 2; rid <= 6; ++rid)
    world.want(rid, content.cid, source);
  world.at(5'000, [&] { world.leave(2); });
  world.at(9'000, [&] { world.leave(4); });
  world.at(8'000, [&] {
    world.node(7).alive = true;
    for (replica_id rid : {1u, 3u, 5u, 6u})
      world.connect(rid, 7);
    world.want(7, content.cid, source);
  });
  world.run(120'000);
  CAF_CHECK(world.all_done());
  for (replica_id rid : {3u, 5u, 6u, 7u})
    CAF_CHECK(world.node(rid).has[content.cid].all());
  CAF_CHECK(!world.node(2).has[content.cid].all());
  CAF_CHECK_EQUAL(world.twice_asked(), 0u);
}

CAF_TEST(source_that_leaves_is_replaced_by_those_who_have_its_chunks) {
  swarm_world world(12);
  const auto content = make_content(world.random, 32 * mib, mean_chunk);
  world.add_content(content);
  const auto author = world.add_node(100 * mbit, 100 * mbit),
             keeper = world.add_node(100 * mbit, 100 * mbit);
  const auto receiver = world.add_node(100 * mbit, 100 * mbit);
  world.seed(author, content.cid);
  world.seed(keeper, content.cid);
  world.connect_all();
  world.want(receiver, content.cid, author);
  world.at(1'000, [&] { world.leave(author); });
  world.run(60'000);
  CAF_CHECK(world.all_done());
}

CAF_TEST(waits_for_the_device_that_has_it) {
  swarm_world world(13);
  const auto content = make_content(world.random, 32 * mib, mean_chunk);
  world.add_content(content);
  const auto author = world.add_node(10 * mbit, 100 * mbit),
             receiver = world.add_node(100 * mbit, 100 * mbit);
  world.seed(author, content.cid);
  world.connect_all();
  world.want(receiver, content.cid, author);
  world.at(2'000, [&] { world.leave(author); });
  world.run(10'000);
  CAF_CHECK(!world.all_done());
  const auto line = world.node(receiver).picks->waiting_for(content.cid);
  CAF_CHECK(line.reason == wait_reason::peer_offline);
  CAF_CHECK_EQUAL(line.peer, author);
  CAF_CHECK(line.bytes_had > 0 && line.bytes_had < content.size);
}

CAF_TEST(sender_of_wrong_bytes_is_banned_and_the_file_comes_from_others) {
  hostile_world here(48 * mib);
  const auto liar = here.add(habit::wrong_bytes);
  here.fetch(120'000);
  CAF_CHECK(here.is_whole());
  CAF_CHECK(here.world.node(here.receiver).banned.contains(liar));
  CAF_CHECK(!here.world.node(here.receiver).banned.contains(here.honest));
  CAF_CHECK_EQUAL(here.world.node(here.receiver).picks->totals().bad_chunks >= 3, true);
}

CAF_TEST(endless_chunk_is_cut_off_and_its_sender_banned) {
  hostile_world here(48 * mib);
  const auto endless = here.add(habit::endless);
  here.fetch(120'000);
  CAF_CHECK(here.is_whole());
  CAF_CHECK(here.world.node(here.receiver).banned.contains(endless));
}

CAF_TEST(lying_have_costs_a_round_trip_not_the_file) {
  hostile_world here(48 * mib);
  here.add(habit::says_has_answers_missing);
  const double took = here.fetch(120'000);
  CAF_CHECK(here.is_whole());
  CAF_CHECK_LESS(took, 1.3 * 1000 * 48 * 1.048576 * 8 / 40);
}

CAF_TEST(silent_peer_delays_only_what_was_asked_of_it) {
  hostile_world here(48 * mib);
  here.add(habit::says_has_is_silent);
  const double took = here.fetch(120'000);
  CAF_CHECK(here.is_whole());
  CAF_CHECK_LESS(took, 30'000.0); // 10 s of transfer, 20 s of silence at most
}

CAF_TEST(crawling_peers_do_not_hold_the_last_chunks) {
  hostile_world here(48 * mib);
  for (int i = 0; i < 3; ++i)
    here.add(habit::honest, 2'000); // 2 kB/s
  const double took = here.fetch(240'000);
  CAF_CHECK(here.is_whole());
  CAF_CHECK_LESS(took, 45'000.0);
}

CAF_TEST(all_kinds_of_bad_members_at_once) {
  for (uint64_t seed : {1u, 2u, 3u, 4u, 5u}) {
    hostile_world here(32 * mib, seed);
    const auto liar = here.add(habit::wrong_bytes);
    here.add(habit::says_has_answers_missing);
    here.add(habit::says_has_is_silent);
    const auto endless = here.add(habit::endless);
    here.add(habit::honest, 2'000);
    const auto vanishing = here.add(habit::honest);
    here.world.at(300, [&] { here.world.leave(vanishing); });
    here.fetch(240'000);
    CAF_CHECK(here.is_whole());
    CAF_CHECK(!here.world.node(here.receiver).banned.contains(here.honest));
    CAF_CHECK(here.world.node(here.receiver).banned.contains(liar)
              || here.world.node(here.receiver).banned.contains(endless));
    CAF_CHECK_EQUAL(here.world.twice_asked(), 0u);
  }
}

CAF_TEST(many_small_files_of_a_slow_source_reach_all_receivers_once) {
  swarm_world world(21);
  const auto source = world.add_node(20 * mbit, 1000 * mbit);
  uint64_t bytes = 0;
  std::vector<content_id> all;
  for (int i = 0; i < 1'000; ++i) {
    const auto content = make_content(world.random, 4'096 + world.random() % 16'384, mean_chunk);
    bytes += content.size;
    world.add_content(content);
    world.seed(source, content.cid);
    all.push_back(content.cid);
  }
  for (int i = 0; i < 4; ++i)
    world.add_node(1000 * mbit, 1000 * mbit);
  world.reach = [&](replica_id a, replica_id b) {
    return a == source || b == source ? peer_reach::direct : peer_reach::lan;
  };
  world.connect_all();
  for (replica_id rid = 2; rid <= 5; ++rid)
    for (const auto& cid : all)
      world.want(rid, cid, source);
  const double bound = 1000 * static_cast<double>(bytes) / (20 * mbit);
  const double took = world.run(bound * 10);
  CAF_MESSAGE("1,000 small files to 4: " << took / bound << " of the bound");
  CAF_CHECK(world.all_done());
  CAF_CHECK_LESS(took, 1.3 * bound);
}
