// Configuration as people write it: defaults, one TOML file and its drop-ins, HARP_* and HP_*
// names, flags. The result is a plain value; nothing here opens a socket.
#pragma once

#include "storage/types.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harp::web {

using milliseconds = std::chrono::milliseconds;

/// Where a listener binds: IP literal ("" = none configured), port (0 = any free one).
struct bind_address {
  std::string host;
  uint16_t port = 0;
  bool v6_only = false;
  bool operator==(const bind_address&) const = default;
  [[nodiscard]] std::string to_string() const;
};

/// Everything a node is told. Names in comments: TOML key / environment (defaults are the members'
/// values).
struct config {
  std::string state_dir; // --state / HARP_STATE; default $XDG_STATE_HOME/harp, ~/.local/state/harp;
                         // /var/lib/harp as root
  std::string config_file; // --config / HARP_CONFIG; default STATE/harp.toml if there, else
                           // /etc/harp/harp.toml
  std::string certs_dir; // --certs / HARP_CERTS; default /certs in the image, STATE/certs elsewhere
  bool in_image = false; // HARP_IMAGE=1, set by the container image only

  // [proxy] the HaRP plane: open when `proxy_enabled` (key or any HP_* name or its TOML twin given,
  // or in_image)
  bool proxy_enabled = false;
  bool proxy_entry = false; // proxy.entry / HARP_PROXY_ENTRY: ExApps of other nodes are served here, with neither key nor Nextcloud
  std::string shared_key; // HARP_PROXY_SHARED_KEY, HP_SHARED_KEY or the file's content: secret,
                          // never in a TOML file
  std::string shared_key_file; // proxy.shared_key_file / HP_SHARED_KEY_FILE, or the service
                               // manager's credential
  std::string nextcloud_url;   // proxy.nextcloud_url / NC_INSTANCE_URL, normalised
  std::vector<bind_address> exapps_address{
      {"0.0.0.0", 8780}}; // proxy.exapps_address / HP_EXAPPS_ADDRESS
  std::vector<bind_address> exapps_https_address{
      {"0.0.0.0", 8781}}; // proxy.exapps_https_address / HP_EXAPPS_HTTPS_ADDRESS
  std::vector<bind_address> frp_address{{"0.0.0.0", 8782}}; // proxy.frp_address / HP_FRP_ADDRESS
  std::vector<bind_address> health_address{
      {"127.0.0.1", 8200}};           // proxy.health_address / HARP_LISTEN_HEALTH
  bool frp_tls = true;                // proxy.frp_disable_tls / HP_FRP_DISABLE_TLS
  unsigned cert_validity_days = 5000; // proxy.frp_cert_validity_days / HP_FRP_CERT_VALIDITY_DAYS
  std::vector<ip_network> trusted_proxies;    // proxy.trusted_proxy_ips / HP_TRUSTED_PROXY_IPS
  milliseconds session_lifetime{3000};        // proxy.session_lifetime / HP_SESSION_LIFETIME
  unsigned blacklist_count = 10;              // proxy.blacklist_count / HP_BLACKLIST_COUNT
  std::chrono::seconds blacklist_window{300}; // proxy.blacklist_window / HP_BLACKLIST_WINDOW
  unsigned expired_session_tenths = 5;        // proxy.expired_session_tenths
  milliseconds timeout_connect{30'000};       // proxy.timeout_connect / HP_TIMEOUT_CONNECT
  milliseconds timeout_client{30'000};        // proxy.timeout_client / HP_TIMEOUT_CLIENT
  milliseconds timeout_server{1'800'000};     // proxy.timeout_server / HP_TIMEOUT_SERVER
  milliseconds timeout_tunnel{
      1'800'000}; // proxy.timeout_tunnel / HP_TIMEOUT_TUNNEL; 0 = none; default = timeout_server
  bool legacy_key_ports = true; // proxy.legacy_key_ports / HARP_PROXY_LEGACY_KEY_PORTS: key holders
                                // claim any documented port
  std::string local_engine;     // engines.local / HARP_ENGINES_LOCAL: socket path; image default
                                // /var/run/docker.sock when mounted
  std::string bind_mounts = "all"; // engines.bind_mounts / HARP_ENGINES_BIND_MOUNTS: all, none or directories
  unsigned engine_helper = 0; // HARP_ENGINES_HELPER: descriptor to the process that holds engines.local; 0 = none
  bool legacy_exapp_key = false;   // engines.legacy_exapp_key / HARP_ENGINES_LEGACY_EXAPP_KEY: ExApps get the shared key

  // [listen]
  bind_address console{"127.0.0.1", 8783}; // listen.console / HARP_LISTEN_CONSOLE
  std::vector<bind_address> nodes;         // listen.nodes / HARP_LISTEN_NODES; empty: what init or join wrote down
  bool lan_discovery = true;               // listen.lan_discovery / HARP_LISTEN_LAN_DISCOVERY

  // [storage] how the storage plane ages; defaults are those of storage.md 5.3, 5.4, 6.3
  milliseconds storage_checkpoint_every{24 * 3600'000ll};     // storage.checkpoint_every / HARP_STORAGE_CHECKPOINT_EVERY
  milliseconds storage_active_for{30 * 24 * 3600'000ll};      // storage.active_for / HARP_STORAGE_ACTIVE_FOR
  milliseconds storage_scrub_every{30 * 24 * 3600'000ll};     // storage.scrub_every / HARP_STORAGE_SCRUB_EVERY
  milliseconds storage_lease_grace{7 * 24 * 3600'000ll};      // storage.lease_grace / HARP_STORAGE_LEASE_GRACE

  // [log]
  std::string log_level
      = "warning"; // log.level / HP_LOG_LEVEL, HARP_LOG_LEVEL: debug info warning error
  std::string log_format = "auto"; // log.format / HARP_LOG_FORMAT: auto json text
  bool access_log = false;         // log.access / HARP_LOG_ACCESS

  // [dev] the built-in development authority: never on unless asked for
  bool dev_authority = false; // dev.authority / HARP_DEV_AUTHORITY: stands in for Nextcloud

  // [kubernetes] AppAPI's Kubernetes backend, as HaRP is told of it (HP_K8S_*)
  bool k8s_enabled = false; // kubernetes.enabled / HP_K8S_ENABLED
  std::string
      k8s_api_server; // kubernetes.api_server / HP_K8S_API_SERVER; "" = from the pod's environment
  std::string k8s_namespace = "nextcloud-exapps"; // kubernetes.namespace / HP_K8S_NAMESPACE
  std::string k8s_bearer_token; // HARP_KUBERNETES_BEARER_TOKEN, HP_K8S_BEARER_TOKEN: secret; wins
                                // over the file
  std::string k8s_bearer_token_file
      = "/var/run/secrets/kubernetes.io/serviceaccount/token"; // read again on every call
  std::string k8s_ca_file
      = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"; // missing file: system store
  bool k8s_verify_tls = true;    // kubernetes.verify_tls / HP_K8S_VERIFY_SSL
  std::string k8s_storage_class; // kubernetes.storage_class / HP_K8S_STORAGE_CLASS; "" = left out
  std::string k8s_storage_size = "10Gi"; // kubernetes.storage_size / HP_K8S_DEFAULT_STORAGE_SIZE
  std::vector<std::pair<std::string, std::string>>
      k8s_host_aliases; // kubernetes.host_aliases: (host, IP) / HP_K8S_HOST_ALIASES

  unsigned threads = 0; // threads / HARP_THREADS; 0 = one per core
};

/// One thing that can be set, as documentation and help name it. The same table drives parsing,
/// origins and this text.
struct key_info {
  std::string
      name; // TOML key "proxy.exapps_address"; "" = a name that is accepted and has no effect
  std::vector<std::string> environment; // names, Harp's own first
  std::string default_text;
  std::string meaning;
  bool in_files = true; // false: by environment or flag only
  bool secret = false;  // value is shown as "(set)" only
};

/// Every key in documentation order.
const std::vector<key_info>& config_keys();

/// One key with its value (secrets masked) and where it came from: "default", "env HP_…",
/// "FILE:LINE", "flag --…".
struct config_origin {
  std::string key, value, origin;
};

struct config_result {
  config value;
  std::vector<config_origin> origins; // every key, in documentation order
  std::vector<std::string> warnings;
  std::vector<std::string> errors; // not empty: the configuration must not be used
};

/// What loading looks at; tests fill it by hand. `flags` may name every key that is not a secret.
struct config_sources {
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> flags; // key -> value, e.g. {"state", "/x"}
  std::string file; // --config; "" = HARP_CONFIG or the default place, if there
};

/// The directories every command needs, found without reading the rest: (state, certs). "" when
/// there is no home either.
std::pair<std::string, std::string> node_directories(const config_sources& sources);

/// Reads everything, complains about everything at once. Touches the file system (files, drop-ins,
/// secrets, one look for a mounted engine socket) and, when a listener is given a name instead of
/// an IP address, asks the resolver. Rules and exact forms: appapi-harp.md 1.2, quality.md 5.
config_result load_config(const config_sources& sources);

} // namespace harp::web
