#include "web/cli.hpp"

#include "web/cli_engine.hpp"
#include "web/cli_settings.hpp"
#include "web/cli_storage.hpp"
#include "web/config_values.hpp"
#include "web/nearest.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <unistd.h>

extern char** environ;

namespace harp::web {

namespace {

using action = int (*)(const cli_call&);

struct named_action {
  const char* words;
  action run;
};

constexpr named_action actions[] = {{"serve", run_serve},
                                    {"expose", run_expose},
                                    {"engine-helper", run_engine_helper},
                                    {"version", run_version},
                                    {"config check", run_config_check},
                                    {"config show", run_config_show},
                                    {"config diff", run_config_diff},
                                    {"config reference", run_config_reference},
                                    {"status", run_status},
                                    {"health", run_health},
                                    {"tunnels", run_tunnels},
                                    {"bans ls", run_bans_list},
                                    {"bans lift", run_bans_lift}};

/// The command that was reached, from the root down.
std::vector<CLI::App*> reached(CLI::App& app) {
  std::vector<CLI::App*> path{&app};
  while (!path.back()->get_subcommands().empty())
    path.push_back(path.back()->get_subcommands().front());
  return path;
}

std::string words_of(const std::vector<CLI::App*>& path) {
  std::string words;
  for (size_t i = 1; i < path.size(); ++i)
    words += (words.empty() ? "" : " ") + path[i]->get_name();
  return words;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> option_names(const std::vector<CLI::App*>& path) {
  std::vector<std::string> names;
  for (const auto* app : path)
    for (const auto* option : app->get_options())
      for (const auto& name : option->get_lnames())
        names.push_back("--" + name);
  return names;
}

int usage_error(const cli_world& world, const std::vector<CLI::App*>& path,
                const std::string& text) {
  auto words = words_of(path);
  world.err << "harp: " << text << "\nSee `harp " << words << (words.empty() ? "" : " ")
            << "--help`.\n";
  return exit_usage;
}

/// Names the first word that nobody took, and the one that was meant.
int unknown_word(const cli_world& world, CLI::App& app, const std::string& word) {
  auto path = reached(app);
  auto bare = word.substr(0, word.find('='));
  bool option = word.starts_with('-');
  auto meant = nearest(bare, option ? option_names(path) : command_names(*path.back()));
  std::string text = option ? "unknown option " : "unknown command ";
  if (!option && command_names(*path.back()).empty())
    text = "unexpected argument ";
  text += in_quotes(bare);
  return usage_error(world, path, meant.empty() ? text : text + "; did you mean " + meant + "?");
}

/// State, certs, config and --set as load_config takes them; an error text when a --set has no
/// value.
std::string fill_sources(const cli_settings& settings, const cli_world& world,
                         config_sources& into) {
  into.environment = world.environment;
  into.file = settings.config_file;
  if (!settings.state.empty())
    into.flags["state"] = settings.state;
  if (!settings.certs.empty())
    into.flags["certs"] = settings.certs;
  for (const auto& pair : settings.sets) {
    auto equals = pair.find('=');
    if (equals == pair.npos || equals == 0)
      return "--set needs KEY=VALUE";
    if (!into.flags.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
      return "--set names " + pair.substr(0, equals) + " twice";
  }
  return {};
}

int run_printed(CLI::App& app, const cli_settings& settings, const std::string& words,
                const cli_world& world) {
  if (words == "man") {
    world.out << manual_page(app);
    return exit_fine;
  }
  if (settings.shell != "bash" && settings.shell != "zsh")
    return usage_error(world, reached(app), "completion is for bash or zsh");
  world.out << completion_script(app, settings.shell);
  return exit_fine;
}

int run_reached(CLI::App& app, const cli_settings& settings, const cli_hooks& hooks,
                const cli_world& world) {
  auto path = reached(app);
  auto words = words_of(path);
  if (!command_names(*path.back()).empty() && words != "invite" && words != "trash") {
    world.err << app.help();
    return usage_error(world, path, "a command is missing");
  }
  config_sources sources;
  if (auto fault = fill_sources(settings, world, sources); !fault.empty())
    return usage_error(world, path, fault);
  for (const auto& known : actions)
    if (words == known.words)
      return known.run({settings, hooks, world, sources});
  if (is_storage_command(words))
    return run_storage({settings, hooks, world, sources}, words);
  if (is_engine_command(words))
    return run_engine({settings, hooks, world, sources}, words);
  return run_printed(app, settings, words, world);
}

} // namespace

namespace {

/// Takes the node's command line behind `engine-helper ... --`, which is not ours to read.
std::vector<std::string> without_foreign_words(const std::vector<std::string>& words, helper_options& into) {
  auto mark = std::find(words.begin(), words.end(), "--");
  if (mark == words.end() || std::find(words.begin(), mark, "engine-helper") == mark)
    return words;
  into.command.assign(mark + 1, words.end());
  return {words.begin(), mark};
}

} // namespace

int run_cli(const std::vector<std::string>& words, const cli_hooks& hooks, const cli_world& world) {
  CLI::App app;
  cli_settings settings;
  build_cli(app, settings);
  app.allow_extras(); // leftovers are judged here, with a suggestion
  for (auto* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    sub->allow_extras(false);
  try {
    auto reversed = without_foreign_words(words, settings.helper);
    std::reverse(reversed.begin(), reversed.end());
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    auto path = reached(app);
    world.out << path.back()->help();
    return exit_fine;
  } catch (const CLI::ParseError& error) {
    auto extra = app.remaining(true);
    return extra.empty() ? usage_error(world, reached(app), error.what())
                         : unknown_word(world, app, extra.front());
  }
  if (auto extra = app.remaining(true); !extra.empty())
    return unknown_word(world, app, extra.front());
  return run_reached(app, settings, hooks, world);
}

int run_cli(int argc, char** argv, const cli_hooks& hooks) {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string text = *entry;
    if (auto equals = text.find('='); equals != text.npos)
      environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  cli_world world{std::move(environment), std::cout, std::cerr, isatty(STDERR_FILENO) == 1};
  int code = run_cli(words, hooks, world);
  std::cout.flush();
  return code;
}

} // namespace harp::web
