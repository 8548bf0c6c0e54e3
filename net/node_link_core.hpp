// The inside of a node link: one mux session over one TLS stream. node_endpoint and its parts make
// these; everybody else sees node_link.
#pragma once

#include "net/mux_session.hpp"
#include "net/node_link.hpp"
#include "net/waiter.hpp"

#include <functional>
#include <mutex>
#include <vector>

namespace harp::net {

class link_core final : public node_link {
public:
  using end_handler = std::function<void(const std::shared_ptr<link_core>&, const std::string&)>;

  link_core(loop& on, link_facts facts, const node_limits& limits, node_gate& gate,
            end_handler ended);

  /// Starts the mux over an admitted TLS stream; a dialler opens stream 1. Streams of the peer wait
  /// until begin().
  void start(stream_ptr carrier);
  /// True when the peer has answered, so has admitted us: in TLS 1.3 a client's handshake ends
  /// before the server has seen its certificate.
  asio::awaitable<bool> confirm(milliseconds limit);
  /// Tells the gate, then hands out what waited and what comes.
  void begin();

  [[nodiscard]] const link_facts& facts() const override { return facts_; }
  [[nodiscard]] loop& home() const override { return loop_; }
  bool send_control(uint8_t type, uint8_t flags, std::string_view payload) override;
  asio::awaitable<std::optional<peer_frame>> next_frame() override;
  stream_ptr open_data() override;
  void close(std::string reason) override;
  [[nodiscard]] bool is_open() const override { return !ended_; }
  [[nodiscard]] std::string end_reason() const override;
  [[nodiscard]] link_counts counts() const override;

private:
  static asio::awaitable<void> run(std::shared_ptr<link_core> self);
  static asio::awaitable<void> write_control(std::shared_ptr<link_core> self);
  asio::awaitable<bool> next_output(std::string& into);
  asio::awaitable<bool> control_there();
  void incoming(stream_ptr opened);
  void set_control(stream_ptr opened);
  void finish(const std::string& reason);

  loop& loop_;
  const link_facts facts_;
  const node_limits limits_;
  node_gate& gate_;
  end_handler on_ended_; // of the home thread
  std::shared_ptr<mux_session> mux_;

  // Of the home thread.
  stream_ptr control_;
  waiter awaits_control_;
  std::vector<stream_ptr> early_; // data streams before begin()
  bool begun_ = false;

  mutable std::mutex mutex_;
  // Guarded by it.
  std::string queued_; // whole frames for stream 1
  size_t going_bytes_ = 0;
  waiter idle_writer_;
  std::string reason_;

  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> control_sent_{0};
  std::atomic<uint64_t> control_received_{0};
  std::atomic<uint64_t> carrier_sent_{0};
  std::atomic<uint64_t> carrier_received_{0};
};

} // namespace harp::net
