// One logged-in frp client: its proxies, its pool of parked work streams, its control conversation.
#pragma once

#include "net/control.hpp"
#include "net/frp_channel.hpp"
#include "net/frp_transform.hpp"
#include "net/mux_session.hpp"
#include "net/runtime.hpp"
#include "net/tunnel_table.hpp"

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace harp::net {

/// Limits of the tunnel server; values are those of frp.md 6 unless said.
struct frp_limits {
  milliseconds first_byte{10'000};
  milliseconds handshake{10'000};
  milliseconds login{10'000};         // until the Login message is complete
  milliseconds first_message{10'000}; // of each further stream
  milliseconds login_error_delay{1'000};
  milliseconds linger{2'000};         // for the peer to read a refusal
  milliseconds lone_start{20};        // StartWorkConn travels alone for this long, for clients that need it
  milliseconds heartbeat{90'000};     // without mux: silence that ends the session
  milliseconds heard_within{35'000};  // without mux: what counts as alive
  milliseconds ask_again{3'000};      // requested work streams that did not come are given up
  milliseconds wish_life{30'000};     // a pool grown under load shrinks by one per this time
  size_t pending_per_peer_max = 64;   // connections before login, per address (IPv6: /64)
  size_t pending_max = 1024;          // in all
  unsigned pool_asked_max = 5;        // cap on the client's pool_count (stock's maxPoolCount)
  unsigned pool_extra = 10;           // parked streams beyond pool_count
  size_t waiters_max = 1024;          // users waiting for a work stream, per session
  size_t unclassified_max = 1024;     // streams whose first message is not complete, per session
  size_t proxies_max = 64;            // running at a time, per session
  unsigned pings_per_second_max = 10; // more are not answered
};

/// A live session. The control conversation runs on the loop that accepted the connection; open(),
/// alive(), close(), facts() and park() may be called from any thread.
///
/// Work streams: with mux they are mux streams, thread-safe each. Without, each is a TCP connection
/// whose socket belongs to the loop that accepted it while its user may sit on another: reads and
/// writes are plain system calls, waits resume on the user's executor, and calls never overlap
/// because a stream has one owner at a time (the pool, under its mutex, then the user).
class frp_tunnel final : public tunnel, public std::enable_shared_from_this<frp_tunnel> {
public:
  struct identity {
    uint64_t id = 0;
    ip_address peer;
    uint16_t peer_port = 0;
    bool tls = false;
    std::string version, hostname, run_id;
    int64_t pool_count = 0;
    bool drops_early_data = false; // see frp::login
  };

  /// `mux` is null when every stream is a connection of its own.
  frp_tunnel(loop& on, frp_gate& gate, const frp_limits& limits, const frp::cipher_key& key,
             identity who, std::shared_ptr<mux_session> mux);

  asio::awaitable<work_stream> open(std::string name, work_user user, milliseconds limit) override;
  asio::awaitable<bool> alive(milliseconds limit) override;
  void close(std::string reason) override;
  tunnel_facts facts() const override;

  /// Carries the conversation until it ends; returns why. The channel is enciphered and LoginResp
  /// has been sent.
  asio::awaitable<std::string> converse(std::shared_ptr<frp::channel> control);
  /// Takes a work stream whose NewWorkConn was accepted.
  void park(stream_ptr work);
  [[nodiscard]] const std::string& run_id() const { return who_.run_id; }

private:
  friend class work_tap;
  struct proxy {
    uint16_t port = 0;
    uint16_t asked_port = 0;
    bool use_encryption = false;
    bool use_compression = false;
    uint64_t server_limit = 0;
    std::shared_ptr<frp::rate_bucket> bucket; // null: no limit
  };
  struct waiter;

  asio::awaitable<void> handle(frp::message what);
  asio::awaitable<void> claim(frp::new_proxy asked);
  std::string form_error(const frp::new_proxy& asked) const;
  bool answered_by_us(const frp_proxy& wanted, frp::new_proxy_resp& answer) const;
  void release(const std::string& name);
  void answer_ping();
  void start(const frp_proxy& wanted, uint16_t port);
  void tell(const frp::message& what);

  bool find(const std::string& name, proxy& out) const;
  stream_ptr take_parked();
  asio::awaitable<stream_ptr> take_or_wait(milliseconds limit);
  asio::awaitable<stream_ptr> wait_for_stream(milliseconds limit);
  asio::awaitable<void> let_start_arrive();
  stream_ptr wrap(stream_ptr raw, const proxy& by);
  void arrived(stream_ptr work);
  void ask(size_t at_least);
  void look_around();
  void drop_noisy_parked();
  void end(const std::string& reason);
  [[nodiscard]] size_t pool_max() const;

  loop& on_;
  frp_gate& gate_;
  const frp_limits limits_;
  const frp::cipher_key key_;
  const identity who_;
  const std::shared_ptr<mux_session> mux_;
  const unsigned pool_base_;
  const int64_t since_unix_s_;

  // on the session's loop
  std::shared_ptr<frp::channel> control_;
  std::deque<waiter*> waiters_;
  size_t outstanding_ = 0; // asked for and not come
  size_t wish_ = 0;        // parked streams to keep ready
  clock::time_point progress_at_{};
  clock::time_point missed_at_{};
  clock::time_point ping_window_{};
  unsigned pings_ = 0;

  // any thread
  mutable std::mutex mutex_;
  std::map<std::string, proxy, std::less<>> proxies_;
  std::deque<stream_ptr> parked_;
  bool ended_ = false;
  std::string end_reason_;
  std::atomic<int64_t> heard_ms_{0};
  std::atomic<bool> refill_posted_{false};
  std::atomic<uint64_t> bytes_in_{0}, bytes_out_{0};
  std::atomic<size_t> streams_{0};
};

} // namespace harp::net
