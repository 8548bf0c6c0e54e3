#include "actors/bridge_links.hpp"

#include "actors/ask.hpp"
#include "actors/bridge_pool.hpp"
#include "net/log.hpp"
#include "storage/digest.hpp"
#include "storage/node_store.hpp"
#include "storage/peer_codec.hpp"

#include <boost/asio/co_spawn.hpp>
#include <caf/send.hpp>

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

std::string short_name(const device_key& device) {
  return net::fingerprint_text(device);
}

void refuse_link(const net::node_link_ptr& link, const std::string& why) {
  net::log(log_level::warn, "HARP-L001", "link", "a link was ended",
           {{"peer", short_name(link->peer())}, {"cause", why}, {"next", "nothing if it stays alone; else update that node or revoke it"}});
  link->close(why);
}

net::lan_tag tag_of_day(const space_id& cluster) {
  auto day = std::chrono::duration_cast<std::chrono::days>(std::chrono::system_clock::now().time_since_epoch()).count();
  return blake2b("harp.lan", std::string{cluster.view()} + std::to_string(day)).bytes;
}

} // namespace

bridge_links::bridge_links(bridge& seam, std::shared_ptr<storage_plane> plane, const space_id& cluster)
  : seam_(seam), plane_(std::move(plane)), cluster_(cluster) {}

bridge_links::~bridge_links() = default;

std::string bridge_links::open(net::node_identity_ptr self, net::node_identity_ptr governor) {
  auto made = net::node_endpoint::make(seam_.loops(), *this, std::move(self), std::move(governor));
  if (auto* why = std::get_if<std::string>(&made))
    return *why;
  endpoint_ = std::get<std::shared_ptr<net::node_endpoint>>(made);
  takers_.try_emplace(message_type::ops, [this](opened_stream opened) { return serve_ops(std::move(opened)); });
  takers_.try_emplace(message_type::relay, [this](opened_stream opened) { return serve_relay(std::move(opened)); });
  return {};
}

std::string bridge_links::listen(const std::vector<web::bind_address>& where, bool lan) {
  for (const auto& address : where)
    if (auto why = endpoint_->listen(address.host, address.port); !why.empty())
      return "nodes: " + why;
  for (const auto& address : endpoint_->listening())
    net::log(log_level::info, "HARP-L002", "link", "listening for nodes", {{"address", address}});
  auto open = endpoint_->listening();
  if (!lan || open.empty())
    return {};
  auto port = net::node_address::parse(open.front());
  return port ? start_lan(port->port) : std::string{};
}

std::string bridge_links::start_lan(uint16_t port) {
  auto& on = seam_.loops().at(0);
  auto cluster = cluster_;
  net::asio::post(on.executor(), [this, &on, port, cluster] {
    auto opened = net::lan_discovery::open(on, {}, [this, cluster](ip_address from, net::lan_hello hello) {
      if (hello.tag != tag_of_day(cluster))
        return;
      auto host = from.is_v4() ? from.to_string() : "[" + from.to_string() + "]";
      if (auto actor = cluster_handle())
        caf::anon_send(actor, lan_note{host + ":" + std::to_string(hello.port)});
    });
    if (auto* why = std::get_if<std::string>(&opened)) {
      net::log(log_level::info, "HARP-L003", "link", "nodes on the same LAN are not found by multicast", {{"cause", *why}});
      return;
    }
    lan_ = std::get<std::shared_ptr<net::lan_discovery>>(opened);
    lan_->announce(net::lan_hello{port, tag_of_day(cluster)});
  });
  return {};
}

void bridge_links::use(cluster_actor cluster, std::function<std::map<space_id, space_handles>()> spaces) {
  std::lock_guard lock{mutex_};
  actor_ = std::move(cluster);
  spaces_ = std::move(spaces);
}

void bridge_links::stop() {
  if (endpoint_)
    endpoint_->stop("this node stops");
  if (lan_)
    net::asio::post(seam_.loops().at(0).executor(), [lan = lan_] { lan->stop(); });
  std::lock_guard lock{mutex_};
  actor_ = nullptr;
  spaces_ = nullptr;
  links_.clear();
}

std::vector<std::string> bridge_links::listening() const {
  return endpoint_ ? endpoint_->listening() : std::vector<std::string>{};
}

cluster_actor bridge_links::cluster_handle() const {
  std::lock_guard lock{mutex_};
  return actor_;
}

net::node_link_ptr bridge_links::link_of(const device_key& device) const {
  std::lock_guard lock{mutex_};
  auto found = links_.find(device);
  return found == links_.end() ? nullptr : found->second.back();
}

bool bridge_links::is_keeper(const device_key& device) const {
  auto members = plane_->rosters->of(cluster_);
  auto role = members ? members->role_of(device) : member_role::none;
  return role == member_role::keeper || role == member_role::admin;
}

// -- net::node_gate ----------------------------------------------------------------------------------------------------------

bool bridge_links::admits(const device_key& device) {
  auto members = plane_->rosters->of(cluster_);
  return members && device != plane_->self && members->role_of(device) != member_role::none && is_in_force(*members, device, plane_->now_ms());
}

void bridge_links::on_link(net::node_link_ptr link) {
  {
    std::lock_guard lock{mutex_};
    if (!actor_)
      return;
    links_[link->peer()].push_back(link);
  }
  const auto& facts = link->facts();
  net::log(log_level::info, "HARP-L004", "link", "linked", {{"peer", short_name(facts.peer)}, {"path", net::to_string(facts.path)}, {"dialled", facts.dialled}});
  auto address = facts.remote.is_unspecified() ? std::string{} : facts.remote.to_string() + ":" + std::to_string(facts.remote_port);
  if (auto actor = cluster_handle())
    caf::anon_send(actor, link_note{facts.peer, facts.id, true, facts.dialled, static_cast<uint8_t>(facts.path), address});
  net::launch(link->home().executor(), read_link(link), "node link");
}

void bridge_links::on_end(net::node_link_ptr link, std::string reason) {
  {
    std::lock_guard lock{mutex_};
    auto found = links_.find(link->peer());
    if (found != links_.end()) {
      std::erase(found->second, link);
      if (found->second.empty())
        links_.erase(found);
    }
  }
  net::log(log_level::info, "HARP-L005", "link", "a link ended", {{"peer", short_name(link->peer())}, {"reason", reason}});
  if (auto actor = cluster_handle())
    caf::anon_send(actor, link_note{link->peer(), link->facts().id, false, link->facts().dialled, static_cast<uint8_t>(link->facts().path), {}});
}

void bridge_links::on_data(net::node_link_ptr link, net::stream_ptr stream) {
  net::launch(link->home().executor(), serve_stream(link, std::move(stream)), "node stream");
}

net::asio::awaitable<std::string> bridge_links::enrol(device_key joiner, std::string payload, ip_address from) {
  auto decoded = decode_payload(static_cast<uint8_t>(message_type::enrol), payload);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* asked = message != nullptr ? std::get_if<enrol_message>(message) : nullptr;
  if (asked == nullptr || asked->device != joiner)
    co_return std::string{}; // not what a joiner sends: closed without a word
  auto answer = std::make_shared<enrol_ack_message>();
  auto now = plane_->now_ms();
  auto addresses = own_addresses();
  auto question = *asked;
  auto job = make_store_job([answer, question, now, addresses](node_store& all) { *answer = all.enrol(question, now, addresses); });
  auto done = co_await ask<bool>(seam_.system(), plane_->store, store_limit, job);
  if (!done) {
    answer->status = enrol_status::busy;
    answer->text = "the governor's disk did not take it; try again";
  }
  net::log(answer->status == enrol_status::done ? log_level::info : log_level::warn, "HARP-J001", "join",
           answer->status == enrol_status::done ? "a device joined" : "a device was not let in",
           {{"device", short_name(joiner)}, {"client", from.to_string()}, {"cause", answer->text}, {"next", answer->status == enrol_status::done ? "" : "make a new invite if it is wanted"}});
  if (auto actor = cluster_handle(); actor && answer->status == enrol_status::done)
    caf::anon_send(actor, roster_atom_v);
  co_return encode_payload(*answer);
}

// -- frames to actors --------------------------------------------------------------------------------------------------------

net::asio::awaitable<void> bridge_links::deliver(peer_note note) {
  cluster_actor actor;
  space_handles handles;
  {
    std::lock_guard lock{mutex_};
    actor = actor_;
    if (spaces_ && !note.space.is_zero()) {
      auto all = spaces_();
      if (auto found = all.find(note.space); found != all.end())
        handles = found->second;
    }
  }
  // Each answer is awaited, so a peer that talks faster than we think waits in its own stream.
  bool content = std::holds_alternative<have_message>(*note.what) || std::holds_alternative<have_delta_message>(*note.what)
                 || std::holds_alternative<safe_message>(*note.what);
  if (content) {
    if (handles.swarm)
      co_await ask<bool>(seam_.system(), handles.swarm, ask_limit, note);
  } else if (!note.space.is_zero() && !std::holds_alternative<roster_message>(*note.what)) {
    if (handles.space)
      co_await ask<bool>(seam_.system(), handles.space, ask_limit, note);
  } else if (actor) {
    co_await ask<bool>(seam_.system(), actor, ask_limit, note);
  }
}

/// False when the link was ended.
net::asio::awaitable<bool> bridge_links::route(net::node_link_ptr link, std::shared_ptr<const peer> judge, uint8_t type, uint8_t flags,
                                               std::shared_ptr<const std::string> payload) {
  peer::judged judged = peer::ignored{};
  if (type == static_cast<uint8_t>(message_type::ops)) {
    auto done_job = [judge, type, flags, payload] { return judge->judge(type, flags, *payload); };
    auto done = co_await in_pool(plane_->pool, std::move(done_job));
    if (!done)
      co_return false;
    judged = std::move(*done);
  } else {
    judged = judge->judge(type, flags, *payload);
  }
  if (auto* broken = std::get_if<peer::broken>(&judged)) {
    refuse_link(link, broken->why);
    co_return false;
  }
  if (auto* ignored = std::get_if<peer::ignored>(&judged)) {
    net::log(log_level::debug, "HARP-L006", "link", "a message was ignored", {{"peer", short_name(link->peer())}, {"type", static_cast<int>(type)}, {"cause", ignored->why}});
    co_return true;
  }
  auto note = std::move(std::get<peer_note>(judged));
  if (auto* ping = std::get_if<ping_message>(note.what.get())) {
    auto now = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    link->send_control(static_cast<uint8_t>(message_type::ping), 0, encode_payload(pong_message{ping->t1, now, now}));
    co_return true;
  }
  if (auto* bye = std::get_if<bye_message>(note.what.get())) {
    link->close("the peer said goodbye: " + bye->reason);
    co_return false;
  }
  co_await deliver(std::move(note));
  co_return true;
}

net::asio::awaitable<void> bridge_links::read_link(net::node_link_ptr link) {
  auto judge = std::make_shared<const peer>(link->peer(), plane_->self, cluster_, plane_->rosters);
  for (;;) {
    auto frame = co_await link->next_frame();
    if (!frame)
      co_return;
    auto payload = std::make_shared<const std::string>(frame->payload.begin(), frame->payload.end());
    bool goes_on = co_await route(link, judge, frame->type, frame->flags, payload);
    if (!goes_on)
      co_return;
  }
}

net::asio::awaitable<void> bridge_links::serve_stream(net::node_link_ptr link, net::stream_ptr stream) {
  net::peer_frame frame;
  auto* raw = stream.get();
  net::deadline limit{link->home(), [raw] { raw->cancel(); }};
  limit.in(stream_head_limit);
  auto status = co_await net::read_frame(*stream, frame);
  limit.off();
  if (status != net::frame_status::ok) {
    stream->close(true);
    co_return;
  }
  auto taker = takers_.find(static_cast<message_type>(frame.type));
  if (taker == takers_.end()) {
    stream->close(true);
    co_return;
  }
  opened_stream opened;
  opened.link = link;
  opened.stream = std::move(stream);
  opened.flags = frame.flags;
  opened.payload.assign(frame.payload.begin(), frame.payload.end());
  co_await taker->second(std::move(opened));
}

/// Bundles too many for the control stream: frames of Ops until the stream ends.
net::asio::awaitable<void> bridge_links::serve_ops(opened_stream opened) {
  auto judge = std::make_shared<const peer>(opened.link->peer(), plane_->self, cluster_, plane_->rosters);
  auto payload = std::make_shared<const std::string>(std::move(opened.payload));
  bool goes_on = co_await route(opened.link, judge, static_cast<uint8_t>(message_type::ops), opened.flags, payload);
  net::peer_frame frame;
  while (goes_on) {
    auto status = co_await net::read_frame(*opened.stream, frame);
    if (status != net::frame_status::ok || frame.type != static_cast<uint8_t>(message_type::ops))
      break;
    payload = std::make_shared<const std::string>(frame.payload.begin(), frame.payload.end());
    goes_on = co_await route(opened.link, judge, frame.type, frame.flags, payload);
  }
}

/// A keeper carries opaque bytes between two members; the far end finds a member's own TLS inside.
net::asio::awaitable<void> bridge_links::serve_relay(opened_stream opened) {
  auto decoded = decode_payload(static_cast<uint8_t>(message_type::relay), opened.payload);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* asked = message != nullptr ? std::get_if<relay_message>(message) : nullptr;
  if (asked == nullptr) {
    refuse_link(opened.link, "a Relay that cannot be read");
    co_return;
  }
  if ((opened.flags & frame_flag_arriving) != 0) {
    if (!is_keeper(opened.link->peer())) {
      opened.stream->close(true);
      co_return;
    }
    auto outcome = co_await endpoint_->accept_relayed(opened.link->home(), std::move(opened.stream), asked->peer);
    if (!outcome.link)
      net::log(log_level::info, "HARP-L007", "link", "a relayed link did not come up", {{"peer", short_name(asked->peer)}, {"cause", outcome.words}});
    co_return;
  }
  auto to = is_keeper(plane_->self) && admits(asked->peer) ? link_of(asked->peer) : nullptr;
  auto onward = to && to->facts().path != net::link_path::relayed ? to->open_data() : nullptr;
  if (!onward) {
    opened.stream->close(true);
    co_return;
  }
  auto head = encode_payload(relay_message{opened.link->peer()});
  bool sent = co_await net::write_frame(*onward, static_cast<uint8_t>(message_type::relay), frame_flag_arriving, head);
  if (!sent)
    co_return;
  co_await net::splice(opened.link->home(), std::move(opened.stream), std::move(onward), {});
}

// -- link_port ---------------------------------------------------------------------------------------------------------------

bool bridge_links::send(const device_key& to, const peer_message& what) {
  auto link = link_of(to);
  if (!link)
    return false;
  auto type = static_cast<uint8_t>(type_of(what));
  auto payload = encode_payload(what);
  if (payload.size() <= net::control_frame_bytes_max)
    return link->send_control(type, 0, payload);
  net::launch(link->home().executor(), send_large(link, type, std::move(payload)), "large message");
  return true;
}

net::asio::awaitable<void> bridge_links::send_large(net::node_link_ptr link, uint8_t type, std::string payload) {
  auto stream = link->open_data();
  if (!stream)
    co_return;
  bool sent = co_await net::write_frame(*stream, type, 0, payload);
  if (sent)
    stream->shutdown_write();
  char end = 0;
  co_await net::read_some(*stream, {&end, 1}); // until the peer has read it
}

void bridge_links::fetch(const device_key& from, const space_id& space, std::shared_ptr<const fetch_request> request, caf::actor answer_to) {
  if (on_fetch)
    on_fetch(from, space, std::move(request), std::move(answer_to));
}

void bridge_links::cancel(const device_key& from, const space_id& space, const fetch_cancel& what) {
  if (on_cancel)
    on_cancel(from, space, what);
}

} // namespace harp
