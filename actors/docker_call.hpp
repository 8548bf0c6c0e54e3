// Docker calls that may pass through the control plane, taken apart and built anew
// (appapi-harp.md 4.2, FS16, S4).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

inline constexpr size_t docker_target_bytes_max = 4096;
inline constexpr size_t image_reference_bytes_max = 512;
inline constexpr size_t container_name_bytes_max = 255;

/// A call in Harp's own words: nothing else of the request goes to the engine.
struct docker_call {
  std::string method;   // GET, HEAD or POST
  std::string target;   // path and query
  bool streams = false; // pull progress or logs: minutes long, unbuffered
};

/// Rebuilds an allowed call from method, raw target path (without `/exapps/app_api`) and raw query.
/// Allowed, each with an optional `/v1.41` in front: `GET /_ping`, `GET /images/REF/json`, `GET
/// /containers/nc_app_NAME/json`, `.../logs` with stdout, stderr and tail, `POST /images/create`
/// with fromImage. HEAD counts as GET. Unknown query keys are dropped, known ones twice or with
/// other values are refused. Nothing: answer 403.
std::optional<docker_call> rebuild_docker_call(std::string_view method, std::string_view path,
                                               std::string_view query);

/// A docker-engine-port field: 1-65535 in plain digits, else nothing. Whether it is an engine's:
/// is_engine_port().
std::optional<uint16_t> parse_engine_port(std::string_view value);

/// True for an image reference as engines take it:
/// `[host[:port]/]name[/name...][:tag][@algorithm:hex]`.
bool is_image_reference(std::string_view text);

/// Percent-encodes everything but unreserved characters, for one path segment or query value.
std::string percent_encode(std::string_view text);
/// Undoes it; nothing when an escape is broken. `plus_is_blank` is for queries.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank = false);

} // namespace harp
