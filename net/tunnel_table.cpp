// Live tunnel sessions by id.
#include "net/tunnel_table.hpp"

namespace harp::net {

uint64_t tunnel_table::next_id() {
  const std::lock_guard lock{mutex_};
  return ++last_id_;
}

void tunnel_table::add(uint64_t id, std::shared_ptr<tunnel> session) {
  const std::lock_guard lock{mutex_};
  sessions_[id] = std::move(session);
}

void tunnel_table::remove(uint64_t id) {
  std::shared_ptr<tunnel> last; // destroyed outside of the lock
  const std::lock_guard lock{mutex_};
  auto found = sessions_.find(id);
  if (found == sessions_.end())
    return;
  last = std::move(found->second);
  sessions_.erase(found);
}

std::shared_ptr<tunnel> tunnel_table::find(uint64_t id) const {
  const std::lock_guard lock{mutex_};
  auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<tunnel>> tunnel_table::all() const {
  const std::lock_guard lock{mutex_};
  std::vector<std::shared_ptr<tunnel>> out;
  out.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_)
    out.push_back(session);
  return out;
}

} // namespace harp::net
