#include "storage/metadata_db.hpp"

#include "storage/local_file.hpp"
#include "storage/metadata_migrate.hpp"
#include "storage/metadata_txn.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <shared_mutex>
#include <sys/file.h>
#include <utility>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr size_t map_headroom_bytes
    = size_t{64} << 20; // grown ahead of a transaction, so that a re-run stays rare

struct txn_abort {
  void operator()(MDB_txn* txn) const { mdb_txn_abort(txn); }
};
using txn_ptr = std::unique_ptr<MDB_txn, txn_abort>;

struct env_close {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
using env_ptr = std::unique_ptr<MDB_env, env_close>;

} // namespace

// -- environment ----------------------------------------------------------------------------------

struct metadata_db::parts {
  fs::path dir;
  environment kind = environment::meta;
  metadata_options options;
  unique_fd owner; // flock: one opener
  env_ptr env;
  std::array<MDB_dbi, table_count> tables{};
  // Readers and the writer share it; growing the map needs it alone, for LMDB allows that only without transactions.
  mutable std::shared_mutex map_use;
  size_t map = 0;
  // Filled by the caller of a failed transaction: what must happen before the next one.
  bool broken = false;

  std::optional<storage_failure> open_env();
  std::optional<storage_failure> open_tables();
  std::optional<storage_failure> resize(size_t bytes);
  [[nodiscard]] size_t used() const;
  int run(const std::function<bool(write_txn&)>& work, std::optional<storage_failure>& failure);
  std::optional<storage_failure> prepare();
};

metadata_db::metadata_db(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
metadata_db::metadata_db(metadata_db&&) noexcept = default;
metadata_db& metadata_db::operator=(metadata_db&&) noexcept = default;
metadata_db::~metadata_db() = default;

std::optional<storage_failure> metadata_db::parts::open_env() {
  env.reset();
  MDB_env* raw = nullptr;
  if (int rc = mdb_env_create(&raw))
    return lmdb_failure("cannot create an environment", rc);
  env.reset(raw);
  mdb_env_set_maxdbs(raw, static_cast<MDB_dbi>(table_count));
  mdb_env_set_maxreaders(raw, 256);
  mdb_env_set_mapsize(raw, map);
  if (int rc = mdb_env_open(raw, dir.c_str(), MDB_NOTLS, 0600)) {
    env.reset();
    return lmdb_failure("cannot open " + dir.string(), rc);
  }
  MDB_envinfo info{};
  mdb_env_info(raw, &info);
  map = info.me_mapsize; // LMDB keeps at least what is in use
  int dead = 0;
  mdb_reader_check(raw, &dead); // slots of killed readers would stop page reuse
  return open_tables();
}

std::optional<storage_failure> metadata_db::parts::open_tables() {
  MDB_txn* raw = nullptr;
  if (int rc = mdb_txn_begin(env.get(), nullptr, 0, &raw))
    return lmdb_failure("cannot begin a transaction", rc);
  txn_ptr txn(raw);
  for (size_t i = 0; i < table_count; ++i) {
    if (!lives_in(static_cast<table>(i), kind))
      continue;
    const auto& spec = table_specs[i];
    if (int rc = mdb_dbi_open(raw, spec.name, spec.flags | MDB_CREATE, &tables[i]))
      return lmdb_failure(std::string("cannot open table ") + spec.name, rc);
  }
  if (int rc = mdb_txn_commit(txn.release()))
    return lmdb_failure("cannot create tables", rc);
  return std::nullopt;
}

std::optional<storage_failure> metadata_db::parts::resize(size_t bytes) {
  std::unique_lock alone(map_use);
  if (int rc = mdb_env_set_mapsize(env.get(), bytes))
    return lmdb_failure("cannot grow the map", rc);
  map = bytes;
  return std::nullopt;
}

size_t metadata_db::parts::used() const {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(env.get(), &info);
  mdb_env_stat(env.get(), &stat);
  return (info.me_last_pgno + 1) * stat.ms_psize;
}

/// Grows ahead of need, and opens anew what an earlier I/O error made LMDB give up.
std::optional<storage_failure> metadata_db::parts::prepare() {
  if (std::exchange(broken, false)) {
    std::unique_lock alone(map_use);
    if (auto failure = open_env()) {
      broken = true;
      return failure;
    }
  }
  size_t wish = std::min(map_headroom_bytes, options.map_start / 4);
  if (map < options.map_max && used() + wish > map)
    return resize(std::min(map * 2, options.map_max));
  return std::nullopt;
}

int metadata_db::parts::run(const std::function<bool(write_txn&)>& work,
                            std::optional<storage_failure>& failure) {
  std::shared_lock use(map_use);
  MDB_txn* raw = nullptr;
  if (int rc = mdb_txn_begin(env.get(), nullptr, 0, &raw)) {
    failure = lmdb_failure("cannot begin a transaction", rc);
    return rc;
  }
  txn_ptr txn(raw);
  tail_keys tails;
  read_txn::inside state{raw, tables, &tails};
  try {
    write_txn view(state);
    if (!work(view))
      return 0;
  } catch (const storage_failure& thrown) {
    failure = thrown;
    return thrown.code;
  }
  if (int rc = mdb_txn_commit(txn.release())) {
    failure = lmdb_failure("cannot commit", rc);
    return rc;
  }
  return 0;
}

std::optional<storage_failure> metadata_db::write(const std::function<bool(write_txn&)>& work) {
  for (;;) {
    if (auto failure = parts_->prepare())
      return failure;
    std::optional<storage_failure> failure;
    int rc = parts_->run(work, failure);
    if (rc == MDB_PANIC || rc == EIO)
      parts_->broken = true;
    if (rc != MDB_MAP_FULL || parts_->map >= parts_->options.map_max)
      return failure;
    if (auto refused = parts_->resize(std::min(parts_->map * 2, parts_->options.map_max)))
      return refused;
  }
}

std::optional<storage_failure>
metadata_db::read(const std::function<void(const read_txn&)>& work) const {
  std::shared_lock use(parts_->map_use);
  if (!parts_->env)
    return storage_failure{MDB_PANIC, "metadata database: closed after an I/O error"};
  MDB_txn* raw = nullptr;
  if (int rc = mdb_txn_begin(parts_->env.get(), nullptr, MDB_RDONLY, &raw))
    return lmdb_failure("cannot begin to read", rc);
  txn_ptr txn(raw);
  read_txn::inside state{raw, parts_->tables};
  try {
    work(read_txn(state));
  } catch (const storage_failure& thrown) {
    return thrown;
  }
  return std::nullopt;
}

std::optional<storage_failure>
metadata_db::walk(table which, std::string_view from,
                  const std::function<bool(std::string_view, std::string_view)>& visit) const {
  std::string next(from);
  for (bool more = true; more;) {
    more = false;
    auto failure = read([&](const read_txn& txn) {
      txn.each_from(which, next, [&](std::string_view key, std::string_view value) {
        // A pause only between keys, so that a key with several values is seen whole.
        if (txn.overdue() && key != next) {
          next.assign(key);
          more = true;
          return false;
        }
        if (key != next)
          next.assign(key);
        return visit(key, value);
      });
    });
    if (failure)
      return failure;
  }
  return std::nullopt;
}

std::optional<storage_failure> metadata_db::copy_to(const fs::path& target) const {
  std::error_code ec;
  fs::create_directories(target, ec);
  if (ec)
    return storage_failure{ec.value(), "cannot create " + target.string() + ": " + ec.message()};
  std::shared_lock use(parts_->map_use);
  if (!parts_->env)
    return storage_failure{MDB_PANIC, "metadata database: closed after an I/O error"};
  if (int rc = mdb_env_copy2(parts_->env.get(), target.c_str(), MDB_CP_COMPACT))
    return lmdb_failure("cannot copy to " + target.string(), rc);
  auto copied = open_file(target / "data.mdb", O_RDWR);
  if (auto* failure = std::get_if<storage_failure>(&copied))
    return *failure;
  if (auto failure = sync_data(std::get<unique_fd>(copied).get()))
    return failure;
  return sync_dir(target);
}

std::optional<storage_failure> metadata_db::keep_copy() const {
  auto copies = parts_->dir / "copies";
  std::error_code ec;
  fs::remove_all(copies / "new", ec);
  if (auto failure = copy_to(copies / "new")) {
    fs::remove_all(copies / "new", ec);
    return failure;
  }
  fs::remove_all(copies / "2", ec);
  if (fs::exists(copies / "1", ec))
    fs::rename(copies / "1", copies / "2", ec);
  fs::rename(copies / "new", copies / "1", ec);
  if (ec)
    return storage_failure{ec.value(), "cannot rename the copy of the database: " + ec.message()};
  return sync_dir(copies);
}

size_t metadata_db::map_bytes() const {
  return parts_->map;
}

size_t metadata_db::used_bytes() const {
  std::shared_lock use(parts_->map_use);
  MDB_txn* raw = nullptr;
  if (!parts_->env || mdb_txn_begin(parts_->env.get(), nullptr, MDB_RDONLY, &raw) != 0)
    return 0;
  txn_ptr txn(raw);
  size_t used = 0;
  MDB_stat stat{};
  for (size_t i = 0; i < table_count; ++i)
    if (lives_in(static_cast<table>(i), parts_->kind)
        && mdb_stat(raw, parts_->tables[i], &stat) == 0)
      used += (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
  return used;
}

const fs::path& metadata_db::dir() const {
  return parts_->dir;
}

// -- opening --------------------------------------------------------------------------------------

namespace {

storage_failure refusal(std::string why) {
  return {EINVAL, "metadata database: " + std::move(why)};
}

/// One opener per directory, also within this process: LMDB's own locks cannot tell two of one process apart.
std::variant<unique_fd, storage_failure> own(const fs::path& dir) {
  auto opened = open_file(dir / "owner", O_RDWR | O_CREAT);
  if (auto* fd = std::get_if<unique_fd>(&opened); fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0)
    return storage_failure{EBUSY, dir.string() + " is open in another Harp; stop that one first"};
  return opened;
}

/// Stands in the directory while a database is made: what a crash leaves beside it was never acknowledged, and may not
/// even be a database yet.
fs::path making_mark(const fs::path& dir) {
  return dir / "being-made";
}

std::optional<storage_failure> begin_making(const fs::path& dir) {
  std::error_code ec;
  auto mark = making_mark(dir);
  bool interrupted = fs::exists(mark, ec);
  if (!interrupted && fs::exists(dir / "data.mdb", ec))
    return std::nullopt;
  fs::remove(dir / "data.mdb", ec);
  fs::remove(dir / "lock.mdb", ec);
  auto opened = open_file(mark, O_RDWR | O_CREAT);
  if (auto* failure = std::get_if<storage_failure>(&opened))
    return *failure;
  return sync_dir(dir);
}

std::optional<storage_failure> end_making(const fs::path& dir) {
  std::error_code ec;
  return fs::remove(making_mark(dir), ec) ? sync_dir(dir) : std::nullopt;
}

std::optional<storage_failure> check_place(const fs::path& dir) {
  std::error_code ec;
  fs::create_directories(dir, ec);
  if (ec)
    return storage_failure{ec.value(), "cannot create " + dir.string() + ": " + ec.message()};
  if (auto remote = network_file_system(dir))
    return refusal(dir.string() + " is on a network file system (" + *remote
                   + "), which loses data here; choose a local disk");
  return std::nullopt;
}

} // namespace

std::optional<uint32_t> schema_version_of(const fs::path& dir) {
  std::error_code ec;
  MDB_env* raw = nullptr;
  if (!fs::exists(dir / "data.mdb", ec) || mdb_env_create(&raw) != 0)
    return std::nullopt;
  env_ptr env(raw);
  mdb_env_set_maxdbs(raw, 1);
  // Without lock file and read-only: nothing there is touched, whoever wrote it.
  if (mdb_env_open(raw, dir.c_str(), MDB_RDONLY | MDB_NOLOCK, 0600) != 0)
    return std::nullopt;
  MDB_txn* begun = nullptr;
  if (mdb_txn_begin(raw, nullptr, MDB_RDONLY, &begun) != 0)
    return std::nullopt;
  txn_ptr txn(begun);
  MDB_dbi conf = 0;
  MDB_val key{schema_key.size(), const_cast<char*>(schema_key.data())};
  MDB_val value{};
  if (mdb_dbi_open(begun, "conf", 0, &conf) != 0 || mdb_get(begun, conf, &key, &value) != 0)
    return std::nullopt;
  return parse_schema_version({static_cast<const char*>(value.mv_data), value.mv_size});
}

std::variant<metadata_db, storage_failure> metadata_db::open(const fs::path& dir, environment kind,
                                                             metadata_options options) {
  if (auto failure = check_place(dir))
    return *failure;
  auto owned = own(dir);
  if (auto* failure = std::get_if<storage_failure>(&owned))
    return *failure;
  if (auto found = schema_version_of(dir); found && *found > options.schema.version)
    return refusal(dir.string() + " has schema " + std::to_string(*found) + ", this Harp knows "
                   + std::to_string(options.schema.version)
                   + "; nothing was changed, install a newer Harp");
  if (auto failure = begin_making(dir))
    return *failure;
  auto made = std::make_unique<parts>();
  made->dir = dir;
  made->kind = kind;
  made->map = options.map_start;
  made->options = std::move(options);
  made->owner = std::move(std::get<unique_fd>(owned));
  if (auto failure = made->open_env())
    return *failure;
  metadata_db db(std::move(made));
  auto failure = settle_schema(db, db.parts_->options.schema);
  if (!failure)
    failure = end_making(dir);
  if (failure)
    return *failure;
  return db;
}

} // namespace harp
