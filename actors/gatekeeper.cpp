#include "actors/gatekeeper.hpp"

#include "actors/client_address.hpp"
#include "net/log.hpp"

#include <caf/typed_response_promise.hpp>

#include <chrono>

namespace harp {

using net::log_level;

gatekeeper_actor::behavior_type gatekeeper(gatekeeper_actor::stateful_pointer<gatekeeper_state> self,
                                           std::shared_ptr<const gatekeeper_settings> settings,
                                           std::shared_ptr<const tunnel_credentials> credentials,
                                           std::shared_ptr<hot_answers> answers, net_port* port) {
  return self->state.start(std::move(settings), std::move(credentials), std::move(answers), port);
}

gatekeeper_actor::behavior_type gatekeeper_state::start(std::shared_ptr<const gatekeeper_settings> settings,
                                                        std::shared_ptr<const tunnel_credentials> credentials,
                                                        std::shared_ptr<hot_answers> answers, net_port* port) {
  settings_ = std::move(settings);
  credentials_ = std::move(credentials);
  answers_ = std::move(answers);
  port_ = port;
  bans_ = std::make_unique<ban_list>(settings_->bans);
  answers_->bans.write({});
  answers_->users.clear();
  self_->delayed_send(self_, gatekeeper_tick, caf::tick_atom_v);
  return {
    [this](user_atom, const user_question& question) { return user(question); },
    [this](login_atom, const login_question& question) { return login(question); },
    [this](fail_atom, const failure& what) { return fail(what); },
    [this](vouch_atom, const failure& who) { vouch(who); },
    [this](bans_atom) { return ban_report{bans_->list(now_ms())}; },
    [this](lift_atom, const std::string& address) { return lift(address); },
    [this](const fetched& got) { finish(got); },
    [this](caf::tick_atom) { tick(); },
  };
}

int64_t gatekeeper_state::now_ms() const {
  auto now = self_->clock().now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// -- user info -------------------------------------------------------------------------------------------------------

caf::result<user_answer> gatekeeper_state::user(const user_question& question) {
  const auto& asked = *question.data;
  if (asked.may_keep) {
    if (auto hit = answers_->users.find(asked.key, now_ms()))
      return user_answer{hit->user};
  }
  // A promise, once made, is the only way to answer: errors come before it.
  if (auto known = by_key_.find(asked.key); known != by_key_.end()) {
    auto& waiting = lookups_.at(known->second).waiting;
    if (waiting.size() >= user_lookup_waiters_max)
      return caf::make_error(ec::busy, "too many requests wait for this user");
    auto promise = self_->make_response_promise<user_answer>();
    waiting.push_back(promise);
    return promise;
  }
  if (lookups_.size() >= user_lookups_max || !may_look_up(asked.client) || !budget_.take(now_ms()))
    return caf::make_error(ec::busy, "too many user look-ups at Nextcloud");
  auto request = std::make_shared<net::fetch_request>();
  auto url = net::http_url::parse(settings_->nextcloud_url + "/index.php/apps/app_api/harp/user-info?appId="
                                  + asked.app_id);
  if (!url)
    return caf::make_error(ec::unavailable, "NC_INSTANCE_URL cannot be used");
  request->url = *url;
  request->follow_redirects = false;
  request->fields = asked.fields;
  request->fields.emplace_back("harp-shared-key", settings_->shared_key);
  auto promise = self_->make_response_promise<user_answer>();
  auto token = ++last_token_;
  auto& fresh = lookups_[token];
  fresh.key = asked.key;
  fresh.may_keep = asked.may_keep;
  fresh.waiting.push_back(promise);
  by_key_.emplace(asked.key, token);
  port_->fetch(std::move(request), token, caf::actor_cast<caf::actor>(self_));
  return promise;
}

/// One stranger with ever new cookies must not use up what all share.
bool gatekeeper_state::may_look_up(const ip_address& client) {
  if (exempt(client))
    return true;
  if (client_budgets_.size() >= client_budgets_max)
    client_budgets_.clear();
  auto [own, fresh] = client_budgets_.try_emplace(client.ban_key(), user_lookups_per_client_second, user_lookups_per_client_burst);
  return own->second.take(now_ms());
}

void gatekeeper_state::finish(const fetched& got) {
  auto found = lookups_.find(got.token);
  if (found == lookups_.end())
    return;
  auto done = std::move(found->second);
  lookups_.erase(found);
  by_key_.erase(done.key);
  int status = got.answer->status;
  user_answer answer;
  std::string trouble;
  if (status == 200) {
    auto parsed = parse_user_info(got.answer->body);
    if (auto* error = std::get_if<std::string>(&parsed))
      trouble = *error;
    else
      answer.user = std::make_shared<const user_info>(std::move(std::get<user_info>(parsed)));
  } else if (status >= 300 && status < 400 && got.answer->location.find("/apps/app_api/harp/user-info") != std::string::npos) {
    // Nextcloud sends a session without its SameSite cookies back to the same page: nobody is logged in
  } else if (status < 400 || status >= 500) {
    trouble = status == 0 ? got.answer->error : "status " + std::to_string(status);
  }
  answers_->nextcloud_answers = trouble.empty();
  if (!trouble.empty()) {
    net::log(log_level::warn, "HARP-B001", "bridge", "Nextcloud could not say who the user is",
             {{"cause", trouble}, {"next", "see that NC_INSTANCE_URL is reachable from here and not in maintenance mode"}});
    for (auto& promise : done.waiting)
      promise.deliver(caf::make_error(ec::unavailable, trouble));
    return;
  }
  if (done.may_keep && answer.user)
    answers_->users.put(done.key, answer.user, now_ms() + settings_->session_lifetime.count(), now_ms());
  for (auto& promise : done.waiting)
    promise.deliver(answer);
}

// -- logins and failures -------------------------------------------------------------------------------------------------

caf::result<login_grant> gatekeeper_state::login(const login_question& question) {
  const auto& asked = *question.login;
  if (same_secret(asked.token, settings_->shared_key))
    return login_grant{};
  if (auto credential = credentials_->verify(asked.token))
    return login_grant{std::move(credential)};
  if (bans_->banned(asked.peer, now_ms()))
    return caf::make_error(ec::banned, "banned");
  if (!asked.has_token)
    return caf::make_error(ec::bad_key, "login refused: metadatas.token is missing");
  fail({asked.peer, failure_whole_tenths, "tunnel login with a wrong token"});
  return caf::make_error(ec::bad_key, "login refused: metadatas.token is wrong");
}

bool gatekeeper_state::exempt(const ip_address& client) const {
  return is_trusted_proxy(client, settings_->trusted_proxies) || vouched_.contains(client);
}

bool gatekeeper_state::fail(const failure& what) {
  if (exempt(what.client)) {
    net::log(log_level::warn, "HARP-F020", "front", "failures arrive from a proxy or from Nextcloud itself; nobody is banned",
             {{"client", what.client.to_string()},
              {"cause", what.reason},
              {"next", "list the proxy in HP_TRUSTED_PROXY_IPS and let it send X-Forwarded-For"}});
    return false;
  }
  bool began = bans_->fail(what.client, now_ms(), what.tenths, what.reason);
  net::log(log_level::warn, "HARP-F021", "front", began ? "client banned" : "failure counted",
           {{"client", what.client.to_string()},
            {"cause", what.reason},
            {"next", began ? "`harp bans lift ADDRESS` ends the ban at once" : "nothing: repeated failures ban the client"}});
  if (!began)
    return false;
  bans_changed_ = true;
  if (answers_->bans.read()->size() < bans_published_at_once_max)
    publish_bans();
  return true;
}

void gatekeeper_state::vouch(const failure& who) {
  if (vouched_.size() >= vouched_peers_max)
    vouched_.clear();
  if (vouched_.insert(who.client).second && bans_->lift(who.client))
    publish_bans();
}

uint64_t gatekeeper_state::lift(const std::string& address) {
  uint64_t lifted = 0;
  if (address.empty())
    lifted = bans_->lift_all(now_ms());
  else if (auto parsed = ip_address::parse(address.substr(0, address.find('/'))))
    lifted = bans_->lift(*parsed) ? 1 : 0;
  publish_bans();
  return lifted;
}

void gatekeeper_state::publish_bans() {
  ban_map table;
  for (const auto& entry : bans_->list(now_ms()))
    table.emplace(entry.key, entry.until_ms);
  answers_->bans.write(std::move(table));
  bans_changed_ = false;
}

void gatekeeper_state::tick() {
  if (bans_changed_)
    publish_bans();
  self_->delayed_send(self_, gatekeeper_tick, caf::tick_atom_v);
}

} // namespace harp
