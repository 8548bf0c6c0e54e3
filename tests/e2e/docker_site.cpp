// Starting engines, making images, and speaking as AppAPI does.
#include "tests/e2e/docker_site.hpp"

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <sstream>
#include <unistd.h>

namespace harp::e2e {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

namespace {

constexpr const char* start_script = R"sh(#!/bin/sh
# What ExApp images do: write the tunnel client's configuration at every start, run it beside the app.
{
  echo "serverAddr = \"$HP_FRP_ADDRESS\""
  echo "serverPort = $HP_FRP_PORT"
  echo "loginFailExit = false"
  if [ -d /certs/frp ]; then
    echo "transport.tls.enable = true"
    echo "transport.tls.certFile = \"/certs/frp/client.crt\""
    echo "transport.tls.keyFile = \"/certs/frp/client.key\""
    echo "transport.tls.trustedCaFile = \"/certs/frp/ca.crt\""
    echo "transport.tls.serverName = \"harp.nc\""
  else
    echo "transport.tls.enable = false"
  fi
  echo "metadatas.token = \"$HP_SHARED_KEY\""
  echo "[[proxies]]"
  echo "name = \"$APP_ID\""
  echo "type = \"tcp\""
  echo "remotePort = $APP_PORT"
  echo "[proxies.plugin]"
  echo "type = \"unix_domain_socket\""
  echo "unixPath = \"/tmp/exapp.sock\""
} > /frpc.toml
rm -f /tmp/exapp.sock
RUN_CLIENT &
echo "the app starts"
exec harp-sample-exapp --listen unix:/tmp/exapp.sock
)sh";

constexpr const char* expose_line
    = R"sh(printf %s "$HP_SHARED_KEY" > /tmp/token; mkdir -p /tmp/state
if [ -d /certs/frp ]; then TLS="--tls-dir /certs/frp"; else TLS=--no-tls; fi
harp --state /tmp/state expose "$APP_ID" --port "$APP_PORT" --to unix:/tmp/exapp.sock --server "$HP_FRP_ADDRESS:$HP_FRP_PORT" --token-file /tmp/token $TLS)sh";

/// Writes down that it ran, as a stand-in for Debian's tool.
constexpr const char* update_script = "#!/bin/sh\necho updated > /updated\n";

std::string shell(const std::string& command, milliseconds limit = 60s) {
  return run({"sh", "-c", command}, {}, limit * patience()).output;
}

void add_program(const fs::path& root, const std::string& program, const std::string& as) {
  fs::copy_file(program, root / "bin" / as, fs::copy_options::overwrite_existing);
  std::istringstream words{run({"ldd", program}).output};
  for (std::string word; words >> word;) {
    if (!word.starts_with('/') || !fs::exists(word))
      continue;
    fs::create_directories(root / fs::path{word}.parent_path().relative_path());
    fs::copy_file(word, root / fs::path{word}.relative_path(),
                  fs::copy_options::overwrite_existing);
  }
}

void write_script(const fs::path& path, const std::string& text) {
  write_file(path, text);
  fs::permissions(path, fs::perms{0755});
}

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), out.data(), &length, EVP_sha256(), nullptr);
  return "sha256:" + hex({reinterpret_cast<const char*>(out.data()), length});
}

std::string php_json(const json& value) { // PHP escapes slashes
  std::string out;
  for (char c : value.dump())
    out += c == '/' ? std::string{"\\/"} : std::string{c};
  return out;
}

} // namespace

std::string engine_missing(engine_kind kind) {
  if (::geteuid() != 0)
    return "only root can start a container engine";
  bool podman = kind == engine_kind::podman;
  for (const char* name : {podman ? "podman" : "dockerd", podman ? "conmon" : "containerd", "runc",
                           "unshare", "nsenter", "ip", "ldd"})
    if (find_program(name).empty())
      return std::string{name} + " is not installed (Debian: docker.io, podman, iproute2)";
  if (auto trial = run({"unshare", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "ip", "link", "set", "lo", "up"}); trial.status != 0)
    return "no namespaces are allowed here: " + trial.output;
  return {};
}

// -- engines -----------------------------------------------------------------------------------------------------------------

docker_engine::docker_engine(bool apart, engine_kind kind) : apart_(apart), kind_(kind) {
  if (!apart_)
    return;
  auto place = std::to_string(1 + ::getpid() % 250); // test programs run side by side
  gateway_ = "10.213." + place + ".1";
  inner_ = "10.213." + place + ".2";
}

docker_engine::~docker_engine() {
  program_.kill();
  until(5s, [this] {
    return run({"sh", "-c", "grep -q " + dir_.path() + " /proc/*/mountinfo"}).status != 0;
  });
}

std::vector<std::string> docker_engine::program() {
  auto running
      = dir_ / ("run" + std::to_string(++starts_)); // that of a killed one holds dead sockets
  if (kind_ == engine_kind::podman)
    return {"podman",
            "--root",
            dir_ / "data",
            "--runroot",
            running,
            "--tmpdir",
            running + "/tmp",
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            "system",
            "service",
            "--time=0",
            "unix://" + socket()};
  return {"dockerd",
          "--iptables=false",
          "--bridge=none",
          "--storage-driver=vfs",
          "--data-root",
          dir_ / "data",
          "--exec-root",
          running,
          "--pidfile",
          running + ".pid",
          "-H",
          "unix://" + socket()};
}

bool docker_engine::start(milliseconds limit) {
  std::vector<std::string> command{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};
  if (apart_)
    command.emplace_back("--net");
  auto what = program();
  command.insert(command.end(), what.begin(), what.end());
  spawn_options how;
  how.output = dir_ / "dockerd.log";
  std::error_code ignored;
  fs::remove(socket(), ignored);
  program_ = process{command, how};
  bool up = until(limit * patience(), [this] {
    return !program_.running() || api("GET", "/_ping", {}, {}, 2s).status == 200;
  });
  return up && program_.running() && (!apart_ || connect_network());
}

std::vector<std::string> docker_engine::inside() const {
  return {"nsenter", "--net=/proc/" + std::to_string(program_.pid()) + "/ns/net"};
}

bool docker_engine::connect_network() {
  auto pid
      = std::to_string(program_.pid()); // setpriv becomes unshare, whose namespace dockerd's is
  auto name = "harp" + std::to_string(::getpid());
  auto in = "nsenter --net=/proc/" + pid + "/ns/net ";
  return run({"sh", "-c",
              "ip link add " + name + " type veth peer name eth0 netns " + pid
                  + " && ip address add " + gateway_ + "/30 dev " + name + " && ip link set " + name
                  + " up && " + in + "ip link set lo up && " + in + "ip address add " + inner_
                  + "/30 dev eth0 && " + in + "ip link set eth0 up"})
             .status
         == 0;
}

response docker_engine::api(const std::string& method, const std::string& target,
                            const std::string& body, const std::string& type,
                            milliseconds limit) const {
  header_list headers;
  if (!body.empty())
    headers.emplace_back("Content-Type", type);
  return request("unix:" + socket(), method, target, headers, body, limit);
}

std::string docker_engine::status(const std::string& container) const {
  auto told = json::parse(api("GET", "/containers/" + container + "/json").body, nullptr, false);
  return told.is_object() && told.contains("State") ? told["State"].value("Status", std::string{})
                                                    : std::string{};
}

// -- images ------------------------------------------------------------------------------------------------------------------

std::string exapp_root_tar(const tunnel_program& client) {
  temp_dir dir;
  fs::path root = dir / "root";
  for (const char* name : {"bin", "tmp", "etc"})
    fs::create_directories(root / name);
  for (const char* name : {"cat", "mkdir", "rm"})
    add_program(root, find_program(name), name);
  add_program(root, find_program("dash"), "sh");
  add_program(root, sample_program(), "harp-sample-exapp");
  std::string line
      = client.what == tunnel_program::kind::expose ? expose_line : "frp-client -c /frpc.toml";
  add_program(root, client.path,
              client.what == tunnel_program::kind::expose ? "harp" : "frp-client");
  std::string script = start_script;
  write_script(root / "start.sh",
               script.replace(script.find("RUN_CLIENT"), 10, "( " + line + " )"));
  write_script(root / "bin/update-ca-certificates", update_script);
  write_file(root / "etc/os-release", "ID=debian\nNAME=\"Debian GNU/Linux\"\n");
  shell("tar -C " + root.string() + " --owner=0 --group=0 -cf " + (dir / "root.tar") + " .");
  return read_file(dir / "root.tar");
}

bool import_image(const docker_engine& engine, const std::string& root_tar,
                  const std::string& reference) {
  auto colon = reference.rfind(':');
  auto name = "repo=" + reference.substr(0, colon) + "&tag=" + reference.substr(colon + 1);
  auto made = engine.api("POST",
                         "/images/create?fromSrc=-&" + name
                             + "&changes=CMD%20%5B%22/start.sh%22%5D&changes=ENV%20PATH=/bin",
                         root_tar, "application/x-tar", 120s * patience());
  size_t id = made.body.find("sha256:");
  if (made.status != 200 || id == std::string::npos)
    return false;
  auto tagged = engine.api("POST", "/images/" + made.body.substr(id + 7, 64) + "/tag?"
                                       + name); // Podman's import forgets it
  return tagged.status == 201 && engine.api("GET", "/images/" + reference + "/json").status == 200;
}

image_registry::image_registry(std::string root_tar)
    : layer_(std::move(root_tar)), layer_digest_(sha256(layer_)),
      server_([this](const received_request& request) { return answer(request); }) {
  json layers{{"type", "layers"}, {"diff_ids", json::array({layer_digest_})}};
  config_
      = json{{"architecture", "amd64"},
             {"os", "linux"},
             {"created", "2026-11-23T00:00:00Z"},
             {"config", {{"Cmd", json::array({"/start.sh"})}, {"Env", json::array({"PATH=/bin"})}}},
             {"rootfs", layers},
             {"history", json::array({json{{"created_by", "a test"}}})}}
            .dump();
  config_digest_ = sha256(config_);
  json layer{{"mediaType", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
             {"size", layer_.size()},
             {"digest", layer_digest_}};
  manifest_ = json{{"schemaVersion", 2},
                   {"mediaType", "application/vnd.docker.distribution.manifest.v2+json"},
                   {"config",
                    {{"mediaType", "application/vnd.docker.container.image.v1+json"},
                     {"size", config_.size()},
                     {"digest", config_digest_}}},
                   {"layers", json::array({layer})}}
                  .dump();
}

std::string image_registry::repository() const {
  return server_.address() + "/nextcloud/test-deploy";
}

std::string image_registry::answer(const received_request& request) const {
  auto send
      = [&request](const std::string& body, const std::string& type, const std::string& digest) {
          auto more = "Docker-Content-Digest: " + digest
                      + "\r\nDocker-Distribution-API-Version: registry/2.0\r\n";
          auto whole = response_text(200, body, type, more);
          return request.method == "HEAD" ? whole.substr(0, whole.size() - body.size()) : whole;
        };
  if (request.target == "/v2/")
    return send("{}", "application/json", "sha256:0");
  if (request.target.find("/manifests/release-cpu") != std::string::npos
      || request.target.ends_with(sha256(manifest_)))
    return send(manifest_, "application/vnd.docker.distribution.manifest.v2+json",
                sha256(manifest_));
  if (request.target.ends_with(config_digest_))
    return send(config_, "application/octet-stream", config_digest_);
  if (request.target.ends_with(layer_digest_))
    return send(layer_, "application/octet-stream", layer_digest_);
  return response_text(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN"}]})");
}

// -- AppAPI ------------------------------------------------------------------------------------------------------------------

header_list appapi::headers() const {
  return {{"User-Agent", "GuzzleHttp/7"},
          {"harp-shared-key", harp_.key()},
          {"docker-engine-port", std::to_string(port_)},
          {"Authorization", "Basic " + base64("app_api_haproxy_user:" + harp_.key())}};
}

response appapi::docker(const std::string& method, const std::string& target,
                        milliseconds limit) const {
  return request(harp_.exapps(), method, "/exapps/app_api" + target, headers(), {},
                 limit * patience());
}

response appapi::helper(const std::string& action, const std::string& body,
                        milliseconds limit) const {
  auto all = headers();
  all.insert(all.begin() + 1, {"Content-Type", "application/json"});
  return request(harp_.exapps(), "POST", "/exapps/app_api/docker/exapp/" + action, all, body,
                 limit * patience());
}

std::string appapi::named(const std::string& more) const {
  return R"({"name":")" + name + R"(","instance_id":"")" + (more.empty() ? "" : "," + more) + "}";
}

std::string appapi::create_body(const std::string& more) const {
  auto colon = frp_address.rfind(':');
  json environment = json::array(
      {"AA_VERSION=32.0.1", "APP_SECRET=" + app.token, "APP_ID=" + name,
       "APP_DISPLAY_NAME=Test Deploy", "APP_VERSION=" + app.version, "APP_HOST=127.0.0.1",
       "APP_PORT=" + std::to_string(app.port), "APP_PERSISTENT_STORAGE=/nc_app_" + name + "_data",
       "NEXTCLOUD_URL=http://nextcloud.example", "COMPUTE_DEVICE=CPU",
       "HP_FRP_ADDRESS=" + frp_address.substr(0, colon),
       "HP_FRP_PORT=" + frp_address.substr(colon + 1), "HP_SHARED_KEY=" + harp_.key()});
  json body{{"name", name},
            {"instance_id", ""},
            {"image_id", image},
            {"network_mode", "host"},
            {"environment_variables", environment},
            {"restart_policy", "unless-stopped"},
            {"compute_device", "cpu"},
            {"mount_points", json::array()},
            {"start_container", true}};
  auto text = php_json(body);
  if (!more.empty())
    text.insert(text.size() - 1, "," + more);
  return text;
}

std::string appapi::certificates_body(const std::string& bundle, bool frp) const {
  json body{{"name", name},
            {"instance_id", ""},
            {"system_certs_bundle", nullptr},
            {"install_frp_certs", frp}};
  if (!bundle.empty())
    body["system_certs_bundle"] = bundle;
  return php_json(body);
}

response appapi::signed_call(const std::string& method, const std::string& target,
                             milliseconds limit) const {
  auto all = harp_.signed_headers(name, app);
  all.insert(all.begin(), {{"Accept", "application/json"},
                           {"Content-Type", "application/json"},
                           {"User-Agent", "Nextcloud Server Crawler"},
                           {"Accept-Encoding", "gzip"}});
  return request(harp_.exapps(), method, "/exapps/" + name + target, all, {}, limit * patience());
}

} // namespace harp::e2e
