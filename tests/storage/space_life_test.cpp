// Checkpoints, the cut of the log, snapshots and the return of a laggard with the real store (storage.md 5.2, 5.4).
#define CAF_SUITE space_life
#include "storage/byte_codec.hpp"
#include "storage/folder_rows_lmdb.hpp"
#include "storage/refold.hpp"
#include "storage/space_store.hpp"
#include "storage/state_root.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <algorithm>
#include <array>

using namespace harp;
using harp::test::scratch_dir;

namespace {

constexpr uint64_t hour_ms = 3600'000;
constexpr uint64_t day_ms = 24 * hour_ms;

content_ref content_of(uint64_t n) {
  content_ref out;
  out.size = n;
  out.cid.bytes.fill(static_cast<uint8_t>(n));
  return out;
}

/// A keeper that governs and issues checkpoints (rid 1), and two laptops (2, 3), each with its own store.
struct three_devices {
  scratch_dir dir{true};
  signing_key governor = signing_key::make();
  std::array<signing_key, 3> keys{signing_key::make(), signing_key::make(), signing_key::make()};
  std::vector<std::unique_ptr<space_store>> stores;
  space_id id;
  uint64_t now = 1'800'000'000'000;

  three_devices() {
    id.bytes[0] = 9;
    for (size_t i = 0; i < 3; ++i)
      stores.push_back(open(i));
    govern(roster_add_device{1, keys[0].public_key(), member_role::admin, "ann", "keeper", 0, true});
    govern(roster_add_device{2, keys[1].public_key(), member_role::writer, "ann", "laptop", 0, false});
    govern(roster_add_device{3, keys[2].public_key(), member_role::writer, "bob", "other", 0, false});
    govern(roster_set_checkpointer{1});
  }
  std::unique_ptr<space_store> open(size_t i) {
    auto opened = space_store::open(dir / std::to_string(i), id, governor.public_key(), keys[i]);
    CAF_REQUIRE_EQUAL(opened.index(), 0u);
    return std::move(std::get<0>(opened));
  }
  void govern(const roster_change& change) {
    CAF_REQUIRE(!at(0).govern(change, now, governor));
    tell_roster();
  }
  void tell_roster() {
    for (size_t i = 1; i < stores.size(); ++i)
      CAF_REQUIRE_EQUAL(at(i).take_roster(at(0).members()->entries_from(at(i).members()->version() + 1, SIZE_MAX)).index(), 0u);
  }
  /// As node_store::enrol does for a device that is known: out under the old number, in under a new one.
  void enrol_again() {
    auto cut = at(0).cuts();
    govern(roster_revoke{2, cut.contains(2) ? cut.at(2) : 0});
    govern(roster_add_device{4, keys[1].public_key(), member_role::writer, "ann", "laptop", 0, false});
  }
  space_store& at(size_t i) { return *stores[i]; }

  space_change act(size_t i, const std::function<void(space_edit&)>& work) {
    now += 1000;
    auto done = at(i).commit(now, [&](space_edit& edit, space_rows&, write_txn&) { work(edit); });
    if (auto* why = std::get_if<std::string>(&done))
      CAF_FAIL(*why);
    return std::get<0>(done);
  }
  void make(size_t i, const std::string& name, uint64_t n) {
    act(i, [&](space_edit& edit) { CAF_REQUIRE_EQUAL(edit.make_file(root_lid, name, node_kind::file, {}, content_of(n)).index(), 0u); });
  }
  /// Brings what `from` has and `to` lacks, as far as the log reaches and the gate lets it pass.
  space_change bring(size_t from, size_t to) {
    space_change all;
    for (bool more = true; more;) {
      more = false;
      for (const auto& [rid, seq] : at(from).known()) {
        auto cut = at(to).cuts();
        auto known = at(to).known().contains(rid) ? at(to).known().at(rid) : 0;
        if (known >= seq || (cut.contains(rid) && known >= cut.at(rid)))
          continue;
        for (const auto& raw : at(from).load({rid, known + 1, known + 1}, SIZE_MAX)) {
          auto b = std::make_shared<const sealed_bundle>(std::get<sealed_bundle>(decode_bundle(raw)));
          bool met = std::all_of(b->content.context_delta.begin(), b->content.context_delta.end(), [&](const dot& d) {
            auto have = at(to).known().contains(d.rid) ? at(to).known().at(d.rid) : 0;
            return have >= (cut.contains(d.rid) ? std::min(d.seq, cut.at(d.rid)) : d.seq);
          });
          if (!met)
            continue;
          auto change = at(to).apply(std::vector{b}, now);
          more = more || !change.taken.empty();
          all.checkpoint_applied = all.checkpoint_applied || change.checkpoint_applied;
          all.look_anew = all.look_anew || change.look_anew;
          all.cuts.insert(all.cuts.end(), change.cuts.begin(), change.cuts.end());
          all.made.insert(all.made.end(), change.made.begin(), change.made.end());
        }
      }
    }
    return all;
  }
  void meet(size_t a, size_t b) {
    bring(a, b);
    bring(b, a);
  }
  std::string snapshot(size_t from, size_t to, space_change* out = nullptr) {
    auto head = at(from).find_bundle(at(from).checkpoint());
    CAF_REQUIRE(head != nullptr);
    std::string cursor;
    auto pieces = [&](bool first, std::string& piece) {
      if (first)
        cursor.clear();
      else if (cursor.empty())
        return false;
      auto next = at(from).export_piece(cursor);
      CAF_REQUIRE_EQUAL(next.index(), 0u);
      piece = std::get<0>(next).bytes;
      cursor = std::get<0>(next).next;
      return true;
    };
    auto taken = at(to).take_snapshot(*head, pieces, now);
    if (auto* change = std::get_if<space_change>(&taken); change != nullptr && out != nullptr)
      *out = *change;
    return taken.index() == 1 ? std::get<1>(taken) : std::string{};
  }
  content_id at_path(size_t i, const std::string& path) {
    content_id out;
    at(i).read([&](const read_txn&, space_rows& rows) {
      if (auto found = space_tree{rows}.resolve(path))
        out = found->entry.cid;
    });
    return out;
  }
  local_id lid_of(size_t i, const std::string& path) {
    local_id out = 0;
    at(i).read([&](const read_txn&, space_rows& rows) {
      if (auto found = space_tree{rows}.resolve(path))
        out = found->entry.lid;
    });
    return out;
  }
  void keep_base(size_t i, const std::string& path, uint64_t inode) {
    at(i).write([&](write_txn& txn, space_rows& rows) {
      auto shown = space_tree{rows}.resolve(path);
      CAF_REQUIRE(shown);
      folder_rows_lmdb base{txn};
      base_row row;
      row.parent = root_lid;
      row.name = row.disk_name = path;
      row.vid = shown->entry.vid;
      row.content = prefix_of(shown->entry.cid);
      row.seen.inode = inode;
      row.seen.mtime_ns = 77;
      base.put_base(shown->entry.lid, row);
      txn.put(table::conf, "folder_root", std::string(16, 'x'));
    });
  }
  std::optional<base_row> base_of(size_t i, local_id lid) {
    std::optional<base_row> out;
    at(i).read([&](const read_txn& txn, space_rows&) { out = folder_rows_lmdb{txn}.base(lid); });
    return out;
  }
};

} // namespace

CAF_TEST(the_checkpointer_issues_when_the_line_advances_and_nobody_else_does) {
  three_devices w;
  w.make(0, "a", 1);
  w.make(1, "b", 2);
  w.meet(0, 1);
  std::vector<replica_id> linked{2};
  CAF_CHECK(!w.at(1).issue_checkpoint(w.now, linked));
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, linked));
  CAF_CHECK_EQUAL(w.at(0).checkpoint().rid, 1u);
  CAF_CHECK(!w.at(0).issue_checkpoint(w.now + 1000, linked)); // the laptop said nothing new
  w.make(1, "c", 3);
  w.meet(0, 1);
  CAF_CHECK(w.at(0).issue_checkpoint(w.now, linked));
  auto change = w.bring(0, 1);
  CAF_CHECK(change.checkpoint_applied);
  CAF_CHECK(w.at(0).checkpoint() == w.at(1).checkpoint());
  CAF_CHECK(w.at(0).state_root() == w.at(1).state_root());
}

CAF_TEST(waits_for_the_first_sign_of_a_linked_writer) {
  three_devices w;
  w.make(0, "a", 1);
  std::vector<replica_id> linked{2};
  CAF_CHECK(!w.at(0).issue_checkpoint(w.now, linked));
  CAF_CHECK(w.at(0).issue_checkpoint(w.now, {}));
}

CAF_TEST(the_log_is_cut_once_all_active_have_it_and_a_newcomer_takes_the_snapshot) {
  three_devices w;
  for (uint64_t n = 0; n < 20; ++n) {
    w.make(0, "k" + std::to_string(n), n + 1);
    w.make(1, "l" + std::to_string(n), n + 100);
    w.meet(0, 1);
  }
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, std::vector<replica_id>{2}));
  CAF_CHECK(!w.at(0).note_ack(2, {1, 1})); // an older one says nothing
  w.bring(0, 1);
  CAF_CHECK(w.at(0).note_ack(2, w.at(1).checkpoint()));
  CAF_CHECK(!w.at(0).has_gap({1, 1, 5}));
  CAF_CHECK(w.at(0).drop_log() > 0);
  CAF_CHECK(w.at(0).has_gap({1, 1, 5}));
  CAF_CHECK(!w.at(0).has_gap({1, 500, 501})); // not known yet is no gap
  w.make(0, "after", 50);
  w.make(1, "later", 51);
  w.meet(0, 1);
  w.bring(0, 2);
  CAF_CHECK(w.at(2).known().empty()); // nothing to begin with
  space_change change;
  CAF_REQUIRE_EQUAL(w.snapshot(0, 2, &change), "");
  CAF_CHECK(change.look_anew);
  w.bring(0, 2);
  CAF_CHECK(w.at(2).state_root() == w.at(0).state_root());
  CAF_CHECK(w.at_path(2, "later") == content_of(51).cid);
  CAF_CHECK_EQUAL(w.snapshot(0, 2), "the snapshot is older than what is here");
  // and over a restart, on all sides
  for (size_t i = 0; i < 3; ++i) {
    w.stores[i].reset();
    w.stores[i] = w.open(i);
    CAF_CHECK(!w.at(i).recount());
  }
  CAF_CHECK(w.at(2).heads().at(1).seq == w.at(0).heads().at(1).seq);
  CAF_CHECK(w.at(2).checkpoint() == w.at(0).checkpoint());
  w.make(2, "mine", 60);
  w.meet(0, 2);
  CAF_CHECK(w.at(2).state_root() == w.at(0).state_root());
}

CAF_TEST(a_snapshot_that_is_not_what_was_signed_changes_nothing) {
  three_devices w;
  w.make(0, "a", 1);
  w.make(1, "mine", 2);
  auto root = w.at(1).state_root();
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, {}));
  auto head = w.at(0).find_bundle(w.at(0).checkpoint());
  auto none = [](bool, std::string&) { return false; };
  CAF_CHECK_EQUAL(w.at(1).take_snapshot(*head, none, w.now).index(), 1u);
  auto wrong = *w.at(1).find_bundle({2, 1}); // no checkpoint in it
  CAF_CHECK_EQUAL(w.at(1).take_snapshot(wrong, none, w.now).index(), 1u);
  CAF_CHECK(w.at(1).state_root() == root);
  CAF_CHECK(w.at_path(1, "mine") == content_of(2).cid);
}

CAF_TEST(what_peers_lack_survives_a_snapshot_of_an_active_device) {
  three_devices w;
  w.make(0, "a", 1);
  w.make(1, "b", 2);
  w.meet(0, 1);
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, std::vector<replica_id>{2}));
  w.make(1, "offline", 3); // above the floor, outside V
  CAF_REQUIRE_EQUAL(w.snapshot(0, 1), "");
  CAF_CHECK(!w.at(1).is_left_behind());
  CAF_CHECK(w.at_path(1, "offline") == content_of(3).cid);
  w.meet(0, 1);
  CAF_CHECK(w.at_path(0, "offline") == content_of(3).cid);
  CAF_CHECK(w.at(0).state_root() == w.at(1).state_root());
}

/// The laptop was away for longer than 30 days and comes back with work of its own; `by_snapshot`: the log is cut already.
void laggard_returns(bool by_snapshot, bool has_folder) {
  three_devices w;
  w.make(0, "edited", 1);
  w.make(0, "gone", 2);
  w.make(1, "its own", 3);
  w.meet(0, 1);
  if (has_folder) {
    w.keep_base(1, "edited", 11);
    w.keep_base(1, "its own", 13);
  }
  auto old_vid = stamp{};
  w.at(1).read([&](const read_txn&, space_rows& rows) { old_vid = space_tree{rows}.resolve("edited")->entry.vid; });
  w.act(1, [&](space_edit& edit) { edit.edit(w.lid_of(1, "edited"), {}, {}, content_of(20)); });
  w.make(1, "new", 21);
  w.act(1, [&](space_edit& edit) { edit.remove(w.lid_of(1, "gone")); });
  if (has_folder) {
    w.keep_base(1, "edited", 11);
    w.keep_base(1, "new", 12);
  }
  auto edited = w.lid_of(1, "edited");
  auto made = w.lid_of(1, "new");
  w.now += 31 * day_ms;
  w.act(0, [&](space_edit& edit) { edit.edit(w.lid_of(0, "edited"), {}, {}, content_of(30)); });
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, {}));
  CAF_CHECK_EQUAL(w.at(0).cuts().at(2), 1u);
  if (by_snapshot) {
    CAF_CHECK(w.at(0).drop_log() > 0);
    space_change change;
    CAF_REQUIRE_EQUAL(w.snapshot(0, 1, &change), "");
    CAF_CHECK(change.look_anew);
  } else {
    auto change = w.bring(0, 1);
    CAF_CHECK(change.checkpoint_applied);
    CAF_CHECK(change.look_anew);
    CAF_REQUIRE(!change.cuts.empty());
    CAF_CHECK(change.cuts.front() == std::pair(replica_id{2}, uint64_t{1}));
    CAF_CHECK(change.made.empty());
  }
  CAF_CHECK(w.at(1).is_left_behind());
  CAF_CHECK(!w.at(1).may_write());
  auto refused = w.at(1).commit(w.now, [](space_edit& edit, space_rows&, write_txn&) { edit.make_dir(root_lid, "d"); });
  CAF_REQUIRE_EQUAL(refused.index(), 1u);
  CAF_CHECK(std::get<1>(refused).find("away for too long") != std::string::npos);
  w.bring(0, 1);
  CAF_CHECK(w.at(1).state_root() == w.at(0).state_root());
  if (has_folder) { // the planner finds all of it on disk as done just now
    auto row = w.base_of(1, edited);
    CAF_REQUIRE(row);
    CAF_CHECK(row->vid == old_vid);
    CAF_CHECK(row->content == prefix_of(content_of(1).cid));
    CAF_CHECK_EQUAL(row->seen.mtime_ns, 76);
    CAF_CHECK(!w.base_of(1, made));
    auto away = w.base_of(1, w.lid_of(1, "gone"));
    CAF_REQUIRE(away);
    CAF_CHECK_EQUAL(away->name, "gone");
    auto kept = w.base_of(1, w.lid_of(1, "its own"));
    CAF_REQUIRE(kept);
    CAF_CHECK_EQUAL(kept->seen.mtime_ns, 77); // what was shared is not touched
  }
  // over a restart it still waits; then the governor gives a new number
  w.stores[1].reset();
  w.stores[1] = w.open(1);
  CAF_CHECK(w.at(1).is_left_behind());
  space_change told;
  w.at(1).listen([&](const space_change& change) { told = change; });
  w.enrol_again();
  CAF_CHECK(w.at(1).may_write());
  CAF_CHECK(told.look_anew);
  CAF_CHECK_EQUAL(told.made.empty(), has_folder);
  w.meet(0, 1);
  CAF_CHECK(w.at(1).state_root() == w.at(0).state_root());
  if (has_folder)
    return;
  CAF_CHECK(w.at_path(0, "new") == content_of(21).cid);
  CAF_CHECK(w.at_path(0, "edited") == content_of(20).cid);
  w.at(0).read([&](const read_txn&, space_rows& rows) {
    auto history = space_tree{rows}.history(w.lid_of(0, "edited"));
    CAF_REQUIRE_EQUAL(history.size(), 3u);
    CAF_CHECK((history[1].flags & version_overtaken) != 0); // it had not seen that one
  });
}

CAF_TEST(a_laggard_whose_log_is_there_loses_nothing) {
  laggard_returns(false, false);
}
CAF_TEST(a_laggard_behind_the_cut_log_loses_nothing) {
  laggard_returns(true, false);
}
CAF_TEST(a_laggards_folder_finds_its_work_again) {
  laggard_returns(false, true);
}
CAF_TEST(a_laggards_folder_finds_its_work_again_behind_a_snapshot) {
  laggard_returns(true, true);
}

CAF_TEST(a_new_number_begins_a_chain_that_says_what_it_knows) {
  three_devices w;
  w.make(0, "a", 1);
  w.make(1, "b", 2);
  w.meet(0, 1);
  w.now += 31 * day_ms;
  w.make(0, "c", 3);
  CAF_REQUIRE(w.at(0).issue_checkpoint(w.now, {}));
  w.bring(0, 1);
  w.enrol_again();
  auto made = w.act(1, [&](space_edit& edit) { edit.make_dir(root_lid, "d"); }).made;
  CAF_REQUIRE_EQUAL(made.size(), 1u);
  CAF_CHECK_EQUAL(made.front()->content.rid, 4u);
  auto knows = [&](replica_id rid) {
    const auto& delta = made.front()->content.context_delta;
    return std::any_of(delta.begin(), delta.end(), [&](const dot& d) { return d.rid == rid; });
  };
  CAF_CHECK(knows(1));
  CAF_CHECK(knows(2));
}

CAF_TEST(what_a_revocation_leads_to_is_told) {
  three_devices w;
  w.make(0, "d", 1);
  w.act(2, [&](space_edit& edit) { edit.make_dir(root_lid, "dir"); });
  w.meet(0, 2);
  w.bring(0, 1);
  space_change told;
  w.at(1).listen([&](const space_change& change) { told = change; });
  w.govern(roster_revoke{3, 0});
  CAF_CHECK(!told.touched.empty());
  CAF_REQUIRE(!told.cuts.empty());
  CAF_CHECK(told.cuts.front() == std::pair(replica_id{3}, uint64_t{0}));
}

CAF_TEST(own_work_that_a_revocation_of_ones_old_number_voids_is_made_anew_and_told) {
  three_devices w;
  w.make(1, "mine", 5);
  space_change told;
  w.at(1).listen([&](const space_change& change) {
    if (!change.made.empty())
      told = change;
  });
  w.enrol_again();
  CAF_CHECK_EQUAL(w.at(1).known().contains(2), false);
  CAF_REQUIRE_EQUAL(told.made.size(), 1u); // or nobody would ever be sent it
  CAF_CHECK_EQUAL(told.made.front()->content.rid, 4u);
  CAF_CHECK(w.at_path(1, "mine") == content_of(5).cid);
}

CAF_TEST(repair_folds_rows_anew_that_are_not_what_their_events_say) {
  three_devices w;
  w.make(0, "a", 1);
  w.make(0, "b", 2);
  w.act(0, [&](space_edit& edit) { edit.edit(w.lid_of(0, "a"), {}, {}, content_of(3)); });
  auto root = w.at(0).state_root();
  CAF_CHECK_EQUAL(refold_space(w.at(0)), 0u); // what is sound is left alone
  CAF_CHECK(w.at(0).state_root() == root);
  auto lid = w.lid_of(0, "a");
  w.at(0).write([&](write_txn&, space_rows& rows) {
    auto row = *rows.node(lid);
    row.head = rows.versions(lid).front().at; // as a flipped bit would have it
    row.meta.executable = true;
    rows.put_node(lid, row);
  });
  w.at(0).recount();
  CAF_CHECK(w.at_path(0, "a") == content_of(1).cid);
  CAF_CHECK(w.at(0).state_root() != root);
  CAF_CHECK_EQUAL(refold_space(w.at(0)), 1u);
  CAF_CHECK(w.at_path(0, "a") == content_of(3).cid);
  CAF_CHECK(w.at(0).state_root() == root);
}
