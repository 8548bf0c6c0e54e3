// The log of directory moves: any split and order of arrival gives what one replay gives.
#define CAF_SUITE dir_moves
#include "storage/dir_moves.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <random>

using namespace harp;

namespace {

/// Positions and log as a replica would keep them.
struct kept {
  std::map<local_id, dir_position> places;
  std::vector<dir_move_row> log;

  explicit kept(local_id dirs) {
    for (local_id lid = 2; lid < dirs + 2; ++lid)
      places[lid] = {root_lid, std::to_string(lid), {}};
  }
  dir_merge_result merge(std::vector<dir_move_row> fresh) {
    stamp from = std::min_element(fresh.begin(), fresh.end(), [](auto& a, auto& b) {
                   return a.at < b.at;
                 })->at;
    dir_merge_input in;
    for (const auto& entry : log)
      if (entry.at >= from)
        in.log.push_back(entry);
    in.fresh = std::move(fresh);
    auto out = merge_dir_moves(std::move(in), [&](local_id lid) -> dir_state {
      return {places[lid], false};
    });
    for (const auto& entry : out.written) {
      std::erase_if(log,
                    [&](const auto& old) { return old.at == entry.at && old.node == entry.node; });
      log.push_back(entry);
    }
    std::sort(log.begin(), log.end(), [](auto& a, auto& b) { return a.at < b.at; });
    for (const auto& [lid, place] : out.moved)
      places[lid] = place;
    return out;
  }
};

dir_move_row entry(uint64_t hlc, local_id node, local_id parent) {
  dir_move_row out;
  out.at = {hlc, 1, 0};
  out.by = {1, hlc};
  out.node = node;
  out.parent = parent;
  out.name = "n" + std::to_string(hlc);
  return out;
}

} // namespace

CAF_TEST(arrival_plays_no_part) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<dir_move_row> all;
    for (uint64_t hlc = 1; hlc <= 25; ++hlc)
      all.push_back(entry(hlc, 2 + random() % 6, 1 + random() % 7));
    kept once(6);
    once.merge(all);
    kept pieces(6);
    std::shuffle(all.begin(), all.end(), random);
    for (size_t i = 0; i < all.size();) {
      auto n = std::min(all.size() - i, size_t{1} + random() % 5);
      pieces.merge({all.begin() + static_cast<std::ptrdiff_t>(i),
                    all.begin() + static_cast<std::ptrdiff_t>(i + n)});
      i += n;
    }
    CAF_CHECK(once.places == pieces.places);
    CAF_CHECK(once.log == pieces.log);
    for (const auto& [lid, place] : once.places) { // a tree
      auto at = lid;
      for (int steps = 0; at != root_lid && steps < 10; ++steps)
        at = once.places[at].parent;
      CAF_CHECK_EQUAL(at, root_lid);
    }
  }
}

CAF_TEST(writes_only_what_differs) {
  kept state(50);
  std::vector<dir_move_row> all;
  for (uint64_t i = 0; i < 40; ++i)
    all.push_back(entry(10 + i, 2 + i, root_lid));
  state.merge(all);
  auto late = state.merge({entry(5, 45, 46)});
  CAF_CHECK_EQUAL(late.written.size(), 1u);
  CAF_REQUIRE_EQUAL(late.moved.size(), 1u);
  CAF_CHECK_EQUAL(late.moved[0].first, 45u);
  auto twice = state.merge({entry(5, 45, 46)});
  CAF_CHECK(twice.written.empty() && twice.moved.empty());
}

CAF_TEST(a_move_into_itself_waits_for_its_chance) {
  kept state(3);
  state.merge({entry(10, 2, 3)});
  auto second = state.merge({entry(20, 3, 2)});
  CAF_CHECK(!second.written[0].effective);
  CAF_CHECK_EQUAL(state.places[3].parent, root_lid);
  auto first = state.merge({entry(5, 3, 2)}); // earlier: now it is the one at 10 that has no effect
  CAF_REQUIRE_EQUAL(first.lost_effect.size(), 1u);
  CAF_CHECK(first.lost_effect[0].at == (stamp{10, 1, 0}));
  CAF_CHECK_EQUAL(state.places[3].parent, 2u);
  CAF_CHECK_EQUAL(state.places[2].parent, root_lid);
}
