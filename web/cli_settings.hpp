// Everything that a command line can say, as one plain value, and the commands' own functions.
#pragma once

#include "web/cli.hpp"

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace harp::web {

/// What the commands of the storage plane are told.
struct storage_words {
  std::string name, dir, listen, role, user, expires, token, device, path, target, version, time, space, mode;
  std::vector<std::string> spaces;
  unsigned uses = 1;
  bool clear = false;
  bool wait = false;
  bool all = false;
  unsigned seconds = 0; // longest wait; 0: as long as it takes
};

/// What the commands about container engines are told.
struct engine_words {
  unsigned port = 0; // 0: none given
  unsigned lines = 0;
  std::string socket, app;
};

/// Where CLI11 puts what it reads.
struct cli_settings {
  std::string state, certs, config_file;
  std::vector<std::string> sets; // KEY=VALUE
  bool json = false;
  bool origin = false;
  std::string ban_address;
  bool lift_all = false;
  std::string shell;
  expose_options expose;
  engine_words engine;
  helper_options helper;
  std::string expose_to, expose_server, token_file;
  bool no_tls = false;
  bool no_mux = false;
  storage_words storage;
};

/// One command being run.
struct cli_call {
  const cli_settings& settings;
  const cli_hooks& hooks;
  const cli_world& world;
  const config_sources& sources;
};

/// The tree of commands, options and their help; also what completion and the man page are made of.
void build_cli(CLI::App& app, cli_settings& into);

int run_serve(const cli_call& call);
int run_expose(const cli_call& call);
int run_engine_helper(const cli_call& call);
int run_version(const cli_call& call);
int run_config_check(const cli_call& call);
int run_config_show(const cli_call& call);
int run_config_diff(const cli_call& call);
int run_config_reference(const cli_call& call);
int run_status(const cli_call& call);
int run_health(const cli_call& call);
int run_tunnels(const cli_call& call);
int run_bans_list(const cli_call& call);
int run_bans_lift(const cli_call& call);

/// A completion script for bash or zsh.
std::string completion_script(const CLI::App& app, const std::string& shell);
/// The manual page harp(1) as troff source.
std::string manual_page(const CLI::App& app);

/// JSON for people: scalars as aligned `name  value` lines, lists of objects as tables, hostile
/// characters made visible.
std::string readable(const std::string& json_text);

} // namespace harp::web
