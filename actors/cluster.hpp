// Who is a member, who is reached, and where: links, dialling, node records, spaces learned from others.
#pragma once

#include "actors/storage_plane.hpp"
#include "storage/hlc.hpp"
#include "storage/node_record.hpp"

#include <caf/stateful_actor.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::milliseconds cluster_tick_interval{500};
inline constexpr uint64_t dial_wait_ms_first = 1'000;
inline constexpr uint64_t dial_wait_ms_max = 60'000;
inline constexpr uint64_t ping_every_ms = 15'000;
inline constexpr uint64_t lease_every_ms = 15 * 60'000;      // storage.md 5.3
inline constexpr uint64_t lease_life_ms = 24ull * 3600'000;
inline constexpr size_t lan_addresses_max = 64;

/// What the cluster actor asks of net/, beside link_port. Thread-safe.
class cluster_port {
public:
  virtual ~cluster_port() = default;
  /// Tries to link `device`: at these addresses, then through these keepers; dial_note tells how it went.
  virtual void dial(const device_key& device, std::vector<std::string> addresses, std::vector<device_key> keepers, cluster_actor answer_to) = 0;
  virtual void end_link(uint64_t link, std::string reason) = 0;
  /// Asks the roster again about every linked node.
  virtual void recheck_members() = 0;
  /// A round trip was measured on the newest link to `device`.
  virtual void note_round_trip(const device_key& device, std::chrono::microseconds sample) = 0;
  /// Where this node listens, as others may reach it.
  virtual std::vector<std::string> own_addresses() = 0;
  /// ExApps that are attached to this node.
  virtual std::vector<node_app> own_apps() = 0;
  /// An ExApp's record was pushed or withdrawn elsewhere.
  virtual void recheck_app(const device_key& from, const std::string& app_id, bool gone) = 0;
};

/// What a node may do for others is its role in the cluster space.
inline bool serves_others(member_role role) {
  return role == member_role::keeper || role == member_role::admin;
}

struct cluster_settings {
  space_id cluster;
  device_key governor;                       // public key
  std::vector<std::string> known_addresses;  // of the governor's node, from the invite
  std::map<device_key, std::vector<std::string>> remembered; // where members were before this start
  std::shared_ptr<const signing_key> device;
  cluster_port* port = nullptr;
  /// The actors of every space, to be told about members.
  std::function<std::map<space_id, space_handles>()> spaces;
  /// Makes the actors of spaces that have none yet; called on the store's thread.
  std::function<void(node_store&)> ensure;
  std::shared_ptr<hot_nodes> nodes;
  bool governs = false;
};

class cluster_state {
public:
  static inline const char* name = "harp.cluster";
  explicit cluster_state(cluster_actor::pointer self) : self_(self) {}
  cluster_actor::behavior_type start(std::shared_ptr<storage_plane> plane, cluster_settings settings);

private:
  struct link {
    uint64_t id = 0;
    bool dialled = false;
    uint8_t path = 0;
    std::string address;
  };
  struct dialling {
    uint64_t next_ms = 0;
    uint64_t wait_ms = dial_wait_ms_first;
    bool under_way = false;
    std::string words;
  };

  void link_changed(const link_note& note);
  void dialled(const dial_note& note);
  void heard(const lan_note& note);
  bool message(const peer_note& note);
  void rosters_changed();
  peer_report peers() const;
  void tick();

  void on_hello(const device_key& from, const hello_message& hello);
  void on_ack(const device_key& from, const hello_ack_message& ack);
  void on_pong(const device_key& from, const pong_message& pong);
  void on_roster(const device_key& from, std::shared_ptr<const peer_message> what);
  void on_node(const device_key& from, const node_message& node);
  void keep_one(const device_key& device);
  void say_hello(const device_key& to);
  void tell_members();
  void dial_missing(uint64_t now_ms);
  void dial(const device_key& device, uint64_t now_ms);
  void remember(const node_record& record);
  void publish_own(uint64_t now_ms);
  void publish_nodes();
  void renew_lease(uint64_t now_ms);
  [[nodiscard]] std::vector<std::string> addresses_of(const device_key& device) const;
  [[nodiscard]] std::shared_ptr<const roster> members() const { return plane_->rosters->of(settings_.cluster); }
  [[nodiscard]] bool is_linked(const device_key& device) const { return links_.contains(device); }
  [[nodiscard]] bool is_linked_directly(const device_key& device) const {
    auto found = links_.find(device);
    return found != links_.end() && std::any_of(found->second.begin(), found->second.end(), [](const link& one) { return one.path != 2; });
  }

  cluster_actor::pointer self_;
  std::shared_ptr<storage_plane> plane_;
  cluster_settings settings_;
  std::map<device_key, std::vector<link>> links_; // newest last
  std::map<device_key, dialling> dials_;
  std::map<device_key, uint64_t> seen_ms_;
  std::map<device_key, std::pair<sealed_node_record, uint64_t>> records_; // and when it came, ms
  std::map<std::pair<space_id, device_key>, member_link> told_;           // what space and swarm actors know
  std::vector<std::string> lan_;                                          // addresses heard, newest last
  clock_offset offset_;
  std::vector<node_app> apps_told_;
  std::vector<std::string> addresses_told_;
  uint64_t record_at_ms_ = 0;
  uint64_t pinged_at_ms_ = 0;
  uint64_t leased_at_ms_ = 0;
  link_id link_id_;
};

cluster_actor::behavior_type cluster(cluster_actor::stateful_pointer<cluster_state> self, std::shared_ptr<storage_plane> plane, cluster_settings settings);

} // namespace harp

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(harp::cluster_settings)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::shared_ptr<harp::storage_plane>)
