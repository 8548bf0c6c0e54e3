// What people and scripts get to see of a configuration: values with origins, the reference,
// differences. Secrets never.
#pragma once

#include "web/config.hpp"

#include <string>
#include <vector>

namespace harp::web {

/// Every key with value and origin, and the warnings, as one JSON object:
/// {"keys":[{"key","value","origin"}],"errors":[], "warnings":[]}. The daemon answers GET
/// /api/config with it.
std::string config_json(const config_result& loaded);

/// Aligned `key = value` lines, with the origin behind them when asked for.
std::string config_text(const config_result& loaded, bool with_origin);

/// All keys with environment names, defaults and meanings, as text.
std::string config_reference();
/// The same as JSON: {"keys":[{"key","environment","default","meaning","in_files","secret"}]}.
std::string config_reference_json();

struct config_difference {
  std::string key, running, files;
};

struct config_comparison {
  std::vector<config_difference> differences;
  std::string error; // not empty: `running_json` was not what config_json() writes
};

/// Compares the running configuration (config_json of the daemon) with what loading would give now.
/// Secrets are compared only by being set or not; the other side's environment is the other
/// process's own.
config_comparison compare_config(const std::string& running_json, const config_result& loaded);

} // namespace harp::web
