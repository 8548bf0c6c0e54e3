// The tunnel server: takes accepted connections through TLS, mux and login to a tunnel session.
// Unmodified frpc speak to it.
#pragma once

#include "net/control.hpp"
#include "net/frp_tunnel.hpp"
#include "net/mux_session.hpp"
#include "net/runtime.hpp"
#include "net/tls.hpp"
#include "net/tunnel_table.hpp"

#include <boost/asio/generic/stream_protocol.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace harp::net {

struct frp_server_settings {
  std::shared_ptr<tls_context> tls; // null: TLS clients are refused
  bool tls_required = true;         // clients without TLS are closed without a word
  std::string auth_token; // frp's own token; HaRP's is empty, then privilege_key is not looked at
  std::string version = "0.61.1"; // told in LoginResp, for information only
  frp_limits limits;
  mux_limits mux;
};

/// Serves frp clients. One for all loops; thread-safe. Outlives its connections; gate and table
/// outlive it.
class frp_server {
public:
  frp_server(frp_server_settings settings, frp_gate& gate, tunnel_table& table);

  /// Carries one accepted connection from its first byte to its end. Runs on `on`, whose socket it
  /// is.
  asio::awaitable<void> serve(loop& on, asio::generic::stream_protocol::socket socket,
                              ip_address peer, uint16_t port);
  /// New connections use this context from now on (certificates were renewed).
  void use_tls(std::shared_ptr<tls_context> context);

  struct traffic {
    uint64_t in = 0, out = 0;
  };
  /// Bytes of all work streams since the start, from and to the clients. Never decreases.
  [[nodiscard]] traffic carried() const;

private:
  friend class frp_connection;
  void ended(uint64_t id, const tunnel_facts& last);
  /// Who has not logged in yet; shared, because a loop that ends late drops its connections after the server is gone.
  struct waiting_room {
    std::mutex mutex;
    std::map<ip_address, size_t> per_peer;
    size_t total = 0;
  };
  /// A connection's place among those that have not logged in.
  class place {
  public:
    place(std::shared_ptr<waiting_room> in, ip_address key) : in_(std::move(in)), key_(key) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      const std::lock_guard lock{in_->mutex};
      --in_->total;
      if (auto found = in_->per_peer.find(key_); --found->second == 0)
        in_->per_peer.erase(found);
    }

  private:
    std::shared_ptr<waiting_room> in_;
    ip_address key_;
  };

  std::unique_ptr<place> enter(const ip_address& peer);
  std::shared_ptr<tls_context> tls() const;
  void remember(const std::shared_ptr<frp_tunnel>& session);
  void forget(const frp_tunnel& session);
  std::shared_ptr<frp_tunnel> without_mux(const std::string& run_id) const;

  const frp_server_settings settings_;
  const frp::cipher_key key_;
  frp_gate& gate_;
  tunnel_table& table_;
  const std::shared_ptr<waiting_room> room_;

  mutable std::mutex mutex_;
  std::shared_ptr<tls_context> tls_;
  traffic past_; // of sessions that have ended
  std::map<std::string, std::weak_ptr<frp_tunnel>, std::less<>> without_mux_; // by run id
};

} // namespace harp::net
