#include "actors/helper_rules.hpp"

#include "actors/docker_call.hpp"
#include "actors/engine_certificates.hpp"
#include "actors/engine_facts.hpp"
#include "actors/engine_tar.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace harp {

namespace {

using json = nlohmann::json;

constexpr std::string_view object_prefix = "nc_app_";
constexpr std::string_view frp_directory = "/certs/frp";
constexpr size_t tar_block_bytes = 512;
constexpr size_t tar_size_at = 124;

/// What allowed requests are compared with: the text of the whole.
struct sent_request {
  std::string method, target, body;
};

bool is(const sent_request& sent, const engine_request& allowed) {
  return sent.method == allowed.method && sent.target == allowed.target
         && sent.body == allowed.body;
}

std::string text_of(const json& of, const char* key) {
  auto found = of.is_object() ? of.find(key) : of.end();
  return of.is_object() && found != of.end() && found->is_string() ? found->get<std::string>()
                                                                   : std::string{};
}

const json& member(const json& of, const char* key) {
  static const json nothing;
  auto found = of.is_object() ? of.find(key) : of.end();
  return of.is_object() && found != of.end() ? *found : nothing;
}

/// The segment of `target` behind `prefix`, if it is a name of ours that needs no encoding.
std::string object_name(std::string_view target, std::string_view prefix) {
  if (!target.starts_with(prefix))
    return {};
  target.remove_prefix(prefix.size());
  auto name = target.substr(0, target.find_first_of("/?"));
  bool ours = name.starts_with(object_prefix) && name.size() <= container_name_bytes_max
              && std::all_of(name.begin(), name.end(), [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                          || c == '_' || c == '.' || c == '-';
                 });
  return ours ? std::string{name} : std::string{};
}

// -- documents -------------------------------------------------------------------------------------

std::optional<int64_t> amount_of(const json& of, const char* key) {
  const auto& value = member(of, key);
  return value.is_number_integer() ? std::optional{value.get<int64_t>()} : std::nullopt;
}

/// instance_id and role_suffix such that the call has this container and this volume.
bool name_parts(exapp_call& call, const std::string& container, const std::string& volume) {
  std::string tail = call.name + "_data";
  if (!volume.starts_with(object_prefix) || !volume.ends_with(tail)
      || volume.size() < object_prefix.size() + tail.size())
    return false;
  call.instance_id
      = volume.substr(object_prefix.size(), volume.size() - object_prefix.size() - tail.size());
  if (!call.instance_id.empty())
    call.instance_id.pop_back(); // the `_` behind it; a wrong one shows when all is built anew
  auto plain = call.container();
  if (container.size() > plain.size() + 1 && container.starts_with(plain))
    call.role_suffix = container.substr(plain.size() + 1);
  return true;
}

/// The fields of a container document, or nothing. What is lost here makes the rebuilt one differ.
std::optional<exapp_call> read_document(const std::string& container, const json& from) {
  exapp_call out;
  out.action = exapp_action::create;
  out.name = text_of(from, "Hostname");
  out.image = text_of(from, "Image");
  const auto& host = member(from, "HostConfig");
  out.network = text_of(host, "NetworkMode");
  out.restart_policy = text_of(member(host, "RestartPolicy"), "Name");
  out.memory_bytes = amount_of(host, "Memory");
  out.nano_cpus = amount_of(host, "NanoCPUs");
  if (!member(host, "DeviceRequests").is_null())
    out.device = compute_device::cuda;
  else if (!member(host, "Devices").is_null())
    out.device = compute_device::rocm;
  for (const auto& entry : member(from, "Env"))
    if (entry.is_string())
      out.environment.push_back(entry.get<std::string>());
  const auto& mounts = member(host, "Mounts");
  if (!mounts.is_array() || mounts.empty()
      || !name_parts(out, container, text_of(mounts[0], "Source")))
    return std::nullopt;
  for (size_t i = 1; i < mounts.size(); ++i)
    out.mounts.push_back({text_of(mounts[i], "Source"), text_of(mounts[i], "Target"),
                          member(mounts[i], "ReadOnly") == json(true)});
  bool named = is_exapp_name(out.name)
               && (out.instance_id.empty() || is_exapp_name(out.instance_id))
               && (out.role_suffix.empty() || is_exapp_name(out.role_suffix));
  bool plain_network = !out.network.empty() && is_exapp_name(out.network);
  return named && plain_network && is_image_reference(out.image) ? std::optional{std::move(out)}
                                                                 : std::nullopt;
}

std::optional<engine_request> judge_create(const sent_request& sent, const bind_policy& policy) {
  auto container = object_name(sent.target, "/containers/create?name=");
  auto document = json::parse(sent.body, nullptr, false);
  auto call = container.empty() ? std::nullopt : read_document(container, document);
  if (!call)
    return std::nullopt;
  for (const auto& mount : call->mounts)
    if (!mount_fault(mount, policy).empty())
      return std::nullopt;
  auto owner = text_of(member(document, "Labels"), std::string{owner_label}.c_str());
  auto rebuilt = create_container_request(*call, call->environment, owner);
  return is(sent, rebuilt) ? std::optional{std::move(rebuilt)} : std::nullopt;
}

std::optional<engine_request> judge_volume_document(const sent_request& sent) {
  auto document = json::parse(sent.body, nullptr, false);
  exapp_call call;
  const auto& labels = member(document, "Labels");
  call.name = text_of(labels, std::string{app_label}.c_str());
  if (!is_exapp_name(call.name) || !name_parts(call, {}, text_of(document, "Name")))
    return std::nullopt;
  auto rebuilt = create_volume_request(call, text_of(labels, std::string{owner_label}.c_str()));
  return is(sent, rebuilt) ? std::optional{std::move(rebuilt)} : std::nullopt;
}

// -- certificates ------------------------------------------------------------------------------------

/// Places of every distribution that certificate_place_of() knows.
std::vector<certificate_place> known_places() {
  return {certificate_place_of("debian"), certificate_place_of("fedora")};
}

bool is_known_command(const std::vector<std::string>& command) {
  using words = std::vector<std::string>;
  if (command == words{"cat", "/etc/os-release"} || command == words{"true"})
    return true; // the latter is how `harp engine check` looks for the right to run commands
  auto places = known_places();
  return std::any_of(places.begin(), places.end(), [&command](const certificate_place& place) {
    return command == place.update || command == words{"mkdir", "-p", place.directory};
  });
}

bool is_known_file(std::string_view name) {
  auto in = [name](std::string_view directory) {
    return name.starts_with(directory) && name.size() > directory.size() + 1
           && name[directory.size()] == '/'
           && name.substr(directory.size() + 1).find('/') == name.npos;
  };
  auto places = known_places();
  return in(frp_directory.substr(1))
         || std::any_of(places.begin(), places.end(), [&in](const certificate_place& place) {
              return in(std::string_view{place.directory}.substr(1));
            });
}

/// The files of an archive as make_tar() makes it; nothing when it is not such a one.
std::optional<std::vector<tar_file>> read_tar(std::string_view bytes) {
  std::vector<tar_file> out;
  while (bytes.size() >= tar_block_bytes && bytes.front() != '\0') {
    auto name = bytes.substr(0, tar_name_bytes_max);
    name = name.substr(0, name.find('\0'));
    size_t size = 0;
    for (char digit : bytes.substr(tar_size_at, 11)) {
      if (digit < '0' || digit > '7')
        return std::nullopt;
      size = size * 8 + static_cast<size_t>(digit - '0');
    }
    bytes.remove_prefix(tar_block_bytes);
    size_t padded = (size + tar_block_bytes - 1) / tar_block_bytes * tar_block_bytes;
    if (padded > bytes.size() || out.size() > bundle_certificates_max)
      return std::nullopt;
    out.push_back({std::string{name}, bytes.substr(0, size)});
    bytes.remove_prefix(padded);
  }
  return out;
}

std::optional<engine_request> judge_upload(const std::string& container, const sent_request& sent) {
  auto files = read_tar(sent.body);
  bool known = files && std::all_of(files->begin(), files->end(), [](const tar_file& file) {
                 return is_known_file(file.name);
               });
  if (!known)
    return std::nullopt;
  auto rebuilt = upload_request(container, sent.body.empty() ? std::string{} : make_tar(*files));
  return is(sent, rebuilt) ? std::optional{std::move(rebuilt)} : std::nullopt;
}

std::optional<engine_request> judge_exec(const std::string& container, const sent_request& sent) {
  auto document = json::parse(sent.body, nullptr, false);
  std::vector<std::string> command;
  for (const auto& word : member(document, "Cmd"))
    if (word.is_string())
      command.push_back(word.get<std::string>());
  if (!is_known_command(command))
    return std::nullopt;
  auto rebuilt = create_exec_request(container, command);
  return is(sent, rebuilt) ? std::optional{std::move(rebuilt)} : std::nullopt;
}

// -- the rest ----------------------------------------------------------------------------------------

/// Requests that are told by their target alone.
std::optional<engine_request> judge_plain(const sent_request& sent) {
  std::vector<engine_request> allowed{list_containers_request(), version_request(), ping_request()};
  if (auto name = object_name(sent.target, "/containers/"); !name.empty())
    for (auto& request : {inspect_container_request(name), start_container_request(name),
                          stop_container_request(name), remove_container_request(name)})
      allowed.push_back(request);
  if (auto name = object_name(sent.target, "/volumes/"); !name.empty())
    for (auto& request : {inspect_volume_request(name), remove_volume_request(name)})
      allowed.push_back(request);
  for (auto& request : allowed)
    if (is(sent, request))
      return std::move(request);
  return std::nullopt;
}

/// Requests about one image: the reference is decoded and encoded again.
std::optional<engine_request> judge_image(const sent_request& sent) {
  constexpr std::string_view prefix = "/images/";
  std::string_view rest = sent.target;
  if (!rest.starts_with(prefix))
    return std::nullopt;
  rest.remove_prefix(prefix.size());
  auto reference = percent_decode(rest.substr(0, rest.find('/')));
  if (!reference || !is_image_reference(*reference))
    return std::nullopt;
  for (auto& request : {inspect_image_request(*reference), remove_image_request(*reference)})
    if (is(sent, request))
      return request;
  return std::nullopt;
}

std::optional<engine_request> judge_exec_id(const sent_request& sent) {
  constexpr std::string_view prefix = "/exec/";
  std::string_view rest = sent.target;
  if (!rest.starts_with(prefix))
    return std::nullopt;
  auto id = rest.substr(prefix.size(), rest.find('/', prefix.size()) - prefix.size());
  for (auto& request : {start_exec_request(id), inspect_exec_request(id)})
    if (request && is(sent, *request))
      return request;
  return std::nullopt;
}

std::optional<engine_request> judge_own(const sent_request& sent, const bind_policy& policy) {
  if (sent.target.starts_with("/containers/create"))
    return sent.method == "POST" ? judge_create(sent, policy) : std::nullopt;
  if (sent.target == "/volumes/create")
    return sent.method == "POST" ? judge_volume_document(sent) : std::nullopt;
  auto container = object_name(sent.target, "/containers/");
  if (!container.empty() && sent.method == "PUT")
    return judge_upload(container, sent);
  if (!container.empty() && sent.method == "POST" && sent.target.ends_with("/exec"))
    return judge_exec(container, sent);
  if (auto plain = judge_plain(sent))
    return plain;
  if (auto image = judge_image(sent))
    return image;
  return judge_exec_id(sent);
}

} // namespace

std::optional<engine_request> judge_helper_question(const helper_question& asked,
                                                    const bind_policy& policy) {
  sent_request sent{std::string{asked.method}, std::string{asked.path}, std::string{asked.body}};
  if (!asked.query.empty())
    sent.target += "?" + std::string{asked.query};
  // The node asks a newer engine for the newest API it was tested with.
  std::string version = sent.target.substr(0, sent.target.find('/', 1));
  bool versioned = version.starts_with("/v") && api_number(version.substr(2)) > 0;
  if (versioned)
    sent.target.erase(0, version.size());
  auto out = judge_own(sent, policy);
  if (out && versioned)
    out->target.insert(0, version);
  auto passed = out || !asked.body.empty()
                    ? std::nullopt
                    : rebuild_docker_call(asked.method, asked.path, asked.query);
  return passed ? std::optional{engine_request{passed->method, passed->target}} : out;
}

} // namespace harp
