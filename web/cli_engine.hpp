// The commands about container engines and the ExApps on them.
#pragma once

#include "web/cli_settings.hpp"

#include <string>

namespace harp::web {

/// Adds `engine`, `apps` and `adopt` to the tree.
void add_engine_commands(CLI::App& app, engine_words& into);

/// True for the words of a command that run_engine() knows, e.g. "engine ls".
bool is_engine_command(const std::string& words);

/// Runs one: a call to the daemon; `adopt` also works without one.
int run_engine(const cli_call& call, const std::string& words);

/// `harp adopt`: what an existing HaRP installation would become. Reads only.
int run_adopt(const cli_call& call);

} // namespace harp::web
