#include "actors/cluster.hpp"

#include "net/log.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"
#include "web/version.hpp"

#include <caf/send.hpp>
#include <sodium.h>

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

uint64_t unix_us() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

} // namespace

cluster_actor::behavior_type cluster(cluster_actor::stateful_pointer<cluster_state> self, std::shared_ptr<storage_plane> plane, cluster_settings settings) {
  return self->state.start(std::move(plane), std::move(settings));
}

cluster_actor::behavior_type cluster_state::start(std::shared_ptr<storage_plane> plane, cluster_settings settings) {
  plane_ = std::move(plane);
  settings_ = std::move(settings);
  randombytes_buf(link_id_.bytes.data(), link_id_.bytes.size());
  self_->send(self_, caf::tick_atom_v);
  return {
    [this](const link_note& note) { link_changed(note); },
    [this](const dial_note& note) { dialled(note); },
    [this](const lan_note& note) { heard(note); },
    [this](const peer_note& note) { return message(note); },
    [this](roster_atom) { rosters_changed(); },
    [this](peers_atom) { return peers(); },
    [this](caf::tick_atom) { tick(); },
  };
}

// -- links -----------------------------------------------------------------------------------------------------------------

void cluster_state::link_changed(const link_note& note) {
  auto now = plane_->now_ms();
  seen_ms_[note.device] = now;
  if (!note.up) {
    auto found = links_.find(note.device);
    if (found == links_.end())
      return;
    std::erase_if(found->second, [&](const link& one) { return one.id == note.link; });
    if (found->second.empty()) {
      links_.erase(found);
      dials_[note.device] = {now + dial_wait_ms_first / 2, dial_wait_ms_first, false, "the link ended"};
    } else { // what was on its way on the link that ended is lost: its spaces begin anew on the one that stays
      std::erase_if(told_, [&](const auto& told) { return told.first.second == note.device; });
    }
  } else {
    links_[note.device].push_back({note.link, note.dialled, note.path, note.address});
    dials_.erase(note.device);
    keep_one(note.device);
    say_hello(note.device);
  }
  tell_members();
  publish_nodes();
}

/// Of two links of one pair the one that the smaller key dialled stays, and a direct one before a relayed one; of two alike the newer.
void cluster_state::keep_one(const device_key& device) {
  auto& all = links_[device];
  if (all.size() < 2)
    return;
  bool mine = plane_->self < device;
  auto worth = [mine](const link& one) { return std::pair{one.path != 2, one.dialled == mine}; };
  auto best = all.begin();
  for (auto at = all.begin(); at != all.end(); ++at)
    if (worth(*at) >= worth(*best))
      best = at;
  for (const auto& one : all)
    if (one.id != best->id)
      settings_.port->end_link(one.id, "another link of the same pair stays");
}

void cluster_state::say_hello(const device_key& to) {
  hello_message hello;
  hello.software = "harp/" + std::string{web::version};
  hello.link = link_id_;
  hello.t1 = unix_us();
  for (const auto& [id, members] : *plane_->rosters->read())
    if (members->rid_of(to) != 0 && members->rid_of(plane_->self) != 0)
      hello.spaces.emplace_back(id, members->version());
  plane_->links->send(to, hello);
  for (const auto& [device, known] : records_)
    if (device != to)
      plane_->links->send(to, node_message{known.first});
  record_at_ms_ = 0; // with the next tick: the own record
}

/// Tells space and swarm actors which members are linked, as rosters and links say now.
void cluster_state::tell_members() {
  auto handles = settings_.spaces();
  auto rosters = plane_->rosters->read();
  auto cluster_members = members();
  std::map<std::pair<space_id, device_key>, member_link> now;
  for (const auto& [device, open] : links_)
    for (const auto& [id, space] : *rosters) {
      auto rid = space->rid_of(device);
      if (rid == 0 || space->rid_of(plane_->self) == 0 || !handles.contains(id))
        continue;
      member_link fact;
      fact.space = id;
      fact.device = device;
      fact.rid = rid;
      fact.role = space->role_of(rid);
      fact.up = true;
      fact.keeper = cluster_members && serves_others(cluster_members->role_of(device));
      fact.reach = open.back().path == 2 ? 2 : 1;
      now[{id, device}] = fact;
    }
  auto tell = [&handles](const member_link& fact) {
    auto found = handles.find(fact.space);
    if (found == handles.end())
      return;
    caf::anon_send(found->second.space, fact);
    if (found->second.swarm)
      caf::anon_send(found->second.swarm, fact);
  };
  for (auto& [key, fact] : told_)
    if (!now.contains(key)) {
      fact.up = false;
      tell(fact);
    }
  for (const auto& [key, fact] : now) {
    auto before = told_.find(key);
    if (before == told_.end() || before->second.rid != fact.rid || before->second.role != fact.role || before->second.reach != fact.reach)
      tell(fact);
  }
  told_ = std::move(now);
}

// -- messages --------------------------------------------------------------------------------------------------------------

bool cluster_state::message(const peer_note& note) {
  seen_ms_[note.from] = plane_->now_ms();
  if (auto* hello = std::get_if<hello_message>(note.what.get()))
    on_hello(note.from, *hello);
  else if (auto* ack = std::get_if<hello_ack_message>(note.what.get()))
    on_ack(note.from, *ack);
  else if (auto* pong = std::get_if<pong_message>(note.what.get()))
    on_pong(note.from, *pong);
  else if (auto* node = std::get_if<node_message>(note.what.get()))
    on_node(note.from, *node);
  else if (std::holds_alternative<roster_message>(*note.what))
    on_roster(note.from, note.what);
  else if (auto* recheck = std::get_if<recheck_message>(note.what.get()))
    settings_.port->recheck_app(note.from, recheck->app_id, recheck->gone);
  return true; // the next one may come
}

void cluster_state::on_hello(const device_key& from, const hello_message& hello) {
  hello_ack_message ack;
  ack.t1 = hello.t1;
  ack.t2 = unix_us();
  for (const auto& [id, version] : hello.spaces)
    if (auto space = plane_->rosters->of(id); space && space->rid_of(from) != 0)
      ack.granted.push_back(id);
  ack.streams_max = 1024;
  if (auto open = links_.find(from); open != links_.end())
    ack.observed = open->second.back().address;
  ack.t3 = unix_us();
  plane_->links->send(from, ack);
}

void cluster_state::on_ack(const device_key& from, const hello_ack_message& ack) {
  on_pong(from, {ack.t1, ack.t2, ack.t3});
}

void cluster_state::on_pong(const device_key& from, const pong_message& pong) {
  auto t4 = unix_us();
  if (pong.t1 > t4 || t4 - pong.t1 > 60'000'000)
    return;
  auto trip = static_cast<int64_t>(t4 - pong.t1) - static_cast<int64_t>(pong.t3 - pong.t2);
  settings_.port->note_round_trip(from, std::chrono::microseconds{std::max<int64_t>(trip, 1)});
  auto cluster_members = members();
  if (!cluster_members || !serves_others(cluster_members->role_of(from)))
    return; // the clock is a keeper's business
  auto ms = [](uint64_t us) { return static_cast<int64_t>(us / 1000); };
  offset_.add(ms(pong.t1), ms(pong.t2), ms(pong.t3), ms(t4));
  auto before = plane_->clock_offset_ms.exchange(offset_.value_ms());
  if (before != offset_.value_ms())
    net::log(log_level::warn, "HARP-L010", "link", "this machine's clock differs from the keepers'",
             {{"offset_ms", offset_.value_ms()}, {"cause", "the median of several exchanges with keepers"}, {"next", "set the clock (NTP); until then Harp corrects its own stamps"}});
}

/// Rosters prove themselves; one of a space that is not known here may be how this device learns that it was let in.
void cluster_state::on_roster(const device_key& from, std::shared_ptr<const peer_message> what) {
  auto governor = settings_.governor;
  auto self = self_;
  in_store(
    self_, plane_->store,
    [what, governor](node_store& all) -> std::pair<std::string, bool> {
      const auto& told = std::get<roster_message>(*what);
      bool known = all.find(told.space) != nullptr;
      auto space = all.learn_space(told.space, governor);
      if (auto* why = std::get_if<std::string>(&space))
        return {*why, false};
      auto taken = std::get<space_store*>(space)->take_roster(told.entries);
      if (!known && std::get<space_store*>(space)->members()->version() == 0)
        all.drop_space(told.space); // nothing in it verified
      if (auto* why = std::get_if<std::string>(&taken))
        return {*why, true};
      return {{}, std::get<bool>(taken)};
    },
    [self, from](std::pair<std::string, bool>& done) {
      if (!done.first.empty())
        net::log(log_level::warn, "HARP-L011", "link", "a roster was not taken whole",
                 {{"peer", from.to_string().substr(0, 16)}, {"cause", done.first}, {"next", "nothing if it stays alone; else compare `harp member ls` on both nodes"}});
      if (done.second)
        self->send(self, roster_atom_v);
    },
    [](caf::error&) {});
}

void cluster_state::rosters_changed() {
  auto self = self_;
  in_store(
    self_, plane_->store,
    [ensure = settings_.ensure](node_store& all) {
      ensure(all);
      return std::make_shared<const hot_rosters::table>(all.rosters());
    },
    [this, self](std::shared_ptr<const hot_rosters::table>& fresh) {
      plane_->rosters->publish(fresh);
      settings_.port->recheck_members();
      for (const auto& [id, handles] : settings_.spaces())
        caf::anon_send(handles.space, roster_atom_v);
      tell_members();
      publish_nodes(); // whose apps are believed may have changed
      for (const auto& [device, open] : links_)
        say_hello(device); // spaces may be new on both sides
    },
    [](caf::error&) {});
}

// -- time ------------------------------------------------------------------------------------------------------------------

/// The governor vouches for the newest roster of every space, so that others can tell an old one (storage.md 5.3).
void cluster_state::renew_lease(uint64_t now_ms) {
  if (!settings_.governs || now_ms < leased_at_ms_ + lease_every_ms)
    return;
  leased_at_ms_ = now_ms;
  auto self = self_;
  in_store(
    self_, plane_->store,
    [now_ms](node_store& all) {
      for (auto* space : all.spaces())
        space->govern(roster_lease{now_ms + lease_life_ms}, now_ms, *all.governor());
      all.cluster()->govern(roster_lease{now_ms + lease_life_ms}, now_ms, *all.governor());
      return true;
    },
    [self](bool) { self->send(self, roster_atom_v); }, [](caf::error&) {});
}

void cluster_state::tick() {
  auto now = plane_->now_ms();
  dial_missing(now);
  publish_own(now);
  renew_lease(now);
  if (now >= pinged_at_ms_ + ping_every_ms) {
    pinged_at_ms_ = now;
    for (const auto& [device, open] : links_)
      plane_->links->send(device, ping_message{unix_us()});
  }
  auto forgotten = std::erase_if(records_, [now](const auto& entry) { return now > entry.second.second + node_record_life_ms; });
  if (forgotten > 0)
    publish_nodes();
  self_->delayed_send(self_, cluster_tick_interval, caf::tick_atom_v);
}

} // namespace harp
