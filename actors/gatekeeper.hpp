// Who is who: the shared key, user info asked of Nextcloud, failures and bans.
#pragma once

#include "actors/ban_list.hpp"
#include "actors/call_budget.hpp"
#include "actors/handles.hpp"
#include "actors/hot_answers.hpp"
#include "actors/net_port.hpp"

#include <caf/response_promise.hpp>
#include <caf/stateful_actor.hpp>

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace harp {

inline constexpr size_t user_lookups_max = 64;            // in flight at Nextcloud
inline constexpr size_t user_lookup_waiters_max = 1024;   // requests behind one look-up
inline constexpr unsigned user_lookups_per_second = 35;   // with the registry's 15: quality.md B03
inline constexpr unsigned user_lookups_per_client_second = 10; // of one address (IPv6: /64) that nobody vouches for
inline constexpr unsigned user_lookups_per_client_burst = 20;
inline constexpr size_t client_budgets_max = 4'096; // then all begin anew
inline constexpr size_t vouched_peers_max = 256;
inline constexpr std::chrono::milliseconds gatekeeper_tick{250};
inline constexpr size_t bans_published_at_once_max = 256; // a larger table is published on the tick

/// What the gatekeeper is told at start; immutable.
struct gatekeeper_settings {
  std::string shared_key;
  std::string nextcloud_url; // without trailing slash
  std::chrono::milliseconds session_lifetime{3000};
  ban_rule bans;
  std::vector<ip_network> trusted_proxies;
};

class gatekeeper_state {
public:
  static inline const char* name = "harp.gatekeeper";
  explicit gatekeeper_state(gatekeeper_actor::pointer self) : self_(self) {}
  gatekeeper_actor::behavior_type start(std::shared_ptr<const gatekeeper_settings> settings,
                                        std::shared_ptr<const tunnel_credentials> credentials,
                                        std::shared_ptr<hot_answers> answers, net_port* port);

private:
  struct lookup {
    credential_hash key{};
    bool may_keep = false;
    std::vector<caf::typed_response_promise<user_answer>> waiting;
  };

  caf::result<user_answer> user(const user_question& question);
  caf::result<login_grant> login(const login_question& question);
  bool fail(const failure& what);
  void vouch(const failure& who);
  uint64_t lift(const std::string& address);
  void finish(const fetched& got);
  void tick();
  void publish_bans();
  [[nodiscard]] bool may_look_up(const ip_address& client);
  [[nodiscard]] bool exempt(const ip_address& client) const;
  [[nodiscard]] int64_t now_ms() const;

  gatekeeper_actor::pointer self_;
  std::shared_ptr<const gatekeeper_settings> settings_;
  std::shared_ptr<const tunnel_credentials> credentials_;
  std::shared_ptr<hot_answers> answers_;
  net_port* port_ = nullptr;
  std::unique_ptr<ban_list> bans_;
  call_budget budget_{user_lookups_per_second, user_lookups_per_second};
  std::unordered_map<ip_address, call_budget> client_budgets_; // by ban key
  uint64_t last_token_ = 0;
  std::unordered_map<uint64_t, lookup> lookups_;
  std::map<credential_hash, uint64_t> by_key_;
  std::unordered_set<ip_address> vouched_;
  bool bans_changed_ = false;
};

gatekeeper_actor::behavior_type gatekeeper(gatekeeper_actor::stateful_pointer<gatekeeper_state> self,
                                           std::shared_ptr<const gatekeeper_settings> settings,
                                           std::shared_ptr<const tunnel_credentials> credentials,
                                           std::shared_ptr<hot_answers> answers, net_port* port);

} // namespace harp
