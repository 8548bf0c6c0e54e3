// What the registry knows of ExApps: asked of Nextcloud, pushed, withdrawn, and where the app is when it is in Kubernetes.
#include "actors/engine_port.hpp"
#include "actors/exapp_call.hpp"
#include "actors/registry.hpp"
#include "net/log.hpp"

namespace harp {

using net::log_level;

// -- records -----------------------------------------------------------------------------------------------------------

caf::result<record_answer> registry_state::record(const std::string& app_id) {
  auto promise = self_->make_response_promise<record_answer>();
  look_up(app_id, [promise](bool ok, const record_ptr& found) mutable {
    if (ok)
      promise.deliver(record_answer{found});
    else
      promise.deliver(caf::make_error(ec::unavailable, "Nextcloud cannot be asked about this app"));
  });
  return promise;
}

void registry_state::look_up(const std::string& app_id, waiter tell) {
  if (auto known = records_.find(app_id); known != records_.end() && known->second.app.record)
    return tell(true, known->second.app.record);
  if (auto gone = absent_.find(app_id); gone != absent_.end() && gone->second > now_ms())
    return tell(true, nullptr);
  if (auto asked = by_app_.find(app_id); asked != by_app_.end()) {
    auto& waiting = lookups_.at(asked->second).waiting;
    if (waiting.size() >= record_lookup_waiters_max)
      return tell(false, nullptr);
    waiting.push_back(std::move(tell));
    return;
  }
  lookup fresh{app_id, {}};
  fresh.waiting.push_back(tell);
  if (!ask_nextcloud(app_id, std::move(fresh)))
    tell(false, nullptr);
}

bool registry_state::ask_nextcloud(const std::string& app_id, lookup&& waiting) {
  auto url = net::http_url::parse(settings_->nextcloud_url + "/index.php/apps/app_api/harp/exapp-meta?appId=" + app_id);
  if (!url || lookups_.size() >= record_lookups_max || !budget_.take(now_ms()))
    return false;
  auto request = std::make_shared<net::fetch_request>();
  request->url = *url;
  request->fields.emplace_back("harp-shared-key", settings_->shared_key);
  request->fields.emplace_back("accept", "application/json");
  auto token = ++last_token_;
  lookups_.emplace(token, std::move(waiting));
  by_app_[app_id] = token;
  port_->fetch(std::move(request), token, caf::actor_cast<caf::actor>(self_));
  return true;
}

void registry_state::finish(const fetched& got) {
  auto found = lookups_.find(got.token);
  if (found == lookups_.end())
    return;
  const auto& app_id = found->second.app_id;
  int status = got.answer->status;
  bool ok = status == 401 || status == 404;
  record_ptr fresh;
  std::string trouble = status == 0 ? got.answer->error : "status " + std::to_string(status);
  if (status == 200) {
    auto parsed = parse_exapp_record(app_id, got.answer->body);
    if (auto* error = std::get_if<std::string>(&parsed))
      trouble = *error;
    else
      fresh = std::make_shared<const exapp_record>(std::move(std::get<exapp_record>(parsed)));
    ok = fresh != nullptr;
  }
  answers_->nextcloud_answers = ok;
  if (!ok)
    net::log(log_level::warn, "HARP-B002", "bridge", "Nextcloud could not describe an app",
             {{"app", app_id},
              {"cause", trouble},
              {"next", "see that NC_INSTANCE_URL is reachable from here and not in maintenance mode"}});
  if (ok && contact_lost_) // what was withdrawn meanwhile must not stay open: ask for every record again
    for (auto& [known, kept] : records_)
      kept.asked_ms = 0;
  contact_lost_ = !ok;
  if (!fresh || !settings_->engines)
    return conclude(got.token, ok, fresh);
  locate(fresh, [this, token = got.token](const record_ptr& placed) { conclude(token, placed != nullptr, placed); });
}

void registry_state::conclude(uint64_t token, bool ok, const record_ptr& fresh) {
  auto node = lookups_.extract(token);
  if (!node)
    return;
  auto& done = node.mapped();
  if (auto asked = by_app_.find(done.app_id); asked != by_app_.end() && asked->second == token)
    by_app_.erase(asked);
  if (ok)
    store(done.app_id, fresh, token);
  for (auto& tell : done.waiting)
    tell(ok, fresh);
}

void registry_state::locate(record_ptr record, std::function<void(const record_ptr&)> tell) {
  auto whom = settings_->engines();
  auto failed = [tell, app_id = record->app_id](const std::string& cause) {
    net::log(log_level::warn, "HARP-E030", "engine", "where an app in Kubernetes is cannot be told",
             {{"app", app_id}, {"cause", cause}, {"next", "`harp engine check kubernetes` tells how the cluster is"}});
    tell(nullptr);
  };
  if (!whom)
    return failed("Harp starts or stops");
  exapp_call call;
  call.action = exapp_action::resolve;
  call.name = record->app_id;
  engine_order order;
  order.engine = kubernetes_engine;
  order.call = std::make_shared<const exapp_call>(std::move(call));
  order.app_secret = std::make_shared<const std::string>(record->token);
  auto placed = [record, tell, failed](const engine_verdict& said) {
    if (said.answer->status != 200)
      return failed(said.answer->body);
    if (!said.answer->place)
      return tell(record); // not exposed: where Nextcloud says
    auto moved = std::make_shared<exapp_record>(*record);
    moved->host = said.answer->place->host;
    moved->port = said.answer->place->port;
    tell(std::move(moved));
  };
  self_->request(whom, place_limit, carry_atom_v, order)
    .then(placed, [failed](caf::error& error) { failed(caf::to_string(error)); });
}

/// The place of an app has changed: what is known of it is asked for anew, also while an older question is under way.
caf::result<record_answer> registry_state::renew(const std::string& app_id) {
  auto promise = self_->make_response_promise<record_answer>();
  lookup fresh{app_id, {}};
  fresh.waiting.push_back([promise](bool ok, const record_ptr& found) mutable {
    if (ok)
      promise.deliver(record_answer{found});
    else
      promise.deliver(caf::make_error(ec::unavailable, "this app cannot be asked about"));
  });
  auto tell = fresh.waiting.front();
  if (!ask_nextcloud(app_id, std::move(fresh)))
    tell(false, nullptr);
  return promise;
}

void registry_state::store(const std::string& app_id, record_ptr fresh, uint64_t token) {
  auto known = records_.find(app_id);
  if (known != records_.end() && known->second.token > token)
    return; // something newer was said meanwhile
  if (!fresh) {
    if (absent_.size() >= absent_apps_max)
      absent_.clear();
    absent_[app_id] = now_ms() + absent_life.count();
    if (known == records_.end())
      return;
    records_.erase(known); // Nextcloud no longer knows it
    return publish_records();
  }
  if (known == records_.end() && records_.size() >= records_max)
    return;
  auto& kept = records_[app_id];
  if (!kept.app.record)
    for (const auto& warning : fresh->warnings)
      net::log(log_level::warn, "HARP-B003", "bridge", "route of an app", {{"app", app_id}, {"cause", warning}, {"next", "tell the app's developer"}});
  auto direct = std::make_shared<net::upstream>();
  direct->host = fresh->host;
  direct->port = fresh->port;
  const auto& before = kept.app.direct;
  bool same = before && before->host == direct->host && before->port == direct->port;
  direct->reached = same ? before->reached : std::make_shared<std::atomic<bool>>(false);
  kept.app.direct = std::move(direct);
  kept.app.record = std::move(fresh);
  kept.asked_ms = now_ms();
  kept.token = token;
  publish_records();
}

caf::result<bool> registry_state::put(const record_answer& pushed) {
  auto token = ++last_token_;
  if (!settings_->engines)
    return keep_pushed(pushed.record, token);
  auto promise = self_->make_response_promise<bool>();
  locate(pushed.record, [this, promise, token](const record_ptr& placed) mutable {
    promise.deliver(placed != nullptr && keep_pushed(placed, token));
  });
  return promise;
}

bool registry_state::keep_pushed(const record_ptr& pushed, uint64_t token) {
  const auto& app_id = pushed->app_id;
  absent_.erase(app_id);
  store(app_id, pushed, token);
  auto kept = records_.find(app_id);
  if (kept == records_.end())
    return false; // records_max
  if (kept->second.app.closed) {
    kept->second.app.closed = false;
    publish_records();
  }
  return true;
}

bool registry_state::withdraw(const std::string& app_id) {
  auto known = records_.find(app_id);
  bool was_there = known != records_.end() && !known->second.app.closed;
  if (known == records_.end() && records_.size() >= records_max)
    return false;
  records_[app_id] = kept_record{{nullptr, nullptr, true}, now_ms(), 0};
  absent_.erase(app_id);
  publish_records();
  return was_there;
}

/// Another node was pushed a record of an app that is known here. Until Nextcloud answers, the old one counts.
void registry_state::ask_again(const std::string& app_id, bool reopen) {
  auto known = records_.find(app_id);
  if (known == records_.end())
    return;
  if (reopen && known->second.app.closed) {
    known->second.app.closed = false;
    publish_records();
  }
  absent_.erase(app_id);
  if (!by_app_.contains(app_id) && !ask_nextcloud(app_id, lookup{app_id, {}}))
    known->second.asked_ms = now_ms() - record_fresh_for.count() - 1; // the budget is used up: on a later tick
}

void registry_state::publish_records() {
  record_map table;
  for (const auto& [app_id, kept] : records_)
    table.emplace(app_id, kept.app);
  answers_->records.write(std::move(table));
}

void registry_state::tick() {
  auto now = now_ms();
  std::erase_if(absent_, [now](const auto& one) { return one.second <= now; });
  auto due = now - record_fresh_for.count();
  for (auto& [app_id, kept] : records_) {
    if (!kept.app.record || kept.asked_ms > due || by_app_.contains(app_id))
      continue;
    if (!ask_nextcloud(app_id, lookup{app_id, {}}))
      break; // the budget is used up: the rest on the next tick
    kept.asked_ms = now; // a failed answer is not repeated at once
  }
  self_->delayed_send(self_, registry_tick, caf::tick_atom_v);
}

} // namespace harp
