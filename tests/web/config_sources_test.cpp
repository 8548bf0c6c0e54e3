// load_config: where values come from, who wins, and what is said about files, names and keys that are wrong.
#define CAF_SUITE config_sources

#include "tests/web/config_fixture.hpp"
#include "web/config_file.hpp"

#include <caf/test/unit_test.hpp>

using namespace harp;
using namespace harp::web;
using namespace std::chrono_literals;

CAF_TEST_FIXTURE_SCOPE(config_sources_tests, config_fixture)

CAF_TEST(lets_flags_beat_environment_beat_drop_ins_beat_file_beat_defaults) {
  CAF_CHECK_EQUAL(load().value.threads, 0u);
  auto main = file("harp.toml", "# first\nthreads = 1\n");
  CAF_CHECK_EQUAL(load().value.threads, 1u);
  CAF_CHECK_EQUAL(origin_of(load(), "threads"), main + ":2");
  auto second = file("harp.toml.d/20-b.toml", "threads = 3\n");
  file("harp.toml.d/10-a.toml", "threads = 2\n");
  file("harp.toml.d/99-c.toml.bak", "threads = 9\n");
  CAF_CHECK_EQUAL(load().value.threads, 3u);
  CAF_CHECK_EQUAL(origin_of(load(), "threads"), second + ":1");
  set("HARP_THREADS", "4");
  CAF_CHECK_EQUAL(load().value.threads, 4u);
  CAF_CHECK_EQUAL(origin_of(load(), "threads"), "env HARP_THREADS");
  sources.flags["threads"] = "5";
  CAF_CHECK_EQUAL(load().value.threads, 5u);
  CAF_CHECK_EQUAL(origin_of(load(), "threads"), "flag --set threads");
}

CAF_TEST(prefers_harps_own_name_and_says_so) {
  set("HARP_PROXY_TIMEOUT_CLIENT", "10s");
  auto loaded = load_with("HP_TIMEOUT_CLIENT", "20s");
  CAF_CHECK(loaded.value.timeout_client == 10s);
  CAF_CHECK(any_has(loaded.warnings, "HARP_PROXY_TIMEOUT_CLIENT and HP_TIMEOUT_CLIENT"));
  auto same = load_with("HP_TIMEOUT_CLIENT", "10s");
  CAF_CHECK_EQUAL(joined(same.warnings), "");
}

CAF_TEST(reads_every_key_from_toml) {
  file("key", "k");
  file("harp.toml",
       "threads = 2\ncerts = \"/c\"\n[proxy]\nshared_key_file = \"" + (dir / "key").string()
           + "\"\nnextcloud_url = \"https://c.example\"\nexapps_address = [\"127.0.0.1:1\", "
             "\"[::1]:1\"]\n"
             "exapps_https_address = \"127.0.0.1:2\"\nfrp_address = \":3\"\nhealth_address = "
             "\"127.0.0.1:4\"\n"
             "frp_disable_tls = true\nfrp_cert_validity_days = 7\ntrusted_proxy_ips = "
             "[\"10.0.0.0/8\"]\n"
             "session_lifetime = \"1500ms\"\nblacklist_count = 3\nblacklist_window = \"1m\"\n"
             "expired_session_tenths = 0\n"
             "timeout_connect = \"1s\"\ntimeout_client = \"2s\"\ntimeout_server = "
             "\"3s\"\ntimeout_tunnel = 0\n"
             "legacy_key_ports = false\nentry = true\n[engines]\nlocal = \"/run/x.sock\"\nbind_mounts = "
             "\"none\"\nlegacy_exapp_key = true\n[listen]\nconsole = \"[::1]:5\"\nnodes = \":6\"\n"
             "lan_discovery = false\n"
             "[storage]\ncheckpoint_every = \"1h\"\nactive_for = \"2h\"\nscrub_every = \"3h\"\nlease_grace = \"4h\"\n"
             "[log]\nlevel = \"info\"\nformat = \"json\"\naccess = true\n[dev]\nauthority = false\n"
             "[kubernetes]\nenabled = true\napi_server = \"https://k\"\nnamespace = \"n\"\n"
             "bearer_token_file = \"/t\"\nca_file = \"/a\"\nverify_tls = false\nstorage_class = "
             "\"s\"\n"
             "storage_size = \"1Gi\"\nhost_aliases = [\"a:10.0.0.1\"]\n");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  for (const auto& info : config_keys())
    if (info.in_files)
      CAF_CHECK_EQUAL(origin_of(loaded, info.name).substr(0, dir.string().size()), dir.string());
  const auto& c = loaded.value;
  CAF_CHECK_EQUAL(c.shared_key, "k");
  CAF_CHECK_EQUAL(c.exapps_address.size(), 2u);
  CAF_CHECK(!c.frp_tls);
  CAF_CHECK(c.session_lifetime == 1500ms);
  CAF_CHECK(c.blacklist_window == 60s);
  CAF_CHECK_EQUAL(c.expired_session_tenths, 0u);
  CAF_CHECK(c.timeout_tunnel == 0ms);
  CAF_CHECK_EQUAL(c.k8s_host_aliases.size(), 1u);
  CAF_CHECK(!c.legacy_key_ports);
  CAF_CHECK(c.proxy_entry);
  CAF_CHECK_EQUAL(c.bind_mounts, "none");
  CAF_CHECK(c.legacy_exapp_key);
  CAF_CHECK(!c.lan_discovery);
  CAF_CHECK(c.storage_checkpoint_every == 1h);
  CAF_CHECK(c.storage_active_for == 2h);
  CAF_CHECK(c.storage_scrub_every == 3h);
  CAF_CHECK(c.storage_lease_grace == 4h);
  CAF_REQUIRE_EQUAL(c.nodes.size(), 1u);
  CAF_CHECK_EQUAL(c.nodes[0].port, 6);
}

CAF_TEST(takes_every_harp_name) {
  for (const auto& info : config_keys()) {
    if (info.name.empty() || info.secret || info.name == "proxy.shared_key_file"
        || info.name == "config")
      continue;
    auto shown = value_of(load(), info.name);
    auto text = info.name == "proxy.nextcloud_url" ? std::string{"https://c.example"} : shown;
    if (info.name == "listen.nodes")
      text = "127.0.0.1:0"; // its default depends on init and join
    if (text.empty())
      text = info.name == "proxy.trusted_proxy_ips" || info.name == "kubernetes.host_aliases"
                 ? ""
                 : "/x";
    if (text.empty())
      continue;
    for (const auto& name : info.environment)
      if (name.starts_with("HARP_")) {
        auto loaded = load_with(name, text);
        CAF_CHECK_EQUAL(joined(loaded.errors), "");
        CAF_CHECK_EQUAL(origin_of(loaded, info.name), "env " + name);
      }
  }
}

CAF_TEST(names_file_line_and_nearest_key_for_unknown_keys) {
  auto path
      = file("harp.toml", "\n[proxy]\nexapp_address = \"127.0.0.1:1\"\n[lgo]\nlevel = \"info\"\n");
  auto loaded = load();
  CAF_REQUIRE_EQUAL(loaded.errors.size(), 2u);
  CAF_CHECK_EQUAL(
      loaded.errors[0],
      path + ":3: unknown key \"proxy.exapp_address\"; did you mean proxy.exapps_address?");
  CAF_CHECK_EQUAL(loaded.errors[1],
                  path + ":5: unknown key \"lgo.level\"; did you mean log.level?");
}

CAF_TEST(refuses_duplicates_wrong_types_units_and_stray_quotes) {
  struct row {
    const char* text;
    const char* place;
    const char* part;
  };
  for (const auto& [text, place, part] :
       {row{"threads = 1\nthreads = 2\n", ":2", "threads"},
        row{"[log]\n[log]\n", ":2", "log"},
        row{"threads = \"1\"\n", ":1", "threads needs an integer, not a string"},
        row{"threads = 1.5\n", ":1", "threads needs an integer, not a floating-point number"},
        row{"threads = 257\n", ":1", "threads needs an integer from 0 to 256"},
        row{"[proxy]\nfrp_disable_tls = \"true\"\n", ":2",
            "frp_disable_tls needs true or false, not a string"},
        row{"[proxy]\ntimeout_client = 30\n", ":2", "timeout_client needs a unit"},
        row{"[proxy]\ntimeout_client = \"30\"\n", ":2", "timeout_client needs a unit"},
        row{"[proxy]\ntimeout_client = \"30sec\"\n", ":2", "unknown unit \"sec\""},
        row{"[proxy]\ntimeout_client = true\n", ":2", "timeout_client needs a time"},
        row{"[proxy]\nsession_lifetime = \"11s\"\n", ":2", "needs 0s to 10s"},
        row{"[proxy]\nblacklist_window = \"1500ms\"\n", ":2", "whole seconds"},
        row{"[proxy]\nblacklist_count = 0\n", ":2", "from 1 to"},
        row{"[proxy]\nexpired_session_tenths = 11\n", ":2", "to 10"},
        row{"[proxy]\nnextcloud_url = \"'https://x'\"\n", ":2", "stray quotes"},
        row{"[proxy]\nexapps_address = \"'127.0.0.1:1'\"\n", ":2", "stray quotes"},
        row{"[log]\nlevel = \"warn\"\n", ":2", "needs one of debug, info, warning, error"},
        row{"[log]\nlevel = [\"info\"]\n", ":2", "needs a string, not a list"},
        row{"[log]\nlevel = 1979-05-27\n", ":2", "log.level: needs a string"},
        row{"state = \"/x\"\n", ":1", "state cannot be set in a file"},
        row{"[proxy]\nshared_key = \"x\"\n", ":2", "use proxy.shared_key_file"},
        row{"threads = \n", ":1", ""},
        row{"[proxy.sub]\nx = 1\n", ":2", "proxy.sub.x"},
        row{"just words\n", ":1", ""}}) {
    open_proxy();
    auto path = file("harp.toml", text);
    auto loaded = load();
    if (loaded.errors.size() != 1)
      CAF_ERROR(text << ": " << joined(loaded.errors));
    CAF_CHECK(any_has(loaded.errors, path + place + ": "));
    CAF_CHECK(any_has(loaded.errors, part));
  }
}

CAF_TEST(complains_about_everything_at_once) {
  auto path = file("harp.toml", "threads = -1\nbogus = 1\n");
  file("harp.toml.d/x.toml", "threads = [\n");
  set("HARP_LOG_LEVEL", "loud");
  set("HARP_TREADS", "1");
  sources.flags["log.formt"] = "json";
  auto loaded = load();
  CAF_CHECK_EQUAL(loaded.errors.size(), 6u);
  CAF_CHECK(any_has(loaded.errors, path + ":1: threads"));
  CAF_CHECK(any_has(loaded.errors, path + ":2: unknown key \"bogus\""));
  CAF_CHECK(any_has(loaded.errors, "x.toml:"));
  CAF_CHECK(any_has(loaded.errors, "HARP_LOG_LEVEL needs one of"));
  CAF_CHECK(any_has(loaded.errors, "\"HARP_TREADS\"; did you mean HARP_THREADS?"));
  CAF_CHECK(any_has(loaded.errors, "\"log.formt\"; did you mean log.format?"));
}

CAF_TEST(leaves_foreign_names_alone) {
  for (const char* name :
       {"HARP_TEST_FRPC", "HARP_BENCH_FRPS", "HARP_BIN", "HARP_SAMPLE_BIN", "HARP_UP_STATE",
        "HARP_TOKEN", "HARP_SERVICE_HOST", "HARP_PORT_8780_TCP", "HARPSICHORD", "HP_PRINTER_QUEUE"})
    set(name, "x");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors) + joined(loaded.warnings), "");
  CAF_CHECK(!loaded.value.proxy_enabled);
  set("HP_TIMEOUT_CLIENTS", "1");
  CAF_CHECK(any_has(load().warnings, "did you mean HP_TIMEOUT_CLIENT?"));
}

CAF_TEST(treats_empty_harp_variables_as_not_given) {
  set("HARP_THREADS", "");
  auto loaded = load();
  CAF_CHECK_EQUAL(joined(loaded.errors), "");
  CAF_CHECK_EQUAL(origin_of(loaded, "threads"), "default");
}

CAF_TEST(needs_the_file_that_was_named) {
  sources.file = (dir / "absent.toml").string();
  CAF_CHECK(any_has(load().errors, "absent.toml"));
  sources.file = file("other.toml", "threads = 7\n");
  CAF_CHECK_EQUAL(load().value.threads, 7u);
  CAF_CHECK_EQUAL(origin_of(load(), "config"), "flag --config");
  sources.file.clear();
  set("HARP_CONFIG", (dir / "other.toml").string());
  CAF_CHECK_EQUAL(load().value.threads, 7u);
}

CAF_TEST(bounds_files_and_drop_ins) {
  file("harp.toml", std::string(config_file_bytes_max + 1, '#'));
  CAF_CHECK(any_has(load().errors, "larger than"));
  file("harp.toml", "");
  for (size_t i = 0; i <= drop_ins_max; ++i)
    file("harp.toml.d/" + std::to_string(i) + ".toml", "");
  CAF_CHECK(any_has(load().errors, "more than 64 files"));
}

CAF_TEST(survives_a_toml_file_cut_at_every_byte) {
  const std::string whole = "threads = 2 # two\n[log]\nlevel = \"info\"\naccess = true\n[proxy]\n"
                            "trusted_proxy_ips = [\"10.0.0.0/8\", \"::1\"]\n";
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    auto read = parse_config_text(std::string_view{whole}.substr(0, cut), "f");
    CAF_CHECK(read.errors.size() <= 1);
    CAF_CHECK(read.errors.empty() || read.rows.empty());
  }
}

CAF_TEST(chooses_directories_by_flag_then_environment) {
  CAF_CHECK_EQUAL(node_directories(sources).first, dir.string());
  CAF_CHECK_EQUAL(node_directories(sources).second, dir.string() + "/certs");
  sources.flags["state"] = "/some/where/";
  CAF_CHECK_EQUAL(node_directories(sources).first, "/some/where");
  CAF_CHECK_EQUAL(load().value.state_dir, "/some/where");
  CAF_CHECK_EQUAL(load().value.certs_dir, "/some/where/certs");
  set("HARP_CERTS", "/keys");
  CAF_CHECK_EQUAL(load().value.certs_dir, "/keys");
  sources.flags["certs"] = "/flagged";
  CAF_CHECK_EQUAL(node_directories(sources).second, "/flagged");
  CAF_CHECK_EQUAL(origin_of(load(), "certs"), "flag --certs");
}

CAF_TEST_FIXTURE_SCOPE_END()
