// One space on this node's disk: roster, oplog, rows and what the folder remembers, changed together or not at all.
#pragma once

#include "storage/bundle_codec.hpp"
#include "storage/hlc.hpp"
#include "storage/metadata_db.hpp"
#include "storage/oplog.hpp"
#include "storage/peer_messages.hpp"
#include "storage/roster.hpp"
#include "storage/space_edit.hpp"

#include <atomic>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace harp {


/// What a local user wants done, inside one transaction.
using local_work = std::function<void(space_edit&, space_rows&, write_txn&)>;

/// What a transaction changed.
struct space_change {
  std::vector<local_id> touched; // nodes whose rows changed
  std::vector<bundle_ptr> made;  // own bundles, durable now
  std::vector<bundle_ptr> taken; // bundles of others, applied now
  bool checkpoint_applied = false;
};

/// Owned by the store's thread, except where it says otherwise. Throws storage_failure when the disk or the database fails;
/// nothing of the failed call is kept then.
class space_store {
public:
  /// Makes the directory and its database for a space that begins with this governor key, or opens what is there.
  static std::variant<std::unique_ptr<space_store>, std::string>
  open(const std::filesystem::path& dir, const space_id& id, const device_key& founder, const signing_key& device);
  ~space_store();

  [[nodiscard]] const space_id& id() const { return id_; }
  /// The roster as of now, never changed once handed out.
  [[nodiscard]] std::shared_ptr<const roster> members() const { return members_; }
  /// This device's rid; 0: none (any more).
  [[nodiscard]] replica_id own() const { return members_->rid_of(device_.public_key()); }

  // -- roster
  /// Entries of anybody, from any version on; known ones are skipped. True when something was new. Words when one does not
  /// fit; those before it are kept.
  std::variant<bool, std::string> take_roster(std::span<const std::string> raws);
  /// The governor's change. Words when the roster refuses it.
  std::optional<std::string> govern(const roster_change& change, uint64_t now_ms, const signing_key& governor);

  // -- operations
  /// Applies bundles in causal order that were judged valid. Those that are known already are skipped.
  space_change apply(std::span<const bundle_ptr> bundles, uint64_t now_ms);
  /// Local intents: `work` puts them into the edit, which applies them to the rows at once, and may write other rows in the
  /// same transaction. It may be called again (see metadata_db::write). What it made is signed and durable on return.
  /// Words when this device may not write here.
  std::variant<space_change, std::string> commit(uint64_t now_ms, const local_work& work);
  /// Raw bundles of `range` in order, at most `bytes_max` together but at least one; stops at the first that is not here.
  [[nodiscard]] std::vector<std::string> load(const op_range& range, size_t bytes_max) const;
  /// Newest bundle of each replica, decoded out of the log; null where the log does not reach back that far.
  [[nodiscard]] std::map<replica_id, bundle_ptr> newest() const;
  /// The bundle with this number; null when it is not in the log.
  [[nodiscard]] bundle_ptr find_bundle(const dot& id) const;
  /// Newest applied checkpoint; zero before the first.
  [[nodiscard]] dot checkpoint() const { return checkpoint_; }
  /// A Beat of this device with a clock value that every later own bundle exceeds; nothing while it has no rid here.
  std::optional<signed_beat> make_beat(uint64_t now_ms);
  /// Beats worth keeping over a restart, the newest of each replica.
  void keep_beat(const signed_beat& beat);
  [[nodiscard]] std::vector<signed_beat> beats() const;
  /// Voids what `rid` signed above `seq`.
  space_change cut_replica(replica_id rid, uint64_t seq, uint64_t now_ms);
  /// How far every replica's bundles are applied, and of each the newest one's hash.
  [[nodiscard]] const version_vector& known() const { return known_; }
  [[nodiscard]] const std::map<replica_id, digest256>& head_hashes() const { return heads_; }
  [[nodiscard]] digest256 state_root() const { return state_root_; }
  /// Counts the state root anew from all rows; true when it was wrong.
  bool recount();
  [[nodiscard]] uint64_t last_hlc() const { return clock_.last(); }

  // -- reading, any thread
  /// A snapshot of the rows. Keep it short: see metadata_db.
  void read(const std::function<void(const read_txn&, space_rows&)>& work) const;
  [[nodiscard]] const metadata_db& db() const { return db_; }
  /// Store's thread only.
  [[nodiscard]] metadata_db& database() { return db_; }
  /// How many transactions changed rows so far; any thread. Read it before a snapshot to ask touched_since() later.
  [[nodiscard]] uint64_t changes() const { return changes_.load(); }
  /// Nodes touched by changes after the first `count`; nothing when that is too long ago to know. Store's thread.
  [[nodiscard]] std::optional<std::set<local_id>> touched_since(uint64_t count) const;
  /// Store's thread only: rows that are not operations (folder, settings).
  void write(const std::function<void(write_txn&, space_rows&)>& work);

private:
  space_store(std::filesystem::path dir, const space_id& id, const signing_key& device, metadata_db db, oplog log, roster members);
  void load_state();
  void settle_rows(space_rows& rows);
  void note_change(const std::vector<local_id>& touched);
  void note_checkpoint(write_txn& txn, const std::vector<bundle_ptr>& bundles);
  std::optional<storage_failure> store_roster(const roster& grown, uint64_t from);
  void cut_revoked(const roster& before);
  [[nodiscard]] bundle_ptr seal(draft_bundle draft, const digest256& previous, bool first) const;
  void make_anew(const std::vector<voided_content>& lost, uint64_t now_ms, space_change& change);

  std::filesystem::path dir_;
  space_id id_;
  const signing_key& device_;
  metadata_db db_;
  oplog log_;
  std::shared_ptr<const roster> members_;
  version_vector known_;
  std::map<replica_id, digest256> heads_;
  version_vector told_; // context of the newest own bundle
  hybrid_clock clock_;
  digest256 state_root_;
  dot checkpoint_;
  std::atomic<uint64_t> changes_{0};
  std::deque<std::pair<uint64_t, std::vector<local_id>>> recent_; // (number of the change, what it touched)
};

} // namespace harp
