// Decides about requests of the ExApp listeners: snapshots first, actors when those do not know.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_apps.hpp"
#include "actors/bridge_control.hpp"
#include "actors/decision.hpp"
#include "net/control.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace harp {

struct front_settings {
  std::string shared_key;
  std::vector<ip_network> trusted_proxies;
  std::string frp_certs; // directory of the tunnel certificates that ExApps get
  unsigned expired_session_tenths = 5; // appapi-harp.md FB3
};

class bridge_front : public net::http_gate {
public:
  bridge_front(bridge& seam, front_settings settings, bridge_engines& engines, const bridge_apps& apps);
  bool decide_now(const net::request_head& head, const net::connection_facts& from, net::verdict& out) override;
  net::asio::awaitable<void> decide(const net::request_head& head, const net::connection_facts& from,
                                    net::verdict& out) override;
  net::asio::awaitable<void> complete(const net::request_head& head, const net::connection_facts& from,
                                      std::string body, net::verdict& out) override;
  net::asio::awaitable<void> response_counted(const net::verdict& about) override;
  void malformed(const net::connection_facts& from, std::string_view reason) override;

private:
  struct inquiry; // one request while answers come in
  void fill(const decision& made, const inquiry& about, net::verdict& out);
  void forward(const decision& made, const inquiry& about, net::verdict& out);
  /// True when the app is not served here but announced by another node, to which the request then goes as it came.
  bool elsewhere(const inquiry& about, std::string_view app_id, net::verdict& out) const;
  [[nodiscard]] bool is_attached(const inquiry& about) const;
  [[nodiscard]] ip_address client_of(const net::request_head& head, const net::connection_facts& from) const;
  bool answer_record_now(inquiry& about, const decision& made);
  bool answer_user_now(inquiry& about, const decision& made);
  net::asio::awaitable<void> answer_record(inquiry& about, const decision& made);
  net::asio::awaitable<void> answer_user(inquiry& about, const decision& made);
  [[nodiscard]] bool banned(const ip_address& client) const;
  void vouch(const net::connection_facts& from);
  /// Answers only after the failure counts: the next request meets the ban, and a flood waits for the gatekeeper.
  net::asio::awaitable<void> count_failure(ip_address client, unsigned tenths, const char* reason);

  bridge& seam_;
  const front_settings settings_;
  const bridge_apps& apps_;
  bridge_control control_;
  published<std::unordered_set<ip_address>> vouched_;
  std::atomic<int64_t> users_failed_ms_{-1'000'000}; // when Nextcloud last could not say who somebody is
};

} // namespace harp
