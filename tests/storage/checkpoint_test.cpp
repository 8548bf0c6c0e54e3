// Checkpoints, purge, cuts by absence, snapshots for newcomers, and laggards that come back (storage.md 5.2, 5.4).
#define CAF_SUITE checkpoint
#include "storage/state_root.hpp"
#include "tests/storage/space_play.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using play::content;

namespace {

struct pair_of_replicas : play::world {
  explicit pair_of_replicas(unsigned count = 2)
      : play::world(11, {count, 0, false, false, false, false, {}}) {}

  void make(size_t n, const std::string& name, uint64_t content_n) {
    tick(5);
    act(n, [&](space_edit& edit) {
      CAF_REQUIRE_EQUAL(
          edit.make_file(root_lid, name, node_kind::file, {}, content(content_n)).index(), 0u);
    });
  }
  void remove(size_t n, const std::string& path) {
    tick(5);
    act(n, [&](space_edit& edit) {
      CAF_REQUIRE_EQUAL(edit.remove(space_tree(at(n).rows).resolve(path)->entry.lid).index(), 0u);
    });
  }
  bool beat_and_checkpoint(const std::vector<size_t>& active) {
    tick(5);
    for (auto n : active)
      beat(n);
    deliver_all();
    tick(5);
    auto done = checkpoint(0, active);
    deliver_all();
    return done;
  }
  op_checkpoint newest() {
    const op_checkpoint* out = nullptr;
    for (const auto& b : bundles())
      for (const auto& op : b.ops)
        if (const auto* found = std::get_if<op_checkpoint>(&op))
          out = found;
    CAF_REQUIRE(out != nullptr);
    return *out;
  }
};

/// All pieces of a snapshot.
std::vector<std::string> pieces_of(space_rows& rows, size_t bytes_max) {
  std::vector<std::string> out;
  std::string cursor;
  do {
    auto piece = export_snapshot(rows, cursor, bytes_max);
    CAF_REQUIRE_EQUAL(piece.index(), 0u);
    out.push_back(std::get<0>(piece).bytes);
    cursor = std::get<0>(piece).next;
  } while (!cursor.empty());
  return out;
}

std::string import_all(space_rows& rows, const op_checkpoint& signed_one,
                       const std::vector<std::string>& pieces) {
  begin_import(rows, signed_one);
  for (const auto& piece : pieces)
    if (auto wrong = import_piece(rows, piece))
      return *wrong;
  return finish_import(rows, signed_one).value_or("");
}

} // namespace

CAF_TEST(drops_what_is_agreed_and_changes_nothing_that_is_seen) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  w.make(1, "b", 2);
  w.deliver_all();
  w.remove(0, "b");
  w.deliver_all();
  auto before = play::view_of(w.at(0).rows);
  CAF_CHECK(w.beat_and_checkpoint({0, 1}));
  CAF_CHECK(play::view_of(w.at(0).rows) == before);
  for (size_t n : {0, 1}) {
    size_t events = 0;
    w.at(n).rows.each_node(0, [&](local_id lid, const node_row&) {
      events += w.at(n).rows.events(lid).size();
      return true;
    });
    CAF_CHECK_EQUAL(events, 0u);
    CAF_CHECK_EQUAL(w.check(n, true), "");
    CAF_CHECK(newest_checkpoint(w.at(n).rows).root == w.newest().root);
  }
}

CAF_TEST(plans_nothing_without_a_beat_or_progress) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  CAF_CHECK(!plan_checkpoint(w.at(0).rows, {}, w.at(0)));
  CAF_CHECK(w.beat_and_checkpoint({0, 1}));
  CAF_CHECK(!w.checkpoint(0, {0, 1}));
}

CAF_TEST(refuses_a_root_that_is_not_its_own) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  w.beat(0);
  w.tick(5);
  std::vector<beat_fact> beats{{1, 1, 1'000'000'000'001ull << 16}};
  auto planned = plan_checkpoint(w.at(0).rows, beats, w.at(0));
  CAF_REQUIRE(planned);
  planned->root.bytes[0] ^= 1;
  bundle b;
  b.rid = 1;
  b.seq = 2;
  b.hlc = UINT64_MAX / 2;
  b.ops = {*planned};
  arriving_bundle arriving{&b, {}};
  auto result = apply(w.at(0).rows, {&arriving, 1}, {1, &w.at(0)});
  CAF_CHECK(result.checkpoint_refused);
  CAF_CHECK(!result.checkpoint_applied);
  CAF_CHECK(newest_checkpoint(w.at(0).rows).covered.empty());
  CAF_REQUIRE_EQUAL(result.notices.size(), 1u);
  CAF_CHECK(result.notices[0].code == notice_code::state_differs);
}

CAF_TEST(purges_old_trash_for_good) {
  pair_of_replicas w;
  w.act(0, [](space_edit& edit) { edit.policy({{"trash_days", 0}}); });
  w.make(0, "a", 1);
  w.remove(0, "a");
  auto lid = space_tree(w.at(0).rows).in_trash("a")->lid;
  CAF_CHECK(w.beat_and_checkpoint({0, 1}));
  CAF_CHECK(!w.at(0).rows.node(lid));
  for (const auto& notice : w.at(0).rows.notices(10)) // its time is over: nothing to make anew
    CAF_CHECK(notice.code != notice_code::voided);
  CAF_CHECK(w.at(0).rows.versions(lid).empty());
  CAF_CHECK(!space_tree(w.at(0).rows).in_trash("a"));
  CAF_CHECK(state_root(w.at(0).rows) == state_root(w.at(1).rows));
}

CAF_TEST(keeps_trash_within_its_time) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  w.remove(0, "a");
  CAF_CHECK(w.beat_and_checkpoint({0, 1}));
  auto found = space_tree(w.at(1).rows).in_trash("a");
  CAF_REQUIRE(found);
  w.tick(91ull * 24 * 3600 * 1000);
  CAF_CHECK(w.beat_and_checkpoint({0, 1}));
  CAF_CHECK(!space_tree(w.at(1).rows).in_trash("a"));
}

CAF_TEST(an_edit_of_a_purged_file_is_void_in_any_order) {
  pair_of_replicas w(3);
  w.act(0, [](space_edit& edit) { edit.policy({{"trash_days", 0}}); });
  w.make(0, "a", 1);
  w.deliver_all();
  for (size_t n : {0, 1, 2})
    w.beat(n);
  w.remove(0, "a");
  w.tick(5);
  for (size_t n : {0, 1, 2})
    w.beat(n);
  w.tick(5);
  auto lid = space_tree(w.at(2).rows).resolve("a")->entry.lid;
  w.act(2, [&](space_edit& edit) { edit.edit(lid, {}, {}, content(2)); });
  CAF_CHECK(w.checkpoint(0, {0, 1, 2}));
  w.deliver_from(1, 1); // the checkpoint first, then the edit; replica 3 the other way round
  w.deliver_all();
  for (size_t n : {0, 1, 2}) {
    CAF_CHECK_EQUAL(w.check(n, true), "");
    CAF_CHECK(!space_tree(w.at(n).rows).resolve("a"));
  }
  bool told = false;
  for (const auto& notice : w.at(2).rows.notices(10))
    told |= notice.code == notice_code::voided;
  CAF_CHECK(told);
}

CAF_TEST(a_replica_off_the_list_is_cut_at_v) {
  pair_of_replicas w(3);
  w.make(2, "c", 1);
  w.deliver_all();
  w.make(2, "late", 2); // nobody has it yet
  CAF_CHECK_EQUAL(w.at(2).inbox.size(), 0u);
  auto planned_from = w.bundles().size();
  w.beat(0);
  w.beat(1);
  w.tick(5);
  CAF_CHECK(w.checkpoint(0, {0, 1}));
  CAF_CHECK(w.bundles().size() > planned_from);
  w.deliver_all();
  for (size_t n : {0, 1, 2}) {
    CAF_CHECK_EQUAL(w.check(n, true), "");
    CAF_CHECK(space_tree(w.at(n).rows).resolve("c"));
    CAF_CHECK(!space_tree(w.at(n).rows).resolve("late"));
    auto cut_off = w.at(n).rows.replica(3).value_or(replica_row{});
    CAF_CHECK_EQUAL(cut_off.cut.value_or(0), 1u);
  }
}

CAF_TEST(a_newcomer_takes_a_snapshot_and_goes_on) {
  for (size_t bytes_max : {1u, 300u, 1u << 20}) {
    pair_of_replicas w(3);
    for (size_t n : {0, 1}) {
      w.make(n, "f" + std::to_string(n), n + 1);
      w.act(n, [&](space_edit& edit) {
        auto dir = std::get<0>(edit.make_dir(root_lid, "d" + std::to_string(n))).lid;
        edit.make_file(dir, "x", node_kind::file, {}, content(50 + n));
      });
    }
    w.deliver_all();
    w.remove(1, "f0");
    w.act(1, [&](space_edit& edit) {
      space_tree tree(w.at(1).rows);
      edit.move(tree.resolve("d0")->entry.lid, tree.resolve("d1")->entry.lid, "in");
    });
    w.deliver_all();
    CAF_REQUIRE(w.beat_and_checkpoint({0, 1, 2}));
    w.act(0, [&](space_edit& edit) { // above the floor, and outside V
      space_tree tree(w.at(0).rows);
      edit.move(tree.resolve("d1")->entry.lid, root_lid, "renamed");
    });
    space_rows_memory fresh;
    CAF_REQUIRE_EQUAL(import_all(fresh, w.newest(), pieces_of(w.at(0).rows, bytes_max)), "");
    CAF_CHECK_EQUAL(play::check_rows(fresh), "");
    CAF_CHECK(applied_vector(fresh) == w.newest().covered);
    for (const auto& b : w.bundles()) {
      arriving_bundle arriving{&b, {}};
      if (gate(fresh, b) == gate_verdict::ready)
        apply(fresh, {&arriving, 1}, {9, &w.at(0)});
    }
    CAF_CHECK_EQUAL(play::check_rows(fresh), "");
    CAF_CHECK(play::view_of(fresh) == play::view_of(w.at(0).rows));
    CAF_CHECK(state_root(fresh) == state_root(w.at(0).rows));
  }
}

CAF_TEST(a_wrong_snapshot_is_not_taken) {
  pair_of_replicas w;
  for (unsigned i = 0; i < 20; ++i)
    w.make(0, "f" + std::to_string(i), i);
  CAF_REQUIRE(w.beat_and_checkpoint({0, 1}));
  auto pieces = pieces_of(w.at(0).rows, 400);
  CAF_REQUIRE(pieces.size() > 3);
  auto missing = pieces;
  missing.erase(missing.begin() + 2);
  space_rows_memory fresh;
  CAF_CHECK_NOT_EQUAL(import_all(fresh, w.newest(), missing), "");
  unsigned taken = 0;
  for (size_t i = 2; i < pieces[1].size(); ++i) {
    auto bad = pieces;
    bad[1][i] = static_cast<char>(bad[1][i] ^ 0x41);
    taken += import_all(fresh, w.newest(), bad).empty() ? 1 : 0;
    auto cut_short = pieces;
    cut_short[1].resize(i);
    taken += import_all(fresh, w.newest(), cut_short).empty() ? 1 : 0;
  }
  CAF_CHECK_EQUAL(taken, 0u);
  CAF_CHECK_EQUAL(import_all(fresh, w.newest(), pieces), ""); // and the next peer's is
  CAF_CHECK(play::view_of(fresh) == play::view_of(w.at(0).rows));
}

CAF_TEST(a_snapshot_that_changed_under_way_says_so) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  space_rows_memory none;
  CAF_CHECK_EQUAL(export_snapshot(none, "").index(), 1u);
  CAF_REQUIRE(w.beat_and_checkpoint({0, 1}));
  auto cursor = std::get<0>(export_snapshot(w.at(0).rows, "")).next;
  w.make(0, "b", 2);
  CAF_REQUIRE(w.beat_and_checkpoint({0, 1}));
  CAF_CHECK_EQUAL(export_snapshot(w.at(0).rows, cursor).index(), 1u);
}

CAF_TEST(the_work_of_a_laggard_survives) {
  pair_of_replicas w(3);
  w.make(0, "edited", 1);
  w.make(0, "unchanged", 2);
  w.make(0, "changed", 3);
  w.deliver_all();
  space_tree old(w.at(2).rows);
  auto edited = old.resolve("edited")->entry;
  auto unchanged = old.resolve("unchanged")->entry;
  auto changed = old.resolve("changed")->entry;
  w.act(0, [&](space_edit& edit) {
    space_tree tree(w.at(0).rows);
    edit.edit(tree.resolve("edited")->entry.lid, {}, {}, content(10));
    edit.edit(tree.resolve("changed")->entry.lid, {}, {}, content(11));
  });
  w.beat(0);
  w.beat(1);
  w.tick(5);
  CAF_REQUIRE(w.checkpoint(0, {0, 1}));
  w.deliver(1);
  // replica 3 comes back as replica 4 in the same database: aliases stay, so what its disk knows can be named
  auto& rows = w.at(2).rows;
  CAF_REQUIRE_EQUAL(import_all(rows, w.newest(), pieces_of(w.at(1).rows, 1000)), "");
  space_edit edit(rows, {4, 1}, UINT64_MAX / 4, {4, &w.at(2)});
  CAF_CHECK_EQUAL(
      edit.edit_or_make(edited.lid, edited.vid, {root_lid, "edited"}, {}, content(20)).index(), 0u);
  std::vector<seen_item> gone{{unchanged.lid, unchanged.vid}, {changed.lid, changed.vid}};
  CAF_CHECK(edit.remove_seen(gone) == std::vector{changed.lid});
  CAF_CHECK_EQUAL(
      edit.edit_or_make(999, edited.vid, {root_lid, "changed"}, {}, content(21)).index(), 0u);
  edit.take();
  space_tree tree(rows);
  CAF_CHECK(tree.resolve("edited")->entry.cid == content(20).cid);
  auto history = tree.history(edited.lid);
  CAF_REQUIRE_EQUAL(history.size(), 3u);
  CAF_CHECK((history[1].flags & version_overtaken) != 0); // it had not seen that one
  CAF_CHECK(!tree.resolve("unchanged"));
  CAF_CHECK(tree.resolve("changed")->entry.cid == content(11).cid);
  CAF_CHECK(tree.resolve("changed (restored)")->entry.cid == content(21).cid);
}

CAF_TEST(the_settled_line_is_the_slowest_beat_that_is_applied) {
  pair_of_replicas w;
  w.make(0, "a", 1);
  std::vector<beat_fact> beats{{1, 1, 500}, {1, 2, 900}, {2, 0, 700}};
  CAF_CHECK_EQUAL(settled_line(w.at(0).rows, beats), 500u);
  CAF_CHECK_EQUAL(settled_line(w.at(1).rows, beats), 0u);
  CAF_CHECK_EQUAL(settled_line(w.at(0).rows, {}), 0u);
}
