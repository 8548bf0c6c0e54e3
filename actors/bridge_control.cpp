#include "actors/bridge_control.hpp"

#include "actors/ask.hpp"
#include "actors/docker_call.hpp"
#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "net/log.hpp"
#include "web/admin_gate.hpp"

namespace harp {

namespace {

constexpr std::string_view storage_prefix = "/exapp_storage/";
constexpr std::string_view docker_prefix = "/docker/";

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
      answer_json(out, web::info_json());
    co_return;
  }
  if (target.starts_with(storage_prefix) && is_app_id(target.substr(storage_prefix.size()))) {
    co_await storage_call(head, target.substr(storage_prefix.size()), out);
    co_return;
  }
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
  auto tunnels = seam_.answers().tunnels.read();
  if (*port == engine_port_first && !local_engine_.empty()) {
    auto to = std::make_shared<net::upstream>();
    to->where = net::upstream::kind::unix_socket;
    to->host = local_engine_;
    out.to = std::move(to);
  } else if (auto found = tunnels->find(*port); found != tunnels->end()) {
    out.to = found->second;
  } else {
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
  auto stored = co_await ask<bool>(seam_.system(), seam_.handles().registry, ask_limit, caf::put_atom_v, pushed);
  if (!stored || !*stored)
    answer_text(out, 503, "503 Service Unavailable");
  else
    answer_text(out, 204, {});
}

} // namespace harp
