// Real container engines for tests: Debian's dockerd in a process and, on wish, network namespace of its own, an image with
// a real ExApp and a foreign frp client, a registry to pull it from, and AppAPI's way of calling.
#pragma once

#include "tests/e2e/node.hpp"
#include "tests/e2e/tunnel_client.hpp"

#include <memory>

namespace harp::e2e {

inline constexpr const char* exapp_image = "ghcr.io/nextcloud/test-deploy:release";

enum class engine_kind : uint8_t { docker, podman };

/// The reason why no real engine of this kind can run here, or "".
std::string engine_missing(engine_kind kind);

/// One dockerd, or Podman's service, with its own state. Everything it started dies with it.
class docker_engine {
public:
  /// `apart`: in a network namespace whose only way out is the address `gateway()` of the test's machine.
  explicit docker_engine(bool apart = false, engine_kind kind = engine_kind::docker);
  ~docker_engine();
  /// Starts or restarts it; the state on disk stays.
  bool start(milliseconds limit = 40s);
  /// As a power cut: engine and containers end at once.
  void kill() { program_.kill(); }
  [[nodiscard]] std::string socket() const { return dir_ / "docker.sock"; }
  [[nodiscard]] std::string gateway() const { return gateway_; }
  /// `nsenter ...` in front of a command that shall run in its network.
  [[nodiscard]] std::vector<std::string> inside() const;
  [[nodiscard]] response api(const std::string& method, const std::string& target,
                             const std::string& body = {},
                             const std::string& type = "application/json",
                             milliseconds limit = 60s) const;
  /// Status of a container ("" when there is none).
  [[nodiscard]] std::string status(const std::string& container) const;
  [[nodiscard]] std::string log() const { return read_file(dir_ / "dockerd.log"); }

private:
  bool connect_network();
  std::vector<std::string> program();

  temp_dir dir_;
  bool apart_;
  engine_kind kind_;
  int starts_ = 0;
  std::string gateway_, inner_;
  process program_;
};

/// The root file system of an ExApp image as a tar archive: harp-sample-exapp and `client` with their libraries, a shell, and
/// a start script that does what those of real ExApps do.
std::string exapp_root_tar(const tunnel_program& client);
/// Puts the image into an engine without a registry.
bool import_image(const docker_engine& engine, const std::string& root_tar,
                  const std::string& reference = exapp_image);

/// A registry on loopback with one image, for real pulls.
class image_registry {
public:
  explicit image_registry(std::string root_tar);
  /// `127.0.0.1:PORT/nextcloud/test-deploy`
  [[nodiscard]] std::string repository() const;

private:
  std::string answer(const received_request& request) const;

  std::string layer_, layer_digest_, config_, config_digest_, manifest_;
  scripted_server server_;
};

/// Calls as AppAPI 32 sends them for one app on one engine.
class appapi {
public:
  appapi(const node& harp, int engine_port) : harp_(harp), port_(engine_port) {}
  std::string name = "test-deploy";
  app_entry app;           // its record at Nextcloud
  std::string frp_address; // HOST:PORT as the daemon's configuration has it
  std::string image = exapp_image;

  /// A Docker call that passes through: `target` behind /exapps/app_api.
  [[nodiscard]] response docker(const std::string& method, const std::string& target,
                                milliseconds limit = 60s) const;
  /// A helper call with this body.
  [[nodiscard]] response helper(const std::string& action, const std::string& body,
                                milliseconds limit = 180s) const;
  /// {"name":...,"instance_id":""} and what follows it.
  [[nodiscard]] std::string named(const std::string& more = {}) const;
  [[nodiscard]] std::string create_body(const std::string& more = {}) const;
  [[nodiscard]] std::string certificates_body(const std::string& bundle = {},
                                              bool frp = true) const;
  /// A signed call to the app through Nextcloud's public address.
  [[nodiscard]] response signed_call(const std::string& method, const std::string& target,
                                     milliseconds limit = 30s) const;

private:
  [[nodiscard]] header_list headers() const;
  const node& harp_;
  int port_;
};

} // namespace harp::e2e
