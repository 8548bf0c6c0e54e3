// What a storage plane is made of, for the files of bridge_storage only.
#pragma once

#include "actors/ask.hpp"
#include "actors/bridge_links.hpp"
#include "actors/bridge_snapshot.hpp"
#include "actors/bridge_storage.hpp"
#include "actors/bridge_swarm.hpp"
#include "actors/folder.hpp"
#include "actors/space.hpp"
#include "actors/store.hpp"
#include "actors/swarm.hpp"

#include <nlohmann/json.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <variant>

namespace harp {

using json = nlohmann::ordered_json;

inline constexpr unsigned pool_threads_min = 2;
inline constexpr size_t open_files_max = 256; // of cat, get and put
inline constexpr std::chrono::minutes open_file_life{10};

/// Why a call failed: an HTTP status, what happened, what to do.
struct call_failure {
  int status = 409;
  std::string error;
  std::string next;
};

/// The answer of a call, or its failure.
using call_result = std::variant<json, call_failure>;

struct bridge_storage::inside {
  inside(bridge& its_seam, bridge_apps& its_apps, const web::config& its_settings, bool is_alone)
    : seam(its_seam), apps(its_apps), settings(its_settings), alone(is_alone) {}

  // bridge_storage.cpp
  std::string open_store();
  std::string start_cluster();
  void ensure_spaces(node_store& all);
  void spawn_space(node_store& all, const std::shared_ptr<space_store>& rows);
  void set_folder(const space_id& id, folder_actor fresh);
  folder_actor spawn_folder(node_store& all, const held_space& held);
  [[nodiscard]] std::map<space_id, space_handles> handles() const;
  [[nodiscard]] std::shared_ptr<space_content> content_of(const space_id& id) const;
  void rosters_changed();
  void notice(const space_id& id, notice_code code, local_id node, std::string words);
  [[nodiscard]] std::vector<web::bind_address> listen_addresses(const node_conf& conf) const;
  std::string listen_again(const std::vector<web::bind_address>& where, const node_conf& conf);
  void connect_apps(const space_id& cluster_space);
  // bridge_storage_metrics.cpp
  void add_gauges(net::metrics& into, const space_id& cluster_space);
  [[nodiscard]] double notices_open() const;
  // bridge_storage_life.cpp
  void told(const space_id& id, const space_change& change);
  void enrol_again();
  net::asio::awaitable<void> ask_to_enrol();
  void start_care();
  net::asio::awaitable<void> care();
  net::asio::awaitable<void> scrub_files();
  net::asio::awaitable<void> mend_content();
  void content_came(const space_id& id, const content_id& cid);
  [[nodiscard]] json damaged_in(const space_id& id) const;

  /// Runs `work(node_store&) -> T` on the store; words when the disk failed.
  template <class Work>
  net::asio::awaitable<std::variant<std::invoke_result_t<Work, node_store&>, call_failure>> on_store(Work work);
  /// Local operations in one space, told to everybody: true when something was made.
  using edit_work = std::function<std::optional<call_failure>(space_edit&, space_tree&, space_rows&)>;
  net::asio::awaitable<call_result> edit(space_id id, edit_work work, json answer);

  bridge& seam;
  bridge_apps& apps;
  const web::config& settings;
  const bool alone;
  std::shared_ptr<storage_plane> plane;
  std::shared_ptr<node_store> disks; // the store's thread only, but for device() and share()
  std::shared_ptr<const signing_key> device; // lives in disks
  std::unique_ptr<bridge_links> links;
  std::unique_ptr<bridge_swarm> transfers;
  std::unique_ptr<bridge_snapshot> snapshots;
  std::shared_ptr<hot_nodes> nodes = std::make_shared<hot_nodes>();
  cluster_actor cluster;

  std::mutex opening;                  // of the store: two first calls at once
  std::atomic<bool> enrolling{false};  // one question at a time
  std::atomic<bool> ending{false};
  mutable std::mutex mutex;
  std::map<space_id, space_handles> spaces;                        // guarded by it
  std::map<space_id, std::shared_ptr<space_content>> contents;     // guarded by it

  /// A pass over the files of a space, a few at a time. Of the care coroutine only.
  struct file_pass {
    std::vector<local_id> lids;
    size_t next = 0;
    uint64_t done_ms = 0; // when the last pass ended
    bool known = false;
  };
  std::map<space_id, file_pass> passes;
  std::set<std::pair<space_id, content_id>> damaged_told; // of the care coroutine only
  std::atomic<uint64_t> scrub_errors{0};
  std::vector<damaged_content> damaged_stored;            // guarded by mutex, as the next three
  bool damaged_fresh = false;
  std::set<std::pair<space_id, content_id>> mending;
  std::set<std::pair<space_id, std::string>> damaged_files;

  struct open_file {
    space_id space;
    content_id cid;
    stamp vid;
    uint64_t size = 0;
    std::shared_ptr<space_content> content;
    std::mutex reading; // guards manifest
    std::shared_ptr<manifest_reader> manifest;
    std::string put_path;  // put: where it goes, and what came so far
    std::string put_temp;
    uint64_t put_bytes = 0;
    std::chrono::steady_clock::time_point used;
  };
  std::map<std::string, std::shared_ptr<open_file>> files; // guarded by mutex
};

template <class Work>
net::asio::awaitable<std::variant<std::invoke_result_t<Work, node_store&>, call_failure>> bridge_storage::inside::on_store(Work work) {
  using result = std::invoke_result_t<Work, node_store&>;
  auto box = std::make_shared<std::optional<result>>();
  auto job = make_store_job([box, work = std::move(work)](node_store& all) mutable { box->emplace(work(all)); });
  auto done = co_await ask<bool>(seam.system(), plane->store, store_limit, job);
  if (done && *box)
    co_return std::move(**box);
  co_return call_failure{503, "the store could not do it: " + (done ? std::string{"nothing came back"} : seam.system().render(done.error())), "look at free space and health of the disk, then try again"};
}

/// One call: its name and what it does with its arguments.
struct storage_call {
  const char* name;
  bool needs_cluster;
  net::asio::awaitable<call_result> (*run)(bridge_storage::inside& in, json arguments);
};
const storage_call* find_storage_call(std::string_view name); // bridge_storage_calls.cpp, bridge_storage_files.cpp
extern const std::vector<storage_call> cluster_calls;
extern const std::vector<storage_call> file_calls;

// bridge_storage_paths.cpp
/// The space and the path in it that a user's text means, on the store's thread.
struct meant_path {
  space_store* space = nullptr;
  std::string path; // without leading '/', "" is the root
};
std::variant<meant_path, call_failure> find_path(const node_store& all, const json& arguments);
/// "24h", "30m", "90d", "45s" as milliseconds; nothing when it is malformed.
std::optional<uint64_t> parse_span_ms(const std::string& text);
/// RFC 3339 in UTC, or a span back from now; Unix ms.
std::optional<uint64_t> parse_time_ms(const std::string& text, uint64_t now_ms);
/// RFC 3339, UTC, milliseconds.
std::string time_text(uint64_t unix_ms);
std::string stamp_text(const stamp& at);
std::optional<stamp> parse_stamp(std::string_view text);
/// Who made it: the device's name, with the acting user when there is one.
json author_of(const roster& members, replica_id rid, const std::string& acting_user);

} // namespace harp
