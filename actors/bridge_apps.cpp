#include "actors/bridge_apps.hpp"

#include "actors/bridge_control.hpp"
#include "actors/client_address.hpp"
#include "actors/decision.hpp"
#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "actors/random_id.hpp"
#include "net/log.hpp"
#include "net/node_upstream.hpp"
#include "storage/digest.hpp"
#include "storage/peer_codec.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

constexpr size_t request_id_bytes = 8;

/// The one place of an app in `of`, or null.
const std::pair<std::string, uint16_t>* announced(const hot_nodes::entry& of,
                                                  const std::string& app_id) {
  auto found = std::find_if(of.apps.begin(), of.apps.end(),
                            [&](const auto& app) { return app.first == app_id; });
  return found == of.apps.end() ? nullptr : &*found;
}

/// Gives back its place among the requests that are served.
class serving_mark {
public:
  explicit serving_mark(std::atomic<size_t>& of)
      : of_(of), before_(of.fetch_add(1, std::memory_order_relaxed)) {}
  serving_mark(const serving_mark&) = delete;
  serving_mark& operator=(const serving_mark&) = delete;
  ~serving_mark() { of_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] bool is_over() const { return before_ >= node_requests_max; }

private:
  std::atomic<size_t>& of_;
  size_t before_;
};

class way_to_app final : public net::node_route {
public:
  way_to_app(const bridge_apps& apps, std::string app_id)
      : apps_(apps), app_id_(std::move(app_id)) {}
  net::asio::awaitable<net::stream_ptr> open(ip_address client) override {
    return apps_.open(app_id_, client);
  }

private:
  const bridge_apps& apps_;
  const std::string app_id_;
};

/// True for an app that requests here would reach: through its tunnel, or where the last connect succeeded.
bool is_attached(const known_app& app, const tunnel_map& running) {
  if (!app.record || app.closed)
    return false;
  bool loopback = is_loopback_host(app.record->host);
  if (loopback && is_engine_port(app.record->port))
    return false;
  if (loopback && is_exapp_port(app.record->port) && running.contains(app.record->port))
    return true;
  return app.direct && app.direct->reached && app.direct->reached->load(std::memory_order_relaxed);
}

} // namespace

ip_address address_of_node(const device_key& device) {
  constexpr size_t network_bytes = 8; // a ban acts on these
  auto digest = blake2b("harp.ban", device.view());
  std::array<uint8_t, 16> bytes{};
  std::copy_n(digest.bytes.begin(), network_bytes, bytes.begin());
  bytes[0] = 0xfc;
  bytes[15] = 1;
  return ip_address::from_bytes(bytes);
}

// -- the cluster ---------------------------------------------------------------------------------------------------------------

struct bridge_apps::way_table {
  std::shared_ptr<const std::vector<hot_nodes::entry>> of;
  struct way {
    std::shared_ptr<const net::upstream> to;
    bool linked = false; // one of its nodes is
  };
  std::unordered_map<std::string, way, text_hash, std::equal_to<>> ways; // by lower-case app id
};

void bridge_apps::enter(membership where) {
  here_ = std::make_shared<const membership>(std::move(where));
}

std::shared_ptr<const bridge_apps::way_table> bridge_apps::ways(const membership& here) const {
  auto nodes = here.nodes->read();
  auto known = ways_.load();
  if (known && known->of == nodes)
    return known;
  auto fresh = std::make_shared<way_table>();
  for (const auto& node : *nodes)
    for (const auto& [app_id, port] : node.apps) {
      auto& way = fresh->ways[app_id];
      way.linked = way.linked || node.linked;
      if (way.to)
        continue;
      auto to = std::make_shared<net::upstream>();
      to->where = net::upstream::kind::node;
      to->host = app_id;
      to->node = std::make_shared<way_to_app>(*this, app_id);
      way.to = std::move(to);
    }
  fresh->of = std::move(nodes);
  ways_ = fresh;
  return fresh;
}

std::shared_ptr<const net::upstream> bridge_apps::find(std::string_view app_id,
                                                       bool only_linked) const {
  auto here = here_.load();
  if (!here)
    return nullptr;
  auto known = ways(*here);
  if (known->ways.empty())
    return nullptr;
  auto found = known->ways.find(lower_app_id(app_id));
  return found == known->ways.end() || (only_linked && !found->second.linked) ? nullptr
                                                                              : found->second.to;
}

// -- entry: streams to others --------------------------------------------------------------------------------------------------

net::asio::awaitable<net::stream_ptr> bridge_apps::open(std::string app_id,
                                                        ip_address client) const {
  auto here = here_.load();
  if (!here)
    co_return nullptr;
  auto members = here->plane->rosters->of(here->cluster);
  auto nodes = here->nodes->read();
  struct choice {
    net::node_link_ptr link;
    uint16_t port = 0;
  };
  std::vector<choice> choices;
  for (const auto& node : *nodes) {
    const auto* app = announced(node, app_id);
    if (app == nullptr || !members || !serves_others(members->role_of(node.device)))
      continue; // the role as of now: it may have been taken since the announcement
    if (auto link = here->links->link_of(node.device); link && link->is_open())
      choices.push_back({std::move(link), app->second});
  }
  std::stable_sort(choices.begin(), choices.end(), [](const choice& a, const choice& b) {
    return a.link->srtt() < b.link->srtt();
  });
  open_message asked{app_id, 0, client, random_hex(request_id_bytes)};
  for (const auto& [link, port] : choices) {
    auto stream = link->open_data();
    if (!stream)
      continue;
    asked.port = port;
    auto head = encode_payload(asked);
    bool sent
        = co_await net::write_frame(*stream, static_cast<uint8_t>(message_type::open), 0, head);
    if (!sent)
      continue;
    net::log(log_level::debug, "HARP-X001", "across", "a request goes to another node",
             {{"app", app_id},
              {"peer", net::fingerprint_text(link->peer())},
              {"request", asked.request_id}});
    co_return stream;
  }
  co_return nullptr;
}

void forward_to_node(const net::request_head& head, const ip_address& client,
                     std::shared_ptr<const net::upstream> to, net::verdict& out) {
  out.what = net::verdict::action::forward;
  out.client = client;
  out.app = to->host;
  out.counted_statuses.reset(); // that node counts
  out.set_fields = "x-forwarded-for: " + client.to_string() + "\r\n";
  out.target = head.path;
  if (head.has_query) {
    out.target += '?';
    out.target += head.query;
  }
  out.to = std::move(to);
}

bool entry_gate::decide_now(const net::request_head& head, const net::connection_facts& from,
                            net::verdict& out) {
  auto client = client_address(head, from.peer, trusted_proxies_);
  out.client = client;
  auto parts = split_app(head.path);
  auto to = parts && lower_app_id(parts->app_id) != control_app_id ? apps_.find(parts->app_id)
                                                                   : nullptr;
  if (to) {
    forward_to_node(head, client, std::move(to),
                    out); // bad paths included: that node counts them against the client
  } else if (head.path == "*") {
    answer_text(out, 503, "503 Service Unavailable (HaRP)");
  } else if (!parts && check_path(head.path) != path_fault::none) {
    out.what = net::verdict::action::drop;
  } else {
    answer_text(out, 404, "404 Not Found");
  }
  return true;
}

// -- announcing: streams of others ----------------------------------------------------------------------------------------------

net::node_origin bridge_apps::judge(const membership& here, const device_key& from,
                                    const open_message& asked) const {
  net::node_origin out;
  out.app_id = lower_app_id(asked.app_id);
  auto members = here.plane->rosters->of(here.cluster);
  auto role = members ? members->role_of(from) : member_role::none;
  out.trusted = serves_others(role) && !asked.client.is_unspecified();
  bool may = role != member_role::none && serves_others(members->role_of(here.plane->self));
  if (!may || !is_app_id(out.app_id) || out.app_id == control_app_id
      || is_engine_port(asked.port)) {
    out.refusal = 404;
    return out;
  }
  auto records = seam_.answers().records.read();
  auto known = records->find(out.app_id);
  if (known == records->end() || !is_attached(known->second, *seam_.answers().tunnels.read()))
    out.refusal = 503; // it was here when this was announced
  return out;
}

net::asio::awaitable<void> bridge_apps::serve(opened_stream opened) {
  auto here = here_.load();
  auto* front = front_.load();
  auto decoded = decode_payload(static_cast<uint8_t>(message_type::open), opened.payload);
  auto* message = std::get_if<peer_message>(&decoded);
  auto* asked = message != nullptr ? std::get_if<open_message>(message) : nullptr;
  if (!here || front == nullptr || asked == nullptr) {
    opened.stream->close(true);
    co_return;
  }
  serving_mark mark{serving_};
  auto device = opened.link->peer();
  auto origin = std::make_shared<net::node_origin>(judge(*here, device, *asked));
  if (mark.is_over() && origin->refusal == 0)
    origin->refusal = 503;
  net::log(origin->refusal == 0 ? log_level::debug : log_level::info, "HARP-X002", "across",
           "another node asks for an app",
           {{"app", origin->app_id},
            {"peer", net::fingerprint_text(device)},
            {"request", asked->request_id},
            {"refused_with", origin->refusal}});
  net::connection_facts facts;
  facts.peer = origin->trusted ? asked->client : address_of_node(device);
  facts.tls = true;
  facts.origin = std::move(origin);
  co_await front->serve(opened.link->home(), std::move(opened.stream), std::move(facts));
}

int refusal_on_stream(const net::request_head& head, const net::node_origin& origin) {
  if (origin.refusal != 0)
    return origin.refusal;
  if (head.has(net::field_id::docker_engine_port))
    return 404; // no engine is behind a node
  auto parts = split_app(head.path);
  bool other = parts && lower_app_id(parts->app_id) != origin.app_id;
  return other ? 404 : 0; // what is no app's path at all is judged, and counted, like any client's
}

bool stream_gate::decide_now(const net::request_head& head, const net::connection_facts& from,
                             net::verdict& out) {
  int status = refusal_on_stream(head, *from.origin);
  if (status == 0)
    return inner_.decide_now(head, from, out);
  out.client = from.peer;
  answer_text(out, status, status == 404 ? "404 Not Found" : "503 Service Unavailable");
  return true;
}

std::vector<node_app> bridge_apps::attached() {
  std::vector<node_app> out;
  std::vector<std::string> unknown;
  auto here = here_.load();
  auto members = here ? here->plane->rosters->of(here->cluster) : nullptr;
  if (!members || front_.load() == nullptr || !serves_others(members->role_of(here->plane->self)))
    return out; // nobody would believe it
  auto running = seam_.answers().tunnels.read();
  auto records = seam_.answers().records.read();
  for (const auto& [app_id, app] : *records)
    if (app_id.size() <= node_app_id_bytes_max && app_id != control_app_id
        && is_attached(app, *running))
      out.push_back({app_id, app.record->port});
  std::sort(out.begin(), out.end(),
            [](const node_app& a, const node_app& b) { return a.id < b.id; });
  for (const auto& [port, to] : *running) { // named by ExApps after themselves
    auto app_id = lower_app_id(to->proxy_name);
    if (is_exapp_port(port) && is_app_id(app_id) && !records->contains(app_id))
      unknown.push_back(std::move(app_id));
  }
  if (!unknown.empty())
    seek_records(unknown);
  return out;
}

void bridge_apps::seek_records(const std::vector<std::string>& app_ids) {
  auto registry = seam_.handles().registry;
  if (!registry)
    return;
  auto now = std::chrono::steady_clock::now();
  std::lock_guard lock{mutex_};
  std::erase_if(sought_, [now](const auto& one) { return now - one.second >= sought_again_after; });
  for (const auto& app_id : app_ids)
    if (sought_.size() < sought_apps_max && sought_.emplace(app_id, now).second)
      caf::anon_send(registry, record_atom_v, app_id);
}

// -- pushed records ----------------------------------------------------------------------------------------------------------------

void bridge_apps::tell_recheck(const std::string& app_id, bool gone) const {
  auto here = here_.load();
  if (!here)
    return;
  auto members = here->plane->rosters->of(here->cluster);
  if (!members)
    return;
  for (
      const auto& node :
      *here->nodes
           ->read()) // one that closed the app announces it no longer, and must hear when it is back
    if (node.linked && serves_others(members->role_of(node.device)))
      here->links->send(node.device, recheck_message{app_id, gone});
}

void bridge_apps::recheck(const device_key& from, const std::string& app_id, bool gone) const {
  auto here = here_.load();
  auto registry = seam_.handles().registry;
  if (!here || !registry || !seam_.answers().records.read()->contains(app_id))
    return;
  auto members = here->plane->rosters->of(here->cluster);
  bool keeper = members && serves_others(members->role_of(from));
  net::log(
      log_level::info, "HARP-X003", "across", "another node tells that an app's record changed",
      {{"app", app_id}, {"peer", net::fingerprint_text(from)}, {"gone", gone}, {"keeper", keeper}});
  if (gone && keeper)
    caf::anon_send(registry, caf::delete_atom_v, app_id);
  else
    caf::anon_send(registry, caf::update_atom_v, app_id, keeper && !gone);
}

} // namespace harp
