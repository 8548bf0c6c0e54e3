// The program: hands the command line to web/, and what runs until it is stopped to the node.
#include "actors/bridge_expose.hpp"
#include "actors/bridge_helper.hpp"
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
  hooks.engine_helper = [](const harp::web::config& settings, const harp::web::helper_options& options) {
    auto policy = harp::parse_bind_policy(settings.bind_mounts).value_or(harp::bind_policy{});
    policy.engine_socket = options.socket;
    return harp::run_engine_helper(policy, options);
  };
  hooks.storage = [](const harp::web::config_sources& sources, const std::string& name, const std::string& arguments) {
    auto found = harp::web::load_config(sources);
    return harp::bridge_node{found.value, found}.run_call(name, arguments);
  };
  return harp::web::run_cli(argc, argv, hooks);
}
