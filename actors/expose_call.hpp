// How an ExApp in Kubernetes is to be reached, as AppAPI asks for it (appapi-harp.md 4.6). Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace harp {

class json_fields;

inline constexpr size_t service_marks_max = 64;              // labels, and annotations
inline constexpr size_t service_annotation_bytes_max = 4096; // one value
inline constexpr size_t upstream_host_bytes_max = 253;
inline constexpr uint16_t node_port_first = 30000;
inline constexpr uint16_t node_port_last = 32767;

enum class expose_type : uint8_t { node_port, cluster_ip, load_balancer, manual };
std::string_view to_string(expose_type type); // "nodeport", ...
std::optional<expose_type> expose_type_of(std::string_view text);

/// Where Harp reaches an app.
struct app_place {
  std::string host;
  uint16_t port = 0;
  bool operator==(const app_place&) const = default;
};

/// One expose call, checked for form.
struct expose_wish {
  uint16_t port = 0; // of the app
  expose_type type = expose_type::cluster_ip;
  std::string upstream_host;             // manual: required; else in place of what the cluster says
  std::optional<uint16_t> upstream_port; // manual only
  std::optional<uint16_t> service_port, node_port;
  std::string traffic_policy; // "", Cluster or Local
  std::string load_balancer_ip;
  std::map<std::string, std::string> annotations, labels; // none that Harp relies on
  std::chrono::milliseconds wait_limit{60'000};
  std::chrono::milliseconds wait_interval{1'000};
  std::string node_address_type = "InternalIP";
  std::string node_name, node_selector;
};

/// Reads the fields of a wish; errors go into `from`.
expose_wish read_expose_wish(json_fields& from);

/// An address or a DNS name.
bool is_host_text(std::string_view text);

} // namespace harp
