#include "actors/bridge_control.hpp"

#include "actors/ask.hpp"
#include "actors/bridge_apps.hpp"
#include "actors/docker_call.hpp"
#include "actors/engines.hpp"
#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "net/log.hpp"
#include "web/admin_gate.hpp"

#include <caf/send.hpp>

#include <fstream>

namespace harp {

namespace {

constexpr std::string_view storage_prefix = "/exapp_storage/";
constexpr std::string_view docker_prefix = "/docker/";
constexpr std::string_view exapp_prefix = "/docker/exapp/";
constexpr std::string_view cluster_prefix = "/k8s/exapp/";

/// A helper call, told apart by its path.
struct helper_path {
  engine_kind kind = engine_kind::docker;
  std::string_view action;
};
std::optional<helper_path> helper_path_of(std::string_view target) {
  if (target.starts_with(exapp_prefix))
    return helper_path{engine_kind::docker, target.substr(exapp_prefix.size())};
  if (target.starts_with(cluster_prefix))
    return helper_path{engine_kind::kubernetes, target.substr(cluster_prefix.size())};
  return std::nullopt;
}

/// The engine that a helper call is for; nothing: its field is no port.
std::optional<uint16_t> engine_of(engine_kind kind, const net::request_head& head) {
  return kind == engine_kind::kubernetes ? std::optional{kubernetes_engine}
                                         : parse_engine_port(head.value(net::field_id::docker_engine_port));
}

void answer_json(net::verdict& out, std::string body) {
  out.what = net::verdict::action::respond;
  out.status = 200;
  out.content_type = "application/json";
  out.body = std::move(body);
}

void answer_html(net::verdict& out, int status, std::string_view text) {
  answer_text(out, status, {});
  out.content_type = "text/html";
  out.fields += "cache-control: no-cache\r\n";
  out.body = "<html><body><h1>" + std::string{text} + "</h1>\n</body></html>\n";
}

void wrong_method(net::verdict& out, std::string_view allowed) {
  answer_text(out, 405, "405 Method Not Allowed");
  out.fields = "allow: " + std::string{allowed} + "\r\n";
}

/// What is uploaded into containers; null unless all of it is there.
std::shared_ptr<const frp_files> read_frp_files(const std::string& directory) {
  auto read = [&directory](const char* name) {
    std::ifstream file{directory + "/" + name, std::ios::binary};
    return std::string{std::istreambuf_iterator<char>{file}, {}};
  };
  auto out = std::make_shared<frp_files>(frp_files{read("ca.crt"), read("client.crt"), read("client.key")});
  return out->ca.empty() || out->certificate.empty() || out->key.empty() ? nullptr : out;
}

bool reads(const net::request_head& head) {
  return head.method == "GET" || head.method == "HEAD";
}

} // namespace

void answer_text(net::verdict& out, int status, std::string_view text) {
  out.what = net::verdict::action::respond;
  out.status = status;
  out.content_type = "text/plain";
  out.fields.clear();
  out.body = text;
  if (status == 503)
    out.fields = "retry-after: 1\r\n";
}

net::asio::awaitable<void> bridge_control::carry_out(const net::request_head& head, std::string_view target,
                                                     net::verdict& out) {
  if (head.has(net::field_id::docker_engine_port) && !target.starts_with(docker_prefix)) {
    engine_call(head, target, out);
    co_return;
  }
  if (target == "/heartbeat" || target == "/info") {
    if (!reads(head))
      wrong_method(out, "GET, HEAD");
    else if (target == "/heartbeat")
      answer_json(out, web::heartbeat_json());
    else
      co_await tell_info(out);
    co_return;
  }
  if (target.starts_with(storage_prefix) && is_app_id(target.substr(storage_prefix.size()))) {
    co_await storage_call(head, target.substr(storage_prefix.size()), out);
    co_return;
  }
  if (helper_path_of(target))
    exapp_call_wanted(head, target, out);
  else
    answer_text(out, 404, "404 Not Found");
}

net::asio::awaitable<void> bridge_control::complete(const net::request_head& head, std::string_view target,
                                                    std::string body, net::verdict& out) {
  auto path = helper_path_of(target);
  if (!path) {
    co_await store_record(target, std::move(body), out);
    co_return;
  }
  auto action = exapp_action_of(path->action, path->kind);
  auto port = engine_of(path->kind, head);
  if (action && port)
    co_await exapp_order(*port, *action, std::move(body), out);
  else
    answer_text(out, 404, "404 Not Found");
}

// -- container engines ---------------------------------------------------------------------------------------------------

void bridge_control::engine_call(const net::request_head& head, std::string_view target, net::verdict& out) {
  auto port = parse_engine_port(head.value(net::field_id::docker_engine_port));
  if (!port)
    return answer_text(out, 503, "503 Service Unavailable (HaRP)");
  auto call = rebuild_docker_call(head.method, target, head.query);
  bool has_body = head.body == net::body_kind::chunked || head.content_length > 0;
  if (!is_engine_port(*port) || !call || has_body) {
    net::log(net::log_level::warn, "HARP-E010", "engine", "a call that is not allowed was refused",
             {{"method", head.method},
              {"port", static_cast<int>(*port)},
              {"cause", !is_engine_port(*port) ? "not an engine's port" : has_body ? "this call takes no body" : "not on the list of allowed calls"},
              {"next", "nothing, unless Nextcloud itself asked: then report it"}});
    net::count(seam_.numbers().engine_calls.at("refused"));
    return answer_html(out, 403, "403 Forbidden");
  }
  out.to = engines_.find(*port);
  if (!out.to) {
    net::count(seam_.numbers().engine_calls.at("no tunnel"));
    return answer_text(out, 503, "503 Service Unavailable: no container engine is connected on this port");
  }
  net::count(seam_.numbers().engine_calls.at("passed"));
  out.what = net::verdict::action::forward;
  out.target = call->target;
  out.set_fields = "host: docker\r\n";
  if (call->method == "POST")
    out.set_fields += "content-length: 0\r\n";
  out.pass_fields = false;
  out.allow_upgrade = false;
  out.app = "app_api";
}

/// Judges what needs no body of a call about an ExApp's container, and asks for its body.
void bridge_control::exapp_call_wanted(const net::request_head& head, std::string_view target, net::verdict& out) {
  auto path = helper_path_of(target);
  auto action = exapp_action_of(path->action, path->kind);
  if (!action)
    return answer_text(out, 404, "404 Not Found");
  if (head.method != "POST")
    return wrong_method(out, "POST");
  auto port = engine_of(path->kind, head);
  if (!port)
    return answer_text(out, 400, "400 Bad Request: docker-engine-port must be 1-65535");
  bool in_cluster = path->kind == engine_kind::kubernetes;
  if (in_cluster && !engines_.has_cluster())
    return answer_text(out, 503, "503 Service Unavailable: Kubernetes is not switched on (HP_K8S_ENABLED)");
  if (!in_cluster && !is_engine_port(*port)) {
    net::log(net::log_level::warn, "HARP-E010", "engine", "a call that is not allowed was refused",
             {{"call", to_string(*action)},
              {"port", unsigned{*port}},
              {"cause", "not an engine's port"},
              {"next", "set the daemon's docker socket port in Nextcloud to 24000-24099"}});
    net::count(seam_.numbers().engine_calls.at("refused"));
    return answer_text(out, 403, "403 Forbidden: engines have ports 24000-24099");
  }
  out.what = net::verdict::action::read_body;
  out.body_bytes_max = *action == exapp_action::install_certificates ? certificates_body_bytes_max : exapp_body_bytes_max;
}

net::asio::awaitable<void> bridge_control::exapp_order(uint16_t port, exapp_action action, std::string body,
                                                       net::verdict& out) {
  auto kind = port == kubernetes_engine ? engine_kind::kubernetes : engine_kind::docker;
  auto parsed = parse_exapp_call(action, body, kind);
  if (auto* error = std::get_if<std::string>(&parsed)) {
    net::count(seam_.numbers().engine_calls.at(std::string{to_string(action)} + ":400"));
    answer_text(out, 400, "400 Bad Request: " + *error);
    co_return;
  }
  engine_order order;
  order.engine = port;
  order.call = std::make_shared<const exapp_call>(std::move(std::get<exapp_call>(parsed)));
  order.files = order.call->install_frp_certificates ? read_frp_files(frp_certs_) : nullptr;
  auto records = seam_.answers().records.read();
  if (auto known = records->find(lower_app_id(order.call->name)); known != records->end() && known->second.record)
    order.app_secret = std::make_shared<const std::string>(known->second.record->token);
  auto limit = engine_call_limit(action, port) + ask_limit;
  auto verdict = co_await ask<engine_verdict>(seam_.system(), seam_.handles().engines, limit, carry_atom_v, order);
  if (!verdict)
    answer_text(out, 503, "503 Service Unavailable: too many calls wait for this engine, or Harp stops");
  else
    answer_text(out, verdict->answer->status, verdict->answer->body);
  if (verdict)
    out.content_type = verdict->answer->content_type;
  if (action == exapp_action::expose && out.status == 200)
    co_await take_over_place(*order.call, out);
  net::count(seam_.numbers().engine_calls.at(std::string{to_string(action)} + ":" + std::to_string(out.status)));
  bool ended = (action == exapp_action::stop || action == exapp_action::remove) && out.status < 300;
  if (ended)
    close_app(*order.call);
}

net::asio::awaitable<void> bridge_control::take_over_place(const exapp_call& call, net::verdict& out) {
  auto app_id = lower_app_id(call.name);
  std::chrono::milliseconds limit = nextcloud_ask_limit + place_limit;
  auto known = co_await ask<record_answer>(seam_.system(), seam_.handles().registry, limit, renew_atom_v, app_id);
  if (!known)
    answer_text(out, 503, "503 Service Unavailable: Nextcloud cannot be asked about this app");
  else if (!known->record)
    answer_text(out, 404, "404 Not Found: Nextcloud does not know this app");
  else
    apps_.tell_recheck(app_id, false);
}

net::asio::awaitable<exapp_answer> bridge_control::ask_cluster(exapp_action action) {
  exapp_call call;
  call.action = action;
  engine_order order;
  order.engine = kubernetes_engine;
  order.call = std::make_shared<const exapp_call>(std::move(call));
  auto limit = engine_call_limit(action, kubernetes_engine) + ask_limit;
  auto verdict = co_await ask<engine_verdict>(seam_.system(), seam_.handles().engines, limit, carry_atom_v, order);
  if (!verdict)
    co_return exapp_answer{503, {}, {}};
  co_return *verdict->answer;
}

net::asio::awaitable<void> bridge_control::tell_info(net::verdict& out) {
  web::cluster_info cluster;
  cluster.enabled = engines_.has_cluster();
  if (cluster.enabled) {
    cluster.api_server = engines_.place(kubernetes_engine);
    auto said = co_await ask_cluster(exapp_action::probe_engine);
    cluster.reachable = said.status == 200;
  }
  answer_json(out, web::info_json(cluster));
}

/// A stopped or removed app is closed even when Nextcloud does not withdraw its record.
void bridge_control::close_app(const exapp_call& call) {
  if (call.role_suffix.empty() && call.instance_id.empty())
    caf::anon_send(seam_.handles().registry, caf::delete_atom_v, lower_app_id(call.name));
}

// -- pushed records --------------------------------------------------------------------------------------------------------

net::asio::awaitable<void> bridge_control::storage_call(const net::request_head& head, std::string_view app_id,
                                                        net::verdict& out) {
  if (head.method == "POST") {
    out.what = net::verdict::action::read_body;
    out.body_bytes_max = storage_body_bytes_max;
    co_return;
  }
  if (head.method != "DELETE") {
    wrong_method(out, "POST, DELETE");
    co_return;
  }
  auto removed = co_await ask<bool>(seam_.system(), seam_.handles().registry, ask_limit, caf::delete_atom_v,
                                    lower_app_id(app_id));
  if (removed)
    apps_.tell_recheck(lower_app_id(app_id), true);
  if (!removed)
    answer_text(out, 503, "503 Service Unavailable");
  else if (*removed)
    answer_text(out, 204, {});
  else
    answer_text(out, 404, "404 Not Found");
}

net::asio::awaitable<void> bridge_control::store_record(std::string_view target, std::string body, net::verdict& out) {
  auto app_id = lower_app_id(target.substr(storage_prefix.size()));
  auto parsed = parse_exapp_record(app_id, body);
  if (auto* error = std::get_if<std::string>(&parsed)) {
    answer_text(out, 400, "400 Bad Request: " + *error);
    co_return;
  }
  record_answer pushed{std::make_shared<const exapp_record>(std::move(std::get<exapp_record>(parsed)))};
  std::chrono::milliseconds limit = engines_.has_cluster() ? ask_limit + place_limit : ask_limit;
  auto stored = co_await ask<bool>(seam_.system(), seam_.handles().registry, limit, caf::put_atom_v, pushed);
  if (!stored || !*stored)
    answer_text(out, 503, "503 Service Unavailable");
  else
    answer_text(out, 204, {});
  if (out.status == 204)
    apps_.tell_recheck(app_id, false);
}

} // namespace harp
