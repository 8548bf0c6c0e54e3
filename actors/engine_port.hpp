// What the engines actor asks of net/: fulfilled by bridge_engines, by fakes in tests.
#pragma once

#include "actors/engine_script.hpp"

#include <caf/actor.hpp>

#include <chrono>
#include <cstdint>
#include <memory>

namespace harp {

/// Stands for the Kubernetes API where others are told by their control port; no tunnel has it.
inline constexpr uint16_t kubernetes_engine = 1;

class engine_port {
public:
  virtual ~engine_port() = default;
  /// Sends one request to the engine on `port`; the answer comes as `engine_told{token, ...}`
  /// within `limit`, also when there is no such engine.
  virtual void ask_engine(uint16_t port, std::shared_ptr<const engine_request> request,
                          std::chrono::milliseconds limit, uint64_t token, caf::actor answer_to)
      = 0;
  /// How people call the place of that engine: a socket, or a tunnel's proxy; "" = nothing there.
  [[nodiscard]] virtual std::string place(uint16_t port) const = 0;
};

} // namespace harp
