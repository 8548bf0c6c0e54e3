// Foreign frp clients and `harp expose`, driven alike: which are there, how they are configured,
// what they said.
#pragma once

#include "tests/e2e/node.hpp"

namespace harp::e2e {

/// A program that can hold a tunnel.
struct tunnel_program {
  enum class kind : uint8_t { frpc, nfrp, expose } what = kind::frpc;
  std::string name; // for the report
  std::string path;
};

/// Every stock frpc in HARP_TEST_FRPC (colon-separated) or on PATH, nfrp-client, and harp expose
/// last. Reports which ran.
std::vector<tunnel_program> tunnel_programs();
/// Only programs no one here wrote.
std::vector<tunnel_program> foreign_tunnel_programs();

struct tunnel_settings {
  std::string proxy = "app";
  int port = 23000;
  std::string to;    // unix:/path or HOST:PORT
  std::string token; // metadatas.token; "-" = none is sent
  std::string certs; // directory with ca.crt, client.crt, client.key; empty: no TLS
  bool marker_byte = false;
  bool send_certificate = true;
  bool mux = true;
  bool encryption = false;
  bool compression = false;
  bool exit_on_failed_login = false;
  std::string user;
  int pool = -1; // -1: the client's default
  std::string bandwidth_limit, bandwidth_mode;
  int second_port = 0;        // a second proxy in the same client
  std::string wire;           // frpc: transport.wireProtocol
  std::string proxy_protocol; // frpc: transport.proxyProtocolVersion
};

/// One running client. Its log is kept.
class tunnel_client {
public:
  tunnel_client(const tunnel_program& program, const std::string& server,
                const tunnel_settings& settings);
  [[nodiscard]] std::string log() const { return read_file(dir_ / "client.log"); }
  bool says(const std::string& text, milliseconds limit = 15s) const;
  process& program() { return program_; }
  /// Starts it once more (after an end or a kill) with the same configuration.
  void start();

private:
  temp_dir dir_;
  std::vector<std::string> command_;
  process program_;
};

} // namespace harp::e2e
