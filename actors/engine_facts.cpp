#include "actors/engine_facts.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace harp {

namespace {

using json = nlohmann::json;

constexpr size_t error_bytes_max = 300;
constexpr size_t log_frame_head_bytes = 8;

json parsed(std::string_view text) {
  return json::parse(text, nullptr, false);
}

const json* member(const json& of, const char* key) {
  if (!of.is_object())
    return nullptr;
  auto found = of.find(key);
  return found == of.end() ? nullptr : &*found;
}

std::string text_of(const json& of, const char* key) {
  const json* value = member(of, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

std::map<std::string, std::string> labels_of(const json& of) {
  std::map<std::string, std::string> out;
  const json* given = member(of, "Labels");
  if (given == nullptr || !given->is_object())
    return out;
  for (const auto& [key, value] : given->items())
    if (value.is_string() && out.size() < container_labels_max)
      out.emplace(key, value.get<std::string>());
  return out;
}

void read_state(const json& of, container_facts& into) {
  const json* state = member(of, "State");
  if (state == nullptr)
    return;
  into.status = text_of(*state, "Status");
  if (const json* running = member(*state, "Running"); running != nullptr && running->is_boolean())
    into.running = running->get<bool>();
  else
    into.running = into.status == "running";
  if (const json* health = member(*state, "Health"))
    into.health = text_of(*health, "Status");
  if (into.health == "none")
    into.health.clear();
}

void read_binds(const json& of, container_facts& into) {
  const json* mounts = member(of, "Mounts");
  if (mounts == nullptr || !mounts->is_array())
    return;
  for (const auto& mount : *mounts)
    if (text_of(mount, "Type") == "bind" && into.binds.size() < 100)
      into.binds.push_back(text_of(mount, "Source"));
}

} // namespace

std::optional<container_facts> read_container(std::string_view text) {
  auto value = parsed(text);
  if (!value.is_object())
    return std::nullopt;
  container_facts out;
  out.id = text_of(value, "Id");
  out.name = text_of(value, "Name");
  if (out.name.starts_with('/'))
    out.name.erase(0, 1);
  if (const json* config = member(value, "Config")) {
    out.image = text_of(*config, "Image");
    out.labels = labels_of(*config);
    if (const json* list = member(*config, "Env"); list != nullptr && list->is_array())
      for (const auto& entry : *list)
        if (entry.is_string())
          out.environment.push_back(entry.get<std::string>());
  }
  if (out.image.empty())
    out.image = text_of(value, "Image");
  read_state(value, out);
  read_binds(value, out);
  return out;
}

std::optional<volume_facts> read_volume(std::string_view text) {
  auto value = parsed(text);
  if (!value.is_object())
    return std::nullopt;
  return volume_facts{text_of(value, "Name"), labels_of(value)};
}

std::optional<std::vector<std::string>> read_container_names(std::string_view text) {
  auto value = parsed(text);
  if (!value.is_array())
    return std::nullopt;
  std::vector<std::string> out;
  for (const auto& entry : value) {
    const json* names = member(entry, "Names");
    if (names == nullptr || !names->is_array() || names->empty() || !names->front().is_string())
      continue;
    auto name = names->front().get<std::string>();
    if (name.starts_with('/'))
      name.erase(0, 1);
    if (name.starts_with("nc_app_") && out.size() < listed_containers_max)
      out.push_back(std::move(name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string read_id(std::string_view text) {
  return text_of(parsed(text), "Id");
}

std::optional<int64_t> read_image_bytes(std::string_view text) {
  auto value = parsed(text);
  const json* size = member(value, "Size");
  if (size == nullptr || !size->is_number_integer())
    return std::nullopt;
  return std::max<int64_t>(0, size->get<int64_t>());
}

bool read_image_deleted(std::string_view text) {
  auto value = parsed(text);
  return value.is_array() && std::any_of(value.begin(), value.end(), [](const json& entry) {
           return member(entry, "Deleted") != nullptr;
         });
}

std::optional<int> read_exit_code(std::string_view text) {
  auto value = parsed(text);
  const json* code = member(value, "ExitCode");
  if (code == nullptr || !code->is_number_integer())
    return std::nullopt;
  return code->get<int>();
}

std::optional<engine_version> read_version(std::string_view text) {
  auto value = parsed(text);
  if (!value.is_object())
    return std::nullopt;
  engine_version out{"Docker", text_of(value, "Version"), text_of(value, "ApiVersion"),
                     text_of(value, "MinAPIVersion")};
  if (const json* parts = member(value, "Components"); parts != nullptr && parts->is_array())
    for (const auto& part : *parts)
      if (text_of(part, "Name").find("Podman") != std::string::npos)
        out.product = "Podman";
  return out;
}

std::string read_error(std::string_view text) {
  auto out = text_of(parsed(text), "message").substr(0, error_bytes_max);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20)
      c = ' ';
  return out;
}

std::string read_log_stream(std::string_view bytes) {
  std::string out;
  std::string_view rest = bytes;
  while (rest.size() >= log_frame_head_bytes) {
    auto byte = [&rest](size_t at) {
      return static_cast<uint32_t>(static_cast<unsigned char>(rest[at]));
    };
    bool is_frame = byte(0) <= 2 && byte(1) == 0 && byte(2) == 0 && byte(3) == 0;
    if (!is_frame)
      return std::string{bytes};
    size_t length = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
    rest.remove_prefix(log_frame_head_bytes);
    length = std::min(length, rest.size());
    out += rest.substr(0, length);
    rest.remove_prefix(length);
  }
  return out.empty() ? std::string{bytes} : out;
}

unsigned api_number(std::string_view version) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* end = version.data() + version.size();
  auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc{} || dot == end || *dot != '.' || major > 1000)
    return 0;
  auto [last, wrong] = std::from_chars(dot + 1, end, minor);
  return wrong == std::errc{} && last == end && minor < 1000 ? major * 1000 + minor : 0;
}

} // namespace harp
