#include "actors/expose_call.hpp"

#include "actors/json_fields.hpp"

#include <algorithm>
#include <array>

namespace harp {

namespace {

constexpr std::array<std::pair<expose_type, std::string_view>, 4> type_names{{
    {expose_type::node_port, "nodeport"},
    {expose_type::cluster_ip, "clusterip"},
    {expose_type::load_balancer, "loadbalancer"},
    {expose_type::manual, "manual"},
}};
constexpr size_t mark_name_bytes_max = 63;
constexpr size_t mark_prefix_bytes_max = 253;
constexpr size_t selector_bytes_max = 1024;

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Letters, digits, `-_.`, a letter or digit at both ends.
bool is_mark_text(std::string_view text) {
  return !text.empty() && text.size() <= mark_name_bytes_max && is_alnum(text.front())
         && is_alnum(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
              return is_alnum(c) || c == '-' || c == '_' || c == '.';
            });
}

/// The key of a label or annotation: `name`, or `prefix/name`.
bool is_mark_key(std::string_view key) {
  auto slash = key.find('/');
  if (slash == key.npos)
    return is_mark_text(key);
  auto prefix = key.substr(0, slash);
  return !prefix.empty() && prefix.size() <= mark_prefix_bytes_max && is_host_text(prefix)
         && is_mark_text(key.substr(slash + 1));
}

/// Keys by which Harp and AppAPI find and judge objects: not a caller's to set.
bool is_reserved_key(std::string_view key) {
  constexpr std::string_view own = "app.kubernetes.io/";
  if (key.starts_with(own)) {
    key.remove_prefix(own.size());
    return key == "name" || key == "part-of" || key == "component" || key == "instance"
           || key == "role" || key == "managed-by";
  }
  return key == "app" || key.starts_with("io.harp.") || key.starts_with("appapi.nextcloud.com/");
}

void check_marks(json_fields& from, const expose_wish& wish) {
  for (const auto& [key, value] : wish.labels)
    if (!is_mark_key(key) || is_reserved_key(key) || (!value.empty() && !is_mark_text(value)))
      from.fail("service_labels", "must be labels, and none that Harp relies on");
  for (const auto& [key, value] : wish.annotations)
    if (!is_mark_key(key) || is_reserved_key(key) || value.size() > service_annotation_bytes_max)
      from.fail("service_annotations", "must be annotations, and none that Harp relies on");
}

bool is_selector(std::string_view text) {
  return text.size() <= selector_bytes_max && std::all_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f;
         });
}

void read_upstream(json_fields& from, expose_wish& into) {
  from.text("upstream_host", into.upstream_host);
  from.port("upstream_port", into.upstream_port);
  if (!into.upstream_host.empty() && !is_host_text(into.upstream_host))
    from.fail("upstream_host", "must be an address or a name");
  if (into.type == expose_type::manual && into.upstream_host.empty())
    from.fail("upstream_host", "is needed with expose_type manual");
  if (into.type != expose_type::manual && into.upstream_port)
    from.fail("upstream_port", "is for expose_type manual only");
}

void read_service(json_fields& from, expose_wish& into) {
  from.port("service_port", into.service_port);
  from.port("node_port", into.node_port);
  if (into.node_port && (*into.node_port < node_port_first || *into.node_port > node_port_last))
    from.fail("node_port", "must be 30000-32767");
  from.text("external_traffic_policy", into.traffic_policy);
  if (!into.traffic_policy.empty() && into.traffic_policy != "Cluster"
      && into.traffic_policy != "Local")
    from.fail("external_traffic_policy", "must be Cluster or Local");
  from.text("load_balancer_ip", into.load_balancer_ip);
  if (!into.load_balancer_ip.empty() && !is_host_text(into.load_balancer_ip))
    from.fail("load_balancer_ip", "must be an address");
  from.texts("service_annotations", service_marks_max, into.annotations);
  from.texts("service_labels", service_marks_max, into.labels);
  check_marks(from, into);
}

void read_nodes(json_fields& from, expose_wish& into) {
  from.text("node_address_type", into.node_address_type);
  if (into.node_address_type != "InternalIP" && into.node_address_type != "ExternalIP")
    from.fail("node_address_type", "must be InternalIP or ExternalIP");
  from.text("node_name", into.node_name);
  if (!into.node_name.empty() && !is_host_text(into.node_name))
    from.fail("node_name", "must be the name of a node");
  from.text("node_label_selector", into.node_selector);
  if (!is_selector(into.node_selector))
    from.fail("node_label_selector", "must be a label selector");
}

} // namespace

std::string_view to_string(expose_type type) {
  for (const auto& [known, name] : type_names)
    if (known == type)
      return name;
  return "unknown";
}

std::optional<expose_type> expose_type_of(std::string_view text) {
  for (const auto& [known, name] : type_names)
    if (name == text)
      return known;
  return std::nullopt;
}

bool is_host_text(std::string_view text) {
  return !text.empty() && text.size() <= upstream_host_bytes_max
         && std::all_of(text.begin(), text.end(), [](char c) {
              return is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':';
            });
}

expose_wish read_expose_wish(json_fields& from) {
  expose_wish out;
  std::optional<uint16_t> port;
  from.port("port", port);
  out.port = port.value_or(0);
  if (!port)
    from.fail("port", "is needed, 1-65535");
  std::string type{to_string(out.type)};
  from.text("expose_type", type);
  if (auto known = expose_type_of(type))
    out.type = *known;
  else
    from.fail("expose_type", "must be nodeport, clusterip, loadbalancer or manual");
  read_upstream(from, out);
  read_service(from, out);
  double limit_s = std::chrono::duration<double>(out.wait_limit).count();
  double interval_s = std::chrono::duration<double>(out.wait_interval).count();
  from.number("wait_timeout_seconds", 0, 600, limit_s);
  from.number("wait_interval_seconds", 0.1, 10, interval_s);
  out.wait_limit = std::chrono::milliseconds{static_cast<int64_t>(limit_s * 1000)};
  out.wait_interval = std::chrono::milliseconds{static_cast<int64_t>(interval_s * 1000)};
  read_nodes(from, out);
  return out;
}

} // namespace harp
