#include "web/config_places.hpp"

#include "web/config_setters.hpp"

#include <filesystem>
#include <unistd.h>

namespace harp::web {

namespace {

constexpr auto system_state_dir = "/var/lib/harp";
constexpr auto engine_socket = "/var/run/docker.sock";

bool exists(const std::string& path) {
  std::error_code failure;
  return std::filesystem::exists(path, failure);
}

/// Flag, then environment, then nothing; unusable values count as nothing here, load_config
/// complains about them.
std::string chosen_path(const config_sources& sources, const std::string& key,
                        const std::string& variable) {
  auto flag = sources.flags.find(key);
  given_value given{flag != sources.flags.end() ? flag->second
                                                : environment_value(sources, variable)};
  std::string path;
  if (!set_path_value(path, given).empty())
    return {};
  return path;
}

} // namespace

std::string environment_value(const config_sources& sources, const std::string& name) {
  auto found = sources.environment.find(name);
  return found == sources.environment.end() ? std::string{} : found->second;
}

std::string default_state_dir(const config_sources& sources, bool in_image) {
  if (in_image || geteuid() == 0)
    return system_state_dir;
  if (auto base = environment_value(sources, "XDG_STATE_HOME"); base.starts_with('/'))
    return base + "/harp";
  if (auto home = environment_value(sources, "HOME"); home.starts_with('/'))
    return home + "/.local/state/harp";
  return {};
}

std::string default_certs_dir(const std::string& state_dir, bool in_image) {
  if (in_image)
    return "/certs";
  return state_dir.empty() ? std::string{} : state_dir + "/certs";
}

std::string default_config_file(const std::string& state_dir) {
  auto own = state_dir + "/harp.toml";
  if (!state_dir.empty() && (exists(own) || exists(own + ".d")))
    return own;
  return "/etc/harp/harp.toml";
}

std::string mounted_engine(bool in_image) {
  return in_image && exists(engine_socket) ? engine_socket : "";
}

std::pair<std::string, std::string> node_directories(const config_sources& sources) {
  auto image = parse_flag({environment_value(sources, "HARP_IMAGE"), text_form::strict});
  bool in_image = image.value.value_or(false);
  auto state = chosen_path(sources, "state", "HARP_STATE");
  if (state.empty())
    state = default_state_dir(sources, in_image);
  auto certs = chosen_path(sources, "certs", "HARP_CERTS");
  if (certs.empty())
    certs = default_certs_dir(state, in_image);
  return {state, certs};
}

} // namespace harp::web
