#include "actors/decision.hpp"

#include "actors/path_check.hpp"
#include "actors/port_claims.hpp"
#include "actors/tunnel_credential.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace harp {

namespace {

using net::field_id;

constexpr unsigned whole_failure_tenths = 10;
// For all patterns of one app and one reading of a path together: an app may not slow down the others by its routes.
constexpr uint32_t route_steps_max = 1'000'000;

/// The fields of a signed call; of repeated ones the last counts.
struct signed_fields {
  std::optional<std::string_view> key, app_id, version, host, port, credential;

  explicit signed_fields(const net::request_head& head) {
    for (const auto& field : head.fields) {
      if (auto* place = place_of(field.id))
        *place = field.value;
    }
  }

  /// All six make a signed call, whatever they say.
  [[nodiscard]] bool complete() const {
    return key && app_id && version && host && port && credential;
  }

private:
  std::optional<std::string_view>* place_of(field_id id) {
    switch (id) {
    case field_id::harp_shared_key:
      return &key;
    case field_id::ex_app_id:
      return &app_id;
    case field_id::ex_app_version:
      return &version;
    case field_id::ex_app_host:
      return &host;
    case field_id::ex_app_port:
      return &port;
    case field_id::authorization_app_api:
      return &credential;
    default:
      return nullptr;
    }
  }
};

/// Which route decides about one form of a target.
struct route_choice {
  const exapp_route* route = nullptr;
  bool over_limit = false;
};

route_choice first_match(const std::vector<exapp_route>& routes, std::string_view form) {
  auto steps_max = route_steps_max / static_cast<uint32_t>(std::max<size_t>(routes.size(), 1));
  for (const auto& route : routes) {
    if (!route.pattern)
      continue;
    switch (route.pattern->match(form, steps_max)) {
    case match_result::yes:
      return {&route, false};
    case match_result::over_limit:
      return {nullptr, true};
    case match_result::no:
      break;
    }
  }
  return {};
}

/// The stricter of two routes; on a tie the one that counts answers as failures, then the first.
const exapp_route* stricter(const exapp_route* a, const exapp_route* b) {
  if (a->access_level != b->access_level)
    return a->access_level > b->access_level ? a : b;
  return !a->counted_statuses && b->counted_statuses ? b : a;
}

/// The route for a target in all its readings (FS7): raw and decoded must both match, the stricter
/// one counts. The forms without path parameters can only raise the level: most servers do not know
/// them.
route_choice choose_route(const std::vector<exapp_route>& routes, std::string_view target) {
  route_choice chosen = first_match(routes, target);
  if (chosen.route == nullptr || is_plain_target(target))
    return chosen;
  route_choice decoded = first_match(routes, decoded_form(target));
  if (decoded.route == nullptr)
    return decoded;
  chosen.route = stricter(chosen.route, decoded.route);
  for (const auto& form : parameter_free_forms(target)) {
    route_choice bare = first_match(routes, form);
    if (bare.over_limit)
      return bare;
    if (bare.route != nullptr)
      chosen.route = stricter(chosen.route, bare.route);
  }
  return chosen;
}

/// A host that is one app's own: its id as a name (container DNS). Nothing that a resolver may read
/// as a number.
bool is_name_of_app(std::string_view host, std::string_view app_id) {
  bool starts_with_letter = (host.substr(0, 1) >= "a" && host.substr(0, 1) <= "z")
                            || (host.substr(0, 1) >= "A" && host.substr(0, 1) <= "Z");
  return starts_with_letter && host.find('.') == host.npos
         && lower_app_id(host) == lower_app_id(app_id);
}

/// The decision procedure, one member per group of rows; each answers whether the decision is made.
class procedure {
public:
  procedure(const decision_facts& facts, const decision_answers& answers)
      : facts_(facts), answers_(answers), sent_(facts.head),
        key_right_(sent_.key && same_secret(*sent_.key, facts.shared_key)) {}

  decision run() {
    if (!refused_early() && !control_plane()) {
      if (sent_.complete())
        signed_call();
      else
        unsigned_call();
    }
    return out_;
  }

private:
  bool end(next_step step, const char* reason, unsigned failure_tenths = 0) {
    out_.step = step;
    out_.reason = reason;
    bool counts = !key_right_;
    out_.failure_tenths = counts ? failure_tenths : 0;
    return true;
  }

  bool fail(next_step step, const char* reason) { return end(step, reason, whole_failure_tenths); }

  /// Rows 1 to 4. The ban comes behind the key (FB1), and asks nothing of a banned path.
  bool refused_early() {
    if (facts_.client_banned && !key_right_)
      return end(next_step::drop, "client is banned");
    if (facts_.head.path == "*")
      return end(next_step::unavailable_503, "OPTIONS * names no app");
    path_fault fault = check_path(facts_.head.path);
    if (fault != path_fault::none)
      return fail(next_step::drop, to_string(fault));
    auto split = split_app(facts_.head.path);
    if (!split)
      return fail(next_step::not_found_404, "path names no app");
    out_.app_id = split->app_id;
    out_.target = split->target;
    return false;
  }

  /// Row 5. Other spellings of the reserved name are no app.
  bool control_plane() {
    if (out_.app_id == control_app_id) {
      if (!key_right_)
        return fail(next_step::unauthorized_401, "control call without the right key");
      return end(next_step::control, "control call");
    }
    if (out_.app_id.size() == control_app_id.size() && lower_app_id(out_.app_id) == control_app_id)
      return fail(next_step::not_found_404, "misspelt control plane");
    return false;
  }

  /// Row 6.
  bool signed_call() {
    out_.is_signed = true;
    if (!key_right_)
      return fail(next_step::drop, "signed call with a wrong key");
    out_.credential = *sent_.credential;
    switch (answers_.record) {
    case record_state::unknown:
      return end(next_step::need_record, "record not known yet");
    case record_state::present:
      return answers_.known ? forward_to_record("signed call") : missing_record();
    case record_state::absent:
    case record_state::failed:
      break;
    }
    return fallback();
  }

  bool missing_record() {
    return end(next_step::unavailable_503, "record announced but not given");
  }

  /// A signed call for an app that Nextcloud does not tell about: the call's own address, within
  /// narrow limits (FS3).
  bool fallback() {
    unsigned port = 0;
    std::string_view text = *sent_.port;
    auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (text.empty() || error != std::errc{} || stop != text.data() + text.size())
      return end(next_step::unavailable_503, "signed call with an ex-app-port that is no number");
    if (!may_fall_back_to(*sent_.host, port)) {
      if (answers_.record == record_state::failed)
        return end(next_step::unavailable_503,
                   "no record, and the signed call names a foreign address");
      return end(next_step::not_found_404,
                 "unknown app, and the signed call names a foreign address");
    }
    out_.is_fallback = true;
    out_.host = *sent_.host;
    out_.port = static_cast<uint16_t>(port);
    out_.version = *sent_.version;
    return end(next_step::forward, "signed call to the address it names");
  }

  [[nodiscard]] bool may_fall_back_to(std::string_view host, unsigned port) const {
    if (port == 0 || port > 65535 || is_engine_port(port))
      return false;
    bool is_last_known = answers_.known && answers_.known->host == host;
    if (is_loopback_host(host))
      return is_exapp_port(port) || (is_last_known && answers_.known->port == port);
    return is_last_known || is_name_of_app(host, out_.app_id);
  }

  /// Rows 7 to 13.
  bool unsigned_call() {
    if (answers_.closed)
      return end(next_step::not_found_404, "Nextcloud has withdrawn the app");
    switch (answers_.record) {
    case record_state::unknown:
      return end(next_step::need_record, "record not known yet");
    case record_state::absent:
      return fail(next_step::not_found_404, "unknown app");
    case record_state::failed:
      return end(next_step::unavailable_503, "Nextcloud cannot be asked about the app");
    case record_state::present:
      break;
    }
    if (!answers_.known)
      return missing_record();
    if (is_internal_target(out_.target))
      return fail(next_step::drop, "internal end point without a signed call");
    return judged_by_routes();
  }

  bool judged_by_routes() {
    route_choice chosen = choose_route(answers_.known->routes, out_.target);
    if (chosen.over_limit)
      return fail(next_step::not_found_404, "a route pattern ran over its limits");
    if (chosen.route == nullptr)
      return fail(next_step::not_found_404, "no route matches");
    bool is_public = chosen.route->access_level <= access_public;
    bool has_credentials = has_user_credentials(facts_.head);
    if (has_credentials) {
      if (answers_.user == user_state::unknown) {
        out_.route = chosen.route;
        return end(next_step::need_user, "user not known yet");
      }
      if (answers_.user == user_state::failed && !is_public)
        return end(next_step::unavailable_503, "Nextcloud cannot be asked about the user");
    }
    static const user_info nobody;
    bool has_user = has_credentials && answers_.user == user_state::present && answers_.who;
    const user_info& who = has_user ? *answers_.who : nobody;
    if (!is_public && who.access_level < chosen.route->access_level)
      return denied(!who.user_id.empty());
    out_.route = chosen.route;
    out_.user_id = who.user_id;
    out_.token = answers_.known->token;
    return forward_to_record("route allows it");
  }

  bool denied(bool is_known_user) {
    bool session_expired = !is_known_user && !facts_.head.has(field_id::authorization)
                           && !session_passphrase(facts_.head).empty();
    if (session_expired)
      return end(next_step::forbidden_403, "session expired", facts_.expired_session_tenths);
    return fail(next_step::forbidden_403, "access level too low");
  }

  /// A record may come from a push: even then no engine is reached behind the control plane's back.
  bool forward_to_record(const char* reason) {
    const exapp_record& record = *answers_.known;
    if (is_loopback_host(record.host) && is_engine_port(record.port)) {
      out_.route = nullptr;
      out_.token = {};
      return end(next_step::not_found_404, "the record names an engine port");
    }
    out_.host = record.host;
    out_.port = record.port;
    out_.version = record.version;
    return end(next_step::forward, reason);
  }

  const decision_facts& facts_;
  const decision_answers& answers_;
  signed_fields sent_;
  bool key_right_;
  decision out_;
};

} // namespace

decision decide(const decision_facts& facts, const decision_answers& answers) {
  return procedure{facts, answers}.run();
}

bool is_loopback_host(std::string_view host) {
  if (!host.empty() && host.back() == '.')
    host.remove_suffix(1);
  constexpr std::string_view name = "localhost";
  if (host.size() >= name.size()) {
    // RFC 6761: every name below localhost is loopback too.
    auto tail = host.substr(host.size() - name.size());
    bool whole_label = tail.size() == host.size() || host[host.size() - name.size() - 1] == '.';
    if (whole_label && lower_app_id(tail) == name)
      return true;
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  auto address = ip_address::parse(host);
  // The unspecified address connects to this machine as well.
  return address && (address->is_loopback() || address->is_unspecified());
}

} // namespace harp
