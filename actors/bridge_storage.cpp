#include "actors/bridge_storage_inside.hpp"

#include "net/log.hpp"
#include "web/bind_text.hpp"

#include <caf/send.hpp>

#include <filesystem>
#include <thread>

namespace harp {

using net::log_level;

namespace {

constexpr uint64_t first_checkpoint_ms_max = 3600'000; // of a new space

web::call_answer answered(const call_result& result) {
  web::call_answer out;
  json body;
  if (auto* failure = std::get_if<call_failure>(&result)) {
    out.status = failure->status;
    body = json{{"error", failure->error}, {"next", failure->next}};
  } else {
    body = std::get<json>(result);
  }
  out.body = body.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return out;
}

} // namespace

bridge_storage::bridge_storage(bridge& seam, bridge_apps& apps, const web::config& settings, bool alone)
  : inside_(std::make_unique<inside>(seam, apps, settings, alone)) {}

bridge_storage::~bridge_storage() = default;

std::string bridge_storage::open() {
  std::error_code ignored;
  if (!inside_->alone && !std::filesystem::exists(inside_->settings.state_dir + "/storage/node.json", ignored))
    return {}; // neither founded nor joined: the store is opened when a call wants that
  if (auto why = inside_->open_store(); !why.empty())
    return why;
  return inside_->alone || !inside_->disks->is_member() ? std::string{} : inside_->start_cluster();
}

std::string bridge_storage::inside::open_store() {
  std::lock_guard alone_here{opening};
  if (plane)
    return {};
  auto opened = node_store::open(settings.state_dir + "/storage");
  if (auto* why = std::get_if<std::string>(&opened))
    return *why;
  disks = std::get<std::shared_ptr<node_store>>(opened);
  device = {disks, &disks->device()};
  auto fresh = std::make_shared<storage_plane>();
  fresh->self = device->public_key();
  fresh->lease_grace_ms = static_cast<uint64_t>(settings.storage_lease_grace.count());
  fresh->pool = std::make_shared<worker_pool>(std::max(pool_threads_min, std::thread::hardware_concurrency()));
  fresh->rosters->publish(std::make_shared<const hot_rosters::table>(disks->rosters()));
  fresh->store = seam.system().spawn<caf::detached>(store, disks);
  plane = std::move(fresh);
  return {};
}

std::vector<web::bind_address> bridge_storage::inside::listen_addresses(const node_conf& conf) const {
  if (!settings.nodes.empty())
    return settings.nodes;
  if (auto address = web::parse_bind(conf.listen); address.value && !conf.listen.empty())
    return {*address.value};
  return {{"0.0.0.0", net::node_port, false}};
}

/// Before anybody can link, everything he may ask is there.
std::string bridge_storage::inside::start_cluster() {
  if (links)
    return {};
  auto conf = *disks->conf();
  links = std::make_unique<bridge_links>(seam, plane, conf.cluster);
  plane->links = links.get();
  auto seed_of = [](const signing_key& key) {
    auto seed = key.seed();
    return net::node_identity::from_seed(std::span<const uint8_t, net::key_seed_bytes>{reinterpret_cast<const uint8_t*>(seed.data()), net::key_seed_bytes});
  };
  auto governor = disks->governor() != nullptr ? seed_of(*disks->governor()) : nullptr;
  if (auto why = links->open(seed_of(*device), governor); !why.empty())
    return why;
  connect_apps(conf.cluster);
  transfers = std::make_unique<bridge_swarm>(seam, plane, *links, [this](const space_id& id) { return content_of(id); });
  snapshots = std::make_unique<bridge_snapshot>(seam, plane, *links, conf.cluster, settings.state_dir + "/storage");
  ensure_spaces(*disks);
  cluster_settings wanted;
  wanted.cluster = conf.cluster;
  wanted.governor = conf.governor;
  wanted.known_addresses = conf.addresses;
  wanted.remembered = conf.members;
  wanted.device = device;
  wanted.port = links.get();
  wanted.spaces = [this] { return handles(); };
  wanted.ensure = [this](node_store& all) { ensure_spaces(all); };
  wanted.nodes = nodes;
  wanted.governs = governor != nullptr;
  cluster = seam.system().spawn(harp::cluster, plane, std::move(wanted));
  links->use(cluster, [this] { return handles(); });
  add_gauges(seam.numbers(), conf.cluster);
  start_care();
  return listen_again(listen_addresses(conf), conf);
}

/// A port that was left to the system stays the same over restarts while it is free, since others know it.
std::string bridge_storage::inside::listen_again(const std::vector<web::bind_address>& where, const node_conf& conf) {
  bool any = where.size() == 1 && where[0].port == 0;
  auto before = web::parse_bind(conf.listened);
  if (any && before.value && before.value->host == where[0].host && links->listen({*before.value}, settings.lan_discovery).empty())
    return {};
  if (auto why = links->listen(where, settings.lan_discovery); !why.empty())
    return why;
  if (!any)
    return {};
  caf::anon_send(plane->store, make_store_job([listened = links->listening().front()](node_store& all) {
    auto fresh = *all.conf();
    fresh.listened = listened;
    if (auto trouble = all.save_conf(std::move(fresh)))
      net::log(log_level::warn, "HARP-L013", "link", "the port for nodes was not kept", {{"cause", *trouble}, {"next", "free some space, or name a port with `harp init --listen`"}});
  }));
  return {};
}

/// ExApps of this node are told to others and reached by them, and theirs by us.
void bridge_storage::inside::connect_apps(const space_id& cluster_space) {
  links->apps = [this] { return apps.attached(); };
  links->on_recheck = [this](const device_key& from, const std::string& app_id, bool gone) { apps.recheck(from, app_id, gone); };
  links->take_streams(message_type::open, [this](opened_stream opened) { return apps.serve(std::move(opened)); });
  apps.enter({links.get(), plane, nodes, cluster_space});
}

// -- spaces ------------------------------------------------------------------------------------------------------------------

std::map<space_id, space_handles> bridge_storage::inside::handles() const {
  std::lock_guard lock{mutex};
  return spaces;
}

std::shared_ptr<space_content> bridge_storage::inside::content_of(const space_id& id) const {
  std::lock_guard lock{mutex};
  auto found = contents.find(id);
  return found == contents.end() ? nullptr : found->second;
}

void bridge_storage::inside::set_folder(const space_id& id, folder_actor fresh) {
  std::lock_guard lock{mutex};
  spaces[id].folder = std::move(fresh);
}

/// On the store's thread, or before anybody else knows the store.
void bridge_storage::inside::ensure_spaces(node_store& all) {
  if (!links)
    return;
  for (const auto& [id, members] : all.rosters())
    if (!handles().contains(id) && members->version() > 0)
      spawn_space(all, all.share(id));
  for (const auto& held : all.conf()->spaces) {
    auto now = handles();
    if (auto found = now.find(held.id); found != now.end() && !found->second.folder && !held.dir.empty())
      set_folder(held.id, spawn_folder(all, held));
  }
}

void bridge_storage::inside::spawn_space(node_store& all, const std::shared_ptr<space_store>& rows) {
  auto id = rows->id();
  auto members = rows->members();
  auto cluster_role = all.cluster()->members()->role_of(plane->self);
  bool keeper = serves_others(cluster_role) || serves_others(members->role_of(plane->self));
  space_settings wanted;
  wanted.id = id;
  wanted.rules = members;
  wanted.start = start_of(*rows, plane->self, keeper);
  wanted.checkpoint_every = settings.storage_checkpoint_every;
  wanted.active_for = settings.storage_active_for;
  rows->read([&](const read_txn&, space_rows& now) { // a start is no reason to agree anew
    auto every = static_cast<uint64_t>(wanted.checkpoint_every.count());
    auto last = ms_of_hlc(newest_checkpoint(now).floor);
    wanted.checkpoint_at_ms = last > 0 ? last + every : plane->now_ms() + std::min(every, first_checkpoint_ms_max);
  });
  wanted.changed = [this, id](std::shared_ptr<const std::vector<local_id>> lids, bool look) {
    auto now = handles();
    auto found = now.find(id);
    if (found == now.end() || !found->second.folder)
      return;
    caf::anon_send(found->second.folder, changed_nodes{std::move(lids)});
    if (look)
      caf::anon_send(found->second.folder, scan_atom_v);
  };
  wanted.fetch_snapshot = [this, id](const device_key& from) {
    auto now = handles();
    if (auto found = now.find(id); found != now.end())
      snapshots->fetch(id, from, found->second.space);
  };
  wanted.left_behind = [this] { enrol_again(); };
  rows->listen([this, id](const space_change& change) { told(id, change); });
  if (rows->is_left_behind())
    enrol_again();
  wanted.alert = [this, id](notice_code code, std::string words) { notice(id, code, root_lid, std::move(words)); };
  space_handles made;
  made.space = seam.system().spawn(space, plane, std::move(wanted));
  auto content = std::make_shared<space_content>(rows, all.packs());
  if (id != all.conf()->cluster) {
    swarm_settings swarming;
    swarming.id = id;
    swarming.own = rows->own();
    swarming.keeper = keeper;
    swarming.content = content;
    swarming.reuse = std::make_shared<const chunk_reuse>(rows, content, all.packs(), all.places());
    swarming.tell_folder = [this, id](content_here what) {
      if (!what.room)
        content_came(id, what.cid);
      auto now = handles();
      if (auto found = now.find(id); found != now.end() && found->second.folder)
        caf::anon_send(found->second.folder, what);
    };
    swarming.alert = [this, id](notice_code code, std::string words) { notice(id, code, root_lid, std::move(words)); };
    made.swarm = seam.system().spawn(swarm, plane, std::move(swarming));
    all.pin(id, [content] { return content->under_way(); });
  }
  std::lock_guard lock{mutex};
  contents[id] = std::move(content);
  spaces[id] = std::move(made);
}

folder_actor bridge_storage::inside::spawn_folder(node_store& all, const held_space& held) {
  auto now = handles();
  auto members = all.find(held.id)->members();
  folder_settings wanted;
  wanted.id = held.id;
  wanted.dir = held.dir;
  wanted.mode = held.mode;
  wanted.rows = all.share(held.id);
  wanted.content = content_of(held.id);
  wanted.keeper = serves_others(all.cluster()->members()->role_of(plane->self)) || serves_others(members->role_of(plane->self));
  wanted.space = now[held.id].space;
  wanted.swarm = now[held.id].swarm;
  wanted.alert = [this, id = held.id](notice_code code, local_id node, std::string words) { notice(id, code, node, std::move(words)); };
  return seam.system().spawn(folder, plane, std::move(wanted));
}

void bridge_storage::inside::rosters_changed() {
  if (cluster)
    caf::anon_send(cluster, roster_atom_v);
  else
    plane->rosters->publish(std::make_shared<const hot_rosters::table>(disks->rosters()));
}

void bridge_storage::inside::notice(const space_id& id, notice_code code, local_id node, std::string words) {
  auto now = plane->now_ms();
  caf::anon_send(plane->store, make_store_job([id, code, node, words, now](node_store& all) {
    auto* found = all.find(id);
    bool known = found == nullptr;
    if (found != nullptr && code == notice_code::name_unfit) // it is found again by every start
      found->read([&](const read_txn&, space_rows& rows) {
        for (const auto& told : rows.notices(notices_max))
          known = known || (told.code == code && told.node == node && told.arguments == std::vector<std::string>{words});
      });
    if (!known)
      found->write([&](write_txn&, space_rows& rows) { rows.put_notice({hlc_of_ms(now), code, node, {words}}); });
  }));
}

// -- the end -----------------------------------------------------------------------------------------------------------------

void bridge_storage::stop() {
  auto& in = *inside_;
  in.ending = true;
  if (in.links)
    in.links->stop();
  if (in.transfers)
    in.transfers->stop();
  std::map<space_id, space_handles> ended;
  {
    std::lock_guard lock{in.mutex};
    ended.swap(in.spaces);
    in.contents.clear();
    in.files.clear();
  }
  if (in.cluster)
    caf::anon_send_exit(in.cluster, caf::exit_reason::user_shutdown);
  in.cluster = nullptr;
  for (auto& [id, handles] : ended) {
    if (handles.folder)
      caf::anon_send_exit(handles.folder, caf::exit_reason::user_shutdown);
    if (handles.swarm)
      caf::anon_send_exit(handles.swarm, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(handles.space, caf::exit_reason::user_shutdown);
  }
  ended.clear();
  if (!in.plane)
    return;
  in.plane->pool->stop(); // what has begun is finished, with the store still there
  caf::anon_send_exit(in.plane->store, caf::exit_reason::user_shutdown);
  in.plane->store = nullptr;
}

uint64_t bridge_storage::scrub_errors() const {
  return inside_->scrub_errors;
}

std::string bridge_storage::listening() const {
  auto open = inside_->links ? inside_->links->listening() : std::vector<std::string>{};
  return open.empty() ? std::string{} : open.front();
}

// -- calls -------------------------------------------------------------------------------------------------------------------

const storage_call* find_storage_call(std::string_view name) {
  for (const auto* table : {&cluster_calls, &file_calls})
    for (const auto& known : *table)
      if (known.name == name)
        return &known;
  return nullptr;
}

net::asio::awaitable<web::call_answer> bridge_storage::call(std::string name, std::string arguments) {
  auto* known = find_storage_call(name);
  auto parsed = json::parse(arguments, nullptr, false);
  if (known == nullptr)
    co_return answered(call_failure{404, "there is no call " + name, "see `harp --help`"});
  if (!parsed.is_object())
    co_return answered(call_failure{400, "the arguments are not a JSON object", "send one, or {}"});
  if (auto why = inside_->open_store(); !why.empty())
    co_return answered(call_failure{503, why, "mend the cause and try again"});
  if (known->needs_cluster && !inside_->disks->is_member())
    co_return answered(call_failure{409, "this node is in no cluster yet", "run `harp init` to found one, or `harp join TOKEN`"});
  call_result result = call_failure{400, "an argument is missing or of a wrong type", "see `harp --help`"};
  try {
    result = co_await known->run(*inside_, std::move(parsed));
  } catch (const json::exception&) { // an argument of another type than the call takes
  }
  co_return answered(result);
}

net::asio::awaitable<void> bridge_storage::add_status(json& into) {
  auto& in = *inside_;
  into["spaces"] = json::array();
  if (!in.plane || !in.disks->is_member())
    co_return;
  auto known_job = [](node_store& all) {
    json out = json::array();
    for (auto* space : all.spaces()) {
      if (space->own() == 0)
        continue;
      auto* held = all.conf()->find(space->id());
      size_t notices = 0;
      space->read([&](const read_txn&, space_rows& rows) { notices = rows.notices(notices_max).size(); });
      out.push_back({{"name", space->members()->name()},
                     {"id", space->id().to_string()},
                     {"dir", held != nullptr ? held->dir : std::string{}},
                     {"mode", held != nullptr ? std::string{to_string(held->mode)} : std::string{"not held"}},
                     {"role", to_string(space->members()->role_of(space->own()))},
                     {"state_root", space->state_root().to_string()},
                     {"pending", 0},
                     {"notices", notices}});
    }
    return std::tuple{out, all.conf()->cluster, all.conf()->name};
  };
  auto known = co_await in.on_store(std::move(known_job));
  if (auto* failure = std::get_if<call_failure>(&known)) {
    into["storage"] = json{{"error", failure->error}};
    co_return;
  }
  auto& [list, cluster_id, name] = std::get<0>(known);
  auto now = in.handles();
  for (auto& entry : list) {
    auto id = space_id::parse(entry["id"].get<std::string>());
    auto found = now.find(*id);
    if (found == now.end())
      continue;
    auto how = co_await ask<space_report>(in.seam.system(), found->second.space, ask_limit, report_atom_v);
    uint64_t pending = how ? how->behind + (how->idle ? 0 : 1) : 1;
    json items = json::array();
    if (how && how->behind > 0)
      items.push_back({{"item", std::to_string(how->behind) + " bundles of operations"}, {"waits_for", how->peers->empty() ? "a member that is linked" : "members that are linked"}});
    if (found->second.folder) {
      auto folder = co_await ask<folder_report>(in.seam.system(), found->second.folder, ask_limit, report_atom_v);
      pending += folder ? folder->pending : 1;
      std::map<std::string, std::string> reasons;
      if (found->second.swarm) {
        auto waits = co_await ask<swarm_report>(in.seam.system(), found->second.swarm, ask_limit, report_atom_v);
        if (waits) {
          auto members = in.plane->rosters->of(*id);
          for (const auto& line : *waits->waits) {
            auto* peer = members ? members->member(line.peer) : nullptr;
            reasons[line.cid.to_string()] = std::string{to_string(line.reason)} + (peer != nullptr ? ", " + peer->name : "") + ", " + std::to_string(line.bytes_had) + " of " + std::to_string(line.size) + " bytes";
          }
          entry["received_bytes"] = waits->received_bytes;
        }
      }
      if (folder) {
        entry["offline"] = folder->offline;
        entry["held"] = folder->held;
        for (const auto& item : *folder->items) {
          auto waits_for = item.waits_for;
          if (auto at = waits_for.find("content "); at == 0)
            if (auto reason = reasons.find(waits_for.substr(8)); reason != reasons.end())
              waits_for = reason->second;
          items.push_back({{"item", item.path}, {"waits_for", waits_for}});
        }
      }
    }
    entry["pending"] = pending;
    entry["pending_items"] = items;
    entry["damaged"] = in.damaged_in(*id);
  }
  into["spaces"] = std::move(list);
  json peers = json::array();
  if (in.cluster) {
    auto report = co_await ask<peer_report>(in.seam.system(), in.cluster, ask_limit, peers_atom_v);
    auto members = in.plane->rosters->of(cluster_id);
    if (report && members)
      for (const auto& line : *report->lines) {
        auto* member = members->member(members->rid_of(line.device));
        peers.push_back({{"name", member != nullptr ? member->name : std::string{}}, {"device", net::fingerprint_text(line.device)}, {"linked", line.linked}, {"path", line.path}, {"address", line.address}, {"waits_for", line.waiting}});
      }
  }
  into["device"] = {{"name", name}, {"fingerprint", net::fingerprint_text(in.plane->self)}, {"key", in.plane->self.to_string()}};
  into["peers"] = std::move(peers);
}

} // namespace harp
