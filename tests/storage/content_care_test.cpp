// Retention, collection in steps, and scrub: nothing that a current tree, a retained version or a pending want needs is ever
// removed; what is damaged is found and told (storage.md 5.4, 6.3; quality.md C04).
#define CAF_SUITE content_care
#include "storage/content_care.hpp"
#include "storage/content_root.hpp"
#include "storage/digest.hpp"
#include "storage/hlc.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <fstream>
#include <map>
#include <random>
#include <set>

using namespace harp;
using harp::test::scratch_dir;

namespace {

constexpr uint64_t day_ms = 24ull * 3600'000;
constexpr uint64_t start_ms = 1'800'000'000'000;

/// One space with its packs on virtual time.
struct care_world {
  scratch_dir dir{true};
  signing_key governor = signing_key::make(), device = signing_key::make();
  std::unique_ptr<metadata_db> chunks;
  std::unique_ptr<chunk_index> index;
  std::unique_ptr<pack_store> packs;
  std::shared_ptr<space_store> rows;
  std::unique_ptr<content_care> care;
  std::vector<content_id> pinned;
  std::vector<damaged_content> told;
  bool keeper = true;
  uint64_t now = start_ms;
  uint64_t contents = 0;

  explicit care_world(uint32_t pack_bytes = 64u << 10) {
    auto db = metadata_db::open(dir / "chunks", environment::chunks);
    chunks = std::make_unique<metadata_db>(std::move(std::get<metadata_db>(db)));
    index = std::make_unique<chunk_index>(*chunks);
    packs = std::move(std::get<0>(pack_store::open(dir / "packs", *index, pack_bytes)));
    space_id id;
    id.bytes[0] = 3;
    rows = std::move(std::get<0>(space_store::open(dir / "space", id, governor.public_key(), device)));
    CAF_REQUIRE(!rows->govern(roster_add_device{1, device.public_key(), member_role::admin, "ann", "keeper", 0, true}, now, governor));
    begin();
  }
  void begin() {
    care = std::make_unique<content_care>(*packs);
    care->use([this] { return std::vector<cared_space>{{rows, keeper, pinned}}; });
    care->tell([this](const std::vector<damaged_content>& found) { told = found; });
  }
  uint32_t now_s() const { return static_cast<uint32_t>(now / 1000); }

  /// A content of one chunk of its own, in the packs.
  content_ref store() {
    ++contents;
    std::string bytes = "content " + std::to_string(contents) + std::string(3000, 'x');
    for (size_t i = 0; i < bytes.size(); i += 7)
      bytes[i] = static_cast<char>((i * 31 + contents * 17) % 251);
    auto id = chunk_id_of(bytes);
    CAF_REQUIRE(!packs->put(id, bytes));
    content_root root;
    root.size = bytes.size();
    root.chunks = 1;
    root.flat.push_back({id, static_cast<uint32_t>(bytes.size())});
    content_ref out;
    out.size = bytes.size();
    out.root = encode_root(root);
    out.cid = content_id_of(out.root);
    return out;
  }
  local_id make(const std::string& name, const content_ref& content) {
    local_id out = 0;
    commit([&](space_edit& edit) { out = std::get<0>(edit.make_file(root_lid, name, node_kind::file, {}, content)).lid; });
    return out;
  }
  void commit(const std::function<void(space_edit&)>& work) {
    now += 1000;
    CAF_REQUIRE_EQUAL(rows->commit(now, [&](space_edit& edit, space_rows&, write_txn&) { work(edit); }).index(), 0u);
  }
  bool has(const content_ref& content) { return packs->has(std::get<content_root>(parse_root(content.root)).flat.front().id); }
  /// Steps until a collection has ended; how many.
  size_t collect() {
    care->collect_now();
    for (size_t steps = 1; steps < 100'000; ++steps) {
      auto more = care->step(now_s());
      CAF_REQUIRE_EQUAL(more.index(), 0u);
      if (!std::get<bool>(more))
        return steps;
    }
    CAF_FAIL("a collection does not end");
    return 0;
  }
  /// Twice with a day between: the second removes what the first found unreferenced.
  void collect_all() {
    collect();
    now += day_ms + 1000;
    collect();
  }
};

version_row version_at(uint64_t age_days, uint64_t now_ms, uint16_t idx = 0) {
  version_row out;
  out.at = {hlc_of_ms(now_ms - age_days * day_ms) + idx, 1, idx};
  return out;
}

} // namespace

CAF_TEST(retention_keeps_all_for_a_week_then_one_a_day_then_one_a_week) {
  retention_policy policy;
  std::vector<version_row> versions;
  for (uint64_t age : {0, 3, 6, 8, 50, 89, 120, 300, 364, 366, 900})
    for (uint16_t idx : {1, 2, 3})
      versions.push_back(version_at(age, start_ms, idx));
  auto kept = retained(versions, versions[2].at, start_ms, policy);
  auto count = [&](uint64_t age) {
    size_t out = 0;
    for (size_t i = 0; i < versions.size(); ++i)
      out += kept[i] && (start_ms - ms_of_hlc(versions[i].at.hlc)) / day_ms == age ? 1 : 0;
    return out;
  };
  for (uint64_t age : {0, 3, 6})
    CAF_CHECK_EQUAL(count(age), 3u);
  for (uint64_t age : {8, 50, 89, 120, 300, 364})
    CAF_CHECK_EQUAL(count(age), 1u);
  for (uint64_t age : {366, 900})
    CAF_CHECK_EQUAL(count(age), 0u);
  for (size_t i = 0; i + 2 < versions.size(); i += 3) // of a period the last one
    CAF_CHECK(!kept[i + 1] || kept[i + 2]);
  auto old_head = retained(versions, versions.back().at, start_ms, policy);
  CAF_CHECK(old_head.back()); // what is current stays however old it is
}

CAF_TEST(a_laptop_keeps_what_is_current_and_what_no_keeper_has) {
  std::vector<version_row> versions{version_at(3, start_ms), version_at(2, start_ms), version_at(1, start_ms)};
  versions[0].flags = version_safe;
  CAF_CHECK((kept_here(versions, versions[2].at, start_ms, {}, false) == std::vector<bool>{false, true, true}));
  CAF_CHECK((kept_here(versions, versions[2].at, start_ms, {}, true) == std::vector<bool>{true, true, true}));
}

CAF_TEST(versions_out_of_retention_go_and_the_rest_stays) {
  care_world w;
  auto first = w.store();
  auto lid = w.make("a", first);
  w.now += 2 * day_ms;
  auto second = w.store();
  w.commit([&](space_edit& edit) { edit.edit(lid, {}, {}, second); });
  w.collect_all();
  CAF_CHECK(w.has(first) && w.has(second));
  w.now += 400 * day_ms;
  w.collect();
  CAF_CHECK(w.has(first)); // 24 h after it was found unreferenced
  w.now += day_ms + 1000;
  w.collect();
  CAF_CHECK(!w.has(first));
  CAF_CHECK(w.has(second));
}

CAF_TEST(trash_is_emptied_after_its_time_by_a_checkpoint) {
  care_world w;
  auto kept = w.store();
  auto gone = w.store();
  w.make("kept", kept);
  auto lid = w.make("gone", gone);
  CAF_REQUIRE(!w.rows->govern(roster_set_checkpointer{1}, w.now, w.governor));
  w.commit([&](space_edit& edit) { edit.remove(lid); });
  CAF_REQUIRE(w.rows->issue_checkpoint(w.now, {}));
  w.collect_all();
  CAF_CHECK(w.has(gone)); // in Trash
  w.now += 91 * day_ms;
  w.commit([&](space_edit& edit) { edit.make_dir(root_lid, "later"); });
  CAF_REQUIRE(w.rows->issue_checkpoint(w.now, {}));
  w.rows->read([&](const read_txn&, space_rows& rows) { CAF_CHECK(!rows.node(lid)); });
  w.collect_all();
  CAF_CHECK(!w.has(gone));
  CAF_CHECK(w.has(kept));
}

CAF_TEST(what_is_wanted_or_on_its_way_stays) {
  care_world w;
  auto wanted = w.store();
  auto other = w.store();
  w.rows->write([&](write_txn&, space_rows& rows) { rows.put_root_record(wanted.cid, wanted.root); });
  w.pinned = {wanted.cid};
  w.collect_all();
  CAF_CHECK(w.has(wanted));
  CAF_CHECK(!w.has(other));
}

CAF_TEST(a_step_does_a_bounded_part_of_the_work) {
  care_world w;
  for (size_t i = 0; i < 3; ++i)
    w.commit([&](space_edit& edit) {
      for (size_t n = 0; n < mark_nodes_per_step; ++n)
        edit.make_file(root_lid, "f" + std::to_string(i) + "-" + std::to_string(n), node_kind::file, {}, {});
    });
  w.now += 1000;
  CAF_CHECK(w.collect() >= 5); // three to mark, one to begin, one to sweep
}

// Whatever happens between any two steps: every byte that a current tree, a retained version or a want needs is there.
CAF_TEST(nothing_that_is_needed_is_ever_removed) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 random{seed};
    auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
    care_world w{16u << 10};
    std::map<content_id, content_ref> known;
    std::vector<std::pair<local_id, std::string>> files;
    auto remember = [&](const content_ref& one) {
      known[one.cid] = one;
      return one;
    };
    auto act = [&] {
      auto what = pick(6);
      if (what == 0 || files.empty()) {
        auto name = "f" + std::to_string(w.contents);
        files.emplace_back(w.make(name, remember(w.store())), name);
      } else if (what <= 2) {
        w.commit([&](space_edit& edit) { edit.edit(files[pick(files.size())].first, {}, {}, remember(w.store())); });
      } else if (what == 3) {
        w.commit([&](space_edit& edit) { edit.remove(files[pick(files.size())].first); });
      } else if (what == 4) { // an old version becomes current again: it refers to what may be about to go
        auto lid = files[pick(files.size())].first;
        std::vector<version_row> versions;
        w.rows->read([&](const read_txn&, space_rows& rows) { versions = rows.versions(lid); });
        auto version = versions[pick(versions.size())];
        if (w.has(known.at(version.cid)))
          w.commit([&](space_edit& edit) { edit.restore_version(lid, version.at); });
      } else {
        auto any = std::next(known.begin(), static_cast<std::ptrdiff_t>(pick(known.size())));
        w.pinned = w.has(any->second) ? std::vector<content_id>{any->first} : std::vector<content_id>{};
      }
    };
    auto check = [&] {
      std::set<content_id> needed{w.pinned.begin(), w.pinned.end()};
      w.rows->read([&](const read_txn&, space_rows& rows) {
        for (const auto& [lid, name] : files) {
          auto versions = rows.versions(lid);
          auto row = rows.node(lid);
          auto kept = retained(versions, row ? row->head : stamp{}, w.now, {});
          for (size_t i = 0; i < versions.size(); ++i)
            if (kept[i])
              needed.insert(versions[i].cid);
        }
      });
      for (const auto& cid : needed)
        if (!w.has(known.at(cid)))
          return false;
      return true;
    };
    for (size_t i = 0; i < 300; ++i) {
      if (pick(3) == 0)
        act();
      if (pick(20) == 0)
        w.now += pick(20) * day_ms;
      if (pick(10) == 0)
        w.care->collect_now();
      CAF_REQUIRE_EQUAL(w.care->step(w.now_s()).index(), 0u);
      if (!check()) {
        CAF_FAIL("seed " << seed << ", step " << i << ": a needed content is gone");
        return;
      }
    }
  }
}

CAF_TEST(damage_is_found_told_by_path_and_healed_by_a_put) {
  care_world w;
  auto good = w.store();
  auto bad = w.store();
  w.make("good", good);
  w.make("bad", bad);
  CAF_REQUIRE(!w.packs->sync());
  w.collect();
  CAF_CHECK(w.told.empty());
  auto chunk = std::get<content_root>(parse_root(bad.root)).flat.front().id;
  auto kept = w.packs->get(chunk);
  auto row = w.packs->index().pack_of(chunk);
  CAF_REQUIRE(row);
  for (const auto& file : std::filesystem::recursive_directory_iterator{w.dir / "packs"})
    if (file.is_regular_file()) { // only one pack so far
      std::fstream raw{file.path(), std::ios::in | std::ios::out | std::ios::binary};
      raw.seekp(row->offset + row->length / 2);
      raw.put('!');
      raw.put('?');
    }
  w.now += 30 * day_ms; // due again
  w.collect();
  w.collect();
  CAF_REQUIRE_EQUAL(w.told.size(), 1u);
  CAF_CHECK_EQUAL(w.told.front().path, "bad");
  CAF_CHECK(w.told.front().cid == bad.cid);
  CAF_CHECK(!w.has(bad) && w.has(good)); // never served
  CAF_CHECK(w.care->damaged_chunks() > 0);
  CAF_REQUIRE(!w.packs->put(chunk, std::get<std::string>(kept)));
  w.collect();
  CAF_CHECK(w.told.empty());
  CAF_CHECK(w.has(bad));
}

CAF_TEST(the_time_of_the_last_collection_outlives_a_restart) {
  care_world w;
  w.collect();
  w.begin();
  auto more = w.care->step(w.now_s() + 60);
  CAF_CHECK_EQUAL(std::get<bool>(more), false);
}
