#include "actors/exapp_call.hpp"

#include "actors/docker_call.hpp"
#include "actors/json_fields.hpp"

#include <algorithm>
#include <array>

namespace harp {

namespace {

using json = nlohmann::json;

constexpr std::array<std::pair<exapp_action, std::string_view>, 14> action_names{{
    {exapp_action::exists, "exists"},
    {exapp_action::create, "create"},
    {exapp_action::start, "start"},
    {exapp_action::stop, "stop"},
    {exapp_action::wait_for_start, "wait_for_start"},
    {exapp_action::remove, "remove"},
    {exapp_action::image_remove, "image_remove"},
    {exapp_action::install_certificates, "install_certificates"},
    {exapp_action::expose, "expose"},
    {exapp_action::check_engine, "check_engine"},
    {exapp_action::list_apps, "list_apps"},
    {exapp_action::read_logs, "read_logs"},
    {exapp_action::probe_engine, "probe_engine"},
    {exapp_action::resolve, "resolve"},
}};
constexpr std::array<std::string_view, 4> restart_policies{"no", "always", "unless-stopped",
                                                           "on-failure"};

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
         || c == '.' || c == '-';
}

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void read_names(json_fields& from, exapp_call& into) {
  from.text("name", into.name);
  from.text("instance_id", into.instance_id);
  from.text("role_suffix", into.role_suffix);
  if (!is_exapp_name(into.name))
    from.fail("name", "must be 1 to 128 letters, digits, '_', '.' or '-'");
  if (!into.instance_id.empty() && !is_exapp_name(into.instance_id))
    from.fail("instance_id", "must be letters, digits, '_', '.' or '-'");
  if (!into.role_suffix.empty() && !is_exapp_name(into.role_suffix))
    from.fail("role_suffix", "must be letters, digits, '_', '.' or '-'");
  if (into.container().size() > container_name_bytes_max)
    from.fail("name", "is too long together with instance_id and role_suffix");
}

void read_environment(json_fields& from, exapp_call& into) {
  const json* list = from.find("environment_variables");
  if (list == nullptr || (list->is_object() && list->empty()))
    return;
  if (!list->is_array() || list->size() > environment_entries_max)
    return from.fail("environment_variables", "must be a list of at most 1000 entries");
  for (const auto& entry : *list) {
    bool fits = entry.is_string()
                && entry.get_ref<const std::string&>().find('\0') == std::string::npos
                && entry.get_ref<const std::string&>().size() <= environment_entry_bytes_max;
    size_t equals = fits ? entry.get_ref<const std::string&>().find('=') : 0;
    if (equals == 0 || equals == std::string::npos)
      return from.fail("environment_variables", "each entry must be NAME=VALUE, at most 128 KiB");
    into.environment.push_back(entry.get<std::string>());
  }
}

void read_mount(const json& given, exapp_call& into, std::string& error) {
  mount_point mount;
  std::string mode = "rw";
  json_fields fields{given, error};
  fields.text("source", mount.source);
  fields.text("target", mount.target);
  fields.text("mode", mode);
  if (mode != "rw" && mode != "ro")
    fields.fail("mount_points", "mode must be rw or ro");
  for (const auto& path : {mount.source, mount.target})
    if (!path.starts_with('/') || path.size() > mount_path_bytes_max || has_control_bytes(path))
      fields.fail("mount_points", "source and target must be absolute paths");
  mount.read_only = mode == "ro";
  into.mounts.push_back(std::move(mount));
}

void read_mounts(json_fields& from, exapp_call& into, std::string& error) {
  const json* list = from.find("mount_points");
  if (list == nullptr || (list->is_object() && list->empty()))
    return;
  if (!list->is_array() || list->size() > mount_points_max)
    return from.fail("mount_points", "must be a list of at most 64 entries");
  for (const auto& given : *list) {
    if (!given.is_object())
      return from.fail("mount_points", "each entry must be an object");
    read_mount(given, into, error);
  }
}

/// A quantity as Kubernetes writes it ("512Mi", "0.5"): the API judges the rest of its form.
bool is_quantity(std::string_view text) {
  return !text.empty() && text.size() <= quantity_bytes_max && text.front() >= '0'
         && text.front() <= '9' && std::all_of(text.begin(), text.end(), [](char c) {
              return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                     || c == '.';
            });
}

/// Either a number of the unit Docker knows, or a quantity.
void read_quantity(json_fields& from, const char* key, std::optional<int64_t>& number,
                   std::string& quantity) {
  const json* value = from.find(key);
  if (value == nullptr || !value->is_string())
    return from.amount(key, number);
  from.text(key, quantity);
  if (!is_quantity(quantity))
    from.fail(key, "is not a quantity");
}

void read_limits(json_fields& from, exapp_call& into, engine_kind kind, std::string& error) {
  const json* limits = from.find("resource_limits");
  if (limits == nullptr || (limits->is_array() && limits->empty()))
    return;
  if (!limits->is_object())
    return from.fail("resource_limits", "must be an object");
  json_fields fields{*limits, error};
  if (kind == engine_kind::docker) {
    fields.amount("memory", into.memory_bytes);
    fields.amount("nanoCPUs", into.nano_cpus);
    return;
  }
  read_quantity(fields, "memory", into.memory_bytes, into.memory_quantity);
  fields.amount("nanoCPUs", into.nano_cpus);
  std::optional<int64_t> whole;
  read_quantity(fields, "cpu", whole, into.cpu_quantity);
  if (whole)
    into.cpu_quantity = std::to_string(*whole);
}

void read_create(json_fields& from, exapp_call& into, engine_kind kind, std::string& error) {
  from.text("image", into.image);
  from.text("image_id", into.image);
  if (!is_image_reference(into.image))
    from.fail("image_id", "must be an image reference");
  from.text("network_mode", into.network);
  // A colon would name another container's or the host's namespaces.
  if (into.network.empty() || into.network.size() > network_name_bytes_max
      || !std::all_of(into.network.begin(), into.network.end(), is_name_byte))
    from.fail("network_mode", "must be host, bridge, none or the name of a network");
  from.text("restart_policy", into.restart_policy);
  if (std::find(restart_policies.begin(), restart_policies.end(), into.restart_policy)
      == restart_policies.end())
    from.fail("restart_policy", "must be no, always, unless-stopped or on-failure");
  std::string device = "cpu";
  from.text("compute_device", device);
  if (device == "cuda")
    into.device = compute_device::cuda;
  else if (device == "rocm")
    into.device = compute_device::rocm;
  else if (device != "cpu")
    from.fail("compute_device", "must be cpu, cuda or rocm");
  read_environment(from, into);
  read_mounts(from, into, error);
  read_limits(from, into, kind, error);
}

void read_certificates(json_fields& from, exapp_call& into) {
  from.flag("install_frp_certs", into.install_frp_certificates);
  if (from.find("system_certs_bundle") == nullptr)
    return;
  into.certificate_bundle.emplace();
  from.text("system_certs_bundle", *into.certificate_bundle);
}

} // namespace

std::string_view to_string(exapp_action action) {
  for (const auto& [known, name] : action_names)
    if (known == action)
      return name;
  return "unknown";
}

std::optional<exapp_action> exapp_action_of(std::string_view path_segment, engine_kind kind) {
  // Nodes of a cluster clear away images by themselves; only there apps need to be exposed.
  auto others = kind == engine_kind::docker ? exapp_action::expose : exapp_action::image_remove;
  for (const auto& [known, name] : action_names)
    if (name == path_segment && known < exapp_action::check_engine && known != others)
      return known;
  return std::nullopt;
}

std::string exapp_call::container() const {
  std::string out = "nc_app_";
  if (!instance_id.empty())
    out += instance_id + "_";
  out += name;
  if (!role_suffix.empty())
    out += "_" + role_suffix;
  return out;
}

std::string exapp_call::volume() const {
  return "nc_app_" + (instance_id.empty() ? instance_id : instance_id + "_") + name + "_data";
}

bool is_exapp_name(std::string_view text) {
  return !text.empty() && text.size() <= exapp_name_bytes_max
         && std::all_of(text.begin(), text.end(), is_name_byte);
}

std::optional<std::string_view> environment_value(const std::vector<std::string>& entries,
                                                  std::string_view key) {
  for (std::string_view entry : entries)
    if (entry.size() > key.size() && entry.starts_with(key) && entry[key.size()] == '=')
      return entry.substr(key.size() + 1);
  return std::nullopt;
}

std::variant<exapp_call, std::string> parse_exapp_call(exapp_action action, std::string_view text,
                                                       engine_kind kind) {
  std::string error;
  auto value = parse_call_object(text, error);
  if (!value)
    return error;
  exapp_call out;
  out.action = action;
  json_fields fields{*value, error};
  if (action == exapp_action::image_remove) {
    fields.text("image_ref", out.image_ref);
    if (!is_image_reference(out.image_ref))
      fields.fail("image_ref", "must be an image reference");
  } else {
    read_names(fields, out);
  }
  if (action == exapp_action::create)
    read_create(fields, out, kind, error);
  else if (action == exapp_action::remove)
    fields.flag("remove_data", out.remove_data);
  else if (action == exapp_action::install_certificates)
    read_certificates(fields, out);
  else if (action == exapp_action::expose)
    out.wish = read_expose_wish(fields);
  if (!error.empty())
    return error;
  return out;
}

} // namespace harp
