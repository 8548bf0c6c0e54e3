#include "actors/engines.hpp"

#include "net/log.hpp"

#include <nlohmann/json.hpp>

#include <ctime>

namespace harp {

using net::log_level;

namespace {

constexpr size_t findings_max = 200; // of one engine

/// What a check or a list of apps told, kept for status and `harp engine ls`.
void remember(engine_facts& facts, exapp_action action, const exapp_answer& answer) {
  auto told = answer.status == 200 ? nlohmann::json::parse(answer.body, nullptr, false) : nlohmann::json{};
  if (action == exapp_action::check_engine && told.is_object()) {
    facts.product = told.value("product", "");
    facts.version = told.value("version", "");
    facts.findings.clear();
    for (const auto& [right, word] : told["rights"].items())
      if (word == "forbidden" || word == "granted, but Harp does not need it")
        facts.findings.push_back("right to " + right + ": " + word.get<std::string>());
  }
  if (action != exapp_action::list_apps || !told.is_array())
    return;
  facts.app_findings.clear();
  for (const auto& app : told)
    for (const auto& finding : app["findings"])
      if (facts.app_findings.size() < findings_max)
        facts.app_findings.push_back(app["container"].get<std::string>() + ": " + finding.get<std::string>());
}

} // namespace

engines_actor::behavior_type engines(engines_actor::stateful_pointer<engines_state> self,
                                     std::shared_ptr<const engine_identity> us,
                                     std::shared_ptr<engine_board> board, engine_port* port) {
  return self->state.start(std::move(us), std::move(board), port);
}

std::chrono::milliseconds engine_call_limit(exapp_action action, uint16_t engine) {
  using std::chrono::seconds;
  if (action == exapp_action::probe_engine || action == exapp_action::resolve)
    return seconds{4}; // a caller waits 5 s for /info, a request of a user for its app's place
  if (engine == kubernetes_engine && action == exapp_action::wait_for_start)
    return pod_poll_interval * (image_pull_polls_max + pod_start_polls_max) * 2;
  if (engine == kubernetes_engine && action == exapp_action::expose)
    return seconds{660};
  if (engine == kubernetes_engine && action != exapp_action::check_engine)
    return kubernetes_request_limit;
  switch (action) {
  case exapp_action::exists:
    return seconds{15};
  case exapp_action::create:
    return seconds{60};
  case exapp_action::wait_for_start:
    return seconds{105};
  case exapp_action::install_certificates:
    return seconds{120};
  case exapp_action::check_engine:
    return seconds{10};
  case exapp_action::start:
  case exapp_action::stop:
  case exapp_action::remove:
  case exapp_action::image_remove:
  case exapp_action::list_apps:
  case exapp_action::read_logs:
  case exapp_action::expose:
  case exapp_action::probe_engine:
  case exapp_action::resolve:
    break;
  }
  return seconds{30};
}

engines_actor::behavior_type engines_state::start(std::shared_ptr<const engine_identity> us,
                                                  std::shared_ptr<engine_board> board,
                                                  engine_port* port) {
  us_ = std::move(us);
  board_ = std::move(board);
  port_ = port;
  self_->set_exit_handler([this](caf::exit_msg& message) { end(message.reason); });
  return {
      [this](carry_atom, const engine_order& order) { return carry(order); },
      [this](const engine_told& got) { told(got); },
      [this](pause_atom, uint64_t token) { wake(token); },
      [this](limit_atom, uint64_t token) { late(token); },
  };
}

int64_t engines_state::now_ms() const {
  auto now = self_->clock().now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// -- conversations -----------------------------------------------------------------------------

caf::result<engine_verdict> engines_state::carry(const engine_order& order) {
  if (order.engine == kubernetes_engine && !us_->kubernetes)
    return engine_verdict{std::make_shared<const exapp_answer>(
        text_answer(503, "503 Service Unavailable: Kubernetes is not switched on (HP_K8S_ENABLED)"))};
  auto& engine = engines_[order.engine];
  if (engine.facts.running >= engine_conversations_max
      && engine.waiting.size() >= engine_waiting_max)
    return caf::make_error(ec::busy, "too many calls wait for this engine");
  auto limit = engine_call_limit(order.call->action, order.engine);
  auto token = ++last_token_;
  auto& one = *conversations_.emplace(token, std::make_unique<conversation>()).first->second;
  one.engine = order.engine;
  one.answer = self_->make_response_promise<engine_verdict>();
  one.began_ms = now_ms();
  one.deadline_ms = one.began_ms + limit.count();
  one.job.call = order.call;
  one.job.us = us_;
  one.job.files = order.files;
  one.job.app_secret = order.app_secret ? *order.app_secret : std::string{};
  one.job.adopted = [this, token](const container_facts& found) {
    note_adoption(*conversations_.at(token), found);
  };
  one.job.tell = [call = order.call, port = order.engine](std::string_view what) {
    net::log(log_level::info, "HARP-E021", "engine", what,
             {{"app", call->name}, {"call", to_string(call->action)}, {"engine", unsigned{port}}});
  };
  self_->delayed_send(self_, limit, limit_atom_v, token);
  auto promised = one.answer;
  if (engine.facts.running >= engine_conversations_max)
    engine.waiting.push_back(token);
  else
    begin(token, one);
  publish();
  return promised;
}

void engines_state::begin(uint64_t token, conversation& one) {
  one.running = true;
  ++engines_[one.engine].facts.running;
  one.lines = one.engine == kubernetes_engine ? run_kubernetes(one.job) : run_docker(one.job);
  one.lines.begin();
  advance(token, one);
}

/// Looks at what the script wants next; it may have ended.
void engines_state::advance(uint64_t token, conversation& one) {
  if (one.lines.done()) {
    exapp_answer answer;
    try {
      answer = one.lines.take();
    } catch (const std::exception& surprise) { // memory, or a defect of ours
      answer = text_answer(500, "500 Internal Server Error");
      net::log(log_level::error, "HARP-E029", "engine", "a conversation with an engine broke off",
               {{"cause", surprise.what()}, {"next", "report this line: it is a defect of Harp"}});
    }
    return finish(token, std::move(answer));
  }
  auto wish = one.job.talk.take_wish();
  if (auto* request = std::get_if<engine_request>(&*wish))
    ask(token, one, std::move(*request));
  else
    self_->delayed_send(self_, std::get<std::chrono::milliseconds>(*wish), pause_atom_v, token);
}

void engines_state::ask(uint64_t token, conversation& one, engine_request request) {
  if (engines_[one.engine].api > api_number(engine_api_newest))
    request.target.insert(0, std::string{"/v"} + engine_api_newest);
  auto left = std::max<int64_t>(1, one.deadline_ms - now_ms());
  if (one.engine == kubernetes_engine)
    left = std::min<int64_t>(left, std::chrono::milliseconds{kubernetes_request_limit}.count());
  port_->ask_engine(one.engine, std::make_shared<const engine_request>(std::move(request)),
                    std::chrono::milliseconds{left}, token, caf::actor_cast<caf::actor>(self_));
}

void engines_state::told(const engine_told& got) {
  auto found = conversations_.find(got.token);
  if (found == conversations_.end())
    return; // its time was over
  learn(found->second->engine, *got.reply);
  found->second->job.talk.go_on(*got.reply);
  advance(got.token, *found->second);
}

void engines_state::wake(uint64_t token) {
  auto found = conversations_.find(token);
  if (found == conversations_.end())
    return;
  found->second->job.talk.go_on({});
  advance(token, *found->second);
}

void engines_state::late(uint64_t token) {
  auto found = conversations_.find(token);
  if (found == conversations_.end())
    return;
  bool waited = !found->second->running;
  if (waited)
    std::erase(engines_[found->second->engine].waiting, token);
  finish(token,
         text_answer(504,
                     waited ? "504 Gateway Timeout: the engine is busy with other calls"
                            : "504 Gateway Timeout: the container engine did not finish in time"));
}

void engines_state::finish(uint64_t token, exapp_answer answer) {
  auto node = conversations_.extract(token);
  auto& one = *node.mapped();
  log_end(one, answer);
  auto port = one.engine;
  if (one.running)
    --engines_[port].facts.running;
  remember(engines_[port].facts, one.job.call->action, answer);
  one.answer.deliver(engine_verdict{std::make_shared<const exapp_answer>(std::move(answer))});
  start_next(port);
  publish();
}

void engines_state::start_next(uint16_t port) {
  auto& engine = engines_[port];
  if (engine.waiting.empty() || engine.facts.running >= engine_conversations_max)
    return;
  auto token = engine.waiting.front();
  engine.waiting.pop_front();
  begin(token, *conversations_.at(token));
}

// -- what is known of engines --------------------------------------------------------------------

void engines_state::learn(uint16_t port, const engine_reply& reply) {
  auto& engine = engines_[port];
  bool reached = reply.status != 0;
  auto before = std::exchange(engine.facts.reach,
                              reached ? engine_reach::reachable : engine_reach::unreachable);
  if (!reached) {
    engine.facts.trouble = reply.error;
    if (before != engine_reach::unreachable)
      net::log(log_level::warn, "HARP-E022", "engine", "a container engine cannot be reached",
               {{"engine", unsigned{port}},
                {"cause", reply.error},
                {"next", "see whether it runs, whether Harp may use its socket, or whether its "
                         "tunnel is up: `harp engine check`"}});
    return publish();
  }
  if (before == engine_reach::unreachable)
    net::log(log_level::info, "HARP-E023", "engine", "a container engine is reachable again",
             {{"engine", unsigned{port}}});
  engine.facts.trouble.clear();
  engine.facts.heard_unix_s = std::time(nullptr);
  if (!reply.api_version.empty()) {
    engine.api = api_number(reply.api_version);
    engine.facts.api = reply.api_version;
  }
  if (!reply.server.empty())
    engine.facts.server = reply.server;
}

void engines_state::log_end(const conversation& one, const exapp_answer& answer) const {
  auto took_s = static_cast<double>(now_ms() - one.began_ms) / 1000;
  const auto& call = *one.job.call;
  auto what = call.name.empty() ? call.image_ref : call.name;
  if (answer.status < 400 || answer.status == 404)
    net::log(log_level::info, "HARP-E020", "engine", "call carried out",
             {{"app", what},
              {"call", to_string(call.action)},
              {"engine", unsigned{one.engine}},
              {"status", answer.status},
              {"dur_s", took_s}});
  else
    net::log(log_level::warn, "HARP-E024", "engine", "call not carried out",
             {{"app", what},
              {"call", to_string(call.action)},
              {"engine", unsigned{one.engine}},
              {"status", answer.status},
              {"dur_s", took_s},
              {"cause", answer.body},
              {"next",
               answer.status == 409   ? "remove what is in the way by hand if it is not needed"
               : answer.status == 400 ? "change the app's or the daemon's settings in Nextcloud"
                                      : "try again; `harp engine check` tells how the engine is"}});
}

void engines_state::note_adoption(const conversation& one, const container_facts& found) {
  if (adopted_.size() >= adoptions_noted_max
      || !adopted_.insert(found.id.empty() ? found.name : found.id).second)
    return;
  net::log(log_level::info, "HARP-E025", "engine", "a container made by HaRP was taken over",
           {{"app", one.job.call->name}, {"engine", unsigned{one.engine}}});
}

void engines_state::publish() {
  std::map<uint16_t, engine_facts> all;
  for (const auto& [port, engine] : engines_) {
    auto& facts = all[port] = engine.facts;
    facts.waiting = static_cast<unsigned>(engine.waiting.size());
  }
  board_->engines.write(std::move(all));
}

/// A promise that is dropped leaves its asker waiting: all are told.
void engines_state::end(const caf::error& reason) {
  for (auto& [token, one] : conversations_)
    one->answer.deliver(caf::make_error(ec::unavailable, "Harp stops"));
  conversations_.clear();
  self_->quit(reason);
}

} // namespace harp
