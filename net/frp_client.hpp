// Harp as a frp client (`harp expose`): keeps local services reachable through a Harp, HaRP or
// frps.
#pragma once

#include "net/dialer.hpp"
#include "net/frp_codec.hpp"
#include "net/mux_session.hpp"
#include "net/runtime.hpp"
#include "net/tls.hpp"

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <string>
#include <vector>

namespace harp::net {

/// One local service and the name and port it shall have at the server.
struct exposed {
  std::string name;         // the user prefix is put in front of it
  uint16_t remote_port = 0; // 0: the server chooses
  std::string local;        // "unix:/path" or "host:port", IPv6 in brackets
  bool use_encryption = false;
  bool use_compression = false;
  unsigned proxy_protocol = 0; // 1 or 2: that version's header is written to the service; 0: none
};

struct frp_client_settings {
  std::string host;
  uint16_t port = 8782;
  std::shared_ptr<tls_context> tls; // null: in clear
  std::string server_name;          // name the server's certificate must bear; empty: host
  std::string token; // metadatas.token (the shared key or a credential): secret; empty: not sent
  std::string auth_token;         // frp's own token, usually empty: secret
  std::string user;               // prefix of proxy names, usually empty
  std::string version = "0.61.1"; // told in Login
  std::vector<exposed> proxies;
  unsigned pool_count = 1; // work streams the server should keep ready
  bool mux = true;

  milliseconds connect_limit{10'000};
  milliseconds handshake_limit{10'000};
  milliseconds login_limit{10'000};
  milliseconds answer_limit{20'000};       // NewProxy unanswered: sent again
  milliseconds refused_pause{30'000};      // NewProxy refused: sent again
  milliseconds heartbeat_interval{30'000}; // without mux
  milliseconds heartbeat_limit{90'000};
  milliseconds steady_after{10'000}; // a session that lived this long resets the back-off
  size_t work_streams_max = 4096;
  mux_limits mux_limit;
};

/// Pause before the next attempt, `failures` >= 1 in a row: 0.2-0.5 s a few times, then doubling to
/// 20 s, 10 % jitter (frp.md 8.6). `random` is any 32 random bits.
milliseconds reconnect_pause(unsigned failures, uint32_t random);

/// The PROXY protocol header for a work stream; empty when `version` is 0 or the user's address is
/// not told.
std::string proxy_header(unsigned version, const frp::start_work_conn& from);

/// Stays logged in until stopped. Lives on one loop.
class frp_client : public std::enable_shared_from_this<frp_client> {
public:
  frp_client(loop& on, frp_client_settings settings);
  /// Connects, serves, reconnects; returns after stop().
  asio::awaitable<void> run();
  /// Thread-safe; may be called twice.
  void stop();

private:
  friend class frp_client_session;
  struct connected {
    stream_ptr stream;
    std::string error;
  };
  asio::awaitable<connected> connect();
  asio::awaitable<dial_result> dial_local(std::string where);

  loop& on_;
  const frp_client_settings settings_;
  dialer dialer_;
  asio::steady_timer pause_;
  std::shared_ptr<class frp_client_session> session_;
  std::string run_id_; // given by the server, asked for again at the next login
  bool stopped_ = false;
};

} // namespace harp::net
