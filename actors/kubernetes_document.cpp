#include "actors/kubernetes_document.hpp"

#include "actors/docker_call.hpp"
#include "actors/docker_document.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace harp {

namespace {

using json = nlohmann::ordered_json; // golden documents keep their order

constexpr const char* json_type = "application/json";
constexpr const char* patch_type = "application/strategic-merge-patch+json";
constexpr int64_t mebibyte = 1024 * 1024;
constexpr int64_t nano_per_milli = 1'000'000;

engine_request send(const char* method, std::string target, const json& body,
                    const char* type = json_type) {
  // Hostile bytes of a value become U+FFFD, never a broken document.
  return {method, std::move(target), type,
          body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

std::string apps_path(const kubernetes_rules& rules, const std::string& name = {}) {
  auto all = "/apis/apps/v1/namespaces/" + percent_encode(rules.name_space) + "/deployments";
  return name.empty() ? all : all + "/" + name;
}

std::string core_path(const kubernetes_rules& rules, const std::string& kind,
                      const std::string& name = {}) {
  auto all = "/api/v1/namespaces/" + percent_encode(rules.name_space) + "/" + kind;
  return name.empty() ? all : all + "/" + name;
}

std::string selecting(const std::string& label, const std::string& value) {
  return "?labelSelector=" + percent_encode(label + "=" + value);
}

json exapp_labels(const exapp_call& call, const kubernetes_names& names) {
  json out{{"app", names.deployment},
           {"app.kubernetes.io/name", names.deployment},
           {"app.kubernetes.io/part-of", names.base},
           {"app.kubernetes.io/component", "exapp"}};
  if (auto instance = kubernetes_name(call.instance_id); !instance.empty())
    out["app.kubernetes.io/instance"] = instance;
  if (auto role = kubernetes_name(call.role_suffix); !role.empty())
    out["app.kubernetes.io/role"] = role;
  return out;
}

json owner_marks(const exapp_call& call, const std::string& owner) {
  return {{owner_label, owner}, {app_label, call.name}};
}

json resources_of(const exapp_call& call) {
  json same = json::object();
  if (!call.cpu_quantity.empty())
    same["cpu"] = call.cpu_quantity;
  else if (call.nano_cpus)
    same["cpu"] = cpu_quantity(*call.nano_cpus);
  if (!call.memory_quantity.empty())
    same["memory"] = call.memory_quantity;
  else if (call.memory_bytes)
    same["memory"] = memory_quantity(*call.memory_bytes);
  json limits = same;
  if (call.device != compute_device::cpu)
    limits[call.device == compute_device::cuda ? "nvidia.com/gpu" : "amd.com/gpu"] = "1";
  json out = json::object();
  if (!same.empty())
    out["requests"] = std::move(same);
  if (!limits.empty())
    out["limits"] = std::move(limits);
  return out;
}

json container_of(const exapp_call& call, const std::vector<std::string>& environment) {
  json variables = json::array();
  for (const auto& entry : environment) {
    auto equals = entry.find('=');
    variables.push_back({{"name", entry.substr(0, equals)}, {"value", entry.substr(equals + 1)}});
  }
  json mount{{"name", "data"}, {"mountPath", "/" + call.volume()}};
  json out{{"name", "app"},
           {"image", call.image},
           {"imagePullPolicy", "IfNotPresent"},
           {"env", std::move(variables)}};
  if (auto resources = resources_of(call); !resources.empty())
    out["resources"] = std::move(resources);
  out["volumeMounts"] = json::array({std::move(mount)});
  return out;
}

/// Grouped by address, in the order in which addresses first appear.
json host_aliases(const kubernetes_rules& rules) {
  json out = json::array();
  for (const auto& [host, address] : rules.host_aliases) {
    json* group = nullptr;
    for (auto& known : out)
      if (known["ip"] == address)
        group = &known;
    if (group == nullptr)
      group = &out.emplace_back(json{{"ip", address}, {"hostnames", json::array()}});
    (*group)["hostnames"].push_back(host);
  }
  return out;
}

json pod_spec(const exapp_call& call, const kubernetes_rules& rules,
              const std::vector<std::string>& environment, const std::string& claim) {
  json volume{{"name", "data"}, {"persistentVolumeClaim", {{"claimName", claim}}}};
  // An ExApp has no business with the cluster's API: it gets no token for it.
  json out{{"automountServiceAccountToken", false},
           {"containers", json::array({container_of(call, environment)})},
           {"volumes", json::array({std::move(volume)})}};
  if (auto aliases = host_aliases(rules); !aliases.empty())
    out["hostAliases"] = std::move(aliases);
  return out;
}

/// What resolving the upstream again must know and the Service's own fields do not tell.
void keep_wish(const expose_wish& wish, json& annotations) {
  auto keep = [&annotations](std::string_view key, const std::string& value) {
    if (!value.empty())
      annotations[std::string{key}] = value;
  };
  keep(service_host_annotation, wish.upstream_host);
  if (wish.type != expose_type::node_port)
    return;
  keep(node_type_annotation, wish.node_address_type == "InternalIP" ? "" : wish.node_address_type);
  keep(node_name_annotation, wish.node_name);
  keep(node_selector_annotation, wish.node_selector);
}

json service_spec(const expose_wish& wish, const std::string& deployment) {
  json port{{"name", "http"},
            {"protocol", "TCP"},
            {"port", wish.service_port.value_or(wish.port)},
            {"targetPort", wish.port}};
  if (wish.type == expose_type::node_port && wish.node_port)
    port["nodePort"] = *wish.node_port;
  json out{{"type", wish.type == expose_type::node_port       ? "NodePort"
                    : wish.type == expose_type::load_balancer ? "LoadBalancer"
                                                              : "ClusterIP"},
           {"selector", {{"app", deployment}}},
           {"ports", json::array({std::move(port)})}};
  if (wish.type == expose_type::cluster_ip)
    return out;
  if (!wish.traffic_policy.empty())
    out["externalTrafficPolicy"] = wish.traffic_policy;
  if (wish.type == expose_type::load_balancer && !wish.load_balancer_ip.empty())
    out["loadBalancerIP"] = wish.load_balancer_ip;
  return out;
}

} // namespace

// -- names and quantities --------------------------------------------------------------------------

std::string kubernetes_name(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c | 0x20);
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain)
      out += c;
    else if (!out.empty() && out.back() != '-')
      out += '-';
  }
  out.resize(std::min(out.size(), kubernetes_name_bytes_max));
  while (out.ends_with('-'))
    out.pop_back();
  return out;
}

kubernetes_names::kubernetes_names(const exapp_call& call)
    : deployment(kubernetes_name(call.container())), claim(kubernetes_name(call.volume())) {
  exapp_call roleless;
  roleless.name = call.name;
  roleless.instance_id = call.instance_id;
  base = kubernetes_name(roleless.container());
}

std::string memory_quantity(int64_t bytes) {
  return std::to_string(bytes / mebibyte + (bytes % mebibyte > 0 ? 1 : 0)) + "Mi";
}

std::string cpu_quantity(int64_t nano_cpus) {
  auto milli = nano_cpus / nano_per_milli + (nano_cpus % nano_per_milli > 0 ? 1 : 0);
  return std::to_string(std::max<int64_t>(1, milli)) + "m";
}

// -- deployments -----------------------------------------------------------------------------------

engine_request kubernetes_documents::get_deployment(const std::string& name) const {
  return {"GET", apps_path(rules_, name)};
}

engine_request
kubernetes_documents::create_deployment(const exapp_call& call,
                                        const std::vector<std::string>& environment) const {
  kubernetes_names names{call};
  auto labels = exapp_labels(call, names);
  json pod{{"metadata", {{"labels", labels}}},
           {"spec", pod_spec(call, rules_, environment, names.claim)}};
  json body{{"apiVersion", "apps/v1"},
            {"kind", "Deployment"},
            {"metadata",
             {{"name", names.deployment},
              {"namespace", rules_.name_space},
              {"labels", std::move(labels)},
              {"annotations", owner_marks(call, owner_)}}},
            {"spec",
             {{"replicas", 0},
              {"selector", {{"matchLabels", {{"app", names.deployment}}}}},
              {"template", std::move(pod)}}}};
  return send("POST", apps_path(rules_), body);
}

engine_request kubernetes_documents::scale_deployment(const std::string& name,
                                                      unsigned replicas) const {
  return send("PATCH", apps_path(rules_, name), {{"spec", {{"replicas", replicas}}}}, patch_type);
}

engine_request kubernetes_documents::annotate_upstream(const std::string& name,
                                                       const app_place& at) const {
  json annotations{{expose_annotation, to_string(expose_type::manual)},
                   {upstream_host_annotation, at.host},
                   {upstream_port_annotation, std::to_string(at.port)}};
  return send("PATCH", apps_path(rules_, name), {{"metadata", {{"annotations", annotations}}}},
              patch_type);
}

engine_request kubernetes_documents::delete_deployment(const std::string& name) const {
  return {"DELETE", apps_path(rules_, name) + "?propagationPolicy=Background"};
}

engine_request kubernetes_documents::list_deployments(const std::string& base) const {
  auto which = base.empty() ? selecting("app.kubernetes.io/component", "exapp")
                            : selecting("app.kubernetes.io/part-of", base);
  return {"GET", apps_path(rules_) + which + "&limit=" + std::to_string(listed_deployments_max)};
}

// -- claims, pods, services ------------------------------------------------------------------------

engine_request kubernetes_documents::get_claim(const std::string& name) const {
  return {"GET", core_path(rules_, "persistentvolumeclaims", name)};
}

engine_request kubernetes_documents::create_claim(const exapp_call& call) const {
  kubernetes_names names{call};
  json labels{{"app.kubernetes.io/name", names.base},
              {"app.kubernetes.io/part-of", names.base},
              {"app.kubernetes.io/component", "exapp-data"}};
  json spec{{"accessModes", json::array({"ReadWriteOnce"})},
            {"resources", {{"requests", {{"storage", rules_.storage_size}}}}}};
  if (!rules_.storage_class.empty())
    spec["storageClassName"] = rules_.storage_class;
  json body{{"apiVersion", "v1"},
            {"kind", "PersistentVolumeClaim"},
            {"metadata",
             {{"name", names.claim},
              {"namespace", rules_.name_space},
              {"labels", std::move(labels)},
              {"annotations", owner_marks(call, owner_)}}},
            {"spec", std::move(spec)}};
  return send("POST", core_path(rules_, "persistentvolumeclaims"), body);
}

engine_request kubernetes_documents::delete_claim(const std::string& name) const {
  return {"DELETE", core_path(rules_, "persistentvolumeclaims", name)};
}

engine_request kubernetes_documents::list_pods(const std::string& deployment) const {
  return {"GET", core_path(rules_, "pods") + selecting("app", deployment)};
}

engine_request kubernetes_documents::get_service(const std::string& name) const {
  return {"GET", core_path(rules_, "services", name)};
}

engine_request kubernetes_documents::list_services(const std::string& base) const {
  return {"GET", core_path(rules_, "services") + selecting("app.kubernetes.io/part-of", base)};
}

engine_request kubernetes_documents::create_service(const exapp_call& call) const {
  kubernetes_names names{call};
  const auto& wish = *call.wish;
  auto labels = exapp_labels(call, names);
  labels[std::string{managed_label}] = "harp";
  for (const auto& [key, value] : wish.labels)
    labels[key] = value;
  auto annotations = owner_marks(call, owner_);
  keep_wish(wish, annotations);
  for (const auto& [key, value] : wish.annotations)
    annotations[key] = value;
  json body{{"apiVersion", "v1"},
            {"kind", "Service"},
            {"metadata",
             {{"name", names.deployment},
              {"namespace", rules_.name_space},
              {"labels", std::move(labels)},
              {"annotations", std::move(annotations)}}},
            {"spec", service_spec(wish, names.deployment)}};
  return send("POST", core_path(rules_, "services"), body);
}

engine_request kubernetes_documents::delete_service(const std::string& name) const {
  return {"DELETE", core_path(rules_, "services", name)};
}

// -- the cluster -----------------------------------------------------------------------------------

engine_request list_nodes_request(const std::string& name, const std::string& selector) {
  auto target = "/api/v1/nodes?limit=" + std::to_string(listed_nodes_max);
  if (!name.empty())
    target += "&fieldSelector=" + percent_encode("metadata.name=" + name);
  if (!selector.empty())
    target += "&labelSelector=" + percent_encode(selector);
  return {"GET", target};
}

engine_request api_request() {
  return {"GET", "/api"};
}

engine_request api_version_request() {
  return {"GET", "/version"};
}

engine_request access_review_request(const std::string& name_space, const std::string& group,
                                     const std::string& resource, const std::string& verb) {
  json wanted{{"verb", verb}, {"group", group}, {"resource", resource}};
  if (!name_space.empty())
    wanted["namespace"] = name_space;
  json body{{"apiVersion", "authorization.k8s.io/v1"},
            {"kind", "SelfSubjectAccessReview"},
            {"spec", {{"resourceAttributes", std::move(wanted)}}}};
  return send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body);
}

} // namespace harp
