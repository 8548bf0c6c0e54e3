// Building and using the surroundings of tunnel tests.
#include "tests/e2e/tunnel_site.hpp"

#include "tests/e2e/ws_client.hpp"

namespace harp::e2e {

bool tunnel_site::begin_node(bool tls, settings environment) {
  node_options options;
  options.nextcloud = nextcloud.url();
  options.tunnel_tls = tls;
  environment.emplace("HP_BLACKLIST_COUNT", "10000");
  options.environment = std::move(environment);
  nextcloud.put("app", sample_record(port));
  node_ = std::make_unique<node>(std::move(options));
  return node_->start();
}

tunnel_settings tunnel_site::lawful(bool tls) const {
  tunnel_settings out;
  out.port = port;
  out.to = "unix:" + (dir / "app.sock");
  out.token = node_->key();
  if (tls)
    out.certs = node_->certs() + "/frp";
  return out;
}

response tunnel_site::through(const std::string& target, const std::string& app,
                              milliseconds limit) const {
  return get(node_->exapps(), "/exapps/" + app + target, {}, limit);
}

bool tunnel_site::reachable(const std::string& app, milliseconds limit) const {
  return until(limit * patience(), [&] { return through("/public", app, 2s).status == 200; });
}

bool tunnel_site::unreachable(milliseconds limit) const {
  return until(limit * patience(), [&] { return through("/public").status == 503; });
}

bool tunnel_site::round_trip(const tunnel_program& program, uint64_t bytes) const {
  int tries = program.what == tunnel_program::kind::nfrp ? 5 : 1;
  while (tries-- > 0)
    if (round_trip_once(bytes))
      return true;
  return false;
}

bool tunnel_site::round_trip_once(uint64_t bytes) const {
  auto limit = milliseconds{10'000 + bytes / 10'000} * patience();
  auto down = download(node_->exapps(), "/exapps/app/bytes?n=" + std::to_string(bytes), {}, limit);
  auto up = upload(node_->exapps(), "/exapps/app/sink", bytes, true, {}, limit);
  ws_client socket{node_->exapps(), "/exapps/app/ws"};
  return down.bytes == bytes && down.pattern_right
         && up.body.find(pattern_sha256(bytes)) != std::string::npos && socket.echoes("hello");
}

const std::vector<tunnel_program>& every_tunnel_program() {
  static const auto all = tunnel_programs();
  return all;
}

} // namespace harp::e2e
