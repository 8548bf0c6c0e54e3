// Carries requests of the engines actor to engines: over a local socket, through the tunnel that
// serves an engine port (one connection per request), or to the Kubernetes API. Whole bounded answers.
#pragma once

#include "actors/bridge.hpp"
#include "actors/bridge_cluster.hpp"
#include "actors/engine_port.hpp"
#include "net/control.hpp"
#include "net/dialer.hpp"
#include "net/stream.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harp {

inline constexpr std::chrono::milliseconds engine_connect_limit{5'000};
inline constexpr std::chrono::milliseconds engine_stream_limit{
    10'000}; // until a tunnel gives a stream

class bridge_engines : public engine_port {
public:
  /// `sockets`: engines of this machine, by control port.
  bridge_engines(bridge& seam, std::map<uint16_t, std::string> sockets);

  void ask_engine(uint16_t port, std::shared_ptr<const engine_request> request,
                  std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to) override;
  [[nodiscard]] std::string place(uint16_t port) const override;

  /// Where the engine on `port` is now; null: nowhere.
  [[nodiscard]] std::shared_ptr<const net::upstream> find(uint16_t port) const;
  /// Engines that have a socket or a tunnel now, in order; behind them kubernetes_engine if it is on.
  [[nodiscard]] std::vector<uint16_t> ports() const;
  /// Switches on the Kubernetes backend; before the actors start.
  void open_cluster(cluster_access access) { cluster_.emplace(seam_, std::move(access)); }
  [[nodiscard]] bool has_cluster() const { return cluster_.has_value(); }
  /// Closes idle connections; before the loops stop.
  void clear();
  /// Replaces the sockets of this machine's engines, that of port 24000 excepted.
  void set_sockets(std::map<uint16_t, std::string> sockets);

private:
  /// What /metrics tells of one engine.
  struct engine_numbers {
    net::counter requests{0}, failures{0}, busy_us{0};
    std::atomic<bool> reachable{false};
    std::atomic<unsigned> api{0}; // as api_number
  };
  engine_numbers& numbers(uint16_t port);
  net::asio::awaitable<void> ask_and_tell(uint16_t port,
                                          std::shared_ptr<const engine_request> request,
                                          net::clock::time_point end, uint64_t token,
                                          caf::actor answer_to);
  net::asio::awaitable<engine_reply> talk(uint16_t port, const engine_request& request,
                                          net::clock::time_point end);
  net::asio::awaitable<net::stream_ptr> open(const net::upstream& where, net::milliseconds limit,
                                             engine_reply& trouble);

  bridge& seam_;
  net::dialer dialer_; // on the first loop
  published<std::map<uint16_t, std::string>> sockets_;
  std::optional<bridge_cluster> cluster_;
  std::map<uint16_t, std::unique_ptr<engine_numbers>>
      numbers_; // of engines asked so far; on the first loop
};

} // namespace harp
