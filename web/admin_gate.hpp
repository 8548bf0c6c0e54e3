// The console's listener: health, metrics, and the API that the CLI and the console share.
#pragma once

#include "net/control.hpp"
#include "web/admin.hpp"

#include <string>

namespace harp::web {

/// Answers requests on the loopback listener. Everything under /api/ needs the bearer token; requests for another host
/// name or from another origin are refused (quality.md A01).
class admin_gate : public net::http_gate {
public:
  admin_gate(admin& node, std::string token) : node_(node), token_(std::move(token)) {}
  bool decide_now(const net::request_head& head, const net::connection_facts& from, net::verdict& out) override;
  net::asio::awaitable<void> decide(const net::request_head& head, const net::connection_facts& from,
                                    net::verdict& out) override;
  net::asio::awaitable<void> complete(const net::request_head& head, const net::connection_facts& from,
                                      std::string body, net::verdict& out) override;
  net::asio::awaitable<void> response_counted(const net::verdict&) override { co_return; }
  void malformed(const net::connection_facts&, std::string_view) override {}

private:
  bool refuse(const net::request_head& head, net::verdict& out) const;
  bool health(const net::request_head& head, net::verdict& out);
  net::asio::awaitable<void> api(const net::request_head& head, net::verdict& out);
  net::asio::awaitable<void> bans(const net::request_head& head, net::verdict& out);
  net::asio::awaitable<void> content(const net::request_head& head, net::verdict& out);
  [[nodiscard]] bool authorized(const net::request_head& head) const;

  admin& node_;
  const std::string token_; // secret
};

/// HaRP's old health address (8200): GET /heartbeat and /info, nothing else.
class heartbeat_gate : public net::http_gate {
public:
  bool decide_now(const net::request_head& head, const net::connection_facts& from, net::verdict& out) override;
  net::asio::awaitable<void> decide(const net::request_head& head, const net::connection_facts& from,
                                    net::verdict& out) override;
  net::asio::awaitable<void> complete(const net::request_head& head, const net::connection_facts& from,
                                      std::string body, net::verdict& out) override;
  net::asio::awaitable<void> response_counted(const net::verdict&) override { co_return; }
  void malformed(const net::connection_facts&, std::string_view) override {}
};

/// What /info says of the Kubernetes backend.
struct cluster_info {
  bool enabled = false;
  std::string api_server;
  bool reachable = false;
};
/// The body of GET /info: AppAPI compares `version` (appapi-harp.md 4.3).
std::string info_json(const cluster_info& cluster = {});
/// The body of GET /heartbeat.
std::string heartbeat_json();

} // namespace harp::web
