#define CAF_SUITE serve_queue
#include "storage/serve_queue.hpp"

#include <caf/test/unit_test.hpp>

#include <map>

using namespace harp;

namespace {

constexpr uint64_t mib = 1u << 20;

content_id cid_of(uint8_t n) {
  content_id out;
  out.bytes[4] = n;
  return out;
}

/// A request for chunks of 1 MiB.
std::vector<serve_item> request(replica_id from, uint64_t id, uint8_t cid,
                                std::vector<uint32_t> chunks,
                                transfer_class cls = transfer_class::normal, uint64_t bytes = mib) {
  std::vector<serve_item> out;
  for (auto no : chunks)
    out.push_back({id, from, cls, cid_of(cid), piece_kind::chunk, no, bytes, 0});
  return out;
}

std::vector<uint32_t> numbers(uint32_t from, uint32_t to) {
  std::vector<uint32_t> out;
  for (; from < to; ++from)
    out.push_back(from);
  return out;
}

} // namespace

CAF_TEST(shares_by_class_eight_to_four_to_one) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, numbers(0, 100), transfer_class::deadline));
  tested.add(0, request(2, 1, 2, numbers(0, 100), transfer_class::normal));
  tested.add(0, request(3, 1, 3, numbers(0, 100), transfer_class::history));
  std::map<replica_id, int> got;
  for (uint64_t now = 0; now < 65; ++now) {
    const auto item = tested.next(now);
    CAF_REQUIRE(item);
    ++got[item->requester];
    tested.sent(now, *item);
  }
  CAF_CHECK(got[1] >= 36 && got[1] <= 44);
  CAF_CHECK(got[2] >= 17 && got[2] <= 23);
  CAF_CHECK(got[3] >= 3 && got[3] <= 8);
}

CAF_TEST(greedy_requester_gets_no_more_than_its_share) {
  serve_queue tested;
  for (uint64_t id = 0; id < 20; ++id)
    tested.add(
        0, request(1, id, 1,
                   numbers(static_cast<uint32_t>(id) * 10, static_cast<uint32_t>(id) * 10 + 10)));
  tested.add(0, request(2, 1, 2, numbers(0, 10)));
  std::map<replica_id, int> got;
  for (int i = 0; i < 20; ++i) {
    const auto item = tested.next(0);
    ++got[item->requester];
    tested.sent(0, *item);
  }
  CAF_CHECK_EQUAL(got[2], 10);
}

CAF_TEST(says_busy_over_capacity_and_keeps_what_it_has) {
  serve_queue tested;
  uint64_t accepted = 0;
  std::optional<uint32_t> retry;
  for (uint64_t id = 0; !retry && id < 1'000; ++id) {
    retry = tested.add(0, request(1, id, 1, numbers(0, 16), transfer_class::normal, mib));
    accepted += retry ? 0 : 16;
  }
  CAF_REQUIRE(retry);
  CAF_CHECK(*retry >= serve_retry_ms_min && *retry <= serve_retry_ms_max);
  CAF_CHECK_EQUAL(accepted * mib, serve_backlog_bytes_max);
  CAF_CHECK_EQUAL(tested.queued_items(), accepted);
  CAF_CHECK(!tested.add(0, request(2, 1, 1, {0}))); // others are served all the same
}

CAF_TEST(reads_at_most_8_mib_ahead_for_one_requester) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, numbers(0, 100)));
  uint64_t handed = 0;
  for (uint64_t now = 0; now < 100'000; now += 100)
    while (tested.next(now))
      handed += mib;
  CAF_CHECK_EQUAL(handed, serve_reading_bytes_max);
  CAF_CHECK_EQUAL(tested.reading_bytes(1), serve_reading_bytes_max);
}

CAF_TEST(requester_that_takes_nothing_does_not_hold_up_others) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, numbers(0, 20)));
  while (tested.next(0)) {
  }
  tested.add(1, request(2, 1, 2, numbers(0, 20)));
  CAF_CHECK(!tested.next(1));
  std::optional<serve_item> item;
  for (uint64_t now = 1; now < 30'000 && !(item && item->requester == 2); now += 100)
    item = tested.next(now);
  CAF_REQUIRE(item);
  CAF_CHECK_EQUAL(item->requester, 2u);
}

CAF_TEST(sends_what_nobody_got_before_repeats) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, numbers(0, 4)));
  tested.add(0, request(2, 1, 1, numbers(0, 8)));
  std::map<uint32_t, int> first_four;
  for (int i = 0; i < 8; ++i) {
    const auto item = tested.next(0);
    CAF_REQUIRE(item);
    ++first_four[item->no];
    tested.sent(0, *item);
  }
  CAF_CHECK_EQUAL(first_four.size(), 8u); // all different
  CAF_CHECK(!tested.next(0));             // the news of them has to travel first
  CAF_CHECK(tested.next(serve_hold_ms_max));
}

CAF_TEST(patience_ends_for_who_reaches_nobody_else) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, {0}));
  tested.sent(0, *tested.next(0));
  tested.add(0, request(2, 1, 1, {0}));
  uint64_t now = 10;
  uint32_t fresh = 0;
  bool served = false;
  for (; now < 2 * serve_patience_ms && !served;
       now += 100) { // somebody always has something fresh
    tested.add(now, request(1, 2, 2, {fresh++, fresh++}));
    while (auto item = tested.next(now)) {
      served = served || item->requester == 2;
      tested.sent(now, *item);
    }
  }
  CAF_CHECK(served);
  CAF_CHECK(now <= serve_patience_ms + 1'000);
}

CAF_TEST(cancel_drops_a_piece_a_request_or_all_of_a_requester) {
  serve_queue tested;
  tested.add(0, request(1, 1, 1, numbers(0, 4)));
  tested.add(0, request(1, 2, 1, numbers(4, 8)));
  CAF_CHECK(tested.cancel(1, 1, cid_of(1), piece_kind::chunk, 2));
  CAF_CHECK(!tested.cancel(1, 1, cid_of(1), piece_kind::chunk, 2));
  CAF_CHECK(!tested.cancel(2, 1, cid_of(1), piece_kind::chunk, 3));
  CAF_CHECK_EQUAL(tested.cancel(1, 2), 4u);
  CAF_CHECK_EQUAL(tested.queued_items(), 3u);
  const auto item = tested.next(0);
  tested.requester_gone(1);
  CAF_CHECK_EQUAL(tested.queued_bytes(), 0u);
  tested.sent(0, *item); // late
  CAF_CHECK_EQUAL(tested.reading_bytes(1), 0u);
  CAF_CHECK(!tested.next(0));
}

CAF_TEST(who_lacks_most_is_given_more) {
  serve_queue tested;
  tested.set_lack(1, 1'000 * mib);
  tested.set_lack(2, 0);
  tested.add(0, request(1, 1, 1, numbers(0, 100)));
  tested.add(0, request(2, 1, 2, numbers(0, 100)));
  std::map<replica_id, int> got;
  for (int i = 0; i < 60; ++i) {
    const auto item = tested.next(0);
    ++got[item->requester];
    tested.sent(0, *item);
  }
  CAF_CHECK(got[1] >= 36 && got[1] <= 44);
}
