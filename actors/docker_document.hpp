// Docker requests for ExApps, built from typed parts only: nothing of a caller's JSON survives
// (appapi-harp.md 4.5; quality.md S4, K02, K04). Pure.
#pragma once

#include "actors/engine_script.hpp"
#include "actors/exapp_call.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace harp {

/// Whose a container or volume is: the normalised NC_INSTANCE_URL of its Nextcloud.
inline constexpr std::string_view owner_label = "io.harp.owner";
inline constexpr std::string_view app_label = "io.harp.app";

/// What the operator allows to be mounted into ExApps from an engine's host.
struct bind_policy {
  enum class kind : uint8_t { all, none, listed } what = kind::all;
  std::vector<std::string> below; // listed: these directories and what is in them
  std::string engine_socket;      // also never mountable: where the local engine listens
};
/// `all`, `none`, or absolute paths separated by commas. Nothing when it is none of these.
std::optional<bind_policy> parse_bind_policy(std::string_view text);

/// Why a mount is refused, or "". Never allowed: `/`, anything that is or contains an engine's
/// socket, `/proc` (it leads to `/`), paths with `..`; a target that is `/` or has `..`.
std::string mount_fault(const mount_point& mount, const bind_policy& policy);

/// The container of an ExApp. `environment` stands in for the call's own.
engine_request create_container_request(const exapp_call& call,
                                        const std::vector<std::string>& environment,
                                        const std::string& owner);
engine_request create_volume_request(const exapp_call& call, const std::string& owner);
engine_request inspect_container_request(const std::string& container);
engine_request inspect_volume_request(const std::string& volume);
engine_request remove_container_request(const std::string& container);
engine_request remove_volume_request(const std::string& volume);
engine_request start_container_request(const std::string& container);
engine_request stop_container_request(const std::string& container);
engine_request inspect_image_request(const std::string& image);
engine_request remove_image_request(const std::string& image);
/// `tar` is unpacked at `/` of the container, which need not run.
engine_request upload_request(const std::string& container, std::string tar);
engine_request create_exec_request(const std::string& container,
                                   const std::vector<std::string>& command);
/// Nothing unless `id` is an id as engines make them.
std::optional<engine_request> start_exec_request(std::string_view id);
std::optional<engine_request> inspect_exec_request(std::string_view id);
engine_request list_containers_request();
engine_request version_request();
engine_request ping_request();
/// The last `lines` of both streams (0 = all), multiplexed as engines do it.
engine_request logs_request(const std::string& container, unsigned lines);

} // namespace harp
