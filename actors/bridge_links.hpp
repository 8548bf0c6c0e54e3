// Node links between net/ and the actors: admission, frames to actors, dialling, relaying, enrolment.
#pragma once

#include "actors/bridge.hpp"
#include "actors/cluster.hpp"
#include "actors/peer.hpp"
#include "net/lan_discovery.hpp"
#include "net/node_endpoint.hpp"
#include "web/config.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::seconds stream_head_limit{10}; // first frame of a data stream

/// A data stream somebody opened, behind its first frame.
struct opened_stream {
  net::node_link_ptr link;
  net::stream_ptr stream;
  uint8_t flags = 0;
  std::string payload; // of the first frame
};

/// Made after init or join, outlives the actors it tells. Every function may be called from any thread.
class bridge_links : public net::node_gate, public link_port, public cluster_port {
public:
  bridge_links(bridge& seam, std::shared_ptr<storage_plane> plane, const space_id& cluster);
  ~bridge_links() override;

  /// Makes the endpoint; words when OpenSSL refuses.
  std::string open(net::node_identity_ptr self, net::node_identity_ptr governor);
  /// Listens there; words when it cannot.
  std::string listen(const std::vector<web::bind_address>& where, bool lan);
  /// Messages go to these from now on. Before, links are refused.
  void use(cluster_actor cluster, std::function<std::map<space_id, space_handles>()> spaces);
  /// Ends links and listeners; nothing reaches the actors any more.
  void stop();
  [[nodiscard]] std::vector<std::string> listening() const;
  [[nodiscard]] const std::shared_ptr<net::node_endpoint>& endpoint() const { return endpoint_; }
  [[nodiscard]] net::node_link_ptr link_of(const device_key& device) const;

  /// Who takes data streams that begin with this type; set before use().
  using stream_taker = std::function<net::asio::awaitable<void>(opened_stream)>;
  void take_streams(message_type type, stream_taker taker) { takers_[type] = std::move(taker); }

  // net::node_gate
  bool admits(const device_key& device) override;
  void on_link(net::node_link_ptr link) override;
  void on_data(net::node_link_ptr link, net::stream_ptr stream) override;
  void on_end(net::node_link_ptr link, std::string reason) override;
  net::asio::awaitable<std::string> enrol(device_key joiner, std::string payload, ip_address from) override;

  // link_port
  bool send(const device_key& to, const peer_message& what) override;
  void fetch(const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to) override;
  void cancel(const device_key& from, const space_id& space, const fetch_cancel& what) override;
  std::function<void(const device_key&, const space_id&, std::shared_ptr<const fetch_request>, caf::actor)> on_fetch;
  std::function<void(const device_key&, const space_id&, const fetch_cancel&)> on_cancel;

  // cluster_port
  void dial(const device_key& device, std::vector<std::string> addresses, std::vector<device_key> keepers, cluster_actor answer_to) override;
  void end_link(uint64_t link, std::string reason) override;
  void recheck_members() override;
  /// Of every linked node, smoothed.
  [[nodiscard]] std::vector<std::pair<device_key, std::chrono::microseconds>> round_trips() const;
  void note_round_trip(const device_key& device, std::chrono::microseconds sample) override;
  std::vector<std::string> own_addresses() override;
  std::vector<node_app> own_apps() override;
  void recheck_app(const device_key& from, const std::string& app_id, bool gone) override;
  std::function<std::vector<node_app>()> apps;                           // attached here
  std::function<void(const device_key&, const std::string&, bool)> on_recheck;

private:
  net::asio::awaitable<void> read_link(net::node_link_ptr link);
  net::asio::awaitable<bool> route(net::node_link_ptr link, std::shared_ptr<const peer> judge, uint8_t type, uint8_t flags, std::shared_ptr<const std::string> payload);
  net::asio::awaitable<void> deliver(peer_note note);
  net::asio::awaitable<void> serve_stream(net::node_link_ptr link, net::stream_ptr stream);
  net::asio::awaitable<void> serve_ops(opened_stream opened);
  net::asio::awaitable<void> serve_relay(opened_stream opened);
  net::asio::awaitable<void> dial_device(device_key device, std::vector<std::string> addresses, std::vector<device_key> keepers, cluster_actor answer_to);
  net::asio::awaitable<void> send_large(net::node_link_ptr link, uint8_t type, std::string payload);
  [[nodiscard]] bool is_keeper(const device_key& device) const;
  [[nodiscard]] cluster_actor cluster_handle() const;
  std::string start_lan(uint16_t port);

  bridge& seam_;
  std::shared_ptr<storage_plane> plane_;
  const space_id cluster_;
  std::shared_ptr<net::node_endpoint> endpoint_;
  std::shared_ptr<net::lan_discovery> lan_;
  std::map<message_type, stream_taker> takers_;

  mutable std::mutex mutex_;
  cluster_actor actor_;                                            // guarded by it
  std::function<std::map<space_id, space_handles>()> spaces_;      // guarded by it
  std::map<device_key, std::vector<net::node_link_ptr>> links_;    // guarded by it; newest last
};

} // namespace harp
