// Gathers every source in order of precedence and applies it to the defaults; then what only the
// whole can tell.
#include "web/config.hpp"
#include "web/config_file.hpp"
#include "web/config_keys.hpp"
#include "web/config_places.hpp"
#include "web/nearest.hpp"
#include "web/secret_text.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

namespace harp::web {

namespace {

/// Later ones win.
enum class rank : uint8_t { by_default, file, credential, environment, flag };

struct given_place {
  rank from = rank::by_default;
  std::string origin = "default";
  std::string name; // environment name, for the two that may contradict each other
  std::string text;
};

bool is_compat_name(std::string_view name) {
  return name.starts_with("HP_") || name == "NC_INSTANCE_URL";
}

/// HARP_ names that are not ours to judge: tests and scripts, Harp's expose, and what Kubernetes
/// and Docker links put into a container for a service that is called "harp".
bool is_foreign(std::string_view name) {
  constexpr std::array<std::string_view, 6> prefixes{"HARP_TEST_",        "HARP_BENCH_",
                                                     "HARP_UP_",          "HARP_SERVICE_HOST",
                                                     "HARP_SERVICE_PORT", "HARP_PORT"};
  constexpr std::array<std::string_view, 3> names{"HARP_BIN", "HARP_SAMPLE_BIN", "HARP_TOKEN"};
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](auto prefix) { return name.starts_with(prefix); })
         || std::find(names.begin(), names.end(), name) != names.end();
}

std::string hint(const std::string& meant) {
  return meant.empty() ? "; `harp config reference` lists all" : "; did you mean " + meant + "?";
}

class loader {
public:
  explicit loader(const config_sources& sources) : sources_(sources) {}
  config_result run();

private:
  void give(const key_entry& entry, const given_value& given, given_place place);
  void read_files();
  void read_environment();
  void read_variable(const key_entry& entry, const std::string& name, const std::string& text);
  void refuse_unknown_names();
  void read_flags();
  void fill_defaults();
  void fill(const char* key, std::string& member, std::string value, const char* origin);
  void resolve_shared_key();
  void take_key(std::string key, bool from_compat, const std::string& name);
  void check_whole();
  void list_origins();
  bool failed(const std::string& key) const { return failed_.count(key) > 0; }
  rank rank_of(const std::string& key) { return places_[key].from; }
  void error(std::string text) { result_.errors.push_back(std::move(text)); }
  void warn(std::string text) { result_.warnings.push_back(std::move(text)); }

  const config_sources& sources_;
  config_result result_;
  std::map<std::string, given_place> places_;
  std::set<std::string> failed_;
  bool entry_keys_given_ = false; // keys that open the proxy plane unless this is an entry node
};

void loader::give(const key_entry& entry, const given_value& given, given_place place) {
  notes warnings;
  auto label = place.from == rank::file ? place.origin + ": " + entry.info.name : place.name;
  auto fault = entry.apply(result_.value, given, warnings);
  for (const auto& text : warnings)
    warn(label + " " + text);
  if (!fault.empty()) {
    error(label + " " + fault);
    failed_.insert(entry.info.name);
  }
  result_.value.proxy_enabled |= (entry.opens_proxy && !entry.serves_entry) || is_compat_name(place.name);
  entry_keys_given_ |= entry.opens_proxy;
  auto& before = places_[entry.info.name];
  if (before.from == rank::environment && place.from == rank::environment
      && before.text != given.text && !entry.info.name.empty())
    warn(place.name + " and " + before.name + " are both set and differ: " + place.name
         + " counts");
  place.text = given.text;
  before = std::move(place);
}

void loader::read_files() {
  auto& file = result_.value.config_file;
  bool chosen = rank_of("config") != rank::by_default;
  std::error_code failure;
  if (chosen && !std::filesystem::exists(file, failure))
    error(file + ": the configuration file does not exist");
  auto read = read_config_files(file);
  result_.errors.insert(result_.errors.end(), read.errors.begin(), read.errors.end());
  std::vector<std::string> known;
  for (const auto& info : config_keys())
    if (!info.name.empty() && info.in_files)
      known.push_back(info.name);
  for (const auto& row : read.rows) {
    const auto* entry = find_key(row.key);
    if (entry == nullptr)
      error(row.place + ": unknown key " + in_quotes(row.key) + hint(nearest(row.key, known)));
    else if (entry->info.secret)
      error(row.place + ": " + row.key + " cannot stand in a file for all to read; use " + row.key
            + "_file");
    else if (!entry->info.in_files)
      error(row.place + ": " + row.key + " cannot be set in a file, only by "
            + entry->info.environment.front() + " or a flag");
    else
      give(*entry, row.given, {rank::file, row.place, "", ""});
  }
}

void loader::read_variable(const key_entry& entry, const std::string& name,
                           const std::string& text) {
  bool compat = is_compat_name(name);
  // an empty HARP_ variable is how compose files and units say "not set"; HaRP's own names keep
  // HaRP's meaning of empty, which for the tunnel's limit is "as the server's"
  if (text.empty() && (!compat || name == "HP_TIMEOUT_TUNNEL"))
    return;
  give(entry, {text, compat ? text_form::compat : text_form::strict},
       {rank::environment, "env " + name, name, ""});
}

void loader::read_environment() {
  for (const auto& entry : key_table()) {
    const auto& names = entry.info.environment;
    // Harp's own name stands first and wins, so it is applied last
    for (auto name = names.rbegin(); name != names.rend(); ++name)
      if (auto found = sources_.environment.find(*name); found != sources_.environment.end())
        read_variable(entry, *name, found->second);
  }
  refuse_unknown_names();
}

void loader::refuse_unknown_names() {
  std::vector<std::string> known;
  for (const auto& info : config_keys())
    known.insert(known.end(), info.environment.begin(), info.environment.end());
  for (const auto& [name, text] : sources_.environment) {
    bool ours = name.starts_with("HARP_") && !is_foreign(name);
    if ((!ours && !name.starts_with("HP_"))
        || std::find(known.begin(), known.end(), name) != known.end())
      continue;
    auto meant = nearest(name, known);
    if (ours)
      error("unknown environment variable " + in_quotes(name) + hint(meant));
    else if (!meant.empty())
      warn("environment variable " + in_quotes(name) + " is not known; did you mean " + meant
           + "?");
  }
}

void loader::read_flags() {
  auto flags = sources_.flags;
  if (!sources_.file.empty())
    flags["config"] = sources_.file;
  for (const auto& [key, text] : flags) {
    const auto* entry = find_key(key);
    bool direct = key == "state" || key == "certs" || key == "config";
    auto label = direct ? "--" + key : "--set " + key;
    std::vector<std::string> known;
    for (const auto& info : config_keys())
      if (!info.name.empty() && !info.secret)
        known.push_back(info.name);
    if (entry == nullptr)
      error("--set: unknown key " + in_quotes(key) + hint(nearest(key, known)));
    else if (entry->info.secret)
      error("--set: " + key + " is a secret, which never stands on a command line; use " + key
            + "_file");
    else
      give(*entry, {text, text_form::strict}, {rank::flag, "flag " + label, label, ""});
  }
}

void loader::fill(const char* key, std::string& member, std::string value, const char* origin) {
  auto& place = places_[key];
  if (!member.empty() || place.from == rank::flag || value.empty())
    return;
  member = std::move(value);
  place.from = rank::by_default;
  place.origin = origin;
}

void loader::fill_defaults() {
  auto& c = result_.value;
  fill("certs", c.certs_dir, default_certs_dir(c.state_dir, c.in_image), "default");
  if (rank_of("engines.local") == rank::by_default)
    fill("engines.local", c.local_engine, mounted_engine(c.in_image), "default (mounted)");
  if (rank_of("proxy.timeout_tunnel") == rank::by_default) {
    c.timeout_tunnel = c.timeout_server;
    places_["proxy.timeout_tunnel"].origin = "default (proxy.timeout_server)";
  }
  auto host = environment_value(sources_, "KUBERNETES_SERVICE_HOST");
  if (!host.empty()) {
    auto port = environment_value(sources_, "KUBERNETES_SERVICE_PORT");
    bool bare_v6 = host.find(':') != std::string::npos && !host.starts_with('[');
    fill("kubernetes.api_server", c.k8s_api_server,
         "https://" + (bare_v6 ? "[" + host + "]" : host) + ":" + (port.empty() ? "443" : port),
         "default (pod)");
  }
}

void loader::take_key(std::string key, bool from_compat, const std::string& name) {
  if (from_compat)
    key = strip_quotes(key);
  if (auto fault = shared_key_fault(key); !fault.empty()) {
    error(name + ": the shared key " + fault);
    failed_.insert("proxy.shared_key");
    key.clear();
  } else if (auto odd = shared_key_oddity(key); !odd.empty()) {
    warn(name + ": the shared key " + odd);
  }
  result_.value.shared_key = std::move(key);
}

void loader::resolve_shared_key() {
  auto& c = result_.value;
  auto& by_text = places_["proxy.shared_key"];
  auto& by_file = places_["proxy.shared_key_file"];
  bool text = !c.shared_key.empty();
  bool file = !c.shared_key_file.empty();
  if (text && file && by_text.from == by_file.from) {
    error(by_text.name + " and " + by_file.name + " are both set: give only one of them");
    failed_.insert("proxy.shared_key");
    c.shared_key.clear();
    return;
  }
  auto credentials = environment_value(sources_, "CREDENTIALS_DIRECTORY");
  std::error_code failure;
  if (!text && by_file.from <= rank::file && !credentials.empty()
      && std::filesystem::exists(credentials + "/shared_key", failure)) {
    c.shared_key_file = credentials + "/shared_key";
    c.proxy_enabled = true;
    by_file = {rank::credential, "credential shared_key", "credential shared_key", ""};
    file = true;
  }
  if (text && !(file && by_file.from > by_text.from)) {
    take_key(std::move(c.shared_key), is_compat_name(by_text.name), by_text.name);
    return;
  }
  if (!file)
    return;
  auto label = by_file.name.empty() ? by_file.origin + ": proxy.shared_key_file" : by_file.name;
  auto content = read_secret_file(c.shared_key_file);
  if (!content.value) {
    error(label + " " + content.error);
    failed_.insert("proxy.shared_key");
    return;
  }
  by_text = {by_file.from, "the file of " + by_file.origin, by_file.name, ""};
  take_key(std::move(*content.value), is_compat_name(by_file.name), label);
}

void loader::check_whole() {
  auto& c = result_.value;
  c.proxy_enabled |= c.dev_authority || (!c.proxy_entry && (c.in_image || entry_keys_given_));
  if (c.state_dir.empty() && !failed("state"))
    error("no place for the state: set --state DIR or HARP_STATE (there is no HOME)");
  if (c.proxy_enabled && !c.dev_authority && c.shared_key.empty() && !failed("proxy.shared_key"))
    error("no shared key: set HP_SHARED_KEY_FILE, HP_SHARED_KEY or proxy.shared_key_file to the "
          "key that is given to AppAPI when the daemon is registered");
  if (c.proxy_enabled && !c.dev_authority && c.nextcloud_url.empty()
      && !failed("proxy.nextcloud_url"))
    error("no Nextcloud: set NC_INSTANCE_URL or proxy.nextcloud_url to its base URL, for example "
          "https://cloud.example.org");
  if (c.dev_authority)
    warn("DEVELOPMENT AUTHORITY IS ON: it stands in for Nextcloud with public passwords, and "
         "Nextcloud is not asked; switch dev.authority off for anything but trying things out");
  if (c.timeout_connect.count() == 0 || c.timeout_client.count() == 0
      || c.timeout_server.count() == 0)
    warn("one of proxy.timeout_connect, timeout_client, timeout_server is 0: that wait has no "
         "limit; set a time such as 30s");
  std::error_code failure;
  for (const char* path : {"/haproxy.cfg", "/frps.toml", "/frpc-docker.toml"})
    if (c.in_image && std::filesystem::exists(path, failure))
      warn(std::string{path}
           + " is there but Harp cannot honour it: it runs neither HAProxy nor "
             "frp; move its settings to harp.toml");
}

void loader::list_origins() {
  for (const auto& entry : key_table())
    if (!entry.info.name.empty())
      result_.origins.push_back(
          {entry.info.name, entry.show(result_.value), places_[entry.info.name].origin});
}

config_result loader::run() {
  auto& c = result_.value;
  // the three that decide where the rest is read from come first, by the sources that can name them
  c.state_dir = node_directories(sources_).first;
  auto image = parse_flag({environment_value(sources_, "HARP_IMAGE"), text_form::strict});
  c.in_image = image.value.value_or(false);
  c.config_file = default_config_file(c.state_dir);
  auto named = sources_.file.empty() ? environment_value(sources_, "HARP_CONFIG") : sources_.file;
  if (!named.empty()) {
    c.config_file = named;
    places_["config"].from = sources_.file.empty() ? rank::environment : rank::flag;
    places_["config"].origin = sources_.file.empty() ? "env HARP_CONFIG" : "flag --config";
  }
  read_files();
  read_environment();
  read_flags();
  fill_defaults();
  resolve_shared_key();
  check_whole();
  list_origins();
  return std::move(result_);
}

} // namespace

config_result load_config(const config_sources& sources) {
  return loader{sources}.run();
}

} // namespace harp::web
