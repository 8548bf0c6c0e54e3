// `harp engine-helper`: checks what it was told and hands over to the process that does it.
#include "net/log.hpp"
#include "web/cli_settings.hpp"

#include <ostream>

namespace harp::web {

namespace {

constexpr const char* usual_socket = "/var/run/docker.sock";

} // namespace

int run_engine_helper(const cli_call& call) {
  auto options = call.settings.helper;
  if (options.socket.empty())
    options.socket = usual_socket;
  auto refuse = [&call](const std::string& fault, int code) {
    call.world.err << "harp: " << fault << "\n";
    return code;
  };
  if (!options.socket.starts_with('/'))
    return refuse("--socket must be an absolute path", exit_usage);
  auto loaded = load_config(call.sources);
  if (!loaded.errors.empty())
    return refuse(loaded.errors.front(), exit_problem);
  if (!call.hooks.engine_helper)
    return refuse("this program cannot help", exit_problem);
  net::log_setup(net::log_level::info, !call.world.terminal);
  return call.hooks.engine_helper(loaded.value, options);
}

} // namespace harp::web
