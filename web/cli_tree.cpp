// The tree of commands and options. Texts here are the help, the man page and the shell completion.
#include "web/cli_settings.hpp"
#include "web/cli_storage.hpp"
#include "web/cli_engine.hpp"
#include "web/config_report.hpp"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace harp::web {

namespace {

CLI::App* command(CLI::App& parent, const std::string& name, const std::string& meaning) {
  auto* added = parent.add_subcommand(name, meaning);
  added->fallthrough();
  return added;
}

void add_config(CLI::App& app, cli_settings& into) {
  auto* config = command(app, "config", "look at the configuration; needs no daemon, except diff");
  config->require_subcommand(0, 1);
  command(*config, "check", "list every error and warning; exit 1 if there is an error");
  auto* show = command(*config, "show", "print every value; secrets only as (set)");
  show->add_flag("--origin", into.origin, "tell where each value comes from");
  command(*config, "diff", "compare what the daemon runs with what the files say now");
  command(*config, "reference", "print every key with its environment names, default and meaning");
}

void add_client_commands(CLI::App& app, cli_settings& into) {
  auto* status = command(
      app, "status", "what the daemon of this state directory does; real addresses under listeners");
  status->add_flag("--wait", into.storage.wait,
                   "wait until nothing is pending in any space, with progress");
  status->add_option("--seconds", into.storage.seconds, "with --wait: give up after this time, exit 1")
      ->option_text("N");
  command(app, "health", "exit 0 if the daemon is ready, 1 if not, 3 if it cannot be reached");
  command(app, "tunnels", "list the tunnels that are logged in");
  auto* bans = command(app, "bans", "clients that are refused after too many failures");
  bans->require_subcommand(0, 1);
  command(*bans, "ls", "list them with reason and end");
  auto* lift = command(*bans, "lift", "forgive one address, or all");
  lift->add_option("address", into.ban_address, "IPv4 address, or any address of an IPv6 /64")
      ->option_text("ADDRESS");
  lift->add_flag("--all", into.lift_all, "lift every ban");
}

void add_expose(CLI::App& app, cli_settings& into) {
  auto* expose
      = command(app, "expose", "publish a service of this machine through a tunnel, as frpc does");
  auto& o = into.expose;
  expose->add_option("name", o.name, "proxy name: the ExApp's id")->option_text("NAME")->required();
  expose->add_option("--port", o.remote_port, "port of the tunnel on the server, e.g. 23000")
      ->option_text("N")
      ->required();
  expose->add_option("--to", into.expose_to, "the service: unix:/path or host:port")
      ->option_text("ADDRESS")
      ->required();
  expose
      ->add_option("--server", into.expose_server,
                   "tunnel server; default: HP_FRP_ADDRESS and HP_FRP_PORT of an ExApp container")
      ->option_text("HOST:PORT");
  expose
      ->add_option("--tls-dir", o.tls_dir,
                   "directory with client.crt, client.key and ca.crt; default CERTS/frp")
      ->option_text("DIR");
  expose
      ->add_option("--server-name", o.server_name,
                   "name that the server's certificate must bear; default harp.nc")
      ->option_text("NAME");
  expose->add_flag("--no-tls", into.no_tls, "talk in the clear");
  expose
      ->add_option(
          "--token-file", into.token_file,
          "file with the shared key or tunnel credential; default: HARP_TOKEN, HP_SHARED_KEY "
          "or HP_SHARED_KEY_FILE of the environment")
      ->option_text("FILE");
  expose->add_flag("--encryption", o.encryption, "encrypt the tunnel's streams with the token");
  expose->add_flag("--compression", o.compression, "compress the tunnel's streams");
  expose->add_flag("--no-mux", into.no_mux, "one TCP connection per stream");
}

void add_helper(CLI::App& app, helper_options& into) {
  auto* helper = command(app, "engine-helper",
                         "run the node apart from its container engine: this process holds the engine's socket, has no "
                         "network and does only what ExApps need; the node runs below it and never touches the socket");
  helper->add_option("--socket", into.socket, "the engine's socket; /var/run/docker.sock unless given")
      ->option_text("PATH");
  helper->add_option("--user", into.user, "run the node as this user, with its groups only")->option_text("NAME");
  helper->footer("How to run the node stands behind --, e.g. `harp engine-helper --user harp -- harp serve`; `harp serve` "
                 "unless given.");
}

} // namespace

void build_cli(CLI::App& app, cli_settings& into) {
  app.name("harp");
  app.require_subcommand(0, 1);
  app.description(
      "One process in place of Nextcloud's HaRP: ExApps behind tunnels, without an open port.");
  app.footer("Exit codes: 0 fine, 1 problem found, 2 wrong usage, 3 daemon not reachable.\n"
             "Configuration keys: `harp config reference`, also below `harp serve --help`.");
  app.add_option("--state", into.state, "state directory, which chooses the node (HARP_STATE)")
      ->option_text("DIR");
  app.add_option("--certs", into.certs, "certificates, HaRP's /certs (HARP_CERTS)")
      ->option_text("DIR");
  app.add_option("--config", into.config_file, "configuration file (HARP_CONFIG)")
      ->option_text("FILE");
  app.add_option("--set", into.sets,
                 "set one key of the configuration, above everything else; no secrets")
      ->option_text("KEY=VALUE")
      ->allow_extra_args(false); // a list, one per --set
  app.add_flag("--json", into.json, "answer in JSON");
  auto* serve = command(app, "serve", "run the node until it is told to stop");
  serve->footer(config_reference());
  add_config(app, into);
  add_client_commands(app, into);
  add_expose(app, into);
  add_engine_commands(app, into.engine);
  add_helper(app, into.helper);
  add_storage_commands(app, into.storage);
  command(app, "version", "print the version");
  auto* completion = command(app, "completion", "print a completion script for a shell");
  completion->add_option("shell", into.shell, "bash or zsh")->option_text("SHELL")->required();
  command(app, "man", "print the manual page: harp man | man -l -");
}

} // namespace harp::web
