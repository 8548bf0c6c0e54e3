// Inside of metadata_db: what its transactions share. Only metadata_db.cpp and metadata_txn.cpp include it, so that
// lmdb.h is seen nowhere else.
#pragma once

#include "storage/metadata_db.hpp"

#include <lmdb.h>

#include <array>
#include <string>

namespace harp {

inline constexpr size_t table_count = static_cast<size_t>(table::count_);

constexpr size_t at(table which) {
  return static_cast<size_t>(which);
}

struct table_spec {
  const char* name;
  unsigned flags;
  environment home;
};

inline constexpr std::array<table_spec, table_count> table_specs{{
    {"conf", 0, environment::meta},
    {"roster", 0, environment::meta},
    {"replica", 0, environment::meta},
    {"bundle", 0, environment::meta},
    {"nid2lid", 0, environment::meta},
    {"node", MDB_INTEGERKEY, environment::meta},
    {"ev", 0, environment::meta},
    {"ver", 0, environment::meta},
    {"cidref", MDB_DUPSORT | MDB_DUPFIXED, environment::meta},
    {"floor", MDB_INTEGERKEY, environment::meta},
    {"root", 0, environment::meta},
    {"dirent", MDB_DUPSORT | MDB_DUPFIXED, environment::meta},
    {"dlog", 0, environment::meta},
    {"disk", MDB_INTEGERKEY, environment::meta},
    {"ino", 0, environment::meta},
    {"dirty", MDB_INTEGERKEY, environment::meta},
    {"partial", 0, environment::meta},
    {"dead", 0, environment::meta},
    {"notice", 0, environment::meta},
    {"sel", MDB_INTEGERKEY, environment::meta},
    {"remote", 0, environment::meta},
    {"loc", MDB_DUPSORT | MDB_DUPFIXED, environment::chunks},
    {"pack", 0, environment::chunks},
}};

constexpr bool lives_in(table which, environment home) {
  return which == table::conf || table_specs[at(which)].home == home;
}

/// The greatest key of a table as far as known, so that rows in rising order fill pages instead of halving them.
struct tail_key {
  bool known = false;
  bool empty = false;
  std::string key;
};
using tail_keys = std::array<tail_key, table_count>;

struct read_txn::inside {
  MDB_txn* txn = nullptr;
  const std::array<MDB_dbi, table_count>& tables;
  tail_keys* tails = nullptr; // write transactions only
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();

  [[nodiscard]] MDB_dbi dbi(table which) const { return tables[at(which)]; }
};

inline storage_failure lmdb_failure(std::string what, int code) {
  return {code, "metadata database: " + std::move(what) + ": " + mdb_strerror(code)};
}

} // namespace harp
