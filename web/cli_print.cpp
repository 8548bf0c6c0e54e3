// Completion scripts and the manual page, walked out of the same tree of commands as --help.
#include "web/cli_settings.hpp"
#include "web/version.hpp"

#include <functional>

namespace harp::web {

namespace {

std::vector<const CLI::App*> children(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

/// Long names with dashes. Below the root, `--help` is left to the root's own list.
std::string option_words(const CLI::App& app, bool with_help) {
  std::string words;
  for (const auto* option : app.get_options())
    for (const auto& name : option->get_lnames())
      if (with_help || name != "help")
        words += (words.empty() ? "--" : " --") + name;
  return words;
}

void walk(const CLI::App& app, const std::string& words,
          const std::function<void(const CLI::App&, const std::string&)>& visit) {
  visit(app, words);
  for (const auto* child : children(app))
    walk(*child, words + (words.empty() ? "" : " ") + child->get_name(), visit);
}

/// A shell `case` that sets `offered` for the command words typed so far.
std::string completion_cases(const CLI::App& root) {
  std::string text;
  walk(root, "", [&](const CLI::App& app, const std::string& words) {
    std::string offered;
    for (const auto* child : children(app))
      offered += child->get_name() + " ";
    if (words == "completion")
      offered += "bash zsh ";
    auto own = &app == &root ? std::string{} : option_words(app, false);
    offered += own + (own.empty() ? "" : " ") + option_words(root, true);
    text += "    '" + words + "') offered='" + offered + "' ;;\n";
  });
  return text;
}

/// Options with a value swallow the next word, which is then no command.
std::string valued_options(const CLI::App& root) {
  std::string text;
  walk(root, "", [&](const CLI::App& app, const std::string&) {
    for (const auto* option : app.get_options())
      if (option->get_items_expected_max() > 0)
        for (const auto& name : option->get_lnames())
          text += (text.empty() ? "--" : "|--") + name;
  });
  return text;
}

/// Troff takes backslashes, leading dots and quotes for itself, and sets a bare '-' as a hyphen.
std::string troff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (char c : text) {
    if (line_start && (c == '.' || c == '\''))
      out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

void append_options(std::string& page, const CLI::App& app) {
  for (const auto* option : app.get_options()) {
    std::string label;
    for (const auto& name : option->get_lnames())
      label += (label.empty() ? "--" : ", --") + name;
    if (label.empty())
      label = option->get_option_text();
    else if (!option->get_option_text().empty())
      label += " " + option->get_option_text();
    page += ".TP\n.B " + troff(label) + "\n" + troff(option->get_description()) + "\n";
  }
}

} // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::string script
      = "# " + shell + " completion of harp, printed by `harp completion " + shell + "`\n";
  if (shell == "zsh")
    script = "#compdef harp\n" + script;
  script += "_harp() {\n  local typed='' word offered skip=''\n";
  script += shell == "zsh" ? "  for word in ${words[2,CURRENT-1]}; do\n"
                           : "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n";
  script += "    if [[ -n $skip ]]; then skip=''; continue; fi\n    case $word in\n";
  script += "    " + valued_options(app) + ") skip=1 ;;\n";
  script += "    -*) ;;\n    *) typed=\"${typed:+$typed }$word\" ;;\n    esac\n  done\n";
  script += "  case $typed in\n" + completion_cases(app) + "    *) offered='' ;;\n  esac\n";
  if (shell == "zsh")
    return script + "  compadd -- ${=offered}\n}\ncompdef _harp harp\n";
  return script
         + "  COMPREPLY=($(compgen -W \"$offered\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
           "complete -o default -F _harp harp\n";
}

std::string manual_page(const CLI::App& app) {
  std::string page = ".TH HARP 1 \"\" \"harp " + std::string{version} + "\"\n.SH NAME\nharp \\- "
                     + troff(app.get_description())
                     + "\n.SH SYNOPSIS\n.B harp\n[options] command [arguments]\n.SH OPTIONS\n"
                     + "Every command takes these.\n";
  append_options(page, app);
  page += ".SH COMMANDS\n";
  walk(app, "", [&](const CLI::App& command, const std::string& words) {
    if (&command == &app)
      return;
    page += ".SS harp " + troff(words) + "\n" + troff(command.get_description()) + "\n";
    append_options(page, command);
  });
  page += ".SH CONFIGURATION\n";
  for (const auto& info : config_keys()) {
    std::string names;
    for (const auto& name : info.environment)
      names += (names.empty() ? "" : ", ") + name;
    page += ".TP\n.B " + troff(info.name.empty() ? names : info.name) + "\n" + troff(info.meaning)
            + ".\nDefault: " + troff(info.default_text.empty() ? "none" : info.default_text)
            + ".\n";
    if (!info.name.empty())
      page += "Environment: " + troff(names) + ".\n";
  }
  return page + ".SH EXIT STATUS\n" + troff(app.get_footer()) + "\n";
}

} // namespace harp::web
