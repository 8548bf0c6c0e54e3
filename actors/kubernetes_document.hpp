// Kubernetes requests for ExApps, built from typed parts only (appapi-harp.md 4.6; quality.md S4, K02, K04).
// Pure.
#pragma once

#include "actors/engine_script.hpp"
#include "actors/exapp_call.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harp {

inline constexpr size_t kubernetes_name_bytes_max = 63;
inline constexpr unsigned listed_nodes_max = 100;
inline constexpr unsigned listed_deployments_max = 200;

/// What the operator says about the cluster (HP_K8S_*).
struct kubernetes_rules {
  std::string name_space = "nextcloud-exapps";
  std::string storage_class; // "" = the cluster's default
  std::string storage_size = "10Gi";
  std::vector<std::pair<std::string, std::string>> host_aliases; // host, address
};

/// Lower case, anything but letters and digits is one `-`, none at the ends, at most 63 bytes.
std::string kubernetes_name(std::string_view text);

/// The names of one app's objects.
struct kubernetes_names {
  explicit kubernetes_names(const exapp_call& call);
  std::string deployment; // and of the Service
  std::string claim;
  std::string base; // without role: what all deployments of the app are part of
};

// Marks on objects. Owner and app are annotations: an URL does not fit into a label.
inline constexpr std::string_view managed_label = "app.kubernetes.io/managed-by";
inline constexpr std::string_view expose_annotation = "appapi.nextcloud.com/expose-type";
inline constexpr std::string_view upstream_host_annotation = "appapi.nextcloud.com/upstream-host";
inline constexpr std::string_view upstream_port_annotation = "appapi.nextcloud.com/upstream-port";
/// How the app's upstream was asked to be found, kept on its Service for the next time.
inline constexpr std::string_view service_host_annotation = "io.harp.upstream-host";
inline constexpr std::string_view node_type_annotation = "io.harp.node-address-type";
inline constexpr std::string_view node_name_annotation = "io.harp.node-name";
inline constexpr std::string_view node_selector_annotation = "io.harp.node-label-selector";

/// Builds requests for one namespace. Everything of a caller is checked before it comes here.
class kubernetes_documents {
public:
  kubernetes_documents(const kubernetes_rules& rules, const std::string& owner)
      : rules_(rules), owner_(owner) {}

  [[nodiscard]] engine_request get_deployment(const std::string& name) const;
  /// `environment` stands in for the call's own.
  [[nodiscard]] engine_request create_deployment(const exapp_call& call,
                                                 const std::vector<std::string>& environment) const;
  [[nodiscard]] engine_request scale_deployment(const std::string& name, unsigned replicas) const;
  [[nodiscard]] engine_request annotate_upstream(const std::string& name,
                                                 const app_place& at) const;
  [[nodiscard]] engine_request delete_deployment(const std::string& name) const;
  /// Those of one app, by its base name; "" = all ExApps.
  [[nodiscard]] engine_request list_deployments(const std::string& base) const;
  [[nodiscard]] engine_request get_claim(const std::string& name) const;
  [[nodiscard]] engine_request create_claim(const exapp_call& call) const;
  [[nodiscard]] engine_request delete_claim(const std::string& name) const;
  [[nodiscard]] engine_request list_pods(const std::string& deployment) const;
  [[nodiscard]] engine_request get_service(const std::string& name) const;
  [[nodiscard]] engine_request list_services(const std::string& base) const;
  [[nodiscard]] engine_request create_service(const exapp_call& call) const;
  [[nodiscard]] engine_request delete_service(const std::string& name) const;

private:
  const kubernetes_rules& rules_;
  const std::string& owner_;
};

/// The whole cluster's nodes, or one, or those with some labels.
engine_request list_nodes_request(const std::string& name, const std::string& selector);
engine_request api_request();
engine_request api_version_request();
/// Asks the API what this token may do; needs no right itself.
engine_request access_review_request(const std::string& name_space, const std::string& group,
                                     const std::string& resource, const std::string& verb);

/// Bytes as Mi, rounded up; billionths of a core as thousandths, rounded up, at least 1.
std::string memory_quantity(int64_t bytes);
std::string cpu_quantity(int64_t nano_cpus);

} // namespace harp
