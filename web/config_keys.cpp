// One row per key. Order = order in the documentation. The parsers of rows with forms of their own
// are in config_setters.hpp.
#include "web/config_keys.hpp"

#include "web/config_setters.hpp"

namespace harp::web {

namespace {

using names = std::vector<std::string>;

/// A key whose default is the member's own value.
key_entry row(std::string name, names environment, std::string meaning,
              decltype(key_entry::apply) apply, decltype(key_entry::show) show) {
  key_entry entry{{std::move(name), std::move(environment), show(config{}), std::move(meaning)},
                  false,
                  apply,
                  show};
  for (const auto& given : entry.info.environment)
    entry.opens_proxy |= given.starts_with("HP_") || given == "NC_INSTANCE_URL";
  return entry;
}

key_entry with_default(key_entry entry, std::string text) {
  entry.info.default_text = std::move(text);
  return entry;
}

key_entry outside_files(key_entry entry) {
  entry.info.in_files = false;
  return entry;
}

key_entry secret(key_entry entry) {
  entry.info.secret = true;
  return outside_files(std::move(entry));
}

/// HP_LOG_LEVEL alone says nothing about wanting a proxy when it is written as log.level.
key_entry for_entry(key_entry entry) {
  entry.serves_entry = true;
  return entry;
}

key_entry not_proxy(key_entry entry) {
  entry.opens_proxy = false;
  return entry;
}

/// A name HaRP knows and Harp has no use for; `check` may warn about its value.
key_entry ignored(names environment, std::string default_text, std::string meaning,
                  decltype(key_entry::apply) check = &accept_anything) {
  key_info info{"", std::move(environment), std::move(default_text), std::move(meaning)};
  info.in_files = false;
  return {std::move(info), true, check, &show_nothing};
}

/// `all`, `none`, or absolute directories by comma.
std::string set_bind_mounts(config& into, const given_value& given, notes& warnings) {
  auto error = set_text<&config::bind_mounts>(into, given, warnings);
  std::string_view rest = into.bind_mounts;
  bool listed = error.empty() && rest != "all" && rest != "none";
  while (listed && error.empty()) {
    auto end = rest.find(',');
    if (!rest.starts_with('/') || rest.substr(0, end).find("..") != rest.npos)
      error = "must be all, none, or absolute directories separated by commas";
    if (end == rest.npos)
      break;
    rest.remove_prefix(end + 1);
  }
  return error;
}

void add_node_rows(std::vector<key_entry>& t) {
  t.push_back(with_default(
      outside_files(row("state", {"HARP_STATE"},
                        "directory of this node's state; chooses the node for every command",
                        set_path<&config::state_dir>, show<&config::state_dir>)),
      "/var/lib/harp for root and in the image, else $XDG_STATE_HOME/harp or ~/.local/state/harp"));
  t.push_back(
      with_default(outside_files(row("config", {"HARP_CONFIG"},
                                     "main configuration file; its drop-ins are FILE.d/*.toml",
                                     set_path<&config::config_file>, show<&config::config_file>)),
                   "STATE/harp.toml if it exists, else /etc/harp/harp.toml"));
  t.push_back(with_default(row("certs", {"HARP_CERTS"}, "what HaRP calls /certs: cert.pem and frp/",
                               set_path<&config::certs_dir>, show<&config::certs_dir>),
                           "/certs in the image, else STATE/certs"));
  t.push_back(outside_files(row("image", {"HARP_IMAGE"}, "set by the container image only",
                                set_flag<&config::in_image>, show<&config::in_image>)));
  t.push_back(row("threads", {"HARP_THREADS"}, "event loops; 0 = one per core",
                  set_number<&config::threads, 0, 256>, show<&config::threads>));
}

void add_proxy_rows(std::vector<key_entry>& t) {
  t.push_back(row("proxy.entry", {"HARP_PROXY_ENTRY"},
                  "true: ExApps that keepers of the cluster announce are served on proxy.exapps_address, with neither "
                  "key nor Nextcloud",
                  set_flag<&config::proxy_entry>, show<&config::proxy_entry>));
  t.push_back(secret(
      row("proxy.shared_key", {"HARP_PROXY_SHARED_KEY", "HP_SHARED_KEY"},
          "the key shared with AppAPI; required when the proxy plane is open (better: the file)",
          set_secret<&config::shared_key>, show_secret<&config::shared_key>)));
  t.push_back(
      row("proxy.shared_key_file", {"HARP_PROXY_SHARED_KEY_FILE", "HP_SHARED_KEY_FILE"},
          "file with the shared key; the service manager's credential shared_key serves as well",
          set_path<&config::shared_key_file>, show<&config::shared_key_file>));
  t.push_back(row("proxy.nextcloud_url", {"HARP_PROXY_NEXTCLOUD_URL", "NC_INSTANCE_URL"},
                  "base URL of Nextcloud; required when the proxy plane is open", set_nextcloud_url,
                  show<&config::nextcloud_url>));
  t.push_back(for_entry(row("proxy.exapps_address",
                  {"HARP_PROXY_EXAPPS_ADDRESS", "HARP_LISTEN_EXAPPS", "HP_EXAPPS_ADDRESS"},
                  "where ExApps are served over HTTP; HAProxy's bind forms, several by comma",
                  set_binds<&config::exapps_address>, show<&config::exapps_address>)));
  t.push_back(for_entry(row(
      "proxy.exapps_https_address",
      {"HARP_PROXY_EXAPPS_HTTPS_ADDRESS", "HARP_LISTEN_EXAPPS_HTTPS", "HP_EXAPPS_HTTPS_ADDRESS"},
      "the same over HTTPS, open only if CERTS/cert.pem exists",
      set_binds<&config::exapps_https_address>, show<&config::exapps_https_address>)));
  t.push_back(
      row("proxy.frp_address", {"HARP_PROXY_FRP_ADDRESS", "HARP_LISTEN_FRP", "HP_FRP_ADDRESS"},
          "where frp clients log in", set_binds<&config::frp_address>, show<&config::frp_address>));
  t.push_back(row("proxy.health_address", {"HARP_PROXY_HEALTH_ADDRESS", "HARP_LISTEN_HEALTH"},
                  "GET /heartbeat and /info for old health checks, nothing else",
                  set_binds<&config::health_address>, show<&config::health_address>));
  t.push_back(row("proxy.frp_disable_tls", {"HARP_PROXY_FRP_DISABLE_TLS", "HP_FRP_DISABLE_TLS"},
                  "true: tunnels may be plain, no client certificate is asked", set_frp_disable_tls,
                  show_frp_disable_tls));
  t.push_back(row("proxy.frp_cert_validity_days",
                  {"HARP_PROXY_FRP_CERT_VALIDITY_DAYS", "HP_FRP_CERT_VALIDITY_DAYS"},
                  "lifetime of generated tunnel certificates, read only when they are made",
                  set_cert_validity_days, show<&config::cert_validity_days>));
  t.push_back(for_entry(row("proxy.trusted_proxy_ips",
                  {"HARP_PROXY_TRUSTED_PROXY_IPS", "HP_TRUSTED_PROXY_IPS"},
                  "addresses and networks whose forwarding headers count", set_trusted_proxies,
                  show<&config::trusted_proxies>)));
}

void add_proxy_limit_rows(std::vector<key_entry>& t) {
  t.push_back(row("proxy.session_lifetime", {"HARP_PROXY_SESSION_LIFETIME", "HP_SESSION_LIFETIME"},
                  "how long an answer about a user is reused, at most 10s; HP_ name: seconds, may "
                  "be a fraction",
                  set_session_lifetime, show<&config::session_lifetime>));
  t.push_back(row("proxy.blacklist_count", {"HARP_PROXY_BLACKLIST_COUNT", "HP_BLACKLIST_COUNT"},
                  "failures until a client is banned", set_blacklist_count,
                  show<&config::blacklist_count>));
  t.push_back(row("proxy.blacklist_window", {"HARP_PROXY_BLACKLIST_WINDOW", "HP_BLACKLIST_WINDOW"},
                  "time in which failures add up; HP_ name: whole seconds", set_blacklist_window,
                  show<&config::blacklist_window>));
  t.push_back(row("proxy.expired_session_tenths", {"HARP_PROXY_EXPIRED_SESSION_TENTHS"},
                  "tenths of a failure that a 403 with a session that has ended counts, 0 to 10: a "
                  "logged-out browser goes on polling",
                  set_expired_session_tenths, show<&config::expired_session_tenths>));
  t.push_back(for_entry(
      row("proxy.timeout_connect", {"HARP_PROXY_TIMEOUT_CONNECT", "HP_TIMEOUT_CONNECT"},
          "limit of a TCP connect to an ExApp; HP_ names: HAProxy time syntax, no unit = ms",
          set_time<&config::timeout_connect>, show<&config::timeout_connect>)));
  t.push_back(for_entry(row("proxy.timeout_client", {"HARP_PROXY_TIMEOUT_CLIENT", "HP_TIMEOUT_CLIENT"},
                  "silence of a client before and in a request", set_time<&config::timeout_client>,
                  show<&config::timeout_client>)));
  t.push_back(for_entry(row("proxy.timeout_server", {"HARP_PROXY_TIMEOUT_SERVER", "HP_TIMEOUT_SERVER"},
                  "silence of an ExApp before and in its answer", set_time<&config::timeout_server>,
                  show<&config::timeout_server>)));
  t.push_back(for_entry(
      with_default(row("proxy.timeout_tunnel", {"HARP_PROXY_TIMEOUT_TUNNEL", "HP_TIMEOUT_TUNNEL"},
                       "silence after a protocol upgrade; 0 = none",
                       set_time<&config::timeout_tunnel>, show<&config::timeout_tunnel>),
                   "= proxy.timeout_server")));
  t.push_back(row("proxy.legacy_key_ports", {"HARP_PROXY_LEGACY_KEY_PORTS"},
                  "holders of the shared key may claim any documented port, as with HaRP",
                  set_flag<&config::legacy_key_ports>, show<&config::legacy_key_ports>));
}

void add_other_rows(std::vector<key_entry>& t) {
  t.push_back(
      with_default(row("engines.local", {"HARP_ENGINES_LOCAL"},
                       "socket of the container engine of this machine, published as port 24000",
                       set_path<&config::local_engine>, show<&config::local_engine>),
                   "/var/run/docker.sock in the image when mounted, else none"));
  t.push_back(outside_files(row("engines.helper", {"HARP_ENGINES_HELPER"},
                  "set by `harp engine-helper` only: the descriptor over which that process is asked for connections to "
                  "engines.local",
                  set_number<&config::engine_helper, 0, 1024>, show<&config::engine_helper>)));
  t.push_back(row("engines.bind_mounts", {"HARP_ENGINES_BIND_MOUNTS"},
                  "directories of an engine's host that ExApps may mount: all, none, or a list by comma; never /, "
                  "/proc or an engine's socket",
                  set_bind_mounts, show<&config::bind_mounts>));
  t.push_back(row("engines.legacy_exapp_key", {"HARP_ENGINES_LEGACY_EXAPP_KEY"},
                  "ExApps get the shared key itself, as with HaRP, instead of a credential for their own tunnel",
                  set_flag<&config::legacy_exapp_key>, show<&config::legacy_exapp_key>));
  t.push_back(row("listen.console", {"HARP_LISTEN_CONSOLE"},
                  "console, API, /livez, /readyz, /metrics", set_console, show<&config::console>));
  t.push_back(with_default(row("listen.nodes", {"HARP_LISTEN_NODES"},
                               "where other nodes of the cluster connect, after init or join",
                               set_binds<&config::nodes>, show<&config::nodes>),
                           "as given to init or join, else 0.0.0.0:8784"));
  t.push_back(row("listen.lan_discovery", {"HARP_LISTEN_LAN_DISCOVERY"},
                  "find nodes of the cluster on the same LAN by UDP multicast, port 8784",
                  set_flag<&config::lan_discovery>, show<&config::lan_discovery>));
  t.push_back(row("storage.checkpoint_every", {"HARP_STORAGE_CHECKPOINT_EVERY"},
                  "how often the keeper of a space agrees on its history with all active devices, so that logs can be cut",
                  set_time<&config::storage_checkpoint_every>, show<&config::storage_checkpoint_every>));
  t.push_back(row("storage.active_for", {"HARP_STORAGE_ACTIVE_FOR"},
                  "how long a device may be away before history is agreed without it; it then joins again by itself and loses nothing",
                  set_time<&config::storage_active_for>, show<&config::storage_active_for>));
  t.push_back(row("storage.scrub_every", {"HARP_STORAGE_SCRUB_EVERY"},
                  "how often every stored byte is read and compared with its hash",
                  set_time<&config::storage_scrub_every>, show<&config::storage_scrub_every>));
  t.push_back(row("storage.lease_grace", {"HARP_STORAGE_LEASE_GRACE"},
                  "how long other users are served after the governor's node last vouched for the members",
                  set_time<&config::storage_lease_grace>, show<&config::storage_lease_grace>));
  t.push_back(not_proxy(row("log.level", {"HARP_LOG_LEVEL", "HP_LOG_LEVEL"},
                            "least level that is written: debug, info, warning, error",
                            set_log_level, show<&config::log_level>)));
  t.push_back(row("log.format", {"HARP_LOG_FORMAT"},
                  "auto (text on a terminal, else JSON), json or text", set_log_format,
                  show<&config::log_format>));
  t.push_back(row("log.access", {"HARP_LOG_ACCESS"}, "one line per request",
                  set_flag<&config::access_log>, show<&config::access_log>));
  t.push_back(
      row("dev.authority", {"HARP_DEV_AUTHORITY"},
          "built-in stand-in for Nextcloud with public passwords; for trying things out only",
          set_flag<&config::dev_authority>, show<&config::dev_authority>));
}

void add_kubernetes_rows(std::vector<key_entry>& t) {
  t.push_back(row("kubernetes.enabled", {"HARP_KUBERNETES_ENABLED", "HP_K8S_ENABLED"},
                  "Kubernetes as a backend for ExApps; HP_ name: 1, true, yes", set_k8s_enabled,
                  show<&config::k8s_enabled>));
  t.push_back(with_default(
      row("kubernetes.api_server", {"HARP_KUBERNETES_API_SERVER", "HP_K8S_API_SERVER"},
          "base URL of the API", set_text<&config::k8s_api_server>, show<&config::k8s_api_server>),
      "https://KUBERNETES_SERVICE_HOST:KUBERNETES_SERVICE_PORT in a pod"));
  t.push_back(row("kubernetes.namespace", {"HARP_KUBERNETES_NAMESPACE", "HP_K8S_NAMESPACE"},
                  "where ExApps are created", set_text<&config::k8s_namespace>,
                  show<&config::k8s_namespace>));
  t.push_back(
      secret(row("kubernetes.bearer_token", {"HARP_KUBERNETES_BEARER_TOKEN", "HP_K8S_BEARER_TOKEN"},
                 "static token; wins over the file", set_secret<&config::k8s_bearer_token>,
                 show_secret<&config::k8s_bearer_token>)));
  t.push_back(row("kubernetes.bearer_token_file",
                  {"HARP_KUBERNETES_BEARER_TOKEN_FILE", "HP_K8S_BEARER_TOKEN_FILE"},
                  "file with the token, read again on every call",
                  set_path<&config::k8s_bearer_token_file>, show<&config::k8s_bearer_token_file>));
  t.push_back(row("kubernetes.ca_file", {"HARP_KUBERNETES_CA_FILE", "HP_K8S_CA_FILE"},
                  "CA of the API; missing file: the system's store", set_path<&config::k8s_ca_file>,
                  show<&config::k8s_ca_file>));
  t.push_back(row("kubernetes.verify_tls", {"HARP_KUBERNETES_VERIFY_TLS", "HP_K8S_VERIFY_SSL"},
                  "false: the API's certificate is not checked", set_k8s_verify_tls,
                  show<&config::k8s_verify_tls>));
  t.push_back(row("kubernetes.storage_class",
                  {"HARP_KUBERNETES_STORAGE_CLASS", "HP_K8S_STORAGE_CLASS"},
                  "class of volume claims; empty: left out", set_text<&config::k8s_storage_class>,
                  show<&config::k8s_storage_class>));
  t.push_back(row("kubernetes.storage_size",
                  {"HARP_KUBERNETES_STORAGE_SIZE", "HP_K8S_DEFAULT_STORAGE_SIZE"},
                  "size of volume claims", set_text<&config::k8s_storage_size>,
                  show<&config::k8s_storage_size>));
  t.push_back(row("kubernetes.host_aliases",
                  {"HARP_KUBERNETES_HOST_ALIASES", "HP_K8S_HOST_ALIASES"},
                  "host:ip,host2:ip2 for /etc/hosts of ExApps", set_k8s_host_aliases,
                  show<&config::k8s_host_aliases>));
}

void add_ignored_rows(std::vector<key_entry>& t) {
  t.push_back(ignored({"HP_SPOA_ADDRESS"}, "127.0.0.1:9600", "no effect: Harp has no SPOE agent"));
  t.push_back(
      ignored({"HP_VERBOSE_START"}, "1", "no effect: the start is logged, never with secrets"));
  t.push_back(
      ignored({"HP_WAIT_AGENT_HTTP"}, "60", "no effect: one process has nothing to wait for"));
  t.push_back(ignored({"HP_WAIT_SPOA"}, "60", "no effect, likewise"));
  t.push_back(ignored({"HP_WAIT_FRP"}, "30", "no effect, likewise"));
  t.push_back(ignored({"HP_WAIT_INTERVAL"}, "0.5", "no effect, likewise"));
  t.push_back(ignored({"HP_WATCHDOG_ENABLED"}, "true", "no effect: liveness is watched inside"));
  t.push_back(
      ignored({"HP_WATCHDOG_INTERVAL"}, "10", "no effect, likewise", check_watchdog_number));
  t.push_back(ignored({"HP_WATCHDOG_FAILS"}, "12", "no effect, likewise", check_watchdog_number));
}

std::vector<key_entry> make_table() {
  std::vector<key_entry> table;
  add_node_rows(table);
  add_proxy_rows(table);
  add_proxy_limit_rows(table);
  add_other_rows(table);
  add_kubernetes_rows(table);
  add_ignored_rows(table);
  return table;
}

} // namespace

const std::vector<key_entry>& key_table() {
  static const std::vector<key_entry> table = make_table();
  return table;
}

const key_entry* find_key(std::string_view name) {
  for (const auto& entry : key_table())
    if (!name.empty() && entry.info.name == name)
      return &entry;
  return nullptr;
}

const std::vector<key_info>& config_keys() {
  static const std::vector<key_info> keys = [] {
    std::vector<key_info> result;
    for (const auto& entry : key_table())
      result.push_back(entry.info);
    return result;
  }();
  return keys;
}

} // namespace harp::web
