#include "web/config_report.hpp"

#include "net/visible_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace harp::web {

namespace {

using json = nlohmann::ordered_json;

constexpr int indent = 2;
constexpr size_t meaning_column = 6;

std::string dump(const json& value) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items)
    text += (text.empty() ? "" : ", ") + item;
  return text;
}

} // namespace

std::string config_json(const config_result& loaded) {
  json keys = json::array();
  for (const auto& row : loaded.origins)
    keys.push_back({{"key", row.key}, {"value", row.value}, {"origin", row.origin}});
  return dump({{"keys", keys}, {"errors", loaded.errors}, {"warnings", loaded.warnings}});
}

std::string config_text(const config_result& loaded, bool with_origin) {
  size_t key_width = 0;
  size_t value_width = 0;
  for (const auto& row : loaded.origins) {
    key_width = std::max(key_width, row.key.size());
    value_width = std::max(value_width, std::min<size_t>(row.value.size(), 40));
  }
  std::string text;
  for (const auto& row : loaded.origins) {
    auto start = text.size();
    text += row.key + std::string(key_width - row.key.size(), ' ') + " = ";
    net::append_visible(text, row.value);
    if (with_origin) {
      text.append(std::max(start + key_width + 3 + value_width, text.size()) - text.size(), ' ');
      text += "  # ";
      net::append_visible(text, row.origin);
    }
    text += '\n';
  }
  return text;
}

std::string config_reference() {
  std::string text = "Keys of harp.toml (section.key), with the environment variables that set the "
                     "same.\nOrder of precedence: flags, environment, drop-ins (FILE.d/*.toml), "
                     "file, defaults.\n";
  for (const auto& info : config_keys()) {
    text += "\n" + (info.name.empty() ? joined(info.environment) : info.name) + "\n";
    auto line
        = [&](const std::string& what) { text += std::string(meaning_column, ' ') + what + "\n"; };
    line(info.meaning);
    line("default: " + (info.default_text.empty() ? std::string{"none"} : info.default_text));
    if (!info.name.empty())
      line("environment: " + joined(info.environment));
    if (!info.name.empty() && !info.in_files)
      line(info.secret ? "secret: not in a file, not by a flag" : "not in a file");
  }
  return text;
}

std::string config_reference_json() {
  json keys = json::array();
  for (const auto& info : config_keys())
    keys.push_back({{"key", info.name},
                    {"environment", info.environment},
                    {"default", info.default_text},
                    {"meaning", info.meaning},
                    {"in_files", info.in_files},
                    {"secret", info.secret}});
  return dump({{"keys", keys}});
}

config_comparison compare_config(const std::string& running_json, const config_result& loaded) {
  config_comparison result;
  auto running = json::parse(running_json, nullptr, false);
  if (!running.is_object() || !running.contains("keys") || !running["keys"].is_array()) {
    result.error = "the daemon's answer is not a configuration";
    return result;
  }
  std::map<std::string, std::string> values;
  for (const auto& row : running["keys"])
    if (row.is_object() && row.contains("key") && row["key"].is_string() && row.contains("value")
        && row["value"].is_string())
      values[row["key"].get<std::string>()] = row["value"].get<std::string>();
  for (const auto& row : loaded.origins) {
    auto found = values.find(row.key);
    if (found == values.end() || found->second != row.value)
      result.differences.push_back(
          {row.key, found == values.end() ? "(not known)" : found->second, row.value});
  }
  return result;
}

} // namespace harp::web
