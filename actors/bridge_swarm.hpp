// Contents over data streams: answers Want with verified bytes, carries out the swarm's requests.
#pragma once

#include "actors/bridge_links.hpp"
#include "actors/fetch_report.hpp"
#include "storage/picker.hpp"
#include "storage/serve_queue.hpp"
#include "storage/space_content.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace harp {

class bridge_serve;

class bridge_swarm {
public:
  using content_finder = std::function<std::shared_ptr<space_content>(const space_id&)>;
  bridge_swarm(bridge& seam, std::shared_ptr<storage_plane> plane, bridge_links& links, content_finder contents);
  ~bridge_swarm();
  /// Cancels all requests; nothing is reported any more.
  void stop();

private:
  struct asked { // one request of ours, under way
    std::shared_ptr<const fetch_request> what;
    device_key from;
    caf::actor answer_to;
    net::stream* stream = nullptr; // on `home`'s thread only
    net::loop* home = nullptr;
    bool asked = false;     // the Want is written; on `home`'s thread only
    bool cancelled = false; // on `home`'s thread only
  };
  using asked_ptr = std::shared_ptr<asked>;

  void fetch(const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to);
  void cancel(const device_key& from, const space_id& space, const fetch_cancel& what);
  net::asio::awaitable<void> run_fetch(asked_ptr job, space_id space, net::node_link_ptr link);
  net::asio::awaitable<bool> take_frame(asked_ptr job, std::shared_ptr<space_content> content, net::peer_frame& frame, std::map<std::pair<content_id, uint32_t>, std::shared_ptr<std::string>>& parts);
  net::asio::awaitable<void> take_piece(asked_ptr job, std::shared_ptr<space_content> content, content_id cid, uint32_t number, std::shared_ptr<std::string> bytes);
  net::asio::awaitable<void> keep_piece(std::shared_ptr<fetch_report> report, chunk_id id, std::shared_ptr<std::string> bytes);
  void tell(const asked_ptr& job, fetch_report report) const;

  bridge& seam_;
  std::shared_ptr<storage_plane> plane_;
  bridge_links& links_;
  content_finder contents_;
  std::unique_ptr<bridge_serve> serving_;
  std::mutex mutex_;
  std::map<std::tuple<device_key, space_id, uint64_t>, asked_ptr> asked_; // guarded by it
};

} // namespace harp
