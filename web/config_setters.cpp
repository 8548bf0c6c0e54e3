#include "web/config_setters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace harp::web {

namespace {

constexpr unsigned cert_days_max = 36'500;
constexpr unsigned failures_max = 10'000; // each key of the ban table holds so many stamps at most
constexpr std::chrono::seconds ban_window_max{86'400 * 24};
constexpr milliseconds session_lifetime_max{10'000}; // quality.md S2

bool is_compat(const given_value& given) {
  return given.form == text_form::compat;
}

parsed<milliseconds> parse_duration(const given_value& given) {
  if (is_compat(given))
    return parse_time_text(strip_quotes(trimmed(given.text)), bare_number::is_milliseconds);
  if (given.form == text_form::toml_integer || given.form == text_form::strict
      || given.form == text_form::toml_string)
    return parse_time_text(given.text, bare_number::is_error);
  return {{}, "needs a time such as \"30s\""};
}

/// The word itself when it is one of `words`.
template <size_t N>
parsed<std::string> one_of(const given_value& given, const std::array<std::string_view, N>& words) {
  auto text = parse_text(given);
  if (!text.value || std::find(words.begin(), words.end(), *text.value) != words.end())
    return text;
  std::string list;
  for (auto word : words)
    list += (list.empty() ? "" : ", ") + std::string{word};
  return {{}, "needs one of " + list + ", not " + in_quotes(*text.value)};
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

} // namespace

std::string set_path_value(std::string& member, const given_value& given) {
  auto text = parse_text(given);
  if (!text.value)
    return text.error;
  std::error_code failure;
  auto whole = text.value->empty() ? std::filesystem::path{}
                                   : std::filesystem::absolute(*text.value, failure);
  if (failure)
    return "is no usable path: " + failure.message();
  member = whole.lexically_normal().string();
  if (member.size() > 1 && member.ends_with('/'))
    member.pop_back();
  return {};
}

std::string set_binds_value(std::vector<bind_address>& member, const given_value& given) {
  auto text = given.text;
  if (is_compat(given))
    text = strip_quotes(text);
  else if (given.form != text_form::toml_strings) {
    auto plain = parse_text(given);
    if (!plain.value)
      return plain.error;
  }
  return put(member, parse_binds(text));
}

std::string set_time_value(milliseconds& member, const given_value& given) {
  return put(member, parse_duration(given));
}

std::string set_nextcloud_url(config& into, const given_value& given, notes&) {
  if (is_compat(given) && strip_quotes(given.text).empty()) {
    into.nextcloud_url.clear(); // load_config says what is missing
    return {};
  }
  return put(into.nextcloud_url, parse_base_url(given));
}

std::string set_frp_disable_tls(config& into, const given_value& given, notes& warnings) {
  if (!is_compat(given)) {
    auto off = parse_flag(given);
    into.frp_tls = !off.value.value_or(false);
    return off.error;
  }
  into.frp_tls = given.text != "true";
  if (into.frp_tls && given.text != "false" && !given.text.empty())
    warnings.push_back("is " + in_quotes(given.text)
                       + ": only the exact word true switches TLS off, so it stays on");
  return {};
}

std::string set_cert_validity_days(config& into, const given_value& given, notes& warnings) {
  if (is_compat(given) && given.text.empty())
    return {};
  auto days = parse_python_integer(given.text);
  bool digits = given.text.find_first_not_of("0123456789") == std::string::npos;
  if (is_compat(given) && digits && days.value && *days.value > int64_t{cert_days_max}) {
    warnings.push_back("is more than " + std::to_string(cert_days_max) + " days: that is used");
    into.cert_validity_days = cert_days_max;
    return {};
  }
  return put(into.cert_validity_days, parse_number(given, 1, cert_days_max));
}

std::string set_trusted_proxies(config& into, const given_value& given, notes& warnings) {
  return put(into.trusted_proxies, parse_networks(given, warnings));
}

std::string set_session_lifetime(config& into, const given_value& given, notes&) {
  milliseconds life{};
  if (is_compat(given)) {
    auto seconds = parse_python_float(given.text);
    if (!seconds.value)
      return seconds.error;
    // judged before the cast: 1e300 has no place in an integer
    if (*seconds.value < 0 || *seconds.value > 10)
      return "needs 0 to 10 seconds, not " + in_quotes(given.text);
    life = milliseconds{std::llround(*seconds.value * 1'000)};
  } else if (auto error = put(life, parse_duration(given)); !error.empty()) {
    return error;
  }
  if (life > session_lifetime_max)
    return "needs 0s to 10s, not " + in_quotes(given.text);
  into.session_lifetime = life;
  return {};
}

std::string set_blacklist_count(config& into, const given_value& given, notes& warnings) {
  if (!is_compat(given))
    return put(into.blacklist_count, parse_number(given, 1, failures_max));
  auto count = parse_python_integer(given.text);
  if (!count.value)
    return count.error;
  if (*count.value > int64_t{failures_max})
    warnings.push_back("is more than " + std::to_string(failures_max) + ": that is used");
  if (*count.value < 1)
    warnings.push_back("is below 1: every client is banned, as with HaRP");
  into.blacklist_count = static_cast<unsigned>(std::clamp<int64_t>(*count.value, 0, failures_max));
  return {};
}

std::string set_expired_session_tenths(config& into, const given_value& given, notes&) {
  return put(into.expired_session_tenths, parse_number(given, 0, 10));
}

std::string set_blacklist_window(config& into, const given_value& given, notes& warnings) {
  if (!is_compat(given)) {
    auto time = parse_duration(given);
    if (!time.value)
      return time.error;
    if (*time.value < milliseconds{1'000} || time.value->count() % 1'000 != 0
        || *time.value > ban_window_max)
      return "needs whole seconds, from 1s to 24d";
    into.blacklist_window = std::chrono::duration_cast<std::chrono::seconds>(*time.value);
    return {};
  }
  auto seconds = parse_python_integer(given.text);
  if (!seconds.value)
    return seconds.error;
  if (*seconds.value > ban_window_max.count())
    warnings.push_back("is more than 24 days: that is used");
  if (*seconds.value < 1)
    warnings.push_back("is below 1: failures never add up, nobody is banned");
  into.blacklist_window
      = std::chrono::seconds{std::clamp<int64_t>(*seconds.value, 0, ban_window_max.count())};
  return {};
}

std::string set_console(config& into, const given_value& given, notes& warnings) {
  auto plain = parse_text(given);
  if (!plain.value)
    return plain.error;
  auto address = parse_bind(*plain.value);
  if (!address.value)
    return address.error;
  into.console = *address.value;
  if (auto ip = ip_address::parse(into.console.host); ip && !ip->is_loopback())
    warnings.push_back("is not a loopback address: the admin surface can be reached from outside");
  return {};
}

std::string set_log_level(config& into, const given_value& given, notes& warnings) {
  constexpr std::array<std::string_view, 4> levels{"debug", "info", "warning", "error"};
  auto level = one_of(given, levels);
  if (!level.value && is_compat(given)) {
    warnings.push_back("is " + in_quotes(given.text) + ", which is no level: warning is used");
    into.log_level = "warning";
    return {};
  }
  return put(into.log_level, std::move(level));
}

std::string set_log_format(config& into, const given_value& given, notes&) {
  constexpr std::array<std::string_view, 3> formats{"auto", "json", "text"};
  return put(into.log_format, one_of(given, formats));
}

std::string set_k8s_enabled(config& into, const given_value& given, notes&) {
  if (!is_compat(given))
    return put(into.k8s_enabled, parse_flag(given));
  auto word = lower(given.text);
  into.k8s_enabled = word == "1" || word == "true" || word == "yes";
  return {};
}

std::string set_k8s_verify_tls(config& into, const given_value& given, notes&) {
  if (!is_compat(given))
    return put(into.k8s_verify_tls, parse_flag(given));
  into.k8s_verify_tls = lower(given.text) != "false";
  return {};
}

std::string set_k8s_host_aliases(config& into, const given_value& given, notes& warnings) {
  return put(into.k8s_host_aliases, parse_host_aliases(given, warnings));
}

std::string accept_anything(config&, const given_value&, notes&) {
  return {};
}

std::string check_watchdog_number(config&, const given_value& given, notes& warnings) {
  auto number = parse_python_integer(given.text);
  if (!given.text.empty() && (!number.value || *number.value < 1))
    warnings.push_back("is " + in_quotes(given.text)
                       + ", not a number from 1: the default is used");
  return {};
}

std::string show_value(const std::string& value) {
  return value;
}

std::string show_value(bool value) {
  return value ? "true" : "false";
}

std::string show_value(unsigned value) {
  return std::to_string(value);
}

std::string show_value(milliseconds value) {
  return to_time_text(value);
}

std::string show_value(std::chrono::seconds value) {
  return to_time_text(value);
}

std::string show_value(const bind_address& value) {
  return value.to_string() + (value.v6_only ? " v6only" : "");
}

std::string show_value(const std::vector<bind_address>& value) {
  std::string text;
  bool v6_only = false;
  for (const auto& one : value) {
    text += (text.empty() ? "" : ",") + one.to_string();
    v6_only |= one.v6_only;
  }
  return text + (v6_only ? " v6only" : "");
}

std::string show_value(const std::vector<ip_network>& value) {
  std::string text;
  for (const auto& one : value)
    text += (text.empty() ? "" : ",") + one.to_string();
  return text;
}

std::string show_value(const std::vector<std::pair<std::string, std::string>>& value) {
  std::string text;
  for (const auto& [host, ip] : value)
    text += (text.empty() ? "" : ",") + host + ":" + ip;
  return text;
}

std::string show_frp_disable_tls(const config& from) {
  return show_value(!from.frp_tls);
}

std::string show_nothing(const config&) {
  return {};
}

} // namespace harp::web
