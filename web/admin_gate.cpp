#include "web/admin_gate.hpp"

#include "web/admin_client.hpp"
#include "web/version.hpp"

#include <nlohmann/json.hpp>
#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view hardening = "cache-control: no-store\r\n"
                                       "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
                                       "x-content-type-options: nosniff\r\n"
                                       "x-frame-options: DENY\r\n";

void answer(net::verdict& out, int status, std::string_view type, std::string body) {
  out.what = net::verdict::action::respond;
  out.status = status;
  out.content_type = type;
  out.fields = hardening;
  out.body = std::move(body);
}

void answer_json(net::verdict& out, int status, const json& value) {
  answer(out, status, "application/json", value.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

void answer_error(net::verdict& out, int status, std::string_view cause, std::string_view next) {
  answer_json(out, status, json{{"error", cause}, {"next", next}});
}

bool wrong_method(net::verdict& out, std::string_view allowed) {
  answer_error(out, 405, "this method is not known here", "use one of: " + std::string{allowed});
  out.fields += "allow: " + std::string{allowed} + "\r\n";
  return true;
}

/// The host of a Host or Origin value without port and brackets.
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    return end == authority.npos ? std::string_view{} : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.rfind(':'));
}

/// A name that cannot be rebound to this address: a literal or localhost.
bool is_own_host(std::string_view authority) {
  auto host = host_of(authority);
  return host == "localhost" || ip_address::parse(host).has_value();
}

bool is_read(const net::request_head& head) {
  return head.method == "GET" || head.method == "HEAD";
}

constexpr std::string_view call_prefix = "/api/call/";

/// The value of `name` in a query; values here are hex and digits, so nothing is decoded.
std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return std::string{pair.substr(name.size() + 1)};
  }
  return {};
}

std::optional<uint64_t> query_number(std::string_view query, std::string_view name) {
  auto text = query_value(query, name);
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && !text.empty() && end == text.data() + text.size() ? std::optional{number} : std::nullopt;
}

} // namespace

std::string info_json(const cluster_info& cluster) {
  json kubernetes{{"enabled", cluster.enabled}};
  if (cluster.enabled)
    kubernetes.update(json{{"api_server", cluster.api_server}, {"reachable", cluster.reachable}});
  return json{{"version", version}, {"docker", true}, {"kubernetes", kubernetes}}.dump();
}

std::string heartbeat_json() {
  return R"({"status":"ok"})";
}

// -- admin -----------------------------------------------------------------------------------------------------------------

bool admin_gate::refuse(const net::request_head& head, net::verdict& out) const {
  if (!is_own_host(head.host)) {
    answer_error(out, 421, "this listener serves no such host", "use its IP address or localhost");
    return true;
  }
  auto origin = head.value(net::field_id::origin);
  if (!origin.empty() && origin.substr(origin.find("://") == origin.npos ? 0 : origin.find("://") + 3) != head.host) {
    answer_error(out, 403, "requests from other origins are not answered", "open the console at its own address");
    return true;
  }
  return false;
}

bool admin_gate::health(const net::request_head& head, net::verdict& out) {
  bool live = head.path == "/livez";
  bool numbers = head.path == "/metrics";
  if (!live && !numbers && head.path != "/readyz")
    return false;
  if (!is_read(head))
    return wrong_method(out, "GET, HEAD");
  if (numbers) {
    answer(out, 200, "text/plain; version=0.0.4; charset=utf-8", node_.metrics());
    return true;
  }
  bool good = false;
  json checks;
  if (live)
    good = node_.live();
  else
    checks = node_.readiness(good);
  if (head.query == "verbose" && !live)
    answer_json(out, good ? 200 : 503, json{{"ready", good}, {"checks", checks}});
  else
    answer(out, good ? 200 : 503, "text/plain", good ? "ok\n" : "not ready\n");
  return true;
}

bool admin_gate::decide_now(const net::request_head& head, const net::connection_facts&, net::verdict& out) {
  return refuse(head, out) || health(head, out);
}

bool admin_gate::authorized(const net::request_head& head) const {
  auto given = head.value(net::field_id::authorization);
  constexpr std::string_view scheme = "Bearer ";
  if (!given.starts_with(scheme))
    return false;
  given.remove_prefix(scheme.size());
  return !token_.empty() && given.size() == token_.size() && sodium_memcmp(given.data(), token_.data(), token_.size()) == 0;
}

net::asio::awaitable<void> admin_gate::decide(const net::request_head& head, const net::connection_facts&,
                                              net::verdict& out) {
  if (!head.path.starts_with("/api/")) {
    answer_error(out, 404, "no such page", "see /readyz?verbose, /metrics and /api/status");
    co_return;
  }
  if (!authorized(head)) {
    answer_error(out, 401, "the API needs the token of this node", "send `Authorization: Bearer` with the content of cli.token in the state directory");
    out.fields += "www-authenticate: Bearer\r\n";
    co_return;
  }
  co_await api(head, out);
}

net::asio::awaitable<void> admin_gate::api(const net::request_head& head, net::verdict& out) {
  if (head.path == "/api/bans" || head.path.starts_with("/api/bans/")) {
    co_await bans(head, out);
  } else if (head.path.starts_with(call_prefix) || (head.path == "/api/content" && head.method == "POST")) {
    if (head.method != "POST") {
      wrong_method(out, "POST");
      co_return;
    }
    out.what = net::verdict::action::read_body;
    out.body_bytes_max = call_body_bytes_max;
  } else if (head.path == "/api/content") {
    co_await content(head, out);
  } else if (head.path != "/api/status" && head.path != "/api/config") {
    answer_error(out, 404, "no such call", "known: /api/status, /api/bans, /api/config, /api/call/NAME, /api/content");
  } else if (!is_read(head)) {
    wrong_method(out, "GET, HEAD");
  } else if (head.path == "/api/config") {
    answer_json(out, 200, node_.config());
  } else {
    auto status = co_await node_.status();
    answer_json(out, 200, status);
  }
}

net::asio::awaitable<void> admin_gate::bans(const net::request_head& head, net::verdict& out) {
  bool one = head.path.size() > std::string_view{"/api/bans/"}.size();
  if (!one && is_read(head)) {
    auto list = co_await node_.bans();
    if (list)
      answer_json(out, 200, json{{"bans", *list}});
    else
      answer_error(out, 503, "the gatekeeper does not answer", "try again");
    co_return;
  }
  if (head.method != "DELETE") {
    wrong_method(out, one ? "DELETE" : "GET, HEAD, DELETE");
    co_return;
  }
  std::string address = one ? std::string{head.path.substr(std::string_view{"/api/bans/"}.size())} : std::string{};
  if (one && !ip_address::parse(address)) {
    answer_error(out, 400, "not an IP address", "give the address as `harp bans ls` shows it");
    co_return;
  }
  auto lifted = co_await node_.lift(std::move(address));
  if (!lifted)
    answer_error(out, 503, "the gatekeeper does not answer", "try again");
  else if (one && *lifted == 0)
    answer_error(out, 404, "this address is not banned", "see `harp bans ls`");
  else
    answer_json(out, 200, json{{"lifted", *lifted}});
}

net::asio::awaitable<void> admin_gate::content(const net::request_head& head, net::verdict& out) {
  auto offset = query_number(head.query, "offset");
  auto length = query_number(head.query, "length");
  if (!is_read(head)) {
    wrong_method(out, "GET, HEAD, POST");
    co_return;
  }
  if (!offset || !length || *length == 0 || *length > content_piece_bytes) {
    answer_error(out, 400, "offset or length is missing or out of range", "ask for at most 1 MiB at a time");
    co_return;
  }
  auto done = co_await node_.read_content(query_value(head.query, "handle"), *offset, *length);
  answer(out, done.status, done.raw ? "application/octet-stream" : "application/json", std::move(done.body));
}

net::asio::awaitable<void> admin_gate::complete(const net::request_head& head, const net::connection_facts&, std::string body,
                                                net::verdict& out) {
  call_answer done;
  if (head.path.starts_with(call_prefix)) {
    done = co_await node_.call(std::string{head.path.substr(call_prefix.size())}, std::move(body));
  } else {
    auto offset = query_number(head.query, "offset");
    if (!offset) {
      answer_error(out, 400, "the offset is missing", "say where the bytes belong");
      co_return;
    }
    done = co_await node_.write_content(query_value(head.query, "handle"), *offset, std::move(body));
  }
  answer(out, done.status, "application/json", std::move(done.body));
}

// -- 8200 ------------------------------------------------------------------------------------------------------------------

bool heartbeat_gate::decide_now(const net::request_head& head, const net::connection_facts&, net::verdict& out) {
  bool known = head.path == "/heartbeat" || head.path == "/info";
  if (!known)
    answer(out, 404, "text/plain", "404 Not Found");
  else if (!is_read(head))
    answer(out, 405, "text/plain", "405 Method Not Allowed");
  else
    answer(out, 200, "application/json", head.path == "/info" ? info_json() : heartbeat_json());
  return true;
}

net::asio::awaitable<void> heartbeat_gate::decide(const net::request_head&, const net::connection_facts&, net::verdict&) {
  co_return; // decide_now() always knows
}

net::asio::awaitable<void> heartbeat_gate::complete(const net::request_head&, const net::connection_facts&, std::string,
                                                    net::verdict& out) {
  answer(out, 400, "text/plain", "400 Bad Request");
  co_return;
}

} // namespace harp::web
