// ExApps across nodes: which apps are attached here and told to others, the way to those of others, streams they open to ours.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_links.hpp"
#include "net/control.hpp"
#include "net/http_front.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t node_requests_max
    = 4'096; // streams of other nodes served at a time; above: 503
inline constexpr size_t sought_apps_max = 1'024; // tunnels whose record is asked for
inline constexpr std::chrono::seconds sought_again_after{
    15}; // as long as an unknown app stays unknown (appapi-harp.md 3.1)

/// What stands for a node that may not say who its client is: bans then name the node (fc00::/8 is nobody's, one /64 each).
ip_address address_of_node(const device_key& device);

/// The answer to a request that goes on to another node: unchanged but for the client's address, which is told anew.
void forward_to_node(const net::request_head& head, const ip_address& client,
                     std::shared_ptr<const net::upstream> to, net::verdict& out);

/// The status that a request on another node's stream is refused with before anything is decided; 0 = none.
int refusal_on_stream(const net::request_head& head, const net::node_origin& origin);

/// Made before the fronts, outlives the loops. Every function may be called from any thread.
class bridge_apps {
public:
  explicit bridge_apps(bridge& seam) : seam_(seam) {}

  /// What is known of the cluster, once there is one. `links` outlives the loops.
  struct membership {
    bridge_links* links = nullptr;
    std::shared_ptr<storage_plane> plane;
    std::shared_ptr<hot_nodes> nodes;
    space_id cluster;
  };
  void enter(membership where);
  /// The front that serves streams of other nodes; before the links are up. Without one all are refused.
  void serve_with(net::http_front& front) { front_ = &front; }

  /// The way to an app that keepers announce; null when nobody does. `app_id` as written in the path.
  [[nodiscard]] std::shared_ptr<const net::upstream> find(std::string_view app_id,
                                                          bool only_linked = false) const;
  /// Open (storage.md 11): a stream for one request of the front, or null.
  net::asio::awaitable<net::stream_ptr> open(std::string app_id, ip_address client) const;
  /// Takes a stream behind its Open frame.
  net::asio::awaitable<void> serve(opened_stream opened);

  /// Apps attached here: by a live tunnel, or at an address whose last connect succeeded. Asks for the records of tunnels
  /// that have none.
  [[nodiscard]] std::vector<node_app> attached();
  /// A record was pushed or withdrawn here: keepers are told (storage.md 11, Recheck); who does not know the app ignores it.
  void tell_recheck(const std::string& app_id, bool gone) const;
  /// The same, told by another node. Keepers open and close; others only make Nextcloud be asked anew.
  void recheck(const device_key& from, const std::string& app_id, bool gone) const;

private:
  struct way_table; // apps of others, made from one state of hot_nodes
  [[nodiscard]] net::node_origin judge(const membership& here, const device_key& from,
                                       const open_message& asked) const;
  [[nodiscard]] std::shared_ptr<const way_table> ways(const membership& here) const;
  void seek_records(const std::vector<std::string>& app_ids);

  bridge& seam_;
  std::atomic<net::http_front*> front_{nullptr};
  std::atomic<std::shared_ptr<const membership>> here_{nullptr};
  mutable std::atomic<std::shared_ptr<const way_table>> ways_{nullptr};
  std::atomic<size_t> serving_{0};
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point>
      sought_; // guarded by it: app id -> when asked for
};

/// Decides about requests on streams of other nodes: the gate of our own clients decides what is not refused at once.
class stream_gate : public net::http_gate {
public:
  explicit stream_gate(net::http_gate& inner) : inner_(inner) {}
  bool decide_now(const net::request_head& head, const net::connection_facts& from,
                  net::verdict& out) override;
  net::asio::awaitable<void> decide(const net::request_head& head,
                                    const net::connection_facts& from, net::verdict& out) override {
    return inner_.decide(head, from, out);
  }
  net::asio::awaitable<void> response_counted(const net::verdict& about) override {
    return inner_.response_counted(about);
  }
  void malformed(const net::connection_facts& from, std::string_view reason) override {
    inner_.malformed(from, reason);
  }

private:
  net::http_gate& inner_;
};

/// The ExApp listeners of a node with neither key nor Nextcloud: everything goes to a node that decides.
class entry_gate : public net::http_gate {
public:
  entry_gate(const bridge_apps& apps, std::vector<ip_network> trusted_proxies)
      : apps_(apps), trusted_proxies_(std::move(trusted_proxies)) {}
  bool decide_now(const net::request_head& head, const net::connection_facts& from,
                  net::verdict& out) override;

private:
  const bridge_apps& apps_;
  const std::vector<ip_network> trusted_proxies_;
};

} // namespace harp
