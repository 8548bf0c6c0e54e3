// The start of a node, in the order that lets nobody in before what he needs is there.
#include "actors/bridge_node.hpp"
#include "actors/random_id.hpp"

#include "net/certs.hpp"
#include "net/log.hpp"
#include "net/passed_socket.hpp"
#include "net/socket_stream.hpp"
#include "net/tls.hpp"
#include "web/version.hpp"

#include <sodium.h>
#include <sys/resource.h>

#include <ctime>
#include <filesystem>

namespace harp {

using net::log_level;

namespace {

constexpr std::chrono::seconds handshake_limit{10};
constexpr size_t descriptors_for_harp = 64; // files, epoll, listeners, tunnels' share comes out of the rest
constexpr size_t connections_max_default = 8192;

/// quality.md 3: said once at every start.
constexpr std::string_view deviations[] = {
  "ambiguous HTTP framing is refused instead of repaired",
  "client addresses are searched from the right of X-Forwarded-For; bans act on one IPv4 address or one IPv6 /64",
  "the shared key is not forwarded to ExApps in headers",
  "a tunnel credential opens one name on one port; holders of the shared key keep the documented ranges unless proxy.legacy_key_ports is off",
  "when Nextcloud cannot be asked: 503 with Retry-After, no ban; PUBLIC routes of known apps go on",
  "ExApp records and user info expire and are bounded; user info depends on the whole credential",
  "only websocket upgrades; the idle limit is separate from the request limit, 0 means none",
  "no secret in any log level; route patterns are matched in bounded time",
  "IPv6 literals work in every address value; any key that a header can carry is accepted",
  "paths are judged raw and decoded, the stricter result counts; dot-dot, backslash, NUL and broken escapes are refused",
  "ExApps created by Harp find a credential for their own tunnel where HaRP puts the shared key; engines.legacy_exapp_key restores that",
  "containers and volumes carry an owner label; those of another Nextcloud are not touched, unlabelled ones are adopted after a look at their environment",
  "ExApps in Kubernetes get no token for the cluster's API; their Deployments, claims and Services carry an owner annotation",
  "no loopback ports for tunnels; 8200 serves only /heartbeat and /info; engine calls are rebuilt",
};

constexpr size_t demo_key_bytes = 24;

} // namespace

std::string bridge_node::start() {
  if (sodium_init() < 0)
    return "libsodium cannot be used on this machine";
  if (auto error = state_.open(settings_.state_dir); !error.empty())
    return error;
  adapt_to_descriptors();
  loops_.start();
  for (auto step : {&bridge_node::open_actors, &bridge_node::open_tunnels, &bridge_node::open_fronts, &bridge_node::open_storage, &bridge_node::open_console}) {
    auto error = (this->*step)();
    if (!error.empty())
      return error;
  }
  add_gauges();
  net::log(log_level::info, "HARP-A003", "front", "harp is up", {{"version", web::version}, {"state", settings_.state_dir}});
  return {};
}

void bridge_node::adapt_to_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  size_t descriptors = limit.rlim_cur;
  // A client needs up to two descriptors (its own and its upstream's), a tunnel one.
  size_t third = descriptors > 2 * descriptors_for_harp ? (descriptors - descriptors_for_harp) / 3 : descriptors_for_harp / 4;
  client_slots_ = std::make_shared<net::connection_slots>(std::min(connections_max_default, third));
  tunnel_slots_ = std::make_shared<net::connection_slots>(std::min(connections_max_default, third));
  local_slots_ = std::make_shared<net::connection_slots>(descriptors_for_harp / 2);
  if (third < connections_max_default)
    net::log(log_level::warn, "HARP-A007", "front", "fewer connections than usual can be served",
             {{"connections_max", third},
              {"cause", "the limit of open files is " + std::to_string(descriptors)},
              {"next", "raise it to 24640 or more (LimitNOFILE, ulimit -n)"}});
}

std::string bridge_node::listen(const std::vector<web::bind_address>& where, const std::string& name,
                                net::connection_handler handler, const std::shared_ptr<net::connection_slots>& slots) {
  for (const auto& address : where) {
    auto made = net::listener::open(loops_, address.host, address.port, address.v6_only);
    if (auto* error = std::get_if<std::string>(&made))
      return name + ": " + *error;
    auto open = std::get<std::shared_ptr<net::listener>>(made);
    listeners_.push_back({name, open});
    open->start(handler, slots, name);
    net::log(log_level::info, "HARP-A008", "front", "listening", {{"listener", name}, {"address", open->address()}});
  }
  return {};
}

void bridge_node::make_actor_system() {
  actor_config_ = std::make_unique<caf::actor_system_config>();
  actor_config_->set("scheduler.policy", caf::atom("sharing"));
  actor_config_->set("scheduler.max-threads", std::max<size_t>(2, loops_.size()));
  actor_config_->set("scheduler.max-throughput", size_t{500});
  actors_ = std::make_unique<caf::actor_system>(*actor_config_);
  seam_.use(*actors_);
}

std::string bridge_node::open_storage() {
  storage_ = std::make_unique<bridge_storage>(seam_, apps_, settings_, false);
  return storage_->open();
}

std::string bridge_node::open_actors() {
  make_actor_system();
  if (!settings_.proxy_enabled && !settings_.dev_authority)
    return {};
  settings_.proxy_enabled = true;
  loaded_.value.proxy_enabled = true;
  if (settings_.dev_authority) {
    net::log(log_level::warn, "HARP-A009", "front", web::dev_authority::warning,
             {{"cause", "HARP_DEV_AUTHORITY is set"}, {"next", "unset it and give NC_INSTANCE_URL for real use"}});
    if (settings_.shared_key.empty())
      settings_.shared_key = random_hex(demo_key_bytes);
    dev_gate_ = std::make_unique<bridge_dev>();
    fronts_.push_back(std::make_unique<net::http_front>(loops_, *dev_gate_, tunnels_, metrics_, net::http_limits{}));
    auto error = listen({{"127.0.0.1", 0}}, "dev_authority",
                        [front = fronts_.back().get()](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
                          return front->serve(on, net::make_socket_stream(std::move(socket)), {peer, port, false});
                        }, local_slots_);
    if (!error.empty())
      return error;
    settings_.nextcloud_url = "http://" + listeners_.back().open->address();
  }
  proxy_parts parts;
  gatekeeper_settings gatekeeper;
  gatekeeper.shared_key = settings_.shared_key;
  gatekeeper.nextcloud_url = settings_.nextcloud_url;
  gatekeeper.session_lifetime = settings_.session_lifetime;
  gatekeeper.bans = {settings_.blacklist_count, std::chrono::milliseconds{settings_.blacklist_window}.count()};
  gatekeeper.trusted_proxies = settings_.trusted_proxies;
  parts.gatekeeper = std::make_shared<const gatekeeper_settings>(std::move(gatekeeper));
  registry_settings registry;
  registry.shared_key = settings_.shared_key;
  registry.nextcloud_url = settings_.nextcloud_url;
  registry.legacy_key_ports = settings_.legacy_key_ports;
  registry.local_engine = !settings_.local_engine.empty();
  parts.credentials = std::make_shared<const tunnel_credentials>(settings_.shared_key);
  parts.answers = answers_;
  parts.port = &seam_;
  engine_identity identity;
  identity.owner = settings_.nextcloud_url;
  identity.shared_key = settings_.shared_key;
  identity.credentials = parts.credentials;
  identity.legacy_exapp_key = settings_.legacy_exapp_key;
  auto binds = parse_bind_policy(settings_.bind_mounts);
  if (!binds)
    return "engines.bind_mounts must be all, none, or absolute directories separated by commas";
  identity.binds = std::move(*binds);
  identity.binds.engine_socket = settings_.local_engine;
  if (settings_.k8s_enabled) {
    identity.kubernetes = std::make_shared<const kubernetes_rules>(
        kubernetes_rules{settings_.k8s_namespace, settings_.k8s_storage_class, settings_.k8s_storage_size,
                         settings_.k8s_host_aliases});
    engines_.open_cluster({settings_.k8s_api_server, settings_.k8s_bearer_token, settings_.k8s_bearer_token_file,
                           settings_.k8s_ca_file, settings_.k8s_verify_tls});
    registry.engines = [this] { return seam_.handles().engines; };
  }
  parts.registry = std::make_shared<const registry_settings>(std::move(registry));
  parts.identity = std::make_shared<const engine_identity>(std::move(identity));
  if (settings_.engine_helper > 0)
    net::pass_connections_to(settings_.local_engine, net::owned_descriptor{static_cast<int>(settings_.engine_helper)});
  parts.board = board_;
  parts.engines = &engines_;
  if (auto error = engine_calls_.load(); !error.empty())
    return error;
  parts.adopt = [this](actor_handles handles) { seam_.adopt(std::move(handles)); };
  parts.end_all_tunnels = [this] { seam_.end_all_tunnels(); };
  supervisor_ = actors_->spawn(supervisor, parts);
  say_deviations();
  return {};
}

void bridge_node::add_gauges() {
  auto size = [](auto value) { return static_cast<double>(value); };
  metrics_.add_gauge("harp_build_info", "What runs here.", "version", std::string{web::version}, [] { return 1.0; });
  metrics_.add_gauge("harp_tunnel_sessions", "Live frp sessions.", "", "", [this, size] { return size(tunnels_.all().size()); });
  metrics_.add_gauge("harp_bans", "Banned addresses.", "", "", [this, size] { return size(answers_->bans.read()->size()); });
  metrics_.add_gauge("harp_cache_entries", "Kept answers of Nextcloud.", "cache", "users", [this, size] { return size(answers_->users.size()); });
  metrics_.add_gauge("harp_cache_entries", "Kept answers of Nextcloud.", "cache", "records", [this, size] { return size(answers_->records.read()->size()); });
  metrics_.add_gauge("harp_scrub_errors_total", "Contents found damaged on this device's disks.", "", "", [this, size] { return size(storage_->scrub_errors()); });
  if (frp_) {
    metrics_.add_gauge("harp_tunnel_bytes_total", "Bytes of work streams.", "dir", "in", [this, size] { return size(frp_->carried().in); });
    metrics_.add_gauge("harp_tunnel_bytes_total", "Bytes of work streams.", "dir", "out", [this, size] { return size(frp_->carried().out); });
  }
  read_certificate_ends();
  for (size_t i = 0; i < tunnel_certificates.size(); ++i)
    if (certificate_ends_[i] > 0)
      metrics_.add_gauge("harp_cert_expiry_seconds", "Time until a tunnel certificate ends.", "certificate",
                         tunnel_certificates[i],
                         [this, i] { return static_cast<double>(certificate_ends_[i] - std::time(nullptr)); });
}

void bridge_node::say_deviations() const {
  for (auto difference : deviations)
    net::log(log_level::info, "HARP-A010", "front", "differs from HaRP", {{"what", difference}});
}

std::string bridge_node::load_frp_tls(std::shared_ptr<net::tls_context>& into) const {
  net::tls_settings tls;
  tls.certificate_file = frp_certs_ + "/server.crt";
  tls.key_file = frp_certs_ + "/server.key";
  if (settings_.frp_tls)
    tls.ca_file = frp_certs_ + "/ca.crt";
  tls.require_peer_certificate = settings_.frp_tls;
  tls.tolerate_truncation = true;
  auto made = net::tls_context::server(tls);
  if (auto* error = std::get_if<std::string>(&made))
    return *error;
  into = std::get<std::shared_ptr<net::tls_context>>(made);
  return {};
}

std::string bridge_node::open_tunnels() {
  if (!settings_.proxy_enabled)
    return {};
  net::frp_server_settings tunnels;
  tunnels.tls_required = settings_.frp_tls;
  // Without TLS by choice, clients that speak it are still served, unchecked (appapi-harp.md 1.2): any certificate will do.
  std::error_code ignored;
  auto dir = settings_.certs_dir + "/frp";
  if (!settings_.frp_tls && !std::filesystem::exists(dir + "/server.crt", ignored))
    dir = settings_.state_dir + "/unchecked-frp";
  auto report = net::ensure_frp_certs(dir, settings_.cert_validity_days);
  for (const auto& warning : report.warnings)
    net::log(log_level::warn, "HARP-T060", "tunnel", "tunnel certificates", {{"cause", warning}, {"next", "renew them under the same CA"}});
  if (!report.error.empty())
    return report.error;
  frp_certs_ = dir;
  if (auto error = load_frp_tls(tunnels.tls); !error.empty())
    return error;
  tunnel_gate_ = std::make_unique<bridge_tunnels>(seam_);
  frp_ = std::make_unique<net::frp_server>(std::move(tunnels), *tunnel_gate_, tunnels_);
  return listen(settings_.frp_address, "frp", [this](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
    return frp_->serve(on, std::move(socket), peer, port);
  }, tunnel_slots_);
}

std::string bridge_node::load_tls(std::shared_ptr<net::tls_context>& into) const {
  net::tls_settings tls;
  tls.certificate_file = settings_.certs_dir + "/cert.pem";
  auto made = net::tls_context::server(tls);
  if (auto* error = std::get_if<std::string>(&made))
    return *error;
  into = std::get<std::shared_ptr<net::tls_context>>(made);
  return {};
}

/// Who decides: this node and, on streams of others, this node again; an entry node leaves it to the others.
void bridge_node::make_exapp_gates(const net::http_limits& limits) {
  auto add = [this, &limits](net::http_gate& gate) {
    fronts_.push_back(std::make_unique<net::http_front>(loops_, gate, tunnels_, metrics_, limits));
    return fronts_.back().get();
  };
  if (!settings_.proxy_enabled) {
    entry_gate_ = std::make_unique<entry_gate>(apps_, settings_.trusted_proxies);
    exapp_front_ = add(*entry_gate_);
    return;
  }
  front_settings front{settings_.shared_key, settings_.trusted_proxies, settings_.certs_dir + "/frp", settings_.expired_session_tenths};
  front_gate_ = std::make_unique<bridge_front>(seam_, std::move(front), engines_, apps_);
  exapp_front_ = add(*front_gate_);
  node_stream_gate_ = std::make_unique<stream_gate>(*front_gate_);
  apps_.serve_with(*add(*node_stream_gate_));
}

std::string bridge_node::open_fronts() {
  if (!settings_.proxy_enabled && !settings_.proxy_entry)
    return {};
  net::http_limits limits;
  limits.client = settings_.timeout_client;
  limits.connect = settings_.timeout_connect;
  limits.server = settings_.timeout_server;
  limits.tunnel = settings_.timeout_tunnel;
  limits.access_log = settings_.access_log;
  make_exapp_gates(limits);
  auto error = listen(settings_.exapps_address, "exapps", [this](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
    return exapp_front_->serve(on, net::make_socket_stream(std::move(socket)), {peer, port, false});
  }, client_slots_);
  std::error_code ignored;
  if (!error.empty() || !std::filesystem::exists(settings_.certs_dir + "/cert.pem", ignored))
    return error;
  std::shared_ptr<net::tls_context> tls;
  error = load_tls(tls);
  if (!error.empty())
    return error;
  https_ = tls;
  auto serve_tls = [](bridge_node* self, net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) -> net::asio::awaitable<void> {
    auto secured = co_await net::tls_accept(on, net::make_socket_stream(std::move(socket)), self->https_.load(), handshake_limit);
    if (secured.stream)
      co_await self->exapp_front_->serve(on, std::move(secured.stream), {peer, port, true});
  };
  return listen(settings_.exapps_https_address, "exapps_https", [this, serve_tls](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
    return serve_tls(this, on, std::move(socket), peer, port);
  }, client_slots_);
}

std::string bridge_node::open_console() {
  if (settings_.proxy_enabled) {
    fronts_.push_back(std::make_unique<net::http_front>(loops_, heartbeat_gate_, tunnels_, metrics_, net::http_limits{}));
    auto error = listen(settings_.health_address, "health", [front = fronts_.back().get()](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
      return front->serve(on, net::make_socket_stream(std::move(socket)), {peer, port, false});
    }, local_slots_);
    if (!error.empty())
      return error;
  }
  auto token = state_.make_token();
  if (token.empty())
    return "cli.token cannot be written in " + settings_.state_dir;
  admin_ = std::make_unique<bridge_admin>(seam_, loaded_, listeners_, engine_calls_, *storage_, stopping_);
  admin_gate_ = std::make_unique<web::admin_gate>(*admin_, token);
  fronts_.push_back(std::make_unique<net::http_front>(loops_, *admin_gate_, tunnels_, metrics_, net::http_limits{}));
  auto error = listen({settings_.console}, "console", [front = fronts_.back().get()](net::loop& on, net::generic_socket socket, ip_address peer, uint16_t port) {
    return front->serve(on, net::make_socket_stream(std::move(socket)), {peer, port, false});
  }, local_slots_);
  if (error.empty() && !state_.write_run_file(listeners_.back().open->address()))
    error = "run.json cannot be written in " + settings_.state_dir;
  return error;
}

} // namespace harp
