// Settling on virtual time: what is published when (storage.md 7.1).
#define CAF_SUITE settle
#include "storage/settle.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;

namespace {

std::string shown(const std::vector<disk_change>& changes) {
  std::string out;
  for (const auto& each : changes) {
    static constexpr const char* words[] = {"changed", "gone", "moved", "lost"};
    out += std::string(out.empty() ? "" : ", ") + words[static_cast<int>(each.what)] + " "
           + (each.from.empty() ? "" : each.from + ">") + each.path;
  }
  return out;
}

} // namespace

CAF_TEST(closed_file_is_ready_after_200_ms) {
  settle s;
  s.event(0, watch_event::created, "f", false);
  s.event(1, watch_event::written, "f", false);
  s.event(50, watch_event::closed, "f", false);
  CAF_CHECK_EQUAL(s.next_ms().value_or(-1), 250);
  CAF_CHECK(s.waiting("f"));
  CAF_CHECK_EQUAL(shown(s.ready(249)), "");
  CAF_CHECK_EQUAL(shown(s.ready(250)), "changed f");
  CAF_CHECK(!s.waiting("f"));
  CAF_CHECK(!s.next_ms());
}

CAF_TEST(open_file_waits_30_s_from_its_last_change) {
  settle s;
  s.event(0, watch_event::written, "f", false);
  s.event(20'000, watch_event::written, "f", false);
  CAF_CHECK_EQUAL(shown(s.ready(49'999)), "");
  s.event(45'000, watch_event::attributes, "f", false); // still open
  CAF_CHECK_EQUAL(shown(s.ready(74'999)), "");
  CAF_CHECK_EQUAL(shown(s.ready(75'000)), "changed f");
}

CAF_TEST(rename_is_one_change_and_needs_its_cookie_in_500_ms) {
  settle s;
  s.event(0, watch_event::moved_from, "a", false, 7);
  s.event(500, watch_event::moved_to, "b", false, 7);
  CAF_CHECK_EQUAL(shown(s.ready(699)), "");
  CAF_CHECK_EQUAL(shown(s.ready(700)), "moved a>b");
  CAF_CHECK_EQUAL(shown(s.ready(10'000)), "");
  s.event(10'000, watch_event::moved_from, "a", false, 8);
  s.event(10'501, watch_event::moved_to, "b", false, 8);
  CAF_CHECK_EQUAL(shown(s.ready(20'000)), "changed b, gone a");
}

CAF_TEST(delete_waits_2_s_and_comes_behind_what_is_present) {
  settle s;
  s.event(0, watch_event::removed, "a", false);
  s.event(1'900, watch_event::created, "z", false);
  CAF_CHECK_EQUAL(shown(s.ready(1'999)), "");
  CAF_CHECK_EQUAL(shown(s.ready(2'100)), "changed z, gone a");
}

CAF_TEST(file_made_again_within_2_s_is_changed_not_gone) {
  settle s;
  s.event(0, watch_event::removed, "f", false);
  s.event(100, watch_event::created, "f", false);
  s.event(110, watch_event::closed, "f", false);
  CAF_CHECK_EQUAL(shown(s.ready(10'000)), "changed f");
}

CAF_TEST(save_by_temp_file_and_rename_is_one_change) {
  settle s;
  s.event(0, watch_event::created, "f.tmp", false);
  s.event(1, watch_event::written, "f.tmp", false);
  s.event(2, watch_event::closed, "f.tmp", false);
  s.event(3, watch_event::moved_from, "f.tmp", false, 1);
  s.event(3, watch_event::moved_to, "f", false, 1);
  CAF_CHECK_EQUAL(shown(s.ready(60'000)), "moved f.tmp>f");
}

CAF_TEST(what_waits_follows_its_directory) {
  settle s;
  s.event(0, watch_event::written, "d/f", false);
  s.event(0, watch_event::written, "d2/f", false);
  s.event(10, watch_event::moved_from, "d", true, 1);
  s.event(10, watch_event::moved_to, "e", true, 1);
  CAF_CHECK(s.waiting("e/f"));
  CAF_CHECK(!s.waiting("d/f"));
  CAF_CHECK(s.waiting("d2/f"));
  s.event(20, watch_event::closed, "e/f", false);
  CAF_CHECK_EQUAL(shown(s.ready(300)), "moved d>e, changed e/f");
}

CAF_TEST(removed_directory_takes_its_waiting_entries_along) {
  settle s;
  s.event(0, watch_event::written, "d/f", false);
  s.event(1, watch_event::removed, "d", true);
  CAF_CHECK(!s.waiting("d/f"));
  CAF_CHECK_EQUAL(shown(s.ready(60'000)), "gone d");
}

CAF_TEST(retries_grow_to_a_minute_and_start_anew_after_success) {
  settle s;
  int64_t now = 0;
  for (int64_t delay : {1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 60'000, 60'000}) {
    s.retry(now, "f");
    CAF_CHECK_EQUAL(s.next_ms().value_or(-1) - now, delay);
    now = s.next_ms().value();
    CAF_CHECK_EQUAL(shown(s.ready(now)), "changed f");
  }
  s.read_well("f");
  s.retry(now, "f");
  CAF_CHECK_EQUAL(s.next_ms().value_or(-1) - now, 1'000);
}

CAF_TEST(lost_events_are_told_once_for_the_highest_directory) {
  settle s;
  s.event(0, watch_event::written, "d/e/f", false);
  s.lost("d/e");
  s.lost("d");
  s.lost("d/x");
  s.lost("q");
  CAF_CHECK_EQUAL(shown(s.ready(0)), "lost d, lost q");
  CAF_CHECK_EQUAL(s.size(), 0u);
}

CAF_TEST(flood_becomes_a_rescan_not_memory) {
  settle s;
  for (size_t i = 0; i < settle_entries_max + 1000; ++i)
    s.event(0, watch_event::written, "d/" + std::to_string(i), false);
  CAF_CHECK_LESS_OR_EQUAL(s.size(), settle_entries_max);
  auto first = s.ready(0);
  CAF_REQUIRE(!first.empty());
  CAF_CHECK_EQUAL(shown({first.front()}), "lost d");
}
