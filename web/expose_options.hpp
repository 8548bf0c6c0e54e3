// What `harp expose` was asked to do: one service of this machine, published through a tunnel.
#pragma once

#include <cstdint>
#include <string>

namespace harp::web {

struct expose_options {
  std::string name;         // proxy name: the ExApp's id
  uint16_t remote_port = 0; // the tunnel's port on the server, e.g. 23000
  std::string local_unix;   // unix socket of the service; "" = local_host:local_port
  std::string local_host;
  uint16_t local_port = 0;
  std::string server_host; // name or IP of the tunnel server
  uint16_t server_port = 0;
  bool tls = true;
  std::string tls_dir;                 // client.crt, client.key, ca.crt in HaRP's /certs/frp layout
  std::string server_name = "harp.nc"; // the name that the server's certificate must bear
  std::string token;                   // secret: shared key or the app's tunnel credential
  bool encryption = false;
  bool compression = false;
  bool mux = true;
  bool json = false; // events for scripts
};

} // namespace harp::web
