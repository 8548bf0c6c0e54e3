// Where other nodes are: their records, dialling, what is told about this one.
#include "actors/cluster.hpp"
#include "net/log.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace harp {

using net::log_level;

void cluster_state::on_node(const device_key& from, const node_message& node) {
  const auto& record = node.node.record;
  if (record.device == plane_->self)
    return;
  auto known = records_.find(record.device);
  if (known != records_.end() && known->second.first.record.counter >= record.counter)
    return;
  bool moved = known == records_.end() || known->second.first.record.addresses != record.addresses;
  records_[record.device] = {node.node, plane_->now_ms()};
  if (moved)
    remember(record);
  for (const auto& [device, open] : links_)
    if (device != from && device != record.device)
      plane_->links->send(device, node);
  if (auto dialled = dials_.find(record.device); moved && dialled != dials_.end() && !dialled->second.under_way)
    dialled->second = {0, dial_wait_ms_first, false, dialled->second.words};
  publish_nodes();
}

/// For the next start, when whoever is there may be at a new address and this node as well.
void cluster_state::remember(const node_record& record) {
  auto& known = settings_.remembered[record.device];
  if (known == record.addresses || record.addresses.empty())
    return;
  known = record.addresses;
  in_store(
    self_, plane_->store,
    [device = record.device, where = record.addresses](node_store& all) {
      auto fresh = *all.conf();
      return fresh.remember(device, where) ? all.save_conf(std::move(fresh)) : std::nullopt;
    },
    [](std::optional<std::string>& trouble) {
      if (trouble)
        net::log(log_level::warn, "HARP-L012", "link", "the address of a member was not kept", {{"cause", *trouble}, {"next", "free some space; after a restart it has to be found anew"}});
    },
    [](caf::error&) {});
}

// -- dialling --------------------------------------------------------------------------------------------------------------

void cluster_state::heard(const lan_note& note) {
  std::erase(lan_, note.address);
  lan_.push_back(note.address);
  if (lan_.size() > lan_addresses_max)
    lan_.erase(lan_.begin());
  for (auto& [device, state] : dials_)
    if (!state.under_way)
      state.next_ms = 0; // whoever it is: worth a try
}

std::vector<std::string> cluster_state::addresses_of(const device_key& device) const {
  std::vector<std::string> out;
  auto add = [&out](const std::string& address) {
    if (std::find(out.begin(), out.end(), address) == out.end() && out.size() < node_addresses_max)
      out.push_back(address);
  };
  if (auto known = records_.find(device); known != records_.end())
    for (const auto& address : known->second.first.record.addresses)
      add(address);
  if (auto known = settings_.remembered.find(device); known != settings_.remembered.end())
    for (const auto& address : known->second)
      add(address);
  auto cluster_members = members();
  if (cluster_members && serves_others(cluster_members->role_of(device)))
    for (const auto& address : settings_.known_addresses)
      add(address);
  for (auto at = lan_.rbegin(); at != lan_.rend(); ++at)
    add(*at);
  return out;
}

void cluster_state::dial_missing(uint64_t now_ms) {
  auto cluster_members = members();
  if (!cluster_members)
    return;
  for (const auto& member : cluster_members->members())
    if (!member.is_revoked() && member.device != plane_->self && !is_linked_directly(member.device))
      dial(member.device, now_ms);
}

void cluster_state::dial(const device_key& device, uint64_t now_ms) {
  auto& state = dials_[device];
  if (state.under_way || now_ms < state.next_ms)
    return;
  std::vector<device_key> keepers;
  auto cluster_members = members();
  for (const auto& [linked, open] : links_) // a keeper that relays is left as soon as a direct way is found
    if (!is_linked(device) && open.back().path != 2 && serves_others(cluster_members->role_of(linked)))
      keepers.push_back(linked);
  auto addresses = addresses_of(device);
  if (addresses.empty() && keepers.empty()) {
    state.words = "no address of it is known and no keeper is linked";
    state.next_ms = now_ms + dial_wait_ms_first;
    return;
  }
  state.under_way = true;
  settings_.port->dial(device, std::move(addresses), std::move(keepers), self_);
}

void cluster_state::dialled(const dial_note& note) {
  if (note.linked)
    return; // the link itself told
  auto& state = dials_[note.device];
  state.under_way = false;
  state.words = note.words;
  state.next_ms = plane_->now_ms() + state.wait_ms;
  state.wait_ms = std::min(state.wait_ms * 2, dial_wait_ms_max);
}

// -- node records ------------------------------------------------------------------------------------------------------------

void cluster_state::publish_own(uint64_t now_ms) {
  auto addresses = settings_.port->own_addresses();
  auto apps = settings_.port->own_apps();
  auto cluster_members = members();
  if (!cluster_members || !serves_others(cluster_members->role_of(plane_->self)))
    apps.clear(); // nobody would believe it
  if (now_ms < record_at_ms_ + node_record_every_ms && addresses == addresses_told_ && apps == apps_told_)
    return;
  node_record own;
  own.counter = now_ms;
  own.addresses = addresses;
  own.apps = apps;
  if (own.addresses.size() > node_addresses_max)
    own.addresses.resize(node_addresses_max);
  if (own.apps.size() > node_apps_max)
    own.apps.resize(node_apps_max);
  auto sealed = seal_node_record(std::move(own), *settings_.device);
  record_at_ms_ = now_ms;
  addresses_told_ = std::move(addresses);
  apps_told_ = std::move(apps);
  if (auto* record = std::get_if<sealed_node_record>(&sealed))
    for (const auto& [device, open] : links_)
      plane_->links->send(device, node_message{*record});
}

void cluster_state::publish_nodes() {
  auto fresh = std::make_shared<std::vector<hot_nodes::entry>>();
  auto cluster_members = members();
  for (const auto& [device, known] : records_) {
    hot_nodes::entry entry;
    entry.device = device;
    entry.linked = is_linked(device);
    if (cluster_members && serves_others(cluster_members->role_of(device)))
      for (const auto& app : known.first.record.apps)
        entry.apps.emplace_back(app.id, app.port);
    fresh->push_back(std::move(entry));
  }
  settings_.nodes->publish(std::move(fresh));
}

peer_report cluster_state::peers() const {
  auto lines = std::make_shared<std::vector<peer_line>>();
  auto cluster_members = members();
  if (cluster_members)
    for (const auto& member : cluster_members->members()) {
      if (member.is_revoked() || member.device == plane_->self)
        continue;
      peer_line line;
      line.device = member.device;
      if (auto open = links_.find(member.device); open != links_.end()) {
        constexpr const char* paths[] = {"direct", "websocket", "relayed"};
        line.linked = true;
        line.path = paths[std::min<size_t>(open->second.back().path, 2)];
        line.address = open->second.back().address;
      } else if (auto tried = dials_.find(member.device); tried != dials_.end()) {
        line.waiting = tried->second.words;
      }
      if (auto seen = seen_ms_.find(member.device); seen != seen_ms_.end())
        line.seen_ms = seen->second;
      if (auto known = records_.find(member.device); known != records_.end())
        for (const auto& app : known->second.first.record.apps)
          line.apps.emplace_back(app.id, app.port);
      lines->push_back(std::move(line));
    }
  return {std::move(lines)};
}

} // namespace harp
