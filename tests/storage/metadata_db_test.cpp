#define CAF_SUITE metadata_db
#include "storage/local_file.hpp"
#include "storage/metadata_db.hpp"
#include "tests/storage/crash_hooks.hpp"
#include "tests/storage/scratch_dir.hpp"

#include <caf/test/unit_test.hpp>

#include <atomic>
#include <csignal>
#include <fstream>
#include <map>
#include <random>
#include <sys/resource.h>
#include <thread>

using namespace harp;
using namespace harp::test;

namespace {

metadata_db opened(const std::filesystem::path& dir, metadata_options options = {}) {
  auto db = metadata_db::open(dir, environment::meta, std::move(options));
  if (auto* failure = std::get_if<storage_failure>(&db))
    CAF_FAIL(failure->what);
  return std::move(std::get<metadata_db>(db));
}

std::string refused(const std::filesystem::path& dir, metadata_options options = {}) {
  auto db = metadata_db::open(dir, environment::meta, std::move(options));
  auto* failure = std::get_if<storage_failure>(&db);
  return failure != nullptr ? failure->what : "";
}

std::string text_of(const metadata_db& db, table which, std::string_view key) {
  std::string out = "(none)";
  CAF_REQUIRE(!db.read([&](const read_txn& txn) {
    if (auto found = txn.get(which, key))
      out = *found;
  }));
  return out;
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

metadata_schema schema_two(std::function<bool(write_txn&, std::string&)> piece) {
  return {2, {{1, std::move(piece)}}};
}

/// Turns every "set:" row into upper case, three rows per piece.
bool shout(write_txn& txn, std::string& resume) {
  std::vector<std::pair<std::string, std::string>> rows;
  txn.each_from(table::remote, resume, [&](std::string_view key, std::string_view value) {
    if (key != resume)
      rows.emplace_back(key, value);
    return rows.size() < 3;
  });
  for (auto& [key, value] : rows) {
    for (auto& c : value)
      c = static_cast<char>(c - 'a' + 'A');
    txn.put(table::remote, key, value);
    resume = key;
  }
  return rows.size() < 3;
}

} // namespace

CAF_TEST(keeps_what_a_transaction_wrote) {
  scratch_dir dir;
  {
    auto db = opened(dir / "db");
    CAF_CHECK(!db.write([](write_txn& txn) {
      txn.put(table::node, row_key::lid(7), "seven");
      txn.put(table::conf, "a", "1");
      return true;
    }));
    CAF_CHECK_EQUAL(text_of(db, table::node, row_key::lid(7)), "seven");
  }
  auto again = opened(dir / "db");
  CAF_CHECK_EQUAL(text_of(again, table::node, row_key::lid(7)), "seven");
  CAF_CHECK_EQUAL(text_of(again, table::node, row_key::lid(8)), "(none)");
}

CAF_TEST(an_aborted_transaction_leaves_nothing) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  CAF_CHECK(!db.write([](write_txn& txn) {
    txn.put(table::conf, "a", "1");
    return false;
  }));
  auto failure = db.write([](write_txn& txn) -> bool {
    txn.put(table::conf, "b", "1");
    throw storage_failure{42, "no"};
  });
  CAF_REQUIRE(failure);
  CAF_CHECK_EQUAL(failure->code, 42);
  CAF_CHECK_EQUAL(text_of(db, table::conf, "a"), "(none)");
  CAF_CHECK_EQUAL(text_of(db, table::conf, "b"), "(none)");
  CAF_CHECK(!db.write([](write_txn& txn) {
    txn.put(table::conf, "c", "1");
    return true;
  }));
}

CAF_TEST(behaves_like_a_sorted_map_under_random_operations) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  for (auto which : {table::ev, table::node}) {
    bool by_lid = which == table::node;
    std::mt19937_64 random(7);
    std::map<uint64_t, std::string> model;
    auto key = [&](uint64_t n) { return by_lid ? row_key::lid(n) : row_key{}.u64(n); };
    for (int round = 0; round < 40; ++round) {
      auto before = model;
      bool keep = random() % 5 != 0;
      CAF_REQUIRE(!db.write([&](write_txn& txn) {
        for (int i = 0; i < 50; ++i) {
          uint64_t n = random() % 400 + (random() % 3 == 0 ? static_cast<uint64_t>(round) * 20 : 0);
          std::string value(random() % 60, static_cast<char>('a' + random() % 26));
          switch (random() % 4) {
          case 0:
            CAF_CHECK_EQUAL(txn.erase(which, key(n)), model.erase(n) == 1);
            break;
          case 1:
            CAF_CHECK_EQUAL(txn.insert(which, key(n), value), model.emplace(n, value).second);
            break;
          default:
            txn.put(which, key(n), value);
            model[n] = value;
          }
        }
        return keep;
      }));
      if (!keep)
        model = before;
      std::map<uint64_t, std::string> seen;
      CAF_REQUIRE(!db.walk(which, {}, [&](std::string_view k, std::string_view v) {
        auto n = by_lid ? key_lid(k) : key_number(k, 0, 8);
        CAF_CHECK(seen.empty() || n > seen.rbegin()->first);
        seen.emplace(n, v);
        return true;
      }));
      CAF_CHECK(seen == model);
    }
  }
}

CAF_TEST(keeps_several_values_of_one_key_sorted_and_once) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  auto key = row_key{}.u64(1).bytes("name");
  auto values = [&] {
    std::string out;
    CAF_REQUIRE(!db.read([&](const read_txn& txn) {
      txn.each_value(table::dirent, key, [&](std::string_view value) {
        out += std::to_string(key_number(value, 0, 8)) + " ";
        return true;
      });
    }));
    return out;
  };
  CAF_CHECK(!db.write([&](write_txn& txn) {
    for (uint64_t lid : {9, 3, 5, 3, 9})
      txn.put(table::dirent, key, row_key{}.u64(lid));
    txn.put(table::dirent, row_key{}.u64(1).bytes("other"), row_key{}.u64(1));
    return true;
  }));
  CAF_CHECK_EQUAL(values(), "3 5 9 ");
  CAF_CHECK(!db.write([&](write_txn& txn) {
    CAF_CHECK(txn.erase_value(table::dirent, key, row_key{}.u64(5)));
    CAF_CHECK(!txn.erase_value(table::dirent, key, row_key{}.u64(5)));
    return true;
  }));
  CAF_CHECK_EQUAL(values(), "3 9 ");
}

CAF_TEST(doubles_a_full_map_and_runs_the_work_again) {
  scratch_dir dir;
  metadata_options options;
  options.map_start = 1u << 20;
  auto db = opened(dir / "db", std::move(options));
  auto before = db.map_bytes();
  int runs = 0;
  CAF_CHECK(!db.write([&](write_txn& txn) {
    ++runs;
    for (uint32_t i = 0; i < 4000; ++i)
      txn.put(table::ev, row_key{}.u32(i), std::string(1000, 'x'));
    return true;
  }));
  CAF_CHECK(runs > 1);
  CAF_CHECK(db.map_bytes() >= 4 * before);
  size_t rows = 0;
  CAF_CHECK(!db.read([&](const read_txn& txn) { rows = txn.count(table::ev); }));
  CAF_CHECK_EQUAL(rows, 4000u);
}

CAF_TEST(refuses_to_grow_beyond_its_maximum_and_keeps_what_it_had) {
  scratch_dir dir;
  metadata_options options;
  options.map_start = 1u << 20;
  options.map_max = 2u << 20;
  auto db = opened(dir / "db", std::move(options));
  CAF_CHECK(!db.write([](write_txn& txn) {
    txn.put(table::conf, "kept", "yes");
    return true;
  }));
  CAF_CHECK(db.write([](write_txn& txn) {
    for (uint32_t i = 0; i < 4000; ++i)
      txn.put(table::ev, row_key{}.u32(i), std::string(1000, 'x'));
    return true;
  }));
  CAF_CHECK_EQUAL(text_of(db, table::conf, "kept"), "yes");
  CAF_CHECK(!db.write([](write_txn& txn) {
    txn.put(table::conf, "later", "yes");
    return true;
  }));
}

CAF_TEST(readers_see_one_moment_while_the_writer_goes_on_and_the_map_grows) {
  scratch_dir dir;
  metadata_options options;
  options.map_start = 1u << 20;
  auto db = opened(dir / "db", std::move(options));
  std::atomic<bool> stop = false;
  std::atomic<unsigned> torn = 0;
  std::atomic<unsigned> reads = 0;
  std::thread reader([&] {
    while (!stop) {
      auto failure = db.read([&](const read_txn& txn) {
        std::string a(txn.get(table::conf, "a").value_or("0"));
        std::string b(txn.get(table::conf, "b").value_or("0"));
        torn += a != b;
        ++reads;
      });
      torn += failure.has_value();
    }
  });
  for (int i = 0; i < 60 || reads < 100; ++i)
    CAF_REQUIRE(!db.write([&](write_txn& txn) {
      txn.put(table::conf, "a", std::to_string(i));
      for (uint32_t k = 0; k < 100 && i < 60; ++k)
        txn.put(table::ev, row_key{}.u32(static_cast<uint32_t>(i)).u32(k), std::string(900, 'x'));
      txn.put(table::conf, "b", std::to_string(i));
      return true;
    }));
  stop = true;
  reader.join();
  CAF_CHECK_EQUAL(torn.load(), 0u);
  CAF_CHECK(db.map_bytes() > (1u << 20));
}

CAF_TEST(has_one_opener) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  auto why = refused(dir / "db");
  CAF_CHECK(why.find("open in another Harp") != std::string::npos);
}

CAF_TEST(refuses_a_newer_schema_and_leaves_it_untouched) {
  scratch_dir dir;
  {
    metadata_options newer;
    newer.schema.version = 3;
    auto db = opened(dir / "db", std::move(newer));
    CAF_CHECK(!db.write([](write_txn& txn) {
      txn.put(table::conf, "x", "y");
      return true;
    }));
  }
  auto before = bytes_of(dir / "db" / "data.mdb");
  CAF_CHECK(refused(dir / "db").find("install a newer Harp") != std::string::npos);
  CAF_CHECK(bytes_of(dir / "db" / "data.mdb") == before);
  CAF_CHECK(schema_version_of(dir / "db") == 3u);
}

CAF_TEST(migrates_in_pieces_with_a_backup_and_resumes_after_each_kill) {
  for (auto kind : {crash_kind::kill, crash_kind::torn, crash_kind::power_loss}) {
    unsigned kills = 0;
    for (unsigned at = 1;; ++at) {
      scratch_dir dir(true);
      {
        auto db = opened(dir / "db");
        CAF_REQUIRE(!db.write([](write_txn& txn) {
          for (char c = 'a'; c < 'k'; ++c)
            txn.put(table::remote, std::string(1, c), std::string(3, c));
          return true;
        }));
      }
      auto end = run_until(at, kind, at, [&] {
        metadata_options options;
        options.schema = schema_two(shout);
        auto db = metadata_db::open(dir / "db", environment::meta, std::move(options));
        return std::holds_alternative<storage_failure>(db) ? 1 : 0;
      });
      CAF_REQUIRE(end.killed || end.status == 0);
      metadata_options options;
      options.schema = schema_two(shout);
      auto db = opened(dir / "db", std::move(options));
      for (char c = 'a'; c < 'k'; ++c)
        CAF_CHECK_EQUAL(text_of(db, table::remote, std::string(1, c)),
                        std::string(3, static_cast<char>(c - 32)));
      CAF_CHECK(schema_version_of(dir / "db") == 2u);
      CAF_CHECK(schema_version_of(dir / "db" / "backup-1") == 1u);
      if (!end.killed)
        break;
      ++kills;
    }
    CAF_CHECK(kills > 10);
  }
}

CAF_TEST(refuses_a_migration_it_has_no_way_for) {
  scratch_dir dir;
  opened(dir / "db");
  metadata_options options;
  options.schema.version = 3;
  CAF_CHECK(refused(dir / "db", std::move(options)).find("no way from schema 1")
            != std::string::npos);
  opened(dir / "db");
}

CAF_TEST(keeps_two_compact_copies_that_open) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  for (auto text : {"1", "2", "3"}) {
    CAF_REQUIRE(!db.write([&](write_txn& txn) {
      txn.put(table::conf, "round", text);
      return true;
    }));
    CAF_REQUIRE(!db.keep_copy());
  }
  CAF_CHECK_EQUAL(text_of(opened(dir / "db" / "copies" / "1"), table::conf, "round"), "3");
  CAF_CHECK_EQUAL(text_of(opened(dir / "db" / "copies" / "2"), table::conf, "round"), "2");
}

CAF_TEST(recovers_by_itself_when_a_full_disk_has_room_again) {
  scratch_dir dir;
  auto end = run_until(0, crash_kind::kill, 0, [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    auto db = opened(dir / "db");
    auto put = [&](uint32_t from, uint32_t count) {
      return db.write([&](write_txn& txn) {
        for (uint32_t i = from; i < from + count; ++i)
          txn.put(table::ev, row_key{}.u32(i), std::string(1000, 'x'));
        return true;
      });
    };
    if (put(0, 100))
      return 1;
    rlimit room{};
    getrlimit(RLIMIT_FSIZE, &room);
    rlimit tight{400'000, room.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    if (!put(100, 2000))
      return 2; // it cannot have been written
    size_t rows = 0;
    if (db.read([&](const read_txn& txn) { rows = txn.count(table::ev); }) || rows != 100)
      return 3;
    setrlimit(RLIMIT_FSIZE, &room);
    if (put(100, 2000) || db.read([&](const read_txn& txn) { rows = txn.count(table::ev); })
        || rows != 2100)
      return 4;
    return 0;
  });
  CAF_CHECK_EQUAL(end.status, 0);
}

CAF_TEST(walks_a_table_in_order_from_any_key) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  CAF_REQUIRE(!db.write([](write_txn& txn) {
    for (uint32_t i = 0; i < 1000; ++i)
      txn.put(table::ev, row_key{}.u32(i * 2), "v");
    return true;
  }));
  uint32_t expected = 502;
  CAF_CHECK(!db.walk(table::ev, row_key{}.u32(501), [&](std::string_view key, std::string_view) {
    CAF_CHECK_EQUAL(key_number(key, 0, 4), expected);
    expected += 2;
    return expected < 600;
  }));
  CAF_CHECK_EQUAL(expected, 600u);
}

CAF_TEST(knows_network_file_systems) {
  CAF_CHECK(network_file_system_name(0x6969, "nfs4"));
  CAF_CHECK(network_file_system_name(0xFF534D42, "cifs"));
  CAF_CHECK(network_file_system_name(0x65735546, "fuse.sshfs"));
  CAF_CHECK(!network_file_system_name(0x65735546, "fuse.gocryptfs"));
  CAF_CHECK(!network_file_system_name(0xEF53, "ext4"));
  CAF_CHECK(!network_file_system(std::filesystem::temp_directory_path()));
}

CAF_TEST(erases_by_prefix_and_nothing_beside) {
  scratch_dir dir;
  auto db = opened(dir / "db");
  CAF_CHECK(!db.write([](write_txn& txn) {
    for (auto key : {"a", "ab", "abc", "abd", "ac", "b"})
      txn.put(table::remote, key, "1");
    CAF_CHECK_EQUAL(txn.erase_prefix(table::remote, "ab", 2), 2u);
    CAF_CHECK(txn.has(table::remote, "abd"));
    CAF_CHECK_EQUAL(txn.erase_prefix(table::remote, "ab"), 1u);
    CAF_CHECK_EQUAL(txn.count(table::remote), 3u);
    return true;
  }));
}
