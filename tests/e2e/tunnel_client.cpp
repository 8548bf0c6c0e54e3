// Configuration files and command lines of the tunnel clients.
#include "tests/e2e/tunnel_client.hpp"

#include <cstdlib>
#include <sstream>

namespace harp::e2e {

namespace {

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

std::string host_of(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

std::string port_of(const std::string& address) {
  return address.substr(address.rfind(':') + 1);
}

void put_tls(std::ostringstream& out, const tunnel_settings& s) {
  out << "transport.tls.enable = " << (s.certs.empty() ? "false" : "true") << '\n';
  if (s.certs.empty())
    return;
  if (s.send_certificate)
    out << "transport.tls.certFile = " << quoted(s.certs + "/client.crt") << '\n'
        << "transport.tls.keyFile = " << quoted(s.certs + "/client.key") << '\n';
  out << "transport.tls.trustedCaFile = " << quoted(s.certs + "/ca.crt") << '\n'
      << "transport.tls.serverName = \"harp.nc\"\n";
  if (s.marker_byte)
    out << "transport.tls.disableCustomTLSFirstByte = false\n";
}

void put_proxy(std::ostringstream& out, const tunnel_settings& s, const std::string& name,
               int port) {
  out << "[[proxies]]\nname = " << quoted(name) << "\ntype = \"tcp\"\nremotePort = " << port
      << '\n';
  if (s.encryption)
    out << "transport.useEncryption = true\n";
  if (s.compression)
    out << "transport.useCompression = true\n";
  if (!s.bandwidth_limit.empty())
    out << "transport.bandwidthLimit = " << quoted(s.bandwidth_limit) << '\n';
  if (!s.bandwidth_mode.empty())
    out << "transport.bandwidthLimitMode = " << quoted(s.bandwidth_mode) << '\n';
  if (!s.proxy_protocol.empty())
    out << "transport.proxyProtocolVersion = " << quoted(s.proxy_protocol) << '\n';
  if (s.to.starts_with("unix:"))
    out << "[proxies.plugin]\ntype = \"unix_domain_socket\"\nunixPath = " << quoted(s.to.substr(5))
        << '\n';
  else
    out << "localIP = " << quoted(host_of(s.to)) << "\nlocalPort = " << port_of(s.to) << '\n';
}

/// The frpc.toml that HaRP's ExApp images write, with the variations a test asks for.
std::string frpc_toml(const std::string& server, const tunnel_settings& s) {
  std::ostringstream out;
  out << "serverAddr = " << quoted(host_of(server)) << "\nserverPort = " << port_of(server)
      << "\nloginFailExit = " << (s.exit_on_failed_login ? "true" : "false") << '\n';
  if (!s.user.empty())
    out << "user = " << quoted(s.user) << '\n';
  put_tls(out, s);
  if (!s.mux)
    out << "transport.tcpMux = false\n";
  if (s.pool >= 0)
    out << "transport.poolCount = " << s.pool << '\n';
  if (!s.wire.empty())
    out << "transport.wireProtocol = " << quoted(s.wire) << '\n';
  if (s.token != "-")
    out << "metadatas.token = " << quoted(s.token) << '\n';
  put_proxy(out, s, s.proxy, s.port);
  if (s.second_port > 0)
    put_proxy(out, s, s.proxy + "-second", s.second_port);
  return out.str();
}

std::vector<std::string> expose_command(const std::string& program, const std::string& server,
                                        const tunnel_settings& s, const temp_dir& dir) {
  write_file(dir / "token", s.token);
  std::vector<std::string> out{program,
                               "--state",
                               dir / "state",
                               "expose",
                               s.user.empty() ? s.proxy : s.user + "." + s.proxy,
                               "--port",
                               std::to_string(s.port),
                               "--to",
                               s.to,
                               "--server",
                               server,
                               "--token-file",
                               dir / "token"};
  if (s.certs.empty())
    out.emplace_back("--no-tls");
  else
    out.insert(out.end(), {"--tls-dir", s.certs});
  if (s.encryption)
    out.emplace_back("--encryption");
  if (s.compression)
    out.emplace_back("--compression");
  if (!s.mux)
    out.emplace_back("--no-mux");
  return out;
}

std::string version_of(const std::string& program, const std::string& option) {
  std::string text = run({program, option}).output;
  return text.substr(0, text.find('\n'));
}

void add_stock(std::vector<tunnel_program>& out) {
  const char* given = std::getenv("HARP_TEST_FRPC");
  std::istringstream list{given == nullptr ? find_program("frpc") : std::string{given}};
  for (std::string path; std::getline(list, path, ':');)
    if (!path.empty())
      out.push_back({tunnel_program::kind::frpc, "stock frpc " + version_of(path, "-v"), path});
}

} // namespace

std::vector<tunnel_program> foreign_tunnel_programs() {
  std::vector<tunnel_program> out;
  add_stock(out);
  if (out.empty())
    report_skipped("stock frpc", "none in HARP_TEST_FRPC or on PATH");
  std::string nfrp = find_program("nfrp-client");
  if (nfrp.empty())
    report_skipped("nfrp-client", "not installed (cargo install nfrp-client --version 0.7.3)");
  else
    out.push_back({tunnel_program::kind::nfrp, version_of(nfrp, "--version"), nfrp});
  for (const auto& program : out)
    report_ran(program.name);
  return out;
}

std::vector<tunnel_program> tunnel_programs() {
  auto out = foreign_tunnel_programs();
  out.push_back({tunnel_program::kind::expose, "harp expose", harp_program()});
  return out;
}

tunnel_client::tunnel_client(const tunnel_program& program, const std::string& server,
                             const tunnel_settings& settings) {
  if (program.what == tunnel_program::kind::expose) {
    command_ = expose_command(program.path, server, settings, dir_);
  } else {
    write_file(dir_ / "client.toml", frpc_toml(server, settings));
    command_ = {program.path, "-c", dir_ / "client.toml"};
  }
  start();
}

void tunnel_client::start() {
  spawn_options how;
  how.output = dir_ / "client.log";
  how.directory = dir_.path();
  program_ = process{command_, how};
}

bool tunnel_client::says(const std::string& text, milliseconds limit) const {
  return until(limit * patience(), [&] { return log().find(text) != std::string::npos; });
}

} // namespace harp::e2e
