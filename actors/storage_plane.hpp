// What every actor of the storage plane is given: the store, the pool, the rosters as of now, and the way to peers.
#pragma once

#include "actors/handles.hpp"
#include "storage/lease.hpp"
#include "storage/picker_events.hpp"
#include "storage/roster.hpp"
#include "storage/worker_pool.hpp"

#include <caf/send.hpp>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harp {

/// Rosters of all spaces this node knows, as an immutable snapshot that every thread may read without asking.
class hot_rosters {
public:
  using table = std::map<space_id, std::shared_ptr<const roster>>;
  [[nodiscard]] std::shared_ptr<const table> read() const { return table_.load(); }
  void publish(std::shared_ptr<const table> fresh) { table_.store(std::move(fresh)); }
  /// Null when the space is not known.
  [[nodiscard]] std::shared_ptr<const roster> of(const space_id& space) const {
    auto all = read();
    auto found = all->find(space);
    return found == all->end() ? nullptr : found->second;
  }

private:
  std::atomic<std::shared_ptr<const table>> table_{std::make_shared<const table>()};
};

/// The actors of one space; folder is empty when no directory is held here.
struct space_handles {
  space_actor space;
  swarm_actor swarm;
  folder_actor folder;
};

/// Other nodes as their own records tell: who serves which ExApp, as a snapshot that every request may read.
class hot_nodes {
public:
  struct entry {
    device_key device;
    std::vector<std::pair<std::string, uint16_t>> apps; // of keepers only
    bool linked = false;
  };
  [[nodiscard]] std::shared_ptr<const std::vector<entry>> read() const { return entries_.load(); }
  void publish(std::shared_ptr<const std::vector<entry>> fresh) { entries_.store(std::move(fresh)); }

private:
  std::atomic<std::shared_ptr<const std::vector<entry>>> entries_{std::make_shared<const std::vector<entry>>()};
};

/// What actors of the storage plane ask of net/. Fulfilled by actors/bridge_links.*; tests bring a fake on virtual time.
class link_port {
public:
  virtual ~link_port() = default;
  /// Sends a control message to a linked device. False: no link, or its queue is full; the sender repeats what matters
  /// when the device is next linked.
  virtual bool send(const device_key& to, const peer_message& what) = 0;
  /// Asks a peer for pieces on a data stream; `answer_to` (a swarm_actor) gets fetch_news until the request ended.
  virtual void fetch(const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to) = 0;
  /// Ends a request, or parts of it.
  virtual void cancel(const device_key& from, const space_id& space, const fetch_cancel& what) = 0;
};

/// What /metrics tells of the plane, kept up by its actors.
struct storage_counts {
  std::atomic<uint64_t> ops{0};            // operations applied or made since the start
  std::atomic<int64_t> ops_pending{0};     // bundles that others announced and that are not here
  std::atomic<int64_t> contents_missing{0}; // wanted, not complete
};

/// Made once per node, outlives the actors.
struct storage_plane {
  storage_counts counts;
  store_actor store;
  std::shared_ptr<hot_rosters> rosters = std::make_shared<hot_rosters>();
  std::shared_ptr<worker_pool> pool;
  link_port* links = nullptr;
  device_key self;
  std::atomic<int64_t> clock_offset_ms{0}; // storage.md 4.1
  uint64_t lease_grace_ms = lease_grace_ms_default;

  /// May operations and contents of this space be given to this device now? Roles are judged elsewhere.
  [[nodiscard]] bool serves(const space_id& space, const device_key& device) const {
    auto members = rosters->of(space);
    return members && may_serve(*members, self, device, now_ms(), lease_grace_ms);
  }
  /// Unix milliseconds, corrected.
  [[nodiscard]] uint64_t now_ms() const {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count() + clock_offset_ms.load(std::memory_order_relaxed));
  }
};

inline constexpr std::chrono::minutes store_limit{5}; // of one job of the store

/// Makes a job of any callable.
template <class Work>
store_job make_store_job(Work work) {
  return {std::make_shared<const std::function<void(node_store&)>>(std::move(work))};
}

/// From an actor: runs `work(node_store&) -> T` on the store, then `then(T&)` or `failed(caf::error&)` in the actor.
template <class Self, class Work, class Then, class Failed>
void in_store(Self* self, const store_actor& store, Work work, Then then, Failed failed) {
  using result = std::invoke_result_t<Work, node_store&>;
  auto box = std::make_shared<std::optional<result>>();
  auto job = make_store_job([box, work = std::move(work)](node_store& all) mutable { box->emplace(work(all)); });
  self->request(store, caf::duration{store_limit}, std::move(job))
    .then([box, then = std::move(then)](bool) mutable { then(**box); },
          [failed = std::move(failed)](caf::error& error) mutable { failed(error); });
}

/// From an actor that takes actor_step: runs `work() -> T` in the pool, then `then(T&)` in the actor. Neither when the
/// pool is ending.
template <class Handle, class Work, class Then>
void in_pool_of(worker_pool& pool, const Handle& self, Work work, Then then) {
  using result = std::invoke_result_t<Work>;
  auto kept = std::make_shared<Then>(std::move(then));
  pool.submit([self, kept, work = std::move(work)]() mutable {
    auto box = std::make_shared<result>(work());
    auto rest = std::make_shared<const std::function<void()>>([kept, box] { (*kept)(*box); });
    caf::anon_send(self, actor_step{std::move(rest)});
  });
}

/// From a pool thread: runs a job on the store and waits for it. False when it failed or the store is gone.
bool wait_for_store(const store_actor& store, std::function<void(node_store&)> work);

} // namespace harp
