// Parsers and printers of single keys: written value -> member of config, and back. Used by the key
// table only.
#pragma once

#include "web/bind_text.hpp"
#include "web/config.hpp"
#include "web/config_values.hpp"
#include "web/time_text.hpp"

#include <string>

namespace harp::web {

/// Puts `value` into `member`, or returns its error.
template <class T, class U>
std::string put(T& member, parsed<U>&& value) {
  if (!value.value)
    return value.error;
  member = std::move(*value.value);
  return {};
}

template <auto Member>
std::string set_text(config& into, const given_value& given, notes&) {
  return put(into.*Member, parse_text(given));
}

/// A path; relative ones are taken from the working directory at start.
std::string set_path_value(std::string& member, const given_value& given);

template <auto Member>
std::string set_path(config& into, const given_value& given, notes&) {
  return set_path_value(into.*Member, given);
}

/// Taken as it is: forms and bytes of secrets are judged later, in one place.
template <auto Member>
std::string set_secret(config& into, const given_value& given, notes&) {
  into.*Member = given.text;
  return {};
}

template <auto Member>
std::string set_flag(config& into, const given_value& given, notes&) {
  return put(into.*Member, parse_flag(given));
}

template <auto Member, unsigned Least, unsigned Most>
std::string set_number(config& into, const given_value& given, notes&) {
  return put(into.*Member, parse_number(given, Least, Most));
}

std::string set_binds_value(std::vector<bind_address>& member, const given_value& given);

template <auto Member>
std::string set_binds(config& into, const given_value& given, notes&) {
  return set_binds_value(into.*Member, given);
}

std::string set_time_value(milliseconds& member, const given_value& given);

template <auto Member>
std::string set_time(config& into, const given_value& given, notes&) {
  return set_time_value(into.*Member, given);
}

std::string set_nextcloud_url(config& into, const given_value& given, notes& warnings);
std::string set_frp_disable_tls(config& into, const given_value& given, notes& warnings);
std::string set_cert_validity_days(config& into, const given_value& given, notes& warnings);
std::string set_trusted_proxies(config& into, const given_value& given, notes& warnings);
std::string set_session_lifetime(config& into, const given_value& given, notes& warnings);
std::string set_blacklist_count(config& into, const given_value& given, notes& warnings);
std::string set_blacklist_window(config& into, const given_value& given, notes& warnings);
std::string set_expired_session_tenths(config& into, const given_value& given, notes& warnings);
std::string set_console(config& into, const given_value& given, notes& warnings);
std::string set_log_level(config& into, const given_value& given, notes& warnings);
std::string set_log_format(config& into, const given_value& given, notes& warnings);
std::string set_k8s_enabled(config& into, const given_value& given, notes& warnings);
std::string set_k8s_verify_tls(config& into, const given_value& given, notes& warnings);
std::string set_k8s_host_aliases(config& into, const given_value& given, notes& warnings);
std::string accept_anything(config& into, const given_value& given, notes& warnings);
std::string check_watchdog_number(config& into, const given_value& given, notes& warnings);

std::string show_value(const std::string& value);
std::string show_value(bool value);
std::string show_value(unsigned value);
std::string show_value(milliseconds value);
std::string show_value(std::chrono::seconds value);
std::string show_value(const bind_address& value);
std::string show_value(const std::vector<bind_address>& value);
std::string show_value(const std::vector<ip_network>& value);
std::string show_value(const std::vector<std::pair<std::string, std::string>>& value);

template <auto Member>
std::string show(const config& from) {
  return show_value(from.*Member);
}

template <auto Member>
std::string show_secret(const config& from) {
  return (from.*Member).empty() ? "" : "(set)";
}

std::string show_frp_disable_tls(const config& from);
std::string show_nothing(const config& from);

} // namespace harp::web
