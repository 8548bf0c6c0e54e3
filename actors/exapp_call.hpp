// What AppAPI asks about an ExApp's container, read from its JSON into typed, checked fields
// (appapi-harp.md 4.5, 4.6; quality.md S4, K02). Pure.
#pragma once

#include "actors/expose_call.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace harp {

inline constexpr size_t exapp_body_bytes_max = 1024 * 1024;
inline constexpr size_t certificates_body_bytes_max = 8 * 1024 * 1024;
inline constexpr size_t exapp_name_bytes_max = 128;
inline constexpr size_t environment_entries_max = 1000;
inline constexpr size_t environment_entry_bytes_max = 128 * 1024;
inline constexpr size_t mount_points_max = 64;
inline constexpr size_t mount_path_bytes_max = 4096;
inline constexpr size_t network_name_bytes_max = 128;
inline constexpr size_t quantity_bytes_max = 32;

/// What carries the ExApps out: a Docker or Podman engine behind a control port, or a Kubernetes API.
enum class engine_kind : uint8_t { docker, kubernetes };

/// The last path segment of `/docker/exapp/...` and `/k8s/exapp/...`, and what Harp itself asks.
enum class exapp_action : uint8_t {
  exists,
  create,
  start,
  stop,
  wait_for_start,
  remove,
  image_remove,
  install_certificates,
  expose,       // Kubernetes only
  check_engine, // from here on: `harp engine`, `harp apps`, `harp adopt`
  list_apps,
  read_logs,
  probe_engine, // is it there? asked for /info
  resolve,      // Kubernetes: where is the app's upstream?
};
std::string_view to_string(exapp_action action);
/// AppAPI's actions on such an engine only.
std::optional<exapp_action> exapp_action_of(std::string_view path_segment,
                                            engine_kind kind = engine_kind::docker);

enum class compute_device : uint8_t { cpu, cuda, rocm };

struct mount_point {
  std::string source; // on the engine's host, absolute
  std::string target; // in the container, absolute
  bool read_only = false;
};

/// One call, checked for form. Strings hold no control bytes; names are letters, digits, `_ . -`.
struct exapp_call {
  exapp_action action = exapp_action::exists;
  std::string name, instance_id, role_suffix;
  // create
  std::string image;
  std::string network = "bridge";
  std::vector<std::string> environment; // K=V; may hold secrets
  std::string restart_policy = "unless-stopped";
  compute_device device = compute_device::cpu;
  std::vector<mount_point> mounts;
  std::optional<int64_t> memory_bytes, nano_cpus;
  std::string memory_quantity, cpu_quantity; // Kubernetes: as given; "" = the numbers count
  // others
  bool remove_data = false;
  std::string image_ref;
  std::optional<std::string> certificate_bundle; // PEM
  bool install_frp_certificates = false;
  unsigned log_lines = 0;          // read_logs; 0 = all
  std::optional<expose_wish> wish; // expose

  /// `nc_app_` + instance + name + role.
  [[nodiscard]] std::string container() const;
  /// `nc_app_` + instance + name + `_data`.
  [[nodiscard]] std::string volume() const;
};

/// Reads a payload. The error is a sentence for AppAPI's log and holds no value of a variable.
/// Unknown fields are ignored, a key given twice is an error, PHP's `[]` counts as an empty object.
std::variant<exapp_call, std::string> parse_exapp_call(exapp_action action, std::string_view json,
                                                       engine_kind kind = engine_kind::docker);

/// True for what may stand in container names: 1 to exapp_name_bytes_max of `A-Za-z0-9_.-`.
bool is_exapp_name(std::string_view text);
/// The value of a `K=V` entry, or nothing.
std::optional<std::string_view> environment_value(const std::vector<std::string>& entries,
                                                  std::string_view key);

} // namespace harp
