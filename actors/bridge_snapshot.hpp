// Snapshots of spaces over data streams: given to members whose bundles are no longer in the log, and fetched from them.
#pragma once

#include "actors/bridge_links.hpp"

#include <atomic>
#include <mutex>
#include <set>
#include <string>

namespace harp {

inline constexpr size_t snapshots_served_max = 8;                 // at once; above: the stream is closed, the peer comes again
inline constexpr uint64_t snapshot_bytes_max = 64ull << 30;       // of one that is fetched
inline constexpr std::chrono::seconds snapshot_silence_limit{60}; // between two pieces

class bridge_snapshot {
public:
  /// `dir`: where fetched ones lie until they are taken over.
  bridge_snapshot(bridge& seam, std::shared_ptr<storage_plane> plane, bridge_links& links, const space_id& cluster, std::string dir);
  /// Fetches the snapshot of a space from a linked member; `to` gets snapshot_here. One at a time for each space.
  void fetch(const space_id& space, const device_key& from, space_actor to);

private:
  net::asio::awaitable<void> serve(opened_stream opened);
  net::asio::awaitable<void> run(space_id space, net::node_link_ptr link, space_actor to);
  net::asio::awaitable<std::string> receive(space_id space, net::node_link_ptr link, std::shared_ptr<snapshot_here> into);

  bridge& seam_;
  std::shared_ptr<storage_plane> plane_;
  bridge_links& links_;
  const space_id cluster_;
  const std::string dir_;
  std::atomic<size_t> serving_{0};
  std::mutex mutex_;
  std::set<space_id> fetching_; // guarded by it
};

} // namespace harp
