// Carries requests of the engines actor to engines: over a local socket, or through the tunnel that
// serves an engine port. One connection per request, whole bounded answers.
#pragma once

#include "actors/bridge.hpp"
#include "actors/engine_port.hpp"
#include "net/control.hpp"
#include "net/dialer.hpp"
#include "net/stream.hpp"

#include <map>
#include <memory>
#include <string>

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
  /// Ports that have a socket or a tunnel now, in order.
  [[nodiscard]] std::vector<uint16_t> ports() const;
  /// Replaces the sockets of this machine's engines, that of port 24000 excepted.
  void set_sockets(std::map<uint16_t, std::string> sockets);

private:
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
};

} // namespace harp
