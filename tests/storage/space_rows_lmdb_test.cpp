#define CAF_SUITE space_rows_lmdb
#include "storage/space_rows_lmdb.hpp"
#include "storage/space_rows_memory.hpp"
#include "tests/storage/random_rows.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <cerrno>

using namespace harp;
using namespace harp::test;

namespace {

constexpr local_id lids = 12;

metadata_db opened(const std::filesystem::path& dir) {
  auto db = metadata_db::open(dir, environment::meta, {});
  CAF_REQUIRE(std::holds_alternative<metadata_db>(db));
  return std::move(std::get<metadata_db>(db));
}

node_id nid_of(uint64_t n) {
  node_id out;
  out.bytes[0] = static_cast<uint8_t>(n);
  out.bytes[15] = 1;
  return out;
}

/// Two contents never share 16 bytes of SHA-256; then the later root record stays.
content_id rooted(content_id cid) {
  cid.bytes[20] = 0;
  return cid;
}

using dumped = std::vector<std::string>;

/// Everything the interface lets one see, as text.
dumped dump(space_rows& rows) {
  dumped out;
  auto line = [&](auto&&... parts) {
    std::string text;
    ((text += parts, text += ' '), ...);
    out.push_back(std::move(text));
  };
  auto text = [](const stamp& s) {
    return std::to_string(s.hlc) + "/" + std::to_string(s.rid) + "/" + std::to_string(s.idx);
  };
  for (uint64_t n = 0; n < 2 * lids; ++n)
    line("alias", std::to_string(rows.find(nid_of(n))));
  rows.each_node(0, [&](local_id lid, const node_row& row) {
    line("node", std::to_string(lid), row.nid.to_string(), row.name, std::to_string(row.flags),
         text(row.died));
    return true;
  });
  rows.each_node(5, [&](local_id lid, const node_row&) {
    line("from five", std::to_string(lid));
    return lid < 8;
  });
  for (uint64_t before : {0u, 7u, 100u})
    rows.each_dead(before, [&](uint64_t hlc, local_id lid) {
      line("dead", std::to_string(hlc), std::to_string(lid));
      return true;
    });
  for (local_id lid = 1; lid <= lids; ++lid) {
    for (const auto& row : rows.events(lid))
      line("event", std::to_string(lid), text(row.at), std::to_string(static_cast<int>(row.what)),
           row.name);
    for (const auto& row : rows.versions(lid)) {
      line("version", std::to_string(lid), text(row.at), row.cid.to_string(),
           std::to_string(row.size));
      CAF_CHECK(rows.version(lid, row.at) == row);
    }
    rows.each_entry(lid, {}, [&](std::string_view name, local_id child) {
      line("entry", std::to_string(lid), std::string(name), std::to_string(child));
      auto all = rows.entry(lid, name);
      CAF_CHECK(std::find(all.begin(), all.end(), child) != all.end());
      return true;
    });
    rows.each_entry(lid, "c", [&](std::string_view name, local_id child) {
      line("behind c", std::string(name), std::to_string(child));
      return name < "e";
    });
    if (auto row = rows.floor(lid))
      line("floor", std::to_string(lid), row->nid.to_string(), row->name);
  }
  rows.each_floor([&](local_id lid, const node_row& row) {
    line("each floor", std::to_string(lid), row.name);
    return true;
  });
  row_maker contents(1);
  for (int i = 0; i < 12; ++i) {
    auto cid = contents.content();
    for (auto& [lid, at] : rows.holders(cid, 100))
      line("holder", cid.to_string(), std::to_string(lid), text(at));
    CAF_CHECK(rows.holders(cid, 2).size() <= 2);
    line("root", rows.root_record(rooted(cid)));
  }
  for (uint64_t from : {0u, 9u})
    for (const auto& row : rows.dir_moves_from({from, 2, 0}))
      line("move", text(row.at), std::to_string(row.node), row.name, std::to_string(row.effective));
  rows.each_replica([&](replica_id rid, const replica_row& row) {
    line("replica", std::to_string(rid), row.user, std::to_string(row.seq));
    CAF_CHECK(rows.replica(rid) == row);
  });
  for (auto key : {"a", "b", "c"})
    line("setting", rows.setting(key));
  for (auto [lid, bits] : rows.dirty(100))
    line("dirty", std::to_string(lid), std::to_string(bits));
  for (const auto& row : rows.notices(1000)) {
    line("notice", std::to_string(row.hlc), std::to_string(static_cast<int>(row.code)));
    for (const auto& argument : row.arguments)
      line("argument", argument);
  }
  return out;
}

/// One random call, the same for both; what it answers is compared by the caller.
std::string act(space_rows& rows, row_maker& make) {
  local_id lid = 1 + make.below(lids);
  switch (make.below(24)) {
  case 0:
  case 1:
    return "alias " + std::to_string(rows.make_alias(nid_of(make.below(2 * lids))));
  case 2:
  case 3:
  case 4: {
    auto n = make.below(2 * lids);
    auto known = rows.make_alias(nid_of(n));
    auto row = make.node();
    row.nid = nid_of(n);
    rows.put_node(known, row);
    return "node " + std::to_string(rows.node(known) == row);
  }
  case 5:
    rows.erase_node(lid);
    return "erased";
  case 6:
  case 7:
    return "event " + std::to_string(rows.put_event(lid, make.event()));
  case 8:
    rows.erase_event(lid, make.at());
    return "gone";
  case 9:
  case 10:
  case 11:
    return "version " + std::to_string(rows.put_version(lid, make.version()));
  case 12:
    rows.erase_version(lid, make.at());
    return "gone";
  case 13:
    rows.put_root_record(rooted(make.content()), make.text(40));
    return "root";
  case 14:
  case 15:
    rows.add_entry(lid, make.name(), make.below(5));
    return "entry";
  case 16:
    rows.remove_entry(lid, std::string(1, static_cast<char>('a' + make.below(6))), make.below(5));
    return "no entry";
  case 17:
    if (make.chance(60))
      rows.put_floor(lid, make.node());
    else
      rows.erase_floor(lid);
    return "floor";
  case 18:
    rows.put_dir_move(make.dir_move());
    return "move";
  case 19:
    rows.erase_dir_move(make.at(), 1 + make.below(5));
    return "no move";
  case 20:
    rows.put_replica(static_cast<replica_id>(make.below(4)), make.replica());
    return "replica";
  case 21:
    rows.put_setting(std::string(1, static_cast<char>('a' + make.below(3))), make.text(8));
    return "setting";
  case 22:
    if (make.chance(70))
      rows.mark_dirty(lid, static_cast<uint8_t>(1u << make.below(8)));
    else
      rows.clear_dirty(lid);
    return "dirty";
  default:
    if (make.chance(3))
      rows.erase_notices();
    rows.put_notice(make.notice());
    return "notice";
  }
}

} // namespace

CAF_TEST(gives_the_same_as_plain_maps_under_random_operations) {
  constexpr uint64_t seeds = 12;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    CAF_MESSAGE("seed " << seed);
    scratch_dir dir(true);
    auto db = opened(dir / "db");
    space_rows_memory model;
    for (uint64_t round = 0; round < 25; ++round) {
      auto before = model;
      bool keep = round % 6 != 5;
      auto failure = write_space(db, [&](space_rows& rows) {
        model = before;
        row_maker ours(seed * 1000 + round);
        row_maker theirs(seed * 1000 + round);
        for (int i = 0; i < 80; ++i)
          CAF_REQUIRE_EQUAL(act(rows, ours), act(model, theirs));
        CAF_CHECK(dump(rows) == dump(model));
        return keep;
      });
      CAF_REQUIRE(!failure);
      if (!keep)
        model = before;
      CAF_REQUIRE(!read_space(db, [&](space_rows& rows) { CAF_CHECK(dump(rows) == dump(model)); }));
      CAF_REQUIRE(!db.read([](const read_txn& txn) {
        CAF_CHECK_EQUAL(txn.count(table::cidref),
                        txn.count(table::ver)); // one reference per version, none left over
      }));
    }
  }
}

CAF_TEST(knows_the_root_from_the_start_and_never_reuses_a_lid) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  local_id first = 0;
  CAF_CHECK(!write_space(db, [&](space_rows& rows) {
    CAF_CHECK_EQUAL(rows.find(root_node_id()), root_lid);
    CAF_CHECK_EQUAL(rows.make_alias(root_node_id()), root_lid);
    first = rows.make_alias(nid_of(1));
    node_row row;
    row.nid = nid_of(1);
    rows.put_node(first, row);
    return true;
  }));
  CAF_CHECK(!write_space(db, [&](space_rows& rows) {
    rows.erase_node(first);
    CAF_CHECK_EQUAL(rows.find(nid_of(1)), 0u);
    CAF_CHECK(rows.make_alias(nid_of(1)) > first);
    return true;
  }));
}

CAF_TEST(keeps_bounded_memory_over_more_nodes_than_it_keeps) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  constexpr uint64_t count = 3 * rows_kept_max / 2;
  auto nid = [](uint64_t n) {
    node_id out;
    std::memcpy(out.bytes.data(), &n, sizeof n);
    out.bytes[15] = 1;
    return out;
  };
  CAF_CHECK(!write_space(db, [&](space_rows& rows) {
    for (uint64_t n = 1; n <= count; ++n) {
      auto lid = rows.make_alias(nid(n));
      node_row row;
      row.nid = nid(n);
      row.shown_kids = n;
      rows.put_node(lid, row);
      rows.mark_dirty(lid, 1);
    }
    for (uint64_t n = 1; n <= count; n += 1000)
      CAF_CHECK(rows.node(rows.find(nid(n)))->shown_kids == n);
    return true;
  }));
  CAF_CHECK(!read_space(db, [&](space_rows& rows) {
    for (uint64_t n = 1; n <= count; n += 777)
      CAF_CHECK(rows.node(rows.find(nid(n)))->shown_kids == n);
    CAF_CHECK_EQUAL(rows.dirty(2 * count).size(), count);
  }));
}

CAF_TEST(keeps_the_newest_notices) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  CAF_CHECK(!write_space(db, [&](space_rows& rows) {
    for (uint64_t i = 0; i < notices_max + 5; ++i)
      rows.put_notice({i, notice_code::voided, i, {}});
    auto all = rows.notices(2 * notices_max);
    CAF_CHECK_EQUAL(all.size(), notices_max);
    CAF_CHECK_EQUAL(all.front().hlc, notices_max + 4);
    CAF_CHECK_EQUAL(all.back().hlc, 5u);
    return true;
  }));
}

CAF_TEST(a_snapshot_refuses_changes_and_a_damaged_row_is_a_failure) {
  scratch_dir dir(true);
  auto db = opened(dir / "db");
  auto refused = read_space(db, [](space_rows& rows) { rows.put_setting("a", "b"); });
  CAF_REQUIRE(refused);
  CAF_CHECK_EQUAL(refused->code, EROFS);
  CAF_CHECK(!db.write([](write_txn& txn) {
    txn.put(table::node, row_key::lid(4), "nonsense");
    return true;
  }));
  auto damaged = read_space(db, [](space_rows& rows) { rows.node(4); });
  CAF_REQUIRE(damaged);
  CAF_CHECK_EQUAL(damaged->code, EBADMSG);
  CAF_CHECK(damaged->what.find("restore") != std::string::npos);
}
