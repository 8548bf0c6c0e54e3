// What a Kubernetes API answers, read into typed facts. The API is foreign: types are checked, lists
// are bounded. Pure.
#pragma once

#include "actors/engine_facts.hpp"
#include "actors/expose_call.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harp {

inline constexpr size_t object_marks_max = 1000; // labels or annotations of one object
inline constexpr size_t listed_objects_max = 500;

/// A Deployment as a container: its annotations stand for labels, its pod template's environment
/// for the container's. Status is `running` (replicas wanted) or `stopped`.
std::optional<container_facts> read_deployment(std::string_view json);
std::optional<std::vector<container_facts>> read_deployments(std::string_view json);
/// A claim as a volume: its annotations stand for labels.
std::optional<volume_facts> read_claim(std::string_view json);

struct pod_facts {
  std::string phase; // Pending, Running, Succeeded, Failed, Unknown
  bool ready = false;
  std::string waiting_reason, waiting_message; // of the first container that waits
};
/// The pods of a list, in its order.
std::optional<std::vector<pod_facts>> read_pods(std::string_view json);

struct service_facts {
  std::string name, type, cluster_ip;
  uint16_t port = 0, node_port = 0; // of the first port
  std::string balancer;             // first ingress address or name, "" = none yet
  std::map<std::string, std::string> labels, annotations;
};
std::optional<service_facts> read_service(std::string_view json);
/// The first of a list; nothing in it: an empty name. Nothing: not a list of Services.
std::optional<service_facts> read_first_service(std::string_view json);

struct node_facts {
  std::string name;
  bool ready = false;
  std::map<std::string, std::string> addresses; // type -> first of it
};
std::optional<std::vector<node_facts>> read_nodes(std::string_view json);
/// The address by which a node port is reached: of ready nodes before others, of the wanted type,
/// else of the other one, else a Hostname. "" = there is none.
std::string pick_node_address(const std::vector<node_facts>& nodes, const std::string& type);

/// gitVersion of a version answer, or "".
std::string read_git_version(std::string_view json);
/// status.allowed of an access review, or nothing.
std::optional<bool> read_allowed(std::string_view json);

} // namespace harp
