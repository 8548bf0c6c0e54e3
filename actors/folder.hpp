// One synced directory (storage.md 7): watcher events in, planner out. Rounds of look, plan, act, record; one at a time.
#pragma once

#include "actors/storage_plane.hpp"
#include "storage/folder_ledger.hpp"
#include "storage/guards.hpp"
#include "storage/node_conf.hpp"
#include "storage/folder_round.hpp"
#include "storage/space_content.hpp"
#include "storage/watcher.hpp"

#include <caf/stateful_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::milliseconds folder_tick_interval{250};
inline constexpr std::chrono::hours folder_rescan_interval{24};  // storage.md 7.1
inline constexpr std::chrono::minutes unwatched_rescan_interval{5};
inline constexpr size_t folder_items_told_max = 100;
inline constexpr size_t slices_max = 8;
inline constexpr size_t failures_max = 1000;
inline constexpr size_t unsynced_told_max = 1000;
inline constexpr size_t unsynced_path_bytes_max = 600; // a notice holds 1 KiB

struct folder_settings {
  space_id id;
  std::string dir; // absolute
  keep_mode mode = keep_mode::full;
  std::shared_ptr<space_store> rows;
  std::shared_ptr<space_content> content;
  bool keeper = false; // this node keeps history
  space_actor space;
  swarm_actor swarm;
  std::function<void(notice_code, local_id, std::string)> alert;
};

class folder_state {
public:
  static inline const char* name = "harp.folder";
  explicit folder_state(folder_actor::pointer self) : self_(self) {}
  ~folder_state();
  folder_actor::behavior_type start(std::shared_ptr<storage_plane> plane, folder_settings settings);

private:
  void open_root();
  void wake();
  void changed(const changed_nodes& what);
  void content(const content_here& what);
  void scan();
  folder_report report() const;
  bool answer_burst(bool let_it_happen);
  void tick();

  void recover();
  void go();
  void planned(std::shared_ptr<folder_round> round);
  void keep_before(std::shared_ptr<folder_round> round);
  void act(std::shared_ptr<folder_round> round);
  void record_round(std::shared_ptr<folder_round> round);
  void recorded(folder_round& round, folder_settled& settled);
  void want_contents(const std::vector<do_place>& places);
  void note_losses(const folder_round& round);
  void note_unsynced(const folder_round& round);
  void keep_slipped_in(std::shared_ptr<folder_round> round);
  void record_finished(std::shared_ptr<folder_round> round);
  void discard_slipped(const folder_round& round);
  [[nodiscard]] bool may_write() const;

  folder_actor::pointer self_;
  std::shared_ptr<storage_plane> plane_;
  folder_settings settings_;
  std::shared_ptr<folder_disk> disk_; // null while the folder is not there
  std::unique_ptr<watcher> watcher_;
  std::string offline_why_;

  bool busy_ = false;
  bool again_ = true;                       // something came while a round was under way
  std::set<disk_place> places_;             // to look at
  std::set<local_id> list_dirs_;            // to list
  bool scan_all_ = false;
  std::set<local_id> lids_;                 // to plan, beside those marked dirty
  std::map<local_id, do_place> waiting_;    // for contents
  std::map<content_id, std::set<local_id>> waiting_for_;
  std::set<local_id> unwished_;             // could not be wished for: the table was full
  std::vector<plan_pending> pending_;
  uint64_t dirty_left_ = 0;
  bool first_scan_done_ = false;
  burst_guard burst_;                       // G3, ours
  std::shared_ptr<incoming_guard> incoming_ = std::make_shared<incoming_guard>(); // G3, of others; a round's while it plans
  action_backoff backoff_;
  bool incoming_told_ = false;
  unfit_versions unfit_;
  std::set<std::string> unsynced_told_;
  std::map<local_id, std::string> failures_; // why the last action on a node was not done
  uint64_t files_ = 0;
  uint64_t scanned_ms_ = 0;
  uint64_t planned_change_ = UINT64_MAX;    // number of the space's changes when the last round was planned
  bool events_waiting_ = false;
  bool retry_pending_ = false;
};

folder_actor::behavior_type folder(folder_actor::stateful_pointer<folder_state> self, std::shared_ptr<storage_plane> plane, folder_settings settings);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::folder_settings)
