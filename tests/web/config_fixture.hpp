// A state directory of its own for every test of the configuration, and short words for loading and looking.
#pragma once

#include "web/config.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>

namespace harp::web {

struct config_fixture {
  std::filesystem::path dir;
  config_sources sources;

  config_fixture() {
    auto pattern = (std::filesystem::temp_directory_path() / "harp-config-XXXXXX").string();
    dir = mkdtemp(pattern.data());
    sources.environment["HARP_STATE"] = dir.string();
    file("harp.toml", ""); // so that /etc/harp of this machine is never read
  }
  ~config_fixture() {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }

  std::string file(const std::string& name, const std::string& text) {
    auto path = dir / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path, std::ios::binary} << text;
    return path.string();
  }

  /// What the proxy plane cannot do without.
  void open_proxy() {
    sources.environment["HP_SHARED_KEY"] = "key";
    sources.environment["NC_INSTANCE_URL"] = "https://cloud.example.org";
  }

  void set(const std::string& name, const std::string& text) { sources.environment[name] = text; }

  config_result load() const { return load_config(sources); }

  /// One variable on top of a working proxy configuration.
  config_result load_with(const std::string& name, const std::string& text) {
    auto with = sources;
    with.environment.emplace("HP_SHARED_KEY", "key");
    with.environment.emplace("NC_INSTANCE_URL", "https://cloud.example.org");
    with.environment[name] = text;
    return load_config(with);
  }

  static bool any_has(const std::vector<std::string>& lines, const std::string& part) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(part) != std::string::npos;
    });
  }

  static std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines)
      text += line + "\n";
    return text;
  }

  static std::string origin_of(const config_result& loaded, const std::string& key) {
    for (const auto& row : loaded.origins)
      if (row.key == key)
        return row.origin;
    return "(no such key)";
  }

  static std::string value_of(const config_result& loaded, const std::string& key) {
    for (const auto& row : loaded.origins)
      if (row.key == key)
        return row.value;
    return "(no such key)";
  }
};

} // namespace harp::web
