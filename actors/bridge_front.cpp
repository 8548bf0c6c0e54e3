#include "actors/bridge_front.hpp"

#include "actors/ask.hpp"
#include "actors/client_address.hpp"
#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "net/log.hpp"

#include <caf/send.hpp>

#include <chrono>

namespace harp {

namespace {

constexpr size_t vouched_max = vouched_peers_max;
constexpr std::chrono::milliseconds public_user_limit{2'000}; // a PUBLIC route goes on without knowing the user
constexpr int64_t public_user_pause_ms = 5'000;               // and does not even ask so soon after a failure
constexpr int decision_rounds_max = 8; // record and user, each found at once or asked; more would be a loop

int64_t steady_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// Lower-cases into a buffer of the caller: the key of the record table without an allocation.
std::string_view lowered(std::string_view app_id, std::array<char, app_id_bytes_max>& space) {
  size_t bytes = std::min(app_id.size(), space.size());
  for (size_t i = 0; i < bytes; ++i) {
    char c = app_id[i];
    space[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return {space.data(), bytes};
}

} // namespace

/// Facts and answers of one request, and what keeps them alive.
struct bridge_front::inquiry {
  const net::request_head& head;
  const net::connection_facts& from;
  decision_facts facts;
  decision_answers answers;
  std::shared_ptr<const net::upstream> direct; // of the record
};

bridge_front::bridge_front(bridge& seam, front_settings settings, bridge_engines& engines, const bridge_apps& apps)
  : seam_(seam), settings_(std::move(settings)), apps_(apps), control_(seam, engines, apps, settings_.frp_certs) {}

/// On a stream of another node the address was told, or stands for the node: fields say nothing about it.
ip_address bridge_front::client_of(const net::request_head& head, const net::connection_facts& from) const {
  return from.origin ? from.peer : client_address(head, from.peer, settings_.trusted_proxies);
}

bool bridge_front::elsewhere(const inquiry& about, std::string_view app_id, net::verdict& out) const {
  if (about.from.origin)
    return false; // one hop
  auto to = apps_.find(app_id, true);
  if (!to)
    return false;
  forward_to_node(about.head, about.facts.client, std::move(to), out);
  return true;
}

bool bridge_front::banned(const ip_address& client) const {
  auto table = seam_.answers().bans.read();
  if (table->empty())
    return false;
  auto found = table->find(client.ban_key());
  return found != table->end() && found->second > steady_ms();
}

// -- snapshots -------------------------------------------------------------------------------------------------------------

bool bridge_front::answer_record_now(inquiry& about, const decision& made) {
  std::array<char, app_id_bytes_max> space;
  auto table = seam_.answers().records.read();
  auto found = table->find(lowered(made.app_id, space));
  if (found == table->end())
    return false;
  about.answers.closed = found->second.closed;
  if (!found->second.record)
    return found->second.closed && !made.is_signed; // closed to the unsigned whatever the record says
  about.answers.record = record_state::present;
  about.answers.known = found->second.record;
  about.direct = found->second.direct;
  return true;
}

bool bridge_front::answer_user_now(inquiry& about, const decision& made) {
  if (!has_user_credentials(about.head)) {
    about.answers.user = user_state::anonymous;
    return true;
  }
  auto hit = seam_.answers().users.find(user_info_key(about.head, made.app_id), steady_ms());
  if (!hit)
    return false;
  about.answers.user = hit->user ? user_state::present : user_state::anonymous;
  about.answers.who = std::move(hit->user);
  return true;
}

bool bridge_front::decide_now(const net::request_head& head, const net::connection_facts& from, net::verdict& out) {
  auto client = client_of(head, from);
  inquiry about{head, from, {head, client, settings_.shared_key, banned(client), settings_.expired_session_tenths}, {}, nullptr};
  for (int round = 0; round < decision_rounds_max; ++round) {
    auto made = harp::decide(about.facts, about.answers);
    bool answered = false;
    if (made.step == next_step::need_record)
      answered = about.answers.record == record_state::unknown && answer_record_now(about, made);
    else if (made.step == next_step::need_user)
      answered = answer_user_now(about, made);
    else if (made.step != next_step::control && made.failure_tenths == 0) {
      fill(made, about, out);
      return true;
    }
    if (!answered)
      return false;
  }
  return false;
}

/// Does a request to the known record end here?
bool bridge_front::is_attached(const inquiry& about) const {
  if (!about.answers.known)
    return false;
  const auto& record = *about.answers.known;
  if (is_loopback_host(record.host) && is_exapp_port(record.port) && seam_.answers().tunnels.read()->contains(record.port))
    return true;
  return about.direct && about.direct->reached && about.direct->reached->load(std::memory_order_relaxed);
}

// -- asking ----------------------------------------------------------------------------------------------------------------

net::asio::awaitable<void> bridge_front::answer_record(inquiry& about, const decision& made) {
  auto app_id = lower_app_id(made.app_id);
  auto got = co_await ask<record_answer>(seam_.system(), seam_.handles().registry, nextcloud_ask_limit, record_atom_v, app_id);
  if (!got) {
    about.answers.record = record_state::failed;
    co_return;
  }
  about.answers.record = got->record ? record_state::present : record_state::absent;
  about.answers.known = got->record;
  about.direct.reset();
}

net::asio::awaitable<void> bridge_front::answer_user(inquiry& about, const decision& made) {
  bool needed = made.route == nullptr || made.route->access_level > access_public;
  if (!needed && steady_ms() - users_failed_ms_ < public_user_pause_ms) {
    about.answers.user = user_state::failed;
    co_return;
  }
  auto asked = std::make_shared<user_question::content>();
  asked->key = user_info_key(about.head, made.app_id);
  asked->may_keep = !session_passphrase(about.head).empty() || about.head.has(net::field_id::authorization);
  asked->app_id = lower_app_id(made.app_id);
  asked->client = about.facts.client;
  bool forwarding = about.from.origin ? about.from.origin->trusted
                                      : settings_.trusted_proxies.empty() || is_trusted_proxy(about.from.peer, settings_.trusted_proxies);
  asked->fields = user_info_fields(about.head, forwarding);
  user_question question{std::move(asked)};
  auto got = co_await ask<user_answer>(seam_.system(), seam_.handles().gatekeeper,
                                       needed ? caf::timespan{nextcloud_ask_limit} : caf::timespan{public_user_limit},
                                       user_atom_v, question);
  if (!got) {
    users_failed_ms_ = steady_ms();
    about.answers.user = user_state::failed;
    co_return;
  }
  about.answers.user = got->user ? user_state::present : user_state::anonymous;
  about.answers.who = got->user;
}

net::asio::awaitable<void> bridge_front::decide(const net::request_head& head, const net::connection_facts& from,
                                                net::verdict& out) {
  auto client = client_of(head, from);
  inquiry about{head, from, {head, client, settings_.shared_key, banned(client), settings_.expired_session_tenths}, {}, nullptr};
  for (int round = 0; round < decision_rounds_max; ++round) {
    auto made = harp::decide(about.facts, about.answers);
    if (made.step == next_step::need_record) {
      if (about.answers.record != record_state::unknown || !answer_record_now(about, made)) {
        if (elsewhere(about, made.app_id, out))
          co_return;
        co_await answer_record(about, made);
      }
    } else if (made.step == next_step::need_user) {
      if (!answer_user_now(about, made)) {
        if (!is_attached(about) && elsewhere(about, made.app_id, out))
          co_return; // that node asks who it is
        co_await answer_user(about, made);
      }
    } else if (made.step == next_step::control) {
      out.client = client;
      vouch(from);
      co_await control_.carry_out(head, made.target, out);
      co_return;
    } else {
      if (made.failure_tenths > 0)
        co_await count_failure(client, made.failure_tenths, made.reason);
      fill(made, about, out);
      co_return;
    }
  }
  answer_text(out, 503, "503 Service Unavailable (HaRP)");
}

net::asio::awaitable<void> bridge_front::complete(const net::request_head& head, const net::connection_facts&,
                                                  std::string body, net::verdict& out) {
  // Only control calls are asked to bring their body, and only after the key was right.
  auto parts = split_app(head.path);
  if (!parts) {
    answer_text(out, 404, "404 Not Found");
    co_return;
  }
  co_await control_.complete(head, parts->target, std::move(body), out);
}

// -- carrying out ----------------------------------------------------------------------------------------------------------

net::asio::awaitable<void> bridge_front::count_failure(ip_address client, unsigned tenths, const char* reason) {
  failure what{client, tenths, reason};
  co_await ask<bool>(seam_.system(), seam_.handles().gatekeeper, ask_limit, fail_atom_v, what);
}

void bridge_front::vouch(const net::connection_facts& from) {
  if (!settings_.trusted_proxies.empty() || (from.origin && !from.origin->trusted))
    return; // with proxies named, the client's own address counts; a node is no client
  const auto& peer = from.peer;
  auto known = vouched_.read();
  if (known->contains(peer) || known->size() >= vouched_max)
    return;
  auto more = *known;
  more.insert(peer);
  vouched_.write(std::move(more));
  caf::anon_send(seam_.handles().gatekeeper, vouch_atom_v, failure{peer, 0, "valid signed call"});
}

void bridge_front::fill(const decision& made, const inquiry& about, net::verdict& out) {
  out.client = about.facts.client;
  if (made.step != next_step::forward)
    net::count(seam_.numbers().rejects.at(made.reason));
  switch (made.step) {
    case next_step::forward:
      return forward(made, about, out);
    case next_step::drop:
      out.what = net::verdict::action::drop;
      return;
    case next_step::unauthorized_401:
      return answer_text(out, 401, "401 Unauthorized");
    case next_step::forbidden_403:
      return answer_text(out, 403, "403 Forbidden");
    case next_step::not_found_404:
      return answer_text(out, 404, "404 Not Found");
    case next_step::unavailable_503:
    case next_step::need_record:
    case next_step::need_user:
    case next_step::control:
      break;
  }
  answer_text(out, 503, "503 Service Unavailable (HaRP)");
  out.fields = "retry-after: 5\r\n";
}

void bridge_front::forward(const decision& made, const inquiry& about, net::verdict& out) {
  out.what = net::verdict::action::forward;
  if (!append_app_fields(made, out.set_fields))
    return answer_text(out, 503, "503 Service Unavailable (HaRP)");
  out.target = made.target;
  if (about.head.has_query) {
    out.target += '?';
    out.target += about.head.query;
  }
  out.app = made.app_id;
  if (made.is_signed)
    vouch(about.from);
  else if (made.route != nullptr)
    out.counted_statuses = made.route->counted_statuses;
  if (is_loopback_host(made.host)) {
    auto tunnels = seam_.answers().tunnels.read();
    auto found = is_exapp_port(made.port) ? tunnels->find(made.port) : tunnels->end();
    if (found != tunnels->end()) {
      out.to = found->second;
      return;
    }
  }
  bool direct = about.direct && !made.is_fallback;
  bool reached = direct && about.direct->reached && about.direct->reached->load(std::memory_order_relaxed);
  if (!reached && elsewhere(about, made.app_id, out))
    return;
  if (direct) {
    out.to = about.direct;
    return;
  }
  auto to = std::make_shared<net::upstream>();
  to->host = made.host;
  to->port = made.port;
  out.to = std::move(to);
}

net::asio::awaitable<void> bridge_front::response_counted(const net::verdict& about) {
  return count_failure(about.client, failure_whole_tenths, "an answer of the app that it wants counted");
}

void bridge_front::malformed(const net::connection_facts& from, std::string_view reason) {
  net::log(net::log_level::info, "HARP-F001", "front", "malformed request",
           {{"client", from.peer.to_string()}, {"cause", reason}, {"next", "nothing, unless the client is yours"}});
}

} // namespace harp
