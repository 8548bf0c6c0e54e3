#include "actors/kubernetes_facts.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace harp {

namespace {

using json = nlohmann::json;

json parsed(std::string_view text) {
  return json::parse(text, nullptr, false);
}

/// The value behind some keys, or JSON null.
const json& at(const json& of, std::initializer_list<const char*> keys) {
  static const json nothing;
  const json* here = &of;
  for (const char* key : keys) {
    if (!here->is_object())
      return nothing;
    auto found = here->find(key);
    if (found == here->end())
      return nothing;
    here = &*found;
  }
  return *here;
}

const json& first_of(const json& list) {
  static const json nothing;
  return list.is_array() && !list.empty() ? list.front() : nothing;
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string{};
}

uint16_t port_of(const json& value) {
  bool fits = value.is_number_unsigned() && value.get<uint64_t>() <= 65535;
  return fits ? value.get<uint16_t>() : uint16_t{0};
}

std::map<std::string, std::string> marks_of(const json& value) {
  std::map<std::string, std::string> out;
  if (value.is_object())
    for (const auto& [key, mark] : value.items())
      if (mark.is_string() && out.size() < object_marks_max)
        out.emplace(key, mark.get<std::string>());
  return out;
}

/// True when the list of conditions has `type` with status True.
bool has_condition(const json& conditions, std::string_view type) {
  return conditions.is_array()
         && std::any_of(conditions.begin(), conditions.end(), [type](const json& one) {
              return text_of(at(one, {"type"})) == type && text_of(at(one, {"status"})) == "True";
            });
}

container_facts deployment_of(const json& value) {
  container_facts out;
  out.name = text_of(at(value, {"metadata", "name"}));
  out.id = text_of(at(value, {"metadata", "uid"}));
  out.labels = marks_of(at(value, {"metadata", "annotations"}));
  const auto& replicas = at(value, {"spec", "replicas"});
  out.running = !replicas.is_number() || replicas.get<int64_t>() > 0;
  out.status = out.running ? "running" : "stopped";
  const auto& ready = at(value, {"status", "readyReplicas"});
  if (out.running)
    out.health = ready.is_number() && ready.get<int64_t>() > 0 ? "healthy" : "starting";
  const auto& container = first_of(at(value, {"spec", "template", "spec", "containers"}));
  out.image = text_of(at(container, {"image"}));
  const auto& variables = at(container, {"env"});
  if (variables.is_array())
    for (const auto& one : variables)
      out.environment.push_back(text_of(at(one, {"name"})) + "=" + text_of(at(one, {"value"})));
  return out;
}

service_facts service_of(const json& value) {
  service_facts out;
  out.name = text_of(at(value, {"metadata", "name"}));
  out.type = text_of(at(value, {"spec", "type"}));
  out.cluster_ip = text_of(at(value, {"spec", "clusterIP"}));
  const auto& port = first_of(at(value, {"spec", "ports"}));
  out.port = port_of(at(port, {"port"}));
  out.node_port = port_of(at(port, {"nodePort"}));
  const auto& ingress = first_of(at(value, {"status", "loadBalancer", "ingress"}));
  out.balancer = text_of(at(ingress, {"ip"}));
  if (out.balancer.empty())
    out.balancer = text_of(at(ingress, {"hostname"}));
  out.labels = marks_of(at(value, {"metadata", "labels"}));
  out.annotations = marks_of(at(value, {"metadata", "annotations"}));
  return out;
}

pod_facts pod_of(const json& value) {
  pod_facts out;
  out.phase = text_of(at(value, {"status", "phase"}));
  out.ready = has_condition(at(value, {"status", "conditions"}), "Ready");
  const auto& containers = at(value, {"status", "containerStatuses"});
  if (!containers.is_array())
    return out;
  for (const auto& one : containers) {
    const auto& waiting = at(one, {"state", "waiting"});
    if (!waiting.is_object())
      continue;
    out.waiting_reason = text_of(at(waiting, {"reason"}));
    out.waiting_message = text_of(at(waiting, {"message"}));
    break;
  }
  return out;
}

node_facts node_of(const json& value) {
  node_facts out;
  out.name = text_of(at(value, {"metadata", "name"}));
  out.ready = has_condition(at(value, {"status", "conditions"}), "Ready");
  const auto& addresses = at(value, {"status", "addresses"});
  if (addresses.is_array())
    for (const auto& one : addresses)
      out.addresses.emplace(text_of(at(one, {"type"})), text_of(at(one, {"address"})));
  return out;
}

/// The items of a list, each made by `make`; nothing when this is no list.
template <class Facts>
std::optional<std::vector<Facts>> read_list(std::string_view text, Facts (*make)(const json&)) {
  auto value = parsed(text);
  const auto& items = at(value, {"items"});
  if (!items.is_array())
    return std::nullopt;
  std::vector<Facts> out;
  for (const auto& item : items)
    if (out.size() < listed_objects_max)
      out.push_back(make(item));
  return out;
}

/// An object that has a name, or nothing.
template <class Facts>
std::optional<Facts> read_object(std::string_view text, Facts (*make)(const json&)) {
  auto value = parsed(text);
  auto out = make(value);
  return out.name.empty() ? std::nullopt : std::optional{std::move(out)};
}

volume_facts claim_of(const json& value) {
  return {text_of(at(value, {"metadata", "name"})),
          marks_of(at(value, {"metadata", "annotations"}))};
}

} // namespace

std::optional<container_facts> read_deployment(std::string_view text) {
  return read_object<container_facts>(text, deployment_of);
}

std::optional<std::vector<container_facts>> read_deployments(std::string_view text) {
  return read_list<container_facts>(text, deployment_of);
}

std::optional<volume_facts> read_claim(std::string_view text) {
  return read_object<volume_facts>(text, claim_of);
}

std::optional<std::vector<pod_facts>> read_pods(std::string_view text) {
  return read_list<pod_facts>(text, pod_of);
}

std::optional<service_facts> read_service(std::string_view text) {
  return read_object<service_facts>(text, service_of);
}

std::optional<service_facts> read_first_service(std::string_view text) {
  auto all = read_list<service_facts>(text, service_of);
  if (!all)
    return std::nullopt;
  return all->empty() ? service_facts{} : std::move(all->front());
}

std::optional<std::vector<node_facts>> read_nodes(std::string_view text) {
  return read_list<node_facts>(text, node_of);
}

std::string pick_node_address(const std::vector<node_facts>& nodes, const std::string& type) {
  const std::string other = type == "ExternalIP" ? "InternalIP" : "ExternalIP";
  for (bool ready : {true, false})
    for (const std::string& wanted : {type, other, std::string{"Hostname"}})
      for (const auto& node : nodes)
        if (auto found = node.addresses.find(wanted);
            node.ready == ready && found != node.addresses.end() && is_host_text(found->second))
          return found->second;
  return {};
}

std::string read_git_version(std::string_view text) {
  auto value = parsed(text);
  return text_of(at(value, {"gitVersion"}));
}

std::optional<bool> read_allowed(std::string_view text) {
  auto value = parsed(text);
  const auto& allowed = at(value, {"status", "allowed"});
  return allowed.is_boolean() ? std::optional{allowed.get<bool>()} : std::nullopt;
}

} // namespace harp
