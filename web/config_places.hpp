// Where a node's directories and configuration file are when nobody says so.
#pragma once

#include "web/config.hpp"

#include <string>

namespace harp::web {

/// Value of an environment variable, "" when it is not there.
std::string environment_value(const config_sources& sources, const std::string& name);

/// Default of `state`; "" when there is no home directory.
std::string default_state_dir(const config_sources& sources, bool in_image);
std::string default_certs_dir(const std::string& state_dir, bool in_image);
/// STATE/harp.toml if it or its drop-in directory exists, else /etc/harp/harp.toml.
std::string default_config_file(const std::string& state_dir);
/// The container engine's socket that the image finds mounted; "" elsewhere.
std::string mounted_engine(bool in_image);

} // namespace harp::web
