// The commands of the storage plane: cluster, spaces, files, history.
#pragma once

#include "web/cli_settings.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace harp::web {

/// Adds them to the tree.
void add_storage_commands(CLI::App& app, storage_words& into);

/// True for the words of a command that run_storage() knows, e.g. "space create".
bool is_storage_command(const std::string& words);

/// Runs one: as a call to the daemon, or, for what can be done without one, in this process.
int run_storage(const cli_call& call, const std::string& words);

/// Calls `name` with `arguments` (cli_hooks::storage when no daemon runs and the call allows it); the answer's body, or
/// nothing after the failure was told, with the exit code in `code`.
std::string storage_call(const cli_call& call, const std::string& name, const nlohmann::ordered_json& arguments, int& code);

/// cat, get and put: contents that pass through this process.
int run_content(const cli_call& call, const std::string& words);

/// `status --wait`: progress lines until nothing is pending.
int wait_until_settled(const cli_call& call);

} // namespace harp::web
