// What the admin API needs from the rest of Harp. Implemented by actors/bridge_admin.*.
#pragma once

#include "net/asio.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace harp::web {

/// What a call of the storage plane comes back with. `status` is HTTP's; a failure has `error` and `next` in its body.
struct call_answer {
  int status = 200;
  std::string body;  // JSON, or bytes of a file when `raw`
  bool raw = false;
};

inline constexpr size_t call_body_bytes_max = 1024 * 1024 + 4096;

class admin {
public:
  virtual ~admin() = default;
  /// `harp status --json`: stable schema, see web/README.md.
  virtual net::asio::awaitable<nlohmann::ordered_json> status() = 0;
  /// Who is banned, until when and why. Nothing when the gatekeeper cannot be asked.
  virtual net::asio::awaitable<std::optional<nlohmann::ordered_json>> bans() = 0;
  /// Lifts the ban of `address`, or all when it is empty. Nothing when the gatekeeper cannot be asked.
  virtual net::asio::awaitable<std::optional<uint64_t>> lift(std::string address) = 0;
  /// A call of the storage plane by name with JSON arguments: the CLI's commands (web/README.md lists them).
  virtual net::asio::awaitable<call_answer> call(std::string name, std::string arguments) = 0;
  /// `length` bytes at `offset` of a file opened by the call `open`, as soon as they are here.
  virtual net::asio::awaitable<call_answer> read_content(std::string handle, uint64_t offset, uint64_t length) = 0;
  /// The next bytes of a file that `put_begin` opened.
  virtual net::asio::awaitable<call_answer> write_content(std::string handle, uint64_t offset, std::string bytes) = 0;
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
