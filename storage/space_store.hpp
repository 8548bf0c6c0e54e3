// One space on this node's disk: roster, oplog, rows and what the folder remembers, changed together or not at all.
#pragma once

#include "storage/bundle_codec.hpp"
#include "storage/causal_gate.hpp"
#include "storage/checkpoint.hpp"
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
  std::vector<std::pair<replica_id, uint64_t>> cuts; // replicas that were cut, and where
  bool checkpoint_applied = false;
  bool checkpoint_refused = false;
  bool look_anew = false; // base rows of the folder were set back: it has to be scanned
};

inline constexpr uint64_t active_ms_default = 30ull * 24 * 3600 * 1000; // storage.md 5.4

/// Pieces of a snapshot in order; false: that was all. May be begun anew: `first`.
using piece_source = std::function<bool(bool first, std::string& piece)>;

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
  [[nodiscard]] std::shared_ptr<const roster> members() const { return members_.load(); }
  /// This device's rid; 0: none (any more).
  [[nodiscard]] replica_id own() const { return members()->rid_of(device_.public_key()); }
  /// The roster lets this device write, but a checkpoint cut its number: it was away for too long and has to enrol again
  /// (storage.md 5.4). Any thread.
  [[nodiscard]] bool is_left_behind() const { return left_behind_.load() == own() && own() != 0; }
  /// Any thread.
  [[nodiscard]] bool may_write() const { return harp::may_write(members()->role_of(own())) && !is_left_behind(); }
  /// Told on the store's thread of what follows from a roster: bundles made anew, nodes touched, replicas cut.
  void listen(std::function<void(const space_change&)> told) { listener_ = std::move(told); }

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
  /// What a replicator starts with: the newest of each replica. Its roster version is 0 where the log does not reach back
  /// that far, its hash zero behind a snapshot.
  [[nodiscard]] replica_heads heads() const;
  /// Where replicas were cut by checkpoints or the roster.
  [[nodiscard]] version_vector cuts() const;
  /// The bundle with this number; null when it is not in the log.
  [[nodiscard]] bundle_ptr find_bundle(const dot& id) const;
  /// Newest applied checkpoint; zero before the first.
  [[nodiscard]] dot checkpoint() const { return checkpoint_; }
  /// A Beat of this device with a clock value that every later own bundle exceeds; nothing while it has no rid here.
  std::optional<signed_beat> make_beat(uint64_t now_ms);
  /// Beats worth keeping over a restart, the newest of each replica.
  void keep_beat(const signed_beat& beat);
  [[nodiscard]] std::vector<signed_beat> beats() const;

  // -- long life (space_life.cpp)
  /// The checkpointing keeper's work: everybody in `linked`, and who gave a sign of life within `active_ms`, is active;
  /// others are cut. Nothing when there is nothing to gain, when a linked writer has not been heard yet, or when this
  /// device is not the one that issues them.
  std::optional<space_change> issue_checkpoint(uint64_t now_ms, std::span<const replica_id> linked, uint64_t active_ms = active_ms_default);
  /// `rid` said that it has applied this checkpoint. True when all active replicas have the newest one now: drop_log().
  bool note_ack(replica_id rid, const dot& checkpoint);
  /// Drops segments of the log that the newest checkpoint covers; how many.
  size_t drop_log();
  /// A bundle of this range is applied here and no longer in the log.
  [[nodiscard]] bool has_gap(const op_range& range) const;
  /// A piece of the snapshot of the newest checkpoint, as export_snapshot.
  [[nodiscard]] std::variant<snapshot_piece, std::string> export_piece(const std::string& cursor) const;
  /// Takes a snapshot instead of what is here, in one transaction; then what the log has beyond it. `signed_by` is the
  /// bundle with its checkpoint, whose signature was verified. Words when it does not fit: nothing changed then.
  std::variant<space_change, std::string> take_snapshot(const sealed_bundle& signed_by, const piece_source& pieces, uint64_t now_ms);
  /// Enrolled again: what was signed under the number that was cut and is not on a disk here is made anew.
  space_change finish_rebase(uint64_t now_ms);

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
  void change_roster(std::shared_ptr<const roster> grown);
  void note_cuts(const version_vector& before, space_change& change) const;
  void keep_own_work(write_txn& txn, space_rows& rows, const std::vector<local_id>& touched, replica_id rid, uint64_t seq_before, std::vector<voided_content>& lost, space_change& change);
  void replay_log(write_txn& txn, space_rows& rows, const version_vector& covered, apply_result& result);
  [[nodiscard]] std::vector<bundle> own_void(const read_txn& txn, replica_id rid, uint64_t from) const;
  void settle_left_behind(space_rows& rows);
  [[nodiscard]] bundle_ptr seal(draft_bundle draft, const digest256& previous, bool first) const;
  void make_anew(const std::vector<voided_content>& lost, uint64_t now_ms, space_change& change);

  std::filesystem::path dir_;
  space_id id_;
  const signing_key& device_;
  metadata_db db_;
  oplog log_;
  std::atomic<std::shared_ptr<const roster>> members_;
  std::atomic<replica_id> left_behind_{0}; // own rid when a checkpoint cut it
  std::function<void(const space_change&)> listener_;
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
