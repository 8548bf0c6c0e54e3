#include "actors/docker_document.hpp"

#include "actors/docker_call.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace harp {

namespace {

using json = nlohmann::ordered_json; // golden documents keep their order

constexpr std::array<std::string_view, 4> engine_sockets{"/var/run/docker.sock", "/run/docker.sock",
                                                         "/run/podman/podman.sock",
                                                         "/run/containerd/containerd.sock"};
constexpr size_t exec_id_bytes_max = 128;

/// Without empty and `.` segments and a slash at the end; nothing when there is a `..` or the path
/// is not absolute. /var/run is what it is a link to.
std::optional<std::string> plain_path(std::string_view path) {
  if (!path.starts_with('/'))
    return std::nullopt;
  std::string out;
  while (!path.empty()) {
    size_t end = std::min(path.find('/'), path.size());
    auto segment = path.substr(0, end);
    if (segment == "..")
      return std::nullopt;
    if (!segment.empty() && segment != ".")
      (out += '/') += segment;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (out == "/var/run" || out.starts_with("/var/run/"))
    out.erase(0, 4);
  return out.empty() ? "/" : out;
}

bool is_within(std::string_view path, std::string_view directory) {
  return directory == "/" || path == directory
         || (path.starts_with(directory) && path[directory.size()] == '/');
}

bool holds_socket(const std::string& source, std::string_view socket) {
  auto place = plain_path(socket);
  return place && is_within(*place, source);
}

std::string container_path(const std::string& container) {
  return "/containers/" + percent_encode(container);
}

json mounts_of(const exapp_call& call) {
  json list = json::array();
  list.push_back({{"Type", "volume"},
                  {"Source", call.volume()},
                  {"Target", "/" + call.volume()},
                  {"ReadOnly", false}});
  for (const auto& mount : call.mounts)
    list.push_back({{"Type", "bind"},
                    {"Source", mount.source},
                    {"Target", mount.target},
                    {"ReadOnly", mount.read_only}});
  return list;
}

json host_config(const exapp_call& call) {
  json host{{"NetworkMode", call.network},
            {"Mounts", mounts_of(call)},
            {"RestartPolicy", {{"Name", call.restart_policy}}}};
  if (call.device == compute_device::cuda) {
    json capabilities = json::array({json::array({"compute", "utility"})});
    host["DeviceRequests"] = json::array(
        {json{{"Driver", "nvidia"}, {"Count", -1}, {"Capabilities", std::move(capabilities)}}});
  }
  if (call.device == compute_device::rocm) {
    host["Devices"] = json::array();
    for (const char* device : {"/dev/kfd", "/dev/dri"})
      host["Devices"].push_back(
          {{"PathOnHost", device}, {"PathInContainer", device}, {"CgroupPermissions", "rwm"}});
  }
  if (call.memory_bytes)
    host["Memory"] = *call.memory_bytes;
  if (call.nano_cpus)
    host["NanoCPUs"] = *call.nano_cpus;
  return host;
}

json labels(const exapp_call& call, const std::string& owner) {
  return {{owner_label, owner}, {app_label, call.name}};
}

engine_request post(std::string target, const json& body) {
  // Hostile bytes of a value become U+FFFD, never a broken document.
  return {"POST", std::move(target), "application/json",
          body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

bool is_exec_id(std::string_view id) {
  return !id.empty() && id.size() <= exec_id_bytes_max
         && std::all_of(id.begin(), id.end(), [](char c) {
              return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                     || c == '-' || c == '_';
            });
}

} // namespace

// -- mounts ------------------------------------------------------------------------------------

std::optional<bind_policy> parse_bind_policy(std::string_view text) {
  bind_policy out;
  if (text == "all")
    return out;
  if (text == "none") {
    out.what = bind_policy::kind::none;
    return out;
  }
  out.what = bind_policy::kind::listed;
  while (!text.empty()) {
    size_t end = std::min(text.find(','), text.size());
    auto path = plain_path(text.substr(0, end));
    if (!path)
      return std::nullopt;
    out.below.push_back(std::move(*path));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out.below.empty() ? std::nullopt : std::optional{std::move(out)};
}

std::string mount_fault(const mount_point& mount, const bind_policy& policy) {
  auto source = plain_path(mount.source);
  auto target = plain_path(mount.target);
  if (!source || !target)
    return "a mount's paths must be absolute and without '..'";
  if (*target == "/")
    return "a mount cannot take the place of the container's root";
  if (*source == "/" || is_within(*source, "/proc"))
    return "the root of the engine's host cannot be mounted";
  bool holds = std::any_of(engine_sockets.begin(), engine_sockets.end(),
                           [&](std::string_view socket) { return holds_socket(*source, socket); });
  if (holds || (!policy.engine_socket.empty() && holds_socket(*source, policy.engine_socket)))
    return "a container engine's socket, or a directory that holds one, cannot be mounted";
  bool listed
      = std::any_of(policy.below.begin(), policy.below.end(),
                    [&](const std::string& directory) { return is_within(*source, directory); });
  if (policy.what == bind_policy::kind::all || listed)
    return {};
  return "the mount policy of this Harp (engines.bind_mounts) does not allow this directory of the "
         "host";
}

// -- requests ----------------------------------------------------------------------------------

engine_request create_container_request(const exapp_call& call,
                                        const std::vector<std::string>& environment,
                                        const std::string& owner) {
  json body{{"Image", call.image},
            {"Hostname", call.name},
            {"Env", environment},
            {"Labels", labels(call, owner)},
            {"HostConfig", host_config(call)}};
  bool own_network = call.network != "host" && call.network != "bridge" && call.network != "none"
                     && call.network != "default";
  if (own_network) {
    json endpoint{{"Aliases", json::array({call.name})}};
    body["NetworkingConfig"] = {{"EndpointsConfig", {{call.network, std::move(endpoint)}}}};
  }
  return post("/containers/create?name=" + percent_encode(call.container()), body);
}

engine_request create_volume_request(const exapp_call& call, const std::string& owner) {
  return post("/volumes/create", {{"Name", call.volume()}, {"Labels", labels(call, owner)}});
}

engine_request inspect_container_request(const std::string& container) {
  return {"GET", container_path(container) + "/json"};
}

engine_request inspect_volume_request(const std::string& volume) {
  return {"GET", "/volumes/" + percent_encode(volume)};
}

engine_request remove_container_request(const std::string& container) {
  return {"DELETE", container_path(container) + "?force=true"};
}

engine_request remove_volume_request(const std::string& volume) {
  return {"DELETE", "/volumes/" + percent_encode(volume)};
}

engine_request start_container_request(const std::string& container) {
  return {"POST", container_path(container) + "/start"};
}

engine_request stop_container_request(const std::string& container) {
  return {"POST", container_path(container) + "/stop"};
}

engine_request inspect_image_request(const std::string& image) {
  return {"GET", "/images/" + percent_encode(image) + "/json"};
}

engine_request remove_image_request(const std::string& image) {
  return {"DELETE", "/images/" + percent_encode(image)};
}

engine_request upload_request(const std::string& container, std::string tar) {
  return {"PUT", container_path(container) + "/archive?path=%2F", "application/x-tar",
          std::move(tar)};
}

engine_request create_exec_request(const std::string& container,
                                   const std::vector<std::string>& command) {
  return post(container_path(container) + "/exec",
              {{"AttachStdout", true}, {"AttachStderr", true}, {"Cmd", command}});
}

std::optional<engine_request> start_exec_request(std::string_view id) {
  if (!is_exec_id(id))
    return std::nullopt;
  return post("/exec/" + std::string{id} + "/start", {{"Detach", false}, {"Tty", false}});
}

std::optional<engine_request> inspect_exec_request(std::string_view id) {
  if (!is_exec_id(id))
    return std::nullopt;
  return engine_request{"GET", "/exec/" + std::string{id} + "/json"};
}

engine_request list_containers_request() {
  return {"GET", "/containers/json?all=true&filters=" + percent_encode(R"({"name":["nc_app_"]})")};
}

engine_request ping_request() {
  return {"GET", "/_ping"};
}

engine_request version_request() {
  return {"GET", "/version"};
}

engine_request logs_request(const std::string& container, unsigned lines) {
  return {"GET", container_path(container) + "/logs?stdout=true&stderr=true&tail="
                     + (lines == 0 ? "all" : std::to_string(lines))};
}

} // namespace harp
