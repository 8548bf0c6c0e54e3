// One connection of a tunnel client, from its first byte to its login, and what refuses it on the way.
#pragma once

#include "net/frp_channel.hpp"
#include "net/frp_session.hpp"

namespace harp::net {

/// One TCP connection: a whole session with mux, a control or work connection without.
class frp_connection : public std::enable_shared_from_this<frp_connection> {
public:
  frp_connection(frp_server& of, loop& on, ip_address peer, uint16_t port)
      : server_(of), limits_(of.settings_.limits), on_(on), peer_(peer), port_(port) {}

  asio::awaitable<void> run(asio::generic::stream_protocol::socket socket);

private:
  asio::awaitable<stream_ptr> secure(asio::generic::stream_protocol::socket socket);
  asio::awaitable<void> run_mux(stream_ptr carrier);
  asio::awaitable<void> run_plain(stream_ptr carrier);
  void incoming(stream_ptr opened);
  asio::awaitable<void> classify(stream_ptr opened);
  asio::awaitable<void> log_in(std::shared_ptr<frp::channel> control, frp::login asked);
  asio::awaitable<frp_login_answer> judge(uint64_t id, const frp::login& asked);
  asio::awaitable<void> refuse(std::shared_ptr<frp::channel> control, std::string error);
  stream_ptr for_any_thread(stream_ptr secured);
  static asio::awaitable<void> carry(loop& on, stream_ptr a, stream_ptr b);
  void accept_work(std::shared_ptr<frp::channel> from, const frp::new_work_conn& said);
  void log_refusal(std::string_view cause) const;

  frp_server& server_;
  const frp_limits& limits_;
  loop& on_;
  const ip_address peer_;
  const uint16_t port_;
  std::unique_ptr<frp_server::place> place_;
  bool tls_ = false;
  bool login_seen_ = false;
  deadline* login_limit_ = nullptr;
  size_t unclassified_ = 0;
  std::shared_ptr<mux_session> mux_;   // null without mux
  std::shared_ptr<frp_tunnel> tunnel_; // after login
};

} // namespace harp::net
