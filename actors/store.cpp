#include "actors/store.hpp"

#include "net/log.hpp"

#include <caf/make_message.hpp>

namespace harp {

store_actor::behavior_type store(store_actor::stateful_pointer<store_state> self, std::shared_ptr<node_store> disks) {
  return self->state.start(std::move(disks));
}

store_actor::behavior_type store_state::start(std::shared_ptr<node_store> disks) {
  disks_ = std::move(disks);
  self_->delayed_send(self_, store_first_interval, caf::tick_atom_v);
  return {
    [this](const store_job& job) { return run(job); },
    [this](caf::tick_atom) { tick(); },
  };
}

caf::result<bool> store_state::run(const store_job& job) {
  try {
    (*job.work)(*disks_);
    return true;
  } catch (const storage_failure& broken) {
    net::log(net::log_level::error, "HARP-S001", "ops", "the store could not do its work",
             {{"cause", broken.what}, {"next", "look at free space and health of the disk; what was not stored is tried again"}});
    return caf::make_error(ec::store_failed, broken.what);
  }
}

void store_state::tick() {
  auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(store_tick_interval);
  try {
    if (disks_->look_after(std::chrono::system_clock::now()))
      wait = store_busy_interval;
  } catch (const storage_failure& broken) {
    net::log(net::log_level::error, "HARP-S002", "disk", "looking after the store failed",
             {{"cause", broken.what}, {"next", "look at free space and health of the disk; it is tried again"}});
  }
  self_->delayed_send(self_, wait, caf::tick_atom_v);
}

} // namespace harp
