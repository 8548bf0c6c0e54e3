// One login of a frp client: from the connection to its end.
#pragma once

#include "net/frp_channel.hpp"
#include "net/frp_client.hpp"
#include "net/frp_crypto.hpp"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace harp::net {

/// Serves one session at a tunnel server. Lives on the client's loop.
class frp_client_session : public std::enable_shared_from_this<frp_client_session> {
public:
  explicit frp_client_session(frp_client& of);
  /// Returns why the session ended.
  asio::awaitable<std::string> run();
  void close(std::string reason);

private:
  enum class phase : uint8_t { asked, running, refused };
  struct proxy_state {
    std::string name; // with the user prefix
    phase at = phase::asked;
    clock::time_point since;
  };

  asio::awaitable<std::string> log_in();
  asio::awaitable<std::string> converse();
  void handle(const frp::message& what);
  void answered(const frp::new_proxy_resp& answer);
  void ask_for(size_t index);
  void tick();
  void send(const frp::message& what);
  static asio::awaitable<void> run_mux(std::shared_ptr<frp_client_session> self,
                                       std::shared_ptr<mux_session> mux);
  asio::awaitable<void> work();
  asio::awaitable<void> serve_user(stream_ptr raw, frp::start_work_conn start);
  const exposed* find(const std::string& name) const;

  const std::shared_ptr<frp_client> client_;
  const frp_client_settings& settings_;
  loop& on_;
  const frp::cipher_key key_;
  std::shared_ptr<mux_session> mux_; // null without mux
  std::shared_ptr<frp::channel> control_;
  std::set<std::shared_ptr<frp::channel>> parked_; // waiting for a user
  std::vector<proxy_state> proxies_;
  clock::time_point pinged_at_{};
  clock::time_point heard_at_{};
  size_t works_ = 0;
  std::string closed_; // our own reason to end
};

} // namespace harp::net
