#include "actors/storage_plane.hpp"

#include "storage/rows.hpp"

#include <future>

namespace harp {

bool wait_for_store(const store_actor& store, std::function<void(node_store&)> work) {
  auto told = std::make_shared<std::promise<bool>>();
  auto answer = told->get_future();
  auto job = make_store_job([told, work = std::move(work)](node_store& all) {
    try {
      work(all);
    } catch (const storage_failure&) {
      told->set_value(false);
      throw;
    }
    told->set_value(true);
  });
  told = nullptr; // a store that is gone drops the job, and with it the promise
  caf::anon_send(store, std::move(job));
  try {
    return answer.get();
  } catch (const std::future_error&) {
    return false;
  }
}

} // namespace harp
