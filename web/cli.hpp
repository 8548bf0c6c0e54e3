// The command line: which commands exist and what each of them does. What needs actors or sockets
// of the data plane is a hook.
#pragma once

#include "web/admin_client.hpp"
#include "web/config.hpp"
#include "web/expose_options.hpp"

#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace harp::web {

inline constexpr int exit_fine = 0;
inline constexpr int exit_problem = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_unreachable = 3; // the daemon

/// What `harp engine-helper` is told.
struct helper_options {
  std::string socket;               // of the engine
  std::string user;                 // whom the node runs as; "" = as the helper
  std::vector<std::string> command; // the node; empty: `harp serve`
};

/// Filled by main: the commands that run until they are stopped. Each returns the exit code.
struct cli_hooks {
  /// Everything that was read, before `serve`: for GET /api/config (config_json) and for reloading
  /// from the same sources.
  std::function<void(const config_result&, const config_sources&)> loaded;
  /// The configuration is valid, the log is set up and the warnings are written.
  std::function<int(const config&)> serve;
  std::function<int(const expose_options&)> expose;
  std::function<int(const config&, const helper_options&)> engine_helper;
  /// A call of the storage plane (name, JSON arguments) while no daemon runs on the state directory.
  std::function<admin_answer(const config_sources&, const std::string&, const std::string&)> storage;
};

/// The process around a command; tests bring their own.
struct cli_world {
  std::map<std::string, std::string> environment;
  std::ostream& out;
  std::ostream& err;
  bool terminal = false; // err is one: log as text
};

/// Runs one command line; the exit code is 0 fine, 1 problem found, 2 wrong usage, 3 daemon not
/// reachable.
int run_cli(int argc, char** argv, const cli_hooks& hooks);

/// The same with everything given; `words` without the program's name.
int run_cli(const std::vector<std::string>& words, const cli_hooks& hooks, const cli_world& world);

} // namespace harp::web
