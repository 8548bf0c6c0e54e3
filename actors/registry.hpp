// Which app id and port is served by which tunnel; what Nextcloud says of each ExApp.
#pragma once

#include "actors/call_budget.hpp"
#include "actors/handles.hpp"
#include "actors/hot_answers.hpp"
#include "actors/net_port.hpp"
#include "actors/port_claims.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace harp {

inline constexpr size_t records_max = 10'000;
inline constexpr size_t absent_apps_max = 10'000;
inline constexpr size_t record_lookups_max = 16;          // in flight at Nextcloud
inline constexpr size_t record_lookup_waiters_max = 2'048; // requests behind one look-up
inline constexpr unsigned record_lookups_per_second = 15;
inline constexpr size_t tunnel_sessions_max = 4'096;
inline constexpr std::chrono::milliseconds absent_life{15'000};       // appapi-harp.md 3.1
inline constexpr std::chrono::milliseconds record_fresh_for{300'000}; // then asked again in the background (FS14)
inline constexpr std::chrono::milliseconds registry_tick{1'000};
inline constexpr std::chrono::seconds place_limit{5}; // for the Kubernetes API to say where an app is

struct registry_settings {
  std::string shared_key;
  std::string nextcloud_url;
  bool legacy_key_ports = true;
  bool local_engine = false;
  /// Who knows where apps in Kubernetes are; empty: that backend is off and every record says it itself.
  std::function<engines_actor()> engines;
};

class registry_state {
public:
  static inline const char* name = "harp.registry";
  explicit registry_state(registry_actor::pointer self) : self_(self) {}
  registry_actor::behavior_type start(std::shared_ptr<const registry_settings> settings,
                                      std::shared_ptr<hot_answers> answers, net_port* port);

private:
  using record_ptr = std::shared_ptr<const exapp_record>;
  /// Told the record (null: absent) or, with ok = false, that Nextcloud could not be asked.
  using waiter = std::function<void(bool ok, const record_ptr& record)>;
  struct lookup {
    std::string app_id;
    std::vector<waiter> waiting;
  };
  struct kept_record {
    known_app app;
    int64_t asked_ms = 0;
    uint64_t token = 0; // of the look-up or push it came by: an older one never replaces it
  };
  struct session {
    std::shared_ptr<const net::frp_login> login;
    login_grant grant;
    std::string run_id;
    tunnel_actor handle;
    std::map<std::string, uint16_t> proxies; // name -> port
  };
  struct place {
    uint64_t session = 0;
    std::string proxy;
    bool running = false;
  };

  // records
  caf::result<record_answer> record(const std::string& app_id);
  void look_up(const std::string& app_id, waiter tell);
  bool ask_nextcloud(const std::string& app_id, lookup&& waiting);
  void finish(const fetched& got);
  void conclude(uint64_t token, bool ok, const record_ptr& fresh);
  void store(const std::string& app_id, record_ptr fresh, uint64_t token);
  caf::result<record_answer> renew(const std::string& app_id);
  caf::result<bool> put(const record_answer& pushed);
  bool keep_pushed(const record_ptr& pushed, uint64_t token);
  /// Told the record with the place that the cluster names, or null when it cannot be asked.
  void locate(record_ptr record, std::function<void(const record_ptr&)> tell);
  bool withdraw(const std::string& app_id);
  void ask_again(const std::string& app_id, bool reopen);
  void publish_records();
  void tick();
  // tunnels
  caf::result<std::string> open(const session_opening& opening);
  caf::result<claim_result> claim(const claim_question& question);
  void judge(const claim_question& question, caf::typed_response_promise<claim_result> promise, bool probed_already);
  [[nodiscard]] claim_situation situation(const session& of, uint64_t id, const net::frp_proxy& asked) const;
  void free_dead_holder(uint64_t holder, const claim_question& question,
                        caf::typed_response_promise<claim_result> promise);
  void grant(uint64_t id, session& to, const std::string& proxy, uint16_t port);
  void running(uint64_t id, const std::string& proxy);
  void release(uint64_t id, const std::string& proxy);
  void end_session(uint64_t id, const std::string& reason);
  void forget_session(uint64_t id);
  void publish_tunnels();
  [[nodiscard]] uint16_t free_port() const;
  [[nodiscard]] int64_t now_ms() const;

  registry_actor::pointer self_;
  std::shared_ptr<const registry_settings> settings_;
  std::shared_ptr<hot_answers> answers_;
  net_port* port_ = nullptr;
  call_budget budget_{record_lookups_per_second, record_lookups_per_second};
  uint64_t last_token_ = 0;
  std::unordered_map<uint64_t, lookup> lookups_;
  std::map<std::string, uint64_t> by_app_;
  std::map<std::string, kept_record> records_;
  std::map<std::string, int64_t> absent_; // app id -> until
  bool contact_lost_ = false;
  std::unordered_map<uint64_t, session> sessions_;
  std::map<std::string, uint64_t> by_run_id_;
  std::map<uint16_t, place> ports_;
};

registry_actor::behavior_type registry(registry_actor::stateful_pointer<registry_state> self,
                                       std::shared_ptr<const registry_settings> settings,
                                       std::shared_ptr<hot_answers> answers, net_port* port);

} // namespace harp
