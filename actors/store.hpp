// Sole writer of every LMDB environment and pack of this node; a thread of its own, because it waits for disks.
#pragma once

#include "actors/handles.hpp"
#include "storage/node_store.hpp"

#include <caf/stateful_actor.hpp>

#include <memory>

namespace harp {

inline constexpr std::chrono::seconds store_tick_interval{30};
inline constexpr std::chrono::seconds store_first_interval{2};
inline constexpr std::chrono::milliseconds store_busy_interval{200}; // between two steps of care

class store_state {
public:
  static inline const char* name = "harp.store";
  explicit store_state(store_actor::pointer self) : self_(self) {}
  /// `disks` is shared with nobody else while the actor lives.
  store_actor::behavior_type start(std::shared_ptr<node_store> disks);

private:
  caf::result<bool> run(const store_job& job);
  void tick();

  store_actor::pointer self_;
  std::shared_ptr<node_store> disks_;
};

store_actor::behavior_type store(store_actor::stateful_pointer<store_state> self, std::shared_ptr<node_store> disks);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::shared_ptr<harp::node_store>)
