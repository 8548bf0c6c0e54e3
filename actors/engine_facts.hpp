// What engines answer, read into typed facts. Engines are foreign: sizes and types are checked. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t container_labels_max = 1000;
inline constexpr size_t listed_containers_max = 2000;
inline constexpr size_t log_bytes_max = 4 * 1024 * 1024;

struct container_facts {
  std::string id, name;
  std::string image;  // Config.Image, else Image, else ""
  std::string status; // created, running, restarting, paused, exited, dead
  bool running = false;
  std::string health; // "" = has no health check
  std::map<std::string, std::string> labels;
  std::vector<std::string> environment; // secret
  std::vector<std::string> binds;       // directories of the host
};
/// Nothing when the answer is not what an engine says of a container.
std::optional<container_facts> read_container(std::string_view json);

struct volume_facts {
  std::string name;
  std::map<std::string, std::string> labels;
};
std::optional<volume_facts> read_volume(std::string_view json);

/// Names of containers in a list answer that begin with `nc_app_`, without the leading slash.
std::optional<std::vector<std::string>> read_container_names(std::string_view json);

/// The Id of an answer to a create call, or "".
std::string read_id(std::string_view json);
/// Size of an image, or nothing.
std::optional<int64_t> read_image_bytes(std::string_view json);
/// True when the answer to an image's removal lists a layer that is really gone.
bool read_image_deleted(std::string_view json);
/// ExitCode of a finished exec, or nothing.
std::optional<int> read_exit_code(std::string_view json);

struct engine_version {
  std::string product, version, api, api_min;
};
std::optional<engine_version> read_version(std::string_view json);
/// The `message` of an engine's error answer, made fit for a log line; "" when there is none.
std::string read_error(std::string_view json);

/// Both streams of an engine's log answer as one text. Raw streams (with a TTY) pass unchanged.
std::string read_log_stream(std::string_view bytes);

/// "1.44" as a number that compares; 0 when it is not such a version.
unsigned api_number(std::string_view version);

} // namespace harp
