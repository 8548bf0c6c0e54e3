// What the admin API needs from the rest of Harp. Implemented by actors/bridge_admin.*.
#pragma once

#include "net/asio.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace harp::web {

class admin {
public:
  virtual ~admin() = default;
  /// `harp status --json`: stable schema, see web/README.md.
  virtual net::asio::awaitable<nlohmann::ordered_json> status() = 0;
  /// Who is banned, until when and why. Nothing when the gatekeeper cannot be asked.
  virtual net::asio::awaitable<std::optional<nlohmann::ordered_json>> bans() = 0;
  /// Lifts the ban of `address`, or all when it is empty. Nothing when the gatekeeper cannot be asked.
  virtual net::asio::awaitable<std::optional<uint64_t>> lift(std::string address) = 0;
  /// The running configuration, secrets masked.
  virtual nlohmann::ordered_json config() = 0;
  /// The checks behind /readyz; `ready` is their conjunction.
  virtual nlohmann::ordered_json readiness(bool& ready) = 0;
  /// True while every event loop answers.
  virtual bool live() = 0;
  /// The text of /metrics.
  virtual std::string metrics() = 0;
};

} // namespace harp::web
