// load_config: every row of appapi-harp.md 1.2 with its default and errors, when the proxy opens, what is shown, secrets kept.
#define CAF_SUITE config

#include "tests/web/config_fixture.hpp"
#include "web/config.hpp"
#include "web/config_report.hpp"

#include <caf/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <set>

using namespace harp;
using namespace harp::web;
using namespace std::chrono_literals;

namespace {

constexpr auto canary = "c4naryS3cretValue";

/// Name, text; what config show says of `key` afterwards.
struct good_row {
  const char* name;
  const char* text;
  const char* key;
  const char* shown;
};

struct bad_row {
  const char* name;
  const char* text;
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(config_tests, config_fixture)

CAF_TEST(has_harps_exact_defaults) {
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  const auto& c = loaded.value;
  CAF_CHECK(!c.proxy_enabled);
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"proxy.shared_key", ""},
           {"proxy.nextcloud_url", ""},
           {"proxy.exapps_address", "0.0.0.0:8780"},
           {"proxy.exapps_https_address", "0.0.0.0:8781"},
           {"proxy.frp_address", "0.0.0.0:8782"},
           {"proxy.health_address", "127.0.0.1:8200"},
           {"proxy.frp_disable_tls", "false"},
           {"proxy.frp_cert_validity_days", "5000"},
           {"proxy.trusted_proxy_ips", ""},
           {"proxy.session_lifetime", "3s"},
           {"proxy.blacklist_count", "10"},
           {"proxy.blacklist_window", "300s"},
           {"proxy.expired_session_tenths", "5"},
           {"proxy.timeout_connect", "30s"},
           {"proxy.timeout_client", "30s"},
           {"proxy.timeout_server", "1800s"},
           {"proxy.timeout_tunnel", "1800s"},
           {"proxy.legacy_key_ports", "true"},
           {"engines.local", ""},
           {"listen.console", "127.0.0.1:8783"},
           {"listen.nodes", ""},
           {"listen.lan_discovery", "true"},
           {"storage.checkpoint_every", "86400s"},
           {"storage.active_for", "2592000s"},
           {"storage.scrub_every", "2592000s"},
           {"storage.lease_grace", "604800s"},
           {"log.level", "warning"},
           {"log.format", "auto"},
           {"log.access", "false"},
           {"dev.authority", "false"},
           {"threads", "0"},
           {"kubernetes.enabled", "false"},
           {"kubernetes.api_server", ""},
           {"kubernetes.namespace", "nextcloud-exapps"},
           {"kubernetes.bearer_token", ""},
           {"kubernetes.bearer_token_file", "/var/run/secrets/kubernetes.io/serviceaccount/token"},
           {"kubernetes.ca_file", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"},
           {"kubernetes.verify_tls", "true"},
           {"kubernetes.storage_class", ""},
           {"kubernetes.storage_size", "10Gi"},
           {"kubernetes.host_aliases", ""}}) {
    CAF_CHECK_EQUAL(value_of(loaded, key), value);
    CAF_CHECK_EQUAL(origin_of(loaded, key).substr(0, 7), "default");
  }
  CAF_CHECK_EQUAL(c.certs_dir, c.state_dir + "/certs");
}

CAF_TEST(takes_every_hp_name_in_its_own_form) {
  for (const auto& [name, text, key, shown] :
       {good_row{"NC_INSTANCE_URL", "\"https://c.example/index.php/\"", "proxy.nextcloud_url",
                 "https://c.example"},
        good_row{"HP_EXAPPS_ADDRESS", "\"*:9000\"", "proxy.exapps_address", "0.0.0.0:9000"},
        good_row{"HP_EXAPPS_ADDRESS", "127.0.0.1:0", "proxy.exapps_address", "127.0.0.1:0"},
        good_row{"HP_EXAPPS_ADDRESS", "[::]:8780 v4v6", "proxy.exapps_address", "[::]:8780"},
        good_row{"HP_EXAPPS_HTTPS_ADDRESS", "'10.0.0.1:1,[::1]:2'", "proxy.exapps_https_address",
                 "10.0.0.1:1,[::1]:2"},
        good_row{"HP_FRP_ADDRESS", "'[::1]:8782'", "proxy.frp_address", "[::1]:8782"},
        good_row{"HP_FRP_DISABLE_TLS", "true", "proxy.frp_disable_tls", "true"},
        good_row{"HP_FRP_DISABLE_TLS", "false", "proxy.frp_disable_tls", "false"},
        good_row{"HP_FRP_CERT_VALIDITY_DAYS", "090", "proxy.frp_cert_validity_days", "90"},
        good_row{"HP_FRP_CERT_VALIDITY_DAYS", "", "proxy.frp_cert_validity_days", "5000"},
        good_row{"HP_TRUSTED_PROXY_IPS", "10.0.0.0/8,::1", "proxy.trusted_proxy_ips",
                 "10.0.0.0/8,::1/128"},
        good_row{"HP_TRUSTED_PROXY_IPS", "", "proxy.trusted_proxy_ips", ""},
        good_row{"HP_LOG_LEVEL", "error", "log.level", "error"},
        good_row{"HP_SESSION_LIFETIME", "0.25", "proxy.session_lifetime", "250ms"},
        good_row{"HP_SESSION_LIFETIME", "10", "proxy.session_lifetime", "10s"},
        good_row{"HP_SESSION_LIFETIME", "0", "proxy.session_lifetime", "0s"},
        good_row{"HP_BLACKLIST_COUNT", "5", "proxy.blacklist_count", "5"},
        good_row{"HP_BLACKLIST_WINDOW", "60", "proxy.blacklist_window", "60s"},
        good_row{"HP_TIMEOUT_CONNECT", "5000", "proxy.timeout_connect", "5s"},
        good_row{"HP_TIMEOUT_CLIENT", "1m", "proxy.timeout_client", "60s"},
        good_row{"HP_TIMEOUT_SERVER", "2h", "proxy.timeout_server", "7200s"},
        good_row{"HP_TIMEOUT_SERVER", "2h", "proxy.timeout_tunnel", "7200s"},
        good_row{"HP_TIMEOUT_TUNNEL", "0", "proxy.timeout_tunnel", "0s"},
        good_row{"HP_TIMEOUT_TUNNEL", "0h", "proxy.timeout_tunnel", "0s"},
        good_row{"HP_TIMEOUT_TUNNEL", "", "proxy.timeout_tunnel", "1800s"},
        good_row{"HP_K8S_ENABLED", "YES", "kubernetes.enabled", "true"},
        good_row{"HP_K8S_ENABLED", "on", "kubernetes.enabled", "false"},
        good_row{"HP_K8S_API_SERVER", "https://k8s:6443", "kubernetes.api_server",
                 "https://k8s:6443"},
        good_row{"HP_K8S_NAMESPACE", "apps", "kubernetes.namespace", "apps"},
        good_row{"HP_K8S_BEARER_TOKEN", "t", "kubernetes.bearer_token", "(set)"},
        good_row{"HP_K8S_BEARER_TOKEN_FILE", "/t", "kubernetes.bearer_token_file", "/t"},
        good_row{"HP_K8S_CA_FILE", "/ca", "kubernetes.ca_file", "/ca"},
        good_row{"HP_K8S_VERIFY_SSL", "False", "kubernetes.verify_tls", "false"},
        good_row{"HP_K8S_VERIFY_SSL", "0", "kubernetes.verify_tls", "true"},
        good_row{"HP_K8S_STORAGE_CLASS", "fast", "kubernetes.storage_class", "fast"},
        good_row{"HP_K8S_DEFAULT_STORAGE_SIZE", "5Gi", "kubernetes.storage_size", "5Gi"},
        good_row{"HP_K8S_HOST_ALIASES", "a:10.0.0.1,b:10.0.0.2", "kubernetes.host_aliases",
                 "a:10.0.0.1,b:10.0.0.2"}}) {
    auto loaded = load_with(name, text);
    if (!loaded.errors.empty())
      CAF_ERROR(name << "=" << text << ": " << joined(loaded.errors));
    CAF_CHECK_EQUAL(value_of(loaded, key), shown);
    CAF_CHECK(loaded.value.proxy_enabled);
  }
}

CAF_TEST(is_fatal_where_harp_of_nextcloud_is) {
  for (const auto& [name, text] : {bad_row{"HP_SHARED_KEY", ""},
                                   bad_row{"HP_SHARED_KEY", "\"\""},
                                   bad_row{"HP_SHARED_KEY", "a\nb"},
                                   bad_row{"NC_INSTANCE_URL", ""},
                                   bad_row{"NC_INSTANCE_URL", "''"},
                                   bad_row{"NC_INSTANCE_URL", "cloud"},
                                   bad_row{"HP_FRP_ADDRESS", ""},
                                   bad_row{"HP_EXAPPS_ADDRESS", "0.0.0.0:80 ssl crt /x"},
                                   bad_row{"HP_EXAPPS_HTTPS_ADDRESS", "8781"},
                                   bad_row{"HP_FRP_CERT_VALIDITY_DAYS", "0"},
                                   bad_row{"HP_FRP_CERT_VALIDITY_DAYS", "-1"},
                                   bad_row{"HP_FRP_CERT_VALIDITY_DAYS", "1y"},
                                   bad_row{"HP_SESSION_LIFETIME", "10.1"},
                                   bad_row{"HP_SESSION_LIFETIME", "-0.1"},
                                   bad_row{"HP_SESSION_LIFETIME", "3s"},
                                   bad_row{"HP_SESSION_LIFETIME", ""},
                                   bad_row{"HP_SESSION_LIFETIME", "1e300"},
                                   bad_row{"HP_BLACKLIST_COUNT", "many"},
                                   bad_row{"HP_BLACKLIST_COUNT", "1.5"},
                                   bad_row{"HP_BLACKLIST_WINDOW", "5m"},
                                   bad_row{"HP_TIMEOUT_CONNECT", "fast"},
                                   bad_row{"HP_TIMEOUT_CLIENT", ""},
                                   bad_row{"HP_TIMEOUT_SERVER", "30sec"},
                                   bad_row{"HP_TIMEOUT_TUNNEL", "-1"}}) {
    auto loaded = load_with(name, text);
    if (loaded.errors.empty())
      CAF_ERROR(name << "=" << text << " accepted");
    CAF_CHECK_EQUAL(loaded.errors.size(), 1u);
  }
}

CAF_TEST(only_warns_where_harp_of_nextcloud_does) {
  for (const auto& [name, text] :
       {bad_row{"HP_LOG_LEVEL", "verbose"}, bad_row{"HP_LOG_LEVEL", ""},
        bad_row{"HP_TRUSTED_PROXY_IPS", "proxy"}, bad_row{"HP_BLACKLIST_COUNT", "0"},
        bad_row{"HP_BLACKLIST_COUNT", "-3"}, bad_row{"HP_BLACKLIST_WINDOW", "0"},
        bad_row{"HP_WATCHDOG_INTERVAL", "0"}, bad_row{"HP_WATCHDOG_FAILS", "x"},
        bad_row{"HP_FRP_DISABLE_TLS", "TRUE"}, bad_row{"HP_FRP_DISABLE_TLS", "1"},
        bad_row{"HP_SHARED_KEY", "a\"b"}, bad_row{"HP_SHARED_KEY", "a\\b"},
        bad_row{"HP_SHARED_KEY", "p\xc3\xa4ss"}, bad_row{"HP_TIMEOUT_CLIENT", "0"},
        bad_row{"HP_FRP_CERT_VALIDITY_DAYS", "99999"}, bad_row{"HP_BLACKLIST_COUNT", "1000000"},
        bad_row{"HP_BLACKLIST_WINDOW", "100000000"}}) {
    auto loaded = load_with(name, text);
    CAF_CHECK_EQUAL(joined(loaded.errors), "");
    CAF_CHECK(!loaded.warnings.empty());
  }
  CAF_CHECK_EQUAL(load_with("HP_LOG_LEVEL", "verbose").value.log_level, "warning");
  CAF_CHECK(load_with("HP_FRP_DISABLE_TLS", "TRUE").value.frp_tls);
  CAF_CHECK_EQUAL(load_with("HP_BLACKLIST_COUNT", "-3").value.blacklist_count, 0u);
  CAF_CHECK_EQUAL(load_with("HP_BLACKLIST_COUNT", "1000000").value.blacklist_count, 10'000u);
}

CAF_TEST(accepts_names_without_effect_silently) {
  for (const char* name :
       {"HP_SPOA_ADDRESS", "HP_VERBOSE_START", "HP_WAIT_AGENT_HTTP", "HP_WAIT_SPOA", "HP_WAIT_FRP",
        "HP_WAIT_INTERVAL", "HP_WATCHDOG_ENABLED"}) {
    auto loaded = load_with(name, "maybe");
    CAF_CHECK_EQUAL(joined(loaded.errors) + joined(loaded.warnings), "");
  }
}

CAF_TEST(strips_quotes_around_the_key_and_keeps_those_inside) {
  CAF_CHECK_EQUAL(load_with("HP_SHARED_KEY", "\"secret\"").value.shared_key, "secret");
  CAF_CHECK_EQUAL(load_with("HP_SHARED_KEY", "se'cret").value.shared_key, "se'cret");
  set("HARP_PROXY_SHARED_KEY", "\"literal\"");
  CAF_CHECK_EQUAL(load_with("NC_INSTANCE_URL", "https://c.example").value.shared_key,
                  "\"literal\"");
}

CAF_TEST(reads_the_key_from_a_file) {
  set("NC_INSTANCE_URL", "https://c.example");
  set("HP_SHARED_KEY_FILE", file("key", "'file key'\n\n"));
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  CAF_CHECK_EQUAL(loaded.value.shared_key, "file key");
  CAF_CHECK_EQUAL(origin_of(loaded, "proxy.shared_key"), "the file of env HP_SHARED_KEY_FILE");
  set("HP_SHARED_KEY", "");
  CAF_CHECK_EQUAL(load().value.shared_key, "file key");
}

CAF_TEST(refuses_two_keys_and_bad_key_files) {
  set("NC_INSTANCE_URL", "https://c.example");
  for (const auto& path :
       {file("empty", ""), file("newline", "\n"), (dir / "absent").string(), dir.string(),
        file("nul", std::string("a\0b", 3)), file("huge", std::string(70'000, 'x'))}) {
    set("HP_SHARED_KEY_FILE", path);
    auto loaded = load();
    CAF_REQUIRE_EQUAL(loaded.errors.size(), 1u);
    CAF_CHECK(any_has(loaded.errors, "HP_SHARED_KEY_FILE"));
    CAF_CHECK_EQUAL(loaded.value.shared_key, "");
  }
  set("HP_SHARED_KEY_FILE", file("key", canary));
  set("HP_SHARED_KEY", "other");
  auto both = load();
  CAF_REQUIRE_EQUAL(both.errors.size(), 1u);
  CAF_CHECK(any_has(both.errors, "only one"));
}

CAF_TEST(takes_the_service_managers_credential_below_the_environment) {
  set("NC_INSTANCE_URL", "https://c.example");
  set("CREDENTIALS_DIRECTORY", (dir / "credentials").string());
  file("credentials/shared_key", "from credential\n");
  file("harp.toml", "[proxy]\nshared_key_file = \"/nowhere\"\n");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  CAF_CHECK_EQUAL(loaded.value.shared_key, "from credential");
  set("HP_SHARED_KEY", "from env");
  CAF_CHECK_EQUAL(load().value.shared_key, "from env");
}

CAF_TEST(opens_the_proxy_for_hp_names_their_twins_and_the_image_only) {
  CAF_CHECK(!load().value.proxy_enabled);
  for (const char* quiet : {"HARP_LISTEN_HEALTH=127.0.0.1:0", "HARP_LOG_LEVEL=info",
                            "HARP_LISTEN_CONSOLE=127.0.0.1:0", "HARP_THREADS=1"}) {
    std::string pair = quiet;
    auto with = sources;
    with.environment[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
    auto loaded = load_config(with);
    CAF_CHECK_EQUAL(joined(loaded.errors), "");
    CAF_CHECK(!loaded.value.proxy_enabled);
  }
  for (const char* name : {"HP_LOG_LEVEL", "HP_SPOA_ADDRESS", "HP_SHARED_KEY", "NC_INSTANCE_URL"}) {
    auto with = sources;
    with.environment[name] = "";
    CAF_CHECK(load_config(with).value.proxy_enabled);
  }
  set("HARP_IMAGE", "1");
  auto image = load();
  CAF_CHECK(image.value.proxy_enabled);
  CAF_CHECK_EQUAL(image.value.certs_dir, "/certs");
  CAF_CHECK_EQUAL(image.errors.size(), 2u); // no key, no Nextcloud
  sources.environment.erase("HARP_IMAGE");
  file("harp.toml", "[proxy]\ntimeout_client = \"20s\"\n");
  CAF_CHECK(load().value.proxy_enabled);
}

CAF_TEST(needs_neither_key_nor_nextcloud_beside_the_development_authority) {
  set("HARP_DEV_AUTHORITY", "1");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  CAF_CHECK(loaded.value.proxy_enabled);
  CAF_CHECK_EQUAL(loaded.value.shared_key, "");
  CAF_CHECK(any_has(loaded.warnings, "DEVELOPMENT AUTHORITY"));
}

CAF_TEST(an_entry_node_needs_neither_key_nor_nextcloud) {
  set("HARP_PROXY_ENTRY", "true");
  set("HARP_LISTEN_EXAPPS", "127.0.0.1:0");
  file("harp.toml", "[proxy]\ntrusted_proxy_ips = \"10.0.0.0/8\"\ntimeout_server = \"20s\"\n");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  CAF_CHECK(loaded.value.proxy_entry);
  CAF_CHECK(!loaded.value.proxy_enabled);
  CAF_CHECK_EQUAL(loaded.value.exapps_address.at(0).to_string(), "127.0.0.1:0");
  auto also = [this](const char* name, const char* text) {
    auto with = sources;
    with.environment[name] = text;
    return load_config(with);
  };
  CAF_CHECK_EQUAL(joined(also("HARP_IMAGE", "1").errors), "");
  // whatever only the proxy plane heeds, and every HP_* name, still asks for both
  for (auto [name, text] : {std::pair{"HP_EXAPPS_ADDRESS", "127.0.0.1:0"}, {"HARP_LISTEN_FRP", "127.0.0.1:0"}}) {
    auto proxy = also(name, text);
    CAF_CHECK(proxy.value.proxy_enabled);
    CAF_CHECK_EQUAL(proxy.errors.size(), 2u); // no key, no Nextcloud
  }
  set("HARP_PROXY_ENTRY", "false");
  CAF_CHECK(load().value.proxy_enabled); // HARP_LISTEN_EXAPPS alone opens the proxy plane, as before
}

CAF_TEST(says_what_to_do_when_key_or_nextcloud_is_missing) {
  set("HP_EXAPPS_ADDRESS", "127.0.0.1:0");
  auto loaded = load();
  CAF_REQUIRE_EQUAL(loaded.errors.size(), 2u);
  CAF_CHECK(any_has(loaded.errors, "HP_SHARED_KEY_FILE"));
  CAF_CHECK(any_has(loaded.errors, "NC_INSTANCE_URL"));
}

CAF_TEST(finds_the_pods_api_server) {
  set("KUBERNETES_SERVICE_HOST", "10.96.0.1");
  CAF_CHECK_EQUAL(load().value.k8s_api_server, "https://10.96.0.1:443");
  set("KUBERNETES_SERVICE_HOST", "fd00::1");
  set("KUBERNETES_SERVICE_PORT", "6443");
  CAF_CHECK_EQUAL(load().value.k8s_api_server, "https://[fd00::1]:6443");
  CAF_CHECK_EQUAL(load_with("HP_K8S_API_SERVER", "https://own").value.k8s_api_server,
                  "https://own");
}

CAF_TEST(warns_about_a_console_open_to_others) {
  set("HARP_LISTEN_CONSOLE", "0.0.0.0:8783");
  CAF_CHECK(any_has(load().warnings, "not a loopback address"));
  set("HARP_LISTEN_CONSOLE", "127.0.0.2:0");
  CAF_CHECK_EQUAL(joined(load().warnings), "");
  set("HARP_LISTEN_CONSOLE", "127.0.0.1:1,127.0.0.1:2");
  CAF_CHECK(any_has(load().errors, "takes one address"));
}

CAF_TEST(never_shows_a_secret) {
  set("NC_INSTANCE_URL", "https://c.example");
  set("HP_K8S_BEARER_TOKEN", canary);
  for (auto [name, text] :
       {std::pair{"HP_SHARED_KEY", std::string{canary}},
        std::pair{"HP_SHARED_KEY", std::string{canary} + "\n"},
        std::pair{"HP_SHARED_KEY", std::string{canary} + "\"x"},
        std::pair{"HARP_PROXY_SHARED_KEY", std::string{canary}},
        std::pair{"HP_SHARED_KEY_FILE", file("key", std::string{canary} + "\x01")},
        std::pair{"HP_SHARED_KEY_FILE", file("key2", canary)}}) {
    auto with = sources;
    with.environment[name] = text;
    auto loaded = load_config(with);
    auto everything = config_json(loaded) + config_text(loaded, true) + joined(loaded.errors)
                      + joined(loaded.warnings) + config_reference();
    CAF_CHECK(everything.find(canary) == std::string::npos);
  }
  file("harp.toml", "[proxy]\nshared_key = \"" + std::string{canary} + "\"\n");
  sources.flags["kubernetes.bearer_token"] = canary;
  auto loaded = load();
  CAF_CHECK(any_has(loaded.errors, "never stands on a command line"));
  CAF_CHECK((config_json(loaded) + joined(loaded.errors)).find(canary) == std::string::npos);
}

CAF_TEST(documents_every_key_once) {
  std::set<std::string> seen;
  auto reference = config_reference();
  auto json = nlohmann::json::parse(config_reference_json());
  CAF_CHECK_EQUAL(json["keys"].size(), config_keys().size());
  for (const auto& info : config_keys()) {
    CAF_CHECK(!info.meaning.empty());
    CAF_CHECK(info.name.empty() || seen.insert(info.name).second);
    CAF_CHECK(
        reference.find("\n" + (info.name.empty() ? info.environment.front() : info.name) + "\n")
        != std::string::npos);
    for (const auto& name : info.environment) {
      CAF_CHECK(seen.insert(name).second);
      CAF_CHECK(reference.find(name) != std::string::npos);
    }
    auto harps_own = "HARP_" + info.name;
    std::transform(harps_own.begin(), harps_own.end(), harps_own.begin(),
                   [](char c) { return c == '.' ? '_' : static_cast<char>(toupper(c)); });
    if (!info.name.empty())
      CAF_CHECK_EQUAL(info.environment.front(), harps_own);
  }
}

CAF_TEST(compares_with_what_is_running) {
  auto running = load();
  CAF_CHECK(compare_config(config_json(running), load()).differences.empty());
  set("HARP_THREADS", "3");
  auto compared = compare_config(config_json(running), load());
  CAF_REQUIRE_EQUAL(compared.differences.size(), 1u);
  CAF_CHECK_EQUAL(compared.differences[0].key, "threads");
  CAF_CHECK_EQUAL(compared.differences[0].running, "0");
  CAF_CHECK_EQUAL(compared.differences[0].files, "3");
  for (const char* text : {"", "[]", "{}", "{\"keys\":3}", "<html>"})
    CAF_CHECK(!compare_config(text, running).error.empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
