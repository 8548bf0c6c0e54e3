#include "actors/registry.hpp"

#include "actors/path_check.hpp"
#include "actors/random_id.hpp"
#include "actors/tunnel.hpp"
#include "net/log.hpp"

#include <algorithm>

namespace harp {

using net::log_level;

namespace {

constexpr size_t fresh_run_id_bytes = 8; // 16 hex digits, as stock (frp.md 3)

} // namespace

registry_actor::behavior_type registry(registry_actor::stateful_pointer<registry_state> self,
                                       std::shared_ptr<const registry_settings> settings,
                                       std::shared_ptr<hot_answers> answers, net_port* port) {
  return self->state.start(std::move(settings), std::move(answers), port);
}

registry_actor::behavior_type registry_state::start(std::shared_ptr<const registry_settings> settings,
                                                    std::shared_ptr<hot_answers> answers, net_port* port) {
  settings_ = std::move(settings);
  answers_ = std::move(answers);
  port_ = port;
  answers_->records.write({});
  answers_->tunnels.write({});
  self_->delayed_send(self_, registry_tick, caf::tick_atom_v);
  return {
    [this](record_atom, const std::string& app_id) { return record(app_id); },
    [this](renew_atom, const std::string& app_id) { return renew(app_id); },
    [this](caf::put_atom, const record_answer& pushed) { return put(pushed); },
    [this](caf::delete_atom, const std::string& app_id) { return withdraw(app_id); },
    [this](caf::update_atom, const std::string& app_id, bool reopen) { ask_again(app_id, reopen); },
    [this](open_atom, const session_opening& opening) { return open(opening); },
    [this](claim_atom, const claim_question& question) { return claim(question); },
    [this](running_atom, uint64_t id, const std::string& proxy) { running(id, proxy); },
    [this](release_atom, uint64_t id, const std::string& proxy) { release(id, proxy); },
    [this](closed_atom, uint64_t id, const std::string&) { forget_session(id); },
    [this](const fetched& got) { finish(got); },
    [this](caf::tick_atom) { tick(); },
  };
}

int64_t registry_state::now_ms() const {
  auto now = self_->clock().now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// -- tunnels -------------------------------------------------------------------------------------------------------------

namespace {

bool same_grant(const login_grant& a, const login_grant& b) {
  if (a.credential.has_value() != b.credential.has_value())
    return false;
  return !a.credential || (a.credential->app_id == b.credential->app_id && a.credential->port == b.credential->port);
}

} // namespace

caf::result<std::string> registry_state::open(const session_opening& opening) {
  auto id = opening.login->session;
  auto run_id = opening.login->run_id;
  if (!run_id.empty()) {
    auto old = by_run_id_.find(run_id);
    if (old != by_run_id_.end() && same_grant(sessions_.at(old->second).grant, opening.grant))
      end_session(old->second, "replaced by a newer login");
    else if (old != by_run_id_.end())
      run_id.clear(); // somebody else's
  }
  if (sessions_.size() >= tunnel_sessions_max)
    return caf::make_error(ec::busy, "too many tunnel sessions");
  if (run_id.empty())
    run_id = random_hex(fresh_run_id_bytes);
  auto& made = sessions_[id];
  made.login = opening.login;
  made.grant = opening.grant;
  made.run_id = run_id;
  made.handle = self_->spawn(tunnel, id, port_);
  by_run_id_[run_id] = id;
  return run_id;
}

uint16_t registry_state::free_port() const {
  for (uint16_t port = exapp_port_last; port >= exapp_port_first; --port) {
    bool named = std::any_of(records_.begin(), records_.end(), [port](const auto& one) {
      return one.second.app.record && one.second.app.record->port == port;
    });
    if (!ports_.contains(port) && !named)
      return port;
  }
  return 0;
}

claim_situation registry_state::situation(const session& of, uint64_t id, const net::frp_proxy& asked) const {
  claim_situation now;
  now.legacy_key_ports = settings_->legacy_key_ports;
  now.local_engine = settings_->local_engine;
  now.session_ports = static_cast<unsigned>(of.proxies.size());
  if (auto own = of.proxies.find(asked.name); own != of.proxies.end())
    now.session_name_port = own->second;
  if (auto known = records_.find(lower_app_id(asked.name)); known != records_.end() && known->second.app.record)
    now.record_port = known->second.app.record->port;
  if (asked.remote_port == 0)
    now.free_port = free_port();
  auto port = claimed_port(of.grant.credential, asked.remote_port, now);
  for (const auto& [taken, by] : ports_) {
    if (by.session == id)
      continue;
    now.port_taken = now.port_taken || taken == port;
    now.name_taken = now.name_taken || by.proxy == asked.name;
  }
  return now;
}

caf::result<claim_result> registry_state::claim(const claim_question& question) {
  auto promise = self_->make_response_promise<claim_result>();
  if (settings_->legacy_key_ports || !is_app_id(question.proxy->name)) {
    judge(question, promise, false);
    return promise;
  }
  look_up(lower_app_id(question.proxy->name), [this, question, promise](bool, const record_ptr&) {
    judge(question, promise, false);
  });
  return promise;
}

void registry_state::judge(const claim_question& question, caf::typed_response_promise<claim_result> promise,
                           bool probed_already) {
  auto found = sessions_.find(question.session);
  if (found == sessions_.end()) {
    promise.deliver(caf::make_error(ec::no_tunnel, "the session has ended"));
    return;
  }
  const auto& asked = *question.proxy;
  auto now = situation(found->second, question.session, asked);
  auto answer = judge_claim(found->second.grant.credential, asked.name, asked.remote_port, now);
  if (answer.outcome == claim_outcome::conflict && !probed_already) {
    for (const auto& [port, by] : ports_)
      if (by.session != question.session && (port == answer.port || by.proxy == asked.name))
        return free_dead_holder(by.session, question, promise);
  }
  if (answer.outcome == claim_outcome::granted) {
    grant(question.session, found->second, asked.name, answer.port);
    promise.deliver(claim_result{{}, answer.port});
    return;
  }
  net::log(log_level::warn, "HARP-T014", "tunnel", "proxy refused",
           {{"client", found->second.login->peer.to_string()},
            {"app", asked.name},
            {"port", static_cast<int>(asked.remote_port)},
            {"cause", answer.error},
            {"next", "the client repeats its wish every 30 s; mend its configuration or end the other holder"}});
  promise.deliver(claim_result{answer.error, 0});
}

/// A name or port held by a session that no longer answers is freed; one held by a live session is not taken.
void registry_state::free_dead_holder(uint64_t holder, const claim_question& question,
                                      caf::typed_response_promise<claim_result> promise) {
  auto again = [this, holder, question, promise](bool alive) {
    if (!alive)
      end_session(holder, "did not answer while another client claimed its port");
    judge(question, promise, alive);
  };
  self_->request(sessions_.at(holder).handle, std::chrono::seconds{3}, alive_atom_v)
    .then([again](bool alive) { again(alive); }, [again](caf::error&) { again(false); });
}

void registry_state::grant(uint64_t id, session& to, const std::string& proxy, uint16_t port) {
  to.proxies[proxy] = port;
  auto& held = ports_[port];
  held.session = id;
  held.proxy = proxy;
}

void registry_state::running(uint64_t id, const std::string& proxy) {
  auto found = sessions_.find(id);
  if (found == sessions_.end() || !found->second.proxies.contains(proxy))
    return;
  ports_[found->second.proxies[proxy]].running = true;
  publish_tunnels();
}

void registry_state::release(uint64_t id, const std::string& proxy) {
  auto found = sessions_.find(id);
  if (found == sessions_.end())
    return;
  auto held = found->second.proxies.find(proxy);
  if (held == found->second.proxies.end())
    return;
  ports_.erase(held->second);
  found->second.proxies.erase(held);
  publish_tunnels();
}

void registry_state::end_session(uint64_t id, const std::string& reason) {
  auto found = sessions_.find(id);
  if (found == sessions_.end())
    return;
  self_->send(found->second.handle, end_atom_v, reason);
  forget_session(id);
}

void registry_state::forget_session(uint64_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end())
    return;
  if (auto known = by_run_id_.find(found->second.run_id); known != by_run_id_.end() && known->second == id)
    by_run_id_.erase(known);
  bool served = !found->second.proxies.empty();
  for (const auto& [proxy, port] : found->second.proxies)
    ports_.erase(port);
  sessions_.erase(found); // the tunnel actor ends with its last handle
  if (served)
    publish_tunnels();
}

void registry_state::publish_tunnels() {
  tunnel_map table;
  for (const auto& [port, held] : ports_) {
    if (!held.running)
      continue;
    auto to = std::make_shared<net::upstream>();
    to->where = net::upstream::kind::tunnel;
    to->host = held.proxy;
    to->port = port;
    to->tunnel = held.session;
    to->proxy_name = held.proxy;
    table.emplace(port, std::move(to));
  }
  answers_->tunnels.write(std::move(table));
}

} // namespace harp
