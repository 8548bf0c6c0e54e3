#define CAF_SUITE picker
#include "storage/picker.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <set>

using namespace harp;

namespace {

constexpr uint32_t mib = 1u << 20;

content_id cid_of(uint8_t n, uint8_t m = 0) {
  content_id out;
  out.bytes[4] = n;
  out.bytes[5] = m;
  return out;
}

chunk_ref chunk(uint32_t n, uint32_t bytes = mib) {
  chunk_ref out;
  out.id.bytes[4] = static_cast<uint8_t>(n);
  out.id.bytes[5] = static_cast<uint8_t>(n >> 8);
  out.id.bytes[6] = 1;
  out.bytes = bytes;
  return out;
}

content_shape flat(uint32_t count, uint32_t bytes = mib) {
  content_shape out;
  for (uint32_t i = 0; i < count; ++i)
    out.chunks.push_back(chunk(i, bytes));
  return out;
}

content_want wanted(const content_id& cid, const content_shape& shape, replica_id author = 1) {
  content_want out;
  out.cid = cid;
  for (const auto& one : shape.chunks)
    out.size += one.bytes;
  out.author = author;
  out.shape = shape;
  return out;
}

template <class Effect>
std::vector<Effect> of(const std::vector<fetch_effect>& effects) {
  std::vector<Effect> out;
  for (const auto& effect : effects)
    if (const auto* one = std::get_if<Effect>(&effect))
      out.push_back(*one);
  return out;
}

/// (cid, no) of all chunks in the requests to one peer.
std::vector<std::pair<content_id, uint32_t>> asked_of(const std::vector<fetch_effect>& effects,
                                                      replica_id peer) {
  std::vector<std::pair<content_id, uint32_t>> out;
  for (const auto& request : of<fetch_request>(effects))
    if (request.peer == peer)
      for (const auto& run : request.runs)
        for (uint32_t i = 0; run.kind == piece_kind::chunk && i < run.count; ++i)
          out.emplace_back(run.cid, run.first + i);
  return out;
}

} // namespace

CAF_TEST(fetches_a_small_file_from_its_author) {
  picker tested({.own = 9});
  CAF_CHECK(tested.want(0, wanted(cid_of(1), flat(1, 1000))));
  CAF_CHECK(of<fetch_request>(tested.effects(0)).empty()); // the author is not here
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::peer_offline);
  tested.peer_up(1, 1, peer_reach::lan, 1, false);
  const auto asked = of<fetch_request>(tested.effects(1));
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK_EQUAL(asked[0].bytes, 1000u);
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::transferring);
  CAF_CHECK(tested.chunk_arrived(5, 1, cid_of(1), 0, 1000));
  const auto effects = tested.effects(5);
  CAF_CHECK_EQUAL(of<fetch_finished>(effects).size(), 1u);
  const auto told = of<fetch_announce>(effects);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0].deltas[0].complete);
  CAF_CHECK_EQUAL(tested.wants(), 0u);
  CAF_CHECK(!tested.next_ms());
}

CAF_TEST(finishes_an_empty_file_at_once) {
  picker tested({.own = 9});
  tested.want(0, wanted(cid_of(1), content_shape{}));
  CAF_CHECK_EQUAL(of<fetch_finished>(tested.effects(0)).size(), 1u);
}

CAF_TEST(asks_small_files_in_one_list) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  for (int i = 0; i < 200; ++i)
    tested.want(0, wanted(cid_of(static_cast<uint8_t>(i), 7), flat(1, 2000)));
  const auto asked = of<fetch_request>(tested.effects(0));
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK_EQUAL(asked[0].runs.size(), 200u);
}

CAF_TEST(lists_have_at_most_1024_entries) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  for (int i = 0; i < 3000; ++i)
    tested.want(
        0, wanted(cid_of(static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)), flat(1, 100)));
  const auto asked = of<fetch_request>(tested.effects(0));
  CAF_CHECK_EQUAL(asked.size(), 3u);
  for (const auto& request : asked)
    CAF_CHECK(request.runs.size() <= request_runs_max);
}

CAF_TEST(goes_upwards_when_there_is_one_peer_only) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(8)));
  const auto asked = asked_of(tested.effects(0), 1);
  CAF_REQUIRE(!asked.empty());
  for (size_t i = 0; i < asked.size(); ++i)
    CAF_CHECK_EQUAL(asked[i].second, i);
}

CAF_TEST(takes_the_rarest_chunk_first) {
  picker tested({.own = 9});
  for (replica_id peer : {1u, 2u, 3u})
    tested.peer_up(0, peer, peer_reach::direct, 1, false);
  tested.want(0, wanted(cid_of(1), flat(8, 4 * mib), 0));
  const chunk_run common{0, 7}, all{0, 8};
  tested.have(0, 2, cid_of(1), false, {&common, 1});
  tested.have(0, 3, cid_of(1), false, {&common, 1});
  tested.have(0, 1, cid_of(1), false, {&all, 1});
  const auto asked = asked_of(tested.effects(0), 1);
  CAF_REQUIRE(!asked.empty());
  CAF_CHECK_EQUAL(asked[0].second, 7u);
}

CAF_TEST(receivers_of_one_source_start_in_different_places) {
  std::set<uint32_t> firsts;
  for (replica_id own = 10; own < 20; ++own) {
    picker tested({.own = own});
    tested.peer_up(0, 1, peer_reach::direct, 1, false);
    tested.peer_up(0, 2, peer_reach::direct, 1, false);
    tested.want(0, wanted(cid_of(1), flat(8, 4 * mib)));
    firsts.insert(asked_of(tested.effects(0), 1).at(0).second);
  }
  CAF_CHECK(firsts.size() >= 3);
}

CAF_TEST(never_asks_one_chunk_twice_of_one_peer) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::direct, 1, false);
  tested.want(0, wanted(cid_of(1), flat(8)));
  std::set<std::pair<content_id, uint32_t>> seen;
  for (uint64_t now = 0; now < 15'000; now += 100)
    for (const auto& one : asked_of(tested.effects(now), 1))
      CAF_CHECK(seen.insert(one).second);
}

CAF_TEST(fetches_root_and_segments_that_are_not_at_hand) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::direct, 1, false);
  content_want want;
  want.cid = cid_of(1);
  want.size = 20 * mib;
  want.author = 1;
  tested.want(0, want);
  CAF_CHECK_EQUAL(of<need_root>(tested.effects(0)).size(), 1u);
  tested.root_absent(0, cid_of(1));
  auto asked = of<fetch_request>(tested.effects(0));
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK(asked[0].runs[0].kind == piece_kind::root);
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::manifest);
  content_shape shape;
  shape.segments = {{10, 10 * mib}, {10, 10 * mib}};
  content_shape wrong = shape;
  wrong.segments[0].bytes += 1;
  CAF_CHECK(!tested.root_arrived(1, 1, cid_of(1), wrong));
  CAF_CHECK(tested.root_arrived(1, 1, cid_of(1), shape));
  CAF_CHECK_EQUAL(of<need_segment>(tested.effects(1)).size(), 2u);
  tested.segment_absent(1, cid_of(1), 0);
  asked = of<fetch_request>(tested.effects(1));
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK(asked[0].runs[0].kind == piece_kind::segment);
  std::vector<chunk_ref> chunks;
  for (uint32_t i = 0; i < 10; ++i)
    chunks.push_back(chunk(i));
  CAF_CHECK(!tested.segment_arrived(2, 1, cid_of(1), 0, std::span(chunks).first(9)));
  CAF_CHECK(tested.segment_arrived(2, 1, cid_of(1), 0, chunks));
  CAF_CHECK(!asked_of(tested.effects(2), 1).empty());
}

CAF_TEST(loads_at_most_two_segments) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  content_want want;
  want.cid = cid_of(1);
  want.author = 1;
  want.shape.emplace();
  for (int i = 0; i < 5; ++i)
    want.shape->segments.push_back({4, 4 * mib});
  want.size = 20 * mib;
  tested.want(0, want);
  std::vector<chunk_ref> chunks;
  for (uint32_t i = 0; i < 4; ++i)
    chunks.push_back(chunk(i));
  uint64_t now = 0;
  std::set<uint32_t> needed;
  size_t waiting = 0, finished = 0;
  for (int round = 0; round < 50 && finished == 0; ++round) {
    const auto effects = tested.effects(++now);
    for (const auto& need : of<need_segment>(effects)) {
      ++waiting;
      CAF_CHECK(waiting <= loaded_segments_max);
      CAF_CHECK(needed.insert(need.index).second);
      CAF_CHECK(tested.segment_arrived(now, 0, cid_of(1), need.index, chunks));
      --waiting;
    }
    for (const auto& [cid, no] : asked_of(effects, 1))
      tested.chunk_arrived(now, 1, cid, no, mib);
    finished += of<fetch_finished>(effects).size();
  }
  CAF_CHECK_EQUAL(needed.size(), 5u);
  CAF_CHECK_EQUAL(finished, 1u);
}

CAF_TEST(equal_chunks_are_fetched_once) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  content_shape shape;
  shape.chunks = {chunk(1), chunk(2), chunk(1), chunk(1)};
  tested.want(0, wanted(cid_of(1), shape));
  CAF_CHECK_EQUAL(asked_of(tested.effects(0), 1).size(), 2u);
  tested.chunk_arrived(1, 1, cid_of(1), 1, mib);
  tested.chunk_arrived(2, 1, cid_of(1), 0, mib);
  const auto effects = tested.effects(2);
  CAF_CHECK_EQUAL(of<fetch_reuse>(effects).size(), 2u);
  CAF_CHECK_EQUAL(of<fetch_finished>(effects).size(), 1u);
}

CAF_TEST(resume_asks_only_what_is_missing) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(8)));
  const chunk_run held{0, 6}, outside{6, 3};
  CAF_CHECK(!tested.chunks_held(0, cid_of(1), {&outside, 1}));
  CAF_CHECK(tested.chunks_held(0, cid_of(1), {&held, 1}));
  std::set<uint32_t> asked;
  for (const auto& [cid, no] : asked_of(tested.effects(0), 1))
    asked.insert(no);
  CAF_CHECK(asked == (std::set<uint32_t>{6, 7}));
}

CAF_TEST(missing_sends_it_to_another_source) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(1)));
  tested.effects(0);
  tested.missing(1, 1, {cid_of(1), piece_kind::chunk, 0, 1}, false);
  CAF_CHECK(of<fetch_request>(tested.effects(1)).empty());
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::nobody_has_it);
  tested.peer_up(2, 2, peer_reach::direct, 1, false);
  tested.have(2, 2, cid_of(1), true, {});
  CAF_CHECK_EQUAL(asked_of(tested.effects(2), 2).size(), 1u);
}

CAF_TEST(busy_peer_is_left_alone_for_the_time_it_named) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(1)));
  const auto asked = of<fetch_request>(tested.effects(0));
  tested.busy(10, 1, asked.at(0).id, 3'000);
  CAF_CHECK(of<fetch_request>(tested.effects(10)).empty());
  CAF_CHECK(of<fetch_request>(tested.effects(2'900)).empty());
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::peer_busy);
  CAF_REQUIRE(tested.next_ms());
  CAF_CHECK(*tested.next_ms() <= 3'100);
  CAF_CHECK_EQUAL(of<fetch_request>(tested.effects(3'100)).size(), 1u);
}

CAF_TEST(failed_requests_are_repeated_with_growing_pauses) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(1)));
  uint64_t now = 0;
  std::vector<uint64_t> at;
  while (now < 60'000) {
    for (const auto& request : of<fetch_request>(tested.effects(now))) {
      at.push_back(now);
      tested.request_failed(now, request.id);
    }
    now += 100;
  }
  CAF_REQUIRE(at.size() >= 4 && at.size() <= 8);
  CAF_CHECK(at[3] - at[2] > at[1] - at[0]);
}

CAF_TEST(three_bad_chunks_ban_for_an_hour) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(8)));
  auto asked = asked_of(tested.effects(0), 1);
  CAF_REQUIRE(asked.size() >= 3);
  for (size_t i = 0; i < 3; ++i)
    tested.chunk_bad(i, 1, cid_of(1), asked[i].second);
  const auto banned = of<fetch_banned>(tested.effects(3));
  CAF_REQUIRE_EQUAL(banned.size(), 1u);
  CAF_CHECK_EQUAL(banned[0].until_ms, 2 + content_ban_ms);
  CAF_CHECK(tested.waiting_for(cid_of(1)).reason == wait_reason::peer_banned);
  tested.peer_down(10, 1);
  tested.peer_up(20, 1, peer_reach::lan, 1, false);
  CAF_CHECK(of<fetch_request>(tested.effects(20)).empty()); // a reconnect does not lift it
  CAF_CHECK(!asked_of(tested.effects(3 + content_ban_ms), 1).empty());
}

CAF_TEST(silent_peer_loses_its_requests_after_20_s) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::direct, 1, false);
  tested.want(0, wanted(cid_of(1), flat(1)));
  tested.effects(0);
  CAF_CHECK(of<fetch_cancel>(tested.effects(19'900)).empty());
  tested.peer_up(19'950, 2, peer_reach::direct, 1, false);
  const auto effects = tested.effects(20'100);
  CAF_REQUIRE_EQUAL(of<fetch_cancel>(effects).size(), 1u);
  CAF_CHECK(of<fetch_cancel>(effects)[0].whole);
}

CAF_TEST(slow_chunk_is_hedged_and_the_loser_cancelled) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::direct, 10, false);
  tested.want(0, wanted(cid_of(1), flat(1)));
  tested.effects(0);
  tested.data_arrived(300, 1, cid_of(1), 0, 1000); // it has begun, so it is not simply moved
  tested.peer_up(900, 2, peer_reach::direct, 10, false);
  tested.have(900, 2, cid_of(1), true, {});
  size_t copies = 0;
  for (uint64_t now = 900; now < 3'000; now += 100)
    copies += asked_of(tested.effects(now), 2).size();
  CAF_CHECK_EQUAL(copies, 1u);
  CAF_CHECK(tested.chunk_arrived(3'000, 2, cid_of(1), 0, mib));
  const auto effects = tested.effects(3'000);
  const auto cancelled = of<fetch_cancel>(effects);
  CAF_REQUIRE_EQUAL(cancelled.size(), 1u);
  CAF_CHECK_EQUAL(cancelled[0].peer, 1u);
  CAF_CHECK(!tested.chunk_arrived(3'100, 1, cid_of(1), 0, mib)); // came all the same: a duplicate
}

CAF_TEST(relayed_peer_yields_to_a_direct_one) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::relayed, 10, false);
  tested.peer_up(0, 2, peer_reach::direct, 10, false);
  tested.want(0, wanted(cid_of(1), flat(4)));
  tested.have(0, 2, cid_of(1), true, {});
  const auto effects = tested.effects(0);
  CAF_CHECK(asked_of(effects, 1).empty());
  CAF_CHECK_EQUAL(asked_of(effects, 2).size(), 4u);
}

CAF_TEST(reader_gets_its_bytes_first_and_in_order) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::direct, 10, false);
  tested.peer_up(0, 2, peer_reach::direct, 10, false);
  tested.want(0, wanted(cid_of(1), flat(64)));
  CAF_CHECK(!tested.read_at(0, 1, cid_of(2), 0, mib));
  CAF_CHECK(tested.read_at(0, 1, cid_of(1), 30ull * mib + 5, 2 * mib));
  const auto requests = of<fetch_request>(tested.effects(0));
  CAF_REQUIRE(!requests.empty());
  CAF_CHECK(requests[0].cls == transfer_class::deadline);
  CAF_CHECK_EQUAL(requests[0].runs[0].first, 30u);
  CAF_CHECK(requests[0].deadline_ms != 0);
  uint32_t last = 29, urgent = 0;
  for (const auto& request : requests)
    if (request.cls == transfer_class::deadline) {
      CAF_CHECK_EQUAL(request.runs[0].first, last + 1);
      last = request.runs[0].first;
      ++urgent;
    }
  CAF_CHECK(urgent >= 8 && urgent <= 10); // 8 MiB ahead
  tested.read_end(1, 1);
  for (const auto& request : of<fetch_request>(tested.effects(1)))
    CAF_CHECK(request.cls != transfer_class::deadline);
}

CAF_TEST(history_waits_for_what_people_wait_for) {
  picker tested({.own = 9});
  auto old = wanted(cid_of(1), flat(1, 1000));
  old.cls = transfer_class::history;
  tested.want(0, old);
  tested.want(0, wanted(cid_of(2), flat(1, 1000)));
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  const auto asked = asked_of(tested.effects(0), 1);
  CAF_REQUIRE_EQUAL(asked.size(), 2u);
  CAF_CHECK(asked[0].first == cid_of(2));
}

CAF_TEST(small_files_first_then_by_size_class_and_the_newest_within) {
  const auto turn = [](uint64_t size, uint64_t minute, local_id directory) {
    content_want want;
    want.size = size;
    want.edited_hlc = (minute * 60'000) << 16;
    want.directory = directory;
    return turn_key::of(want);
  };
  CAF_CHECK(turn(100, 1, 1) < turn(5ull << 20, 9, 1));
  CAF_CHECK(turn(100, 9, 1) < turn(50, 1, 1));
  CAF_CHECK(turn(50, 9, 1) < turn(100, 9, 1));
  CAF_CHECK(turn(100, 9, 1) < turn(50, 9, 2));
}

CAF_TEST(at_most_64_files_are_open) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  for (uint8_t i = 0; i < 100; ++i)
    tested.want(0, wanted(cid_of(i, 1), flat(2, 1000)));
  std::set<content_id> begun;
  for (uint64_t now = 0; now < 1'000; now += 100)
    for (const auto& [cid, no] : asked_of(tested.effects(now), 1))
      begun.insert(cid);
  CAF_CHECK_EQUAL(begun.size(), open_contents_max);
}

CAF_TEST(full_table_refuses_and_calls_again) {
  picker tested({.own = 9});
  content_want want;
  want.size = 100;
  for (size_t i = 0; i < wants_max; ++i) {
    want.cid = cid_of(static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8));
    want.cid.bytes[6] = static_cast<uint8_t>(i >> 16);
    CAF_REQUIRE(tested.want(0, want));
  }
  want.cid = cid_of(1, 2);
  want.cid.bytes[9] = 1;
  CAF_CHECK(!tested.want(0, want));
  CAF_CHECK(of<fetch_room>(tested.effects(0)).empty());
  for (size_t i = 0; i < wants_max / 2; ++i)
    tested.unwant(0, cid_of(static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)));
  CAF_CHECK_EQUAL(of<fetch_room>(tested.effects(0)).size(), 1u);
}

CAF_TEST(unwant_cancels_what_is_under_way) {
  picker tested({.own = 9});
  tested.peer_up(0, 1, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(4)));
  const auto asked = asked_of(tested.effects(0), 1);
  tested.unwant(1, cid_of(1));
  CAF_CHECK_EQUAL(of<fetch_cancel>(tested.effects(1)).size(), asked.size());
  CAF_CHECK(!tested.chunk_arrived(2, 1, cid_of(1), 0, mib));
  CAF_CHECK(!tested.next_ms());
}

CAF_TEST(have_told_before_the_want_counts) {
  picker tested({.own = 9});
  tested.peer_up(0, 2, peer_reach::lan, 1, false);
  tested.have(0, 2, cid_of(1), true, {});
  tested.want(1, wanted(cid_of(1), flat(1), 0));
  CAF_CHECK_EQUAL(asked_of(tested.effects(1), 2).size(), 1u);
}

CAF_TEST(hostile_runs_change_nothing) {
  picker tested({.own = 9});
  tested.peer_up(0, 2, peer_reach::lan, 1, false);
  tested.want(0, wanted(cid_of(1), flat(4), 0));
  const std::vector<chunk_run> runs{{0, UINT32_MAX}, {UINT32_MAX, 2}, {4, 1}, {1, 0}};
  for (const auto& run : runs) {
    tested.have(0, 2, cid_of(1), false, {&run, 1});
    tested.have_more(0, 2, cid_of(1), {&run, 1});
    tested.missing(0, 2, {cid_of(1), piece_kind::chunk, run.first, run.count}, false);
    tested.chunk_bad(0, 3, cid_of(1), run.first);
    CAF_CHECK(!tested.chunk_arrived(0, 2, cid_of(9), run.first, 5));
  }
  CAF_CHECK(of<fetch_request>(tested.effects(0)).empty());
}
