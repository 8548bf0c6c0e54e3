// The program: hands the command line to web/, and what runs until it is stopped to the node.
#include "actors/bridge_expose.hpp"
#include "actors/bridge_node.hpp"
#include "web/cli.hpp"

#include <csignal>

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  harp::web::config_result loaded;
  harp::web::cli_hooks hooks;
  hooks.loaded = [&loaded](const harp::web::config_result& result, const harp::web::config_sources&) { loaded = result; };
  hooks.serve = [&loaded](const harp::web::config& settings) { return harp::bridge_node{settings, loaded}.run(); };
  hooks.expose = [](const harp::web::expose_options& options) { return harp::run_expose(options); };
  hooks.storage = [](const harp::web::config_sources& sources, const std::string& name, const std::string& arguments) {
    auto found = harp::web::load_config(sources);
    return harp::bridge_node{found.value, found}.run_call(name, arguments);
  };
  return harp::web::run_cli(argc, argv, hooks);
}
