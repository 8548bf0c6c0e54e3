#include "storage/metadata_migrate.hpp"

#include "storage/local_file.hpp"

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string>

namespace harp {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view resume_key = "migrate_at";

storage_failure refusal(std::string why) {
  return {EINVAL, "metadata database: " + std::move(why)};
}

/// Twice what is in use: once for the backup, once for the rows that are rewritten.
std::optional<storage_failure> check_space(const metadata_db& db) {
  uint64_t need = 2 * static_cast<uint64_t>(db.used_bytes()) + (uint64_t{1} << 20);
  auto have = free_bytes(db.dir());
  if (have && *have < need)
    return storage_failure{ENOSPC, "migrating " + db.dir().string() + " needs "
                                       + std::to_string(need) + " free bytes, there are "
                                       + std::to_string(*have) + "; free some and start again"};
  return std::nullopt;
}

std::optional<storage_failure> back_up(const metadata_db& db, uint32_t version) {
  auto target = db.dir() / ("backup-" + std::to_string(version));
  auto fresh = target;
  fresh += ".new";
  std::error_code ec;
  if (fs::exists(target, ec))
    return std::nullopt; // of an earlier try that was killed; the later state may be half migrated
  fs::remove_all(fresh, ec);
  if (auto failure = db.copy_to(fresh))
    return failure;
  fs::rename(fresh, target, ec);
  if (ec)
    return storage_failure{ec.value(),
                           "cannot name the backup " + target.string() + ": " + ec.message()};
  return sync_dir(db.dir());
}

std::optional<storage_failure> run_step(metadata_db& db, const migration& step) {
  for (bool done = false; !done;) {
    auto failure = db.write([&](write_txn& txn) {
      std::string resume(txn.get(table::conf, resume_key).value_or(""));
      done = step.piece(txn, resume);
      if (done) {
        txn.erase(table::conf, resume_key);
        txn.put(table::conf, schema_key, std::to_string(step.from + 1));
      } else {
        txn.put(table::conf, resume_key, resume);
      }
      return true;
    });
    if (failure)
      return failure;
  }
  return std::nullopt;
}

std::optional<storage_failure> migrate(metadata_db& db, uint32_t from,
                                       const metadata_schema& schema) {
  if (auto failure = check_space(db))
    return failure;
  if (auto failure = back_up(db, from))
    return failure;
  for (auto at_version = from; at_version < schema.version; ++at_version) {
    const migration* found = nullptr;
    for (const auto& step : schema.steps)
      if (step.from == at_version)
        found = &step;
    if (found == nullptr)
      return refusal("no way from schema " + std::to_string(at_version)
                     + "; install the release between");
    if (auto failure = run_step(db, *found))
      return failure;
  }
  return std::nullopt;
}

} // namespace

std::optional<uint32_t> parse_schema_version(std::string_view text) {
  uint32_t out = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc{} && end == text.data() + text.size() ? std::optional{out} : std::nullopt;
}

std::optional<storage_failure> settle_schema(metadata_db& db, const metadata_schema& schema) {
  std::optional<uint32_t> found;
  bool fresh = false;
  auto failure = db.write([&](write_txn& txn) {
    auto text = txn.get(table::conf, schema_key);
    fresh = !text;
    if (fresh)
      txn.put(table::conf, schema_key, std::to_string(schema.version));
    else
      found = parse_schema_version(*text);
    return fresh;
  });
  if (failure || fresh)
    return failure;
  if (!found)
    return refusal("the schema version in " + db.dir().string()
                   + " is not readable; restore copies/1");
  return *found < schema.version ? migrate(db, *found, schema) : std::nullopt;
}

} // namespace harp
