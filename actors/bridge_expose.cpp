#include "actors/bridge_expose.hpp"

#include "net/frp_client.hpp"
#include "net/log.hpp"
#include "net/runtime.hpp"
#include "web/cli.hpp"

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <memory>
#include <semaphore>

namespace harp {

namespace {

std::string local_address(const web::expose_options& options) {
  if (!options.local_unix.empty())
    return "unix:" + options.local_unix;
  bool v6 = options.local_host.find(':') != options.local_host.npos;
  return (v6 ? "[" + options.local_host + "]" : options.local_host) + ":" + std::to_string(options.local_port);
}

std::string make_tls(const web::expose_options& options, net::frp_client_settings& into) {
  if (!options.tls)
    return {};
  net::tls_settings tls;
  tls.certificate_file = options.tls_dir + "/client.crt";
  tls.key_file = options.tls_dir + "/client.key";
  tls.ca_file = options.tls_dir + "/ca.crt";
  tls.tolerate_truncation = true;
  auto made = net::tls_context::client(tls);
  if (auto* error = std::get_if<std::string>(&made))
    return *error;
  into.tls = std::get<std::shared_ptr<net::tls_context>>(made);
  into.server_name = options.server_name;
  return {};
}

net::asio::awaitable<void> run_client(std::shared_ptr<net::frp_client> client, std::binary_semaphore* ended) {
  co_await client->run();
  ended->release();
}

net::asio::awaitable<void> stop_on_signal(net::loop* on, std::shared_ptr<net::frp_client> client) {
  net::asio::signal_set signals{on->io(), SIGTERM, SIGINT};
  co_await signals.async_wait(net::nothrow);
  client->stop();
}

} // namespace

int run_expose(const web::expose_options& options) {
  net::frp_client_settings settings;
  settings.host = options.server_host;
  settings.port = options.server_port;
  settings.token = options.token;
  settings.mux = options.mux;
  settings.proxies.push_back({options.name, options.remote_port, local_address(options), options.encryption, options.compression, 0});
  if (auto error = make_tls(options, settings); !error.empty()) {
    net::log(net::log_level::error, "HARP-T050", "tunnel", "the tunnel cannot be opened",
             {{"cause", error}, {"next", "give the directory with client.crt, client.key and ca.crt as --tls-dir"}});
    return web::exit_problem;
  }
  net::runtime loops{1};
  std::binary_semaphore ended{0};
  auto client = std::make_shared<net::frp_client>(loops.at(0), std::move(settings));
  loops.start();
  net::launch(loops.at(0).executor(), run_client(client, &ended), "expose");
  net::launch(loops.at(0).executor(), stop_on_signal(&loops.at(0), client), "signals");
  ended.acquire();
  loops.stop();
  loops.drop_handlers();
  return web::exit_fine;
}

} // namespace harp
