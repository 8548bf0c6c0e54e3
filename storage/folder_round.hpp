// One round of a folder (storage.md 7.2): look at what changed, plan, carry out. The blocking work, for pool threads; what is
// kept between rounds and when a round begins is the folder actor's.
#pragma once

#include "storage/file_writer.hpp"
#include "storage/folder_ledger.hpp"
#include "storage/guards.hpp"
#include "storage/host_names.hpp"
#include "storage/ignore_rules.hpp"
#include "storage/node_conf.hpp"
#include "storage/space_content.hpp"
#include "storage/space_marker.hpp"
#include "storage/watcher.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace harp {

inline constexpr size_t round_lids_max = 4096;

/// The directory of a space, held open, with what its writing needs. `writer` belongs to one round at a time.
struct folder_disk {
  std::shared_ptr<const safe_root> root;
  std::unique_ptr<file_writer> writer;
  root_identity identity;
  ignore_rules ignored;                 // user patterns, as of `ignored_seen`
  std::optional<file_stat> ignored_seen;
  host_traits host;
};

/// Opens the root, checks or makes its marker (G1). Words when the folder is not there or is not the one it was.
std::variant<std::shared_ptr<folder_disk>, std::string> open_folder(const std::string& dir, const space_id& id, space_store& rows,
                                                                     file_writer::intents intents);
/// The content of a small file below the root; empty when it cannot be read.
std::string read_text(const safe_root& root, const std::string& path);
/// Empty while the root is still the directory that was opened.
std::string check_folder(const folder_disk& disk, const std::string& dir);

struct round_input {
  std::vector<disk_change> events;    // from the watcher
  std::vector<disk_place> places;
  std::vector<local_id> list_dirs;
  bool scan_all = false;
  std::vector<local_id> lids;
  std::set<local_id> waiting;         // wait for contents: not planned again
  unfit_versions unfit;
  plan_guards guards;
  std::shared_ptr<incoming_guard> incoming; // G3 of others' bursts; this round's while it plans
  replica_id own = 0;
  int64_t now_ms = 0;
  uint64_t files = 0; // of the space on this disk, as of the round before
  keep_mode mode = keep_mode::full;
};

/// What a round did and found.
struct folder_round {
  round_input input;
  uint64_t change_number = 0; // of the space when it was planned
  uint64_t files = 0;         // on this disk
  plan_result plan;
  std::vector<disk_place> places; // that were planned
  std::vector<local_id> lids;
  std::vector<finished_action> finished;
  std::vector<do_place> wanted; // contents that have to come
  std::vector<std::string> retry; // paths that changed while they were read
  bool more = false;            // there is more than one round takes
  bool scanned = false;
  std::string trouble;
  std::mutex mutex;             // guards `finished`, `wanted`, `retry` while slices run
};

/// Looks and plans.
void plan_round(folder_round& round, folder_disk& disk, const space_store& rows);
/// Carries out the actions number `slice`, `slice + slices`, ..; all do_place are slice 0's.
void act_round(folder_round& round, size_t slice, size_t slices, const folder_disk& disk, const space_store& rows, space_content& content);

/// What the store made of a round.
struct folder_settled {
  space_change change;
  plan_again again;
  std::vector<content_id> placed;      // now in their files
  std::vector<std::pair<node_id, std::pair<stamp, content_id>>> held; // versions held durably now
  uint64_t dirty_left = 0;
  std::string trouble;
};

/// The store's thread: operations and rows of the round, in one transaction.
folder_settled settle_round(folder_round& round, space_store& rows, pack_store& packs, const ledger_options& options, uint64_t now_ms);

/// The store's thread: rows of replacements that are about to happen, durable when this returns.
void store_placings(space_store& rows, const std::vector<placing_row>& group);
/// The store's thread: finishes or undoes what a crash cut short.
void recover_placings(space_store& rows, folder_disk& disk);
/// The store's thread: these nodes are no longer known to be on disk, so the planner brings them back.
void forget_base(space_store& rows, const std::vector<local_id>& lids, const std::vector<disk_place>& places);

/// Copies the chunks of a version that is about to go into the packs (G5, history on keepers). Pool thread; `put` stores one
/// chunk durably enough that the next sync() of the packs covers it.
bool keep_content(const space_content& content, const content_id& cid, const std::function<bool(const chunk_id&, const std::string&)>& put);

/// The same for an edit that slipped in: its bytes stand only in the file beside the one that took its place.
bool keep_slipped(const finished_action& one, const safe_root& root, const std::function<bool(const chunk_id&, const std::string&)>& put);

} // namespace harp
