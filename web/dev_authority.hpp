// The development authority: answers the two questions Harp has for a Nextcloud when there is none.
// For demos and trials.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace harp::web {

/// Stands in for Nextcloud in `deploy/up` mode: known users with known passwords, one ExApp. Never
/// on unless configured (HARP_DEV_AUTHORITY=1); whoever starts it must print `warning`. Immutable
/// after construction, so any thread may ask. The shapes of its answers are those of
/// appapi-harp.md 3.1 and 3.2.
class dev_authority {
public:
  /// Like an HTTP answer of Nextcloud: the status and a JSON body.
  struct answer {
    int status = 0;
    std::string body;
  };
  struct user {
    std::string_view name;
    std::string_view password;
    int access_level; // 1 user, 2 admin
  };

  static constexpr std::string_view warning
      = "DEVELOPMENT AUTHORITY IS ON: no Nextcloud is asked, everybody knows the passwords of its "
        "users. Not for a machine that strangers can reach.";
  static constexpr std::string_view app_id = "sample";
  static constexpr uint16_t app_port = 23000;
  static constexpr std::array<user, 3> users{
      {{"alice", "alice-dev", 1}, {"bob", "bob-dev", 1}, {"admin", "admin-dev", 2}}};

  /// Draws the ExApp's secret from the system's random source.
  dev_authority();

  /// The record of an ExApp: 200 for `sample`, 404 for every other.
  [[nodiscard]] answer exapp_meta(std::string_view asked_app_id) const;
  /// Who asks, judged by the values of an Authorization and a Cookie header ("" = not sent): 200
  /// with level 0 for nobody, 401 for wrong Basic credentials. The cookie
  /// `oc_sessionPassphrase=NAME` logs NAME in.
  [[nodiscard]] answer user_info(std::string_view authorization, std::string_view cookie) const;

private:
  std::string token_;
};

} // namespace harp::web
