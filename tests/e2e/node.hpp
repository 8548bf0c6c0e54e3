// A Harp node under test: its state, its addresses, its log, and the words a test needs most.
#pragma once

#include "tests/e2e/http_client.hpp"
#include "tests/e2e/nextcloud_stand_in.hpp"
#include "tests/e2e/process.hpp"

namespace harp::e2e {

struct node_options {
  std::string key = "shared-key of the test";
  std::string nextcloud;   // NC_INSTANCE_URL
  bool tunnel_tls = false; // HP_FRP_DISABLE_TLS=true unless set
  std::map<std::string, std::string>
      environment; // added to or in place of what the node sets itself
  unsigned descriptors_max = 0;
  /// Words in front of `harp serve`, from the node's directory (in_own_mounts).
  std::function<std::vector<std::string>(const temp_dir&)> launcher;
};

class node {
public:
  explicit node(node_options options);

  /// Starts `harp serve` and waits until `harp status` tells its listeners and `harp health` is
  /// content.
  bool start(milliseconds limit = 20s);
  /// TERM and wait; the exit code.
  int stop(milliseconds limit = 15s) { return program_.stop(limit); }
  /// Stops (or kills) and starts again on the very same addresses.
  bool restart(bool hard = false);

  [[nodiscard]] std::string listener(const std::string& name) const;
  [[nodiscard]] std::string exapps() const { return listener("exapps"); }
  [[nodiscard]] std::string frp() const { return listener("frp"); }
  [[nodiscard]] std::string console() const { return listener("console"); }
  [[nodiscard]] const std::string& key() const { return options_.key; }
  [[nodiscard]] std::string state() const { return dir_ / "state"; }
  [[nodiscard]] std::string certs() const { return state() + "/certs"; }
  [[nodiscard]] const temp_dir& dir() const { return dir_; }
  process& program() { return program_; }
  /// Everything the node wrote so far, over all its starts.
  [[nodiscard]] std::string log() const { return read_file(dir_ / "harp.log"); }
  /// Lines of the log at level error: an expected failure must not make one.
  [[nodiscard]] std::vector<std::string> error_lines() const;
  /// `harp --state STATE arguments...`
  [[nodiscard]] run_result command(std::vector<std::string> arguments) const;

  /// The headers of a call that AppAPI signs for `app_id`.
  [[nodiscard]] header_list signed_headers(const std::string& app_id, const app_entry& app) const;
  /// A control call with the key: `target` behind /exapps/app_api.
  response control(const std::string& method, const std::string& target,
                   const std::string& body = {}, header_list more = {}) const;
  /// The value of a line of /metrics that begins with `name` (labels included), or -1.
  [[nodiscard]] double metric(const std::string& name) const;

private:
  bool read_listeners();
  std::map<std::string, std::string> environment() const;

  temp_dir dir_;
  node_options options_;
  std::map<std::string, std::string> listeners_;
  process program_;
};

/// The sample ExApp on a loopback port or a unix socket.
class sample_app {
public:
  explicit sample_app(const std::string& listen = "127.0.0.1:0");
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] int port() const;
  process& program() { return program_; }

private:
  temp_dir dir_;
  process program_;
  std::string address_;
};

} // namespace harp::e2e
